"""Searching, counting, and results whose size depends on the values.

Invariant: while tracing, the size of every result is known: functions whose result has as many
elements as the data say take `size=`, pad with `fill_value`, and need no `size` outside of a trace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import i32

from . import elementwise as ew
from . import shaping
from .array import aval_of, host_value
from .bits import sort_key
from .creation import as_shape, iota
from .errors import ConcretizationTypeError, located
from .indexing import picked as take
from .operands import as_bool, astype, same_dtype
from .reductions import cumsum
from .reductions import sum as reduce_sum
from .staging import bind, filled, operand, run_now, scalar
from .whole import one_program

# --- searching --------------------------------------------------------------------------------


_METHODS = ("scan", "scan_unrolled", "sort", "compare_all", "default")


@one_program
def searchsorted(
    a: Any, v: Any, side: str = "left", sorter: Any = None, *, method: str = "scan"
) -> Any:
    """int32 places where `v` enter the ordered vector `a` without disturbing its order.

    "left": before equal elements, "right": behind them. log2(n) steps, each a gather, by whichever
    of JAX's methods.
    """
    if method not in _METHODS:
        raise located(ValueError, f"method={method!r}; expected one of {', '.join(_METHODS)}")
    a, v = same_dtype("searchsorted", operand(a), v)
    if side not in ("left", "right"):
        raise located(ValueError, f"side is 'left' or 'right', got {side!r}")
    if aval_of(a).ndim != 1:
        raise located(ValueError, f"searchsorted needs a vector, got shape {aval_of(a).shape}")
    a = a if sorter is None else take(a, sorter)
    return search(sort_key(a), sort_key(v), side)


def search(keys: Any, wanted: Any, side: str) -> Any:
    """How many of the ordered i32 `keys` are less than (or, on the right, at most) `wanted`."""
    n = aval_of(keys).shape[0]
    passes = ew.less if side == "left" else ew.less_equal
    place = filled(0, i32, aval_of(wanted).shape)
    for step in (1 << b for b in reversed(range(n.bit_length()))):
        ahead = place + step
        last = bind("take", keys, ew.minimum(ahead - 1, n - 1))
        further = ew.logical_and(ew.less_equal(ahead, n), passes(last, wanted))
        place = ew.where(further, ahead, place)
    return place


def digitize(x: Any, bins: Any, right: bool = False, *, method: str | None = None) -> Any:
    """The bin of each element, among bins in rising or falling order; for `method` see
    `searchsorted`.

    bins[i-1] <= x < bins[i], or < and <= if `right`; the other way round for falling bins.
    """
    x, bins = operand(x), operand(bins)
    if not aval_of(bins).shape[0]:
        return filled(0, i32, aval_of(x).shape)
    side = "left" if right else "right"
    method = "scan" if method is None else method
    rising = searchsorted(bins, x, side, method=method)
    falling = aval_of(bins).shape[0] - searchsorted(shaping.flip(bins), x, side, method=method)
    return ew.where(ew.greater_equal(bins[-1], bins[0]), rising, falling)


# --- results of unknown size ------------------------------------------------------------------


def known_size(count: Callable[[], Any], size: int | None, name: str) -> int:
    """`size`, or outside of a trace what `count` says."""
    if size is not None:
        return as_shape(size)[0]
    if current() is not None:
        raise located(
            ConcretizationTypeError,
            f"the size of {name}'s result depends on values that are not known while tracing; "
            f"give {name} a `size`, to which the result is cut or filled up",
        )
    return int(host_value(run_now(count)))


def true_places(mask: Any, size: int) -> Any:
    """int32[size] positions of what is true in a vector, and its length where nothing is left."""
    total = cumsum(astype(mask, i32))
    return search(total, iota((size,), 0) + 1, "left") if size else filled(0, i32, (0,))


def flatnonzero(x: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """int32 positions in the flattened array that are not zero."""
    return nonzero(shaping.ravel(x), size=size, fill_value=fill_value)[0]


def nonzero(x: Any, *, size: int | None = None, fill_value: Any = 0) -> tuple:
    """int32 coordinates of the elements that are not zero, one vector an axis, in row-major order.

    `fill_value` (one, or one an axis) fills up to `size`. Raises ConcretizationTypeError where a
    size is needed.
    """
    mask = as_bool(x)
    shape = aval_of(mask).shape
    if not shape:
        raise located(ValueError, "nonzero of a scalar: use jnp.atleast_1d(x).nonzero()")
    size = known_size(lambda: reduce_sum(astype(mask, i32)), size, "nonzero")
    fills = fill_value if isinstance(fill_value, (tuple, list)) else [fill_value] * len(shape)
    return _nonzero(mask, size, tuple(fills))


@one_program
def _nonzero(mask: Any, size: int, fills: tuple) -> tuple:
    shape = aval_of(mask).shape
    if not aval_of(mask).size:
        return tuple(filled(f, i32, (size,)) for f in fills)
    flat = true_places(shaping.ravel(mask), size)
    there = ew.less(flat, aval_of(mask).size)
    coords, rest = [], flat
    for n in reversed(shape):
        coords.append(ew.mod(rest, n))
        rest = ew.floor_divide(rest, n)
    pairs = zip(reversed(coords), fills, strict=True)
    return tuple(ew.where(there, c, fill) for c, fill in pairs)


def argwhere(x: Any, *, size: int | None = None, fill_value: Any = 0) -> Any:
    """int32[size, ndim]: the coordinates of `nonzero`, one row an element."""
    x = operand(x)
    if not aval_of(x).ndim:
        (places,) = nonzero(shaping.reshape(x, (1,)), size=size)
        return filled(0, i32, (*aval_of(places).shape, 0))
    return shaping.stack(nonzero(x, size=size, fill_value=fill_value), axis=-1)


def where(condition: Any, x: Any = None, y: Any = None, *, size=None, fill_value: Any = 0) -> Any:
    """x where condition, y elsewhere; with the condition alone, `nonzero`."""
    if x is None and y is None:
        return nonzero(condition, size=size, fill_value=fill_value)
    if x is None or y is None:
        raise located(ValueError, "where takes a condition alone, or with both x and y")
    return ew.where(condition, x, y)


def bincount(x: Any, weights: Any = None, minlength: int = 0, *, length: int | None = None) -> Any:
    """How often (or with which total weight) each of 0, 1, ... occurs in a vector of integers.

    Numbers from `length` on are left out, negative ones count as 0.
    """
    x = operand(x, "bincount")
    if not aval_of(x).dtype.is_integer or aval_of(x).ndim != 1:
        raise located(TypeError, f"bincount needs a vector of integers, got {aval_of(x)}")
    if length is None:
        from .reductions import max as reduce_max

        some = aval_of(x).size
        length = known_size(lambda: reduce_max(x) + 1, None if some else 0, "bincount")
        length = max(length, int(minlength), 0)
    amounts = np.ones(aval_of(x).shape, np.int32) if weights is None else weights
    amounts = shaping.broadcast_to(operand(amounts), aval_of(x).shape)
    none = scalar(0, aval_of(amounts).dtype, as_shape(length))
    return bind("scatter", none, ew.maximum(x, 0), amounts, combine="add")


__all__ = [
    "argwhere",
    "bincount",
    "digitize",
    "flatnonzero",
    "nonzero",
    "searchsorted",
    "where",
]
