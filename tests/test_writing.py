"""`x.at[...]` beyond set and add: combiners, modes, promises, masks, and their derivatives.

Invariant: numbers known by hand or from numpy's ufunc.at; every method is checked on the numpy
oracle and, in a few sizes where other kernels are chosen, on the adapter.
"""

from __future__ import annotations

import numpy as np
import pytest

import tracer
from tracer import grad, hessian, jit, vmap
from tracer import numpy as jnp

X = np.arange(1.0, 7.0, dtype=np.float32)
FAR = np.int32([1, 9, -8, -1])  # rows 1 and 5 of six, and two beyond

pytestmark = pytest.mark.usefixtures("backend")


def same(got, want, **tolerance):
    np.testing.assert_allclose(np.asarray(got), want, **(tolerance or {"rtol": 1e-6}))


UFUNCS = {
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "min": np.minimum,
    "max": np.maximum,
}
INDICES = {
    "int": np.s_[2],
    "slice": np.s_[1:, ::2],
    "repeated": np.s_[np.int32([0, 2, 2, 0])],
    "pair": np.s_[np.int32([0, 2, 2]), np.int32([1, 1, 1])],
    "beside a slice": np.s_[np.int32([1, 1]), 1:],
    "new axis": np.s_[None, np.int32([2, 0])],
    "step back": np.s_[::-1, np.int32([0, 3, 0])],
}


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("name", UFUNCS)
def test_combiners_are_numpys_at(name, index):
    where = INDICES[index]
    x = np.arange(1.0, 13.0, dtype=np.float32).reshape(3, 4)
    values = np.linspace(0.5, 3, x[where].size, dtype=np.float32).reshape(x[where].shape)
    want = x.copy()
    UFUNCS[name].at(want, where, values)
    same(getattr(jnp.asarray(x).at[where], name)(values), want)


def test_power_and_apply():
    x = jnp.asarray(X)
    same(x.at[1:3].power(2.0), [1, 4, 9, 4, 5, 6])
    same(x.at[np.int32([2, 2])].power(2.0), [1, 2, 81, 4, 5, 6])
    same(x.at[::2].apply(lambda v: v + 1), [2, 2, 4, 4, 6, 6])
    same(x.at[np.int32([1, 1, 7])].apply(lambda v: v * 3), [1, 18, 3, 4, 5, 6])
    same(x.at[FAR].apply(lambda v: -v, unique_indices=True), [1, -2, 3, 4, 5, -6])


def test_modes_of_writing():
    x = jnp.asarray(X)
    for mode in (None, "drop", "fill", "promise_in_bounds"):
        same(x.at[FAR].set(0.0, mode=mode), [1, 0, 3, 4, 5, 0])
        same(x.at[FAR].add(1.0, mode=mode), [1, 3, 3, 4, 5, 7])
    same(x.at[FAR].set(0.0, mode="clip"), [0, 0, 3, 4, 5, 0])
    same(x.at[FAR].add(1.0, mode="clip"), [2, 3, 3, 4, 5, 8])
    same(x.at[9].set(0.0), X)
    same(x.at[-7].add(1.0), X)
    same(x.at[9].set(0.0, mode="clip"), [1, 2, 3, 4, 5, 0])
    same(x.at[np.int32([-1, 2])].set(0.0, wrap_negative_indices=False), [1, 2, 0, 4, 5, 6])
    table = jnp.zeros((2, 3)).at[np.int32([0, 5]), np.int32([7, 7])].add(1.0, mode="clip")
    same(table, [[0, 0, 1], [0, 0, 1]])


def test_modes_of_reading():
    x = jnp.asarray(X)
    for mode in (None, "clip", "promise_in_bounds"):
        same(x.at[FAR].get(mode=mode), [2, 6, 1, 6])
    same(x.at[FAR].get(mode="fill"), [2, np.nan, np.nan, 6])
    same(x.at[FAR].get(mode="fill", fill_value=-1), [2, -1, -1, 6])
    same(x[9], 6)
    same(x.at[9].get(mode="fill", fill_value=0.5), 0.5)
    same(jnp.arange(6).at[9].get(mode="drop"), np.iinfo(np.int32).min)
    same(jnp.ones((2, 3))[np.int32([0, 7]), np.int32([7, 0])], [1, 1])
    square = jnp.arange(6).reshape(2, 3)
    same(square.at[np.int32([0, 2]), 1].get(mode="fill", fill_value=9), [1, 9])


