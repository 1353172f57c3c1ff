"""torch's operators that numpy has too, and its linear algebra, in terms of the JAX interface.

Invariant: as in `opinfo_map`: public names of the namespace alone.
"""

from __future__ import annotations

import math
from typing import Any

from .opinfo_map import Unmapped, as_row, axes_of, dims, op
from .opinfo_nn import MAP

__all__ = ["MAP"]

# --- copies, shapes and splits --------------------------------------------------------------------


@op("alias_copy", "clone", "contiguous", "resolve_conj", "resolve_neg", "conj_physical")
def clone(j, x, *_, **__):
    return j.numpy.copy(x)


@op("H", "mH", "t_copy")
def adjoint(j, x):
    return j.numpy.conj(j.numpy.matrix_transpose(x)) if x.ndim > 1 else x


@op("conj")
def conj(j, x):
    return j.numpy.conj(x)


@op("real")
def real(j, x):
    return j.numpy.real(x)


@op("isreal")
def isreal(j, x):
    return j.numpy.isreal(x)


@op("angle")
def angle(j, x):
    return j.numpy.angle(x)


@op("atleast_3d")
def atleast_3d(j, *xs):
    found = xs[0] if isinstance(xs[0], (list, tuple)) else xs
    return j.numpy.atleast_3d(*found)


@op("broadcast_tensors")
def broadcast_tensors(j, *xs):
    return tuple(j.numpy.broadcast_arrays(*xs))


@op("expand_as", "view_as", "reshape_as")
def like(j, x, other):
    return (
        j.numpy.reshape(x, other.shape)
        if x.size == other.size
        else j.numpy.broadcast_to(x, other.shape)
    )


@op("view_copy")
def view_copy(j, x, *shape):
    return j.numpy.reshape(x, shape[0] if isinstance(shape[0], (tuple, list)) else shape)


@op("permute_copy")
def permute_copy(j, x, order):
    return j.numpy.permute_dims(x, order)


@op("transpose_copy")
def transpose_copy(j, x, a, b):
    return j.numpy.swapaxes(x, a, b) if x.ndim else x


@op("unsqueeze_copy")
def unsqueeze_copy(j, x, dim):
    return j.numpy.expand_dims(x, dim)


@op("hsplit")
def hsplit(j, x, at):
    return tuple(j.numpy.hsplit(x, at))


@op("vsplit")
def vsplit(j, x, at):
    return tuple(j.numpy.vsplit(x, at))


@op("dsplit")
def dsplit(j, x, at):
    return tuple(j.numpy.dsplit(x, at))


@op("split_with_sizes")
def split_with_sizes(j, x, sizes, dim=0):
    cuts = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return tuple(j.numpy.split(x, cuts, axis=dim))


@op("diagflat")
def diagflat(j, x, offset=0):
    return j.numpy.diagflat(x, offset)


@op("diag_embed")
def diag_embed(j, x, offset=0, dim1=-2, dim2=-1):
    wide = j.numpy.vectorize(lambda v: j.numpy.diag(v, offset), signature="(n)->(m,m)")(x)
    return j.numpy.moveaxis(wide, (-2, -1), (dim1, dim2))


@op("diagonal_copy", "linalg.diagonal")
def diagonal_copy(j, x, offset=0, dim1=None, dim2=None, A=None):
    first = (0, 1) if dim1 is None and dim2 is None else (dim1, dim2)
    return j.numpy.diagonal(x, offset, *(d for d in first))


@op("block_diag")
def block_diag(j, *xs):
    xs = [j.numpy.atleast_2d(x) for x in (xs[0] if isinstance(xs[0], (list, tuple)) else xs)]
    zeros = lambda i, k: j.numpy.zeros((xs[i].shape[0], xs[k].shape[1]), xs[i].dtype)  # noqa: E731
    n = len(xs)
    return j.numpy.block([[xs[i] if i == k else zeros(i, k) for k in range(n)] for i in range(n)])


@op("cartesian_prod")
def cartesian_prod(j, *xs):
    if len(xs) == 1:
        return xs[0]
    grids = j.numpy.meshgrid(*xs, indexing="ij")
    return j.numpy.stack([g.ravel() for g in grids], axis=-1)


# --- arithmetic -----------------------------------------------------------------------------------


@op("clamp_max")
def clamp_max(j, x, bound):
    return j.numpy.minimum(x, bound)


