"""More functions that move elements: pad modes, joins, splits and grids.

Invariant: what is known while tracing becomes slices, reversals and joins, never gathers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import Array, Tracer, aval_of
from .counting import searchsorted
from .creation import as_shape, iota
from .errors import located
from .indexing import picked as take
from .operands import astype, common_shape
from .reductions import cumsum
from .staging import SCALARS, operand

MOST_RUNS = 16  # beyond, one gather costs less than as many slices
_INDEXED = ("edge", "reflect", "symmetric", "wrap")

# --- padding ----------------------------------------------------------------------------------


def pad(array: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """Elements around `array`; widths and values as in numpy: n, (low, high) or one pair an axis.

    Modes: constant, empty (zeros), edge, reflect, symmetric, wrap. Raises ValueError for others,
    and for negative widths.
    """
    array = operand(array, "pad")
    rank = aval_of(array).ndim
    if mode not in ("constant", "empty", *_INDEXED):
        raise located(
            ValueError, f"pad has modes constant, empty, {', '.join(_INDEXED)}, got {mode!r}"
        )
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (rank, 2)).tolist()
    if any(w < 0 for pair in widths for w in pair):
        raise located(ValueError, f"index can't contain negative values: pad_width={pad_width}")
    if mode in _INDEXED:
        for at, pair in enumerate(widths):
            array = _padded_by_index(array, at, pair, mode) if any(pair) else array
        return array
    plain = isinstance(constant_values, SCALARS) and np.isfinite(constant_values)
    if plain or mode == "empty":
        return shaping.pad(array, widths, constant_values=constant_values if plain else 0)
    return _padded_by_values(array, widths, constant_values)


def _padded_by_index(x: Any, at: int, pair: Sequence[int], mode: str) -> Any:
    n = aval_of(x).shape[at]
    if n == 0:
        raise located(ValueError, f"can't extend empty axis {at} using modes other than 'constant'")
    return picked(x, np.pad(np.arange(n), pair, mode=mode), at)


def picked(x: Any, places: np.ndarray, at: int) -> Any:
    """`take` of places known while tracing: slices of the runs among them, unless they are many."""
    if not len(places):
        return shaping.slice_axis(x, at, 0, 0)
    runs = _runs(places)
    if len(runs) > MOST_RUNS:
        return take(x, places.astype(np.int32), at)
    return shaping.concatenate([_run(x, at, r) for r in runs], at)


def _runs(places: np.ndarray) -> list[np.ndarray]:
    """Parts of a walk that go forward or back by one, or stand still."""
    parts, start = [], 0
    steps = np.diff(places)
    for i in range(1, len(places)):
        if abs(steps[i - 1]) > 1 or (i > start + 1 and steps[i - 1] != steps[start]):
            parts.append(places[start:i])
            start = i
    return [*parts, places[start:]]


def _run(x: Any, at: int, places: np.ndarray) -> Any:
    low, high = int(places.min()), int(places.max())
    part = shaping.slice_axis(x, at, low, high + 1)
    if len(places) > 1 and low == high:
        return shaping.repeat(part, len(places), at)
    return shaping.flip(part, at) if places[0] > places[-1] else part


def _padded_by_values(x: Any, widths: list, values: Any) -> Any:
    """Values that differ by side or are not plain numbers."""
    shape = aval_of(x).shape
    given = operand(values if not isinstance(values, (list, tuple)) else np.asarray(values))
    given = astype(given, aval_of(x).dtype)
    given = shaping.broadcast_to(given, (len(shape), 2))
    for at, (low, high) in enumerate(widths):
        sizes = [[*aval_of(x).shape] for _ in range(2)]
        sizes[0][at], sizes[1][at] = low, high
        ends = [shaping.broadcast_to(given[at, side], tuple(sizes[side])) for side in (0, 1)]
        x = shaping.concatenate([ends[0], x, ends[1]], at)
    return x


# --- turning ----------------------------------------------------------------------------------


def rot90(m: Any, k: int = 1, axes: tuple[int, int] = (0, 1)) -> Any:
    """Turn by k right angles, from the first of `axes` towards the second."""
    m = operand(m)
    a, b = (shaping.canonical_axis(d, aval_of(m).ndim) for d in axes)
    if a == b:
        raise located(ValueError, f"Axes must be different, got {axes}")
    match k % 4:
        case 0:
            return m
        case 1:
            return shaping.swapaxes(shaping.flip(m, b), a, b)
        case 2:
            return shaping.flip(m, (a, b))
    return shaping.flip(shaping.swapaxes(m, a, b), b)


def flipud(m: Any) -> Any:
    """The first axis reversed."""
    return shaping.flip(m, 0)


def fliplr(m: Any) -> Any:
    """The second axis reversed."""
    return shaping.flip(m, 1)


def roll(a: Any, shift: Any, axis: Any = None) -> Any:
    """Shift elements along `axis`; those that fall off come back. `shift` may be traced."""
    if not isinstance(shift, (Tracer, Array)):
        return shaping.roll(a, np.asarray(shift).tolist(), axis)
    a = operand(a)
    if axis is None:
        return shaping.reshape(roll(shaping.ravel(a), shift, 0), aval_of(a).shape)
    axes = list(axis) if isinstance(axis, (tuple, list)) else [axis]
    for i, at in enumerate(axes):
        by = shift[i] if aval_of(shift).ndim else shift
        at = shaping.canonical_axis(at, aval_of(a).ndim)
        n = aval_of(a).shape[at]
        a = take(a, ew.mod(ew.subtract(iota((n,), 0), astype(by, i32)), max(n, 1)), at)
    return a


def repeat(
    a: Any, repeats: Any, axis: int | None = None, *, total_repeat_length: int | None = None
) -> Any:
    """Each element `repeats` times (an int, or one an element) in a row along `axis`.

    Traced repeats need `total_repeat_length`, to which the result is cut or, with the last
    element, filled up.
    """
    if isinstance(repeats, (int, np.integer)) and total_repeat_length is None:
        return shaping.repeat(a, int(repeats), axis)
    a = shaping.ravel(a) if axis is None else operand(a)
    at = shaping.canonical_axis(0 if axis is None else axis, aval_of(a).ndim)
    n = aval_of(a).shape[at]
    if not isinstance(repeats, (Tracer, Array)):
        places = np.repeat(np.arange(n), repeats).astype(np.int32)
        if total_repeat_length is None:
            return take(a, places, at)
        repeats = np.broadcast_to(np.asarray(repeats, np.int32), (n,))
    if total_repeat_length is None:
        repeats = np.asarray(repeats)  # concrete, or an error that says why it must be
        return take(a, np.repeat(np.arange(n), repeats).astype(np.int32), at)
    ends = cumsum(shaping.broadcast_to(operand(repeats), (n,)))
    places = searchsorted(ends, iota((total_repeat_length,), 0), "right")
    return take(a, ew.minimum(places, n - 1), at)


# --- joining and splitting --------------------------------------------------------------------


def atleast_1d(*arys: Any) -> Any:
    """Scalars as vectors; a list for several arrays."""
    return _each(arys, lambda x, n: (1,) if n == 0 else None)


def atleast_2d(*arys: Any) -> Any:
    """Vectors as rows."""
    return _each(arys, lambda x, n: (1,) * (2 - n) + x if n < 2 else None)


def atleast_3d(*arys: Any) -> Any:
    """Vectors as [1, n, 1], matrices as [n, m, 1]."""
    shapes = {0: lambda s: (1, 1, 1), 1: lambda s: (1, *s, 1), 2: lambda s: (*s, 1)}
    return _each(arys, lambda x, n: shapes[n](x) if n < 3 else None)


def _each(xs: Sequence[Any], shape_of: Any) -> Any:
    out = []
    for x in map(operand, xs):
        shape = shape_of(aval_of(x).shape, aval_of(x).ndim)
        out.append(x if shape is None else shaping.reshape(x, shape))
    return out[0] if len(out) == 1 else out


def _several(arrays: Any, of: Any) -> list:
    if not len(arrays):
        raise located(ValueError, "Need at least one array to concatenate.")
    return [of(a) for a in arrays]


def vstack(tup: Sequence[Any], dtype: Any = None) -> Any:
    """Rows below each other, of elements as `dtype`."""
    return shaping.concatenate(_several(tup, atleast_2d), 0, dtype)


def hstack(tup: Sequence[Any], dtype: Any = None) -> Any:
    """Side by side: along the second axis, or the only one."""
    ready = _several(tup, atleast_1d)
    return shaping.concatenate(ready, 0 if aval_of(ready[0]).ndim == 1 else 1, dtype)


def dstack(tup: Sequence[Any], dtype: Any = None) -> Any:
    """Behind each other, along the third axis."""
    return shaping.concatenate(_several(tup, atleast_3d), 2, dtype)


def column_stack(tup: Sequence[Any]) -> Any:
    """Vectors as the columns of a matrix; matrices side by side."""
    ready = _several(tup, atleast_1d)
    wide = [shaping.expand_dims(x, 1) if aval_of(x).ndim == 1 else x for x in ready]
    return shaping.concatenate(wide, 1)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`values` behind `arr` along `axis` (None: both flattened)."""
    if axis is None:
        return shaping.concatenate([shaping.ravel(arr), shaping.ravel(values)], 0)
    return shaping.concatenate([arr, values], axis)


