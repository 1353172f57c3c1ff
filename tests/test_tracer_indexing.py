"""`x[index]` and `x.at[index]` against numpy, at once and while tracing."""

import numpy as np
import pytest

from tracer import grad, jit
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")

X = np.arange(5 * 4 * 3, dtype=np.float32).reshape(5, 4, 3)
ROWS = np.int32([4, 0, -1, 2])
GRID = np.int32([[0, 1], [3, -4]])

BASIC = {
    "int": np.s_[2],
    "negative": np.s_[-1],
    "ints": np.s_[1, -2],
    "all ints": np.s_[1, 2, 0],
    "slice": np.s_[1:4],
    "open": np.s_[:, 1:],
    "step": np.s_[::2, :, ::2],
    "reversed": np.s_[::-1],
    "reversed step": np.s_[4:0:-2, ::-1],
    "beyond": np.s_[2:100],
    "empty": np.s_[3:1],
    "empty reversed": np.s_[1:3:-1],
    "none": np.s_[None],
    "nones": np.s_[:, None, 1, :, None],
    "ellipsis": np.s_[..., 0],
    "ellipsis middle": np.s_[1, ..., None, 2],
    "ellipsis nothing": np.s_[1, 2, ..., 0],
    "everything": np.s_[...],
    "mixed": np.s_[1:, None, -1, ::-1],
}
GATHER = {
    "rows": np.s_[ROWS],
    "table": np.s_[GRID],
    "two rows": np.s_[np.int32([0, 2])],
    "second axis": np.s_[:, GRID],
    "last axis": np.s_[..., np.int32([2, 0])],
    "with slice": np.s_[1:3, GRID, ::2],
    "slice first": np.s_[ROWS, 1:3],
    "with int": np.s_[ROWS, 1],
    "int apart": np.s_[0, :, np.int32([2, 1])],
    "pair": np.s_[ROWS, np.int32([0, 1, 2, -1])],
    "pair last": np.s_[:, np.int32([0, 3]), np.int32([1, -1])],
    "pair apart": np.s_[np.int32([0, 3]), :, np.int32([1, -1])],
    "outer": np.s_[ROWS[:, None], np.int32([0, 1])],
    "all axes": np.s_[ROWS, ROWS % 3, ROWS % 2],
    "none between": np.s_[np.int32([0, 1]), None, np.int32([1, 2])],
    "none behind": np.s_[ROWS, None],
    "scalar array": np.s_[np.int32(3) * np.ones((), np.int32)],
    "unsigned": np.s_[np.uint32([1, 3])],
    "no rows": np.s_[np.zeros(0, np.int32)],
}
READS = BASIC | GATHER


def pieces(index):
    """The index arrays of an index, and a function that puts others in their place."""
    items = index if isinstance(index, tuple) else (index,)
    places = [i for i, item in enumerate(items) if isinstance(item, np.ndarray)]

    def rebuild(arrays):
        new = list(items)
        for i, a in zip(places, arrays, strict=True):
            new[i] = a
        return tuple(new)

    return [items[i] for i in places], rebuild


@pytest.mark.parametrize("name", READS)
def test_reading(name):
    index = READS[name]
    want = X[index]
    np.testing.assert_array_equal(np.asarray(jnp.asarray(X)[index]), want)
    arrays, rebuild = pieces(index)
    traced = jit(lambda x, *ids: x[rebuild(ids)])
    got = np.asarray(traced(X, *arrays))
    assert got.shape == want.shape
    np.testing.assert_array_equal(got, want)


# numpy's result for repeated positions is not defined alike, so these have none.
WRITES = BASIC | {
    n: GATHER[n]
    for n in (
        "second axis",
        "pair",
        "pair last",
        "pair apart",
        "last axis",
        "no rows",
        "two rows",
        "outer",
        "all axes",
        "with int",
        "int apart",
        "scalar array",
        "unsigned",
    )
    if n in GATHER
}
DISTINCT = {
    "second axis": np.s_[:, np.int32([[0, 1], [3, 2]])],
    "rows": np.s_[np.int32([4, 0, -2])],
}


@pytest.mark.parametrize("name", {**WRITES, **DISTINCT})
def test_setting(name):
    index = {**WRITES, **DISTINCT}[name]
    values = -np.arange(1, X[index].size + 1, dtype=np.float32).reshape(X[index].shape)
    for v in (values, np.float32(7)):
        want = X.copy()
        want[index] = v
        arrays, rebuild = pieces(index)
        traced = jit(lambda x, u, *ids, rebuild=rebuild: x.at[rebuild(ids)].set(u))
        np.testing.assert_array_equal(np.asarray(traced(X, v, *arrays)), want)
        np.testing.assert_array_equal(np.asarray(jnp.asarray(X).at[index].set(v)), want)


@pytest.mark.parametrize("name", {**WRITES, **DISTINCT, "rows": 0, "table": 0, "slice repeated": 0})
def test_adding(name):
    index = {**WRITES, **DISTINCT, **GATHER, "slice repeated": np.s_[:, GRID % 2]}[name]
    values = np.arange(1, X[index].size + 1, dtype=np.float32).reshape(X[index].shape)
    want = X.copy()
    np.add.at(want, index, values)
    np.testing.assert_array_equal(np.asarray(jnp.asarray(X).at[index].add(values)), want)
    less = np.asarray(jnp.asarray(want).at[index].subtract(values))
    np.testing.assert_array_equal(less, X)


