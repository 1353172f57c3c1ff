"""`x[index]`: numpy's rules, with JAX's answer to positions out of range.

Invariant: Python ints and slices become views, other positions a gather. Negative positions count
from the end; a position out of range reads the nearest element unless a mode says otherwise.
"""

from __future__ import annotations

import operator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import highest, i32, lowest

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .errors import located
from .indices import Plan, plan
from .operands import astype
from .reductions import without_out
from .staging import SCALARS, bind, operand, scalar

# --- reading ----------------------------------------------------------------------------------


def get(
    x: Any,
    index: Any,
    mode: Any = None,
    fill_value: Any = None,
    wrap: bool = True,
    **promises: bool,
) -> Any:
    """x[index]."""
    x, kind = operand(x), scatter_mode(mode)
    where = plan(aval_of(x).shape, index, wrap, exact=kind is not None)
    if not where.arrays:
        return _get_static(x, where)
    static = tuple(
        slice(0, n, 1) if d in where.arrays else item for d, (item, n) in _axes(x, where)
    )
    x = sliced(x, static)
    items = list(where.items)
    for place in where.new:
        items.insert(place, slice(None))
    x = shaping.expand_dims(x, where.new) if where.new else x
    return _gather(x, items, kind, fill_value, wrap, promises.get("unique", False))


def scatter_mode(mode: Any) -> str | None:
    """ "clip", "fill" or None (nobody said). Raises ValueError for other modes."""
    name = getattr(mode, "name", mode)
    found = _MODES.get(name.lower() if isinstance(name, str) else name, "")
    if found == "":
        raise located(ValueError, f'Unknown gather mode "{mode}"')
    return found


_MODES = {
    None: None,
    "promise_in_bounds": None,
    "clip": "clip",
    "fill": "fill",
    "drop": "fill",
    "fill_or_drop": "fill",
}


def _axes(x: Any, where: Plan) -> enumerate:
    return enumerate(zip(where.items, aval_of(x).shape, strict=True))


def _get_static(x: Any, where: Plan) -> Any:
    ints = [d for d, item in enumerate(where.items) if isinstance(item, int)]
    for d in ints:
        if not aval_of(x).shape[d]:
            raise located(IndexError, f"index {where.items[d]} of axis {d}, which has size 0")
    near = [
        min(max(item, 0), n - 1) if isinstance(item, int) else item
        for item, n in zip(where.items, aval_of(x).shape, strict=True)
    ]
    if ints and current() is None:
        return _get_eager(x, replace(where, items=tuple(near)), ints)
    spans = tuple(slice(i, i + 1, 1) if isinstance(i, int) else i for i in near)
    return _reshaped(sliced(x, spans), where, ints)


def _reshaped(x: Any, where: Plan, ints: list[int]) -> Any:
    kept = [n for d, n in enumerate(aval_of(x).shape) if d not in ints]
    for place in where.new:
        kept.insert(place, 1)
    return shaping.reshape(x, tuple(kept))


def _get_eager(x: Any, where: Plan, ints: list[int]) -> Any:
    """Positions are data outside of a trace, so that a loop over them compiles one kernel."""
    shape = aval_of(x).shape
    sizes = tuple(1 if d in ints else n for d, n in enumerate(shape))
    starts = [scalar(where.items[d] if d in ints else 0, i32) for d in range(len(shape))]
    row = bind("dynamic_slice", x, *starts, sizes=sizes)
    spans = tuple(slice(0, 1, 1) if d in ints else item for d, item in enumerate(where.items))
    return _reshaped(sliced(row, spans), where, ints)


def sliced(x: Any, spans: tuple[slice, ...]) -> Any:
    """Slices in the form `slice.indices` gives, steps of either sign."""
    shape = aval_of(x).shape
    if all(s == slice(0, n, 1) for s, n in zip(spans, shape, strict=True)):
        return x
    forward, turned = forward_spans(spans)
    start, limit, stride = zip(*forward, strict=True)
    x = bind("slice", x, start=start, limit=limit, stride=stride)
    return bind("rev", x, axes=turned) if turned else x


def forward_spans(spans: tuple[slice, ...]) -> tuple[list[tuple[int, int, int]], tuple[int, ...]]:
    """(start, limit, stride) with positive strides, and the axes to reverse afterwards."""
    forward, turned = [], []
    for d, s in enumerate(spans):
        places = range(s.start, s.stop, s.step)
        if not places:
            forward.append((0, 0, 1))
            continue
        low, high = min(places[0], places[-1]), max(places[0], places[-1])
        forward.append((low, high + 1, abs(s.step)))
        if s.step < 0:
            turned.append(d)
    return forward, tuple(turned)


