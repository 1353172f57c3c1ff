"""Sorting, searching and counting against numpy, and gradients against differences."""

import numpy as np
import pytest

from tracer import grad, jit, jvp, lax, use_backend, vmap
from tracer import numpy as jnp
from tracer.errors import ConcretizationTypeError
from tracer.sorting import ordering

from .arrays import check_gradient

pytestmark = pytest.mark.usefixtures("oracle")


def rng(seed=0):
    return np.random.default_rng(seed)


def odd_floats(rows, n):
    """Ties, zeros of both signs, infinities and NaN among ordinary numbers."""
    x = rng(n).normal(size=(rows, n)).astype(np.float32)
    x[:, ::3] = np.round(x[:, ::3])
    for value, at in zip((np.nan, np.inf, -np.inf, -0.0, 0.0, np.nan), range(n), strict=False):
        x[at % rows, (at * 5) % n] = value
    return x


def same(got, want, **tolerance):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, **({"rtol": 1e-5, "atol": 1e-6} | tolerance))


SIZES = (0, 1, 2, 7, 100, 512, 513, 1500)


@pytest.mark.parametrize("n", SIZES)
def test_sort(n):
    x = odd_floats(3, n)
    same(jnp.sort(x), np.sort(x), rtol=0, atol=0)
    same(jnp.argsort(x), np.argsort(x, kind="stable"))
    same(jit(lambda x: jnp.argsort(x, axis=0))(x), np.argsort(x, axis=0, kind="stable"))
    same(jnp.sort(x, axis=None), np.sort(x, axis=None), rtol=0, atol=0)


@pytest.mark.parametrize("kind", ["int32", "uint32", "bool", "float16"])
def test_sort_of_other_dtypes(kind):
    x = rng(1).integers(0, 2**32, 40, dtype=np.uint32).view(np.int32)
    x = (x % 5 - 2).astype(kind) if kind in ("bool", "float16") else x.astype(kind)
    same(jnp.sort(x), np.sort(x), rtol=0)
    same(jnp.argsort(x), np.argsort(x, kind="stable"))
    assert jnp.sort(x).dtype == x.dtype


def test_descending_is_stable_too():
    x = np.int32([3, 1, 3, 2, 1, 3])
    assert jnp.argsort(x, descending=True).tolist() == [0, 2, 5, 3, 1, 4]
    assert jnp.sort(x, descending=True).tolist() == [3, 3, 3, 2, 1, 1]
    assert np.isnan(np.asarray(jnp.sort(np.float32([1, np.nan, 2]), descending=True))[0])


def test_top_k():
    x = np.float32([[3, 1, 3, -np.inf], [0, np.inf, -1, 0]])
    values, places = lax.top_k(x, 3)
    assert values.tolist() == [[3, 3, 1], [np.inf, 0, 0]]
    assert places.tolist() == [[0, 2, 1], [1, 0, 3]] and places.dtype == np.int32
    assert lax.top_k(x, 0)[0].shape == (2, 0)


def test_sort_by_several_keys():
    a, b = rng(2).integers(0, 4, (2, 30)).astype(np.int32)
    same(jnp.lexsort((a, b)), np.lexsort((a, b)))
    first, second, third = lax.sort((b, a, np.arange(30, dtype=np.float32)), num_keys=2)
    order = np.lexsort((a, b))
    assert [first.tolist(), second.tolist(), third.tolist()] == [
        b[order].tolist(), a[order].tolist(), order.tolist(),
    ]  # fmt: skip
    assert lax.sort(a).tolist() == sorted(a.tolist())


QS = np.float32([0, 0.1, 0.5, 0.77, 1])


@pytest.mark.parametrize("method", ["linear", "lower", "higher", "midpoint", "nearest"])
def test_quantile(method):
    x = rng(3).normal(size=(3, 4, 5)).astype(np.float32)
    for axis, keepdims in ((None, False), (1, True), ((0, 2), False), ((0, 2), True)):
        got = jnp.quantile(x, QS, axis, method, keepdims)
        same(got, np.quantile(x, QS, axis, method=method, keepdims=keepdims))
    same(jnp.percentile(x, 30.0, method=method), np.percentile(x, 30.0, method=method))


def test_medians_and_nan():
    x = odd_floats(4, 6)
    same(jnp.median(np.nan_to_num(x), axis=0), np.median(np.nan_to_num(x), axis=0))
    same(jnp.median(x, axis=1), np.median(x, axis=1))
    finite = np.where(np.isinf(x), 1, x)
    same(jnp.nanmedian(finite, axis=1), np.nanmedian(finite, axis=1))
    same(jnp.nanquantile(finite, QS, axis=0), np.nanquantile(finite, QS, axis=0))
    same(jnp.nanpercentile(finite, 40.0), np.nanpercentile(finite, 40.0))
    assert np.isnan(float(jnp.nanmedian(np.float32([np.nan, np.nan]))))


# --- searching and counting -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 6, 64, 100])
@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(n, side):
    a = np.sort(rng(n).integers(0, 20, n)).astype(np.int32)
    v = np.arange(-1, 22, dtype=np.int32).reshape(1, -1)
    same(jnp.searchsorted(a, v, side), np.searchsorted(a, v, side))
    x = a.astype(np.float32) / 2
    same(jnp.searchsorted(x, 4.5, side), np.searchsorted(x, np.float32(4.5), side))


def test_digitize():
    bins = np.float32([-1, 0, 0.5, 2])
    x = np.float32([[-3, -1, 0.2], [0.5, 2, 9]])
    for edges in (bins, bins[::-1].copy()):
        for right in (False, True):
            same(jnp.digitize(x, edges, right), np.digitize(x, edges, right))


