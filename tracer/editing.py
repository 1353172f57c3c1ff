"""Arrays with parts inserted, left out, chosen or repeated to fit.

Invariant: places that are known while tracing become slices and joins unless they are many.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import Array, Tracer, aval_of, host_value
from .counting import nonzero
from .creation import as_shape, asarray, iota
from .errors import located
from .indexing import picked as take
from .layout import picked
from .operands import as_bool, astype, same_dtype
from .sorting import argsort
from .staging import filled, operand

# --- putting in and taking out ----------------------------------------------------------------


def _along(arr: Any, axis: int | None) -> tuple[Any, int]:
    x = shaping.ravel(arr) if axis is None else operand(arr)
    return x, shaping.canonical_axis(0 if axis is None else axis, aval_of(x).ndim)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """`values` before the places `obj` (an int, a slice or a vector) along `axis`.

    Raises ValueError for places that are no integers.
    """
    x, at = _along(arr, axis)
    n = aval_of(x).shape[at]
    places = np.arange(n)[obj] if isinstance(obj, slice) else asarray(obj)
    aval = aval_of(places)
    if aval.ndim > 1 or (aval.size and not aval.dtype.is_integer):
        raise located(
            ValueError,
            "jnp.insert(): obj must be a slice, a one-dimensional array, or a scalar of integers; "
            f"got {obj}",
        )
    new = _values(asarray(values, aval_of(x).dtype), x, at, scalar=aval_of(places).ndim == 0)
    count = max(aval_of(places).size, aval_of(new).shape[at]) if aval_of(places).size else 0
    sizes = tuple(count if d == at else k for d, k in enumerate(aval_of(x).shape))
    joined = shaping.concatenate([x, shaping.broadcast_to(new, sizes)], at)
    if isinstance(places, Tracer):
        return take(joined, _merged(places, n, count), at)
    given = np.broadcast_to(np.asarray(host_value(places), np.int64).reshape(-1), (count,))
    start = np.where(given < 0, given + n, given).clip(0, n)
    order = np.argsort(np.concatenate([2 * np.arange(n) + 1, 2 * start]), kind="stable")
    return picked(joined, order, at)


def _values(new: Any, x: Any, at: int, scalar: bool) -> Any:
    rank = aval_of(x).ndim
    new = shaping.reshape(new, (1,) * (rank - aval_of(new).ndim) + aval_of(new).shape)
    return shaping.moveaxis(new, 0, at) if scalar else new


def _merged(places: Any, n: int, count: int) -> Any:
    """Where the elements of an array and behind it the new ones are in the result."""
    start = shaping.broadcast_to(shaping.ravel(places), (count,))
    start = ew.clip(ew.where(ew.less(start, 0), ew.add(start, n), start), 0, n)
    own = ew.add(ew.multiply(iota((n,), 0), 2), 1)
    return argsort(shaping.concatenate([own, ew.multiply(start, 2)], 0))


def delete(
    arr: Any, obj: Any, axis: int | None = None, *, assume_unique_indices: bool = False
) -> Any:
    """The array without the places `obj` (an int, a slice, integers or a mask) along `axis`.

    Places that are traced must be integers, a scalar or with `assume_unique_indices`: how many
    are left must be known. Raises IndexError or ValueError for places that do not fit.
    """
    x, at = _along(arr, axis)
    n = aval_of(x).shape[at]
    if isinstance(obj, Tracer) and (assume_unique_indices or not aval_of(obj).ndim):
        return take(x, _remaining(shaping.ravel(obj), n), at)
    if isinstance(obj, slice):
        gone = np.arange(n)[obj]
    else:
        gone = np.asarray(host_value(obj) if isinstance(obj, (Array, Tracer)) else obj)
    if gone.dtype == bool and gone.shape != (n,):
        raise located(
            ValueError,
            "np.delete(arr, obj): for boolean indices, obj must be one-dimensional with length "
            f"matching specified axis; got {gone.shape} for {n}",
        )
    kept = np.ones(n, bool)
    try:
        kept[gone.astype(int) if gone.dtype != bool else gone] = False
    except IndexError as error:
        raise located(IndexError, str(error)) from None
    return picked(x, np.flatnonzero(kept), at)


def _remaining(gone: Any, n: int) -> Any:
    """Positions of what is not in `gone`, which names none twice."""
    places = ew.where(ew.less(gone, 0), ew.add(gone, n), gone)
    hit = ew.equal(shaping.expand_dims(places, 1), iota((1, n), 1))
    return nonzero(ew.logical_not(red.any(hit, 0)), size=n - aval_of(gone).size)[0]


def resize(a: Any, new_shape: Any) -> Any:
    """The elements in row-major order, again and again, in another shape."""
    shape = as_shape(new_shape)
    flat = shaping.ravel(a)
    count, size = prod(shape), aval_of(flat).size
    if not count or not size:
        return filled(0, aval_of(flat).dtype, shape)
    times = -(-count // size)
    return shaping.reshape(shaping.slice_axis(shaping.tile(flat, times), 0, 0, count), shape)


def trim_zeros(filt: Any, trim: str = "fb", axis: Any = None) -> Any:
    """Without the zeros in front ("f") and behind ("b") along `axis`; not while tracing."""
    x = operand(filt)
    there = host_value(x) != 0
    for at in shaping.canonical_axes(axis, aval_of(x).ndim):
        others = tuple(d for d in range(there.ndim) if d != at)
        full = np.flatnonzero(there.any(others))
        n = aval_of(x).shape[at]
        start, stop = (full[0], full[-1] + 1) if full.size else (0, 0)
        start = int(start) if "f" in trim.lower() or not full.size else 0
        stop = int(stop) if "b" in trim.lower() or not full.size else n
        x = shaping.slice_axis(x, at, start, stop)
    return x


# --- choosing ---------------------------------------------------------------------------------


def compress(
    condition: Any,
    a: Any,
    axis: int | None = None,
    *,
    size: int | None = None,
    fill_value: Any = 0,
    out: None = None,
) -> Any:
    """The slices along `axis` (None: flattened) where the vector `condition` holds.

    While tracing a `size` is needed, to which the result is cut or filled up with `fill_value`.
    Raises ValueError if a condition behind the last slice holds.
    """
    red.without_out("compress", out)
    known = isinstance(condition, (list, tuple, np.ndarray))  # also while tracing
    mask = as_bool(asarray(condition))
    x, at = _along(a, axis)
    if aval_of(mask).ndim != 1:
        raise located(ValueError, "condition must be a 1D array")
    length = aval_of(mask).shape[0]
    n = min(aval_of(x).shape[at], length)
    beyond = shaping.slice_axis(mask, 0, n, length)
    mask, x = shaping.slice_axis(mask, 0, 0, n), shaping.slice_axis(x, at, 0, n)
    if size is None:
        if np.any(np.asarray(condition)[n:] if known else host_value(beyond)):
            raise located(ValueError, "condition contains entries that are out of bounds")
        places = np.flatnonzero(condition).astype(np.int32) if known else nonzero(mask)[0]
        return take(x, places, at)
    (places,) = nonzero(mask, size=size)
    found = take(x, places, at)
    there = ew.less(iota((size,), 0), red.sum(mask))
    shape = tuple(size if d == at else 1 for d in range(aval_of(x).ndim))
    fill = astype(fill_value, aval_of(x).dtype)
    return ew.where(shaping.reshape(there, shape), found, fill)


def extract(condition: Any, arr: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """The elements of the flattened array where the flattened condition holds; see `compress`."""
    flat = shaping.ravel(condition)
    return compress(flat, shaping.ravel(arr), size=size, fill_value=fill_value)


def choose(a: Any, choices: Sequence[Any], out: None = None, mode: str = "raise") -> Any:
    """For each integer of `a` the element of the choice of that number, all broadcast.

    Modes: "raise" (ValueError for numbers out of range; not while tracing), "wrap", "clip".
    """
    red.without_out("choose", out)
    which = operand(a)
    listed = same_dtype("choose", *(operand(c) for c in choices))
    if not aval_of(which).dtype.is_integer:
        raise located(ValueError, "`a` array must be integer typed")
    if mode not in ("raise", "wrap", "clip"):
        raise located(
            ValueError, f"mode={mode!r} not understood. Must be 'raise', 'wrap', or 'clip'"
        )
    if mode == "raise":
        given = host_value(which)
        if ((given < 0) | (given >= len(listed))).any():
            raise located(ValueError, "invalid entry in choice array")
    count = len(listed)
    which = ew.mod(which, count) if mode == "wrap" else ew.clip(which, 0, count - 1)
    which, *listed = shaping.broadcast_arrays(which, *listed)
    chosen = listed[-1]
    for i in reversed(range(count - 1)):
        chosen = ew.where(ew.equal(which, i), listed[i], chosen)
    return chosen


# --- blocks -----------------------------------------------------------------------------------


def block(arrays: Any) -> Any:
    """Nested lists of arrays joined: the innermost along the last axis, and so on outwards.

    Raises ValueError for empty lists, tuples and unequal depths.
    """
    return _block(arrays)[0]


def _block(x: Any) -> tuple[Any, int]:
    if isinstance(x, tuple):
        raise located(ValueError, f"block does not allow tuples, got {x}")
    if not isinstance(x, list):
        return asarray(x), 1
    if not x:
        raise located(ValueError, "block does not allow empty list arguments")
    parts, depths = zip(*map(_block, x), strict=True)
    if len(set(depths)) > 1:
        raise located(ValueError, "Mismatched list depths in block")
    rank = max(depths[0], *(aval_of(p).ndim for p in parts))
    wide = [shaping.reshape(p, (1,) * (rank - aval_of(p).ndim) + aval_of(p).shape) for p in parts]
    return shaping.concatenate(wide, -depths[0]), depths[0] + 1


__all__ = ["block", "choose", "compress", "delete", "extract", "insert", "resize", "trim_zeros"]