def _gather(x: Any, items: list, mode: str | None, fill: Any, wrap: bool, unique: bool) -> Any:
    """Rows of `x` at the array items; the other items are whole axes."""
    shape = aval_of(x).shape
    axes = [d for d, item in enumerate(items) if not isinstance(item, slice)]
    arrays = positions([items[d] for d in axes], [shape[d] for d in axes], wrap)
    rest = [d for d in range(len(shape)) if d not in axes]
    rows = shaping.transpose(x, [*axes, *rest])
    sizes = [shape[d] for d in axes]
    rows = shaping.reshape(rows, (prod(sizes), *(shape[d] for d in rest)))
    out = _picked_rows(rows, arrays, sizes, mode, fill, unique)
    adjacent = axes == list(range(axes[0], axes[-1] + 1))
    count = aval_of(arrays[0]).ndim
    first = axes[0] if adjacent else 0
    return shaping.moveaxis(out, tuple(range(count)), tuple(range(first, first + count)))


def _picked_rows(
    rows: Any, arrays: list, sizes: list[int], mode: str | None, fill: Any, unique: bool
) -> Any:
    """Rows at row-major positions. Out of range they are those of the nearest position, without a
    derivative unless `mode` is "clip", or `fill`."""
    near = [ew.clip(i, 0, n - 1) for i, n in zip(arrays, sizes, strict=True)]
    if mode == "clip" or (len(arrays) == 1 and mode is None):
        ids = near if mode == "clip" else arrays
        return _nonempty_take(rows, flat_ids(ids, sizes), unique and mode is None)
    inside = all_inside(arrays, sizes)
    flat = flat_ids(near, sizes)
    if mode == "fill":
        flat = ew.where(inside, flat, -1)  # no two are the same row because both are out of range
        if not aval_of(rows).shape[0]:
            shape = (*aval_of(flat).shape, *aval_of(rows).shape[1:])
            return shaping.broadcast_to(filling(rows, fill), shape)
    out = _nonempty_take(rows, flat, unique)
    there = shaping.reshape(inside, aval_of(inside).shape + (1,) * (aval_of(rows).ndim - 1))
    other = filling(rows, fill) if mode == "fill" else bind("stop_gradient", out)
    return ew.where(there, out, other)


def _nonempty_take(rows: Any, ids: Any, unique: bool, batch: int = 0) -> Any:
    if aval_of(rows).shape[batch] == 0 and aval_of(ids).size:
        raise located(IndexError, f"cannot take from the empty axis {batch} of {aval_of(rows)}")
    return bind("take", rows, ids, **said(batch=batch, unique=unique))


def said(**params: Any) -> dict[str, Any]:
    """The params that say something."""
    return {name: value for name, value in params.items() if value}


def filling(x: Any, value: Any) -> Any:
    """What stands for elements that are not there: NaN, or an integer's extreme value."""
    kind = aval_of(x).dtype
    if value is None:
        value = np.nan if kind.is_float else True
        if kind.is_integer:
            value = kind.np.type(lowest(kind) if kind.np.kind == "i" else highest(kind))
    return astype(operand(value), kind)


def positions(arrays: list, sizes: list[int], wrap: bool = True) -> list:
    """Index arrays of one shape as i32; negative positions count from the end if they `wrap`."""
    pairs = zip(arrays, sizes, strict=True)  # ints were counted from the start by `plan`
    ids = [_wrapped(a, n) if wrap and not isinstance(a, int) else _signed(a) for a, n in pairs]
    try:
        return shaping.broadcast_arrays(*ids) if len(ids) > 1 else ids
    except ValueError:
        shapes = ", ".join(str(aval_of(i).shape) for i in ids)
        raise located(
            IndexError, f"shape mismatch: index arrays of shapes {shapes} do not broadcast"
        ) from None


def flat_ids(ids: list, sizes: list[int]) -> Any:
    """One row-major position for several positions, which are in range."""
    flat = ids[0]
    for i, n in zip(ids[1:], sizes[1:], strict=True):
        flat = ew.add(ew.multiply(flat, n), i)
    return flat


def all_inside(ids: list, sizes: list[int]) -> Any:
    """Where all positions are in range."""
    inside = [
        ew.logical_and(ew.greater_equal(i, 0), ew.less(i, n))
        for i, n in zip(ids, sizes, strict=True)
    ]
    for part in inside[1:]:
        inside[0] = ew.logical_and(inside[0], part)
    return inside[0]


def _wrapped(ids: Any, n: int) -> Any:
    """Negative positions counted from the end, as int32."""
    if isinstance(ids, np.ndarray):
        host = ids.astype(np.int64)
        return operand(np.where(host < 0, host + n, host).astype(np.int32))
    if aval_of(ids).dtype.np.kind != "i":
        return astype(ids, i32)
    ids = astype(ids, i32)
    return ew.where(ew.less(ids, 0), ew.add(ids, n), ids)


