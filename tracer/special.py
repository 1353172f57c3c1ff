"""Transcendental functions that devices lack, from those they have.

Invariant: every function is accurate to a few units in the last place of float32 over its whole
domain, and differentiating its formula gives its derivative to about 1e-6; branches that do not
apply are fed harmless values, so no NaN of theirs reaches a gradient.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.dtypes import f32, finfo

from . import elementwise as ew
from .array import aval_of
from .bits import bits_of, from_bits, signbit
from .elementwise import horner
from .operands import as_float, astype, in_float32, promote_floats, weak_as_operands
from .staging import visible

_LN2 = math.log(2)


def floats(name: str, *xs: Any) -> list:
    """Operands as floats of one dtype and shape, with the operators of arrays."""
    return [visible(x) for x in promote_floats(name, *xs)]


# --- trigonometry -----------------------------------------------------------------------------

# arctan(x) / x in powers of x^2: Chebyshev fit on |x| <= tan(pi / 8), relative error 6e-10.
_ARCTAN = (1.0, -0.33333307, 0.1999821, -0.14239983, 0.10572814, -0.06033242)
_EIGHTH = math.tan(math.pi / 8)


@in_float32
def tan(x: Any) -> Any:
    """Tangent of radians."""
    x = as_float(x)
    return ew.divide(ew.sin(x), ew.cos(x))


@in_float32
def arctan(x: Any) -> Any:
    """Inverse tangent, in (-pi/2, pi/2)."""
    x = as_float(x)
    size = ew.abs(x)
    steep, middle = ew.greater(size, 1 / _EIGHTH), ew.greater(size, _EIGHTH)
    top = ew.where(steep, -1.0, ew.where(middle, size - 1, size))
    bottom = ew.where(steep, size, ew.where(middle, size + 1, 1.0))
    base = ew.where(steep, math.pi / 2, ew.where(middle, math.pi / 4, 0.0))
    t = top / bottom
    value = base + t * horner(t * t, _ARCTAN)
    return ew.where(signbit(x), -value, value)


@weak_as_operands
@in_float32
def arctan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y), in [-pi, pi]; 0 or pi at the origin, by the sign of x."""
    y, x = floats("arctan2", y, x)
    # The angle from the nearer axis, so that the quotient is at most 1 and loses nothing.
    steep = ew.greater(ew.abs(y), ew.abs(x))
    top, bottom = ew.where(steep, -x, y), ew.where(steep, y, x)
    both = ew.logical_and(ew.isinf(x), ew.isinf(y))
    top, bottom = (ew.where(both, ew.sign(v), v) for v in (top, bottom))
    origin = ew.equal(bottom, 0)
    t = arctan(ew.where(origin, 0.0, top) / ew.where(origin, 1.0, bottom))
    half = ew.where(signbit(y), -math.pi / 2, math.pi / 2)
    behind = ew.logical_and(signbit(x), ew.logical_not(steep))
    flat = ew.where(behind, 2 * half, 0.0)
    signed = ew.where(ew.logical_and(ew.equal(t, 0), signbit(y)), -ew.abs(t), t)
    odd = ew.logical_or(ew.isnan(x), ew.isnan(y))
    value = ew.where(steep, half + t, ew.where(behind, flat + t, signed))
    return ew.where(odd, math.nan, value)


@in_float32
def arcsin(x: Any) -> Any:
    """Inverse sine, in [-pi/2, pi/2]; NaN beyond |x| = 1."""
    x = as_float(x)
    return 2 * arctan(x / (1 + ew.sqrt((1 - x) * (1 + x))))


@in_float32
def arccos(x: Any) -> Any:
    """Inverse cosine, in [0, pi]; NaN beyond |x| = 1."""
    x = as_float(x)
    end = ew.equal(x, -1)
    inner = ew.where(end, 0.0, x)
    return ew.where(end, math.pi, 2 * arctan(ew.sqrt((1 - inner) / (1 + inner))))


def sinc(x: Any) -> Any:
    """sin(pi x) / (pi x), and 1 at 0."""
    z = as_float(x) * math.pi
    near = ew.less(ew.abs(z), 0.5)
    series = [(-1) ** k / math.factorial(2 * k + 1) for k in range(6)]
    small, far = ew.where(near, z, 0.0), ew.where(near, 1.0, z)
    return ew.where(near, horner(small * small, series), ew.sin(far) / far)


# --- hyperbolic -------------------------------------------------------------------------------


