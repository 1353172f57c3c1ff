"""Counts in bins, and how variables vary together.

Invariant: counts are sums of weights; edges are floats.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import prod
from typing import Any

from ir.dtypes import dtype as dtype_of

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import dot
from .counting import bincount, searchsorted
from .creation import asarray, full, linspace
from .errors import located
from .matrices import diag
from .operands import as_float, astype, same_dtype
from .staging import operand
from .statistics import average, diff

# --- histograms -------------------------------------------------------------------------------


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """`bins` equal bins over `range` (default: the extremes of `a`), or the given edges."""
    if isinstance(bins, str):
        raise located(ValueError, f"bins is a number or edges, not a rule such as {bins!r}")
    x = as_float(a)
    kind = aval_of(x).dtype
    given = asarray(bins)
    if aval_of(given).ndim == 1:
        return astype(given, kind)
    ends = (red.min(x), red.max(x)) if range is None else range
    low, high = (astype(asarray(e), kind) for e in ends)
    flat = ew.equal(low, high)
    low, high = ew.where(flat, low - 0.5, low), ew.where(flat, high + 0.5, high)
    return linspace(low, high, operator.index(bins) + 1, dtype=kind)


def histogram(
    a: Any, bins: Any = 10, range: Any = None, weights: Any = None, density: bool | None = None
) -> tuple[Any, Any]:
    """(counts, edges): the weight of the elements in each bin.

    An upper edge belongs to the next bin; the last bin has both edges. With `density` the integral
    over the bins is 1.
    """
    x = shaping.ravel(as_float(a))
    if weights is not None and aval_of(operand(weights)).shape != aval_of(operand(a)).shape:
        raise located(ValueError, "weights should have the same shape as a.")
    edges = histogram_bin_edges(x, bins, range)
    amounts = full(aval_of(x).shape, 1, aval_of(x).dtype) if weights is None else weights
    counts = _counts([_bin(x, edges)], [edges], shaping.ravel(as_float(amounts)))
    if density:
        counts = ew.divide(ew.divide(counts, diff(edges)), red.sum(counts))
    return counts, edges


def _bin(x: Any, edges: Any) -> Any:
    """1 for the first bin, ..., 0 and one more than there are outside."""
    last = aval_of(edges).shape[0] - 1
    place = searchsorted(edges, x, "right")
    return ew.where(ew.equal(x, edges[last]), last, place)


def _counts(places: Sequence[Any], edges: Sequence[Any], amounts: Any) -> Any:
    sizes = [aval_of(e).shape[0] + 1 for e in edges]
    flat = places[0]
    for place, size in zip(places[1:], sizes[1:], strict=True):
        flat = ew.add(ew.multiply(flat, size), place)
    table = shaping.reshape(bincount(flat, amounts, length=prod(sizes)), sizes)
    for at, size in enumerate(sizes):
        table = shaping.slice_axis(table, at, 1, size - 1)
    return table


def histogramdd(
    sample: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Any, list]:
    """(counts, edges of each axis) of points [n, axes]; there may be one of `bins` for all axes."""
    sample = as_float(sample)
    count, axes = aval_of(sample).shape
    per_axis = list(bins) if isinstance(bins, (list, tuple)) else [bins] * axes
    ranges = [None] * axes if range is None else list(range)
    if len(per_axis) != axes:
        raise located(ValueError, "should be a bin for each dimension.")
    if len(ranges) != axes:
        raise located(ValueError, f"range must be a sequence of {axes} pairs or Nones; got {range}")
    if weights is not None and aval_of(operand(weights)).shape != (count,):
        raise located(ValueError, "should have one weight for each sample.")
    columns = [shaping.squeeze(c, 1) for c in shaping.split(sample, axes, 1)]
    edges = [
        histogram_bin_edges(c, b, r) for c, b, r in zip(columns, per_axis, ranges, strict=True)
    ]
    places = [_bin(c, e) for c, e in zip(columns, edges, strict=True)]
    table = _counts(places, edges, None if weights is None else as_float(weights))
    return (_dense(table, edges) if density else table), edges


def _dense(table: Any, edges: Sequence[Any]) -> Any:
    table = ew.divide(table, red.sum(table))
    for at, e in enumerate(edges):
        shape = tuple(-1 if d == at else 1 for d in range(len(edges)))
        table = ew.divide(table, shaping.reshape(diff(e), shape))
    return table


def histogram2d(
    x: Any,
    y: Any,
    bins: Any = 10,
    range: Any = None,
    weights: Any = None,
    density: bool | None = None,
) -> tuple[Any, Any, Any]:
    """(counts, edges along x, edges along y) of points."""
    if not isinstance(bins, int) and len(bins) not in (1, 2):
        bins = [asarray(bins)] * 2
    points = shaping.stack(same_dtype("histogram2d", as_float(x), as_float(y)), 1)
    counts, edges = histogramdd(points, bins, range, weights, density)
    return counts, edges[0], edges[1]


# --- covariance -------------------------------------------------------------------------------


def cov(
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: int | None = None,
    fweights: Any = None,
    aweights: Any = None,
    dtype: Any = None,
) -> Any:
    """Covariances of the rows (or columns) of `m`, and of `y` behind them; a number if it is one.

    Divides by the number of observations minus `ddof` (1, or 0 if `bias`). `fweights` say how
    often each observation counts, `aweights` how much. Raises ValueError for more than two axes.
    """
    x = _variables(m, y, rowvar)
    x = x if dtype is None else astype(x, dtype)
    variables, count = aval_of(x).shape
    if not variables or not count:
        return full(
            () if variables == 1 else (variables, variables), float("nan"), aval_of(x).dtype
        )
    ddof = (0 if bias else 1) if ddof is None else ddof
    weights = _weights(fweights, aweights, count, aval_of(x).dtype)
    if weights is None:
        mean, divisor = red.mean(x, 1), float(count - ddof)
    else:
        mean, total = average(x, 1, weights), red.sum(weights)
        less = ddof
        if aweights is not None:
            less = red.sum(ew.multiply(weights, ew.abs(as_float(aweights)))) * ddof / total
        divisor = ew.subtract(total, less)
    x = ew.subtract(x, shaping.expand_dims(mean, 1))
    weighted = x if weights is None else ew.multiply(x, weights)
    return shaping.squeeze(ew.divide(dot(x, shaping.transpose(weighted)), divisor))


def _variables(m: Any, y: Any, rowvar: bool) -> Any:
    """[variables, observations]."""
    rows = []
    for name, given in (("m", m), ("y", y)):
        if given is None:
            continue
        x = as_float(given)
        if aval_of(x).ndim > 2:
            raise located(ValueError, f"{name} has more than 2 dimensions")
        turned = not rowvar and aval_of(x).ndim == 2 and (name == "m" or aval_of(x).shape[0] != 1)
        x = shaping.reshape(x, (1, -1)) if aval_of(x).ndim < 2 else x
        rows.append(shaping.transpose(x) if turned else x)
    return shaping.concatenate(same_dtype("cov", *rows), 0)


def _weights(fweights: Any, aweights: Any, count: int, kind: Any) -> Any:
    found = None
    for name, given in (("fweights", fweights), ("aweights", aweights)):
        if given is None:
            continue
        w = operand(given)
        if aval_of(w).shape != (count,):
            raise located(
                RuntimeError, f"cov of {count} samples got {name} of shape {aval_of(w).shape}"
            )
        if name == "fweights" and not aval_of(w).dtype.is_integer:
            raise located(TypeError, "fweights must be integer.")
        w = ew.abs(astype(w, kind))
        found = w if found is None else ew.multiply(found, w)
    return found


def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """Correlations of the rows (or columns) of `x`, and of `y` behind them, in [-1, 1]."""
    if dtype is not None and not dtype_of(dtype).is_float:
        raise located(ValueError, f"corrcoef: dtype must be a subclass of float; got {dtype}")
    c = cov(x, y, rowvar, dtype=dtype)
    if not aval_of(c).ndim:
        return ew.divide(c, c)
    size = ew.sqrt(diag(c))
    c = ew.divide(ew.divide(c, shaping.expand_dims(size, 1)), size)
    return ew.clip(c, -1, 1)


__all__ = ["corrcoef", "cov", "histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]
