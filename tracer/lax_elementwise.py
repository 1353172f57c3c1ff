"""lax's elementwise functions: those of `tracer.numpy` behind strict checks.

Invariant: no function here converts or repeats anything but scalars (`tracer.strict`).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from ir.dtypes import bool_, f32, i32, u32

from . import bits, gamma, special, strict
from . import elementwise as ew
from .array import aval_of
from .errors import located
from .operands import astype
from .promotion import requested
from .staging import bind, spread
from .strict import ANY, FLOATING, INTEGER, LOGIC, NUMBER, SIGNED


class RoundingMethod(enum.IntEnum):
    """What `round` does with halves."""

    AWAY_FROM_ZERO = 0
    TO_NEAREST_EVEN = 1


# --- of one array -----------------------------------------------------------------------------


def _unary(name: str, families: tuple[str, ...], fun: Callable, doc: str) -> Callable[[Any], Any]:
    def function(x: Any) -> Any:
        return fun(strict.accept(name, strict.array(name, x), families))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Raises TypeError for other dtypes than {', '.join(families)}."
    return function


def _negated(x: Any) -> Any:
    return ew.subtract(0, x) if aval_of(x).dtype is u32 else ew.negative(x)


def _signed(x: Any) -> Any:
    return ew.minimum(x, 1) if aval_of(x).dtype is u32 else ew.sign(x)


def _ones(x: Any) -> Any:
    """How many bits of a u32 are set: sums of neighbouring fields, each of twice the width."""
    x = ew.subtract(x, ew.bitwise_and(bits.shift_right(x, 1), 0x55555555))
    x = ew.add(ew.bitwise_and(x, 0x33333333), ew.bitwise_and(bits.shift_right(x, 2), 0x33333333))
    x = ew.bitwise_and(ew.add(x, bits.shift_right(x, 4)), 0x0F0F0F0F)
    return bits.shift_right(ew.multiply(x, 0x01010101), 24)


def _of_bits(fun: Callable) -> Callable:
    """A function of u32 on both integer dtypes."""
    return lambda x: bits.from_bits(fun(bits.bits_of(x)), aval_of(x).dtype)


def _leading_zeros(x: Any) -> Any:
    for n in (1, 2, 4, 8, 16):  # every bit below the highest one set
        x = ew.bitwise_or(x, bits.shift_right(x, n))
    return _ones(ew.invert(x))


neg = _unary("neg", NUMBER, _negated, "-x.")
sign = _unary("sign", NUMBER, _signed, "-1, 0 or 1.")
abs = _unary("abs", SIGNED, ew.abs, "|x|.")
square = _unary("square", NUMBER, ew.square, "x^2.")
exp = _unary("exp", FLOATING, ew.exp, "e^x.")
exp2 = _unary("exp2", FLOATING, ew.exp2, "2^x.")
expm1 = _unary("expm1", FLOATING, ew.expm1, "e^x - 1, accurate near 0.")
log = _unary("log", FLOATING, ew.log, "Natural logarithm.")
log1p = _unary("log1p", FLOATING, ew.log1p, "log(1 + x), accurate near 0.")
logistic = _unary("logistic", FLOATING, ew.logistic, "1 / (1 + e^-x).")
tanh = _unary("tanh", FLOATING, ew.tanh, "Hyperbolic tangent.")
sin = _unary("sin", FLOATING, ew.sin, "Sine of radians.")
cos = _unary("cos", FLOATING, ew.cos, "Cosine of radians.")
tan = _unary("tan", FLOATING, special.tan, "Tangent of radians.")
asin = _unary("asin", FLOATING, special.arcsin, "Inverse sine.")
acos = _unary("acos", FLOATING, special.arccos, "Inverse cosine.")
atan = _unary("atan", FLOATING, special.arctan, "Inverse tangent.")
sinh = _unary("sinh", FLOATING, special.sinh, "Hyperbolic sine.")
cosh = _unary("cosh", FLOATING, special.cosh, "Hyperbolic cosine.")
asinh = _unary("asinh", FLOATING, special.arcsinh, "Inverse hyperbolic sine.")
acosh = _unary("acosh", FLOATING, special.arccosh, "Inverse hyperbolic cosine.")
atanh = _unary("atanh", FLOATING, special.arctanh, "Inverse hyperbolic tangent.")
erf = _unary("erf", FLOATING, special.erf, "The error function.")
erfc = _unary("erfc", FLOATING, special.erfc, "1 - erf(x), accurate for large x.")
erf_inv = _unary("erf_inv", FLOATING, special.erf_inv, "The inverse of erf.")
lgamma = _unary("lgamma", FLOATING, gamma.lgamma, "log |gamma(x)|.")
digamma = _unary("digamma", FLOATING, gamma.digamma, "The derivative of lgamma.")
bessel_i0e = _unary("bessel_i0e", FLOATING, gamma.bessel_i0e, "exp(-|x|) I0(x).")
bessel_i1e = _unary("bessel_i1e", FLOATING, gamma.bessel_i1e, "exp(-|x|) I1(x).")
sqrt = _unary("sqrt", FLOATING, ew.sqrt, "Square root.")
rsqrt = _unary("rsqrt", FLOATING, ew.rsqrt, "1 / sqrt(x).")
cbrt = _unary("cbrt", FLOATING, special.cbrt, "Cube root.")
floor = _unary("floor", FLOATING, ew.floor, "Towards minus infinity.")
ceil = _unary("ceil", FLOATING, ew.ceil, "Towards infinity.")
is_finite = _unary("is_finite", FLOATING, ew.isfinite, "Neither infinite nor NaN.")
bitwise_not = _unary("not", LOGIC, ew.invert, "The complement; logical of bools.")
population_count = _unary("population_count", INTEGER, _of_bits(_ones), "How many bits are set.")
clz = _unary("clz", INTEGER, _of_bits(_leading_zeros), "Leading zero bits of 32.")


def round(x: Any, rounding_method: int = RoundingMethod.AWAY_FROM_ZERO) -> Any:
    """The nearest integer; halves go where `rounding_method` says."""
    x = strict.accept("round", strict.array("round", x), FLOATING)
    if RoundingMethod(rounding_method) is RoundingMethod.TO_NEAREST_EVEN:
        return ew.round(x)
    size = ew.abs(x)
    whole = ew.floor(size)
    up = ew.add(whole, astype(ew.greater_equal(ew.subtract(size, whole), 0.5), aval_of(x).dtype))
    return ew.where(bits.signbit(x), ew.negative(up), up)


def integer_pow(x: Any, y: int) -> Any:
    """x ** y for a Python integer y. Raises TypeError for a negative power of integers."""
    x = strict.accept("integer_pow", strict.array("integer_pow", x), NUMBER)
    aval = aval_of(x)
    if y < 0 and aval.dtype.is_integer:
        shown = f"{aval.dtype.np.name}[{','.join(map(str, aval.shape))}]"
        raise located(
            TypeError,
            f"Integers cannot be raised to negative powers, got integer_pow({shown}, {y})",
        )
    return ew.integer_power(x, int(y))


def reciprocal(x: Any) -> Any:
    """1 / x of floats."""
    return integer_pow(x, -1)


def convert_element_type(x: Any, dtype: Any) -> Any:
    """x as another dtype: floats to integers truncate, to bool tests != 0."""
    return astype(strict.array("convert_element_type", x), dtype)


def bitcast_convert_type(x: Any, dtype: Any) -> Any:
    """The same bits read as another 4-byte dtype."""
    return bind("bitcast", strict.array("bitcast_convert_type", x), dtype=requested(dtype))


# --- of two arrays ----------------------------------------------------------------------------


def _binary(
    name: str, families: tuple[str, ...], fun: Callable, twin: str, doc: str, says: str = ""
) -> Callable[[Any, Any], Any]:
    def function(x: Any, y: Any) -> Any:
        return fun(*strict.together(name, (x, y), families, twin, says or name))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} Raises TypeError for operands of unlike dtypes or ranks."
    return function


def _of_bools(fun: Callable, logical: Callable) -> Callable:
    """A function of numbers that is a logical one for bools."""
    return lambda x, y: (logical if aval_of(x).dtype is bool_ else fun)(x, y)


def _ordered(fun: Callable) -> Callable:
    """A comparison, with false below true."""

    def compare(x: Any, y: Any) -> Any:
        if aval_of(x).dtype is bool_:
            x, y = astype(x, i32), astype(y, i32)
        return fun(x, y)

    return compare


def _quotient(x: Any, y: Any) -> Any:
    return bind("div", x, y)


def _next(x: Any, y: Any) -> Any:
    kind = aval_of(x).dtype
    if kind is f32:
        return bits.nextafter(x, y)
    raise located(TypeError, f"nextafter takes float32 values, got {kind.np.name}; use .astype")


def _as_signed(x: Any) -> Any:
    return bits.from_bits(bits.bits_of(x), i32)


def _arithmetic(x: Any, amount: Any) -> Any:
    moved = bits.right_shift(_as_signed(x), _as_signed(amount))
    return bits.from_bits(bits.bits_of(moved), aval_of(x).dtype)


def _logical(x: Any, amount: Any) -> Any:
    moved = bits.right_shift(bits.bits_of(x), bits.bits_of(amount))
    return bits.from_bits(moved, aval_of(x).dtype)


_max = _of_bools(ew.maximum, ew.logical_or)
_min = _of_bools(ew.minimum, ew.logical_and)

add = _binary("add", NUMBER, ew.add, "add", "x + y.")
sub = _binary("sub", NUMBER, ew.subtract, "subtract", "x - y.")
_mul = _binary("mul", NUMBER, ew.multiply, "multiply", "x * y.")
div = _binary("div", NUMBER, _quotient, "divide", "x / y; integers round towards 0.")
rem = _binary("rem", NUMBER, ew.fmod, "remainder", "The remainder with the sign of x.")
max = _binary("max", ANY, _max, "maximum", "The larger of two.")
min = _binary("min", ANY, _min, "minimum", "The smaller of two.")
atan2 = _binary("atan2", FLOATING, special.arctan2, "arctan2", "The angle of (y, x).")
nextafter = _binary("nextafter", FLOATING, _next, "nextafter", "The next float towards y.")
zeta = _binary("zeta", FLOATING, gamma.zeta, "", "The sum over k of 1 / (y + k)^x.")
polygamma = _binary("polygamma", FLOATING, gamma.polygamma, "", "Derivative x of digamma at y.")
eq = _binary("eq", ANY, ew.equal, "equal", "x == y.")
ne = _binary("ne", ANY, ew.not_equal, "not_equal", "x != y.")
lt = _binary("lt", ANY, _ordered(ew.less), "", "x < y.")
le = _binary("le", ANY, _ordered(ew.less_equal), "", "x <= y.")
gt = _binary("gt", ANY, _ordered(ew.greater), "", "x > y.")
ge = _binary("ge", ANY, _ordered(ew.greater_equal), "", "x >= y.")
bitwise_and = _binary("bitwise_and", LOGIC, ew.bitwise_and, "bitwise_and", "x & y.", "and")
bitwise_or = _binary("bitwise_or", LOGIC, ew.bitwise_or, "bitwise_or", "x | y.", "or")
bitwise_xor = _binary("bitwise_xor", LOGIC, ew.bitwise_xor, "bitwise_xor", "x ^ y.", "xor")
shift_left = _binary("shift_left", INTEGER, bits.left_shift, "left_shift", "x * 2^y.")
shift_right_arithmetic = _binary(
    "shift_right_arithmetic", INTEGER, _arithmetic, "right_shift", "x / 2^y, the sign entering."
)
shift_right_logical = _binary(
    "shift_right_logical", INTEGER, _logical, "right_shift", "x shifted right, zeros entering."
)


def pow(x: Any, y: Any) -> Any:
    """x ** y for floats x, and y of x's dtype or integers."""
    x, y = strict.arrays("pow", (x, y))
    strict.accept("pow", x, FLOATING, 0)
    strict.accept("pow", y, NUMBER, 1)
    if aval_of(y).dtype.is_float:
        strict.same_dtypes("pow", (x, y), "power")
    return bind("pow", *strict.same_ranks("pow", (x, astype(y, aval_of(x).dtype))))


