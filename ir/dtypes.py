"""Element types of the IR.

Invariant: a dtype is one of the singletons below; two dtypes are equal iff they are the same
object. There is no promotion between dtypes in the IR: mixing two is an error in
`Primitive.typeof`. `tracer.promotion` converts what users mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import ml_dtypes
import numpy as np


@dataclass(frozen=True, eq=False)
class DType:
    """An element type. `itemsize` is bytes per element on the device, where bool occupies a u32.

    Of a `packed` one two elements share a 32-bit word, and devices compute with f32 in its place,
    rounding each result.
    """

    name: str
    itemsize: int
    np: np.dtype
    packed: bool = False

    def __repr__(self) -> str:
        return self.name

    def __reduce__(self):  # copies and pickles stay singletons
        return dtype, (self.name,)

    @cached_property
    def is_float(self) -> bool:
        return self.np.kind == "f" or self.np == _BF16

    @cached_property
    def is_integer(self) -> bool:
        return self.np.kind in "iu"


_BF16 = np.dtype(ml_dtypes.bfloat16)  # numpy calls its kind "V"

f32 = DType("f32", 4, np.dtype(np.float32))
f16 = DType("f16", 2, np.dtype(np.float16))
bf16 = DType("bf16", 2, _BF16, packed=True)
i32 = DType("i32", 4, np.dtype(np.int32))
u32 = DType("u32", 4, np.dtype(np.uint32))
bool_ = DType("bool", 4, np.dtype(np.bool_))

# float16 on devices that cannot compute with it; only the code generator speaks of it.
half = DType("half", 2, np.dtype(np.float16), packed=True)

DTYPES = {d.name: d for d in (f32, f16, bf16, i32, u32, bool_)}
_BY_NUMPY = {d.np: d for d in DTYPES.values()}
# 64-bit host arrays are the common accident: numpy makes them by default.
NARROWED = {np.dtype(np.float64): f32, np.dtype(np.int64): i32, np.dtype(np.uint64): u32}


def dtype(spec: object) -> DType:
    """The DType named by `spec`: a DType, its name, or anything `np.dtype` accepts.

    64-bit types narrow to their 32-bit twins. Raises TypeError for types WGSL cannot hold.
    """
    if isinstance(spec, DType):
        return spec
    if isinstance(spec, str) and (spec in DTYPES or spec == half.name):
        return DTYPES.get(spec, half)
    host = _host_dtype(spec)
    found = _BY_NUMPY.get(host) or NARROWED.get(host)
    if found is None:
        known = ", ".join(d.np.name for d in DTYPES.values())
        raise _wrong(f"dtype {host} is not supported on WebGPU devices; use one of {known}")
    return found


def _host_dtype(spec: object) -> np.dtype:
    try:
        return np.dtype(spec)
    except TypeError as error:
        raise _wrong(str(error)) from None


def _wrong(message: str) -> TypeError:
    """An error that ends with the user's line."""
    from .build import describe_src, user_src

    return TypeError(message + describe_src(user_src()))


def finfo(kind: DType) -> ml_dtypes.finfo:
    """Limits of a float dtype."""
    return ml_dtypes.finfo(kind.np)


@cache
def lowest(kind: DType) -> float | int:
    """The most negative finite value: what masks and max-reductions start from.

    WGSL implementations may assume that infinities do not occur, so none is ever emitted.
    """
    if kind.is_float:
        return float(finfo(kind).min)
    return int(np.iinfo(kind.np).min) if kind.is_integer else False


@cache
def highest(kind: DType) -> float | int:
    """The largest finite value of a dtype."""
    if kind.is_float:
        return float(finfo(kind).max)
    return int(np.iinfo(kind.np).max) if kind.is_integer else True