def test_unique():
    x = np.int32([[5, 1, 5], [2, 1, 9]])
    got, want = (m.unique(x, True, True, True) for m in (jnp, np))
    for a, b in zip(got, want, strict=True):
        same(a, b)
    flags = (True, True, True)
    padded = jit(lambda x: jnp.unique(x, *flags, size=6))(x)
    assert [v.tolist() for v in padded] == [
        [1, 2, 5, 9, 1, 1], [1, 3, 0, 5, 1, 1], [[2, 0, 2], [1, 0, 3]], [2, 1, 2, 1, 0, 0],
    ]  # fmt: skip
    assert jnp.unique(x, size=6, fill_value=-7).tolist() == [1, 2, 5, 9, -7, -7]
    values, counts = jnp.unique(x, return_counts=True, size=2)
    assert values.tolist() == [1, 2] and counts.tolist() == [2, 1]
    nans = np.float32([np.nan, 1, np.nan])
    same(jnp.unique(nans), np.unique(nans))
    assert jnp.unique(np.zeros(0, np.float32)).shape == (0,)


def test_nonzero():
    x = rng(4).integers(0, 2, (4, 5)).astype(np.int32)
    for a, b in zip(jnp.nonzero(x), np.nonzero(x), strict=True):
        same(a, b)
    same(jnp.argwhere(x), np.argwhere(x))
    same(jnp.flatnonzero(x), np.flatnonzero(x))
    rows, columns = jit(lambda x: jnp.nonzero(x, size=3, fill_value=(-1, -2)))(np.eye(2))
    assert rows.tolist() == [0, 1, -1] and columns.tolist() == [0, 1, -2]
    assert jnp.where(np.array([False, True]))[0].tolist() == [1]
    assert jnp.nonzero(np.zeros((0, 3)))[0].shape == (0,)


def test_bincount():
    x = np.int32([0, 3, 3, 1])
    same(jnp.bincount(x), np.bincount(x))
    same(jnp.bincount(x, minlength=6), np.bincount(x, minlength=6))
    weights = np.float32([0.5, 1, 2, 4])
    same(jnp.bincount(x, weights), np.bincount(x, weights))
    assert jit(lambda x: jnp.bincount(x, length=2))(x).tolist() == [1, 1]


# --- transformations ------------------------------------------------------------------------------

X = rng(5).normal(size=(3, 5)).astype(np.float32)
GRADIENTS = {
    "sort": lambda x: jnp.sort(x) ** 2,
    "sort axis": lambda x: jnp.sort(x, axis=0, descending=True) ** 3,
    "sort flat": lambda x: jnp.sort(x, axis=None) ** 2,
    "top_k": lambda x: lax.top_k(x, 2)[0] ** 2,
    "quantile": lambda x: jnp.quantile(x, np.float32([0.3, 0.9]), axis=1) ** 2,
    "median": lambda x: jnp.median(x, axis=0),
    "argsort": lambda x: jnp.take_along_axis(x, jnp.argsort(x), 1) ** 2,
    "interp": lambda x: jnp.interp(x, jnp.sort(x[0]), x[1]),
    "sort long": lambda x: jnp.sort(jnp.tile(x[0], 110) * jnp.linspace(0.5, 2.5, 550)) ** 2,
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    check_gradient(GRADIENTS[name], X)


def test_under_vmap_and_jvp():
    same(vmap(jnp.sort)(X), np.sort(X))
    same(vmap(lambda r: jnp.searchsorted(jnp.sort(r), 0.1))(X), (X < 0.1).sum(1))
    per_row = vmap(grad(lambda r: jnp.sort(r)[0] * 2.0))(X)
    same(per_row, 2 * (X.min(1, keepdims=True) == X))
    order = np.argsort(X)
    same(jvp(jnp.sort, (X,), (X * X,))[1], np.take_along_axis(X * X, order, 1))


@pytest.mark.device
@pytest.mark.parametrize("n", [5, 600])
def test_on_the_device(n):
    pytest.importorskip("wgpu")
    use_backend("device")
    x = rng(n).integers(-n, n, (2, n)).astype(np.float32)
    same(jit(jnp.sort)(x), np.sort(x))
    same(jit(jnp.argsort)(x), np.argsort(x, kind="stable"))
    compiled = jit(lambda x: ordering(x.astype(jnp.int32)))
    compiled(x)
    # Fused steps would compute each other twice over: a kernel for each is what keeps it linear.
    assert compiled.stats()["kernels_per_step"] <= (4 if n == 5 else 16)


ERRORS = {
    "size": (lambda: jit(jnp.unique)(X), ConcretizationTypeError, "give unique a `size`"),
    "nonzero": (lambda: jit(jnp.nonzero)(X), ConcretizationTypeError, "give nonzero a `size`"),
    "length": (
        lambda: jit(jnp.bincount)(np.int32([1])),
        ConcretizationTypeError,
        "bincount",
    ),
    "k": (lambda: lax.top_k(X, 6), ValueError, "0 <= k <= 5"),
    "axis": (lambda: jnp.sort(X, axis=2), ValueError, "out of bounds"),
    "method": (lambda: jnp.quantile(X, 0.5, method="cubic"), ValueError, "'cubic'"),
    "side": (lambda: jnp.searchsorted(X[0], X, "middle"), ValueError, "'middle'"),
    "matrix": (lambda: jnp.searchsorted(X, 1.0), ValueError, "vector"),
    "floats": (lambda: jnp.bincount(X[0]), TypeError, "integers"),
    "scalar": (lambda: jnp.nonzero(1.0), ValueError, "atleast_1d"),
    "empty": (lambda: jnp.median(np.zeros((0,), np.float32)), ValueError, "empty axis"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        wrong()