def test_reads_out_of_range_have_no_derivative_unless_they_are_clipped():
    same(grad(lambda x: x[FAR].sum())(X), [0, 1, 0, 0, 0, 1])
    same(grad(lambda x: jnp.take(x, FAR, fill_value=0.0).sum())(X), [0, 1, 0, 0, 0, 1])
    same(grad(lambda x: x.at[FAR].get(mode="clip").sum())(X), [1, 1, 0, 0, 0, 2])
    far = np.int32([0, 5])
    same(grad(lambda x: x[far, far].sum())(np.ones((2, 2), np.float32)), [[1, 0], [0, 0]])


def test_modes_of_take():
    with np.errstate(invalid="ignore"):
        same(jnp.take(X, FAR), [2, np.nan, np.nan, 6])
    same(jnp.take(X, FAR, mode="wrap"), [2, 4, 5, 6])
    same(jnp.take(X, FAR, mode="clip"), [2, 6, 1, 1])
    same(jnp.take(np.arange(6, dtype=np.uint32), FAR), [1, 2**32 - 1, 2**32 - 1, 5])
    same(jnp.take_along_axis(X, FAR, 0), [2, np.nan, np.nan, 6])
    same(jnp.take_along_axis(X, FAR, 0, mode="clip"), [2, 6, 1, 6])
    with pytest.raises(ValueError, match="The 'raise' mode"):
        jnp.take(X, FAR, mode="raise")
    with pytest.raises(ValueError, match=r"same number of dimensions; 2 vs\. 1"):
        jnp.take_along_axis(X, FAR[None], 0)


def test_masks_that_are_known_read_and_write():
    mask = np.array([True, False, True, False, False, True])
    same(jnp.asarray(X)[mask], X[mask])
    same(jnp.asarray(X)[jnp.asarray(mask)], X[mask])
    same(jit(lambda x: x[mask])(X), X[mask])
    same(jnp.asarray(X).at[mask].set(np.float32([7, 8, 9])), [7, 2, 8, 4, 5, 9])
    same(jnp.asarray(X.reshape(2, 3))[np.array([False, True]), 1:], [[5, 6]])
    same(jnp.asarray(X.reshape(2, 3))[..., mask[:3]], X.reshape(2, 3)[..., mask[:3]])
    same(grad(lambda x: (x[mask] ** 2).sum())(X), np.where(mask, 2 * X, 0))


def test_masks_that_are_traced():
    mask = X > 3
    same(jit(lambda x, m: x.at[m].set(0.0))(X, mask), np.where(mask, 0, X))
    same(jit(lambda x, m: x.at[m].max(5.0))(X, mask), np.where(mask, np.maximum(X, 5), X))
    with pytest.raises(tracer.errors.NonConcreteBooleanIndexError, match=r"got bool\[6\]"):
        jit(lambda x, m: x[m])(X, mask)


def test_bools_and_integers():
    flags = jnp.zeros(3, bool)
    same(flags.at[np.int32([1, 1])].set(True), [False, True, False])
    same(flags.at[np.int32([1, 1])].max(True), [False, True, False])
    same(jnp.arange(5).at[1].divide(2), [0, 0.5, 2, 3, 4])
    same(jnp.arange(5).at[np.int32([3, 3])].multiply(2), [0, 1, 2, 12, 4])


# --- derivatives ----------------------------------------------------------------------------------

ROWS = np.int32([1, 1, 3])


def test_the_last_value_set_alone_has_a_derivative():
    gx, gu = grad(lambda x, u: (x.at[ROWS].set(u) * X).sum(), (0, 1))(X, np.float32([7, 8, 9]))
    same(gx, [1, 0, 3, 0, 5, 6])
    same(gu, [0, 2, 4])


