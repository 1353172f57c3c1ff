"""Elementwise functions made of others, and curves through points.

Invariant: as in `elementwise`: operands become of one dtype, and functions that only floats have
take integers as float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import highest, lowest

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .counting import searchsorted
from .errors import located
from .operands import as_bool, as_float, promote_floats, same_dtype, same_floats
from .special import horner
from .staging import SCALARS, bind, filled, operand

# --- of one array -----------------------------------------------------------------------------


def positive(x: Any) -> Any:
    """x itself."""
    return operand(x)


def fabs(x: Any) -> Any:
    """|x| as a float."""
    return ew.abs(as_float(x))


def round(x: Any, decimals: int = 0) -> Any:
    """The nearest multiple of 10**-decimals, ties to even, of x's dtype."""
    if not decimals or not aval_of(operand(x)).dtype.is_float:
        return ew.round(x)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return ew.divide(ew.round(ew.multiply(x, scale)), scale)
    return ew.multiply(ew.round(ew.divide(x, scale)), scale)


def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return ew.multiply(as_float(x), math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return ew.multiply(as_float(x), 180 / math.pi)


def modf(x: Any) -> tuple[Any, Any]:
    """The fractional and the whole part, both with the sign of x."""
    x = as_float(x)
    whole = ew.trunc(x)
    rest = ew.where(ew.isinf(x), 0.0, ew.subtract(x, whole))
    return rest, whole


def isposinf(x: Any) -> Any:
    return ew.logical_and(ew.isinf(x), ew.greater(x, 0))


def isneginf(x: Any) -> Any:
    return ew.logical_and(ew.isinf(x), ew.less(x, 0))


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """NaN and infinities replaced by numbers, the infinities by the dtype's extremes by default."""
    x = operand(x)
    kind = aval_of(x).dtype
    if not kind.is_float:
        return x
    top, bottom = highest(kind), lowest(kind)
    x = ew.where(isposinf(x), top if posinf is None else posinf, x)
    x = ew.where(isneginf(x), bottom if neginf is None else neginf, x)
    return ew.where(ew.isnan(x), nan, x)


# --- of two arrays ----------------------------------------------------------------------------


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """(floor_divide(x, y), mod(x, y))."""
    return ew.floor_divide(x, y), ew.mod(x, y)


def float_power(x: Any, y: Any) -> Any:
    """x ** y in floats."""
    return bind("pow", *promote_floats("float_power", x, y))


def heaviside(x: Any, at_zero: Any) -> Any:
    """0 below 0, 1 above, `at_zero` there; NaN for NaN."""
    x, middle = promote_floats("heaviside", x, at_zero)
    step = ew.where(ew.less(x, 0), 0.0, ew.where(ew.equal(x, 0), middle, 1.0))
    return ew.where(ew.isnan(x), math.nan, step)


def fmax(x: Any, y: Any) -> Any:
    """The larger of two; the other one where one is NaN."""
    x, y = same_dtype("fmax", x, y)
    return ew.where(ew.isnan(x), y, ew.where(ew.isnan(y), x, ew.maximum(x, y)))


def fmin(x: Any, y: Any) -> Any:
    """The smaller of two; the other one where one is NaN."""
    x, y = same_dtype("fmin", x, y)
    return ew.where(ew.isnan(x), y, ew.where(ew.isnan(y), x, ew.minimum(x, y)))


def ldexp(x: Any, n: Any) -> Any:
    """x * 2**n for integers n."""
    return ew.multiply(as_float(x), ew.exp2(ew.trunc(as_float(n))))


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds, else `default`."""
    if len(condlist) != len(choicelist) or not condlist:
        raise located(
            ValueError,
            f"select needs as many conditions as choices, got {len(condlist)}, {len(choicelist)}",
        )
    out = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        out = ew.where(as_bool(condition), choice, out)
    return out


# --- curves -----------------------------------------------------------------------------------


def polyval(p: Any, x: Any) -> Any:
    """p[0] x^(n-1) + ... + p[n-1] by Horner's rule."""
    x = x if isinstance(x, SCALARS) else operand(x)
    if isinstance(p, (list, tuple)) and p:
        return horner(operand(x), list(p)[::-1])
    p = operand(p)
    count = aval_of(p).shape[0]
    total = p[0] if count else filled(0, aval_of(p).dtype)
    for i in range(1, count):
        total = ew.add(ew.multiply(total, x), p[i])
    return shaping.broadcast_to(total, np.broadcast_shapes(aval_of(total).shape, np.shape(x)))


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """The line through the points (xp, fp), xp rising; `left` and `right` of them constant."""
    x, xp, fp = same_floats("interp", x, xp, fp)
    n = aval_of(xp).shape[0]
    if n == 0 or aval_of(fp).shape != (n,):
        raise located(
            ValueError,
            f"interp needs vectors of one size, got {aval_of(xp).shape} and {aval_of(fp).shape}",
        )
    above = ew.clip(searchsorted(xp, x, "right"), min(1, n - 1), n - 1)
    below = ew.maximum(above - 1, 0)
    x0, x1, f0, f1 = (bind("take", v, i) for v in (xp, fp) for i in (below, above))
    flat = ew.equal(x0, x1)
    slope = ew.where(flat, 0.0, (f1 - f0) / ew.where(flat, 1.0, x1 - x0))
    inside = f0 + slope * (x - x0)
    out = ew.where(ew.less(x, xp[0]), fp[0] if left is None else left, inside)
    return ew.where(ew.greater(x, xp[n - 1]), fp[n - 1] if right is None else right, out)


def convolve(a: Any, v: Any, mode: str = "full") -> Any:
    """out[k] = sum over j of a[k - j] v[j] for vectors; "full", "same" (size of a), "valid"."""
    a, v = same_dtype("convolve", operand(a), operand(v))
    if aval_of(a).ndim != 1 or aval_of(v).ndim != 1 or not (aval_of(a).size and aval_of(v).size):
        raise located(ValueError, "convolve needs two vectors that are not empty")
    if mode not in ("full", "same", "valid"):
        raise located(ValueError, f"convolve has modes full, same and valid, got {mode!r}")
    a, v = (v, a) if aval_of(v).size > aval_of(a).size else (a, v)
    n, m = aval_of(a).size, aval_of(v).size
    full = _windows_dot(a, v, n, m)
    start = {"full": 0, "same": (m - 1) // 2, "valid": m - 1}[mode]
    count = {"full": n + m - 1, "same": n, "valid": n - m + 1}[mode]
    return shaping.slice_axis(full, 0, start, start + count)


def _windows_dot(a: Any, v: Any, n: int, m: int) -> Any:
    """All n + m - 1 products of `v` with windows of `a`.

    Rows of `a` and zeros, of length n + m, read as rows one shorter: each starts one place later.
    """
    from .contraction import einsum

    longer = bind("pad", a, low=(0,), high=(m,), interior=(0,), value=0)
    rows = shaping.broadcast_to(longer, (m, n + m))
    flat = shaping.slice_axis(shaping.ravel(rows), 0, 0, m * (n + m - 1))
    return einsum("j,jk->k", v, shaping.reshape(flat, (m, n + m - 1)))


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """`convolve` of `a` with `v` reversed."""
    a, v = operand(a), operand(v)
    if aval_of(a).size >= aval_of(v).size:
        return convolve(a, shaping.flip(v), mode)
    return shaping.flip(convolve(shaping.flip(a), v, mode))


__all__ = [
    "convolve",
    "correlate",
    "deg2rad",
    "divmod",
    "fabs",
    "float_power",
    "fmax",
    "fmin",
    "heaviside",
    "interp",
    "isneginf",
    "isposinf",
    "ldexp",
    "modf",
    "nan_to_num",
    "polyval",
    "positive",
    "rad2deg",
    "round",
    "select",
]
