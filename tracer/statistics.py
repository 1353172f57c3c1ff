"""Running combinations along an axis, statistics that skip NaN, and other summaries.

Invariant: nothing is gathered or compared that a view or a select expresses, so every function has
the derivative its formula has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.dtypes import bool_, i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .errors import located
from .operands import as_bool, as_float, astype
from .special import logaddexp
from .staging import operand

# --- running ----------------------------------------------------------------------------------


def running(combine: Callable, x: Any, axis: int | None, reverse: bool = False) -> Any:
    """x[0], combine(x[0], x[1]), ... along `axis` (None: flattened), in log2(n) passes."""
    x = operand(x)
    x = astype(x, i32) if aval_of(x).dtype is bool_ else x
    x = shaping.ravel(x) if axis is None else x
    at = shaping.canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    x = shaping.flip(x, at) if reverse else x
    n, shift = aval_of(x).shape[at], 1
    while shift < n:
        before, after = (
            shaping.slice_axis(x, at, lo, hi) for lo, hi in ((0, n - shift), (shift, n))
        )
        kept = shaping.slice_axis(x, at, 0, shift)
        x = shaping.concatenate([kept, combine(before, after)], at)
        shift *= 2
    return shaping.flip(x, at) if reverse else x


def cumprod(x: Any, axis: int | None = None) -> Any:
    """Running products along `axis` (default: of the flattened array)."""
    return running(ew.multiply, x, axis)


def running_sum(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """lax.cumsum."""
    return running(ew.add, x, axis, reverse)


def running_product(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """lax.cumprod."""
    return running(ew.multiply, x, axis, reverse)


def cummax(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The largest so far along `axis`."""
    return running(ew.maximum, x, axis, reverse)


def cummin(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """The smallest so far along `axis`."""
    return running(ew.minimum, x, axis, reverse)


def cumlogsumexp(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    """log of the running sum of exp along `axis`."""
    return running(logaddexp, as_float(x), axis, reverse)


def diff(x: Any, n: int = 1, axis: int = -1) -> Any:
    """Differences of neighbours along `axis`, `n` times."""
    x = operand(x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    change = ew.not_equal if aval_of(x).dtype is bool_ else ew.subtract
    for _ in range(n):
        size = aval_of(x).shape[at]
        if size == 0:
            break
        x = change(shaping.slice_axis(x, at, 1, size), shaping.slice_axis(x, at, 0, size - 1))
    return x


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral along `axis` by the trapezoidal rule, at places `x` or `dx` apart."""
    y = shaping.moveaxis(as_float(y), axis, -1)
    n = aval_of(y).shape[-1]
    widths = dx
    if x is not None:
        x = as_float(x)
        widths = diff(shaping.moveaxis(x, axis, -1) if aval_of(x).ndim > 1 else x)
    heights = ew.add(y[..., 1:], y[..., : n - 1])
    return red.sum(ew.multiply(heights, widths), -1) * 0.5


# --- without NaN ------------------------------------------------------------------------------


def _filled(x: Any, value: float) -> tuple[Any, Any]:
    """Floats with NaN replaced, and which of them are numbers."""
    x = operand(x)
    if not aval_of(x).dtype.is_float:
        return x, ew.equal(x, x)
    odd = ew.isnan(x)
    return ew.where(odd, value, x), ew.logical_not(odd)


def nansum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum of the elements that are not NaN."""
    return red.sum(_filled(x, 0.0)[0], axis, keepdims)


def nanprod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product of the elements that are not NaN."""
    return red.prod(_filled(x, 1.0)[0], axis, keepdims)


def _counted(there: Any, axis: Any, keepdims: bool, like: Any) -> Any:
    return astype(red.sum(there, axis, keepdims), aval_of(like).dtype)


def nanmean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Mean of the elements that are not NaN; NaN if there is none."""
    x, there = _filled(as_float(x), 0.0)
    return red.sum(x, axis, keepdims) / _counted(there, axis, keepdims, x)


def nanvar(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Variance of the elements that are not NaN; NaN unless there are more than `ddof`."""
    x, there = _filled(as_float(x), 0.0)
    count = _counted(there, axis, True, x)
    mean = red.sum(x, axis, True) / ew.maximum(count, 1.0)
    squares = red.sum(ew.where(there, ew.square(ew.subtract(x, mean)), 0.0), axis, keepdims)
    left = _counted(there, axis, keepdims, x) - ddof
    enough = ew.greater(left, 0)
    return ew.where(enough, squares / ew.where(enough, left, 1.0), float("nan"))


def nanstd(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Square root of `nanvar`."""
    return ew.sqrt(nanvar(x, axis, ddof, keepdims))


def _nan_extremum(reduce: Callable, worst: float, x: Any, axis: Any, keepdims: bool) -> Any:
    x, there = _filled(x, worst)
    out = reduce(x, axis, keepdims)
    if not aval_of(x).dtype.is_float:
        return out
    return ew.where(red.any(there, axis, keepdims), out, float("nan"))


def nanmax(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element that is not NaN; NaN if there is none."""
    return _nan_extremum(red.max, -float("inf"), x, axis, keepdims)


def nanmin(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element that is not NaN; NaN if there is none."""
    return _nan_extremum(red.min, float("inf"), x, axis, keepdims)


def nancumsum(x: Any, axis: int | None = None) -> Any:
    """Running sums that count NaN as 0."""
    return red.cumsum(_filled(x, 0.0)[0], axis)


# --- summaries --------------------------------------------------------------------------------


def ptp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Largest minus smallest element."""
    return ew.subtract(red.max(x, axis, keepdims), red.min(x, axis, keepdims))


def count_nonzero(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """int32 number of elements that are not zero."""
    return red.sum(as_bool(x), axis, keepdims)


def average(
    x: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Mean weighted by `weights`, of x's shape or one for each place along `axis`.

    With `returned` also the sum of the weights. Raises TypeError for weights that do not fit.
    """
    x = as_float(x)
    if weights is None:
        out = red.mean(x, axis, keepdims)
        total = ew.add(ew.multiply(out, 0.0), aval_of(x).size / max(aval_of(out).size, 1))
        return (out, total) if returned else out
    weights = as_float(weights)
    shape = aval_of(x).shape
    if aval_of(weights).shape != shape:
        if axis is None or aval_of(weights).ndim != 1:
            raise located(
                TypeError, f"weights of shape {aval_of(weights).shape} do not fit {shape}"
            )
        at = shaping.canonical_axis(axis, len(shape))
        sizes = tuple(n if d == at else 1 for d, n in enumerate(shape))
        weights = shaping.broadcast_to(shaping.reshape(weights, sizes), shape)
    total = red.sum(weights, axis, keepdims)
    out = red.sum(ew.multiply(x, weights), axis, keepdims) / total
    return (out, total) if returned else out


__all__ = [
    "average",
    "count_nonzero",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "diff",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
    "ptp",
    "trapezoid",
]
