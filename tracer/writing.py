"""`x.at[index]`: a changed copy of an array.

Invariant: of values set at one place the last counts, all others are combined in their order;
positions out of range are dropped unless a mode says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from ir.dtypes import DType, bool_, i32

from . import elementwise as ew
from . import shaping
from .array import Tracer, aval_of, is_weak
from .creation import iota
from .errors import located
from .indexing import (
    all_inside,
    flat_ids,
    forward_spans,
    get,
    said,
    scatter_mode,
    sliced,
)
from .indexing import positions as index_positions
from .indices import Plan, is_array, plan
from .operands import astype
from .promotion import join, warn
from .reductions import max as reduce_max
from .staging import bind, marked, operand, scalar, visible


@dataclass(frozen=True, eq=False)
class At:
    """`x.at`: index it, then say what to write there."""

    array: Any

    def __getitem__(self, index: Any) -> Places:
        return Places(self.array, index)


@dataclass(frozen=True)
class How:
    """What the caller says about positions: `mode` is None, "clip" or "fill"."""

    mode: str | None = None
    wrap: bool = True
    unique: bool = False
    sorted: bool = False


def how(
    mode: Any = None,
    *,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    wrap_negative_indices: bool = True,
    out_sharding: None = None,
) -> How:
    """The keywords that all of `x.at[...]`'s methods take."""
    kind, wrap = scatter_mode(mode), wrap_negative_indices
    # Positions that ascend before the negative ones are wrapped need not ascend afterwards.
    return How(kind, wrap, unique_indices, indices_are_sorted and not wrap)


@dataclass(frozen=True, eq=False)
class Places:
    """`x.at[index]`. Each method returns a changed copy; values broadcast to x[index].

    All take `mode`: positions out of range are dropped by default and with "drop" and "fill", and
    moved to the nearest with "clip". `unique_indices` and `indices_are_sorted` are promises.
    """

    array: Any
    index: Any

    def get(self, *, mode: Any = None, fill_value: Any = None, **options: Any) -> Any:
        """x[index]. With mode="fill" positions out of range read `fill_value`: by default NaN, or
        an integer's extreme value. With "clip", and by default, they read the nearest element."""
        said = how(mode, **options)
        return get(self.array, self.index, mode, fill_value, said.wrap, unique=said.unique)

    def set(self, values: Any, **options: Any) -> Any:
        """`x` with `values` there; of values for one place, the last counts."""
        return self._write(values, "set", options)

    def add(self, values: Any, **options: Any) -> Any:
        """`x` with `values` added there; all values for one place count."""
        return self._write(values, "add", options)

    def subtract(self, values: Any, **options: Any) -> Any:
        return self._write(ew.negative(values), "add", options)

    def multiply(self, values: Any, **options: Any) -> Any:
        return self._write(values, "mul", options)

    mul = multiply
    sub = subtract

    def min(self, values: Any, **options: Any) -> Any:
        return self._write(values, "min", options)

    def max(self, values: Any, **options: Any) -> Any:
        return self._write(values, "max", options)

    def divide(self, values: Any, **options: Any) -> Any:
        return ew.divide(self.array, self._product(values, options))

    def power(self, values: Any, **options: Any) -> Any:
        return ew.power(self.array, self._product(values, options))

    def apply(self, func: Callable, **options: Any) -> Any:
        """`x` with `func`, an elementwise function, applied there, once for each mention."""
        x = operand(self.array, "at")
        ones = scalar(0, i32, aval_of(x).shape)
        count = Places(visible(ones), self.index).add(1, **options)
        if not _repeats(self.index) or options.get("unique_indices"):
            return ew.where(ew.greater(count, 0), func(x), x)
        from .loops import fori_loop

        def step(i: Any, y: Any) -> Any:
            return ew.where(ew.greater(count, i), func(y), y)

        return fori_loop(0, reduce_max(count), step, x)

    def _product(self, values: Any, options: dict) -> Any:
        """1 everywhere but there."""
        values = operand(values, "at")
        ones = scalar(1, aval_of(values).dtype, aval_of(operand(self.array, "at")).shape)
        return Places(visible(ones), self.index).multiply(values, **options)

    def _write(self, values: Any, combine: str, options: dict) -> Any:
        x = operand(self.array, "at")
        if aval_of(x).dtype is bool_ and combine != "set":
            wide = Places(astype(x, i32), self.index)
            return astype(wide._write(astype(values, i32), combine, options), bool_)
        update = visible(_stored_as(aval_of(x).dtype, values))
        if _is_mask(self.index) and (isinstance(self.index, Tracer) or not aval_of(update).ndim):
            return ew.where(self._mask(x), _COMBINE[combine](x, update), x)
        return marked(written(x, self.index, update, combine, how(**options)), is_weak(x))

    def _mask(self, x: Any) -> Any:
        mask, rank = operand(self.index), aval_of(x).ndim
        sizes = aval_of(mask).shape
        if sizes != aval_of(x).shape[: len(sizes)]:
            raise located(
                IndexError,
                "boolean index did not match shape of indexed array in index 0: "
                f"got {sizes}, expected {list(aval_of(x).shape[: len(sizes)])}",
            )
        return shaping.reshape(mask, sizes + (1,) * (rank - len(sizes)))


