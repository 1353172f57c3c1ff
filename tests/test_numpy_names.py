"""Editing, sets, histograms, polynomials, grids and functions of functions, against numpy."""

import warnings

import numpy as np
import pytest

from tracer import errors, jit
from tracer import numpy as jnp

from .arrays import floats, ints, same

pytestmark = pytest.mark.usefixtures("oracle")

A, V, CUBE = floats(3, 4), floats(7), floats(2, 3, 4)
N, M = ints(9), ints(6, low=-3, high=4)
HOLED = np.float32([np.nan, 1, 2, np.nan, 1, -0.0, 0.0])
ROWS = np.int32([[1, 2], [0, 5], [1, 2], [0, 4]])
EDGES = np.float32([-2, -0.5, 0.25, 2])


def clipped(m, x):
    """The Euclidean length, of vectors."""
    return m.sqrt(m.sum(x * x))


CALLS = {
    "insert": lambda m: m.insert(V, 2, 9.0),
    "insert many": lambda m: m.insert(V, [0, -1, 3, 3], np.float32([1, 2, 3, 4])),
    "insert rows": lambda m: m.insert(A, 1, A[0], axis=0),
    "insert columns": lambda m: m.insert(A, [1, 3], A[:, :2], axis=1),
    "insert column": lambda m: m.insert(A, 4, 7.0, axis=-1),
    "insert slice": lambda m: m.insert(V, slice(0, 6, 2), 5.0),
    "insert several at one": lambda m: m.insert(V, 2, np.float32([7, 8])),
    "delete": lambda m: m.delete(V, 2),
    "delete row": lambda m: m.delete(A, -1, axis=0),
    "delete many": lambda m: m.delete(A, np.array([1, 3, 1]), axis=1),
    "delete slice": lambda m: m.delete(A, slice(None, None, 2), axis=1),
    "delete mask": lambda m: m.delete(V, V > 0),
    "delete flat": lambda m: m.delete(A, 5),
    "resize": lambda m: m.resize(A, (5, 3)),
    "resize down": lambda m: m.resize(A, 4),
    "resize nothing": lambda m: m.resize(A[:0], (2, 2)),
    "choose": lambda m: m.choose(np.int32([2, 0, 1, 1]), [A[0], A[1], A[2]]),
    "choose wrap": lambda m: m.choose(np.int32([5, -1, 1, 0]), [A[0], A[1], 2.0], mode="wrap"),
    "choose clip": lambda m: m.choose(np.int32([5, -1, 1, 0]), [A[0], A[1]], mode="clip"),
    "block": lambda m: m.block([[A, A[:, :1]], [A[:1], np.ones((1, 1), np.float32)]]),
    "block flat": lambda m: m.block([V, 1.0, V]),
    "block deep": lambda m: m.block([[[CUBE]], [[CUBE]]]),
    "isin": lambda m: m.isin(N, M),
    "isin many": lambda m: m.isin(N, np.arange(-4, 90, dtype=np.int32) * 3),
    "isin inverted": lambda m: m.isin(A, A[1], invert=True),
    "isin nothing": lambda m: m.isin(N, M[:0]),
    "histogram": lambda m: m.histogram(A, bins=5, weights=A * 0 + 1),
    "histogram range": lambda m: m.histogram(A, bins=4, range=(-1, 1.5), weights=A),
    "histogram edges": lambda m: m.histogram(A, EDGES, weights=A * A),
    "histogram density": lambda m: m.histogram(A, EDGES, density=True),
    "histogram of one value": lambda m: m.histogram(V[:1], 2, weights=V[:1]),
    "bin edges": lambda m: m.histogram_bin_edges(V, 3),
    "histogram2d": lambda m: m.histogram2d(V, V[::-1], bins=3, weights=V * 0 + 1),
    "histogram2d edges": lambda m: m.histogram2d(V, V * V, [EDGES, 4], weights=V * V),
    "histogramdd": lambda m: m.histogramdd(floats(20, 3), bins=(2, 3, 2), density=True),
    "cov": lambda m: m.cov(A),
    "cov of a vector": lambda m: m.cov(V),
    "cov of two": lambda m: m.cov(A, A[1] * 2, bias=True),
    "cov of columns": lambda m: m.cov(A, rowvar=False, ddof=0),
    "cov weighted": lambda m: m.cov(
        A, fweights=np.int32([1, 2, 0, 3]), aweights=np.float32([1, 2, 3, 0.5])
    ),
    "corrcoef": lambda m: m.corrcoef(A, A[0] + 1),
    "polyadd": lambda m: m.polyadd(V, V[:3]),
    "polysub": lambda m: m.polysub(V[:3], V),
    "polymul": lambda m: m.polymul(V[:3], V),
    "polydiv": lambda m: m.polydiv(V, V[:5] + 3)[0],
    "polyder": lambda m: m.polyder(V, 2),
    "polyint": lambda m: m.polyint(V, 2, [1.0, 2.0]),
    "poly": lambda m: m.poly(V[:4]),
    "vander": lambda m: m.vander(V, 4),
    "vander rising": lambda m: m.vander(N[:3], increasing=True),
    **{w: lambda m, w=w: getattr(m, w)(7) for w in "bartlett blackman hamming hanning".split()},
    "kaiser": lambda m: m.kaiser(8, 4.5),
    "i0": lambda m: m.i0(floats(60, low=-30, high=30)),
    "gcd": lambda m: m.gcd(N * 6, np.int32(4)),
    "gcd of arrays": lambda m: m.gcd(N[:6] * 12, M * 8),
    "lcm": lambda m: m.lcm(N[:6], M),
    "bitwise_count": lambda m: m.bitwise_count(N * 1000).astype(np.int32),
    "frexp": lambda m: m.frexp(np.float32([1, 0, -3, np.inf, 0.1, 1e-40, 3e38])),
    "spacing": lambda m: m.spacing(np.float32([1, -3, 1e30, np.inf])),
    "angle": lambda m: m.angle(np.float32([-1, 2, -0.0]), deg=True),
    "imag": lambda m: m.imag(A),
    "isreal": lambda m: [m.isreal(A), m.iscomplex(A), m.isrealobj(A), m.iscomplexobj(A)],
    "real": lambda m: [m.real(A), m.conj(A), m.conjugate(A)],
    "ix_": lambda m: m.ix_(np.int32([1, 2]), np.int32([0, 3, 1])),
    "mgrid": lambda m: m.mgrid[0:3, 1:2:3j],
    "mgrid of one": lambda m: m.mgrid[2:9:3],
    "ogrid": lambda m: m.ogrid[0:3, 0:4:2],
    "r_": lambda m: m.r_[1:4, 0, np.int32([7, 8])],
    "r_ floats": lambda m: m.r_[0:1:3j, V],
    "r_ axes": lambda m: m.r_["0,2", A, A[0]],
    "r_ placed": lambda m: m.r_["1,2,0", V, V],
    "c_": lambda m: m.c_[V, V * 2],
    "s_": lambda m: CUBE[m.s_[0, 1:, ::2]],
    "index_exp": lambda m: CUBE[m.index_exp[1]],
    "diag_indices": lambda m: m.diag_indices(3, 3),
    "diag_indices_from": lambda m: m.diag_indices_from(A[:, :3]),
    "tril_indices_from": lambda m: m.tril_indices_from(A, -1),
    "triu_indices_from": lambda m: m.triu_indices_from(A, 1),
    "mask_indices": lambda m: m.mask_indices(3, m.triu, 1),
    "meshgrid sparse": lambda m: m.meshgrid(V, V[:2], sparse=True, indexing="ij"),
    "apply_along_axis": lambda m: m.apply_along_axis(lambda r: r[::-1][:2], 1, A),
    "apply_along_axis 0": lambda m: m.apply_along_axis(lambda r, k: (r * k).sum(), 0, CUBE, 3.0),
    "apply_over_axes": lambda m: m.apply_over_axes(m.sum, CUBE, [0, 2]),
    "fromfunction": lambda m: m.fromfunction(lambda i, j: i * 10 + j, (2, 3), dtype=np.int32),
    "piecewise": lambda m: m.piecewise(A, [A < 0, A > 1], [lambda v: -v, 7, lambda v: v * v]),
    "piecewise zero": lambda m: m.piecewise(A, [A < 0], [lambda v, k: v * k], 3.0),
    "einsum numbered": lambda m: m.einsum(A, [0, 1], A, [2, 1], [0, 2]),
    "einsum numbered alone": lambda m: m.einsum(CUBE, [Ellipsis, 0]),
    "matvec": lambda m: m.matvec(CUBE, A[0]),
    "matvec stacked": lambda m: m.matvec(CUBE[:, None], floats(5, 4)),
    "vecmat": lambda m: m.vecmat(floats(5, 1, 3), CUBE),
    "vecdot axis": lambda m: m.vecdot(CUBE, CUBE[:1], axis=1),
    "rollaxis": lambda m: m.rollaxis(CUBE, 2),
    "rollaxis back": lambda m: m.rollaxis(CUBE, 0, -1),
    "unwrap": lambda m: m.unwrap(np.float32([0, 3, 6.5, 0, -3, 1])),
    "unwrap axis": lambda m: m.unwrap(CUBE * 4, axis=0, period=3.0, discont=2.0),
    "interp period": lambda m: m.interp(
        V * 9, np.float32([190, -190, 350, -350]), np.float32([5, 10, 3, 4]), period=360
    ),
    "cross axes": lambda m: m.cross(A, A[::-1], axisa=0, axisb=0, axisc=0),
    "cross axis": lambda m: m.cross(A, A * A, axis=0),
    "array ndmin": lambda m: m.array(V, ndmin=3),
    "full_like shape": lambda m: m.full_like(A, 3, shape=(2, 2)),
    "zeros_like shape": lambda m: m.zeros_like(N, shape=3, dtype=np.float32),
    "ones_like": lambda m: m.ones_like(N, shape=(2,)),
    "empty_like": lambda m: m.empty_like(N).shape,
    "full of an array": lambda m: m.full((2, 4), A[0]),
    "identity": lambda m: m.identity(3, np.int32),
    "logspace": lambda m: m.logspace(0.0, 2.0, 5, dtype=np.float32),
    "logspace base": lambda m: m.logspace(A[0], A[1], 3, base=2.0, axis=1),
    "geomspace": lambda m: m.geomspace(1.0, 1000.0, 4).astype(np.float32),
    "geomspace down": lambda m: m.geomspace(-(A[0] ** 2) - 1, -(A[1] ** 2) - 2, 5, axis=-1),
    "linspace of integers": lambda m: m.linspace(0, 10, 5, dtype=np.int32),
    "linspace step": lambda m: m.linspace(0.0, 1.0, 4, endpoint=False, retstep=True)[1],
    "arange": lambda m: [m.arange(np.int32(5)), m.arange(1, 2, 0.25), m.arange(2, dtype=float)],
    "concatenate flat": lambda m: m.concatenate([A, V], axis=None),
    "concatenate dtype": lambda m: m.concatenate([N, V], dtype=np.float32),
    "concat": lambda m: m.concat([A, A], axis=1),
    "hstack dtype": lambda m: m.hstack([N, N], dtype=np.float32),
    "stack dtype": lambda m: m.stack([N, N], dtype=np.float32),
    "split by an array": lambda m: m.split(A, np.array([1, 3]), axis=1),
    "trace dtype": lambda m: m.trace(N.reshape(3, 3), dtype=np.float32),
    "linalg diagonal": lambda m: m.linalg.diagonal(CUBE, offset=1),
    "linalg trace": lambda m: m.linalg.trace(CUBE),
    "linalg cross": lambda m: m.linalg.cross(floats(2, 3), floats(2, 3, seed=1)),
    "linalg outer": lambda m: m.linalg.outer(V, V),
    "linalg norms": lambda m: [
        m.linalg.vector_norm(CUBE, axis=(0, 2), keepdims=True),
        m.linalg.matrix_norm(CUBE, keepdims=True),
    ],
    "trapezoid": lambda m: m.trapezoid(A, dx=0.5, axis=0),
    "add.reduce": lambda m: m.add.reduce(CUBE, axis=(0, 2), keepdims=True),
    "add.reduce where": lambda m: m.add.reduce(V, where=V > 0, initial=3.0),
    "multiply.reduce": lambda m: m.multiply.reduce(A),
    "maximum.reduce": lambda m: m.maximum.reduce(A, axis=None),
    "logical_and.reduce": lambda m: m.logical_and.reduce(A > -1, axis=1),
    "logical_xor.reduce": lambda m: m.logical_xor.reduce(A > 0, axis=1),
    "bitwise_or.reduce": lambda m: m.bitwise_or.reduce(N),
    "logaddexp.reduce": lambda m: m.logaddexp.reduce(V),
    "subtract.reduce": lambda m: m.subtract.reduce(A, axis=1),
    "add.accumulate": lambda m: m.add.accumulate(A, axis=1),
    "minimum.accumulate": lambda m: m.minimum.accumulate(V),
    "subtract.accumulate": lambda m: m.subtract.accumulate(A),
    "add.outer": lambda m: m.add.outer(V, A),
    "multiply.reduceat": lambda m: m.multiply.reduceat(V, np.array([0, 4, 1, 5])),
    "subtract.reduceat": lambda m: m.subtract.reduceat(A, [0, 2, 1], axis=1),
    "ufunc": lambda m: [m.add.nin, m.add.nout, m.add.nargs, m.add.identity],
    "array_str": lambda m: len(m.array_str(A, precision=2)),
    "isscalar": lambda m: [m.isscalar(3), m.isscalar(A), m.isscalar("a"), m.iterable(A)],
    "einsum_path": lambda m: m.einsum_path("ij,jk,kl", A, A.T, A, optimize="greedy")[0][1:],
}
EAGER = {
    # results whose shape depends on values
    "trim_zeros": lambda m: m.trim_zeros(np.float32([0, 0, 1, 0, 2, 0])),
    "trim_zeros front": lambda m: m.trim_zeros(np.float32([0, 1, 0]), "f"),
    "trim_zeros of zeros": lambda m: m.trim_zeros(np.zeros(3, np.float32)),
    "compress": lambda m: m.compress(np.array([True, False, True]), A, axis=0),
    "compress flat": lambda m: m.compress(np.array([False, True, True, False, True]), A),
    "extract": lambda m: m.extract(A > 0, A),
    "unique axis": lambda m: m.unique(ROWS, axis=0, return_index=True, return_counts=True),
    "unique columns": lambda m: m.unique(ROWS.T, axis=1),
    "unique nan": lambda m: m.unique(HOLED, return_counts=True),
    "unique nan apart": lambda m: m.unique(HOLED, equal_nan=False, return_counts=True),
    "unique_all": lambda m: tuple(m.unique_all(N)),
    "unique_counts": lambda m: tuple(m.unique_counts(HOLED)),
    "unique_inverse": lambda m: tuple(m.unique_inverse(ROWS)),
    "unique_values": lambda m: m.sort(m.unique_values(M)),
    "union1d": lambda m: m.union1d(N, M),
    "intersect1d": lambda m: m.intersect1d(N, M),
    "intersect1d places": lambda m: m.intersect1d(N, M, return_indices=True),
    "intersect1d of nothing": lambda m: m.intersect1d(N, M[:0]),
    "setdiff1d": lambda m: m.setdiff1d(N, M),
    "setdiff1d in order": lambda m: m.setdiff1d(N[::-1], M, assume_unique=True),
    "setxor1d": lambda m: m.setxor1d(N, M),
    "polymul trimmed": lambda m: m.polymul(np.float32([1, 2]), np.float32([3, 1])),
}