@op("clamp_min")
def clamp_min(j, x, bound):
    return j.numpy.maximum(x, bound)


@op("frac")
def frac(j, x):
    return j.numpy.modf(x)[0]


@op("frexp")
def frexp(j, x):
    return j.numpy.frexp(x)


@op("i0")
def i0(j, x):
    return j.numpy.i0(x)


@op("logaddexp2")
def logaddexp2(j, x, y):
    return j.numpy.logaddexp2(x, y)


@op("isin")
def isin(j, x, tests, assume_unique=False, invert=False):
    return j.numpy.isin(x, j.numpy.asarray(tests), assume_unique, invert)


@op("bucketize")
def bucketize(j, x, boundaries, out_int32=False, right=False):
    return j.numpy.searchsorted(boundaries, x, side="right" if right else "left")


@op("ones_like")
def ones_like(j, x, **_):
    return j.numpy.ones_like(x)


@op("zeros_like", "zero_")
def zeros_like(j, x, **_):
    return j.numpy.zeros_like(x)


@op("argwhere")
def argwhere(j, x):
    return j.numpy.argwhere(x)


@op("nonzero")
def nonzero(j, x, *_, as_tuple=False):
    found = j.numpy.argwhere(x)
    return tuple(j.numpy.nonzero(j.numpy.atleast_1d(x))) if as_tuple else found


# --- reductions and curves ------------------------------------------------------------------------


@op("aminmax")
def aminmax(j, x, dim=None, keepdim=False):
    axis = axes_of(x, dim)
    return j.numpy.min(x, axis, keepdims=keepdim), j.numpy.max(x, axis, keepdims=keepdim)


def _moments(j: Any, name: str, x: Any, dim: Any, keepdim: bool, correction: Any) -> tuple:
    axis = axes_of(x, dim)
    spread = getattr(j.numpy, name)(x, axis, correction=correction, keepdims=keepdim)
    return spread, j.numpy.mean(x, axis, keepdims=keepdim)


@op("std_mean")
def std_mean(j, x, dim=None, keepdim=False, unbiased=True, correction=None):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    less = int(unbiased) if correction is None else correction
    return _moments(j, "std", x, dim, keepdim, less)


@op("var_mean")
def var_mean(j, x, dim=None, keepdim=False, unbiased=True, correction=None):
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    less = int(unbiased) if correction is None else correction
    return _moments(j, "var", x, dim, keepdim, less)


@op("quantile")
def quantile(j, x, q, dim=None, keepdim=False, interpolation="linear"):
    return j.numpy.quantile(x, q, axis=axes_of(x, dim), keepdims=keepdim, method=interpolation)


@op("nanquantile")
def nanquantile(j, x, q, dim=None, keepdim=False, interpolation="linear"):
    return j.numpy.nanquantile(x, q, axis=axes_of(x, dim), keepdims=keepdim, method=interpolation)


@op("msort")
@as_row
def msort(j, x):
    return j.numpy.sort(x, axis=0)


@op("cov")
def cov(j, x, correction=1, fweights=None, aweights=None):
    return j.numpy.cov(x, ddof=correction, fweights=fweights, aweights=aweights)


@op("corrcoef")
def corrcoef(j, x):
    return j.numpy.corrcoef(x)


@op("trapezoid", "trapz")
def trapezoid(j, y, x=None, dim=-1, dx=1.0):
    return j.numpy.trapezoid(y, x, dx, dim)


@op("gradient")
def gradient(j, x, spacing=None, dim=None, edge_order=1):
    if edge_order != 1:
        raise Unmapped("edges of second order")
    steps = () if spacing is None else spacing if isinstance(spacing, (tuple, list)) else (spacing,)
    found = j.numpy.gradient(x, *steps, axis=dims(dim))
    return tuple(found) if isinstance(found, list) else (found,)


@op("dist")
def dist(j, x, y, p=2):
    return j.numpy.linalg.norm(j.numpy.ravel(x - y), ord=p)


@op("unique")
def unique(j, x, sorted=True, return_inverse=False, return_counts=False, dim=None):
    return j.numpy.unique(
        x, return_inverse=return_inverse, return_counts=return_counts, axis=dim, equal_nan=False
    )


# --- linear algebra -------------------------------------------------------------------------------


