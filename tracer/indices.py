"""What may stand between the brackets of `x[...]`, in canonical form.

Invariant: a `Plan` has one int, slice or integer array for each axis; ints count from the start,
and masks have become the positions of what is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dtypes import bool_

from .array import Array, Tracer, aval_of
from .errors import NonConcreteBooleanIndexError, located, not_concrete
from .typed import user_type

_INTS = (int, np.integer)


@dataclass(frozen=True)
class Plan:
    """An index in canonical form.

    `items`: one int, slice or array for each axis. `new`: places of None in the result of the
    static part, which drops the axes of ints, or keeps all axes if there are `arrays`. `gathers`:
    ints count as arrays in any case.
    """

    items: tuple[Any, ...]
    new: tuple[int, ...]
    gathers: bool = False

    @property
    def arrays(self) -> tuple[int, ...]:
        """Axes with array items; ints count as arrays where there is an array, as in numpy."""
        if not (self.gathers or any(is_array(item) for item in self.items)):
            return ()
        return tuple(d for d, item in enumerate(self.items) if not isinstance(item, slice))


def is_array(item: Any) -> bool:
    return isinstance(item, (Tracer, Array, np.ndarray))


def plan(shape: tuple[int, ...], index: Any, wrap: bool = True, exact: bool = False) -> Plan:
    """Canonicalise an index. Raises IndexError, TypeError.

    If it is to be `exact`, ints out of range become arrays, for which there are modes.
    """
    given = list(index) if isinstance(index, tuple) else [index]
    given = _without_masks([_item(item) for item in given], shape)
    used = sum(item is not None and item is not Ellipsis for item in given)
    if used > len(shape):
        raise located(
            IndexError,
            f"Too many indices: array is {len(shape)}-dimensional, but {used} were indexed",
        )
    dots = [i for i, item in enumerate(given) if item is Ellipsis]
    if len(dots) > 1:
        raise located(IndexError, "an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(given)
    fill = [slice(None)] * (len(shape) - used)
    given = given[:at] + fill + given[at + 1 :]
    items = [item for item in given if item is not None]
    fixed = tuple(_bounded(item, n, wrap) for item, n in zip(items, shape, strict=True))
    pairs = zip(fixed, shape, strict=True)
    gathers = exact and any(isinstance(i, int) and not 0 <= i < n for i, n in pairs)
    mixed = gathers or any(is_array(item) for item in fixed)
    return Plan(fixed, _new_axes(given, mixed), gathers)


def _item(item: Any) -> Any:
    if isinstance(item, list):
        raise located(
            TypeError,
            "Using a non-tuple sequence for multidimensional indexing is not allowed; use "
            "`arr[array(seq)]` instead of `arr[seq]`.",
        )
    if is_array(item):
        kind = aval_of(item).dtype
        if kind is not bool_ and not kind.is_integer:
            raise located(
                TypeError,
                "Indexer must have integer or boolean type, got indexer with type "
                f"{kind.np.name}, of type {aval_of(item)}",
            )
        return item
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, _INTS) and not isinstance(item, (bool, np.bool_)):
        return int(item)
    if isinstance(item, str):
        raise located(TypeError, f"JAX does not support string indexing; got idx={item!r}")
    raise located(
        TypeError,
        f"an index consists of ints, slices, None, ... and integer arrays, got {item!r}",
    )


def _without_masks(given: list, shape: tuple[int, ...]) -> list:
    """Boolean arrays as the positions of what is true, one vector for each of their axes."""
    if not any(is_array(item) and aval_of(item).dtype is bool_ for item in given):
        return given
    used = sum(_width(item) for item in given)
    found, axis = [], 0
    for item in given:
        if is_array(item) and aval_of(item).dtype is bool_:
            found += _true_places(item, shape, axis)
        else:
            found.append(item)
        axis += len(shape) - used if item is Ellipsis else _width(item)
    return found


def _width(item: Any) -> int:
    """How many axes an item indexes."""
    if item is None or item is Ellipsis:
        return 0
    masks = is_array(item) and aval_of(item).dtype is bool_
    return aval_of(item).ndim if masks else 1


def _true_places(mask: Any, shape: tuple[int, ...], axis: int) -> list[np.ndarray]:
    have, rank = aval_of(mask).shape, aval_of(mask).ndim
    if have != shape[axis : axis + rank]:
        raise located(
            IndexError,
            f"boolean index did not match shape of indexed array in index {axis}: got {have}, "
            f"expected {list(shape[axis : axis + rank])}",
        )
    if isinstance(mask, Tracer):
        raise not_concrete(
            NonConcreteBooleanIndexError,
            mask,
            f"Array boolean indices must be concrete; got {user_type(aval_of(mask))}",
            "The size of the result would depend on the values: use jnp.where with three "
            "arguments, or jnp.nonzero(mask, size=...).",
        )
    return [places.astype(np.int32) for places in np.nonzero(np.asarray(mask))]


def _bounded(item: Any, n: int, wrap: bool) -> Any:
    """Ints counted from the start, slices in the form of `slice.indices`."""
    if isinstance(item, int):
        return item + n if wrap and item < 0 else item
    if isinstance(item, slice):
        try:
            return slice(*item.indices(n))
        except TypeError:
            raise located(
                TypeError,
                "a slice has Python ints as bounds; use lax.dynamic_slice for traced positions",
            ) from None
    return item


def _new_axes(given: list, mixed: bool) -> tuple[int, ...]:
    """Where Nones go in the result of the static part."""
    places, axes = [], 0
    for item in given:
        if item is None:
            places.append(axes)
        # With arrays in the index, Nones are placed among all axes before those are gathered.
        axes += mixed or item is None or isinstance(item, slice)
    return tuple(places)


__all__ = ["Plan", "is_array", "plan"]