def test_a_factors_derivative_is_the_product_of_the_others():
    u = np.float32([2, 3, 0])
    gx, gu = grad(lambda x, u: x.at[ROWS].multiply(u).sum(), (0, 1))(X, u)
    same(gx, [1, 6, 1, 0, 1, 1])
    same(gu, [2 * 3, 2 * 2, 4])
    zeros = grad(lambda u: jnp.asarray(X).at[ROWS].multiply(u).sum())(np.float32([0, 0, 5]))
    same(zeros, [0, 0, 4])
    far = np.int32([2, 9, 3])
    lone = grad(lambda u: jnp.asarray(X).at[far].multiply(u, unique_indices=True).sum())(u)
    same(lone, [3, 0, 4])


def test_an_extremes_derivative_is_shared_by_all_that_attain_it():
    def low(x, u):
        return x.at[ROWS].min(u).sum()

    gx, gu = grad(low, (0, 1))(X, np.float32([2, 2, 9]))
    same(gx, [1, 1 / 3, 1, 1, 1, 1])
    same(gu, [1 / 3, 1 / 3, 0])
    same(grad(lambda x: x.at[9].max(3.0).sum())(X), np.ones(6))


def test_second_derivatives():
    u = np.float32([2.0, 3.0, 4.0])

    def cubes(u):
        return (jnp.asarray(X).at[ROWS].add(u) ** 3).sum()

    got = np.asarray(hessian(cubes)(u))
    a, b = 6 * (2 + 2 + 3), 6 * (4 + 4)
    same(got, [[a, a, 0], [a, a, 0], [0, 0, b]], rtol=1e-5)
    product = hessian(lambda u: jnp.asarray(X).at[np.int32([1, 2, 3])].multiply(u * u).sum())(u)
    same(product, np.diag(2 * X[1:4]), rtol=1e-5)


def test_a_nan_stays_in_its_row():
    ids, rows = np.int32([0, 1, 1, 3]), np.ones((4, 2), np.float32)
    rows[1, 0] = np.nan
    rows[3, 1] = np.inf
    got = np.asarray(jnp.zeros((5, 2)).at[ids].add(rows))
    same(got, [[1, 1], [np.nan, 2], [0, 0], [1, np.inf], [0, 0]])


# --- members --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mapped", [(0, 0, 0), (0, None, None), (None, 0, 0), (0, None, 0)])
@pytest.mark.parametrize("name", ["set", "add", "multiply", "max"])
def test_members_write_rows_of_their_own(name, mapped):
    rng = np.random.default_rng(0)
    x, u = (rng.standard_normal((3, 4, *rest)).astype(np.float32) for rest in ((2,), (2,)))
    ids = rng.integers(-5, 6, (3, 4)).astype(np.int32)
    args = [a if m == 0 else a[0] for a, m in zip((x, ids, u), mapped, strict=True)]

    def write(x, i, u):
        return getattr(jnp.asarray(x).at[i].set(0.0).at[i], name)(u)

    got = vmap(write, mapped)(*args)
    for member in range(3):
        own = [a[member] if m == 0 else a for a, m in zip(args, mapped, strict=True)]
        same(np.asarray(got)[member], np.asarray(write(*own)))


@pytest.mark.parametrize("n", [1, 7, 600, 8001])
def test_sizes_that_choose_other_kernels(n):
    rng = np.random.default_rng(n)
    x, ids = rng.standard_normal((n, 3)).astype(np.float32), rng.integers(-n, n, n).astype(np.int32)
    u = rng.standard_normal((n, 3)).astype(np.float32)
    want = x.copy()
    np.add.at(want, ids, u)
    same(jit(lambda x, i, u: x.at[i].add(u))(x, ids, u), want, rtol=1e-4, atol=1e-5)
    last = {int(i) % n: row for i, row in zip(ids, u, strict=True)}
    want = x.copy()
    want[list(last)] = list(last.values())
    same(jit(lambda x, i, u: x.at[i].set(u))(x, ids, u), want)
    order = rng.permutation(n).astype(np.int32)
    want = x.copy()
    want[order] = u
    same(jit(lambda x, i, u: x.at[i].set(u, unique_indices=True))(x, order, u), want)


def test_the_gradient_of_sorting_8000_numbers_is_linear_in_memory():
    x = np.random.default_rng(1).standard_normal(8_003).astype(np.float32)
    w = np.cos(np.arange(8_003, dtype=np.float32))
    want = np.zeros_like(x)
    want[np.argsort(x, kind="stable")] = w
    same(jit(grad(lambda x: (jnp.sort(x) * w).sum()))(x), want)
