"""Diagonals and products of matrices and vectors.

Invariant: everything is a view, a sum of products or elementwise; nothing is gathered.
"""

from __future__ import annotations

from typing import Any

from ir.dtypes import f32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import tensordot
from .creation import as_shape, iota
from .errors import located
from .operands import astype
from .staging import bind, operand

# --- diagonals --------------------------------------------------------------------------------


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """a[.., i, i + offset, ..] of two axes; the diagonal becomes the last axis."""
    x = operand(a, "diagonal")
    rank = aval_of(x).ndim
    if rank < 2:
        raise located(ValueError, "diagonal requires an array of at least two dimensions.")
    first, second = (shaping.canonical_axis(d, rank) for d in (axis1, axis2))
    if first == second:
        raise located(ValueError, f"axis1 and axis2 cannot be the same, got {axis1}, {axis2}")
    x = shaping.moveaxis(x, (first, second), (-2, -1))
    rows, columns = aval_of(x).shape[-2:]
    first, skip = max(-offset, 0), max(offset, 0)
    count = max(min(rows - first, columns - skip), 0)
    square = shaping.slice_axis(x, rank - 2, min(first, rows), min(first, rows) + count)
    square = shaping.slice_axis(square, rank - 1, min(skip, columns), min(skip, columns) + count)
    return _square_diagonal(square, count)


def _square_diagonal(x: Any, n: int) -> Any:
    """Every (n + 1)-th element of the rows written one after another."""
    lead = aval_of(x).shape[:-2]
    if n == 0:
        return shaping.reshape(x, (*lead, 0))
    flat = shaping.reshape(x, (*lead, n * n))
    none, ones = (0,) * len(lead), (1,) * len(lead)
    return bind(
        "slice", flat, start=(*none, 0), limit=(*lead, n * n), stride=(*ones, n + 1)
    )  # fmt: skip


def diag(v: Any, k: int = 0) -> Any:
    """A matrix with the vector `v` on its k-th diagonal, or the k-th diagonal of a matrix."""
    v = operand(v, "diag")
    if aval_of(v).ndim == 2:
        return diagonal(v, k)
    if aval_of(v).ndim != 1:
        raise located(ValueError, "diag input must be 1d or 2d")
    n = aval_of(v).shape[0]
    if n == 0:
        square = shaping.reshape(v, (0, 0))
    else:
        spaced = bind("pad", v, low=(0,), high=(n,), interior=(n,), value=0)
        square = shaping.reshape(shaping.slice_axis(spaced, 0, 0, n * n), (n, n))
    low, high = (max(-k, 0), max(k, 0)), (max(k, 0), max(-k, 0))
    return bind("pad", square, low=low, high=high, interior=(0, 0), value=0)


def diagflat(v: Any, k: int = 0) -> Any:
    """`diag` of the flattened array."""
    return diag(shaping.ravel(v), k)


def trace(
    a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: None = None
) -> Any:
    """The sum of a diagonal, of elements as `dtype`."""
    return red.sum(diagonal(a, offset, axis1, axis2), -1, dtype, out)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = f32) -> Any:
    """[n, m] of ones on and below the k-th diagonal, zeros above."""
    shape = as_shape((N, N if M is None else M))
    return astype(ew.greater_equal(ew.add(iota(shape, 0), k), iota(shape, 1)), dtype)


# --- products ---------------------------------------------------------------------------------


def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """Products summed over the last axes of both; scalars multiply."""
    a, b = operand(a, "inner"), operand(b, "inner", 1)
    if preferred_element_type is not None:
        a, b = astype(a, preferred_element_type), astype(b, preferred_element_type)
    n, m = aval_of(a).ndim, aval_of(b).ndim
    return ew.multiply(a, b) if 0 in (n, m) else tensordot(a, b, ((n - 1,), (m - 1,)))


def kron(a: Any, b: Any) -> Any:
    """Every element of `a` times the whole of `b`, as blocks."""
    a, b = operand(a, "kron"), operand(b, "kron", 1)
    left, right = aval_of(a).shape, aval_of(b).shape
    rank = max(len(left), len(right))
    left, right = (1,) * (rank - len(left)) + left, (1,) * (rank - len(right)) + right
    wide = [
        shaping.reshape(v, tuple(n for pair in zip(*sizes, strict=True) for n in pair))
        for v, sizes in ((a, (left, (1,) * rank)), (b, ((1,) * rank, right)))
    ]
    sizes = tuple(n * m for n, m in zip(left, right, strict=True))
    return shaping.reshape(ew.multiply(*wide), sizes)


def cross(
    a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Any:
    """The vector product of vectors of 3 elements; of 2 the number along the third axis.

    `axisa`, `axisb` and `axisc` are the vectors' axes in operands and result, `axis` all three.
    """
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis,) * 3
    x = shaping.moveaxis(operand(a, "cross"), axisa, -1)
    y = shaping.moveaxis(operand(b, "cross", 1), axisb, -1)
    sizes = aval_of(x).shape[-1], aval_of(y).shape[-1]
    if set(sizes) - {2, 3}:
        raise located(ValueError, "Dimension must be either 2 or 3 for cross product")
    x, y = ([v[..., i] for i in range(n)] for v, n in zip((x, y), sizes, strict=True))
    last = ew.subtract(ew.multiply(x[0], y[1]), ew.multiply(x[1], y[0]))
    if sizes == (2, 2):
        return last
    x, y = (v if len(v) == 3 else [*v, ew.multiply(v[0], 0)] for v in (x, y))
    first = ew.subtract(ew.multiply(x[1], y[2]), ew.multiply(x[2], y[1]))
    second = ew.subtract(ew.multiply(x[2], y[0]), ew.multiply(x[0], y[2]))
    return shaping.stack([first, second, last], axis=axisc)


__all__ = ["cross", "diag", "diagflat", "diagonal", "inner", "kron", "trace", "tri"]
