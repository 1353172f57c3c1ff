"""`x[index]`: numpy's rules, with JAX's answer to positions out of range.

Invariant: Python ints and slices are checked and become views; positions known only on the device
clamp. Negative positions count from the end.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import bool_, i32

from . import elementwise as ew
from . import shaping
from .array import Array, Tracer, aval_of
from .creation import iota
from .errors import located
from .operands import astype
from .staging import SCALARS, bind, operand, scalar

_INTS = (int, np.integer)


@dataclass(frozen=True)
class Plan:
    """An index in canonical form.

    `items`: one int, slice or array for each axis. `new`: places of None in the result of the
    static part, which drops the axes of ints, or keeps all axes if there are `arrays`.
    """

    items: tuple[Any, ...]
    new: tuple[int, ...]

    @property
    def arrays(self) -> tuple[int, ...]:
        """Axes with array items; ints count as arrays where there is an array, as in numpy."""
        if not any(is_array(item) for item in self.items):
            return ()
        return tuple(d for d, item in enumerate(self.items) if not isinstance(item, slice))


def is_array(item: Any) -> bool:
    return isinstance(item, (Tracer, Array, np.ndarray))


def plan(shape: tuple[int, ...], index: Any) -> Plan:
    """Canonicalise an index. Raises IndexError, TypeError."""
    given = list(index) if isinstance(index, tuple) else [index]
    given = [_item(item) for item in given]
    used = sum(item is not None and item is not Ellipsis for item in given)
    if used > len(shape):
        raise located(
            IndexError,
            f"too many indices: array has {len(shape)} axes, but {used} were indexed",
        )
    dots = [i for i, item in enumerate(given) if item is Ellipsis]
    if len(dots) > 1:
        raise located(IndexError, "an index can only have a single ellipsis ('...')")
    at = dots[0] if dots else len(given)
    fill = [slice(None)] * (len(shape) - used)
    given = given[:at] + fill + given[at + 1 :]
    items = [item for item in given if item is not None]
    fixed = tuple(
        _bounded(item, d, n) for d, (item, n) in enumerate(zip(items, shape, strict=True))
    )
    return Plan(fixed, _new_axes(given, fixed))


def _item(item: Any) -> Any:
    if isinstance(item, (bool, np.bool_)) or (is_array(item) and aval_of(item).dtype is bool_):
        raise located(
            IndexError,
            "boolean indices would make the result's shape depend on data; use jnp.where",
        )
    if isinstance(item, list):
        item = np.asarray(item, dtype=np.int32 if not item else None)
    if is_array(item) and not aval_of(item).dtype.is_integer:
        raise located(TypeError, f"an index must be an integer array, got {aval_of(item)}")
    if item is None or item is Ellipsis or is_array(item) or isinstance(item, slice):
        return item
    if isinstance(item, _INTS):
        return int(item)
    raise located(
        TypeError,
        f"an index consists of ints, slices, None, ... and integer arrays, got {item!r}",
    )


def _bounded(item: Any, axis: int, n: int) -> Any:
    if isinstance(item, int):
        if not -n <= item < n:
            raise located(
                IndexError, f"index {item} is out of bounds for axis {axis} with size {n}"
            )
        return item % n
    if isinstance(item, slice):
        try:
            return slice(*item.indices(n))
        except TypeError:
            raise located(
                TypeError,
                "a slice has Python ints as bounds; use lax.dynamic_slice for traced positions",
            ) from None
    return item


def _new_axes(given: list, items: tuple) -> tuple[int, ...]:
    """Where Nones go in the result of the static part."""
    mixed = any(is_array(item) for item in items)
    places, axes = [], 0
    for item in given:
        if item is None:
            places.append(axes)
        # With arrays in the index, Nones are placed among all axes before those are gathered.
        axes += mixed or item is None or isinstance(item, slice)
    return tuple(places)


# --- reading ----------------------------------------------------------------------------------


def get(x: Any, index: Any) -> Any:
    """x[index]."""
    x = operand(x)
    where = plan(aval_of(x).shape, index)
    if not where.arrays:
        return _get_static(x, where)
    static = tuple(
        slice(0, n, 1) if d in where.arrays else item for d, (item, n) in _axes(x, where)
    )
    x = _slice(x, static)
    items = list(where.items)
    for place in where.new:
        items.insert(place, slice(None))
    x = shaping.expand_dims(x, where.new) if where.new else x
    return _gather(x, items)


def _axes(x: Any, where: Plan) -> enumerate:
    return enumerate(zip(where.items, aval_of(x).shape, strict=True))


def _get_static(x: Any, where: Plan) -> Any:
    ints = [d for d, item in enumerate(where.items) if isinstance(item, int)]
    if ints and current() is None:
        return _get_eager(x, where, ints)
    spans = tuple(slice(i, i + 1, 1) if isinstance(i, int) else i for i in where.items)
    return _reshaped(_slice(x, spans), where, ints)


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
    return _reshaped(_slice(row, spans), where, ints)


def _slice(x: Any, spans: tuple[slice, ...]) -> Any:
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


def _gather(x: Any, items: list) -> Any:
    """Rows of `x` at the array items; the other items are whole axes."""
    shape = aval_of(x).shape
    axes = [d for d, item in enumerate(items) if not isinstance(item, slice)]
    ids = flat_ids([items[d] for d in axes], [shape[d] for d in axes], clamp=True)
    rest = [d for d in range(len(shape)) if d not in axes]
    rows = shaping.transpose(x, [*axes, *rest])
    rows = shaping.reshape(rows, (prod(shape[d] for d in axes), *(shape[d] for d in rest)))
    out = bind("take", rows, ids)
    adjacent = axes == list(range(axes[0], axes[-1] + 1))
    count = aval_of(ids).ndim
    first = axes[0] if adjacent else 0
    return shaping.moveaxis(out, tuple(range(count)), tuple(range(first, first + count)))


def flat_ids(arrays: list, sizes: list[int], clamp: bool) -> Any:
    """One row-major position for several positions; out of range it is clamped, or -1."""
    ids = [_wrapped(a, n) for a, n in zip(arrays, sizes, strict=True)]
    if len(ids) == 1:
        return ids[0]
    try:
        ids = shaping.broadcast_arrays(*ids)
    except ValueError:
        shapes = ", ".join(str(aval_of(i).shape) for i in ids)
        raise located(
            IndexError, f"shape mismatch: index arrays of shapes {shapes} do not broadcast"
        ) from None
    if clamp:
        ids = [ew.clip(i, 0, n - 1) for i, n in zip(ids, sizes, strict=True)]
    flat = ids[0]
    for i, n in zip(ids[1:], sizes[1:], strict=True):
        flat = ew.add(ew.multiply(flat, n), i)
    if clamp:
        return flat
    inside = [ew.logical_and(i >= 0, i < n) for i, n in zip(ids, sizes, strict=True)]
    for part in inside[1:]:
        inside[0] = ew.logical_and(inside[0], part)
    return ew.where(inside[0], flat, -1)


def _wrapped(ids: Any, n: int) -> Any:
    """Negative positions counted from the end, as int32."""
    if isinstance(ids, (int, np.ndarray)):
        host = np.asarray(ids, np.int64)
        return operand(np.where(host < 0, host + n, host).astype(np.int32))
    if aval_of(ids).dtype.np.kind != "i":
        return astype(ids, i32)
    return ew.where(ew.less(ids, 0), ew.add(ids, n), ids)


def take(x: Any, indices: Any, axis: int | None = None, mode: str | None = None) -> Any:
    """x[indices] along `axis` (default: of the flattened array); positions out of range clamp.

    Negative positions count from the end, except with mode="clip", where they clamp to 0.
    """
    if mode not in (None, "clip", "wrap"):
        raise located(ValueError, f"take has the modes None and 'clip', got {mode!r}")
    x, ids = operand(x, "take"), operand(indices, "take")
    if not aval_of(ids).dtype.is_integer:
        raise located(TypeError, f"take needs integer indices, got {aval_of(ids)}")
    x = shaping.ravel(x) if axis is None else x
    at = shaping.canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    if aval_of(x).shape[at] == 0 and aval_of(ids).size:
        raise located(IndexError, f"cannot take from the empty axis {at} of {aval_of(x)}")
    ids = ids if mode == "clip" else _wrapped(ids, aval_of(x).shape[at])
    out = bind("take", shaping.moveaxis(x, at, 0), ids)
    count = aval_of(ids).ndim
    return shaping.moveaxis(out, tuple(range(count)), tuple(range(at, at + count)))


def take_along_axis(x: Any, indices: Any, axis: int) -> Any:
    """out[.., i, ..] = x[.., indices[.., i, ..], ..]; other axes broadcast."""
    x, ids = operand(x), operand(indices)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    wide = [n if d == at else slice(None) for d, n in enumerate(aval_of(ids).shape)]
    shape = np.broadcast_shapes(
        tuple(1 if d == at else n for d, n in enumerate(aval_of(x).shape)), aval_of(ids).shape
    )
    x = shaping.broadcast_to(
        x, tuple(aval_of(x).shape[at] if d == at else n for d, n in enumerate(shape))
    )
    ids = shaping.broadcast_to(ids, shape)
    index = [ids if d == at else iota(shape, d) for d in range(len(wide))]
    return _gather(x, index)


def as_position(i: Any, size: int) -> Any:
    """A start on an axis of `size` as an int32 scalar; negative ones count from the end."""
    if isinstance(i, SCALARS):
        at = operator.index(i)
        return scalar(at + size if at < 0 else at, i32)
    return _wrapped(operand(i), size)
