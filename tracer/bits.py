"""Functions of bit patterns.

Invariant: shifts have numpy's meaning for both 32-bit integer dtypes: amounts of 32 or more leave
only zeros, or the sign of a signed number shifted to the right.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import bool_, f32, i32, u32

from . import elementwise as ew
from .array import aval_of
from .errors import located
from .operands import as_float, astype, numbers, promote, promote_floats, weak_as_operands
from .staging import bind
from .typed import user_type


def bits_of(x: Any) -> Any:
    """The u32 whose bits are those of a 32-bit number."""
    return x if aval_of(x).dtype is u32 else bind("bitcast", x, dtype=u32)


def from_bits(x: Any, dtype: Any) -> Any:
    """The number of a 32-bit dtype whose bits are those of a u32."""
    return x if dtype is u32 else bind("bitcast", x, dtype=dtype)


def _operands(name: str, x: Any, amount: Any) -> tuple[Any, Any]:
    x, amount = numbers(name, x, amount)
    if not aval_of(x).dtype.is_integer:
        raise located(TypeError, f"{name} shifts integers, got {user_type(aval_of(x))}")
    return x, astype(amount, u32)


def _shifted(prim: str, x: Any, amount: Any) -> Any:
    """u32 `x`; zeros where the amount is 32 or more."""
    fits = ew.less(amount, 32)
    moved = bind(prim, x, ew.bitwise_and(amount, 31))
    return ew.where(fits, moved, 0)


@weak_as_operands
def left_shift(x: Any, amount: Any) -> Any:
    """x * 2**amount, modulo 2**32."""
    x, amount = _operands("left_shift", x, amount)
    return from_bits(_shifted("shl", bits_of(x), amount), aval_of(x).dtype)


@weak_as_operands
def right_shift(x: Any, amount: Any) -> Any:
    """x // 2**amount; a negative x stays negative."""
    x, amount = _operands("right_shift", x, amount)
    if aval_of(x).dtype is u32:
        return _shifted("shr", x, amount)
    # ~(~x >> n) shifts ones in: an arithmetic shift out of two logical ones.
    flip = ew.where(ew.less(x, 0), astype(ew.invert(ew.multiply(x, 0)), u32), 0)
    moved = _shifted("shr", ew.bitwise_xor(bits_of(x), flip), amount)
    return from_bits(ew.bitwise_xor(moved, flip), i32)


def shift_left(x: Any, amount: int) -> Any:
    """A u32 shifted by a Python int of 0 to 31."""
    return bind("shl", *promote("shift", x, amount))


def shift_right(x: Any, amount: int) -> Any:
    """A u32 shifted by a Python int of 0 to 31."""
    return bind("shr", *promote("shift", x, amount))


# --- of floats --------------------------------------------------------------------------------


def sort_key(x: Any) -> Any:
    """i32 numbers in the order of `x`: -0.0 equals 0.0, and NaN comes after everything."""
    kind = aval_of(x).dtype
    if kind is bool_ or kind is i32:
        return astype(x, i32)
    if kind is u32:
        return from_bits(ew.bitwise_xor(x, np.uint32(0x80000000)), i32)
    bits = from_bits(bits_of(astype(x, f32)), i32)
    size = ew.bitwise_and(bits, 0x7FFFFFFF)
    signed = ew.where(ew.less(bits, 0), ew.negative(size), size)
    return ew.where(ew.greater(size, 0x7F800000), 0x7FFFFFFE, signed)


def _float_bits(x: Any) -> Any:
    return bits_of(astype(as_float(x), f32))


def signbit(x: Any) -> Any:
    """Whether the sign is negative; that of -0.0 is."""
    return ew.equal(shift_right(_float_bits(x), 31), 1)


@weak_as_operands
def copysign(x: Any, y: Any) -> Any:
    """|x| with the sign of y."""
    x, y = promote_floats("copysign", x, y)
    size = ew.bitwise_and(_float_bits(x), 0x7FFFFFFF)
    negative = signbit(y)
    # Chosen between products rather than written into the bits, so that it has a derivative.
    flips = ew.not_equal(ew.equal(_float_bits(x), size), ew.logical_not(negative))
    return ew.where(flips, ew.negative(x), x)


@weak_as_operands
def nextafter(x: Any, y: Any) -> Any:
    """The next float32 after x in the direction of y; x where they are equal."""
    x, y = promote_floats("nextafter", x, y)
    if aval_of(x).dtype is not f32:
        raise located(TypeError, "nextafter takes float32 values; convert with .astype('float32')")
    bits = bits_of(x)
    size = ew.bitwise_and(bits, 0x7FFFFFFF)
    smallest = ew.bitwise_or(ew.bitwise_and(bits_of(y), 0x80000000), 1)
    grows = ew.equal(ew.greater(y, x), ew.equal(bits, size))
    one = np.uint32(1)
    moved = ew.where(grows, ew.add(bits, one), ew.subtract(bits, one))
    moved = ew.where(ew.equal(size, 0), smallest, moved)
    odd = ew.logical_or(ew.isnan(x), ew.isnan(y))
    nan = ew.where(ew.isnan(x), bits, bits_of(y))
    same = ew.where(ew.equal(x, y), bits_of(y), moved)
    return from_bits(ew.where(odd, nan, same), f32)


__all__ = ["copysign", "left_shift", "nextafter", "right_shift", "signbit"]


def spacing(x: Any, /) -> Any:
    """The distance to the next float away from zero, with the sign of x."""
    x = as_float(x)
    away = nextafter(x, copysign(np.inf, x))
    return ew.where(ew.isfinite(x), ew.subtract(away, x), np.nan)


def frexp(x: Any, /) -> tuple[Any, Any]:
    """(mantissa, int32 exponent): x is mantissa * 2**exponent, and 0.5 <= |mantissa| < 1.

    Of 0, infinities and NaN the mantissa is the number itself and the exponent 0.
    """
    x = as_float(x)
    kind = aval_of(x).dtype
    special = ew.logical_or(ew.equal(x, 0), ew.logical_not(ew.isfinite(x)))
    wide = astype(x, f32)
    tiny = ew.less(ew.abs(wide), 2.0**-126)  # subnormal: without a leading bit of its own
    bits = bits_of(ew.where(tiny, ew.multiply(wide, 2.0**24), wide))
    exponent = from_bits(ew.bitwise_and(shift_right(bits, 23), 0xFF), i32) - 126
    exponent = ew.where(tiny, exponent - 24, exponent)
    half = ew.bitwise_or(ew.bitwise_and(bits, 0x807FFFFF), 0x3F000000)
    mantissa = astype(from_bits(half, f32), kind)
    # Nothing is added but the slope, which bits have not and of a subnormal would be infinite.
    inner = ew.where(ew.logical_or(special, tiny), 1.0, x)
    still = bind("stop_gradient", inner)
    slope = bind("stop_gradient", ew.divide(mantissa, still))
    mantissa = ew.add(mantissa, ew.multiply(ew.subtract(inner, still), slope))
    return ew.where(special, x, mantissa), ew.where(special, 0, exponent)