def _signed(ids: Any) -> Any:
    return astype(operand(np.int32(ids) if isinstance(ids, int) else ids), i32)


# --- numpy's functions ------------------------------------------------------------------------


def picked(x: Any, indices: Any, axis: int | None = None) -> Any:
    """x[indices] along `axis` (None: flattened), for positions in range."""
    return _take(x, indices, axis, None, None, False)


def take(
    a: Any,
    indices: Any,
    axis: int | None = None,
    out: None = None,
    mode: str | None = None,
    unique_indices: bool = False,
    indices_are_sorted: bool = False,
    fill_value: Any = None,
) -> Any:
    """a[indices] along `axis` (default: of the flattened array).

    Modes say what positions out of range read: "fill" (the default) `fill_value`, by default NaN
    or an integer's extreme value; "clip" the nearest element; "wrap" the one that far round.
    Negative positions count from the end, except with "clip". `unique_indices` is a promise.
    """
    without_out("take", out)
    if mode == "raise":
        raise located(ValueError, "The 'raise' mode to jnp.take is not supported.")
    if mode not in (None, "fill", "clip", "wrap"):
        raise located(ValueError, f"Invalid mode '{mode}' for np.take")
    return _take(a, indices, axis, mode or "fill", fill_value, unique_indices)


def _take(x: Any, indices: Any, axis: int | None, mode: str | None, fill: Any, unique: bool) -> Any:
    x, ids = operand(x, "take"), operand(indices, "take")
    if not aval_of(ids).dtype.is_integer:
        raise located(
            TypeError, f"take requires indices of integer dtype, got {aval_of(ids).dtype.np.name}"
        )
    x = shaping.ravel(x) if axis is None else x
    at = shaping.canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    size = aval_of(x).shape[at]
    if size == 0 and aval_of(ids).size:
        raise located(IndexError, f"cannot take from the empty axis {at} of {aval_of(x)}")
    ids = ew.mod(ids, size) if mode == "wrap" and size else ids
    ids = positions([ids], [size], wrap=mode != "clip")
    out = _picked_rows(
        shaping.moveaxis(x, at, 0), ids, [size], None if mode == "wrap" else mode, fill, unique
    )
    count = aval_of(ids[0]).ndim
    return shaping.moveaxis(out, tuple(range(count)), tuple(range(at, at + count)))


def along(x: Any, indices: Any, axis: int) -> Any:
    """`take_along_axis` for positions in range."""
    return take_along_axis(x, indices, axis, "promise_in_bounds")


def take_along_axis(
    arr: Any, indices: Any, axis: int | None = -1, mode: Any = None, fill_value: Any = None
) -> Any:
    """out[.., i, ..] = arr[.., indices[.., i, ..], ..]; other axes broadcast.

    Positions out of range read `fill_value` (by default NaN, or an integer's extreme value), with
    mode="clip" the nearest element. Axis None stands for the flattened array.
    """
    x, ids = operand(arr), operand(indices)
    if not aval_of(ids).dtype.is_integer:
        raise located(
            TypeError,
            f"take_along_axis indices must be of integer type, got {aval_of(ids).dtype.np.name}",
        )
    x, axis = (shaping.ravel(x), 0) if axis is None else (x, axis)
    rank = aval_of(x).ndim
    if aval_of(ids).ndim != rank:
        raise located(
            ValueError,
            "indices and arr must have the same number of dimensions; "
            f"{aval_of(ids).ndim} vs. {rank}",
        )
    at = shaping.canonical_axis(axis, rank)
    x, ids = beside(x, ids, at)
    size = aval_of(x).shape[-1]
    kind = "fill" if mode is None else scatter_mode(mode)
    (ids,) = positions([ids], [size], wrap=kind is not None)
    if kind == "clip":
        ids = ew.clip(ids, 0, size - 1)
    out = _nonempty_take(x, ids, False, rank - 1)
    if kind == "fill":
        out = ew.where(all_inside([ids], [size]), out, filling(x, fill_value))
    return shaping.moveaxis(out, -1, at)


def beside(x: Any, ids: Any, axis: int) -> tuple[Any, Any]:
    """Both with `axis` last and all other axes broadcast."""
    x, ids = shaping.moveaxis(x, axis, -1), shaping.moveaxis(ids, axis, -1)
    lead = np.broadcast_shapes(aval_of(x).shape[:-1], aval_of(ids).shape[:-1])
    return (
        shaping.broadcast_to(x, (*lead, aval_of(x).shape[-1])),
        shaping.broadcast_to(ids, (*lead, aval_of(ids).shape[-1])),
    )


def as_position(i: Any, size: int) -> Any:
    """A start on an axis of `size` as an int32 scalar; negative ones count from the end."""
    if isinstance(i, SCALARS):
        at = operator.index(i)
        return scalar(at + size if at < 0 else at, i32)
    return _wrapped(operand(i), size)
