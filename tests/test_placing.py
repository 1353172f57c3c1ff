"""put, put_along_axis, coordinates, segments, and windows of lax.

Invariant: numbers known by hand or from numpy; out-of-range positions included.
"""

from __future__ import annotations

import numpy as np
import pytest

from tracer import grad, jit, lax, ops, vmap
from tracer import numpy as jnp
from tracer.errors import ConcretizationTypeError

X = np.arange(12, dtype=np.float32).reshape(3, 4)
IDS = np.int32([0, 0, 3, -1, 9, 3])

pytestmark = pytest.mark.usefixtures("backend")


def same(got, want):
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-6)


def test_put_repeats_its_values():
    want = X.copy()
    np.put(want, [0, 5, -1], [7, 8])
    same(jnp.put(X, np.int32([0, 5, -1]), np.float32([7, 8]), inplace=False), want)
    wrapped = X.copy()
    np.put(wrapped, [0, 13], [7, 8], mode="wrap")
    same(jnp.put(X, np.int32([0, 13]), np.float32([7, 8]), mode="wrap", inplace=False), wrapped)
    near = X.copy()
    near[[0, 2], [0, 3]] = 9
    same(jnp.put(X, np.int32([-30, 40]), 9.0, inplace=False), near)
    with pytest.raises(ValueError, match="cannot modify arrays in-place"):
        jnp.put(X, 0, 1.0)
    with pytest.raises(ValueError, match="'wrap' or 'clip'"):
        jnp.put(X, 0, 1.0, mode="raise", inplace=False)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_put_along_axis_is_numpys(axis):
    size = X.size if axis is None else X.shape[axis]
    rng = np.random.default_rng(size)
    lines = np.stack([rng.permutation(size)[:2] for _ in range({0: 4, 1: 3, None: 1}[axis])])
    order = {0: lines.T, 1: lines, None: lines[0]}[axis]
    values = -rng.random(order.shape).astype(np.float32)
    want = X.copy()
    np.put_along_axis(want, order, values, axis)
    same(jnp.put_along_axis(X, order.astype(np.int32), values, axis, inplace=False), want)


def test_put_along_axis_drops_what_is_out_of_range_and_has_a_gradient():
    ids = np.int32([[1, 9], [0, 3], [-1, 2]])
    want = X.copy()
    want[[0, 1, 1, 2, 2], [1, 0, 3, 3, 2]] = 5
    same(jnp.put_along_axis(X, ids, 5.0, 1, inplace=False), want)
    got = grad(lambda v: (jnp.put_along_axis(X, ids, v, 1, inplace=False) * X).sum())
    same(got(np.ones((3, 2), np.float32)), [[1, 0], [4, 7], [11, 10]])


def test_coordinates_of_flat_positions_and_back():
    flat = np.int32([0, 5, 11, -1, 99])
    rows, columns = jnp.unravel_index(flat, (3, 4))
    same(rows, [0, 1, 2, 2, 2])
    same(columns, [0, 1, 3, 3, 3])
    pair = (np.int32([1, 5]), np.int32([2, -1]))
    same(jnp.ravel_multi_index(pair, (3, 4), mode="clip"), [6, 8])
    same(jnp.ravel_multi_index(pair, (3, 4), mode="wrap"), [6, 11])
    same(jnp.ravel_multi_index((np.int32([1]), np.int32([2])), (3, 4), order="F"), [7])
    with pytest.raises(ValueError, match="invalid entry"):
        jnp.ravel_multi_index(pair, (3, 4))
    with pytest.raises(ConcretizationTypeError):
        jit(lambda i: jnp.ravel_multi_index((i, i), (3, 4)))(np.int32([1]))


