"""Grids of coordinates, and places in matrices.

Invariant: coordinates are int32; places known while tracing are constants.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.dtypes import bool_, i32

from . import shaping
from .array import Array, Tracer, aval_of
from .counting import nonzero
from .creation import arange, as_shape, asarray, iota, linspace, ones
from .errors import located
from .operands import astype, same_dtype
from .staging import SCALARS, filled, operand

# --- coordinates ------------------------------------------------------------------------------


def meshgrid(*xi: Any, copy: bool = True, sparse: bool = False, indexing: str = "xy") -> list:
    """Coordinate arrays of the grid of some vectors; "xy" swaps the first two axes, "ij" not."""
    if indexing not in ("xy", "ij"):
        raise located(ValueError, f"Valid values for indexing are 'xy' and 'ij', got {indexing}")
    lines = [shaping.ravel(x) for x in xi]
    rank = len(lines)
    order = list(range(rank))
    if indexing == "xy" and rank > 1:
        order[0], order[1] = 1, 0
    sizes = [0] * rank
    for at, x in zip(order, lines, strict=True):
        sizes[at] = aval_of(x).shape[0]
    out = []
    for at, x in zip(order, lines, strict=True):
        thin = shaping.reshape(x, tuple(n if d == at else 1 for d, n in enumerate(sizes)))
        out.append(thin if sparse else shaping.broadcast_to(thin, tuple(sizes)))
    return out


def indices(dimensions: Any, dtype: Any = None, sparse: bool = False) -> Any:
    """[rank, *dimensions]: each element's coordinates; with `sparse` a tuple of thin arrays."""
    shape, kind = as_shape(dimensions), i32 if dtype is None else dtype
    if sparse:
        sizes = [tuple(n if d == a else 1 for d, n in enumerate(shape)) for a in range(len(shape))]
        return tuple(astype(iota(s, a), kind) for a, s in enumerate(sizes))
    if not shape:
        return filled(0, i32, (0,))
    return shaping.stack([astype(iota(shape, a), kind) for a in range(len(shape))], 0)


def ix_(*args: Any) -> tuple:
    """Vectors shaped so that as indices they name every combination."""
    vectors = [operand(a, "ix_") for a in args]
    for v in vectors:
        if aval_of(v).ndim != 1:
            raise located(
                ValueError,
                f"Arguments to jnp.ix_ must be 1-dimensional, got shape {aval_of(v).shape}",
            )
    vectors = [nonzero(v)[0] if aval_of(v).dtype is bool_ else v for v in vectors]
    return tuple(
        shaping.reshape(v, tuple(-1 if d == i else 1 for d in range(len(vectors))))
        for i, v in enumerate(vectors)
    )


# --- places in matrices -----------------------------------------------------------------------


def _constants(places: tuple) -> tuple:
    return tuple(operand(v.astype(np.int32)) for v in places)


def tril_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """int32 coordinates of the lower triangle of an [n, m] matrix."""
    return _constants(np.tril_indices(n, k, m))


def triu_indices(n: int, k: int = 0, m: int | None = None) -> tuple:
    """int32 coordinates of the upper triangle of an [n, m] matrix."""
    return _constants(np.triu_indices(n, k, m))


def tril_indices_from(arr: Any, k: int = 0) -> tuple:
    """`tril_indices` of a matrix."""
    n, m = _matrix(arr)
    return tril_indices(n, k, m)


def triu_indices_from(arr: Any, k: int = 0) -> tuple:
    """`triu_indices` of a matrix."""
    n, m = _matrix(arr)
    return triu_indices(n, k, m)


def _matrix(arr: Any) -> tuple[int, int]:
    shape = shaping.shape(arr)
    if len(shape) != 2:
        raise located(ValueError, "Only 2-D inputs are accepted")
    return shape


def diag_indices(n: int, ndim: int = 2) -> tuple:
    """int32 coordinates of the diagonal of an array of `ndim` axes of size n."""
    if n < 0:
        raise located(ValueError, f"n argument to diag_indices must be nonnegative, got {n}")
    if ndim < 0:
        raise located(ValueError, f"ndim argument to diag_indices must be nonnegative, got {ndim}")
    return (iota((n,), 0),) * ndim


