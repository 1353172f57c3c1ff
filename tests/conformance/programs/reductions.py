"""Reductions, scans along an axis and contractions."""

from __future__ import annotations

from . import bools, distinct, floats, ints, positive, program


@program(floats(3, 4, 2))
def sums(j, x):
    n = j.numpy
    return n.sum(x), n.sum(x, 1), n.sum(x, (0, -1)), n.sum(x, axis=2, keepdims=True), n.sum(x, ())


@program(floats(3, 4), bools(3, 4))
def sums_with_where(j, x, m):
    n = j.numpy
    some = m.at[:, 0].set(True).at[0].set(True)
    return n.sum(x, where=m), n.mean(x, axis=0, where=some), n.max(x, 1, where=m, initial=-9)


@program(floats(3, 4))
def sums_with_dtype_and_initial(j, x):
    n = j.numpy
    return n.sum(x, dtype="float16").dtype.name, n.sum(x, initial=3.0), n.prod(x, initial=2.0)


@program(ints(3, 4, low=-3), bools(3, 4))
def integer_sums(j, x, m):
    n = j.numpy
    return n.sum(x), n.sum(m), n.mean(x), n.prod(x, 0), n.cumsum(m), n.count_nonzero(x, axis=1)


@program(floats(3, 4))
def means_and_variances(j, x):
    n = j.numpy
    return n.mean(x), n.mean(x, 0), n.var(x, 1), n.std(x, ddof=1), n.var(x, (0, 1), keepdims=True)


@program(floats(3, 4))
def averages(j, x):
    n = j.numpy
    weights = n.arange(1.0, 5.0)
    return n.average(x, axis=1, weights=weights), n.average(x), n.ptp(x, 0)


@program(positive(3, 4))
def products(j, x):
    return j.numpy.prod(x), j.numpy.prod(x, 0), j.numpy.cumprod(x, 1)


@program(floats(4))
def product_with_a_zero(j, x):
    return j.numpy.prod(x.at[1].set(0.0))


@program(distinct(3, 4))
def extrema(j, x):
    n = j.numpy
    return n.max(x), n.min(x, 0), n.amax(x, 1, keepdims=True), n.argmax(x), n.argmin(x, 1)


@program()
def extrema_with_ties(j):
    x = j.numpy.array([1.0, 3.0, 3.0, 2.0])
    return j.numpy.argmax(x), j.grad(lambda v: j.numpy.max(v))(x), j.grad(lambda v: v.min())(x * 0)


@program()
def extrema_with_nan(j):
    x = j.numpy.array([1.0, float("nan"), 3.0])
    n = j.numpy
    return n.max(x), n.min(x), n.argmax(x), n.nanmax(x), n.nansum(x), n.nanmean(x), n.sort(x)


@program(bools(3, 4))
def any_and_all(j, m):
    n = j.numpy
    return n.any(m), n.all(m, 0), n.any(m, axis=(0, 1), keepdims=True), n.all(~m & m, axis=1)


@program(floats(3, 4))
def cumulative(j, x):
    n = j.numpy
    return n.cumsum(x), n.cumsum(x, 0), j.lax.cumsum(x, 1, reverse=True), j.lax.cumprod(x, 0)


@program(distinct(3, 4))
def cumulative_extrema(j, x):
    k = j.lax
    return k.cummax(x, 0), k.cummin(x, 1, reverse=True), k.cumlogsumexp(x * 0.1, 1)


@program(floats(3, 4))
def logsumexps(j, x):
    n = j.nn.logsumexp
    return n(x), n(x, axis=1), n(x * 100, axis=0, keepdims=True), n(x, b=j.numpy.ones_like(x) * 2)


@program(distinct(3, 5))
def medians_and_quantiles(j, x):
    n = j.numpy
    return n.median(x), n.median(x, 1), n.quantile(x, 0.3, axis=0), n.percentile(x, 75)


@program(floats(3, 4))
def norms(j, x):
    norm = j.numpy.linalg.norm
    return norm(x), norm(x, axis=1), norm(x, ord=1, axis=0), norm(x[0], ord=3)


@program(floats(4, 4))
def linear_algebra_by_contraction(j, x):
    n = j.numpy.linalg
    found = n.matrix_power(x, 3), n.multi_dot([x, x, x]), n.vector_norm(x, axis=0)
    return *found, n.outer(x[0], x[1])


@program(floats(3, 4), floats(4, 5), floats(4), floats(3))
def matmuls(j, a, b, v, u):
    n = j.numpy
    return a @ b, a @ v, u @ a, v @ v, n.matmul(a, b), n.dot(a, v), n.vdot(v, v), n.outer(u, v)


@program(floats(2, 3, 4), floats(2, 4, 5), floats(4, 3))
def batched_matmuls(j, a, b, c):
    return a @ b, a @ c, c @ a, (a[:, None] @ b[None]), j.numpy.inner(a, a)