def test_segments():
    data = np.float32([1, 2, 3, 4, 5, -6])
    same(ops.segment_sum(data, IDS, 5), [3, 0, 0, -3, 0])
    same(ops.segment_prod(data, IDS, 5), [2, 1, 1, -18, 1])
    same(ops.segment_max(data, IDS, 5), [2, -np.inf, -np.inf, 3, -np.inf])
    same(ops.segment_min(data, IDS, 5), [1, np.inf, np.inf, -6, np.inf])
    low = ops.segment_max(np.arange(6, dtype=np.int32), IDS, 5)
    same(low, [1, -(2**31), -(2**31), 5, -(2**31)])
    assert ops.segment_sum(data, IDS).shape == (10,)
    order = np.argsort(IDS, kind="stable")
    same(ops.segment_sum(data[order], IDS[order], 5, indices_are_sorted=True), [3, 0, 0, -3, 0])
    same(ops.segment_sum(data, IDS, 5, mode="clip"), [7, 0, 0, -3, 5])
    with pytest.raises(ConcretizationTypeError, match="num_segments"):
        jit(ops.segment_sum)(data, IDS)
    with pytest.raises(ValueError, match="one segment id for each row"):
        ops.segment_sum(data, IDS[:2], 3)


def test_gradients_and_members_of_segments():
    data = np.float32([1, 2, 3, 4, 5, 3])
    weights = np.float32([1, 10, 100, 1000, 0])
    total = grad(lambda d: (ops.segment_sum(d, IDS, 5) * weights).sum())
    same(total(data), [1, 1, 1000, 0, 0, 1000])
    high = grad(lambda d: jnp.nan_to_num(ops.segment_max(d, IDS, 5)).sum())
    same(high(data), [0, 1, 0.5, 0, 0, 0.5])
    rows = np.stack([data, -data])
    both = vmap(lambda d: ops.segment_sum(d, IDS, 5))(rows)
    same(both, [[3, 0, 0, 6, 0], [-3, 0, 0, -6, 0]])


def test_slices_along_one_axis():
    same(lax.dynamic_slice_in_dim(X, 3, 2, axis=1), X[:, 2:])
    same(lax.dynamic_index_in_dim(X, -1), X[2:])
    same(lax.dynamic_index_in_dim(X, 1, 1, keepdims=False), X[:, 1])
    same(lax.dynamic_update_slice_in_dim(X, np.zeros((3, 1), np.float32), 9, 1)[:, 3], np.zeros(3))
    same(lax.dynamic_update_index_in_dim(X, np.ones(4, np.float32), 1, 0)[1], np.ones(4))
    same(lax.index_take(X, (np.int32([0, 2]), np.int32([1, 3])), (0, 1)), [1, 11])


def test_gathered_windows():
    numbers = lax.GatherDimensionNumbers((1, 2), (), (0, 1))
    starts = np.int32([[0, 1], [2, 3]])
    moved = np.stack([X[0:2, 1:3], X[1:3, 2:4]])
    same(lax.gather(X, starts, numbers, (2, 2)), moved)
    same(lax.gather(X, starts, numbers, (2, 2), mode="clip"), moved)
    filled = lax.gather(X, starts, numbers, (2, 2), mode=lax.GatherScatterMode.FILL_OR_DROP)
    same(filled, np.stack([X[0:2, 1:3], np.full((2, 2), np.nan)]))
    own = lax.GatherDimensionNumbers((), (1,), (1,), (0,), (0,))
    columns = np.int32([3, 0, 1])[:, None]
    same(lax.gather(X, columns, own, (1, 1)), [3, 4, 9])
    with pytest.raises(TypeError, match="slice_sizes"):
        lax.gather(X, starts, numbers, (4, 4))


@pytest.mark.parametrize("name", ["scatter", "scatter_add", "scatter_mul", "scatter_min"])
def test_scattered_windows(name):
    numbers = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    updates = np.float32([[5, 1, 5, 1], [2, 2, 2, 2], [9, 9, 9, 9]])
    want = X.copy()
    combine = {"scatter": lambda a, b: b, "scatter_add": np.add, "scatter_mul": np.multiply}
    for row, new in ((2, updates[0]), (0, updates[1])):  # the third does not fit
        want[row] = combine.get(name, np.minimum)(want[row], new)
    got = getattr(lax, name)(X, np.int32([[2], [0], [3]]), updates, numbers)
    same(got, want)


def test_keys_and_values_sort_together():
    keys, values = lax.sort_key_val(np.int32([3, 1, 2]), np.float32([1, 2, 3]))
    same(keys, [1, 2, 3])
    same(values, [2, 3, 1])
    one, two = lax.sort((np.int32([1, 1, 0]), np.float32([5, 4, 9])), num_keys=2)
    same(one, [0, 1, 1])
    same(two, [9, 4, 5])
