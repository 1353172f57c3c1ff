"""Polynomials as vectors of coefficients, the highest power first.

Invariant: sizes of results follow from the sizes of operands alone; zeros in front are kept unless
asked for outside of a trace.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ir.dtypes import f32, finfo

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import matmul
from .creation import asarray
from .curves import convolve
from .editing import trim_zeros
from .errors import located
from .factorizations import inv
from .operands import as_float, astype, same_dtype
from .pseudoinverse import lstsq
from .staging import filled, operand


def _size(p: Any) -> int:
    return aval_of(p).shape[0]


def _sum(name: str, combine: Any, a1: Any, a2: Any) -> Any:
    a, b = same_dtype(name, operand(a1), operand(a2))
    size = max(_size(a), _size(b))
    a, b = (shaping.pad(p, ((size - _size(p), 0),)) for p in (a, b))
    return combine(a, b)


def polyadd(a1: Any, a2: Any) -> Any:
    """The sum of two polynomials."""
    return _sum("polyadd", ew.add, a1, a2)


def polysub(a1: Any, a2: Any) -> Any:
    """The difference of two polynomials."""
    return _sum("polysub", ew.subtract, a1, a2)


def polymul(a1: Any, a2: Any, *, trim_leading_zeros: bool = False) -> Any:
    """The product of two polynomials."""
    a, b = same_dtype("polymul", as_float(a1), as_float(a2))
    if trim_leading_zeros and max(_size(a), _size(b)) > 1:
        a, b = trim_zeros(a, "f"), trim_zeros(b, "f")
    a, b = (p if _size(p) else filled(0, aval_of(p).dtype, (1,)) for p in (a, b))
    return convolve(a, b, "full")


def polyfit(
    x: Any,
    y: Any,
    deg: int,
    rcond: float | None = None,
    full: bool = False,
    w: Any = None,
    cov: bool | str = False,
) -> Any:
    """Coefficients of the polynomial of degree `deg` with the least squares of (p(x) - y) * w.

    x is [n], y [n] or [n, k]. With `full` (coefficients, squared residuals, rank, singular values,
    rcond); with `cov` (coefficients, their covariance), not scaled by the residuals if "unscaled".
    """
    x, y = same_dtype("polyfit", as_float(x), as_float(y))
    if deg < 0:
        raise located(ValueError, "expected deg >= 0")
    if aval_of(x).ndim != 1 or not _size(x):
        raise located(TypeError, f"expected a vector with elements for x, got {aval_of(x).shape}")
    if aval_of(y).ndim not in (1, 2) or _size(y) != _size(x):
        shapes = f"{aval_of(x).shape} and {aval_of(y).shape}"
        raise located(
            TypeError, f"expected x and y to have same length, y of 1 or 2 axes: {shapes}"
        )
    powers, single = vander(x, deg + 1), aval_of(y).ndim == 1
    if w is not None:
        weights = shaping.expand_dims(astype(w, aval_of(x).dtype), -1)
        powers = ew.multiply(powers, weights)
        y = ew.multiply(y, shaping.squeeze(weights, -1) if single else weights)
    scale = ew.sqrt(red.sum(ew.square(powers), 0))
    powers = ew.divide(powers, scale)
    rcond = _size(x) * float(np.finfo(np.float32).eps) if rcond is None else rcond
    p, residuals, rank, s = lstsq(powers, y, rcond)
    p = ew.divide(p, scale if single else shaping.expand_dims(scale, -1))
    if full:
        return p, residuals, rank, s, rcond
    return (p, _covariance(powers, scale, residuals, single, cov)) if cov else p


def _covariance(powers: Any, scale: Any, residuals: Any, single: bool, cov: bool | str) -> Any:
    base = inv(matmul(shaping.swapaxes(powers, 0, 1), powers))
    base = ew.divide(base, ew.multiply(shaping.expand_dims(scale, 1), scale))
    if cov == "unscaled":
        return base
    count, order = aval_of(powers).shape
    if count <= order:
        text = "the number of data points must exceed order to scale the covariance matrix"
        raise located(ValueError, text)
    factor = ew.divide(residuals, float(count - order))
    return ew.multiply(base if single else shaping.expand_dims(base, -1), factor)


def polydiv(u: Any, v: Any, *, trim_leading_zeros: bool = False) -> tuple[Any, Any]:
    """(quotient, remainder) by long division; the remainder has the size of `u`."""
    u, v = same_dtype("polydiv", as_float(u), as_float(v))
    n, m = _size(u), _size(v)
    quotient = []
    for k in range(n - m + 1):
        quotient.append(ew.divide(u[k], v[0]))
        step = shaping.pad(ew.multiply(quotient[-1], v), ((k, n - m - k),))
        u = ew.subtract(u, step)
    q = shaping.stack(quotient) if quotient else filled(0, aval_of(u).dtype, (1,))
    if trim_leading_zeros:
        small = ew.less(ew.abs(u), float(np.sqrt(finfo(aval_of(u).dtype).eps)))
        u = trim_zeros(ew.where(small, 0.0, u), "f")
    return q, u


def polyder(p: Any, m: int = 1) -> Any:
    """The m-th derivative."""
    p = as_float(p)
    if m < 0:
        raise located(ValueError, "Order of derivative must be positive")
    n = _size(p)
    if m == 0:
        return p
    factors = [float(prod(range(k - m + 1, k + 1))) for k in range(n - 1, m - 1, -1)]
    kept = shaping.slice_axis(p, 0, 0, len(factors))
    return ew.multiply(kept, astype(np.float32(factors), aval_of(p).dtype))


def polyint(p: Any, m: int = 1, k: Any = None) -> Any:
    """The m-th integral, with constants `k`: one for all, or m, the first integral's first."""
    p = as_float(p)
    if m < 0:
        raise located(ValueError, "Order of integral must be positive (see polyder)")
    if m == 0:
        return p
    constants = shaping.ravel(asarray(0.0 if k is None else k, aval_of(p).dtype))
    if _size(constants) not in (1, m):
        raise located(ValueError, "k must be a scalar or a rank-1 array of length 1 or m.")
    constants = shaping.broadcast_to(constants, (m,))
    n = _size(p) + m
    divisors = [float(prod(max(i - j, 1) for j in range(m))) for i in range(n - 1, -1, -1)]
    joined = shaping.concatenate([p, constants], 0)
    return ew.divide(joined, astype(np.float32(divisors), aval_of(p).dtype))


