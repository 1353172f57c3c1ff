"""What singular values say of a matrix: its rank, its pseudo-inverse, and least squares.

Invariant: a singular value counts or counts as zero, by its share of the largest; what counts as
zero contributes nothing, to results or to their derivatives.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .contraction import matmul
from .custom import custom_jvp
from .errors import located
from .operands import as_float, astype, same_dtype
from .shaping import matrix_transpose
from .spectral import scaled, svd, svdvals


def _threshold(s: Any, shape: tuple[int, ...], rtol: Any) -> Any:
    """Below what a singular value counts as zero: `rtol` (default: rounding) of the largest."""
    if rtol is None:
        rtol = max(shape[-2:]) * float(np.finfo(np.float32).eps)
    largest = red.max(s, -1, keepdims=True, initial=0.0)
    scale = shaping.expand_dims(rtol, -1) if shaping.ndim(rtol) else rtol
    return ew.multiply(largest, scale)


def matrix_rank(M: Any, rtol: Any = None, *, hermitian: bool = False, tol: Any = None) -> Any:
    """How many singular values exceed `rtol` of the largest (default: max(m, n) * eps), int32.

    `tol` is the former name of `rtol`.
    """
    x = as_float(M)
    if aval_of(x).ndim < 2:
        nonzero = red.any(ew.not_equal(x, 0))
        return astype(nonzero, i32)
    s = svdvals(x)
    least = _threshold(s, aval_of(x).shape, tol if rtol is None else rtol)
    return red.sum(astype(ew.greater(s, least), i32), -1)


def pinv(a: Any, rtol: Any = None, hermitian: bool = False, *, rcond: Any = None) -> Any:
    """The Moore-Penrose inverse; singular values of at most `rtol` of the largest count as zero.

    The default of `rtol` is 10 * max(m, n) * eps; `rcond` is its former name.
    """
    x = as_float(a)
    rtol = rcond if rtol is None else rtol
    if rtol is None:
        rtol = 10.0 * max(aval_of(x).shape[-2:]) * float(np.finfo(np.float32).eps)
    return _pinv(x, rtol)


@custom_jvp
def _pinv(x: Any, rtol: Any) -> Any:
    u, s, vh = svd(x, full_matrices=False)
    kept = ew.greater(s, _threshold(s, aval_of(x).shape, rtol))
    inverse = ew.where(kept, ew.divide(1.0, ew.where(kept, s, 1.0)), 0.0)
    return matmul(scaled(matrix_transpose(vh), inverse), matrix_transpose(u))


@_pinv.defjvp
def _pinv_rule(primals: tuple, tangents: tuple) -> tuple:
    """Golub and Pereyra, The differentiation of pseudo-inverses (1973), eq. 4.12: the rank is
    constant. Singular vectors of equal values, as of zeros, would have no derivative."""
    (x, rtol), (dx, _) = primals, tangents
    p = _pinv(x, rtol)
    turned, back = matrix_transpose(p), matrix_transpose(dx)
    tangent = ew.negative(matmul(matmul(p, dx), p))
    right = matmul(matmul(p, turned), back)
    tangent = ew.add(tangent, ew.subtract(right, matmul(matmul(right, x), p)))
    left = matmul(matmul(back, turned), p)
    return p, ew.add(tangent, ew.subtract(left, matmul(p, matmul(x, left))))


def lstsq(a: Any, b: Any, rcond: float | None = None, *, numpy_resid: bool = False) -> tuple:
    """(x that minimizes |a @ x - b|, squared residuals, rank of a, singular values of a).

    b is [m] or [m, k]. Singular values below `rcond` (default: max(m, n) * eps) of the largest
    count as zero. With `numpy_resid` the residuals are empty where numpy's are.
    """
    a, b = same_dtype("lstsq", as_float(a), as_float(b))
    shape, given = aval_of(a).shape, aval_of(b).shape
    if len(shape) != 2:
        raise located(TypeError, f"{len(shape)}-dimensional array given. Array must be 2-D")
    if len(given) not in (1, 2) or given[0] != shape[0]:
        raise located(ValueError, f"lstsq of a {shape} got a right-hand side of {given}")
    right = shaping.expand_dims(b, -1) if len(given) == 1 else b
    u, s, vh = svd(a, full_matrices=False)
    kept = ew.greater(s, _threshold(s, shape, None if rcond is None or rcond < 0 else rcond))
    inverse = ew.where(kept, ew.divide(1.0, ew.where(kept, s, 1.0)), 0.0)
    projected = scaled(matmul(matrix_transpose(right), u), inverse)
    x = matmul(matrix_transpose(vh), matrix_transpose(projected))
    residuals = red.sum(ew.square(ew.subtract(right, matmul(a, x))), 0)
    if numpy_resid and shape[0] <= shape[1]:
        residuals = shaping.slice_axis(residuals, 0, 0, 0)
    rank = red.sum(astype(kept, i32))
    return shaping.squeeze(x, -1) if len(given) == 1 else x, residuals, rank, s


__all__ = ["lstsq", "matrix_rank", "pinv"]
