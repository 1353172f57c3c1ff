"""The numpy interface, `from tracer import numpy as jnp`.

Invariant: every name here works on numbers, numpy arrays, concrete and traced arrays alike, and is
differentiable wherever its mathematics is. It runs at once outside of a trace.
"""

from __future__ import annotations

import math

import numpy as _np

from .array import Array as ndarray
from .contraction import dot, einsum, matmul, outer, tensordot, vdot
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
    expm1,
    floor,
    floor_divide,
    fmod,
    greater,
    greater_equal,
    invert,
    isfinite,
    isinf,
    isnan,
    less,
    less_equal,
    log,
    log1p,
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
    round,
    sign,
    sin,
    sqrt,
    square,
    subtract,
    tanh,
    trunc,
    where,
)
from .indexing import take, take_along_axis
from .reductions import all, any, argmax, argmin, cumsum, max, mean, min, prod, std, sum, var
from .shaping import (
    broadcast_arrays,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    moveaxis,
    ndim,
    pad,
    ravel,
    repeat,
    reshape,
    roll,
    shape,
    size,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
)

absolute = abs
amax, amin = max, min
remainder = mod
true_divide = divide
permute_dims = transpose

float32 = _np.float32
float16 = _np.float16
int32 = _np.int32
uint32 = _np.uint32
bool_ = _np.bool_
pi, e, inf, nan = math.pi, math.e, math.inf, math.nan
newaxis = None
finfo, iinfo = _np.finfo, _np.iinfo

__all__ = [name for name in dir() if not name.startswith("_") and name not in ("annotations", "math")]