def diag_indices_from(arr: Any) -> tuple:
    """`diag_indices` of an array whose axes are equal."""
    shape = shaping.shape(arr)
    if len(shape) < 2:
        raise located(ValueError, "input array must be at least 2-d")
    if len(set(shape)) > 1:
        raise located(ValueError, "All dimensions of input must be of equal length")
    return diag_indices(shape[0], len(shape))


def mask_indices(n: int, mask_func: Callable, k: Any = 0, *, size: int | None = None) -> tuple:
    """The coordinates that `mask_func` (`tril`, say) keeps of an [n, n] matrix of ones."""
    return nonzero(mask_func(ones((n, n)), k), size=size)


# --- by indexing syntax -----------------------------------------------------------------------


def _line(item: slice) -> Any:
    """start:stop:step as `arange`, or `linspace` where the step is a number of points times 1j."""
    start = 0 if item.start is None else item.start
    step = 1 if item.step is None else item.step
    if isinstance(step, complex):
        return linspace(start, item.stop, int(abs(step)))
    return arange(start, item.stop, step)


class _Grid:
    """Grids by slices: `mgrid[0:3, 0:1:5j]`."""

    def __init__(self, sparse: bool) -> None:
        self.sparse = sparse

    def __getitem__(self, key: Any) -> Any:
        if not isinstance(key, tuple):
            return _line(key)
        lines = same_dtype("mgrid", *map(_line, key))
        if self.sparse:
            return meshgrid(*lines, indexing="ij", sparse=True)
        return shaping.stack(meshgrid(*lines, indexing="ij"), 0) if lines else filled(0, i32, (0,))


class _Index:
    """What stands in brackets: `s_[1:3, ...]`."""

    def __init__(self, always_tuple: bool) -> None:
        self.always_tuple = always_tuple

    def __getitem__(self, item: Any) -> Any:
        return (item,) if self.always_tuple and not isinstance(item, tuple) else item


class _Joined:
    """Numbers, arrays and slices joined along an axis: `r_[0:3, 7, x]`.

    A first string "axis,ndmin,start" says along which axis, how many axes each part has at least,
    and where the axes of a part go.
    """

    def __init__(self, axis: int, least: int, start: int) -> None:
        self.axis, self.least, self.start = axis, least, start

    def __getitem__(self, key: Any) -> Any:
        items = list(key) if isinstance(key, tuple) else [key]
        axis, least, start = self.axis, self.least, self.start
        matrix = ""
        if items and isinstance(items[0], str):
            matrix, given = self._directive(items.pop(0))
            axis, least, start = (*given, *(axis, least, start)[len(given) :])
        parts = [self._part(i, 2 if matrix else least, start) for i in items]
        out = shaping.concatenate(same_dtype("r_", *parts), axis)
        return shaping.transpose(out) if matrix == "c" and len(items) == 1 else out

    @staticmethod
    def _directive(text: str) -> tuple[str, tuple[int, ...]]:
        if text in ("r", "c"):
            return text, ()
        try:
            return "", tuple(int(n) for n in text.split(","))
        except ValueError:
            raise located(ValueError, f"could not understand directive {text!r}") from None

    @staticmethod
    def _part(item: Any, least: int, start: int) -> Any:
        x = _line(item) if isinstance(item, slice) else asarray(item)
        rank = aval_of(x).ndim
        if isinstance(item, (*SCALARS, Array, Tracer)) and not rank:
            return shaping.reshape(x, (1,) * max(least, 1))
        missing = least - rank
        if missing <= 0:
            return x
        at = start if start >= 0 else missing + 1 + start
        return shaping.reshape(x, (1,) * at + aval_of(x).shape + (1,) * (missing - at))


mgrid, ogrid = _Grid(sparse=False), _Grid(sparse=True)
s_, index_exp = _Index(always_tuple=False), _Index(always_tuple=True)
r_, c_ = _Joined(0, 1, -1), _Joined(-1, 2, 0)

__all__ = [
    "c_",
    "diag_indices",
    "diag_indices_from",
    "index_exp",
    "indices",
    "ix_",
    "mask_indices",
    "meshgrid",
    "mgrid",
    "ogrid",
    "r_",
    "s_",
    "tril_indices",
    "tril_indices_from",
    "triu_indices",
    "triu_indices_from",
]