def array_split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """So many parts, whose sizes differ by at most 1, or parts between the given indices."""
    x, parts = operand(ary, "array_split"), indices_or_sections
    if np.ndim(parts):
        return shaping.split(x, np.asarray(parts).tolist(), axis)
    n = aval_of(x).shape[shaping.canonical_axis(axis, aval_of(x).ndim)]
    if parts < 1:
        raise located(ValueError, f"number of sections must be larger than 0, got {parts}")
    size, longer = divmod(n, int(parts))
    return shaping.split(x, [i * size + min(i, longer) for i in range(1, int(parts))], axis)


def hsplit(ary: Any, indices_or_sections: Any) -> list:
    """Along the second axis, or the only one."""
    return shaping.split(ary, indices_or_sections, 0 if aval_of(operand(ary)).ndim == 1 else 1)


def vsplit(ary: Any, indices_or_sections: Any) -> list:
    """Along the first axis."""
    return shaping.split(ary, indices_or_sections, 0)


def dsplit(ary: Any, indices_or_sections: Any) -> list:
    """Along the third axis."""
    return shaping.split(ary, indices_or_sections, 2)


def unstack(x: Any, /, *, axis: int = 0) -> tuple:
    """The slices along `axis`."""
    x = operand(x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    n = aval_of(x).shape[at]
    return tuple(shaping.squeeze(shaping.slice_axis(x, at, i, i + 1), at) for i in range(n))


# --- shapes -----------------------------------------------------------------------------------


def broadcast_shapes(*shapes: Any) -> tuple[int, ...]:
    """The shape that all of these broadcast to. Raises ValueError if there is none."""
    return common_shape([s if isinstance(s, tuple) else as_shape(s) for s in shapes])


__all__ = [
    "append",
    "array_split",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "broadcast_shapes",
    "column_stack",
    "dsplit",
    "dstack",
    "fliplr",
    "flipud",
    "hsplit",
    "hstack",
    "pad",
    "repeat",
    "roll",
    "rot90",
    "unstack",
    "vsplit",
    "vstack",
]
