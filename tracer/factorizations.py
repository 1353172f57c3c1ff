"""Factorizations of stacks of matrices, and what follows from them.

Invariant: every factorization is one `scan` over columns, whose step works on whole matrices under
masks, so it compiles once for any size and differentiates as it stands, at every order.
"""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from ir.dtypes import f32, i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import einsum, matmul
from .control import scan
from .creation import eye, iota, triu
from .errors import located
from .indexing import take_along_axis
from .matrices import diagonal
from .operands import as_float, astype, same_dtype
from .staging import filled
from .whole import one_program


class QRResult(NamedTuple):
    """What `qr` returns."""

    Q: Any
    R: Any


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


def _square(name: str, a: Any) -> Any:
    x = as_float(a)
    shape = aval_of(x).shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise located(ValueError, f"Argument to {name} must have shape [..., n, n], got {shape}.")
    return x


def _wide(x: Any) -> Any:
    """Factorizations lose half of a 16-bit float's digits, so they are of float32."""
    return astype(x, f32)


def _column(x: Any, k: Any) -> Any:
    """x[..., :, k] of a traced k; NaN in other columns stays there."""
    n = aval_of(x).shape[-1]
    return red.sum(ew.where(ew.equal(iota((n,), 0), k), x, 0.0), -1)


def _row(x: Any, k: Any) -> Any:
    """x[..., k, :] of a traced k."""
    n = aval_of(x).shape[-2]
    return red.sum(ew.where(ew.equal(iota((n, 1), 0), k), x, 0.0), -2)


def _element(v: Any, k: Any) -> Any:
    """v[..., k] with its axis kept."""
    n = aval_of(v).shape[-1]
    return red.sum(ew.where(ew.equal(iota((n,), 0), k), v, 0.0), -1, keepdims=True)


def _outer(a: Any, b: Any) -> Any:
    return ew.multiply(shaping.expand_dims(a, -1), shaping.expand_dims(b, -2))


# --- Cholesky ---------------------------------------------------------------------------------


@one_program
def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """The lower triangle L with L @ L.T == a (or the upper U with U.T @ U == a).

    NaN where `a` is not positive definite. Without `symmetrize_input` only the triangle asked for
    is read.
    """
    x = as_float(a)
    kind = aval_of(x).dtype
    x = _square("cholesky", _wide(x))
    if symmetrize_input:
        x = ew.multiply(ew.add(x, shaping.swapaxes(x, -1, -2)), 0.5)
    elif upper:
        x = shaping.swapaxes(x, -1, -2)
    n = aval_of(x).shape[-1]

    def step(rest: Any, k: Any) -> tuple[Any, Any]:
        column = _column(rest, k)
        column = ew.divide(column, ew.sqrt(_element(column, k)))
        column = ew.where(ew.greater_equal(iota((n,), 0), k), column, 0.0)
        return ew.subtract(rest, _outer(column, column)), column

    if not aval_of(x).size:
        return astype(x, kind)
    _, columns = scan(step, x, iota((n,), 0))
    lower = shaping.moveaxis(columns, 0, -1)
    return astype(shaping.swapaxes(lower, -1, -2) if upper else lower, kind)


# --- LU ---------------------------------------------------------------------------------------


def _lu(x: Any) -> tuple[Any, Any, Any]:
    """(L below the diagonal and U in one matrix, int32 row order, int32 number of swaps)."""
    n, lead = aval_of(x).shape[-1], aval_of(x).shape[:-2]
    place = iota((n,), 0)
    rows = iota((*lead, n), len(lead))

    def step(carry: tuple, k: Any) -> tuple[tuple, Any]:
        rest, order, swaps = carry
        size = ew.where(ew.less(place, k), -1.0, ew.abs(_column(rest, k)))
        best = red.argmax(size, -1, keepdims=True)
        rest = _swapped(rest, shaping.expand_dims(best, -1), k)
        order = _swapped(shaping.expand_dims(order, -1), shaping.expand_dims(best, -1), k)
        column, row = _column(rest, k), _row(rest, k)
        pivot = _element(column, k)
        none = ew.equal(pivot, 0)
        factors = ew.divide(column, ew.where(none, 1.0, pivot))
        below = ew.logical_and(ew.greater(place, k), ew.logical_not(none))
        factors = ew.where(below, factors, 0.0)
        beyond = ew.where(ew.greater(place, k), row, 0.0)
        kept = ew.logical_and(ew.equal(place, k), shaping.expand_dims(ew.greater(place, k), -1))
        rest = ew.where(
            kept, shaping.expand_dims(factors, -1), ew.subtract(rest, _outer(factors, beyond))
        )
        moved = astype(ew.not_equal(shaping.squeeze(best, -1), k), i32)
        return (rest, shaping.squeeze(order, -1), ew.add(swaps, moved)), None

    start = (x, rows, filled(0, i32, lead))
    return scan(step, start, place)[0] if n else start