def poly(seq_of_zeros: Any) -> Any:
    """The polynomial with these zeros and leading coefficient 1.

    Raises ValueError for matrices, whose eigenvalues would be needed.
    """
    zeros = shaping.ravel(as_float(seq_of_zeros))
    if aval_of(operand(seq_of_zeros)).ndim > 1:
        raise located(ValueError, "poly takes a vector of zeros; eigenvalues are not computed")
    kind = aval_of(zeros).dtype
    out = filled(1, kind, () if not _size(zeros) else (1,))
    for i in range(_size(zeros)):
        one = filled(1, kind, (1,))
        root = ew.negative(shaping.slice_axis(zeros, 0, i, i + 1))
        out = convolve(out, shaping.concatenate([one, root], 0))
    return out


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """[n, N]: the powers N - 1 to 0 (or 0 to N - 1) of a vector, one row an element."""
    x = operand(x, "vander")
    if aval_of(x).ndim != 1:
        raise located(ValueError, "x must be a one-dimensional array")
    count = aval_of(x).shape[0] if N is None else N
    if count < 0:
        raise located(ValueError, "N must be nonnegative")
    powers, last = [filled(1, aval_of(x).dtype, aval_of(x).shape)], None
    while len(powers) < count:
        last = x if last is None else ew.multiply(last, x)
        powers.append(last)
    if not count:
        return filled(0, aval_of(x).dtype, (aval_of(x).shape[0], 0))
    return shaping.stack(powers if increasing else powers[::-1], 1)


# --- windows ----------------------------------------------------------------------------------


def _window(name: str) -> Any:
    def window(M: int) -> Any:
        return operand(getattr(np, name)(M).astype(f32.np))

    window.__name__ = window.__qualname__ = name
    window.__doc__ = f"The {name} window of M points, float32."
    return window


bartlett, blackman = _window("bartlett"), _window("blackman")
hamming, hanning = _window("hamming"), _window("hanning")


def kaiser(M: int, beta: Any) -> Any:
    """The Kaiser window of M points, float32; `beta` may be traced."""
    from .special import i0

    place = np.linspace(-1, 1, M) if M > 1 else np.zeros(M)
    beta = as_float(beta)
    inside = astype(np.float32(np.sqrt(np.maximum(1 - place**2, 0))), aval_of(beta).dtype)
    return ew.divide(i0(ew.multiply(beta, inside)), i0(beta))


__all__ = [
    "bartlett",
    "blackman",
    "hamming",
    "hanning",
    "kaiser",
    "poly",
    "polyadd",
    "polyder",
    "polydiv",
    "polyfit",
    "polyint",
    "polymul",
    "polysub",
    "vander",
]
