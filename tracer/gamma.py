"""The gamma function, its relatives and the modified Bessel functions of orders 0 and 1.

Invariant: as in `tracer.special`, a few units in the last place of float32, and differentiating a
formula gives its derivative to about 1e-6; arguments that a branch does not serve are replaced, so
no NaN of theirs reaches a gradient.
"""

from __future__ import annotations

import math
from typing import Any

from . import elementwise as ew
from .array import aval_of
from .elementwise import horner
from .operands import as_float, astype, promote_floats

_SHIFTS = 6  # steps of 1 that bring 8 below 2

# lgamma(x) / ((x - 1)(x - 2)) on [1, 2] in powers of 2x - 3: Chebyshev fit, relative error 5e-09.
_LGAMMA = (
    0.483128952, -0.072979951, 0.015727762, -0.0039135, 0.001050513, -0.000294887,
    8.32068534e-05, -2.43471893e-05, 9.56350058e-06, -2.97939752e-06,
)  # fmt: skip
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680)
_DIGAMMA = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132)
# B(2j) / (2j)! for the tail of a sum by Euler and Maclaurin.
_TAIL = (1 / 12, -1 / 720, 1 / 30240, -1 / 1209600, 1 / 47900160)
_TERMS = 9


def lgamma(x: Any) -> Any:
    """log |gamma(x)|; infinite at 0 and at negative integers."""
    x = as_float(x)
    low = ew.less(x, 0.5)
    value = _lgamma(ew.where(low, 1 - x, x))
    turn = _from_integer(x)
    pole = ew.logical_and(low, ew.equal(turn, 0))
    height = ew.log(math.pi / ew.sin(ew.where(low, ew.where(pole, 0.5, turn), 0.5) * math.pi))
    value = ew.where(low, height - value, value)
    return ew.where(ew.logical_or(pole, ew.isinf(x)), math.inf, value)


def _from_integer(x: Any) -> Any:
    """How far x is from the nearest integer."""
    over = x - ew.floor(x)
    return ew.minimum(over, 1 - over)


def _lgamma(x: Any) -> Any:
    """For x >= 0.5."""
    large = ew.greater(x, 8)
    z = ew.where(large, 1.5, x)
    product = ew.where(ew.less(z, 1), 1 / z, 1.0)
    z = ew.where(ew.less(z, 1), z + 1, z)
    for _ in range(_SHIFTS):
        above = ew.greater(z, 2)
        z = ew.where(above, z - 1, z)
        product = ew.where(above, product * z, product)
    small = ew.log(product) + (z - 1) * (z - 2) * horner(2 * z - 3, _LGAMMA)
    y = ew.where(large, x, 8.0)
    series = horner(1 / (y * y), _STIRLING) / y
    far = (y - 0.5) * (ew.log(y) - 1) + (series + (0.5 * math.log(2 * math.pi) - 0.5))
    return ew.where(large, far, small)


def digamma(x: Any) -> Any:
    """The derivative of lgamma; NaN at 0 and at negative integers."""
    x = as_float(x)
    low = ew.less(x, 0.5)
    value = _digamma(ew.where(low, 1 - x, x))
    over = x - ew.floor(x)
    pole = ew.logical_and(low, ew.equal(over, 0))
    turn = ew.where(ew.greater(over, 0.5), over - 1, over)
    angle = ew.where(low, ew.where(pole, 0.25, turn), 0.25) * math.pi
    value = ew.where(low, value - math.pi * ew.cos(angle) / ew.sin(angle), value)
    return ew.where(pole, math.nan, value)


def _digamma(x: Any) -> Any:
    """For x >= 0.5."""
    total: Any = 0.0
    for _ in range(_SHIFTS):
        below = ew.less(x, _SHIFTS)
        total = total + ew.where(below, 1 / ew.where(below, x, 1.0), 0.0)
        x = ew.where(below, x + 1, x)
    square = 1 / (x * x)
    return ew.log(x) - total - 0.5 / x - square * horner(square, _DIGAMMA)