def mulhi(x: Any, y: Any) -> Any:
    """The upper 32 bits of the 64-bit product of integers."""
    x, y = strict.together("mulhi", (x, y), INTEGER)
    a, b = bits.bits_of(x), bits.bits_of(y)
    high = _upper_product(a, b)
    if aval_of(x).dtype is u32:
        return high
    zero = ew.multiply(a, 0)
    for v, w in ((x, b), (y, a)):  # a negative operand stands for 2**32 less than its bits say
        high = ew.subtract(high, ew.where(ew.less(v, 0), w, zero))
    return bits.from_bits(high, i32)


def _upper_product(a: Any, b: Any) -> Any:
    """Of u32s, by products of halves."""
    low = [ew.bitwise_and(v, 0xFFFF) for v in (a, b)]
    high = [bits.shift_right(v, 16) for v in (a, b)]
    crossed = ew.multiply(high[0], low[1])
    middle = ew.add(crossed, bits.shift_right(ew.multiply(*low), 16))
    other = ew.add(ew.multiply(low[0], high[1]), ew.bitwise_and(middle, 0xFFFF))
    return ew.add(
        ew.multiply(*high), ew.add(bits.shift_right(middle, 16), bits.shift_right(other, 16))
    )


def mul(x: Any, y: Any, *, out_dtype: Any = None) -> Any:
    """x * y, computed as `out_dtype` if it is given."""
    if out_dtype is not None:
        x, y = (astype(v, out_dtype) for v in strict.arrays("mul", (x, y)))
    return _mul(x, y)