_COMBINE: dict[str, Callable] = {
    "set": lambda old, new: shaping.broadcast_to(new, aval_of(old).shape),
    "add": ew.add,
    "mul": ew.multiply,
    "min": ew.minimum,
    "max": ew.maximum,
}


def _is_mask(index: Any) -> bool:
    return is_array(index) and aval_of(index).dtype is bool_


def _repeats(index: Any) -> bool:
    """Whether an index may name a place twice."""
    items = index if isinstance(index, tuple) else (index,)
    return any(is_array(item) and aval_of(item).size > 1 and not _is_mask(item) for item in items)


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


def written(x: Any, index: Any, update: Any, combine: str, options: How) -> Any:
    """`x` with `update`, of its dtype, combined at an index."""
    where = plan(aval_of(x).shape, index, options.wrap, exact=True)
    if where.arrays:
        return _write_beside(x, where, update, combine, options)
    return _write_static(x, where, update, _COMBINE[combine])


# --- windows known while tracing --------------------------------------------------------------


def _write_static(x: Any, where: Plan, update: Any, combine: Callable) -> Any:
    """Pad the values out to the shape of `x` and choose between the two."""
    shape = aval_of(x).shape
    spans = tuple(slice(i, i + 1, 1) if isinstance(i, int) else i for i in where.items)
    forward, turned = forward_spans(spans)
    window = tuple(len(range(*span)) for span in forward)
    result = [n for n, i in zip(window, where.items, strict=True) if not isinstance(i, int)]
    for place in where.new:
        result.insert(place, 1)
    part = shaping.reshape(_fitted(update, tuple(result)), window)
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


# --- rows known on the device -----------------------------------------------------------------


def _write_beside(x: Any, where: Plan, update: Any, combine: str, options: How) -> Any:
    """Arrays beside slices write into what the slices leave, which then replaces it."""
    whole = tuple(slice(0, n, 1) for n in aval_of(x).shape)
    pairs = zip(where.items, whole, strict=True)
    spans = tuple(item if isinstance(item, slice) else full for item, full in pairs)
    if spans == whole:
        return _write_rows(x, where, update, combine, options)
    part = sliced(x, spans)
    items = zip(where.items, aval_of(part).shape, strict=True)
    inner = tuple(slice(0, n, 1) if isinstance(item, slice) else item for item, n in items)
    there = Plan(inner, where.new, where.gathers)
    part = _write_rows(part, there, update, combine, options)
    return _write_static(x, Plan(spans, ()), part, _COMBINE["set"])