def zeta(x: Any, q: Any) -> Any:
    """The sum over k >= 0 of 1 / (q + k)^x for x > 1 and q > 0, by Euler and Maclaurin.

    Infinite at x = 1, NaN below that and for q <= 0.
    """
    x, q = promote_floats("zeta", x, q)
    bad = ew.logical_or(ew.less(x, 1), ew.less_equal(q, 0))
    one = ew.equal(x, 1)
    s = ew.where(ew.logical_or(bad, one), 2.0, x)
    a = ew.where(bad, 1.0, q)
    total = ew.power(a, -s)
    for k in range(1, _TERMS):
        total = total + ew.power(a + k, -s)
    end = a + _TERMS
    last = ew.power(end, -s)
    total = total + last * end / (s - 1) + 0.5 * last
    factor = s * last / end
    for j, weight in enumerate(_TAIL):
        total = total + weight * factor
        factor = factor * (s + 2 * j + 1) * (s + 2 * j + 2) / (end * end)
    return ew.where(bad, math.nan, ew.where(one, math.inf, total))


def polygamma(n: Any, x: Any) -> Any:
    """The n-th derivative of digamma for x > 0; n is a whole number, of x's dtype if an array."""
    n, x = promote_floats("polygamma", n, x)
    first = ew.equal(n, 0)
    order = ew.where(first, 1.0, n)
    size = ew.exp(lgamma(order + 1)) * zeta(order + 1, x)
    even = ew.equal(order, 2 * ew.floor(order * 0.5))
    return ew.where(first, digamma(x), ew.where(even, -size, size))


# --- Bessel functions -------------------------------------------------------------------------

# exp(-x) I(x) on [0, 8] in powers of x / 4 - 1 (of order 1 divided by x), and times sqrt(x) beyond
# in powers of 16 / x - 1: Chebyshev fits, relative errors below 1e-7.
_I0_NEAR = (
    0.207001924, -0.113004336, 0.094515216, -0.089042875, 0.087354296, -0.084973244,
    0.079165004, -0.069463289, 0.057333983, -0.043317893, 0.028607962, -0.018857355,
    0.014528302, -0.008018237, 0.001227721, -0.000754895, 0.001981479, -0.000851984,
)  # fmt: skip
_I0_FAR = (
    0.402176513, 0.003360556, 0.000136156, 1.11121483e-05, 1.63913487e-06, 3.62667038e-07,
)  # fmt: skip
_I1_NEAR = (
    0.04468771, -0.061124339, 0.068057543, -0.068482533, 0.063768896, -0.055281313, 0.044659437,
    -0.033661283, 0.023762642, -0.015614301, 0.0093674, -0.005427421, 0.00336142, -0.001698594,
    0.000411442, -0.000202627, 0.000307414, -0.000123683,
)  # fmt: skip
_I1_FAR = (
    0.389398455, -0.009749581, -0.000219168, -1.50039655e-05, -2.00978899e-06, -4.21035015e-07,
)  # fmt: skip


def bessel_i0e(x: Any) -> Any:
    """exp(-|x|) I0(x)."""
    x = as_float(x)
    near, far = _parts(x)
    low = horner(near / 4 - 1, _I0_NEAR)
    return ew.where(ew.less(ew.abs(x), 8), low, horner(16 / far - 1, _I0_FAR) * ew.rsqrt(far))


def bessel_i1e(x: Any) -> Any:
    """exp(-|x|) I1(x)."""
    x = as_float(x)
    near, far = _parts(x)
    sign = astype(ew.sign(x), aval_of(x).dtype)
    low = x * horner(near / 4 - 1, _I1_NEAR)
    high = sign * horner(16 / far - 1, _I1_FAR) * ew.rsqrt(far)
    return ew.where(ew.less(ew.abs(x), 8), low, high)


def _parts(x: Any) -> tuple[Any, Any]:
    """|x| where it is below 8, and where it is not."""
    size = ew.abs(x)
    near = ew.less(size, 8)
    return ew.where(near, size, 4.0), ew.where(near, 16.0, size)


__all__ = ["bessel_i0e", "bessel_i1e", "digamma", "lgamma", "polygamma", "zeta"]
