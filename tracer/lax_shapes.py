"""lax's functions that move elements: views, joins and splits with everything spelt out.

Invariant: axes are non-negative unless the docstring says otherwise, and nothing is broadcast that
the call does not name.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from . import shaping, strict
from .array import aval_of
from .errors import located
from .staging import bind, spread

_slice = builtins.slice


# --- slices -----------------------------------------------------------------------------------


def slice(
    x: Any,
    start_indices: Sequence[int],
    limit_indices: Sequence[int],
    strides: Sequence[int] | None = None,
) -> Any:
    """x[start:limit:stride] on every axis, within bounds. Raises TypeError."""
    x = strict.array("slice", x)
    shape = aval_of(x).shape
    starts, limits = tuple(start_indices), tuple(limit_indices)
    strides = (1,) * len(shape) if strides is None else tuple(strides)
    _check_slice(shape, start_indices=starts, limit_indices=limits, strides=strides)
    return bind("slice", x, start=starts, limit=limits, stride=strides)


def _check_slice(shape: tuple[int, ...], **given: tuple[int, ...]) -> None:
    for name, values in given.items():
        if len(values) != len(shape):
            raise located(
                TypeError,
                f"slice {name} must have length equal to the number of dimensions of the operand, "
                f"got {name} {values} for operand shape {shape}.",
            )
    starts, limits, strides = given.values()
    if any(a > n for a, n in zip(limits, shape, strict=True)):
        raise located(
            TypeError,
            "slice limit_indices must be less than or equal to operand shape, got limit_indices "
            f"{limits} for operand shape {shape}.",
        )
    if any(a < 0 or a > b for a, b in zip(starts, limits, strict=True)):
        raise located(
            TypeError,
            "slice start_indices must be greater than or equal to zero and at most limit_indices, "
            f"got start_indices {starts} and limit_indices {limits}.",
        )
    if any(s < 1 for s in strides):
        raise located(TypeError, f"slice strides must be positive, got {strides}")


def slice_in_dim(
    x: Any, start_index: int | None, limit_index: int | None, stride: int = 1, axis: int = 0
) -> Any:
    """x[start:limit:stride] along one axis; None is an end, negative bounds count from the last."""
    x = strict.array("slice_in_dim", x)
    shape = aval_of(x).shape
    at = shaping.canonical_axis(axis, len(shape))
    n = shape[at]
    start, limit = (
        default if v is None else operator.index(v) + (n if v < 0 else 0)
        for v, default in ((start_index, 0), (limit_index, n))
    )
    starts, limits, strides = [0] * len(shape), list(shape), [1] * len(shape)
    starts[at], limits[at], strides[at] = start, limit, operator.index(stride)
    return slice(x, starts, limits, strides)


def index_in_dim(x: Any, index: int, axis: int = 0, keepdims: bool = True) -> Any:
    """x[index:index + 1] along one axis, or x[index] without `keepdims`."""
    x = strict.array("index_in_dim", x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    n, place = aval_of(x).shape[at], operator.index(index)
    if not -n <= place < n:
        raise located(IndexError, f"index {place} is out of bounds for axis {at} with size {n}")
    row = shaping.slice_axis(x, at, place % n, place % n + 1)
    return row if keepdims else shaping.squeeze(row, at)


def rev(x: Any, dimensions: Sequence[int]) -> Any:
    """The order reversed along `dimensions`."""
    x, axes = strict.array("rev", x), tuple(dimensions)
    if len(set(axes)) != len(axes):
        raise located(TypeError, f"rev dimensions must be unique, got {axes}.")
    if any(a < 0 for a in axes):
        raise located(
            TypeError, f"rev dimensions must have every element be nonnegative, got {axes}."
        )
    if any(a >= aval_of(x).ndim for a in axes):
        raise located(
            TypeError,
            f"rev dimensions must all be less than operand ndim, got dimensions {axes} for "
            f"operand ndim {aval_of(x).ndim}.",
        )
    return shaping.flip(x, axes)


# --- shapes -----------------------------------------------------------------------------------


def reshape(x: Any, new_sizes: Any, dimensions: Sequence[int] | None = None) -> Any:
    """The elements, read with the axes in the order `dimensions`, in another shape."""
    x = strict.array("reshape", x)
    sizes = tuple(new_sizes) if isinstance(new_sizes, (tuple, list)) else (new_sizes,)
    if any(n < 0 for n in sizes):
        raise located(TypeError, f"reshape new_sizes must all be positive, got {sizes}.")
    if dimensions is not None:
        _check_permutation("reshape dimensions must be", "dimensions", x, tuple(dimensions))
        x = shaping.transpose(x, tuple(dimensions))
    if prod(sizes) != aval_of(x).size:
        raise located(
            TypeError,
            f"reshape total size must be unchanged, got new_sizes {sizes} for shape "
            f"{aval_of(x).shape}.",
        )
    return shaping.reshape(x, sizes)


def _check_permutation(says: str, name: str, x: Any, order: tuple[int, ...]) -> None:
    shape = aval_of(x).shape
    if sorted(order) != list(range(len(shape))):
        raise located(
            TypeError,
            f"{says} a permutation of operand dimensions, got {name} {order} for "
            f"{'operand ' if name == 'permutation' else ''}shape {shape}.",
        )


def transpose(x: Any, permutation: Sequence[int]) -> Any:
    """Result axis i is operand axis `permutation[i]`."""
    x, order = strict.array("transpose", x), tuple(permutation)
    _check_permutation("transpose permutation isn't", "permutation", x, order)
    return shaping.transpose(x, order)


def squeeze(x: Any, dimensions: Sequence[int]) -> Any:
    """Without the axes `dimensions`, which have size 1; they may be negative."""
    x = strict.array("squeeze", x)
    shape = aval_of(x).shape
    axes = tuple(sorted(shaping.canonical_axis(a, len(shape)) for a in dimensions))
    if len(set(axes)) != len(axes):
        raise located(ValueError, f"dimensions are not unique: {axes}")
    if any(shape[a] != 1 for a in axes):
        raise located(
            ValueError,
            "cannot select an axis to squeeze out which has size not equal to one, got "
            f"shape={shape} and dimensions={axes}",
        )
    return shaping.squeeze(x, axes)


def expand_dims(x: Any, dimensions: Sequence[int]) -> Any:
    """Axes of size 1 at the places `dimensions` of the result; they may be negative."""
    given = tuple(dimensions)
    if len(set(given)) != len(given):
        raise located(ValueError, f"repeated axis in lax.expand_dims: {given}")
    return shaping.expand_dims(strict.array("expand_dims", x), given)


def collapse(x: Any, start_dimension: int, stop_dimension: int | None = None) -> Any:
    """The axes from `start_dimension` up to `stop_dimension` as one."""
    x = strict.array("collapse", x)
    shape = aval_of(x).shape
    lo, hi, _ = _slice(start_dimension, stop_dimension).indices(len(shape))
    if hi < lo:
        raise located(
            ValueError,
            f"Invalid dimension range passed to collapse: {shape}"
            f"[{start_dimension}:{stop_dimension}]",
        )
    return shaping.reshape(x, (*shape[:lo], prod(shape[lo:hi]), *shape[hi:]))


# --- repetition -------------------------------------------------------------------------------


def broadcast(x: Any, sizes: Sequence[int]) -> Any:
    """New leading axes of these sizes."""
    x, sizes = strict.array("broadcast", x), tuple(sizes)
    n = aval_of(x).ndim
    dims = tuple(range(len(sizes), len(sizes) + n))
    return broadcast_in_dim(x, (*sizes, *aval_of(x).shape), dims)


def broadcast_in_dim(x: Any, shape: Sequence[int], broadcast_dimensions: Sequence[int]) -> Any:
    """Operand axis i becomes axis `broadcast_dimensions[i]` of `shape`; axes of size 1 repeat."""
    x = strict.array("broadcast_in_dim", x)
    shape, dims = tuple(shape), tuple(broadcast_dimensions)
    _check_broadcast(aval_of(x).shape, shape, dims)
    if not dims:
        return spread(x, shape)
    return bind("broadcast", x, shape=shape, dims=dims)


def _check_broadcast(old: tuple[int, ...], shape: tuple[int, ...], dims: tuple[int, ...]) -> None:
    rank, name = len(old), "broadcast_in_dim"
    given = f"got {dims} for operand ndim {rank} and shape {shape}."
    if any(n < 0 for n in shape):
        fault = f"shape must have every element be nonnegative, got {shape}."
    elif len(dims) != rank:
        fault = "broadcast_dimensions must have length equal to operand ndim; got "
        fault += f"broadcast_dimensions {dims} for operand ndim {rank}."
    elif not set(dims) <= set(range(len(shape))):
        fault = f"broadcast_dimensions must be a subset of output dimensions, {given}"
    elif any(n not in (1, shape[d]) for n, d in zip(old, dims, strict=True)):
        fault = "operand dimension sizes must either be 1, or be equal to their corresponding "
        fault += f"dimensions in the target broadcast shape; got operand of shape {old}, target "
        fault += f"broadcast shape {shape}, broadcast_dimensions {dims} "
    elif list(dims) != sorted(set(dims)):
        fault = f"broadcast_dimensions must be strictly increasing; got {dims}"
    else:
        return
    raise located(TypeError, f"{name} {fault}")


def broadcast_to_rank(x: Any, rank: int) -> Any:
    """New leading axes of size 1, until there are `rank` axes."""
    x = strict.array("broadcast_to_rank", x)
    return shaping.reshape(x, (1,) * (rank - aval_of(x).ndim) + aval_of(x).shape)


def tile(x: Any, reps: Sequence[int]) -> Any:
    """x repeated `reps` times along each of its axes."""
    x, reps = strict.array("tile", x), tuple(reps)
    if len(reps) != aval_of(x).ndim:
        raise located(
            TypeError,
            "reps length must be equal to the ndim of x, got "
            f"len(reps)={len(reps)} and x.ndim={aval_of(x).ndim}.",
        )
    return shaping.tile(x, reps)


# --- joining and splitting --------------------------------------------------------------------


def concatenate(operands: Sequence[Any], dimension: int) -> Any:
    """Arrays of one dtype joined along an axis that they have. Raises TypeError."""
    if not len(operands):
        raise located(ValueError, "concatenate requires a non-empty sequences of arrays")
    xs = strict.arrays("concatenate", list(operands))
    shapes = [aval_of(x).shape for x in xs]
    listed = ", ".join(map(str, shapes))
    if len({len(s) for s in shapes}) > 1:
        fault = f"Cannot concatenate arrays with different numbers of dimensions: got {listed}."
    elif not 0 <= dimension < len(shapes[0]):
        fault = "concatenate dimension out of bounds: "
        fault += f"dimension {dimension} for shapes {listed}."
    elif len({(*s[:dimension], *s[dimension + 1 :]) for s in shapes}) > 1:
        fault = "Cannot concatenate arrays with shapes that differ in dimensions other than the "
        fault += f"one being concatenated: concatenating along dimension {dimension} for shapes "
        fault += f"{listed}."
    else:
        strict.same_dtypes("concatenate", xs, "concatenate")
        return shaping.concatenate(xs, dimension)
    raise located(TypeError, fault)


def stack(operands: Sequence[Any], axis: int = 0) -> Any:
    """Arrays of one type joined along a new axis."""
    xs = strict.arrays("stack", list(operands))
    strict.same_dtypes("stack", xs)
    shapes = [aval_of(x).shape for x in xs]
    if len(set(shapes)) > 1:
        listed = ", ".join(map(str, shapes))
        ranks = len({len(s) for s in shapes}) > 1
        fault = "Cannot stack arrays with different numbers of dimensions: got"
        fault = fault if ranks else "All input arrays must have the same shape. Got"
        raise located(ValueError, f"{fault} {listed}.")
    return shaping.stack(xs, axis)


def unstack(x: Any, axis: int = 0) -> tuple:
    """The slices along `axis`, which disappears."""
    x = strict.array("unstack", x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    return tuple(index_in_dim(x, i, at, keepdims=False) for i in range(aval_of(x).shape[at]))


def split(x: Any, sizes: Sequence[int], axis: int = 0) -> list:
    """Consecutive parts of these sizes along `axis`."""
    x, sizes = strict.array("split", x), list(sizes)
    shape = aval_of(x).shape
    at = shaping.canonical_axis(axis, len(shape))
    if any(n < 0 for n in sizes):
        raise located(ValueError, f"Sizes passed to split must be nonnegative, got {sizes}")
    if sum(sizes) != shape[at]:
        raise located(
            ValueError,
            f"Sum of sizes {sum(sizes)} must be equal to dimension {at} of the operand shape "
            f"{list(shape)}",
        )
    ends = np.cumsum(sizes).tolist()
    return [shaping.slice_axis(x, at, e - n, e) for n, e in zip(sizes, ends, strict=True)]