def _swapped(x: Any, p: Any, k: Any) -> Any:
    """x with rows k and p in each other's places; p has an axis for rows and one for columns."""
    place = iota((aval_of(x).shape[-2], 1), 0)
    at_p, at_k = ew.equal(place, p), ew.equal(place, k)
    zero = 0 if aval_of(x).dtype is i32 else 0.0
    row_p = red.sum(ew.where(at_p, x, zero), -2, keepdims=True)
    row_k = red.sum(ew.where(at_k, x, zero), -2, keepdims=True)
    return ew.where(at_k, row_p, ew.where(at_p, row_k, x))


@one_program
def det(a: Any) -> Any:
    """Determinants."""
    x = _square("det", a)
    packed, _, swaps = _lu(_wide(x))
    size = red.prod(diagonal(packed, 0, -2, -1), -1)
    odd = ew.equal(ew.bitwise_and(swaps, 1), 1)
    return astype(ew.where(odd, ew.negative(size), size), aval_of(x).dtype)


@one_program
def slogdet(a: Any, *, method: str | None = None) -> SlogdetResult:
    """(sign, log of the absolute value) of determinants: 0 and -inf of singular matrices."""
    if method not in (None, "lu"):
        raise located(ValueError, f"slogdet has the method 'lu', got {method!r}")
    x = _square("slogdet", a)
    packed, _, swaps = _lu(_wide(x))
    scale = diagonal(packed, 0, -2, -1)
    sign = red.prod(ew.sign(scale), -1)
    odd = ew.equal(ew.bitwise_and(swaps, 1), 1)
    size = red.sum(ew.log(ew.abs(scale)), -1)
    kind = aval_of(x).dtype
    return SlogdetResult(astype(ew.where(odd, ew.negative(sign), sign), kind), astype(size, kind))


@one_program
def triangular_solve(a: Any, b: Any, *, lower: bool = True, unit_diagonal: bool = False) -> Any:
    """x with a @ x == b for triangles [.., n, n] and b [.., n, m]; the other half is ignored."""
    a, b = same_dtype("triangular_solve", _square("triangular_solve", a), as_float(b))
    n = aval_of(a).shape[-1]
    lead = shaping.shape(matmul(a, b))[:-2] if n else aval_of(b).shape[:-2]
    b = shaping.broadcast_to(b, (*lead, *aval_of(b).shape[-2:]))
    place = iota((n,), 0)

    def step(rest: Any, k: Any) -> tuple[Any, Any]:
        column, row = _column(a, k), _row(rest, k)
        if not unit_diagonal:
            row = ew.divide(row, _element(column, k))
        left = ew.greater(place, k) if lower else ew.less(place, k)
        rest = ew.subtract(rest, _outer(ew.where(left, column, 0.0), row))
        here = ew.equal(shaping.expand_dims(place, -1), k)
        return ew.where(here, shaping.expand_dims(row, -2), rest), None

    if not aval_of(b).size:
        return b
    return scan(step, b, place, reverse=not lower)[0]


@one_program
def solve(a: Any, b: Any) -> Any:
    """x with a @ x == b, for vectors b [n] or matrices [.., n, m]; by LU with pivots.

    Raises ValueError for sizes at odds. Singular matrices give infinities or NaN.
    """
    a = _square("solve", a)
    a, b = same_dtype("solve", a, as_float(b))
    vector = aval_of(b).ndim == 1
    right = shaping.expand_dims(b, -1) if vector else b
    n = aval_of(a).shape[-1]
    if aval_of(right).shape[-2] != n:
        raise located(
            ValueError,
            f"solve of matrices {aval_of(a).shape} got right-hand sides {aval_of(b).shape}; their "
            f"size must be {n}",
        )
    kind = aval_of(a).dtype
    packed, order, _ = _lu(_wide(a))
    right = _wide(right)
    lead = shaping.shape(matmul(packed, right))[:-2] if n else aval_of(right).shape[:-2]
    right = shaping.broadcast_to(right, (*lead, *aval_of(right).shape[-2:]))
    order = shaping.broadcast_to(shaping.expand_dims(order, -1), aval_of(right).shape)
    right = take_along_axis(right, order, -2) if aval_of(right).size else right
    half = triangular_solve(packed, right, lower=True, unit_diagonal=True)
    out = astype(triangular_solve(packed, half, lower=False), kind)
    return shaping.squeeze(out, -1) if vector else out