@op("linalg.cross", "cross")
def cross(j, a, b, dim=None):
    if dim is None:
        dim = next(i for i, n in enumerate(a.shape) if n == 3) if a.shape == b.shape else -1
    return j.numpy.cross(*j.numpy.broadcast_arrays(a, b), axis=dim)


@op("linalg.vecdot")
def vecdot(j, a, b, dim=-1):
    return j.numpy.vecdot(*j.numpy.broadcast_arrays(a, b), axis=dim)


@op("linalg.vander")
def vander(j, x, N=None):
    powers = j.numpy.arange(x.shape[-1] if N is None else N)
    return j.numpy.vectorize(lambda v: v**powers, signature="()->(n)")(j.numpy.atleast_1d(x))


@op("cholesky", "linalg.cholesky")
def cholesky(j, x, upper=False):
    return j.numpy.linalg.cholesky(x, upper=upper)


@op("linalg.cholesky_ex")
def cholesky_ex(j, x, upper=False, check_errors=False):
    made = j.numpy.linalg.cholesky(x, upper=upper)
    return made, j.numpy.zeros(x.shape[:-2], int)


@op("linalg.det")
def det(j, x):
    return j.numpy.linalg.det(x)


@op("linalg.slogdet")
def slogdet(j, x):
    return tuple(j.numpy.linalg.slogdet(x))


@op("logdet")
def logdet(j, x):
    sign, size = j.numpy.linalg.slogdet(x)
    return j.numpy.where(sign < 0, math.nan, size)


@op("linalg.inv")
def inv(j, x):
    return j.numpy.linalg.inv(x)


@op("linalg.inv_ex")
def inv_ex(j, x, check_errors=False):
    return j.numpy.linalg.inv(x), j.numpy.zeros(x.shape[:-2], int)


@op("linalg.solve")
def solve(j, a, b, left=True):
    vector = b.ndim == 1 or b.shape == a.shape[:-1]
    right = b[..., None] if vector else b
    if left:
        found = j.numpy.linalg.solve(a, right)
    else:
        turned = (j.numpy.matrix_transpose(v) for v in (a, b if not vector else b[..., None, :]))
        found = j.numpy.matrix_transpose(j.numpy.linalg.solve(*turned))
        return found[..., 0, :] if vector else found
    return found[..., 0] if vector else found


@op("linalg.qr", "qr")
def qr(j, x, mode="reduced", some=True):
    if mode == "r":
        raise Unmapped("an empty Q")
    return tuple(j.numpy.linalg.qr(x, mode if some else "complete"))


@op("linalg.svdvals")
def svdvals(j, x, driver=None):
    return j.numpy.linalg.svdvals(x)


def _of_triangle(j, x, name):
    """The symmetric matrix of which torch reads a triangle, but differentiates the whole."""
    low = x if name == "L" else j.numpy.matrix_transpose(x)
    whole = j.numpy.tril(low) + j.numpy.matrix_transpose(j.numpy.tril(low, -1))
    return x + j.lax.stop_gradient(whole - x)


@op("linalg.eigvalsh")
def eigvalsh(j, x, UPLO="L"):
    return j.numpy.linalg.eigvalsh(_of_triangle(j, x, UPLO))


@op("linalg.pinv")
def pinv(j, x, other=None, rtol=None, hermitian=False, atol=None):
    if atol is not None or hermitian:  # torch's samples of the latter are not symmetric
        raise Unmapped("two tolerances, and matrices taken for symmetric")
    if other is not None:  # the samples of singular matrices are products
        x = x @ j.numpy.matrix_transpose(other)
    return j.numpy.linalg.pinv(x, rtol=rtol)


@op("linalg.cond")
def cond(j, x, p=None):
    return j.numpy.linalg.cond(x, p)


@op("linalg.tensorinv")
def tensorinv(j, x, ind=2):
    return j.numpy.linalg.tensorinv(x, ind)


@op("linalg.tensorsolve")
def tensorsolve(j, a, b, dims=None):
    return j.numpy.linalg.tensorsolve(a, b, dims)


@op("linalg.norm")
def norm(j, x, ord=None, dim=None, keepdim=False, dtype=None):
    return j.numpy.linalg.norm(x, ord, dims(dim), keepdim)


@op("linalg.matrix_norm")
def matrix_norm(j, x, ord="fro", dim=(-2, -1), keepdim=False, dtype=None):
    return j.numpy.linalg.norm(x, ord, tuple(dim), keepdim)