@in_float32
def sinh(x: Any) -> Any:
    """(exp(x) - exp(-x)) / 2, accurate near 0."""
    x = as_float(x)
    small = ew.less(ew.abs(x), 1)
    e = ew.expm1(ew.where(small, x, 0.0))
    root = ew.exp(ew.where(small, 1.0, x) * 0.5)
    return ew.where(small, 0.5 * (e + e / (e + 1)), 0.5 * root * root - 0.5 / root / root)


@in_float32
def cosh(x: Any) -> Any:
    """(exp(x) + exp(-x)) / 2."""
    x = as_float(x)
    root = ew.exp(x * 0.5)  # its square overflows no earlier than the result
    return 0.5 * root * root + 0.5 / root / root


@in_float32
def arcsinh(x: Any) -> Any:
    """Inverse hyperbolic sine."""
    x = as_float(x)
    size = ew.abs(x)
    large = ew.greater(size, _root_of_highest(x))
    s = ew.where(large, 1.0, size)
    value = ew.log1p(s + s * s / (1 + ew.sqrt(s * s + 1)))
    # Through the sign rather than |x|, whose derivative is 0 at 0.
    value = ew.where(large, ew.log(ew.where(large, size, 1.0)) + _LN2, value)
    tiny = ew.less(size, 1e-3)
    t = ew.where(tiny, x, 0.0)
    near = t * (1 - t * t / 6)
    return ew.where(tiny, near, ew.where(signbit(x), -value, value))


@in_float32
def arccosh(x: Any) -> Any:
    """Inverse hyperbolic cosine; NaN below 1."""
    x = as_float(x)
    large = ew.greater(x, _root_of_highest(x))
    t = ew.where(large, 1.0, x) - 1
    value = ew.log1p(t + ew.sqrt(t * (t + 2)))
    return ew.where(large, ew.log(ew.where(large, x, 1.0)) + _LN2, value)


@in_float32
def arctanh(x: Any) -> Any:
    """Inverse hyperbolic tangent; infinite at |x| = 1."""
    x = as_float(x)
    return 0.5 * (ew.log1p(x) - ew.log1p(ew.negative(x)))


def _root_of_highest(x: Any) -> float:
    """Beyond this x^2 may overflow, and 1 no longer counts beside it."""
    return float(np.sqrt(finfo(aval_of(x).dtype).max)) / 4


# --- powers and logarithms --------------------------------------------------------------------


@in_float32
def cbrt(x: Any) -> Any:
    """The real cube root."""
    x = as_float(x)
    size = ew.abs(x)
    special = ew.logical_or(ew.equal(size, 0), ew.logical_not(ew.isfinite(x)))
    safe = ew.where(special, 1.0, size)
    root = ew.exp(ew.log(safe) / 3)
    root = root - (root - safe / (root * root)) / 3  # one step of Newton's method
    return ew.where(special, x, ew.where(ew.less(x, 0), -root, root))


@in_float32
def hypot(x: Any, y: Any) -> Any:
    """sqrt(x^2 + y^2) without overflow; its derivative at the origin is taken as 0."""
    x, y = floats("hypot", x, y)
    a, b = ew.abs(x), ew.abs(y)
    large, small = ew.maximum(a, b), ew.minimum(a, b)
    plain = ew.logical_and(ew.isfinite(large), ew.not_equal(large, 0))
    ratio = ew.where(plain, small, 0.0) / ew.where(plain, large, 1.0)
    special = ew.where(ew.isinf(a), a, ew.where(ew.isinf(b), b, a + b))
    return ew.where(plain, large * ew.sqrt(1 + ratio * ratio), special)


@weak_as_operands
@in_float32
def logaddexp(x: Any, y: Any) -> Any:
    """log(exp(x) + exp(y)), without overflow."""
    x, y = floats("logaddexp", x, y)
    infinite = ew.logical_not(ew.logical_and(ew.isfinite(x), ew.isfinite(y)))
    a, b = (ew.where(infinite, 0.0, v) for v in (x, y))
    value = ew.maximum(a, b) + ew.log1p(ew.exp(ew.negative(ew.abs(a - b))))
    return ew.where(infinite, ew.maximum(x, y), value)


def logaddexp2(x: Any, y: Any) -> Any:
    """log2(2**x + 2**y), without overflow."""
    x, y = floats("logaddexp2", x, y)
    return logaddexp(x * _LN2, y * _LN2) / _LN2


def xlogy(x: Any, y: Any) -> Any:
    """x * log(y), and 0 where x is 0."""
    x, y = floats("xlogy", x, y)
    zero = ew.equal(x, 0)
    return ew.where(zero, 0.0, x * ew.log(ew.where(zero, 1.0, y)))


# --- the error function -----------------------------------------------------------------------