def inv(a: Any) -> Any:
    """Inverses."""
    x = _square("inv", a)
    one = eye(aval_of(x).shape[-1], dtype=aval_of(x).dtype)
    return solve(x, shaping.broadcast_to(one, aval_of(x).shape))


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse with respect to `tensordot(.., ind)`: the first `ind` axes are the rows."""
    x = as_float(a)
    if ind <= 0:
        raise located(ValueError, f"ind must be a positive integer, got {ind}")
    shape = aval_of(x).shape
    flat = shaping.reshape(x, (prod(shape[:ind]), -1))
    return shaping.reshape(inv(flat), (*shape[ind:], *shape[:ind]))


def tensorsolve(a: Any, b: Any, axes: tuple[int, ...] | None = None) -> Any:
    """x with tensordot(a, x, x.ndim) == b; `axes` of a are moved to its end first."""
    x, b = as_float(a), as_float(b)
    if axes is not None:
        moved = [shaping.canonical_axis(d, aval_of(x).ndim) for d in axes]
        x = shaping.transpose(x, [d for d in range(aval_of(x).ndim) if d not in moved] + moved)
    out = aval_of(x).shape[aval_of(b).ndim :]
    flat = shaping.reshape(x, (-1, prod(out)))
    return shaping.reshape(solve(flat, shaping.ravel(b)), out)


# --- QR ---------------------------------------------------------------------------------------


@one_program
def qr(a: Any, mode: str = "reduced") -> Any:
    """(Q, R): orthonormal columns and an upper triangle with Q @ R == a, by Householder's method.

    Modes: "reduced", "complete" (Q is square), "r" (R alone). Raises ValueError for others.
    """
    x = as_float(a)
    if mode not in ("reduced", "complete", "full", "r"):
        raise located(ValueError, f"Unsupported QR decomposition mode '{mode}'")
    if aval_of(x).ndim < 2:
        raise located(
            TypeError, f"Input 0 to qr must have rank at least 2, but got shape={aval_of(x).shape}"
        )
    kind, (m, n) = aval_of(x).dtype, aval_of(x).shape[-2:]
    steps = min(m, n)
    q = shaping.broadcast_to(eye(m), (*aval_of(x).shape[:-2], m, m))
    pair = (q, _wide(x))
    if steps and aval_of(x).size:
        pair = scan(_reflect, pair, iota((steps,), 0))[0]
    q, r = (astype(v, kind) for v in (pair[0], triu(pair[1])))
    if mode in ("complete", "full"):
        return QRResult(q, r)
    r = shaping.slice_axis(r, aval_of(r).ndim - 2, 0, steps)
    if mode == "r":
        return r
    return QRResult(shaping.slice_axis(q, aval_of(q).ndim - 1, 0, steps), r)


def _reflect(pair: tuple, k: Any) -> tuple[tuple, None]:
    """Column k of R made zero below the diagonal, by a reflection that Q takes back."""
    q, r = pair
    place = iota((aval_of(r).shape[-2],), 0)
    column = ew.where(ew.less(place, k), 0.0, _column(r, k))
    first = _element(column, k)
    tail = ew.where(ew.equal(place, k), 0.0, column)
    rest = red.sum(ew.square(tail), -1, keepdims=True)
    nothing = ew.equal(rest, 0)
    length = ew.sqrt(ew.where(nothing, 1.0, ew.add(ew.square(first), rest)))
    end = ew.where(ew.less(first, 0), length, ew.negative(length))
    v = ew.where(ew.equal(place, k), ew.subtract(first, end), tail)
    square = red.sum(ew.square(v), -1, keepdims=True)
    scaled = ew.where(nothing, 0.0, ew.divide(v, ew.where(nothing, 1.0, square)))
    r = ew.subtract(r, ew.multiply(_outer(scaled, einsum("...i,...ij->...j", v, r)), 2.0))
    q = ew.subtract(q, ew.multiply(_outer(einsum("...ij,...j->...i", q, v), scaled), 2.0))
    return (q, r), None


__all__ = [
    "QRResult",
    "SlogdetResult",
    "cholesky",
    "det",
    "inv",
    "qr",
    "slogdet",
    "solve",
    "tensorinv",
    "tensorsolve",
    "triangular_solve",
]
