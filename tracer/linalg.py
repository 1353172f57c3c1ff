"""Linear algebra, `jnp.linalg`: functions of the last two axes, in stacks of any shape.

Invariant: everything reduces to views, sums of products, elementwise functions and scans.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

from . import contraction, matrices, shaping
from . import elementwise as ew
from . import reductions as red
from .array import aval_of
from .contraction import dot, matmul, vecdot
from .creation import eye
from .errors import located
from .factorizations import cholesky, det, inv, qr, slogdet, solve, tensorinv, tensorsolve
from .operands import as_float, astype
from .pseudoinverse import lstsq, matrix_rank, pinv
from .shaping import matrix_transpose
from .spectral import eigh, eigvalsh, svd, svdvals
from .staging import operand

# --- products and diagonals -------------------------------------------------------------------


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """The vector product of vectors of 3 elements along `axis`."""
    sizes = [shaping.shape(x)[shaping.canonical_axis(axis, shaping.ndim(x))] for x in (x1, x2)]
    if sizes != [3, 3]:
        raise located(
            ValueError,
            "Both input arrays must be (arrays of) 3-dimensional vectors, but they have "
            f"sizes {sizes[0]} and {sizes[1]} along axis {axis}",
        )
    return matrices.cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """A diagonal of each matrix."""
    return matrices.diagonal(x, offset, -2, -1)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sum of a diagonal of each matrix."""
    return matrices.trace(x, offset, -2, -1, dtype)


def outer(x1: Any, x2: Any, /) -> Any:
    """x1[i] * x2[j] of two vectors."""
    if (shaping.ndim(x1), shaping.ndim(x2)) != (1, 1):
        shapes = f"x1.shape={shaping.shape(x1)}, x2.shape={shaping.shape(x2)}"
        raise located(ValueError, f"Input arrays must be one-dimensional, but they are {shapes}")
    return contraction.outer(x1, x2)


def tensordot(
    x1: Any,
    x2: Any,
    /,
    *,
    axes: Any = 2,
    precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:
    """Contract the last `axes` axes of x1 with the first of x2, or the two given lists of axes."""
    return contraction.tensordot(x1, x2, axes, preferred_element_type=preferred_element_type)


def matrix_power(a: Any, n: int) -> Any:
    """a @ a @ ... with n factors, by squaring; of the inverse if n is negative."""
    x = operand(a, "matrix_power")
    if aval_of(x).ndim < 2 or len(set(aval_of(x).shape[-2:])) > 1:
        raise located(TypeError, "Last 2 dimensions of the array must be square")
    try:
        n = operator.index(n)
    except TypeError:
        raise located(TypeError, f"exponent must be an integer, got {n}") from None
    x, n = (inv(x), -n) if n < 0 else (x, n)
    size = aval_of(x).shape[-1]
    if n == 0:
        one = eye(size, dtype=aval_of(x).dtype)
        return shaping.broadcast_to(one, aval_of(x).shape)
    powers = [x]
    while 2 ** len(powers) <= n:
        powers.append(matmul(powers[-1], powers[-1]))
    return reduce(matmul, [p for i, p in enumerate(powers) if n >> i & 1])


def multi_dot(arrays: Sequence[Any], *, precision: Any = None) -> Any:
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

    Vectors: any number, inf and -inf. Matrices: "fro", "nuc", 1, -1, 2, -2, inf, -inf.
    """
    x = as_float(x)
    rank = aval_of(x).ndim
    if axis is None and (ord is None or (ord == "fro" and rank == 2) or (ord == 2 and rank == 1)):
        out = ew.sqrt(red.sum(ew.square(x)))
        return shaping.reshape(out, (1,) * rank) if keepdims else out
    given = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(shaping.canonical_axis(a, rank) for a in given)
    if len(axes) == 1:
        return vector_norm(x, axis=axes[0], ord=2 if ord is None else ord, keepdims=keepdims)
    if len(axes) == 2:
        return _matrix_norm(x, axes, "fro" if ord is None else ord, keepdims)
    raise located(ValueError, f"norm with ord={ord!r} needs one or two axes, got {axes}")


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
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


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """`norm` of the last two axes."""
    return norm(x, ord, (-2, -1), keepdims)


def cond(x: Any, p: Any = None) -> Any:
    """How much a matrix can enlarge relative errors: norm(x, p) * norm(inv(x), p).

    By default the largest singular value over the smallest, of any shape.
    """
    x = as_float(x)
    if aval_of(x).ndim < 2:
        raise located(
            ValueError,
            f"jnp.linalg.cond: input array must be at least 2D; got shape {aval_of(x).shape}",
        )
    if p not in (None, 2, -2):
        return ew.multiply(norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))
    s = svdvals(x)
    last = aval_of(s).shape[-1]
    ends = (shaping.slice_axis(s, aval_of(s).ndim - 1, i, i + 1) for i in (0, last - 1))
    largest, smallest = (shaping.squeeze(v, -1) for v in ends)
    return ew.divide(smallest, largest) if p == -2 else ew.divide(largest, smallest)


def _matrix_norm(x: Any, axes: tuple[int, int], ord: Any, keepdims: bool) -> Any:
    if ord == "fro":
        return ew.sqrt(red.sum(ew.square(x), axes, keepdims=keepdims))
    if ord in ("nuc", 2, -2):
        s = svdvals(shaping.moveaxis(x, axes, (-2, -1)))
        out = {"nuc": red.sum, 2: red.max, -2: red.min}[ord](s, -1)
        return shaping.expand_dims(out, sorted(axes)) if keepdims else out
    if ord not in (1, -1, math.inf, -math.inf):
        raise located(ValueError, f"Invalid order {ord!r} for matrix norm.")
    over = axes[0] if abs(ord) == 1 else axes[1]
    sums = red.sum(ew.abs(x), over, keepdims=True)
    other = axes[1] if abs(ord) == 1 else axes[0]
    out = (red.max if ord > 0 else red.min)(sums, other, keepdims=True)
    return out if keepdims else shaping.squeeze(out, axes)


__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "svd",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "vecdot",
    "vector_norm",
]
