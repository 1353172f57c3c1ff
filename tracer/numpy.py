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
from .bits import copysign, frexp, left_shift, nextafter, right_shift, signbit, spacing
from .comparison import allclose, array_equal, array_equiv
from .contraction import (
    dot,
    einsum,
    matmul,
    matvec,
    outer,
    tensordot,
    vdot,
    vecdot,
    vecmat,
)
from .counting import (
    argwhere,
    bincount,
    digitize,
    flatnonzero,
    nonzero,
    searchsorted,
    where,
)
from .creation import (
    arange,
    array,
    asarray,
    astype,
    empty_like,
    eye,
    full,
    full_like,
    geomspace,
    identity,
    linspace,
    logspace,
    ones,
    ones_like,
    tril,
    triu,
    zeros,
    zeros_like,
)
from .curves import convolve, correlate, interp, polyval, unwrap
from .distinct import unique, unique_all, unique_counts, unique_inverse, unique_values
from .dtypes import (
    bfloat16,
    bool_,
    finfo,
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
from .editing import block, choose, compress, delete, extract, insert, resize, trim_zeros
from .elementwise import (
    abs,
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
    logical_not,
    mod,
    not_equal,
    power,
    reciprocal,
    sign,
    sin,
    sqrt,
    square,
    tanh,
    trunc,
)
from .extras import (
    deg2rad,
    divmod,
    fabs,
    float_power,
    fmax,
    fmin,
    heaviside,
    isneginf,
    isposinf,
    ldexp,
    modf,
    nan_to_num,
    positive,
    rad2deg,
    round,
    select,
)
from .functional import (
    apply_along_axis,
    apply_over_axes,
    fromfunction,
    piecewise,
    vectorize,
)
from .grids import (
    c_,
    diag_indices,
    diag_indices_from,
    index_exp,
    indices,
    ix_,
    mask_indices,
    meshgrid,
    mgrid,
    ogrid,
    r_,
    s_,
    tril_indices,
    tril_indices_from,
    triu_indices,
    triu_indices_from,
)
from .histograms import corrcoef, cov, histogram, histogram2d, histogram_bin_edges, histogramdd
from .hostside import (
    array_repr,
    array_str,
    einsum_path,
    from_dlpack,
    frombuffer,
    fromfile,
    fromiter,
    fromstring,
    get_printoptions,
    isscalar,
    iterable,
    load,
    printoptions,
    save,
    savez,
    set_printoptions,
)
from .indexing import take, take_along_axis
from .integers import bitwise_count, gcd, lcm
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
    pad,
    repeat,
    roll,
    rot90,
    unstack,
    vsplit,
    vstack,
)
from .matrices import cross, diag, diagflat, diagonal, inner, kron, trace, tri
from .nan_reductions import (
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
)
from .placing import (
    fill_diagonal,
    place,
    put,
    put_along_axis,
    ravel_multi_index,
    unravel_index,
)
from .polynomials import (
    bartlett,
    blackman,
    hamming,
    hanning,
    kaiser,
    poly,
    polyadd,
    polyder,
    polydiv,
    polyfit,
    polyint,
    polymul,
    polysub,
    vander,
)
from .quantiles import median, nanmedian, nanpercentile, nanquantile, percentile, quantile
from .realvalued import (
    angle,
    conj,
    conjugate,
    imag,
    iscomplex,
    iscomplexobj,
    isreal,
    isrealobj,
    real,
)
from .reductions import all, any, argmax, argmin, cumsum, max, mean, min, prod, std, sum, var
from .setops import intersect1d, isin, setdiff1d, setxor1d, union1d
from .shaping import (
    broadcast_arrays,
    broadcast_to,
    concat,
    concatenate,
    expand_dims,
    flip,
    matrix_transpose,
    moveaxis,
    ndim,
    permute_dims,
    ravel,
    reshape,
    rollaxis,
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
    argpartition,
    argsort,
    lexsort,
    partition,
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
    i0,
    sinc,
    sinh,
    tan,
)
from .standard import API_VERSION, namespace_info
from .statistics import (
    average,
    count_nonzero,
    cumprod,
    cumulative_prod,
    cumulative_sum,
    diff,
    ediff1d,
    gradient,
    ptp,
    trapezoid,
)
from .ufuncs import (
    add,
    bitwise_and,
    bitwise_or,
    bitwise_xor,
    frompyfunc,
    logaddexp,
    logaddexp2,
    logical_and,
    logical_or,
    logical_xor,
    maximum,
    minimum,
    multiply,
    negative,
    subtract,
    ufunc,
)

