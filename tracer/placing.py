"""Writing at positions as numpy's functions do, and positions as coordinates.

Invariant: arrays do not change; the functions that numpy has for changing them return a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import aval_of, host_value
from .creation import as_shape
from .errors import located
from .indexing import beside, positions, scatter_mode, take
from .operands import astype
from .reductions import cumsum
from .staging import operand
from .writing import Places, combined


def _refuse_in_place(name: str, inplace: bool) -> None:
    if inplace:
        raise located(
            ValueError,
            f"jax.numpy.{name} cannot modify arrays in-place, because JAX arrays are immutable. "
            "Pass inplace=False to instead return an updated array.",
        )


def put(a: Any, ind: Any, v: Any, mode: str | None = None, *, inplace: bool = True) -> Any:
    """`a` with `v`, repeated as often as needed, at flat positions. Needs inplace=False.

    Positions out of range stand for the nearest; with "wrap" for the one that far round, and with
    "clip" negative ones, which else count from the end, are out of range as well.
    """
    _refuse_in_place("put", inplace)
    if mode not in (None, "clip", "wrap"):
        raise located(ValueError, f"mode should be one of 'wrap' or 'clip'; got mode={mode!r}")
    x, ids = operand(a, "put"), shaping.ravel(operand(ind, "put"))
    values = shaping.ravel(operand(v, "put"))
    if not aval_of(x).size or not aval_of(ids).size or not aval_of(values).size:
        return x
    if mode == "wrap":
        ids = ew.mod(ids, aval_of(x).size)
    elif mode == "clip":
        ids = ew.clip(ids, 0, aval_of(x).size - 1)
    values = _repeated(values, aval_of(ids).size)
    done = Places(shaping.ravel(x), ids).set(values, mode="clip")
    return shaping.reshape(done, aval_of(x).shape)


def _repeated(values: Any, count: int) -> Any:
    """The first `count` of a row's elements, which start anew as often as needed."""
    size = aval_of(values).size
    rows = shaping.broadcast_to(values, (-(-count // size), size))
    return shaping.slice_axis(shaping.ravel(rows), 0, 0, count)


def place(arr: Any, mask: Any, vals: Any, *, inplace: bool = True) -> Any:
    """`arr` with `vals`, one after another and then anew, where `mask` holds. Needs inplace=False.

    Raises ValueError for a mask of another size, and for no values.
    """
    _refuse_in_place("place", inplace)
    x, chosen = operand(arr, "place"), shaping.ravel(ew.not_equal(operand(mask, "place"), 0))
    values, size = shaping.ravel(operand(vals, "place")), aval_of(x).size
    if aval_of(chosen).size != size:
        raise located(
            ValueError, f"place: arr and mask must be the same size, got {size} and "
            f"{aval_of(chosen).size} elements",
        )  # fmt: skip
    if not aval_of(values).size:
        raise located(ValueError, "Cannot place values from an empty array")
    if not size:
        return x
    ordinal = ew.subtract(cumsum(astype(chosen, i32)), 1)
    found = take(values, ew.mod(ordinal, aval_of(values).size), mode="clip")
    done = ew.where(chosen, astype(found, aval_of(x).dtype), shaping.ravel(x))
    return shaping.reshape(done, aval_of(x).shape)


def fill_diagonal(a: Any, val: Any, wrap: bool = False, *, inplace: bool = True) -> Any:
    """`a` with `val`, as often as needed, where all indices are equal. Needs inplace=False.

    Arrays of three axes and more have equal sides. Raises ValueError for others, and for `wrap`,
    which would go on below the square part of a tall matrix.
    """
    _refuse_in_place("fill_diagonal", inplace)
    x, values = operand(a, "fill_diagonal"), shaping.ravel(operand(val, "fill_diagonal"))
    shape = aval_of(x).shape
    if wrap:
        raise located(ValueError, "fill_diagonal takes wrap=False alone")
    if len(shape) < 2:
        raise located(ValueError, f"array must be at least 2-d, got {shape}")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise located(ValueError, f"All dimensions of input must be of equal length, got {shape}")
    if not min(shape) or not aval_of(values).size:
        return x
    step = sum(prod(shape[d + 1 :]) for d in range(len(shape)))
    ids = np.arange(min(shape), dtype=np.int32) * step
    done = Places(shaping.ravel(x), ids).set(_repeated(values, len(ids)))
    return shaping.reshape(done, shape)


def put_along_axis(
    arr: Any,
    indices: Any,
    values: Any,
    axis: int | None,
    inplace: bool = True,
    *,
    mode: Any = None,
) -> Any:
    """`arr` with values[.., i, ..] at indices[.., i, ..] along `axis`. Needs inplace=False."""
    _refuse_in_place("put_along_axis", inplace)
    old = aval_of(operand(arr)).shape
    x, ids = operand(arr), operand(indices)
    x, axis = (shaping.ravel(x), 0) if axis is None else (x, axis)
    at, rank = shaping.canonical_axis(axis, aval_of(x).ndim), aval_of(x).ndim
    if aval_of(ids).ndim != rank:
        raise located(
            ValueError,
            "put_along_axis arguments 'arr' and 'indices' must have same ndim. Got "
            f"{rank} and {aval_of(ids).ndim}.",
        )
    update = shaping.broadcast_to(astype(values, aval_of(x).dtype), aval_of(ids).shape)
    rows, places = beside(x, ids, at)
    if aval_of(rows).shape != aval_of(shaping.moveaxis(x, at, -1)).shape:
        raise located(ValueError, f"indices of {aval_of(ids)} do not fit {aval_of(x)}")
    update = shaping.broadcast_to(shaping.moveaxis(update, at, -1), aval_of(places).shape)
    size = aval_of(rows).shape[-1]
    (places,) = positions([places], [size])
    if scatter_mode(mode) == "clip":
        places = ew.clip(places, 0, size - 1)
    done = combined(rows, places, update, "set", rank - 1)
    return shaping.reshape(shaping.moveaxis(done, -1, at), old)


# --- coordinates ------------------------------------------------------------------------------


def unravel_index(indices: Any, shape: Any) -> tuple[Any, ...]:
    """int32 coordinates of flat positions in an array of `shape`; beyond its ends, of its ends."""
    ids, sizes = operand(indices, "unravel_index"), as_shape(shape)
    if not aval_of(ids).dtype.is_integer:
        raise located(TypeError, f"unravel_index needs integers, got {aval_of(ids).dtype.np.name}")
    total = prod(sizes)
    ids = astype(ids, i32)
    ids = ew.where(ew.less(ids, 0), ew.add(ids, total), ids)
    rest, coords = ew.clip(ids, 0, max(total - 1, 0)), []
    for n in reversed(sizes):
        coords.append(ew.mod(rest, n))
        rest = ew.floor_divide(rest, n)
    return tuple(reversed(coords))


def ravel_multi_index(
    multi_index: Sequence[Any],
    dims: Sequence[int],
    mode: str = "raise",
    order: str = "C",
    *,
    dtype: Any = None,
) -> Any:
    """Flat int32 positions of coordinates in an array of shape `dims`.

    Modes: "raise" (ValueError for coordinates out of range; not while tracing), "wrap", "clip".
    `order` is "C" or "F".
    """
    sizes = as_shape(tuple(dims))
    arrays = [operand(i, "ravel_multi_index") for i in multi_index]
    if len(arrays) != len(sizes):
        raise located(
            ValueError,
            f"len(multi_index)={len(arrays)} does not match len(dims)={len(sizes)}",
        )
    if not all(aval_of(i).dtype.is_integer for i in arrays):
        raise located(TypeError, "only int indices permitted")
    if mode not in ("raise", "wrap", "clip"):
        raise located(ValueError, f"invalid mode={mode!r}. Expected 'raise', 'wrap', or 'clip'")
    if order not in ("C", "F"):
        raise located(ValueError, f"invalid order={order!r}. Expected 'C' or 'F'")
    if mode == "raise":
        hosts = (np.asarray(host_value(i)) for i in arrays)
        if any(((h < 0) | (h >= n)).any() for h, n in zip(hosts, sizes, strict=True)):
            raise located(ValueError, "invalid entry in coordinates array")
    bound = ew.mod if mode == "wrap" else lambda i, n: ew.clip(i, 0, n - 1)
    placed = [bound(astype(i, i32), n) for i, n in zip(arrays, sizes, strict=True)]
    flat, stride = operand(np.int32(0)), 1
    steps = list(zip(placed, sizes, strict=True))
    for i, n in reversed(steps) if order == "C" else steps:
        flat, stride = ew.add(flat, ew.multiply(i, stride)), stride * n
    return flat if dtype is None else astype(flat, dtype)


__all__ = [
    "fill_diagonal",
    "place",
    "put",
    "put_along_axis",
    "ravel_multi_index",
    "unravel_index",
]
