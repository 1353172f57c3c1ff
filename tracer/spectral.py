"""Singular values, and eigenvalues of symmetric matrices.

Invariant: the iteration is Jacobi's. Columns stand in two halves, each column of the one turns with
its partner in the other, and one fixed exchange of places between steps makes all pairs meet once
in a sweep; so a step is the same few operations on whole matrices, and a `scan` of a number of
steps that the size alone decides computes all of it. Derivatives are written down, at every order,
and are those of distinct values: between equal ones the directions have none, and 0 stands there.
Method: Golub and Van Loan, Matrix Computations, 8.5 and 8.6.3.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ir.dtypes import f32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import matmul
from .control import scan
from .creation import eye, tril, triu
from .custom import custom_jvp
from .errors import located
from .factorizations import qr
from .indexing import take, take_along_axis
from .matrices import diagonal
from .operands import as_float, astype
from .shaping import matrix_transpose
from .sorting import argsort
from .whole import one_program

SWEEPS = 9  # convergence is quadratic; 7 suffice for 100 columns in float32


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


# --- Jacobi's iteration -----------------------------------------------------------------------


def _exchange(n: int) -> np.ndarray:
    """The order of n columns, in two halves, after which everybody has a new partner."""
    half = n // 2
    first, second = list(range(half)), list(range(half, n))
    if half < 2:
        return np.int32(first + second)
    moved = [first[0], second[0], *first[1:-1]], [*second[1:], first[-1]]
    return np.int32(moved[0] + moved[1])


def _halves(x: Any, axis: int) -> tuple[Any, Any]:
    axis %= aval_of(x).ndim
    n = aval_of(x).shape[axis]
    return shaping.slice_axis(x, axis, 0, n // 2), shaping.slice_axis(x, axis, n // 2, n)


def _angles(p: Any, q: Any, between: Any) -> tuple[Any, Any]:
    """(sine s, s / (1 + cosine)) of the turns that make `between` zero, in [[p, between], [., q]].

    The second stands for the cosine: small turns then change a column by small terms, exactly.
    """
    apart = ew.subtract(q, p)
    size = ew.abs(between)
    # Of two that differ by more, the turn is below the last digit: nothing, instead of overflow.
    none = ew.less_equal(size, ew.multiply(ew.abs(apart), 1e-15))
    none = ew.logical_or(none, ew.equal(between, 0))
    slope = ew.divide(apart, ew.multiply(ew.where(none, 1.0, between), 2.0))
    slope = ew.where(none, 0.0, slope)
    length = ew.add(ew.abs(slope), ew.sqrt(ew.add(ew.square(slope), 1.0)))
    tangent = ew.divide(ew.where(ew.less(slope, 0), -1.0, 1.0), length)
    tangent = ew.where(none, 0.0, tangent)
    cosine = ew.divide(1.0, ew.sqrt(ew.add(ew.square(tangent), 1.0)))
    sine = ew.multiply(tangent, cosine)
    return sine, ew.divide(sine, ew.add(cosine, 1.0))


def _turned(x: Any, turn: tuple[Any, Any], axis: int) -> Any:
    """The columns (axis -1) or rows (-2) turned in pairs, and in their next places."""
    sine, ratio = (shaping.expand_dims(v, -2 if axis == -1 else -1) for v in turn)
    p, q = _halves(x, axis)
    turned = (
        ew.subtract(p, ew.multiply(sine, ew.add(q, ew.multiply(ratio, p)))),
        ew.add(q, ew.multiply(sine, ew.subtract(p, ew.multiply(ratio, q)))),
    )
    n, rank = aval_of(x).shape[axis], aval_of(x).ndim
    joined = shaping.concatenate(turned, axis)
    return joined if n < 4 else take(joined, _exchange(n), axis % rank)


def _even(x: Any, axes: tuple[int, ...]) -> Any:
    """With a row or column of zeros more where their number is odd: it turns with nobody."""
    rank, odd = aval_of(x).ndim, aval_of(x).shape[-1] % 2
    widths = [(0, odd if at - rank in axes else 0) for at in range(rank)]
    return shaping.pad(x, widths) if odd else x


def _steps(n: int) -> Any:
    return np.zeros((SWEEPS * max(n - 1, 1),), np.int32)


def _turns(n: int, like: Any) -> Any:
    lead = aval_of(like).shape[:-2]
    return shaping.broadcast_to(eye(n), (*lead, n, n))


def _diagonalized(x: Any) -> tuple[Any, Any]:
    """(values, vectors in columns) of symmetric matrices, in no order."""
    n = aval_of(x).shape[-1]
    x = _even(x, (-2, -1))
    size = aval_of(x).shape[-1]

    def step(carry: tuple, _: Any) -> tuple[tuple, None]:
        x, v = carry
        upper = _halves(_halves(x, -2)[0], -1)[1]
        turn = _angles(*_halves(diagonal(x, 0, -2, -1), -1), diagonal(upper, 0, -2, -1))
        return (_turned(_turned(x, turn, -1), turn, -2), _turned(v, turn, -1)), None

    (x, v), _ = scan(step, (x, _turns(size, x)), _steps(size))
    return _first(diagonal(x, 0, -2, -1), n, -1), _first(_first(v, n, -1), n, -2)


def _orthogonalized(x: Any) -> tuple[Any, Any]:
    """(x @ V with orthogonal columns, V), in no order."""
    n = aval_of(x).shape[-1]
    x = _even(x, (-1,))
    size = aval_of(x).shape[-1]

    def step(carry: tuple, _: Any) -> tuple[tuple, None]:
        x, v = carry
        p, q = _halves(x, -1)
        turn = _angles(*(red.sum(ew.multiply(a, b), -2) for a, b in ((p, p), (q, q), (p, q))))
        return (_turned(x, turn, -1), _turned(v, turn, -1)), None

    (x, v), _ = scan(step, (x, _turns(size, x)), _steps(size))
    return _first(x, n, -1), _first(_first(v, n, -1), n, -2)


def _first(x: Any, n: int, axis: int) -> Any:
    return shaping.slice_axis(x, axis % aval_of(x).ndim, 0, n)


def _ordered(x: Any, order: Any) -> Any:
    """The columns in another order."""
    at = shaping.broadcast_to(shaping.expand_dims(order, -2), aval_of(x).shape)
    return take_along_axis(x, at, -1)


def _inverse(x: Any) -> Any:
    """1 / x, and 0 of 0."""
    none = ew.equal(x, 0)
    return ew.where(none, 0.0, ew.divide(1.0, ew.where(none, 1.0, x)))


def scaled(x: Any, columns: Any) -> Any:
    return ew.multiply(x, shaping.expand_dims(columns, -2))


def _differences(values: Any) -> Any:
    """values[j] - values[i] at [i, j]."""
    return ew.subtract(shaping.expand_dims(values, -2), shaping.expand_dims(values, -1))


# --- eigenvalues ------------------------------------------------------------------------------


@custom_jvp
def _eigh(x: Any) -> tuple[Any, Any]:
    values, vectors = _diagonalized(x)
    order = argsort(values)
    return take_along_axis(values, order, -1), _ordered(vectors, order)


@_eigh.defjvp
def _eigh_rule(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    values, v = _eigh(x)
    turned = matmul(matmul(matrix_transpose(v), dx), v)
    moved = ew.multiply(_inverse(_differences(values)), turned)
    return (values, v), (diagonal(turned, 0, -2, -1), matmul(v, moved))


def _symmetric(name: str, a: Any, UPLO: str | None, symmetrize_input: bool) -> Any:
    x = as_float(a)
    shape = aval_of(x).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise located(ValueError, f"Argument to {name} must have shape [..., n, n], got {shape}.")
    if UPLO not in (None, "L", "U"):
        raise located(ValueError, f"UPLO must be one of None, 'L', or 'U', got {UPLO}")
    x = astype(x, f32)
    if symmetrize_input:
        return ew.multiply(ew.add(x, matrix_transpose(x)), 0.5)
    half, rest = (triu(x), triu(x, 1)) if UPLO == "U" else (tril(x), tril(x, -1))
    return ew.add(half, matrix_transpose(rest))


@one_program
def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """(eigenvalues, ascending; orthonormal eigenvectors in columns) of symmetric matrices.

    Without `symmetrize_input` only the lower triangle is read, or the upper if `UPLO` is "U".
    Raises ValueError for matrices that are not square.
    """
    kind = aval_of(as_float(a)).dtype
    x = _symmetric("eigh", a, UPLO, symmetrize_input)
    found = _eigh(x) if aval_of(x).size else (diagonal(x, 0, -2, -1), x)
    return EighResult(*(astype(v, kind) for v in found))


def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """The eigenvalues of symmetric matrices, ascending."""
    return eigh(a, UPLO, symmetrize_input).eigenvalues


# --- singular values --------------------------------------------------------------------------


@custom_jvp
def _svd(x: Any) -> tuple[Any, Any, Any]:
    """(U, S, V) of matrices with no fewer rows than columns."""
    q, r = qr(x)
    turned, v = _orthogonalized(r)
    order = argsort(ew.negative(red.sum(ew.square(turned), -2)))
    turned, v = _ordered(turned, order), _ordered(v, order)
    # Columns of almost no length have lost their direction: this gives them one.
    u, r = qr(turned)
    sizes = diagonal(r, 0, -2, -1)
    u = scaled(u, ew.where(ew.less(sizes, 0), -1.0, 1.0))
    return matmul(q, u), ew.abs(sizes), v


@_svd.defjvp
def _svd_rule(primals: tuple, tangents: tuple) -> tuple:
    (x,), (dx,) = primals, tangents
    u, s, v = _svd(x)
    turned = matmul(matmul(matrix_transpose(u), dx), v)
    factors = _inverse(_differences(ew.square(s)))
    rows, back = shaping.expand_dims(s, -1), matrix_transpose(turned)
    du = ew.multiply(factors, ew.add(scaled(turned, s), ew.multiply(rows, back)))
    dv = ew.multiply(factors, ew.add(ew.multiply(rows, turned), scaled(back, s)))
    outside = ew.subtract(matmul(dx, v), matmul(u, turned))
    du = ew.add(matmul(u, du), scaled(outside, _inverse(s)))
    return (u, s, v), (du, diagonal(turned, 0, -2, -1), matmul(v, dv))


def _completed(u: Any, rows: int) -> Any:
    """Orthonormal columns with as many more as make them `rows`."""
    count = aval_of(u).shape[-1]
    if count == rows:
        return u
    more = shaping.slice_axis(qr(u, "complete").Q, aval_of(u).ndim - 1, count, rows)
    return shaping.concatenate((u, more), -1)


@one_program
def svd(
    a: Any,
    full_matrices: bool = True,
    compute_uv: bool = True,
    hermitian: bool = False,
    subset_by_index: tuple[int, int] | None = None,
) -> Any:
    """(U, S, Vh) with a == U @ diag(S) @ Vh, S descending; S alone without `compute_uv`.

    U and Vh are square with `full_matrices`. `subset_by_index` (start, end) keeps these values
    only, without `full_matrices`. `hermitian` promises a symmetric matrix; it changes nothing.
    """
    x = as_float(a)
    kind = aval_of(x).dtype
    if aval_of(x).ndim < 2:
        raise located(
            ValueError, f"Argument to svd must have at least two axes, got {aval_of(x).shape}"
        )
    if subset_by_index is not None and full_matrices and compute_uv:
        raise located(ValueError, "full_matrices and subset_by_index cannot both be set")
    rows, columns = aval_of(x).shape[-2:]
    flat = rows < columns
    x = astype(matrix_transpose(x) if flat else x, f32)
    u, s, v = _svd(x) if aval_of(x).size else _of_nothing(x)
    if full_matrices:
        u = _completed(u, max(rows, columns))
    if subset_by_index is not None:
        start, end = subset_by_index
        u, s, v = (shaping.slice_axis(y, aval_of(y).ndim - 1, start, end) for y in (u, s, v))
    u, v = (v, u) if flat else (u, v)
    u, s, vh = (astype(y, kind) for y in (u, s, matrix_transpose(v)))
    return SVDResult(u, s, vh) if compute_uv else s


def _of_nothing(x: Any) -> tuple[Any, Any, Any]:
    """The factors of matrices without elements."""
    *lead, rows, columns = aval_of(x).shape
    u = shaping.broadcast_to(eye(rows, columns), (*lead, rows, columns))
    v = shaping.broadcast_to(eye(columns), (*lead, columns, columns))
    return u, shaping.broadcast_to(eye(1, columns)[0], (*lead, columns)), v


def svdvals(x: Any, /) -> Any:
    """Singular values, descending."""
    return svd(x, compute_uv=False)


__all__ = [
    "EighResult",
    "SVDResult",
    "eigh",
    "eigvalsh",
    "svd",
    "svdvals",
]
