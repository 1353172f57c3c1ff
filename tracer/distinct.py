"""Distinct elements or slices of an array.

Invariant: elements are told apart by their sort keys, so -0.0 is 0.0, and results are in order;
while tracing their number is given, and missing ones repeat the smallest unless a filling is given.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ir.dtypes import i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .bits import sort_key
from .counting import known_size, search, true_places
from .creation import iota
from .operands import astype
from .sorting import ordering
from .staging import bind, filled, operand
from .whole import one_program


def unique(
    ar: Any,
    return_index: bool = False,
    return_inverse: bool = False,
    return_counts: bool = False,
    axis: int | None = None,
    *,
    equal_nan: bool = True,
    size: int | None = None,
    fill_value: Any = None,
    sorted: bool = True,
) -> Any:
    """The distinct elements of the flattened array, or slices along `axis`, in order.

    With the flags also, in this order: the position of the first of each, the place of each
    element among the distinct ones, and how many there are of each (0 for what fills up to
    `size`). All NaN count as one if `equal_nan`. Raises ConcretizationTypeError where a size is
    needed.
    """
    x = operand(ar, "unique")
    at = None if axis is None else shaping.canonical_axis(axis, aval_of(x).ndim)
    rows = shaping.ravel(x) if at is None else shaping.moveaxis(x, at, 0)
    if aval_of(rows).shape[0] or size is not None:
        size = known_size(lambda: _numbered(rows, equal_nan)[1][-1] + 1, size, "unique")
    values, index, inverse, counts = _unique(rows, size or 0, fill_value, equal_nan)
    if at is None:
        inverse = shaping.reshape(inverse, aval_of(x).shape)
    found = (values if at is None else shaping.moveaxis(values, 0, at), index, inverse, counts)
    wanted = (True, return_index, return_inverse, return_counts)
    kept = [v for v, w in zip(found, wanted, strict=True) if w]
    return kept[0] if len(kept) == 1 else tuple(kept)


def _numbered(rows: Any, equal_nan: bool) -> tuple[Any, Any, Any]:
    """Sorting positions, the number of each sorted row among the distinct, where it is new."""
    n = aval_of(rows).shape[0]
    table = shaping.reshape(rows, (n, aval_of(rows).size // n))
    keys, width = sort_key(table), aval_of(table).shape[1]
    order = iota((n,), 0)
    for column in reversed(range(width)):
        order = bind("take", order, ordering(bind("take", keys[:, column], order)))
    ordered = bind("take", keys, order)
    before = bind("take", ordered, ew.maximum(iota((n,), 0) - 1, 0))
    new = ew.logical_or(red.any(ew.not_equal(ordered, before), 1), ew.equal(iota((n,), 0), 0))
    if not equal_nan and aval_of(table).dtype.is_float:
        odd = bind("take", astype(red.any(ew.isnan(table), 1), i32), order)
        new = ew.logical_or(new, ew.not_equal(odd, 0))
    return order, red.cumsum(astype(new, i32)) - 1, new


@one_program
def _unique(rows: Any, size: int, fill_value: Any, equal_nan: bool) -> tuple:
    n = aval_of(rows).shape[0]
    if not n or not size:
        kind = aval_of(rows).dtype
        none = filled(0, i32, (size,))
        values = filled(fill_value or 0, kind, (size, *aval_of(rows).shape[1:]))
        return values, none, filled(0, i32, (n,)), none
    order, number, new = _numbered(rows, equal_nan)
    start = true_places(new, size)
    there = ew.less(start, n)
    index = bind("take", order, ew.where(there, start, 0))
    values = bind("take", rows, index)
    if fill_value is not None:
        mask = shaping.reshape(there, (size, *(1,) * (aval_of(rows).ndim - 1)))
        values = ew.where(mask, values, astype(fill_value, aval_of(rows).dtype))
    inverse = bind("take", number, ordering(order))  # a permutation's inverse is what sorts it
    following = bind("take", start, ew.minimum(iota((size,), 0) + 1, size - 1))
    last = ew.equal(iota((size,), 0), size - 1)
    cut = search(number, filled(size - 1, i32, (size,)), "right")
    counts = ew.where(there, ew.where(last, cut, following) - start, 0)
    return values, index, inverse, counts


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Any
    indices: Any
    inverse_indices: Any
    counts: Any


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Any
    counts: Any


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Any
    inverse_indices: Any


def unique_all(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueAll:
    """Distinct elements, where each is first, the place of each element among them, counts."""
    options = {"equal_nan": False, "size": size, "fill_value": fill_value}
    return UniqueAll(*unique(x, True, True, True, **options))


def unique_counts(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueCounts:
    """Distinct elements and how often each occurs."""
    options = {"equal_nan": False, "size": size, "fill_value": fill_value}
    return UniqueCounts(*unique(x, return_counts=True, **options))


def unique_inverse(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> UniqueInverse:
    """Distinct elements and the place of each element among them."""
    options = {"equal_nan": False, "size": size, "fill_value": fill_value}
    return UniqueInverse(*unique(x, return_inverse=True, **options))


def unique_values(x: Any, /, *, size: int | None = None, fill_value: Any = None) -> Any:
    """Distinct elements."""
    return unique(x, equal_nan=False, size=size, fill_value=fill_value)


__all__ = ["unique", "unique_all", "unique_counts", "unique_inverse", "unique_values"]
