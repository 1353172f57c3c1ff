"""Sorting and what follows from it.

Invariant: an order is found among integers alone (`ordering`): every element becomes an i32 whose
order is that of the values. Values then move by that permutation, which is what makes sorting
differentiable.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import aval_of, user_type
from .bits import sort_key
from .errors import located
from .indexing import along as take_along_axis
from .operands import as_float, astype
from .reductions import sum as reduce_sum
from .staging import bind, operand
from .whole import one_program

# --- the order of integers ------------------------------------------------------------------------


def ordering(keys: Any) -> Any:
    """i32 positions that sort i32 `keys` along the last axis, equal ones in their first order."""
    return bind("sort", keys)[1]


# --- for users --------------------------------------------------------------------------------


def _line(x: Any, axis: int | None, name: str) -> tuple[Any, int]:
    """`x`, flattened if `axis` is None, with the axis to sort last; and where that axis was."""
    x = operand(x, name)
    x = shaping.ravel(x) if axis is None else x
    at = shaping.canonical_axis(-1 if axis is None else axis, aval_of(x).ndim)
    return shaping.moveaxis(x, at, -1), at


def _order(x: Any, descending: bool) -> Any:
    keys = sort_key(x)
    return ordering(ew.invert(keys) if descending else keys)


def reordered(x: Any, order: Any, distinct: bool = True) -> Any:
    """x[..., order] row by row along the last axis, for positions in range."""
    return bind("take", x, order, batch=aval_of(x).ndim - 1, unique=distinct)


@one_program
def sort(
    x: Any,
    axis: int | None = -1,
    stable: bool = True,
    descending: bool = False,
    kind: None = None,
) -> Any:
    """`x` in order along `axis` (None: flattened); NaN counts as the largest.

    Always stable; there is one `kind`. The gradient follows each value to where it came from.
    """
    _without_kind("sort", kind)
    rows, at = _line(x, axis, "sort")
    return shaping.moveaxis(reordered(rows, _order(rows, descending)), -1, at)


@one_program
def argsort(
    x: Any,
    axis: int | None = -1,
    stable: bool = True,
    descending: bool = False,
    kind: None = None,
    dtype: Any = i32,
) -> Any:
    """Positions that sort `x` along `axis` (None: flattened); ties keep their order."""
    _without_kind("argsort", kind)
    rows, at = _line(x, axis, "argsort")
    return astype(shaping.moveaxis(_order(rows, descending), -1, at), dtype)


def _without_kind(name: str, kind: None) -> None:
    if kind is not None:
        raise located(
            TypeError,
            f"'kind' argument to {name} is not supported. Use stable=True or stable=False to "
            "specify sort stability.",
        )


@one_program
def partition(a: Any, kth: int, axis: int = -1) -> Any:
    """`a` with element `kth` along `axis` where sorting would put it, none larger before it and
    none smaller behind. The first part rises and the second falls, as in JAX."""
    rows, at, k = _parted(a, kth, axis, "partition")
    ordered = reordered(rows, _order(rows, False))
    parts = [ordered[..., : k + 1], shaping.flip(ordered[..., k + 1 :], -1)]
    return shaping.moveaxis(shaping.concatenate(parts, -1), -1, at)


@one_program
def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """int32 positions of a partition, see `partition`; those of the second part rise."""
    rows, at, k = _parted(a, kth, axis, "argpartition")
    order = _order(rows, False)
    later = order[..., k + 1 :]
    later = reordered(later, ordering(later))
    return shaping.moveaxis(shaping.concatenate([order[..., : k + 1], later], -1), -1, at)


def _parted(a: Any, kth: int, axis: int, name: str) -> tuple[Any, int, int]:
    rows, at = _line(a, axis, name)
    return rows, at, shaping.canonical_axis(operator.index(kth), aval_of(rows).shape[-1])


@one_program
def lexsort(keys: Any, axis: int = -1) -> Any:
    """int32 positions that sort by the last of `keys`, ties by the one before it, and so on."""
    if not len(keys):
        raise located(TypeError, "lexsort needs at least one key")
    rows = [_line(k, axis, "lexsort") for k in keys]
    order = _order(rows[0][0], False)
    for row, _ in rows[1:]:
        order = take_along_axis(order, _order(take_along_axis(row, order, -1), False), -1)
    return shaping.moveaxis(order, -1, rows[0][1])


@one_program
def top_k(x: Any, k: int, axis: int = -1) -> tuple[Any, Any]:
    """(values, int32 positions) of the `k` largest along `axis`, largest first, ties by position.

    Raises ValueError unless 0 <= k <= size of the axis.
    """
    rows, at = _line(x, axis, "top_k")
    n = aval_of(rows).shape[-1]
    if not 0 <= k <= n:
        raise located(ValueError, f"top_k needs 0 <= k <= {n}, the size of axis {at}, got k={k}")
    order = shaping.slice_axis(_order(rows, True), aval_of(rows).ndim - 1, 0, k)
    return tuple(shaping.moveaxis(v, -1, at) for v in (reordered(rows, order), order))


@one_program
def sort_operands(
    operand: Any, dimension: int = -1, is_stable: bool = True, num_keys: int = 1
) -> Any:
    """lax.sort: one array in order, or a tuple of arrays in the order of its first `num_keys`."""
    operands = operand
    if not isinstance(operands, (tuple, list)):
        return sort(operands, dimension)
    if not 1 <= num_keys <= len(operands):
        raise located(ValueError, f"sort of {len(operands)} operands by {num_keys} keys")
    order = lexsort(tuple(operands[:num_keys])[::-1], dimension)
    rows = [_line(x, dimension, "sort") for x in operands]
    places = shaping.moveaxis(order, rows[0][1], -1)
    return tuple(shaping.moveaxis(reordered(x, places), -1, at) for x, at in rows)


def sort_key_val(keys: Any, values: Any, dimension: int = -1, is_stable: bool = True) -> tuple:
    """(keys in order, values in the order of their keys)."""
    return sort_operands((keys, values), dimension)


# --- order statistics -------------------------------------------------------------------------

_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


@one_program
def quantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """Values below which the fractions `q` lie along `axis`; NaN if there is a NaN among them.

    The axes of `q` come first in the result. Raises ValueError for unknown methods.
    """
    return _quantile(x, q, axis, method, keepdims, skip_nan=False)


@one_program
def nanquantile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` of the elements that are not NaN; NaN if there is none."""
    return _quantile(x, q, axis, method, keepdims, skip_nan=True)


