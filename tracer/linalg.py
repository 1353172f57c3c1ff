"""Matrices: diagonals, products and norms, `jnp.linalg`.

Invariant: everything reduces to views, sums of products and elementwise functions; what needs a
factorisation is not here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

from ir.dtypes import f32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import dot, matmul, outer, tensordot
from .creation import as_shape, eye, iota
from .errors import located
from .operands import as_float, astype, promote
from .staging import bind, operand

# --- diagonals --------------------------------------------------------------------------------


def diagonal(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """x[.., i, i + offset, ..] of two axes; the diagonal becomes the last axis."""
    x = operand(x, "diagonal")
    rank = aval_of(x).ndim
    if rank < 2:
        raise located(ValueError, "diagonal requires an array of at least two dimensions.")
    a, b = (shaping.canonical_axis(d, rank) for d in (axis1, axis2))
    if a == b:
        raise located(ValueError, f"axis1 and axis2 cannot be the same, got {axis1}, {axis2}")
    x = shaping.moveaxis(x, (a, b), (-2, -1))
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


def trace(x: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """The sum of a diagonal."""
    return red.sum(diagonal(x, offset, axis1, axis2), -1)


def tri(n: int, m: int | None = None, k: int = 0, dtype: Any = f32) -> Any:
    """[n, m] of ones on and below the k-th diagonal, zeros above."""
    shape = as_shape((n, n if m is None else m))
    return astype(ew.greater_equal(ew.add(iota(shape, 0), k), iota(shape, 1)), dtype)


# --- products ---------------------------------------------------------------------------------


def inner(x: Any, y: Any) -> Any:
    """Products summed over the last axes of both; scalars multiply."""
    x, y = operand(x), operand(y)
    n, m = aval_of(x).ndim, aval_of(y).ndim
    return ew.multiply(x, y) if 0 in (n, m) else tensordot(x, y, ((n - 1,), (m - 1,)))


def vecdot(x: Any, y: Any, axis: int = -1) -> Any:
    """Products summed along `axis`; the other axes broadcast."""
    x, y = promote("vecdot", operand(x), operand(y))
    return red.sum(ew.multiply(x, y), axis)


def kron(x: Any, y: Any) -> Any:
    """Every element of `x` times the whole of `y`, as blocks."""
    x, y = operand(x), operand(y)
    a, b = aval_of(x).shape, aval_of(y).shape
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    wide = [
        shaping.reshape(v, tuple(n for pair in zip(*sizes, strict=True) for n in pair))
        for v, sizes in ((x, (a, (1,) * rank)), (y, ((1,) * rank, b)))
    ]
    return shaping.reshape(ew.multiply(*wide), tuple(n * m for n, m in zip(a, b, strict=True)))


def cross(x: Any, y: Any, axis: int = -1) -> Any:
    """The vector product along `axis`, of 3 elements; of 2 the number along the third axis."""
    x, y = (shaping.moveaxis(operand(v), axis, -1) for v in (x, y))
    sizes = aval_of(x).shape[-1], aval_of(y).shape[-1]
    if set(sizes) - {2, 3}:
        raise located(ValueError, f"cross needs vectors of 2 or 3 elements, got {sizes}")
    a, b = ([v[..., i] for i in range(n)] for v, n in zip((x, y), sizes, strict=True))
    last = ew.subtract(ew.multiply(a[0], b[1]), ew.multiply(a[1], b[0]))
    if sizes == (2, 2):
        return last
    a, b = (v if len(v) == 3 else [*v, ew.multiply(v[0], 0)] for v in (a, b))
    first = ew.subtract(ew.multiply(a[1], b[2]), ew.multiply(a[2], b[1]))
    second = ew.subtract(ew.multiply(a[2], b[0]), ew.multiply(a[0], b[2]))
    return shaping.stack([first, second, last], axis=axis)


def matrix_transpose(x: Any) -> Any:
    """The last two axes swapped."""
    return shaping.swapaxes(x, -1, -2)


def matrix_power(x: Any, n: int) -> Any:
    """x @ x @ ... with n >= 0 factors, by squaring."""
    x = operand(x)
    if n < 0:
        raise located(ValueError, f"matrix_power takes n >= 0, got {n}: there is no inverse here")
    size = aval_of(x).shape[-1]
    if n == 0:
        one = eye(size, dtype=aval_of(x).dtype)
        return shaping.broadcast_to(one, aval_of(x).shape)
    powers = [x]
    while 2 ** len(powers) <= n:
        powers.append(matmul(powers[-1], powers[-1]))
    return reduce(matmul, [p for i, p in enumerate(powers) if n >> i & 1])


def multi_dot(arrays: Sequence[Any]) -> Any:
    """The product of several matrices, in the order that costs least."""
    shapes = [aval_of(operand(a)).shape for a in arrays]
    if len(shapes) < 2:
        raise located(ValueError, "multi_dot requires at least two arrays")
    first = 1 if len(shapes[0]) == 1 else shapes[0][0]
    last = 1 if len(shapes[-1]) == 1 else shapes[-1][1]
    sizes = (first, *(s[0] for s in shapes[1:]), last)
    return _multiplied(list(arrays), _cheapest(sizes), 0, len(shapes) - 1)


def _cheapest(sizes: tuple[int, ...]) -> dict[tuple[int, int], int]:
    """Where to split each span of factors (dynamic programming)."""
    count = len(sizes) - 1
    cost = {(i, i): 0 for i in range(count)}
    cut: dict[tuple[int, int], int] = {}
    for length in range(1, count):
        for i in range(count - length):
            j = i + length
            found = [
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            ]
            cost[i, j], cut[i, j] = min(found)
    return cut


def _multiplied(arrays: list, cut: dict, i: int, j: int) -> Any:
    if i == j:
        return arrays[i]
    k = cut[i, j]
    return dot(_multiplied(arrays, cut, i, k), _multiplied(arrays, cut, k + 1, j))


# --- norms ------------------------------------------------------------------------------------


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """Length of vectors (one axis) or matrices (two axes); of all elements if `axis` is None.

    Vectors: any number, inf and -inf. Matrices: "fro", 1, -1, inf, -inf; norms that need singular
    values are refused with ValueError.
    """
    x = as_float(x)
    rank = aval_of(x).ndim
    if axis is None and (ord is None or (ord == "fro" and rank == 2) or (ord == 2 and rank == 1)):
        out = ew.sqrt(red.sum(ew.square(x)))
        return shaping.reshape(out, (1,) * rank) if keepdims else out
    given = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(shaping.canonical_axis(a, rank) for a in given)
    if len(axes) == 1:
        return vector_norm(x, axes[0], 2 if ord is None else ord, keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, axes, "fro" if ord is None else ord, keepdims)
    raise located(ValueError, f"norm with ord={ord!r} needs one or two axes, got {axes}")


def vector_norm(x: Any, axis: Any = None, ord: Any = 2, keepdims: bool = False) -> Any:
    """(sum of |x|**ord) ** (1 / ord) along `axis`."""
    x = as_float(x)
    size = ew.abs(x)
    if not isinstance(ord, (int, float)):
        raise located(ValueError, f"Invalid order {ord!r} for vector norm.")
    if abs(ord) == math.inf:
        return (red.max if ord > 0 else red.min)(size, axis, keepdims=keepdims)
    if ord == 0:
        return astype(red.sum(ew.not_equal(x, 0), axis, keepdims=keepdims), aval_of(x).dtype)
    if ord == 1:
        return red.sum(size, axis, keepdims=keepdims)
    if ord == 2:
        return ew.sqrt(red.sum(ew.square(x), axis, keepdims=keepdims))
    return ew.power(red.sum(ew.power(size, float(ord)), axis, keepdims=keepdims), 1.0 / ord)


def matrix_norm(x: Any, ord: Any = "fro", keepdims: bool = False) -> Any:
    """`norm` of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


def _matrix_norm(x: Any, axes: tuple[int, int], ord: Any, keepdims: bool) -> Any:
    if ord == "fro":
        return ew.sqrt(red.sum(ew.square(x), axes, keepdims=keepdims))
    if ord not in (1, -1, math.inf, -math.inf):
        raise located(
            ValueError, f"matrix norm {ord!r} needs singular values; use 'fro', 1, -1, inf or -inf"
        )
    over = axes[0] if abs(ord) == 1 else axes[1]
    sums = red.sum(ew.abs(x), over, keepdims=True)
    other = axes[1] if abs(ord) == 1 else axes[0]
    out = (red.max if ord > 0 else red.min)(sums, other, keepdims=True)
    return out if keepdims else shaping.squeeze(out, axes)


__all__ = [
    "cross",
    "diag",
    "diagflat",
    "diagonal",
    "inner",
    "kron",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "tensordot",
    "trace",
    "tri",
    "vecdot",
    "vector_norm",
]
