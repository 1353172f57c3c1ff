"""Curves: polynomials, lines through points, convolutions of sequences, angles that go on.

Invariant: as in `elementwise`: operands become of one dtype.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .counting import searchsorted
from .elementwise import horner
from .errors import located
from .operands import astype, same_dtype, same_floats
from .sorting import argsort
from .staging import SCALARS, bind, filled, operand
from .statistics import diff


def polyval(p: Any, x: Any, *, unroll: int = 16) -> Any:
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


def interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Any:
    """The line through the points (xp, fp), xp rising; `left` and `right` of them constant.

    "extrapolate" in place of a constant goes on along the last piece. With a `period` the points
    may be in any order and go round.
    """
    x, xp, fp = same_floats("interp", x, xp, fp)
    if aval_of(xp).ndim != 1 or aval_of(fp).shape != aval_of(xp).shape:
        raise located(ValueError, "xp and fp must be one-dimensional arrays of equal size")
    if period is not None:
        x, xp, fp = _periodic(x, xp, fp, period)
    n = aval_of(xp).shape[0]
    above = ew.clip(searchsorted(xp, x, "right"), min(1, n - 1), n - 1)
    below = ew.maximum(above - 1, 0)
    x0, x1, f0, f1 = (bind("take", v, i) for v in (xp, fp) for i in (below, above))
    flat = ew.equal(x0, x1)
    run = ew.where(flat, 1.0, ew.subtract(x1, x0))
    slope = ew.where(flat, 0.0, ew.divide(ew.subtract(f1, f0), run))
    out = ew.add(f0, ew.multiply(slope, ew.subtract(x, x0)))
    if period is not None:
        return out
    ends = (ew.less(x, xp[0]), left, fp[0]), (ew.greater(x, xp[n - 1]), right, fp[n - 1])
    for beyond, given, end in ends:
        if not isinstance(given, str):
            out = ew.where(beyond, end if given is None else given, out)
        elif given != "extrapolate":
            raise located(
                ValueError, f"the only valid string value is 'extrapolate', got {given!r}"
            )
    return out


def _periodic(x: Any, xp: Any, fp: Any, period: Any) -> tuple[Any, Any, Any]:
    """Everything within one period, and a point on either side of it."""
    period = ew.abs(period)
    x, xp = ew.mod(x, period), ew.mod(xp, period)
    order = argsort(xp)
    xp, fp = (bind("take", v, order) for v in (xp, fp))
    wide = [ew.subtract(xp[-1:], period), xp, ew.add(xp[:1], period)]
    return x, shaping.concatenate(wide, 0), shaping.concatenate([fp[-1:], fp, fp[:1]], 0)


def convolve(
    a: Any,
    v: Any,
    mode: str = "full",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """out[k] = sum over j of a[k - j] v[j] for vectors; "full", "same" (size of a), "valid"."""
    a, v = (operand(x, "convolve", i) for i, x in enumerate((a, v)))
    if preferred_element_type is not None:
        a, v = astype(a, preferred_element_type), astype(v, preferred_element_type)
    a, v = same_dtype("convolve", a, v)
    if aval_of(a).ndim != 1 or aval_of(v).ndim != 1 or not (aval_of(a).size and aval_of(v).size):
        raise located(ValueError, "convolve() only support 1-dimensional inputs that are not empty")
    if mode not in ("full", "same", "valid"):
        raise located(ValueError, f"convolve has modes full, same and valid, got {mode!r}")
    a, v = (v, a) if aval_of(v).size > aval_of(a).size else (a, v)
    m = aval_of(v).size
    low = {"full": m - 1, "same": m // 2, "valid": 0}[mode]
    high = {"full": m - 1, "same": (m - 1) // 2, "valid": 0}[mode]
    one, slide = (1,), {"spec": "h,h->h", "spatial": "h", "low": (low,), "high": (high,)}
    return bind("conv", a, shaping.flip(v), strides=one, x_steps=one, w_steps=one, **slide)


def correlate(
    a: Any,
    v: Any,
    mode: str = "valid",
    *,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """`convolve` of `a` with `v` reversed."""
    a, v = operand(a), operand(v)
    kind = {"preferred_element_type": preferred_element_type}
    if aval_of(a).size >= aval_of(v).size:
        return convolve(a, shaping.flip(v), mode, **kind)
    return shaping.flip(convolve(shaping.flip(a), v, mode, **kind))


def unwrap(
    p: Any, discont: float | None = None, axis: int = -1, period: float = 2 * math.pi
) -> Any:
    """Angles along `axis` that go on over the period where they jump by more than `discont`."""
    p = same_dtype("unwrap", operand(p), period)[0]
    whole = aval_of(p).dtype.is_integer
    half = period // 2 if whole else period / 2
    jump = diff(p, axis=axis)
    short = ew.subtract(ew.mod(ew.add(jump, half), period), half)
    up = ew.logical_and(ew.equal(short, -half), ew.greater(jump, 0))
    short = ew.where(up, half, short)
    small = ew.less(ew.abs(jump), period / 2 if discont is None else discont)
    shift = red.cumsum(ew.where(small, 0, ew.subtract(short, jump)), axis)
    at = shaping.canonical_axis(axis, aval_of(p).ndim)
    n = aval_of(p).shape[at]
    if n < 2:
        return p
    first, rest = (shaping.slice_axis(p, at, *ends) for ends in ((0, 1), (1, n)))
    return shaping.concatenate([first, astype(ew.add(rest, shift), aval_of(p).dtype)], at)


__all__ = ["convolve", "correlate", "interp", "polyval", "unwrap"]
