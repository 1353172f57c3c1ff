"""Sorting and what follows from it.

Invariant: an order is found among integers alone (`ordering`): every element becomes an i32 whose
order is that of the values. Values then move by that permutation, which is what makes sorting
differentiable.
"""

from __future__ import annotations

import operator
from typing import Any

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .bits import sort_key
from .errors import located
from .indexing import along as take_along_axis
from .operands import astype
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


def order_of(x: Any, descending: bool) -> Any:
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
    return shaping.moveaxis(reordered(rows, order_of(rows, descending)), -1, at)


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
    return astype(shaping.moveaxis(order_of(rows, descending), -1, at), dtype)


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
    ordered = reordered(rows, order_of(rows, False))
    parts = [ordered[..., : k + 1], shaping.flip(ordered[..., k + 1 :], -1)]
    return shaping.moveaxis(shaping.concatenate(parts, -1), -1, at)


@one_program
def argpartition(a: Any, kth: int, axis: int = -1) -> Any:
    """int32 positions of a partition, see `partition`; those of the second part rise."""
    rows, at, k = _parted(a, kth, axis, "argpartition")
    order = order_of(rows, False)
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
    order = order_of(rows[0][0], False)
    for row, _ in rows[1:]:
        order = take_along_axis(order, order_of(take_along_axis(row, order, -1), False), -1)
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
    order = shaping.slice_axis(order_of(rows, True), aval_of(rows).ndim - 1, 0, k)
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


__all__ = [
    "argpartition",
    "argsort",
    "lexsort",
    "partition",
    "sort",
    "sort_key_val",
    "sort_operands",
    "top_k",
]
