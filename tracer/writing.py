"""`x.at[index]`: a changed copy of an array.

Invariant: nothing depends on an order of writes; positions known only on the device that are out
of range are dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from ir.dtypes import DType, bool_

from . import elementwise as ew
from . import shaping
from .array import aval_of, is_weak
from .creation import iota
from .errors import located
from .indexing import Plan, flat_ids, forward_spans, get, is_array, plan
from .operands import astype
from .promotion import join, warn
from .reductions import max as reduce_max
from .staging import bind, operand, scalar, visible


@dataclass(frozen=True, eq=False)
class At:
    """`x.at`: index it, then say what to write there."""

    array: Any

    def __getitem__(self, index: Any) -> Places:
        return Places(self.array, index)


@dataclass(frozen=True, eq=False)
class Places:
    """`x.at[index]`. Each method returns a changed copy; values broadcast to x[index]."""

    array: Any
    index: Any

    def get(self) -> Any:
        return get(self.array, self.index)

    def set(self, values: Any) -> Any:
        """`x` with `values` there; of values for one place, the last counts."""
        return self._write(values, lambda old, new: new, _set_rows)

    def add(
        self, values: Any, *, indices_are_sorted: bool = False, unique_indices: bool = False
    ) -> Any:
        """`x` with `values` added there; all values for one place count."""
        promises = dict(sorted=indices_are_sorted, unique=unique_indices)
        return self._write(values, ew.add, partial(_add_rows, **promises))

    def subtract(self, values: Any) -> Any:
        return self.add(ew.negative(values))

    def _write(self, values: Any, combine: Callable, rows: Callable) -> Any:
        x = operand(self.array, "at")
        update = visible(_stored_as(aval_of(x).dtype, values))
        if is_array(self.index) and aval_of(self.index).dtype is bool_:
            mask = self._mask(x)
            return ew.where(mask, combine(x, update), x)
        where = plan(aval_of(x).shape, self.index)
        if where.arrays:
            return _write_rows(x, where, update, rows)
        return _write_static(x, where, self.index, update, combine)

    def _mask(self, x: Any) -> Any:
        mask, rank = operand(self.index), aval_of(x).ndim
        sizes = aval_of(mask).shape
        if sizes != aval_of(x).shape[: len(sizes)]:
            raise located(IndexError, f"mask of shape {sizes} does not fit {aval_of(x)}")
        return shaping.reshape(mask, sizes + (1,) * (rank - len(sizes)))


def _stored_as(kind: DType, values: Any) -> Any:
    """Values in the dtype of the array that they are written to; warns where that loses some."""
    given = operand(values, "at")
    have = aval_of(given).dtype
    if join([(have, is_weak(given)), (kind, False)])[0] is not kind:
        warn(
            "scatter inputs have incompatible types: cannot safely cast value from "
            f"dtype={have.np.name} to dtype={kind.np.name}; convert it with .astype.",
            FutureWarning,
        )
    return astype(given, kind)


def _write_static(x: Any, where: Plan, index: Any, update: Any, combine: Callable) -> Any:
    """Pad the values out to the shape of `x` and choose between the two."""
    shape = aval_of(x).shape
    spans = tuple(slice(i, i + 1, 1) if isinstance(i, int) else i for i in where.items)
    forward, turned = forward_spans(spans)
    window = tuple(len(range(*span)) for span in forward)
    hosts = index if isinstance(index, tuple) else (index,)
    result = np.broadcast_to(0, shape)[hosts].shape  # a view of one number: costs nothing
    part = shaping.reshape(_fitted(update, result), window)
    part = bind("rev", part, axes=turned) if turned else part
    low = tuple(s for s, _, _ in forward)
    widths = dict(
        low=low,
        high=tuple(n - _end(span, w) for n, span, w in zip(shape, forward, window, strict=True)),
        interior=tuple(step - 1 for _, _, step in forward),
    )
    if window == shape:
        return combine(x, part)
    there = bind("pad", scalar(True, bool_, window), **widths, value=False)
    return ew.where(there, combine(x, bind("pad", part, **widths, value=0)), x)


def _end(span: tuple[int, int, int], count: int) -> int:
    return span[0] + (count - 1) * span[2] + 1 if count else span[0]


def _fitted(update: Any, shape: tuple[int, ...]) -> Any:
    """`update` broadcast to `shape`; surplus leading axes of size 1 are dropped, as in numpy."""
    have = aval_of(update).shape
    extra = max(len(have) - len(shape), 0)
    if extra and set(have[:extra]) == {1}:
        update = shaping.reshape(update, have[extra:])
    return shaping.broadcast_to(update, shape)


def _write_rows(x: Any, where: Plan, update: Any, rows: Callable) -> Any:
    """Bring the indexed axes to the front, as one, and the others behind them."""
    shape = aval_of(x).shape
    axes = where.arrays
    rest = [d for d in range(len(shape)) if d not in axes]
    if where.new or any(where.items[d] != slice(0, shape[d], 1) for d in rest):
        raise located(
            IndexError,
            "x.at[...] with index arrays takes whole axes beside them; slice x first",
        )
    sizes = [shape[d] for d in axes]
    ids = flat_ids([where.items[d] for d in axes], sizes, clamp=False)
    count = aval_of(ids).ndim
    first = axes[0] if list(axes) == list(range(axes[0], axes[-1] + 1)) else 0
    kept = tuple(shape[d] for d in rest)
    update = _fitted(update, (*kept[:first], *aval_of(ids).shape, *kept[first:]))
    update = shaping.moveaxis(update, tuple(range(first, first + count)), tuple(range(count)))
    order = [*axes, *rest]
    table = shaping.transpose(x, order)
    flat = shaping.reshape(table, (prod(sizes), *(shape[d] for d in rest)))
    done = shaping.reshape(rows(flat, ids, update), aval_of(table).shape)
    return shaping.transpose(done, [order.index(d) for d in range(len(shape))])


def _add_rows(x: Any, ids: Any, update: Any, **promises: bool) -> Any:
    return bind("scatter", x, ids, update, combine="add", **promises)


def _set_rows(x: Any, ids: Any, update: Any) -> Any:
    """Each row finds the last position that names it: no order of writes to depend on."""
    shape = aval_of(x).shape
    count = prod(aval_of(ids).shape)
    if not count or not shape[0]:
        return x
    ids = shaping.reshape(ids, (count,))
    update = shaping.reshape(update, (count, *shape[1:]))
    grid = (shape[0], count)
    names = ew.equal(iota(grid, 0), shaping.broadcast_to(ids, grid))
    last = reduce_max(ew.where(names, iota(grid, 1), -1), axis=1)
    new = bind("take", update, last)
    hit = shaping.reshape(ew.greater_equal(last, 0), (shape[0],) + (1,) * (len(shape) - 1))
    return ew.where(hit, new, x)
