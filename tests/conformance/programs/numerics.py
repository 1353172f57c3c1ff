"""Sets, histograms, editing, ufuncs and linear algebra."""

from __future__ import annotations

import numpy as np

from . import distinct, floats, ints, program


@program(ints(7), ints(5, low=2, high=6), grad=False)
def sets_of_known_size(j, a, b):
    n = j.numpy
    return (
        n.union1d(a, b, size=6),
        n.intersect1d(a, b, size=3),
        n.setdiff1d(a, b, size=3),
        n.setxor1d(a, b, size=5),
        n.isin(a, b),
        n.isin(a, b, invert=True),
    )


@program(ints(6, 2, high=2), grad=False)
def unique_rows(j, x):
    return j.numpy.unique(x, axis=0, size=4, fill_value=9, return_inverse=True, return_counts=True)


@program(floats(20), floats(20))
def histograms_with_density(j, x, y):
    n = j.numpy
    edges = n.linspace(-2.0, 2.0, 5)
    return (
        n.histogram(x, edges, weights=y, density=False)[0],
        n.histogram(x, bins=4)[0],
        n.histogram2d(x, y, bins=[edges, edges])[0],
        n.histogram_bin_edges(x, 3),
    )


@program(floats(3, 8))
def covariances_and_correlations(j, x):
    n = j.numpy
    weights = n.arange(8) % 3
    return (
        n.cov(x, rowvar=False),
        n.cov(x, x[0], bias=True),
        n.corrcoef(x),
        n.cov(x, fweights=weights),
    )


@program(floats(5), floats(2))
def inserted_and_deleted(j, x, v):
    n = j.numpy
    return (
        n.insert(x, 2, v[0]),
        n.insert(x, np.array([1, 3]), v),
        n.delete(x, 1),
        n.delete(x, np.array([0, 2])),
        n.delete(x, slice(1, 4)),
        n.resize(x, (2, 4)),
        n.append(x, v),
    )


@program(floats(4, 3), ints(3, low=-2, high=5))
def chosen_and_compressed(j, x, i):
    n = j.numpy
    return (
        n.choose(i, [x[0], x[1], x[2]], mode="wrap"),
        n.choose(i, [x[0], x[1], x[2]], mode="clip"),
        n.compress(n.array([True, False, True, True]), x, axis=0, size=3),
        n.extract(x > 0, x, size=5, fill_value=-1),
        n.block([[x, x[:, :1]], [x[:1], n.ones((1, 1))]]),
    )


@program(floats(6), floats(4))
def polynomials(j, p, q):
    n = j.numpy
    return (
        n.polyadd(p, q),
        n.polysub(q, p),
        n.polymul(p, q),
        n.polyder(p, 2),
        n.polyint(q, 2),
        n.polydiv(p, q + 3),
        n.poly(q),
        n.vander(q, 3, increasing=True),
    )


@program(floats(3, 4))
def ufunc_methods(j, x):
    n = j.numpy
    return (
        n.add.reduce(x, axis=1),
        n.multiply.accumulate(x, axis=0),
        n.maximum.reduce(x, axis=None),
        n.subtract.outer(x[0], x[1]),
        n.add.reduceat(x[0], np.array([0, 2, 1])),
        n.logaddexp.reduce(x),
        n.add.at(x[0], np.array([1, 1]), 2.0, inplace=False),
    )


@program(floats(5), floats(5))
def a_ufunc_of_a_function(j, x, y):
    clipped = j.numpy.frompyfunc(lambda a, b: a * b + a, 2, 1)
    return clipped(x, y), clipped.accumulate(x)


@program(floats(3, 6), floats(6))
def piecewise_and_applied(j, x, v):
    n = j.numpy
    return (
        n.piecewise(x, [x < -1, x > 1], [lambda a: -a, lambda a: a * a, 0.5]),
        n.apply_along_axis(lambda r: r[::2] * 2, 1, x),
        n.apply_over_axes(n.sum, x, [0, 1]),
        n.vectorize(lambda a, b: (a * b).sum(), signature="(n),(n)->()")(x, v),
        n.gradient(v),
        n.gradient(x, 0.5, axis=1),
        n.unwrap(v * 4),
    )


@program(floats(4, 4), floats(4, 2))
def solutions_and_determinants(j, a, b):
    la = j.numpy.linalg
    a = a + 4 * j.numpy.eye(4)
    return la.solve(a, b), la.inv(a), la.det(a), tuple(la.slogdet(a)), la.matrix_power(a, -2)


@program(floats(2, 4, 4))
def cholesky_of_a_stack(j, x):
    n = j.numpy
    definite = x @ n.matrix_transpose(x) + 2 * n.eye(4)
    return n.linalg.cholesky(definite), n.linalg.cholesky(definite, upper=True)


@program(floats(5, 3))
def qr_of_a_tall_matrix(j, x):
    q, r = j.numpy.linalg.qr(x + 3 * j.numpy.eye(5, 3))
    return q, r


@program(distinct(3, 4))
def reductions_with_all_options(j, x):
    n = j.numpy
    mask = x > -1
    return (
        n.mean(x, axis=1, where=mask, keepdims=True),
        n.var(x, axis=0, correction=1),
        n.max(x, axis=1, initial=0.5, where=mask),
        n.prod(x, where=mask, initial=2.0),
        n.cumulative_sum(x, axis=1, include_initial=True),
        n.diff(x, prepend=0.0, append=x[:, :1]),
        n.average(x, axis=1, weights=n.arange(1.0, 5.0), returned=True),
    )


@program(floats(3, 4), grad=False)
def grids_and_places(j, x):
    n = j.numpy
    return (
        n.mgrid[0:2, 0:1:3j],
        n.r_[1:4, 0.0, n.arange(2.0)],
        n.c_[x[0], x[1]],
        n.ix_(n.arange(2), n.arange(3)),
        n.tril_indices_from(x),
        n.diag_indices(3),
        x[n.s_[1:, ::2]],
    )


@program(ints(8, low=-20, high=20), ints(8, low=1, high=9), grad=False)
def integers_and_bits(j, a, b):
    n = j.numpy
    return (
        n.gcd(a, b),
        n.lcm(a, b),
        n.bitwise_count(a).astype("int32"),
        a << b,
        a >> b,
        divmod(a, b),
    )