@program(floats(3, 4), floats(4, 5))
def einsum_pairs(j, a, b):
    e = j.numpy.einsum
    return e("ij,jk->ik", a, b), e("ij,jk->ki", a, b), e("ij,jk", a, b), e("ij,jk->", a, b)


@program(floats(3, 3), floats(3))
def einsum_of_one_and_of_diagonals(j, a, v):
    e = j.numpy.einsum
    return e("ii->i", a), e("ii", a), e("ij->ji", a), e("ij->j", a), e("i,ij,j->", v, a, v)


@program(floats(2, 3, 4), floats(2, 4, 5), floats(5, 3))
def einsum_of_three(j, a, b, c):
    return j.numpy.einsum("bij,bjk,kl->bil", a, b, c)


@program(floats(2, 3, 4), floats(2, 4, 5))
def einsum_with_an_ellipsis(j, a, b):
    e = j.numpy.einsum
    return e("...ij,...jk->...ik", a, b), e("...i->...", a), e("b...,b...->b", a, a)


@program(floats(2, 3, 4, 5), floats(2, 3, 4, 5))
def einsum_of_attention(j, q, k):
    scores = j.numpy.einsum("bhsd,bhtd->bhst", q, k)
    return j.numpy.einsum("bhst,bhtd->bshd", j.nn.softmax(scores), k)


@program(floats(3, 4), floats(5))
def einsum_outer_and_broadcast(j, a, v):
    e = j.numpy.einsum
    return e("ij,k->kij", a, v), e("ij,ij->ij", a, a), e(a, [0, 1], v, [2], [2, 0, 1])


@program(floats(2, 3, 4), floats(4, 3, 5))
def tensordots(j, a, b):
    t = j.numpy.tensordot
    return t(a, b, axes=1), t(a, b, axes=([1, 2], [1, 0])), t(a, b, axes=([2], [0]))


@program(floats(2, 3, 4), floats(2, 5, 4))
def dot_general_with_batch(j, a, b):
    d = j.lax.dot_general
    return d(a, b, (((2,), (2,)), ((0,), (0,)))), d(a, b, (((2,), (2,)), ((), ())))


@program(floats(3, 4), floats(3, 4))
def vecdot_and_matvec(j, a, b):
    n = j.numpy
    return n.vecdot(a, b), n.matvec(a, b[0]), n.vecmat(b[:, 0], a), n.linalg.vecdot(a, b, axis=0)


@program(floats(2, 3, 8), floats(4, 3, 3))
def convolution_in_one_dimension(j, x, w):
    c = j.lax.conv_general_dilated
    return c(x, w, (1,), "SAME"), c(x, w, (2,), [(1, 2)], rhs_dilation=(2,))


@program(floats(2, 3, 6, 6), floats(4, 3, 3, 3))
def convolution_in_two_dimensions(j, x, w):
    return j.lax.conv(x, w, (1, 1), "VALID"), j.lax.conv(x, w, (2, 2), "SAME")


@program(floats(2, 6, 6, 4), floats(3, 3, 2, 6))
def convolution_with_groups_and_layout(j, x, w):
    return j.lax.conv_general_dilated(
        x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), feature_group_count=2
    )


@program(distinct(1, 6, 6, 1))
def max_pool_by_reduce_window(j, x):
    return j.lax.reduce_window(x, -float("inf"), j.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


@program(floats(5))
def covariance(j, x):
    rows = j.numpy.stack([x, x**2, j.numpy.sin(x)])
    return j.numpy.cov(rows), j.numpy.corrcoef(rows)


@program(floats(12), grad=False)
def histograms(j, x):
    edges = j.numpy.linspace(-2, 2, 5)
    return j.numpy.histogram(x, bins=edges), j.numpy.digitize(x, edges)


@program(floats(3, 4))
def lax_reductions(j, x):
    k = j.lax
    found = k.reduce_sum(x, (0,)), k.reduce_max(x, (1,)), k.reduce(x, 0.0, k.add, (1,))
    return *found, k.argmax(x, 1, "int32")


@program(distinct(3, 4))
def more_lax_reductions(j, x):
    k = j.lax
    u = x / 3
    return (
        k.reduce_min(x, (1,)), k.reduce_prod(x, (0, 1)), k.argmin(x, 0, "int32"),
        k.reduce(u, 0.0, lambda a, b: a + b + a * b, (0, 1)), k.reduce(x, 2.0, k.mul, (0,)),
        k.reduce_and(x > 0, (0,)), k.reduce_or(x > 1, (0, 1)), k.reduce_xor(x > 1, (0, 1)),
        k.cumlogsumexp(x, 0, reverse=True),
    )  # fmt: skip


@program(floats(2, 3, 4), floats(2, 4, 5))
def lax_products(j, x, y):
    k = j.lax
    return (
        k.batch_matmul(x, y), k.dot(x[0], y[0]), k.dot(x[0], y[0, :, 0]),
        k.dot_general(x, y, (((0, 2), (0, 1)), ((), ()))),
        k.dot_general(x, y, (((), ()), ((0,), (0,)))),
    )  # fmt: skip
