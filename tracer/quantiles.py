"""Elements by their share of those below: quantiles, percentiles, medians.

Invariant: rows are sorted once, whatever the number of fractions asked for; results are elements,
or lie between two of them, so derivatives go to these.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .creation import full_like
from .errors import located
from .operands import as_float, astype
from .reductions import cumsum
from .reductions import sum as reduce_sum
from .sorting import order_of, reordered
from .staging import operand
from .typed import user_type
from .whole import one_program

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest", "inverted_cdf")


@one_program
def quantile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """Values below which the fractions `q` lie along `axis`; NaN if there is a NaN among them.

    The axes of `q` come first in the result. With "inverted_cdf" elements may have `weights`, an
    array like `a` or one along `axis`. Raises ValueError for unknown methods.
    """
    return _quantile(a, q, axis, method, keepdims, weights, skip_nan=False)


@one_program
def nanquantile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`quantile` of the elements that are not NaN; NaN if there is none."""
    return _quantile(a, q, axis, method, keepdims, weights, skip_nan=True)


def _quantile(
    x: Any, q: Any, axis: Any, method: str, keepdims: bool, weights: Any, skip_nan: bool
) -> Any:
    if method not in _METHODS:
        raise located(ValueError, f"quantile has the methods {', '.join(_METHODS)}, got {method!r}")
    if weights is not None and method != "inverted_cdf":
        text = f"{method} doesn't support weights. Only method 'inverted_cdf' supports weights."
        raise located(ValueError, text)
    x = as_float(x)
    q = astype(operand(q), aval_of(x).dtype)
    axes = shaping.canonical_axes(axis, aval_of(x).ndim)
    old = aval_of(x).shape
    rows = _as_rows(x, axes)
    if not aval_of(rows).shape[-1]:
        raise located(ValueError, f"quantile of {user_type(aval_of(x))} over an empty axis")
    if method == "inverted_cdf":
        ones = full_like(x, 1.0) if weights is None else _weights_of(x, weights, axes, axis)
        out = _reached(rows, _as_rows(ones, axes), q, skip_nan)
    else:
        out = _interpolated(rows, q, method, skip_nan)
    ones = tuple(1 if d in axes else n for d, n in enumerate(old))
    return shaping.reshape(out, (*aval_of(q).shape, *ones)) if keepdims else out


def _interpolated(rows: Any, q: Any, method: str, skip_nan: bool) -> Any:
    """Between the two elements of the sorted rows that enclose each q."""
    rank, n = aval_of(rows).ndim, aval_of(rows).shape[-1]
    kind = aval_of(rows).dtype
    missing = reduce_sum(astype(ew.isnan(rows), i32), rank - 1)
    ordered = reordered(rows, order_of(rows, False))
    count = ew.subtract(n, missing) if skip_nan else missing * 0 + n
    flat = shaping.reshape(q, (-1,) + (1,) * (rank - 1))
    place = flat * astype(ew.maximum(count - 1, 0), kind)
    places = (astype(ew.clip(p, 0, n - 1), i32) for p in _enclosing(place, method))
    ends = (reordered(ordered, shaping.moveaxis(p, 0, -1), False) for p in places)
    below, above = (shaping.moveaxis(x, -1, 0) for x in ends)
    weight = 0.5 if method == "midpoint" else place - ew.floor(place)
    out = below
    if method in ("linear", "midpoint"):
        # Equal ends are taken as they are: between infinities nothing could be interpolated.
        out = ew.where(ew.equal(below, above), below, below + (above - below) * weight)
    spoilt = ew.equal(count, 0) if skip_nan else ew.greater(missing, 0)
    out = ew.where(spoilt, np.nan, out)
    return shaping.reshape(out, (*aval_of(q).shape, *aval_of(rows).shape[:-1]))


def _as_rows(x: Any, axes: Sequence[int]) -> Any:
    """The elements along `axes` as the last axis of x."""
    shape = aval_of(x).shape
    kept = [d for d in range(len(shape)) if d not in axes]
    count = int(np.prod([shape[d] for d in axes]))
    turned = shaping.transpose(x, [*kept, *axes])
    return shaping.reshape(turned, (*(shape[d] for d in kept), count))


def _weights_of(x: Any, weights: Any, axes: Sequence[int], axis: Any) -> Any:
    """A weight for each element of x."""
    weights, shape = astype(operand(weights), aval_of(x).dtype), aval_of(x).shape
    if aval_of(weights).shape == shape:
        return weights
    if axis is None:
        raise located(ValueError, "Weights shape must match 'a' shape when axis is None.")
    wanted = tuple(shape[d] for d in axes)
    if aval_of(weights).shape != wanted:
        text = f"Weights shape {aval_of(weights).shape} must match reduction axes {wanted}"
        raise located(ValueError, text)
    places = [d for d in range(len(shape)) if d not in axes]
    return shaping.broadcast_to(shaping.expand_dims(weights, places), shape)


def _reached(rows: Any, weights: Any, q: Any, skip_nan: bool) -> Any:
    """The first of the sorted elements at which the weights so far make up a fraction q of all."""
    rank, n = aval_of(rows).ndim, aval_of(rows).shape[-1]
    order = order_of(rows, False)
    rows, weights = reordered(rows, order), reordered(weights, order)
    nan, wrong = ew.isnan(rows), ew.logical_not(ew.greater_equal(weights, 0))
    sums = cumsum(ew.where(ew.logical_or(nan, wrong), 0.0, weights), rank - 1)
    flat = shaping.reshape(q, (-1,) + (1,) * rank)
    below = ew.less(sums, flat * sums[..., -1:])
    place = reduce_sum(astype(below, i32), rank)  # [q, ...]
    missing = reduce_sum(astype(nan, i32), rank - 1)
    last = ew.maximum(n - 1 - missing, 0) if skip_nan else missing * 0 + (n - 1)
    place = shaping.moveaxis(ew.minimum(place, last), 0, -1)
    out = shaping.moveaxis(reordered(rows, place, False), -1, 0)
    spoilt = ew.equal(missing, n) if skip_nan else ew.greater(missing, 0)
    spoilt = ew.logical_or(spoilt, ew.greater(reduce_sum(astype(wrong, i32), rank - 1), 0))
    out = ew.where(spoilt, np.nan, out)
    return shaping.reshape(out, (*aval_of(q).shape, *aval_of(rows).shape[:-1]))


def _enclosing(place: Any, method: str) -> tuple[Any, Any]:
    if method == "nearest":
        place = ew.round(place)
    low, high = ew.floor(place), ew.ceil(place)
    return {"lower": (low, low), "higher": (high, high)}.get(method, (low, high))


def percentile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`quantile` of q / 100."""
    return quantile(a, ew.divide(q, 100.0), axis, method, keepdims, weights=weights)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`, or the mean of the two; NaN if there is a NaN."""
    return quantile(x, 0.5, axis, "midpoint", keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`median` of the elements that are not NaN."""
    return nanquantile(x, 0.5, axis, "midpoint", keepdims)


def nanpercentile(
    a: Any,
    q: Any,
    axis: Any = None,
    method: str = "linear",
    keepdims: bool = False,
    *,
    weights: Any = None,
) -> Any:
    """`nanquantile` of q / 100."""
    return nanquantile(a, ew.divide(q, 100.0), axis, method, keepdims, weights=weights)


__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]