def test_of_values_for_one_place_the_last_counts():
    x = jnp.zeros(3).at[np.int32([1, 1, 2, 1])].set(np.float32([5, 6, 7, 8]))
    np.testing.assert_array_equal(np.asarray(x), [0, 8, 7])


def test_positions_out_of_range_clamp_when_read_and_drop_when_written():
    x, far = jnp.arange(3), np.int32([7, -9, 1])
    np.testing.assert_array_equal(np.asarray(x[far]), [2, 0, 1])
    np.testing.assert_array_equal(np.asarray(x.at[far].set(np.int32([10, 20, 30]))), [0, 30, 2])
    np.testing.assert_array_equal(np.asarray(x.at[far].add(5)), [0, 6, 2])
    table = jnp.zeros((2, 3)).at[np.int32([0, 0, 5]), np.int32([1, 7, 1])].add(1.0)
    np.testing.assert_array_equal(np.asarray(table), [[0, 1, 0], [0, 0, 0]])


def test_a_traced_position_reads_and_writes():
    f = jit(lambda x, i: (x[i], x.at[i].set(0.0), x[1, i]))
    for i in (0, 2, -1):
        row, new, one = f(X[:, :3], np.int32(i))
        want = X[:, :3].copy()
        np.testing.assert_array_equal(np.asarray(row), want[i])
        np.testing.assert_array_equal(np.asarray(one), want[1, i])
        want[i] = 0
        np.testing.assert_array_equal(np.asarray(new), want)


def test_a_mask_selects_what_is_written():
    mask = X > 20
    got = jnp.asarray(X).at[mask].set(-1.0)
    np.testing.assert_array_equal(np.asarray(got), np.where(mask, -1, X))
    rows = np.array([True, False, True, False, False])
    got = jnp.asarray(X).at[rows].add(1.0)
    np.testing.assert_array_equal(np.asarray(got), X + rows[:, None, None])


@pytest.mark.parametrize("name", READS)
def test_the_gradient_of_reading_is_adding(name):
    index = READS[name]
    weights = np.cos(np.arange(X[index].size, dtype=np.float32)).reshape(X[index].shape)
    got = grad(lambda x: jnp.sum(x[index] * weights))(X)
    want = np.zeros_like(X)
    np.add.at(want, index, weights)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-6, atol=1e-6)


def test_gradients_of_writing():
    weights = np.cos(X)

    def f(x, u):
        x = x.at[::2, 1].set(u) * weights
        return jnp.sum(x.at[np.int32([0, 3])].set(u * 2)) + jnp.sum(x.at[1].add(u))

    gx, gu = grad(f, (0, 1))(X, np.ones(3, np.float32))
    kept = np.ones_like(X)
    kept[::2, 1] = 0
    twice = np.full_like(X, 2)
    twice[[0, 3]] = 1
    np.testing.assert_allclose(np.asarray(gx), kept * twice * weights, rtol=1e-6)
    written = (weights * twice)[::2, 1].sum(0) + 2 * 2 * 4 + 4
    np.testing.assert_allclose(np.asarray(gu), written, rtol=1e-5)


ERRORS = {
    "list": (lambda x: x[[0, 1]], TypeError, r"non-tuple sequence"),
    "text": (lambda x: x["a"], TypeError, r"string indexing"),
    "many": (lambda x: x[0, 0, 0, 0], IndexError, r"Too many indices.*3-dimensional, but 4"),
    "empty": (lambda x: jnp.zeros((0, 2))[0], IndexError, r"size 0"),
    "mode": (lambda x: x.at[ROWS].set(0.0, mode="wrap"), ValueError, r'Unknown gather mode "wrap"'),
    "dots": (lambda x: x[..., ...], IndexError, r"single ellipsis"),
    "float": (lambda x: x[1.0], TypeError, r"consists of ints"),
    "float array": (lambda x: x[jnp.ones(2)], TypeError, r"integer or boolean"),
    "mask shape": (lambda x: x[np.ones(4, bool)], IndexError, r"boolean index did not match"),
    "shapes": (lambda x: x[ROWS, GRID], IndexError, r"shape mismatch.*\(4,\), \(2, 2\)"),
    "written shape": (lambda x: x.at[0].set(jnp.ones(5)), ValueError, r"cannot broadcast"),
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("traced", [False, True])
def test_errors(name, traced):
    wrong, kind, message = ERRORS[name]
    run = jit(wrong) if traced else wrong
    with pytest.raises(kind, match=message) as caught:
        run(jnp.asarray(X))
    assert "test_tracer_indexing.py:" in str(caught.value)


def test_a_traced_slice_bound_names_the_cure():
    with pytest.raises(TypeError, match=r"dynamic_slice"):
        jit(lambda x, n: x[:n])(X, 2)


def test_positions_are_data_outside_of_a_trace():
    from importlib import import_module

    module = import_module("tracer.backend")
    x = jnp.asarray(X)
    float(x[0, 0, 0])
    before = len(module._executables)
    assert [float(x[i, j, 1]) for i, j in ((0, 1), (4, -1), (2, 2))] == [4.0, 58.0, 31.0]
    assert len(module._executables) == before
