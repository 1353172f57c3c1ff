"""The numpy interface, `from tracer import numpy as jnp`.

Invariant: every name here works on numbers, numpy arrays, concrete and traced arrays alike, and is
differentiable wherever its mathematics is. It runs at once outside of a trace.
"""

# ruff: noqa: F401 - the imported names are the interface

from __future__ import annotations

import math

import numpy as _np

from . import linalg
from .array import Array as ndarray
from .bits import copysign, left_shift, nextafter, right_shift, signbit
from .contraction import dot, einsum, matmul, outer, tensordot, vdot
from .counting import (
    argwhere,
    bincount,
    digitize,
    flatnonzero,
    nonzero,
    searchsorted,
    unique,
    where,
)
from .creation import (
    arange,
    array,
    asarray,
    eye,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .dtypes import (
    bool_,
    float16,
    float32,
    float64,
    int32,
    int64,
    isdtype,
    issubdtype,
    promote_types,
    result_type,
    uint32,
    uint64,
)
from .elementwise import (
    abs,
    add,
    astype,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    ceil,
    clip,
    copy,
    cos,
    divide,
    equal,
    exp,
    exp2,
    expm1,
    floor,
    floor_divide,
    fmod,
    greater,
    greater_equal,
    invert,
    isclose,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
    log2,
    log10,
    logical_and,
    logical_not,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    mod,
    multiply,
    negative,
    not_equal,
    power,
    reciprocal,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    trunc,
)
from .extras import (
    convolve,
    correlate,
    deg2rad,
    divmod,
    fabs,
    float_power,
    fmax,
    fmin,
    heaviside,
    interp,
    isneginf,
    isposinf,
    ldexp,
    modf,
    nan_to_num,
    polyval,
    positive,
    rad2deg,
    round,
    select,
)
from .indexing import take, take_along_axis
from .layout import (
    append,
    array_split,
    atleast_1d,
    atleast_2d,
    atleast_3d,
    broadcast_shapes,
    column_stack,
    dsplit,
    dstack,
    fliplr,
    flipud,
    hsplit,
    hstack,
    indices,
    meshgrid,
    pad,
    repeat,
    roll,
    rot90,
    tril_indices,
    triu_indices,
    unstack,
    vsplit,
    vstack,
)
from .linalg import (
    cross,
    diag,
    diagflat,
    diagonal,
    inner,
    kron,
    matrix_transpose,
    trace,
    tri,
    vecdot,
)
from .reductions import (
    all,
    allclose,
    any,
    argmax,
    argmin,
    array_equal,
    array_equiv,
    cumsum,
    max,
    mean,
    min,
    prod,
    std,
    sum,
    var,
)
from .shaping import (
    broadcast_arrays,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    ndim,
    ravel,
    reshape,
    shape,
    size,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
)
from .sorting import (
    argsort,
    lexsort,
    median,
    nanmedian,
    nanpercentile,
    nanquantile,
    percentile,
    quantile,
    sort,
)
from .special import (
    arccos,
    arccosh,
    arcsin,
    arcsinh,
    arctan,
    arctan2,
    arctanh,
    cbrt,
    cosh,
    hypot,
    logaddexp,
    logaddexp2,
    sinc,
    sinh,
    tan,
)
from .statistics import (
    average,
    count_nonzero,
    cumprod,
    cumulative_prod,
    cumulative_sum,
    diff,
    ediff1d,
    gradient,
    nanargmax,
    nanargmin,
    nancumprod,
    nancumsum,
    nanmax,
    nanmean,
    nanmin,
    nanprod,
    nanstd,
    nansum,
    nanvar,
    ptp,
    trapezoid,
)

absolute = abs
amax, amin = max, min
remainder = mod
true_divide = divide
permute_dims = transpose
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
around, rint, fix = round, round, trunc
concat = concatenate
degrees, radians = rad2deg, deg2rad
empty, empty_like = zeros, zeros_like
identity = eye
pow = power

number, inexact, floating, integer = _np.number, _np.inexact, _np.floating, _np.integer
signedinteger, unsignedinteger = _np.signedinteger, _np.unsignedinteger
dtype, can_cast = _np.dtype, _np.can_cast
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
newaxis = None
finfo, iinfo = _np.finfo, _np.iinfo

__all__ = """
    abs absolute acos acosh add all allclose amax amin any append arange arccos arccosh arcsin
    arcsinh arctan arctan2 arctanh argmax argmin argsort argwhere around array array_equal
    array_split asarray asin asinh astype atan atan2 atanh atleast_1d atleast_2d atleast_3d average
    bincount bitwise_and bitwise_invert bitwise_left_shift bitwise_not bitwise_or
    bitwise_right_shift bitwise_xor bool_ broadcast_arrays broadcast_shapes broadcast_to can_cast
    cbrt ceil clip column_stack concat concatenate convolve copy copysign correlate cos cosh
    count_nonzero cross cumprod cumsum deg2rad degrees diag diagflat diagonal diff digitize divide
    divmod dot dsplit dstack dtype e einsum empty empty_like equal exp exp2 expand_dims expm1 eye
    fabs finfo fix flatnonzero flip fliplr flipud float16 float32 float64 float_power floating
    floor floor_divide fmax fmin fmod full full_like greater greater_equal heaviside hsplit hstack
    hypot identity iinfo indices inexact inf inner int32 int64 integer interp invert isclose
    isdtype isfinite isinf isnan isneginf isposinf issubdtype kron ldexp left_shift less less_equal
    lexsort linalg linspace log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not
    logical_or logical_xor matmul matrix_transpose max maximum mean median meshgrid min minimum mod
    modf moveaxis multiply nan nan_to_num nancumsum nanmax nanmean nanmedian nanmin nanpercentile
    nanprod nanquantile nanstd nansum nanvar ndarray ndim negative newaxis nextafter nonzero
    not_equal number ones ones_like outer pad percentile permute_dims pi polyval positive pow power
    prod promote_types ptp quantile rad2deg radians ravel reciprocal remainder repeat reshape
    result_type right_shift rint roll rot90 round searchsorted select shape sign signbit
    signedinteger sin sinc sinh size sort split sqrt square squeeze stack std subtract sum swapaxes
    take take_along_axis tan tanh tensordot tile trace transpose trapezoid tri tril tril_indices
    triu triu_indices true_divide trunc uint32 uint64 unique unsignedinteger unstack var vdot
    vecdot vsplit vstack where zeros zeros_like
""".split()
