"""Elementwise functions.

Invariant: operands of different dtypes become one (`operands`); functions that only floats have
take integers as float32.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from ir.dtypes import bool_, f32, finfo, i32, u32

from .array import Array, aval_of
from .errors import located
from .operands import (
    as_bool,
    as_float,
    astype,
    broadcast,
    common_shape,
    in_float32,
    numbers,
    promote,
    promote_floats,
    same_dtype,
    weak_as_operands,
)
from .staging import bind, filled, operand

_abs = abs


def copy(a: Any, order: str | None = None) -> Any:
    """The same values in an array of their own."""
    a = operand(a)
    return Array.from_host(a.numpy()) if isinstance(a, Array) else a


# --- functions of one array -------------------------------------------------------------------


def _float_function(name: str, doc: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return bind(name, as_float(x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Integers are taken as float32."
    return function


exp = _float_function("exp", "e ** x.")
log = _float_function("log", "Natural logarithm.")
sin = _float_function("sin", "Sine of radians.")
cos = _float_function("cos", "Cosine of radians.")
tanh = _float_function("tanh", "Hyperbolic tangent.")
sqrt = _float_function("sqrt", "Square root.")
rsqrt = _float_function("rsqrt", "1 / sqrt(x).")
logistic = _float_function("logistic", "1 / (1 + exp(-x)).")


def exp2(x: Any) -> Any:
    """2 ** x."""
    return exp(multiply(as_float(x), math.log(2)))


def log2(x: Any) -> Any:
    return multiply(log(x), 1 / math.log(2))


def log10(x: Any) -> Any:
    return multiply(log(x), 1 / math.log(10))


def negative(x: Any) -> Any:
    return bind("neg", operand(x))


def abs(x: Any) -> Any:
    x = operand(x)
    return x if aval_of(x).dtype in (u32, bool_) else bind("abs", x)


def sign(x: Any) -> Any:
    """-1, 0 or 1."""
    return bind("sign", operand(x))


def square(x: Any) -> Any:
    x = operand(x)
    x = astype(x, i32) if aval_of(x).dtype is bool_ else x
    return multiply(x, x)


def reciprocal(x: Any) -> Any:
    return divide(1.0, as_float(x))


def _unless_integer(x: Any, fun: Callable[[Any], Any]) -> Any:
    x = operand(x)
    return fun(x) if aval_of(x).dtype.is_float else x


def floor(x: Any) -> Any:
    """The largest integer <= x, of x's dtype."""
    return _unless_integer(x, lambda v: bind("floor", v))


def ceil(x: Any) -> Any:
    """The smallest integer >= x, of x's dtype."""
    return _unless_integer(x, lambda v: negative(floor(negative(v))))


def trunc(x: Any) -> Any:
    """Towards zero."""
    return _unless_integer(x, lambda v: where(less(v, 0), ceil(v), floor(v)))


def round(x: Any) -> Any:
    """The nearest integer, ties to even, of x's dtype."""
    return _unless_integer(x, _round)


def _round(x: Any) -> Any:
    up = floor(x + 0.5)
    over = up - x
    odd = equal(up - 2 * floor(up * 0.5), 1)
    nearest = where((over > 0.5) | (equal(over, 0.5) & odd), up - 1, up)
    # Beyond this every float is an integer, and adding 0.5 would round it to another.
    whole = 2.0 ** finfo(aval_of(x).dtype).nmant
    return where(abs(x) >= whole, x, nearest)


@in_float32
def log1p(x: Any) -> Any:
    """log(1 + x), accurate near 0."""
    x = as_float(x)
    s = x / (x + 2)
    near = horner(s * s, [2 / n for n in (1, 3, 5, 7, 9)]) * s
    return where(abs(x) < 0.25, near, log(x + 1))


@in_float32
def expm1(x: Any) -> Any:
    """exp(x) - 1, accurate near 0."""
    x = as_float(x)
    near = horner(x, [1 / math.factorial(n) for n in range(1, 10)]) * x
    return where(abs(x) < 0.5, near, exp(x) - 1)


def horner(x: Any, coefficients: Sequence[float]) -> Any:
    """The polynomial with these coefficients, lowest power first."""
    return reduce(lambda total, c: total * x + c, coefficients[-2::-1], coefficients[-1])


# --- tests ------------------------------------------------------------------------------------


def isfinite(x: Any) -> Any:
    return bind("isfinite", as_float(x))


def isnan(x: Any) -> Any:
    return greater(_magnitude_bits(x), 0x7F800000)


def isinf(x: Any) -> Any:
    return equal(_magnitude_bits(x), 0x7F800000)


def _magnitude_bits(x: Any) -> Any:
    # Bit tests: devices may assume in float comparisons that NaN and infinities do not occur.
    bits = bind("bitcast", astype(as_float(x), f32), dtype=u32)
    return bitwise_and(bits, 0x7FFFFFFF)