def _quantile(x: Any, q: Any, axis: Any, method: str, keepdims: bool, skip_nan: bool) -> Any:
    if method not in _METHODS:
        raise located(ValueError, f"quantile has the methods {', '.join(_METHODS)}, got {method!r}")
    x = as_float(x)
    q = astype(operand(q), aval_of(x).dtype)
    axes = shaping.canonical_axes(axis, aval_of(x).ndim)
    old = aval_of(x).shape
    kept = [d for d in range(len(old)) if d not in axes]
    rows = shaping.reshape(
        shaping.transpose(x, [*kept, *axes]),
        (*(old[d] for d in kept), int(np.prod([old[d] for d in axes]))),
    )
    if not aval_of(rows).shape[-1]:
        raise located(ValueError, f"quantile of {user_type(aval_of(x))} over an empty axis")
    out = _interpolated(rows, q, method, skip_nan)
    ones = tuple(1 if d in axes else n for d, n in enumerate(old))
    return shaping.reshape(out, (*aval_of(q).shape, *ones)) if keepdims else out


def _interpolated(rows: Any, q: Any, method: str, skip_nan: bool) -> Any:
    """Between the two elements of the sorted rows that enclose each q."""
    rank, n = aval_of(rows).ndim, aval_of(rows).shape[-1]
    kind = aval_of(rows).dtype
    missing = reduce_sum(astype(ew.isnan(rows), i32), rank - 1)
    ordered = reordered(rows, _order(rows, False))
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


def _enclosing(place: Any, method: str) -> tuple[Any, Any]:
    if method == "nearest":
        place = ew.round(place)
    low, high = ew.floor(place), ew.ceil(place)
    return {"lower": (low, low), "higher": (high, high)}.get(method, (low, high))


def percentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`quantile` of q / 100."""
    return quantile(x, ew.divide(q, 100.0), axis, method, keepdims)


def median(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The middle element along `axis`, or the mean of the two; NaN if there is a NaN."""
    return quantile(x, 0.5, axis, "midpoint", keepdims)


def nanmedian(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """`median` of the elements that are not NaN."""
    return nanquantile(x, 0.5, axis, "midpoint", keepdims)


def nanpercentile(
    x: Any, q: Any, axis: Any = None, method: str = "linear", keepdims: bool = False
) -> Any:
    """`nanquantile` of q / 100."""
    return nanquantile(x, ew.divide(q, 100.0), axis, method, keepdims)


__all__ = [
    "argpartition",
    "argsort",
    "lexsort",
    "median",
    "nanmedian",
    "nanpercentile",
    "nanquantile",
    "partition",
    "percentile",
    "quantile",
    "sort",
    "sort_key_val",
    "sort_operands",
    "top_k",
]