def value(call, module):
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return call(module)


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    call = CALLS[name]
    want = value(call, np)
    same(call(jnp), want, rtol=2e-5, atol=2e-6)
    if not isinstance(want, int) and name not in (
        "isscalar",
        "einsum_path",
        "choose",
        "mask_indices",
    ):
        same(jit(lambda: call(jnp))(), want, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", EAGER)
def test_call_outside_of_a_trace_is_numpys(name):
    same(EAGER[name](jnp), value(EAGER[name], np), rtol=2e-5, atol=2e-6)


SIZED = {
    "union1d": (lambda a, b: jnp.union1d(a, b, size=5), [1, 2, 3, 4, 1]),
    "intersect1d": (lambda a, b: jnp.intersect1d(a, b, size=3), [2, 3, 2]),
    "setdiff1d": (lambda a, b: jnp.setdiff1d(a, b, size=3), [1, 0, 0]),
    "setxor1d": (lambda a, b: jnp.setxor1d(a, b, size=3, fill_value=9), [1, 4, 9]),
    "unique": (lambda a, b: jnp.unique(a, size=4, fill_value=-1), [1, 2, 3, -1]),
    "compress": (lambda a, b: jnp.compress(a > 1, a, size=4, fill_value=7), [2, 3, 2, 7]),
    "extract": (lambda a, b: jnp.extract(a > 1, a, size=2), [2, 3]),
    "trimmed by a delete": (
        lambda a, b: jnp.delete(a, b[:2], assume_unique_indices=True),
        [1, 3],
    ),
    "delete at a traced place": (lambda a, b: jnp.delete(a, b[0]), [1, 3, 2]),
    "insert at traced places": (lambda a, b: jnp.insert(a, b[:2], 9), [1, 9, 2, 3, 9, 2]),
    "choose": (lambda a, b: jnp.choose(b - 2, [a, -a, a * 5], mode="clip"), [1, -2, 15, 2]),
}


@pytest.mark.parametrize("name", SIZED)
def test_traced_calls_have_a_size(name):
    call, want = SIZED[name]
    a, b = np.int32([1, 2, 3, 2]), np.int32([2, 3, 4, 2])
    if "place" in name or "delete" in name:
        b = np.int32([1, 3, 4, 2])
    assert np.asarray(jit(call)(a, b)).tolist() == want


def test_vectorize_broadcasts_the_other_axes():
    length = jnp.vectorize(lambda v: clipped(jnp, v), signature="(n)->()")
    same(length(CUBE), np.sqrt((CUBE**2).sum(-1)), rtol=1e-5)
    product = jnp.vectorize(jnp.matmul, signature="(m,n),(n,p)->(m,p)")
    same(product(CUBE, np.ones((5, 1, 4, 2), np.float32)), CUBE @ np.ones((5, 1, 4, 2)), rtol=1e-5)
    plain = jnp.vectorize(lambda x, y, flip: x - y if flip else x + y, excluded={2})
    same(plain(A, A[0], True), A - A[0], rtol=1e-6)
    pair = jnp.vectorize(lambda x: (x.sum(), x), signature="(n)->(),(n)")
    same(pair(A), (A.sum(1), A), rtol=1e-5)
    named = jnp.vectorize(lambda x, scale: x * scale)
    same(named(A, scale=2.0), A * 2, rtol=1e-6)


def test_ufuncs_of_functions_and_at_places():
    product = jnp.frompyfunc(lambda a, b: a * b, 2, 1, identity=1)
    same(product(A, A[0]), A * A[0], rtol=1e-6)
    same(product.reduce(V), np.multiply.reduce(V), rtol=1e-5)
    same(product.accumulate(N[:4]), np.multiply.accumulate(N[:4]))
    same(jnp.frompyfunc(lambda a, b: (a + b, a), 2, 2)(A, 1.0), (A + 1, A), rtol=1e-6)
    for ufunc in ("add", "multiply", "maximum"):
        held, places, values = V.copy(), np.int32([1, 1, 5]), np.float32([2, 3, 0.5])
        getattr(np, ufunc).at(held, places, values)
        same(getattr(jnp, ufunc).at(V, places, values, inplace=False), held, rtol=1e-6)
    same(jnp.negative.at(V, np.int32([1]), inplace=False)[1], -V[1])
    grid, spots = np.zeros((3, 4), np.float32), (np.int32([0, 0, 2]), np.int32([1, 1, 3]))
    np.subtract.at(grid, spots, 2.0)
    same(jnp.subtract.at(np.zeros((3, 4), np.float32), spots, 2.0, inplace=False), grid)


def test_the_array_api_standard_finds_its_namespace():
    x = jnp.asarray(A)
    assert x.__array_namespace__(api_version="2024.12") is jnp
    info = jnp.__array_namespace_info__()
    assert info.default_device() == x.device and x.to_device(x.device) is x
    assert info.dtypes(kind="integral") == {"int32": np.int32, "uint32": np.uint32}
    assert info.default_dtypes()["real floating"] == np.float32
    assert x.devices() == {x.device} and info.capabilities()["max dimensions"] == 64
    with pytest.raises(ValueError, match="there is no kind"):
        info.dtypes(kind="quaternion")
    with pytest.raises(ValueError, match="there is no device"):
        x.to_device("nowhere")


ERRORS = {
    "ufunc": (lambda: jnp.add(1, 2, where=True), TypeError, "where argument of <jnp.ufunc 'add'>"),
    "ufunc in place": (lambda: jnp.add.at(V, 0, 1.0), TypeError, "pass inplace=False"),
    "ufunc of one": (
        lambda: jnp.negative.reduce(V),
        ValueError,
        "only supported for binary ufuncs",
    ),
    "ufunc mask": (lambda: jnp.maximum.reduce(V, where=V > 0), ValueError, "not have an identity"),
    "version": (lambda: jnp.ones(2).__array_namespace__(api_version="1"), ValueError, "2024.12"),
    "signature": (lambda: jnp.vectorize(abs, signature="(n->()"), ValueError, "not a valid gufunc"),
    "sizes": (
        lambda: jnp.vectorize(jnp.dot, signature="(n),(n)->()")(V, A),
        ValueError,
        "inconsistent size for core dimension 'n'",
    ),
    "results": (
        lambda: jnp.vectorize(lambda x: x, signature="(n)->()")(V),
        ValueError,
        "does not match core dimensions",
    ),
    "arguments": (
        lambda: jnp.vectorize(jnp.dot, signature="(n),(n)->()")(V),
        TypeError,
        "wrong number of positional arguments",
    ),
    "insert": (lambda: jnp.insert(V, 0.5, 1.0), ValueError, "jnp.insert(): obj must be a slice"),
    "delete": (lambda: jnp.delete(V, np.array([True])), ValueError, "for boolean indices"),
    "delete where": (lambda: jnp.delete(V, 9), IndexError, "out of bounds"),
    "choose": (lambda: jnp.choose(N + 9, [N, N]), ValueError, "invalid entry in choice array"),
    "compress": (
        lambda: jnp.compress(np.ones(9, bool), V),
        ValueError,
        "entries that are out of bounds",
    ),
    "block": (lambda: jnp.block([V, [V]]), ValueError, "Mismatched list depths"),
    "piecewise": (
        lambda: jnp.piecewise(V, [V > 0], [1, 2, 3]),
        ValueError,
        "functions are expected",
    ),
    "gcd": (lambda: jnp.gcd(V, V), ValueError, "must be integers"),
    "bins": (lambda: jnp.histogram(V, "auto"), ValueError, "not a rule"),
    "weights": (lambda: jnp.histogram(V, weights=A), ValueError, "same shape as a"),
    "cov": (lambda: jnp.cov(CUBE), ValueError, "m has more than 2 dimensions"),
    "vander": (lambda: jnp.vander(A), ValueError, "one-dimensional"),
    "poly": (lambda: jnp.poly(A), ValueError, "eigenvalues"),
    "size": (
        lambda: jit(jnp.union1d)(N, M),
        errors.ConcretizationTypeError,
        "give unique a `size`",
    ),
    "matmul": (lambda: jnp.matmul(A, 2), ValueError, "operand 1 must have ndim at least 1"),
    "dot": (lambda: jnp.dot(A, A), TypeError, "same shape, got (4,) and (3,)"),
    "vecdot": (lambda: jnp.vecdot(A, V), ValueError, "axes must match; got shapes (3, 4) and (7,)"),
    "einsum": (
        lambda: jnp.einsum("ij,j", A),
        ValueError,
        "Number of einsum subscripts, 2, must be",
    ),
    "stack": (
        lambda: jnp.stack([A, V]),
        ValueError,
        "All input arrays must have the same shape. Got",
    ),
    "concatenate": (
        lambda: jnp.concatenate([A, A.T]),
        TypeError,
        "concatenating along dimension 0 for shapes (3, 4), (4, 3)",
    ),
    "reshape": (lambda: jnp.reshape(A, (-1, -1)), TypeError, "only specify one unknown axis size"),
    "where": (lambda: jnp.where(A > 0, A, V), ValueError, "Incompatible shapes for broadcasting"),
    "moveaxis": (lambda: jnp.moveaxis(A, (0, 1), 0), ValueError, "Inconsistent number of elements"),
    "broadcast": (lambda: jnp.broadcast_to(A, 4), ValueError, "shape with fewer dimensions"),
    "eye": (lambda: jnp.eye(-1), ValueError, "negative dimensions are not allowed"),
    "linspace": (lambda: jnp.linspace(0, 1, -1), ValueError, "must be non-negative"),
    "arange": (lambda: jnp.arange(jnp.ones(3)), ValueError, "arguments must be scalars"),
    "array": (lambda: jnp.array("a"), TypeError, "not a valid array type"),
    "none": (lambda: jnp.array(None), ValueError, "None is not a valid value"),
    "copy": (lambda: jnp.asarray([1], copy=False), ValueError, "without a copy"),
    "position": (
        lambda: jnp.add(A, [1]),
        TypeError,
        "add requires ndarray or scalar arguments, got",
    ),
    "transposed": (lambda: jnp.matrix_transpose(V), ValueError, "at least two-dimensional"),
    "triangle": (lambda: jnp.tril_indices_from(V), ValueError, "Only 2-D"),
    "diagonal": (lambda: jnp.diag_indices_from(A), ValueError, "equal length"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause_and_the_line(name):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind) as info:
        call()
    assert words in str(info.value) and "test_numpy_names.py:" in str(info.value)


def test_files_and_text(tmp_path):
    jnp.save(tmp_path / "a.npy", jnp.asarray(A))
    same(jnp.load(tmp_path / "a.npy"), A)
    jnp.savez(tmp_path / "b.npz", x=jnp.asarray(A))
    same(jnp.load(tmp_path / "b.npz")["x"], A)
    A.tofile(tmp_path / "c")
    same(jnp.fromfile(tmp_path / "c", np.float32), A.ravel())
    assert jnp.array_repr(jnp.ones(2)) == "Array([1., 1.], dtype=float32)"
    assert jnp.array_repr(jnp.ones((0, 2))) == "Array([], shape=(0, 2), dtype=float32)"
    same(jnp.frombuffer(A.tobytes(), np.float32), A.ravel())
    same(jnp.fromiter((i for i in range(3)), np.int32), np.int32([0, 1, 2]))
    same(jnp.fromstring("1 2.5", sep=" "), np.float32([1, 2.5]))
    same(jnp.from_dlpack(A), A)
    with jnp.printoptions(precision=1):
        assert str(jnp.asarray(np.float32([1.234, 2]))) == "[1.2 2. ]"
        assert jnp.get_printoptions()["precision"] == 1