def isclose(a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Any:
    """|a - b| <= atol + rtol * |b|; infinities are close to themselves, NaN only if `equal_nan`."""
    a, b = promote_floats("isclose", a, b)
    near = less_equal(abs(subtract(a, b)), add(multiply(abs(b), rtol), atol))
    close = where(logical_and(isfinite(a), isfinite(b)), near, equal(a, b))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


# --- functions of two arrays ------------------------------------------------------------------


# What the operations on numbers mean for two bools.
_OF_BOOLS = {"add": "or_", "mul": "and_", "max": "or_", "min": "and_"}
_AS_INTEGERS = ("lt", "le", "rem")


def _binary(prim: str, name: str, doc: str = "", swap: bool = False) -> Callable[[Any, Any], Any]:
    def function(x: Any, y: Any) -> Any:
        x, y = promote(name, x, y)
        rule = prim
        if aval_of(x).dtype is bool_:
            rule = _OF_BOOLS.get(prim, prim)
            x, y = (astype(v, i32) for v in (x, y)) if prim in _AS_INTEGERS else (x, y)
        return bind(rule, y, x) if swap else bind(rule, x, y)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = doc or f"Elementwise {name.replace('_', ' ')}, with broadcasting."
    return function


add = _binary("add", "add")
subtract = _binary("sub", "subtract")
multiply = _binary("mul", "multiply")
maximum = _binary("max", "maximum", "The larger of two; ties share the gradient.")
minimum = _binary("min", "minimum", "The smaller of two; ties share the gradient.")
equal = _binary("eq", "equal")
less = _binary("lt", "less")
less_equal = _binary("le", "less_equal")
greater = _binary("lt", "greater", swap=True)
greater_equal = _binary("le", "greater_equal", swap=True)
bitwise_and = _binary("and_", "bitwise_and", "Of bools or integers.")
bitwise_or = _binary("or_", "bitwise_or", "Of bools or integers.")
bitwise_xor = _binary("xor_", "bitwise_xor", "Of bools or integers.")
fmod = _binary("rem", "fmod", "Remainder with the sign of the dividend.")


def not_equal(x: Any, y: Any) -> Any:
    return invert(equal(x, y))


def invert(x: Any) -> Any:
    """Bitwise not; logical not of bools."""
    return bind("not_", operand(x))


def logical_and(x: Any, y: Any) -> Any:
    return bitwise_and(as_bool(x), as_bool(y))


def logical_or(x: Any, y: Any) -> Any:
    return bitwise_or(as_bool(x), as_bool(y))


def logical_xor(x: Any, y: Any) -> Any:
    return not_equal(as_bool(x), as_bool(y))


def logical_not(x: Any) -> Any:
    return invert(as_bool(x))


def divide(x: Any, y: Any) -> Any:
    """True division; integers are taken as float32."""
    return bind("div", *promote_floats("divide", x, y))


@weak_as_operands
def floor_divide(x: Any, y: Any) -> Any:
    """Quotient rounded towards minus infinity."""
    x, y = numbers("floor_divide", x, y)
    quotient = bind("div", x, y)
    if aval_of(x).dtype.is_float:
        return floor(quotient)
    return subtract(quotient, astype(_crosses_zero(bind("rem", x, y), y), aval_of(x).dtype))


@weak_as_operands
def mod(x: Any, y: Any) -> Any:
    """Remainder with the sign of the divisor."""
    x, y = numbers("mod", x, y)
    rest = bind("rem", x, y)
    return where(_crosses_zero(rest, y), add(rest, y), rest)


def _crosses_zero(rest: Any, y: Any) -> Any:
    return logical_and(not_equal(rest, 0), not_equal(less(rest, 0), less(y, 0)))


def power(x: Any, y: Any) -> Any:
    """x ** y. A Python integer y is repeated multiplication: any x, exact derivative.

    Integers to the power of integers are integers: raises TypeError for a Python integer below 0,
    and gives 0 (or 1 or -1, where |x| is 1) for an array's.
    """
    if isinstance(y, (int, np.integer)) and not isinstance(y, bool) and _abs(y) <= 64:
        x = operand(x)
        return integer_power(astype(x, i32) if aval_of(x).dtype is bool_ else x, int(y))
    if isinstance(y, float) and y == 0.5:
        return sqrt(same_dtype("power", x, y)[0])
    x, y = promote("power", x, y)
    if aval_of(x).dtype.is_float:
        return bind("pow", x, y)
    return _power_of_integers(*(astype(v, i32) if aval_of(v).dtype is bool_ else v for v in (x, y)))


def integer_power(x: Any, n: int) -> Any:
    """x ** n by repeated multiplication. Raises TypeError for integers x and n < 0."""
    if n < 0:
        if not aval_of(x).dtype.is_float:
            text = f"Integers cannot be raised to negative powers, got {aval_of(x)} ** {n}"
            raise located(TypeError, f"{text}; convert with .astype('float32')")
        return reciprocal(integer_power(x, -n))
    if n == 0:
        return filled(1, aval_of(x).dtype, aval_of(x).shape)
    powers = [x]
    while 2 ** len(powers) <= n:
        powers.append(multiply(powers[-1], powers[-1]))
    return reduce(operator.mul, [p for i, p in enumerate(powers) if n >> i & 1])


def _power_of_integers(x: Any, y: Any) -> Any:
    """Square and multiply over the bits of y, modulo 2**32."""
    bits = y if aval_of(y).dtype is u32 else bind("bitcast", y, dtype=u32)
    total, square = filled(1, aval_of(x).dtype, aval_of(x).shape), x
    for i in range(32):
        bit = bitwise_and(bits, np.uint32(1 << i))
        total = where(equal(bit, 0), total, multiply(total, square))
        square = multiply(square, square)
    if aval_of(y).dtype is u32:
        return total
    return where(logical_and(less(y, 0), not_equal(abs(x), 1)), 0, total)


def where(condition: Any, x: Any, y: Any) -> Any:
    """x where condition, y elsewhere; NaN in one branch stays out of the other's gradient."""
    x, y = same_dtype("where", x, y)
    mask = as_bool(condition)
    common_shape([aval_of(v).shape for v in (mask, x, y)])
    return bind("select", *broadcast("where", mask, x, y))


def clip(arr: Any, /, min: Any = None, max: Any = None) -> Any:
    """The array limited to [min, max]; a bound of None is no bound."""
    x = operand(arr, "clip")
    x = x if min is None else maximum(x, min)
    return x if max is None else minimum(x, max)
