"""Functions of integers.

Invariant: results have the dtype of the operands, and no step leaves its range.
"""

from __future__ import annotations

from typing import Any

from ir.dtypes import bool_, i32, u32

from . import elementwise as ew
from .array import aval_of
from .bits import from_bits, shift_right
from .errors import located
from .loops import while_loop
from .operands import astype, promote
from .reductions import any as reduce_any
from .staging import bind, operand
from .typed import user_type
from .whole import one_program


def _integers(name: str, x1: Any, x2: Any) -> list:
    pair = promote(name, operand(x1), operand(x2))
    if not aval_of(pair[0]).dtype.is_integer:
        raise located(ValueError, f"Arguments to jnp.{name} must be integers.")
    return pair


@one_program
def gcd(x1: Any, x2: Any) -> Any:
    """The greatest common divisor, by Euclid's algorithm; gcd(0, 0) is 0."""
    a, b = _integers("gcd", x1, x2)
    return _euclid(ew.abs(a), ew.abs(b))


def _euclid(a: Any, b: Any) -> Any:
    def step(pair: tuple) -> tuple:
        a, b = pair
        going = ew.not_equal(b, 0)
        rest = bind("rem", a, ew.where(going, b, 1))
        return ew.where(going, b, a), ew.where(going, rest, 0)

    return while_loop(lambda pair: reduce_any(ew.not_equal(pair[1], 0)), step, (a, b))[0]


@one_program
def lcm(x1: Any, x2: Any) -> Any:
    """The least common multiple; 0 if one of them is 0."""
    a, b = _integers("lcm", x1, x2)
    a, b = ew.abs(a), ew.abs(b)
    common = _euclid(a, b)
    none = ew.equal(common, 0)
    return ew.where(none, 0, ew.multiply(a, ew.floor_divide(b, ew.where(none, 1, common))))


def bitwise_count(x: Any, /) -> Any:
    """How many bits of the absolute value are 1, as int32."""
    x = operand(x)
    if aval_of(x).dtype is bool_:
        return astype(x, i32)
    if not aval_of(x).dtype.is_integer:
        raise located(TypeError, f"bitwise_count takes integers, got {user_type(aval_of(x))}")
    bits = x if aval_of(x).dtype is u32 else bind("bitcast", ew.abs(x), dtype=u32)
    # Sums of neighbouring bits, then of pairs, of fours and of bytes (Hacker's Delight, 5-1).
    bits = ew.subtract(bits, ew.bitwise_and(shift_right(bits, 1), 0x55555555))
    pairs = ew.bitwise_and(shift_right(bits, 2), 0x33333333)
    bits = ew.add(ew.bitwise_and(bits, 0x33333333), pairs)
    bits = ew.bitwise_and(ew.add(bits, shift_right(bits, 4)), 0x0F0F0F0F)
    return from_bits(shift_right(ew.multiply(bits, 0x01010101), 24), i32)


__all__ = ["bitwise_count", "gcd", "lcm"]
