"""Functions of mathematics and statistics under scipy's names.

Invariant: integers are taken as float32; every function is differentiable in its float arguments
wherever it is smooth.
"""

# ruff: noqa: F401 - the imported names are the interface

from __future__ import annotations

import math
from typing import Any

from .. import elementwise as ew
from ..errors import located
from ..gamma import bessel_i0e as i0e
from ..gamma import bessel_i1e as i1e
from ..gamma import digamma, polygamma, zeta
from ..gamma import lgamma as gammaln
from ..nn.softmax import log_softmax, logsumexp, softmax
from ..operands import as_float, promote_floats
from ..special import erf, erfc, xlogy
from ..special import erf_inv as erfinv

psi = digamma


def expit(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return ew.logistic(as_float(x))


def logit(x: Any) -> Any:
    """log(x / (1 - x))."""
    x = as_float(x)
    return ew.log(x / (1 - x))


def xlog1py(x: Any, y: Any) -> Any:
    """x * log(1 + y), and 0 where x is 0."""
    x, y = promote_floats("xlog1py", x, y)
    zero = ew.equal(x, 0)
    return ew.where(zero, 0.0, x * ew.log1p(ew.where(zero, 0.0, y)))


def entr(x: Any) -> Any:
    """-x * log(x), 0 at 0 and -infinity below."""
    x = as_float(x)
    inside = ew.greater(x, 0)
    value = ew.negative(x * ew.log(ew.where(inside, x, 1.0)))
    return ew.where(ew.less(x, 0), -math.inf, ew.where(inside, value, 0.0))


def rel_entr(p: Any, q: Any) -> Any:
    """p * log(p / q) for positive numbers, 0 where p is 0 and q is not negative, else infinite."""
    p, q = promote_floats("rel_entr", p, q)
    both = ew.logical_and(ew.greater(p, 0), ew.greater(q, 0))
    zero = ew.logical_and(ew.equal(p, 0), ew.greater_equal(q, 0))
    value = p * ew.log(ew.where(both, p, 1.0) / ew.where(both, q, 1.0))
    return ew.where(both, value, ew.where(zero, 0.0, math.inf))


def kl_div(p: Any, q: Any) -> Any:
    """`rel_entr` - p + q."""
    p, q = promote_floats("kl_div", p, q)
    return rel_entr(p, q) - p + q


def i0(x: Any) -> Any:
    """The modified Bessel function of order 0."""
    x = as_float(x)
    return ew.exp(ew.abs(x)) * i0e(x)


def i1(x: Any) -> Any:
    """The modified Bessel function of order 1."""
    x = as_float(x)
    return ew.exp(ew.abs(x)) * i1e(x)


def gamma(x: Any) -> Any:
    """The gamma function; NaN at negative integers."""
    x = as_float(x)
    odd = ew.not_equal(ew.mod(ew.floor(x), 2.0), 0)
    negative = ew.logical_and(ew.less(x, 0), odd)
    size = ew.exp(gammaln(x))
    value = ew.where(negative, ew.negative(size), size)
    pole = ew.logical_and(ew.less(x, 0), ew.equal(x, ew.floor(x)))
    return ew.where(pole, math.nan, value)


def factorial(n: Any, exact: bool = False) -> Any:
    """n! by the gamma function; 0 for negative n. Raises ValueError for `exact`."""
    if exact:
        raise located(ValueError, "factorial is computed in floats; use math.factorial for `exact`")
    n = as_float(n)
    return ew.where(ew.less(n, 0), 0.0, ew.exp(gammaln(n + 1)))


def betaln(a: Any, b: Any) -> Any:
    """log of the beta function, for positive numbers."""
    a, b = promote_floats("betaln", a, b)
    return gammaln(a) + gammaln(b) - gammaln(a + b)


def beta(a: Any, b: Any) -> Any:
    """gamma(a) gamma(b) / gamma(a + b), for positive numbers."""
    return ew.exp(betaln(a, b))


def multigammaln(a: Any, d: int) -> Any:
    """log of the gamma function of d dimensions, a > (d - 1) / 2."""
    a = as_float(a)
    total: Any = 0.25 * d * (d - 1) * math.log(math.pi)
    for j in range(int(d)):
        total = gammaln(a - 0.5 * j) + total
    return total


# --- the normal distribution ------------------------------------------------------------------


def ndtr(x: Any) -> Any:
    """P(N(0, 1) <= x)."""
    x = as_float(x)
    return 0.5 * erfc(x * -math.sqrt(0.5))


def ndtri(p: Any) -> Any:
    """The x of which `ndtr` is p."""
    p = as_float(p)
    return math.sqrt(2) * erfinv(2 * p - 1)


__all__ = """
    beta betaln digamma entr erf erfc erfinv expit factorial gamma gammaln i0 i0e i1 i1e kl_div
    log_softmax logit logsumexp multigammaln ndtr ndtri polygamma psi rel_entr softmax xlog1py
    xlogy zeta
""".split()