# erf(x) / x in powers of x^2 on |x| <= 1: Chebyshev fit, relative error 4e-11.
_ERF = (
    1.12837923, -0.37612638, 0.11283783, -0.02686544,
    0.00522105, -0.00084844, 0.00011268, -9.673592e-06,
)  # fmt: skip
# exp(x^2) erfc(x) / s in powers of s = 1 / (1 + x/2) * 1, for 1 <= x <= 10: relative error 3e-10.
_ERFC = (
    0.28209311, 0.2821407, 0.24630608, 0.17954583, 0.07284815,
    0.010797459, -0.033803474, -0.18755071, 0.21665388, -0.06920795,
)  # fmt: skip
# Giles, "Approximating the erfinv function" (2010), single precision: powers of w - 2.5 for
# w = -log(1 - x^2) < 5, and of sqrt(w) - 3 beyond.
_ERFINV_NEAR = (
    1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087,
    -4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08,
)  # fmt: skip
_ERFINV_FAR = (
    2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773,
    -0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257,
)  # fmt: skip


@in_float32
def erf(x: Any) -> Any:
    """The error function."""
    x = as_float(x)
    near = ew.less_equal(ew.abs(x), 1)
    tail = 1 - _erfc_tail(ew.where(near, 1.0, ew.abs(x)))
    return ew.where(near, _erf_near(x, near), ew.where(ew.less(x, 0), -tail, tail))


@in_float32
def erfc(x: Any) -> Any:
    """1 - erf(x), accurate for large x."""
    x = as_float(x)
    near = ew.less_equal(ew.abs(x), 1)
    tail = _erfc_tail(ew.where(near, 1.0, ew.abs(x)))
    return ew.where(near, 1 - _erf_near(x, near), ew.where(ew.less(x, 0), 2 - tail, tail))


def _erf_near(x: Any, near: Any) -> Any:
    safe = ew.where(near, x, 0.0)
    return safe * horner(safe * safe, _ERF)


def _erfc_tail(x: Any) -> Any:
    """erfc(x) for x >= 1; it underflows beyond 10."""
    x = ew.minimum(x, 10.2)
    s = 2 / (x + 2)
    # x^2 rounded would cost up to 50 units in the last place: the square of a part is exact.
    coarse = from_bits(ew.bitwise_and(bits_of(astype(x, f32)), 0xFFFFF000), f32)
    high = astype(coarse, aval_of(x).dtype)
    gauss = ew.exp(ew.negative(high * high)) * ew.exp((high - x) * (high + x))
    return gauss * s * horner(s, _ERFC)


@in_float32
def erf_inv(x: Any) -> Any:
    """The inverse of erf on (-1, 1); infinite at its ends."""
    x = as_float(x)
    end = ew.greater_equal(ew.abs(x), 1)
    inner = ew.where(end, 0.0, x)
    w = ew.negative(ew.log1p(ew.negative(inner * inner)))
    near = ew.less(w, 5)
    low = horner(ew.where(near, w, 0.0) - 2.5, _ERFINV_NEAR)
    high = horner(ew.sqrt(ew.where(near, 9.0, w)) - 3, _ERFINV_FAR)
    value = ew.where(near, low, high) * inner
    limit = ew.where(ew.less(x, 0), -math.inf, math.inf)
    beyond = ew.where(ew.greater(ew.abs(x), 1), math.nan, limit)
    return ew.where(end, astype(beyond, aval_of(x).dtype), value)


# exp(-|x|) I0(x) in powers of (x / 3.75)^2 below 3.75 (times exp(-|x|)) and of 3.75 / x above
# (over sqrt(x)): Abramowitz and Stegun, 9.8.1 and 9.8.2, errors 1.6e-7 and 1.9e-7.
_I0_NEAR = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813)
_I0_FAR = (
    0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281,
    -0.02057706, 0.02635537, -0.01647633, 0.00392377,
)  # fmt: skip


@in_float32
def i0(x: Any) -> Any:
    """The modified Bessel function of the first kind and order 0."""
    x = as_float(x)
    size = ew.abs(x)
    near = ew.less(size, 3.75)
    t = ew.where(near, x, 0.0) / 3.75
    far = ew.where(near, 3.75, size)
    root = ew.exp(far * 0.5)  # its square overflows no earlier than the result
    beyond = root * (root / ew.sqrt(far)) * horner(3.75 / far, _I0_FAR)
    return ew.where(near, horner(t * t, _I0_NEAR), beyond)


__all__ = [
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "cbrt",
    "cosh",
    "erf",
    "erf_inv",
    "erfc",
    "hypot",
    "i0",
    "logaddexp",
    "logaddexp2",
    "sinc",
    "sinh",
    "tan",
    "xlogy",
]