def _write_rows(x: Any, where: Plan, update: Any, combine: str, options: How) -> Any:
    """Bring the indexed axes to the front, as one, and the others behind them."""
    old = aval_of(x).shape
    items = list(where.items)
    for place in where.new:
        items.insert(place, slice(None))
    x = shaping.expand_dims(x, where.new) if where.new else x
    shape = aval_of(x).shape
    axes = [d for d, item in enumerate(items) if not isinstance(item, slice)]
    rest = [d for d in range(len(shape)) if d not in axes]
    sizes = [shape[d] for d in axes]
    ids = _target(index_positions([items[d] for d in axes], sizes, options.wrap), sizes, options)
    count = aval_of(ids).ndim
    first = axes[0] if axes == list(range(axes[0], axes[-1] + 1)) else 0
    kept = tuple(shape[d] for d in rest)
    update = _fitted(update, (*kept[:first], *aval_of(ids).shape, *kept[first:]))
    update = shaping.moveaxis(update, tuple(range(first, first + count)), tuple(range(count)))
    order = [*axes, *rest]
    table = shaping.transpose(x, order)
    flat = shaping.reshape(table, (prod(sizes), *kept))
    promises = said(unique=options.unique, sorted=options.sorted and len(axes) == 1)
    done = shaping.reshape(combined(flat, ids, update, combine, **promises), aval_of(table).shape)
    done = shaping.transpose(done, [order.index(d) for d in range(len(shape))])
    return shaping.reshape(done, old)


def _target(ids: list, sizes: list[int], options: How) -> Any:
    """One row-major position for several; -1 for those that are to be dropped."""
    if options.mode == "clip":
        ids = [ew.clip(i, 0, n - 1) for i, n in zip(ids, sizes, strict=True)]
        return flat_ids(ids, sizes)
    if len(ids) == 1:
        return ids[0]
    return ew.where(all_inside(ids, sizes), flat_ids(ids, sizes), -1)


def combined(x: Any, ids: Any, update: Any, combine: str, batch: int = 0, **promises: bool) -> Any:
    """`x` with updates at rows `ids` of axis `batch`; rows out of range are dropped."""
    shape = aval_of(x).shape
    if not aval_of(update).size or not aval_of(x).size:
        return x
    if aval_of(ids).size == 1 and not batch:
        return _one_row(x, ids, update, combine)
    if combine != "set":
        return bind("scatter", x, ids, update, combine=combine, **said(batch=batch, **promises))
    # Rows of several updates find the last of them; then each reads its own.
    ids = shaping.reshape(ids, (*shape[:batch], prod(aval_of(ids).shape[batch:])))
    number = aval_of(ids).shape
    update = shaping.reshape(update, (*number, *shape[batch + 1 :]))
    none = scalar(0, i32, shape[: batch + 1])
    order = ew.add(iota(number, batch), 1)
    how = "add" if promises.get("unique") else "max"
    last = bind("scatter", none, ids, order, combine=how, **said(batch=batch, **promises))
    new = bind("take", update, ew.subtract(last, 1), **said(batch=batch, unique=True))
    hit = ew.greater(last, 0)
    hit = shaping.reshape(hit, aval_of(hit).shape + (1,) * (len(shape) - batch - 1))
    return ew.where(hit, new, x)


def _one_row(x: Any, ids: Any, update: Any, combine: str) -> Any:
    """A single row is compared with every row number: one kernel, which may work in place."""
    shape = aval_of(x).shape
    at = shaping.broadcast_to(shaping.reshape(ids, (1,)), shape[:1])
    hit = shaping.reshape(ew.equal(iota(shape[:1], 0), at), (shape[0],) + (1,) * (len(shape) - 1))
    row = shaping.reshape(update, (1, *shape[1:]))
    return ew.where(hit, _COMBINE[combine](x, row), x)


__all__ = ["At", "How", "Places", "combined", "how", "written"]