# --- choosing ---------------------------------------------------------------------------------


def select(condition: Any, on_true: Any, on_false: Any) -> Any:
    """`on_true` where `condition`, which is a scalar or of the same shape."""
    return select_n(condition, on_false, on_true)


def select_n(which: Any, *cases: Any) -> Any:
    """cases[which]: `which` is a bool or an integer, a scalar or of the cases' shape.

    Integers out of range choose the first or the last case. Raises TypeError, ValueError.
    """
    if not cases:
        raise located(ValueError, "select_n() must have at least one case")
    which, *cases = strict.arrays("select_n", (which, *cases))
    _check_cases(which, cases)
    strict.same_dtypes("select", cases, "where")
    chooser = spread(which, aval_of(cases[0]).shape)
    if aval_of(which).dtype is bool_:
        return bind("select", chooser, cases[-1], cases[0])
    found = cases[0]
    for i, case in enumerate(cases[1:], 1):
        found = bind("select", ew.greater_equal(chooser, i), case, found)
    return found


def _check_cases(which: Any, cases: list) -> None:
    kind, shape = aval_of(which).dtype, aval_of(which).shape
    shapes = [aval_of(c).shape for c in cases]
    if len(set(shapes)) > 1:
        raise located(TypeError, f"select cases must have the same shapes, got {shapes}.")
    if kind.is_float:
        raise located(
            TypeError, f"select `which` must be boolean or integer type, got {kind.np.name}."
        )
    if kind is bool_ and len(cases) > 2:
        raise located(TypeError, "select with boolean `which` cannot have > 2 cases.")
    if shape and shape != shapes[0]:
        raise located(
            TypeError,
            "select `which` must be scalar or have the same shape as cases, got `which` shape "
            f"{shape} but case shape {shapes[0]}.",
        )


def clamp(min: Any, x: Any, max: Any) -> Any:
    """x limited to [min, max], each a scalar or of x's shape."""
    low, x, high = strict.arrays("clamp", (min, x, max))
    shape = aval_of(x).shape
    for name, bound in (("min", low), ("max", high)):
        given = aval_of(bound).shape
        if given not in ((), shape):
            raise located(
                TypeError,
                f"clamp requires {name}.shape == operand.shape or {name}.shape == (), got "
                f"{name}.shape={given}, operand.shape={shape}.",
            )
    strict.same_dtypes("clamp", (low, x, high))
    return ew.minimum(ew.maximum(x, spread(low, shape)), spread(high, shape))
