"""Slices at run-time positions, and gathers and scatters of windows.

Invariant: a window that does not fit is moved to where it does, when it is read, and dropped, when
it is written, unless a mode says otherwise; positions of windows do not count from the end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping, strict
from .array import aval_of
from .creation import as_shape, iota
from .errors import located
from .indexing import all_inside, as_position, filling, flat_ids, said, scatter_mode
from .operands import astype
from .staging import bind, operand
from .writing import combined


class GatherScatterMode(enum.Enum):
    """What becomes of positions out of range."""

    CLIP = 0
    FILL_OR_DROP = 1
    PROMISE_IN_BOUNDS = 2


# --- slices -----------------------------------------------------------------------------------


def dynamic_slice(x: Any, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> Any:
    """x[start : start + size] on every axis; starts may be traced and shift so that it fits.

    Negative starts count from the end.
    """
    x = operand(x, "dynamic_slice")
    starts = _positions(x, start_indices)
    return bind("dynamic_slice", x, *starts, sizes=as_shape(tuple(slice_sizes)))


def dynamic_update_slice(x: Any, update: Any, start_indices: Sequence[Any]) -> Any:
    """`x` with `update` at `start_indices`, which shift so that it fits."""
    x, update = strict.arrays("dynamic_update_slice", (x, update))
    strict.same_dtypes("dynamic_update_slice", (x, update))
    return bind("dynamic_update", x, update, *_positions(x, start_indices))


def _positions(x: Any, starts: Sequence[Any]) -> list:
    shape = aval_of(x).shape
    if len(starts) != len(shape):
        raise located(
            TypeError, f"a slice of shape {shape} needs a start for each axis, got {len(starts)}"
        )
    return [as_position(i, n) for i, n in zip(starts, shape, strict=True)]


def dynamic_slice_in_dim(operand: Any, start_index: Any, slice_size: int, axis: int = 0) -> Any:
    """`dynamic_slice` along one axis; the others are whole."""
    shape, at = aval_of(operand).shape, shaping.canonical_axis(axis, aval_of(operand).ndim)
    starts = [start_index if d == at else 0 for d in range(len(shape))]
    sizes = [slice_size if d == at else n for d, n in enumerate(shape)]
    return dynamic_slice(operand, starts, sizes)


def dynamic_index_in_dim(operand: Any, index: Any, axis: int = 0, keepdims: bool = True) -> Any:
    """The slice of size 1 at `index`, without its axis unless `keepdims`."""
    part = dynamic_slice_in_dim(operand, index, 1, axis)
    return part if keepdims else shaping.squeeze(part, axis)


def dynamic_update_slice_in_dim(operand: Any, update: Any, start_index: Any, axis: int) -> Any:
    """`dynamic_update_slice` along one axis, from 0 on along the others."""
    rank = aval_of(operand).ndim
    at = shaping.canonical_axis(axis, rank)
    starts = [start_index if d == at else 0 for d in range(rank)]
    return dynamic_update_slice(operand, update, starts)


def dynamic_update_index_in_dim(operand: Any, update: Any, index: Any, axis: int) -> Any:
    """`operand` with the slice at `index` replaced; `update` may lack the axis."""
    at = shaping.canonical_axis(axis, aval_of(operand).ndim)
    update = strict.array("dynamic_update_slice", update)
    if aval_of(update).ndim != aval_of(operand).ndim:
        update = shaping.expand_dims(update, at)
    return dynamic_update_slice_in_dim(operand, update, index, at)


def index_take(src: Any, idxs: Sequence[Any], axes: Sequence[int]) -> Any:
    """The slices of size 1 of `axes` at the vectors `idxs`, stacked along a new first axis."""
    x, axes = operand(src), tuple(axes)
    starts = shaping.stack([astype(i, i32) for i in idxs], axis=1)
    sizes = tuple(1 if d in axes else n for d, n in enumerate(aval_of(x).shape))
    offsets = tuple(range(1, aval_of(x).ndim - len(axes) + 1))
    numbers = GatherDimensionNumbers(offsets, axes, axes)
    return gather(x, starts, numbers, sizes, mode="promise_in_bounds")


# --- windows ----------------------------------------------------------------------------------


class GatherDimensionNumbers(NamedTuple):
    """Which axes of the result lie within a window (`offset_dims`), which axes of the operand a
    window does not keep (`collapsed_slice_dims`), and which ones the last axis of the indices
    names (`start_index_map`). Batching axes of operand and indices go together."""

    offset_dims: tuple[int, ...]
    collapsed_slice_dims: tuple[int, ...]
    start_index_map: tuple[int, ...]
    operand_batching_dims: tuple[int, ...] = ()
    start_indices_batching_dims: tuple[int, ...] = ()


class ScatterDimensionNumbers(NamedTuple):
    """As `GatherDimensionNumbers`, for updates in place of the result."""

    update_window_dims: Sequence[int]
    inserted_window_dims: Sequence[int]
    scatter_dims_to_operand_dims: Sequence[int]
    operand_batching_dims: Sequence[int] = ()
    scatter_indices_batching_dims: Sequence[int] = ()


class _Windows(NamedTuple):
    """Flat rows of the windows: ids[*batch, *inner] into the indexed axes of the operand.

    `order` are the operand's axes, indexed ones first; `count` says how many those are. `places`
    are the axes of a result (or of updates) in the order batch, inner, axes taken whole.
    """

    ids: Any
    inside: Any
    order: tuple[int, ...]
    count: int
    places: tuple[int, ...]


def _windows(
    x: Any, indices: Any, sizes: Sequence[int], numbers: GatherDimensionNumbers, mode: str | None
) -> _Windows:
    shape, indices = aval_of(x).shape, astype(operand(indices), i32)
    batch = aval_of(indices).shape[:-1]
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    named = (*numbers.start_index_map, *numbers.operand_batching_dims)
    indexed = [d for d in range(len(shape)) if d in named or sizes[d] != shape[d] or d in gone]
    whole = [d for d in range(len(shape)) if d not in indexed]
    inner = [d for d in indexed if d not in gone]
    starts = [_starts(d, indices, numbers) for d in indexed]
    limits = [shape[d] - sizes[d] + 1 for d in indexed]
    inside = all_inside(starts, limits) if starts else None
    if mode != "fill":
        starts = [ew.clip(s, 0, n - 1) for s, n in zip(starts, limits, strict=True)]
    full = (*batch, *(sizes[d] for d in inner))
    places = [_spread(s, full, len(batch), d, inner) for s, d in zip(starts, indexed, strict=True)]
    zero = shaping.broadcast_to(operand(np.int32(0)), full)
    ids = flat_ids(places, [shape[d] for d in indexed]) if places else zero
    kept = [d for d in range(len(shape)) if d not in gone]
    axis_of = dict(zip(kept, sorted(numbers.offset_dims), strict=True))
    outer = [k for k in range(len(batch) + len(kept)) if k not in axis_of.values()]
    order = (*outer, *(axis_of[d] for d in inner), *(axis_of[d] for d in whole))
    if inside is not None and mode == "fill":
        inside = _repeated(inside, full)
        ids = ew.where(inside, ids, -1)
    return _Windows(ids, inside, (*indexed, *whole), len(indexed), order)


def _starts(d: int, indices: Any, numbers: GatherDimensionNumbers) -> Any:
    """Where windows begin on operand axis `d`, for each place of the indices."""
    shape = aval_of(indices).shape[:-1]
    if d in numbers.operand_batching_dims:
        where = numbers.operand_batching_dims.index(d)
        return iota(shape, numbers.start_indices_batching_dims[where])
    if d in numbers.start_index_map:
        at, last = numbers.start_index_map.index(d), len(shape)
        return shaping.reshape(shaping.slice_axis(indices, last, at, at + 1), shape)
    return shaping.broadcast_to(operand(np.int32(0)), shape)


def _repeated(x: Any, full: tuple[int, ...]) -> Any:
    have = aval_of(x).shape
    return shaping.broadcast_to(shaping.reshape(x, have + (1,) * (len(full) - len(have))), full)


def _spread(start: Any, full: tuple[int, ...], rank: int, d: int, inner: list[int]) -> Any:
    """Start plus offset within the window."""
    wide = _repeated(start, full)
    return ew.add(wide, iota(full, rank + inner.index(d))) if d in inner else wide


def _table(x: Any, windows: _Windows) -> Any:
    shape = aval_of(x).shape
    moved = shaping.transpose(x, windows.order)
    rows = prod(shape[d] for d in windows.order[: windows.count])
    return shaping.reshape(moved, (rows, *(shape[d] for d in windows.order[windows.count :])))


def gather(
    operand: Any,
    start_indices: Any,
    dimension_numbers: GatherDimensionNumbers,
    slice_sizes: Sequence[int],
    *,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    mode: Any = None,
    fill_value: Any = None,
) -> Any:
    """Windows of `slice_sizes` at `start_indices`.

    Those that do not fit are moved, and have then no derivative unless `mode` is "clip"; with
    "fill" they hold `fill_value`. Raises TypeError for sizes that the operand does not have.
    """
    x = strict.array("gather", operand)
    sizes, shape = as_shape(tuple(slice_sizes)), aval_of(x).shape
    if len(sizes) != len(shape) or any(s > n for s, n in zip(sizes, shape, strict=True)):
        raise located(TypeError, f"gather of shape {shape} cannot have slice_sizes {sizes}")
    kind = scatter_mode(mode)
    w = _windows(x, start_indices, sizes, dimension_numbers, kind)
    out = bind("take", _table(x, w), w.ids, **said(unique=unique_indices))
    if kind != "clip" and w.inside is not None:
        other = filling(out, fill_value) if kind else bind("stop_gradient", out)
        out = ew.where(_repeated(w.inside, aval_of(out).shape), out, other)
    return shaping.transpose(out, tuple(int(i) for i in np.argsort(w.places)))


def _scatter(name: str, combine: str, doc: str) -> Callable:
    def function(
        operand: Any,
        scatter_indices: Any,
        updates: Any,
        dimension_numbers: ScatterDimensionNumbers,
        *,
        indices_are_sorted: bool = False,
        unique_indices: bool = False,
        mode: Any = None,
    ) -> Any:
        x, updates = strict.arrays(name, (operand, updates))
        strict.same_dtypes(name, (x, updates))
        updates = ew.negative(updates) if name == "scatter_sub" else updates
        numbers = GatherDimensionNumbers(*map(tuple, dimension_numbers))
        sizes = _window_sizes(name, x, updates, numbers)
        w = _windows(x, scatter_indices, sizes, numbers, scatter_mode(mode) or "fill")
        rows = _table(x, w)
        updates = shaping.transpose(updates, w.places)
        done = combined(rows, w.ids, updates, combine, **said(unique=unique_indices))
        shape = aval_of(x).shape
        done = shaping.reshape(done, tuple(shape[d] for d in w.order))
        return shaping.transpose(done, tuple(int(i) for i in np.argsort(w.order)))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"`operand` with updates {doc} the windows at `scatter_indices`."
    return function


def _window_sizes(name: str, x: Any, updates: Any, numbers: GatherDimensionNumbers) -> list[int]:
    shape, given = aval_of(x).shape, aval_of(updates).shape
    gone = (*numbers.collapsed_slice_dims, *numbers.operand_batching_dims)
    within = iter(sorted(numbers.offset_dims))
    sizes = [1 if d in gone else given[next(within)] for d in range(len(shape))]
    if any(s > n for s, n in zip(sizes, shape, strict=True)):
        raise located(TypeError, f"{name} of windows {sizes} into shape {shape}: they do not fit")
    return sizes


scatter = _scatter("scatter", "set", "in place of")
scatter_add = _scatter("scatter_add", "add", "added to")
scatter_sub = _scatter("scatter_sub", "add", "subtracted from")
scatter_mul = _scatter("scatter_mul", "mul", "multiplied into")
scatter_min = _scatter("scatter_min", "min", "taking the place of what is more in")
scatter_max = _scatter("scatter_max", "max", "taking the place of what is less in")

__all__ = [
    "GatherDimensionNumbers",
    "GatherScatterMode",
    "ScatterDimensionNumbers",
    "dynamic_index_in_dim",
    "dynamic_slice",
    "dynamic_slice_in_dim",
    "dynamic_update_index_in_dim",
    "dynamic_update_slice",
    "dynamic_update_slice_in_dim",
    "gather",
    "index_take",
    "scatter",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
]