absolute = abs
amax, amin = max, min
remainder = mod
true_divide = divide
acos, acosh, asin, asinh = arccos, arccosh, arcsin, arcsinh
atan, atan2, atanh = arctan, arctan2, arctanh
bitwise_invert = bitwise_not = invert
bitwise_left_shift, bitwise_right_shift = left_shift, right_shift
around, rint, fix = round, round, trunc
degrees, radians = rad2deg, deg2rad
empty = zeros
pow = power

number, inexact, floating, integer = _np.number, _np.inexact, _np.floating, _np.integer
signedinteger, unsignedinteger = _np.signedinteger, _np.unsignedinteger
dtype, can_cast = _np.dtype, _np.can_cast
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
euler_gamma = float(_np.euler_gamma)
bool, int_, uint, single = bool_, int32, uint32, float32
__array_api_version__ = API_VERSION
__array_namespace_info__ = namespace_info
newaxis = None
iinfo = _np.iinfo

__all__ = """
    abs absolute acos acosh add all allclose amax amin angle any append apply_along_axis
    apply_over_axes arange arccos arccosh arcsin arcsinh arctan arctan2 arctanh argmax argmin
    argpartition argsort argwhere around array array_equal array_equiv array_repr array_split
    array_str asarray asin asinh astype atan atan2 atanh atleast_1d atleast_2d atleast_3d
    average bartlett bfloat16 bincount bitwise_and bitwise_count bitwise_invert
    bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor blackman block
    bool bool_ broadcast_arrays broadcast_shapes broadcast_to c_ can_cast cbrt ceil choose clip
    column_stack compress concat concatenate conj conjugate convolve copy copysign corrcoef
    correlate cos cosh count_nonzero cov cross cumprod cumsum cumulative_prod cumulative_sum
    deg2rad degrees delete diag diag_indices diag_indices_from diagflat diagonal diff digitize
    divide divmod dot dsplit dstack dtype e ediff1d einsum einsum_path empty empty_like equal
    euler_gamma exp exp2 expand_dims expm1 extract eye fabs fill_diagonal finfo fix flatnonzero
    flip fliplr flipud float16 float32 float64 float_power floating floor floor_divide fmax fmin
    fmod frexp from_dlpack frombuffer fromfile fromfunction fromiter frompyfunc fromstring full
    full_like gcd geomspace get_printoptions gradient greater greater_equal hamming hanning
    heaviside histogram histogram2d histogram_bin_edges histogramdd hsplit hstack hypot i0
    identity iinfo imag index_exp indices inexact inf inner insert int32 int64 int_ integer
    interp intersect1d invert isclose iscomplex iscomplexobj isdtype isfinite isin isinf isnan
    isneginf isposinf isreal isrealobj isscalar issubdtype iterable ix_ kaiser kron lcm ldexp
    left_shift less less_equal lexsort linalg linspace load log log10 log1p log2 logaddexp
    logaddexp2 logical_and logical_not logical_or logical_xor logspace mask_indices matmul
    matrix_transpose matvec max maximum mean median meshgrid mgrid min minimum mod modf moveaxis
    multiply nan nan_to_num nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian
    nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndarray ndim negative newaxis
    nextafter nonzero not_equal number ogrid ones ones_like outer pad partition percentile
    permute_dims pi piecewise place poly polyadd polyder polydiv polyfit polyint polymul polysub
    polyval positive pow power printoptions prod promote_types ptp put put_along_axis quantile
    r_ rad2deg radians ravel ravel_multi_index real reciprocal remainder repeat reshape resize
    result_type right_shift rint roll rollaxis rot90 round s_ save savez searchsorted select
    set_printoptions setdiff1d setxor1d shape sign signbit signedinteger sin sinc single sinh
    size sort spacing split sqrt square squeeze stack std subtract sum swapaxes take
    take_along_axis tan tanh tensordot tile trace transpose trapezoid tri tril tril_indices
    tril_indices_from trim_zeros triu triu_indices triu_indices_from true_divide trunc ufunc
    uint uint32 uint64 union1d unique unique_all unique_counts unique_inverse unique_values
    unravel_index unsignedinteger unstack unwrap vander var vdot vecdot vecmat vectorize vsplit
    vstack where zeros zeros_like
""".split()
