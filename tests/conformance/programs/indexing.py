"""Indexing, updates of indexed places, gathers and slices."""

from __future__ import annotations

from . import bools, distinct, floats, ints, program


@program(floats(4, 5))
def basic_slices(j, x):
    return x[1], x[-1, 2:], x[:, ::2], x[::-1, 3], x[..., 0], x[None, 1:3, None]


@program(floats(4, 5, 3))
def ellipsis_in_the_middle(j, x):
    return x[1, ..., 2], x[..., -1, :], x[0, ...]


@program(floats(5, 4), ints(3, high=5))
def integer_array(j, x, i):
    return x[i], x[:, i % 4], x[i, i % 4]


@program(floats(5, 4), ints(2, 3, high=5))
def integer_matrix(j, x, i):
    return x[i], x[i, 1:3], x[i, None]


@program(floats(4, 5, 6), ints(3, high=4))
def integer_arrays_apart(j, x, i):
    return x[i, :, i], x[:, i, i], x[i, 1, i], x[0, :, i]


@program(floats(5, 4), ints(3, low=-5, high=5))
def negative_integer_array(j, x, i):
    return x[i]


@program(floats(5))
def integer_array_out_of_range(j, x):
    return x[j.numpy.array([0, 7, -9])]


@program(floats(5), ints(3, high=9))
def at_get_fills(j, x, i):
    return x.at[i].get(mode="fill", fill_value=-1.0), x.at[i].get(mode="clip")


@program(floats(5, 4))
def boolean_mask_that_is_constant(j, x):
    import numpy as np

    return x[np.array([True, False, True, True, False])]


@program(floats(5, 4), grad=False)
def boolean_mask_eager(j, x):
    import numpy as np

    return x[np.arange(20).reshape(5, 4) % 3 == 0]


@program(floats(4, 3), floats(3))
def at_set_a_row(j, x, v):
    return x.at[1].set(v), x.at[:, 0].set(5.0), x.at[::2].set(v)


@program(floats(4, 3), ints(6, high=4), floats(6, 3))
def at_add_repeated_rows(j, x, i, v):
    return x.at[i].add(v)


@program(floats(4, 3))
def at_multiply_and_divide(j, x):
    return x.at[1:3].multiply(2.0), x.at[0, 0].divide(4.0), x.at[2].mul(3.0)


@program(distinct(4, 3))
def at_min_and_max(j, x):
    return x.at[1].min(0.1), x.at[:, 2].max(0.2)


@program(floats(4, 3), ints(5, high=4), floats(5))
def at_max_of_repeated_places(j, x, i, v):
    return x.at[i, 1].max(v), x.at[i, 1].min(v)


@program(floats(4, 3))
def at_power(j, x):
    return x.at[1].power(2)


@program(floats(4, 3), grad=False)
def at_apply(j, x):
    return x.at[2].apply(j.numpy.sin)


@program(floats(4, 3), bools(4, 3))
def where_sets_under_a_mask(j, x, m):
    return j.numpy.where(m, 0.0, x).at[0].set(1.0)


@program(floats(4))
def at_set_out_of_range_is_dropped(j, x):
    i = j.numpy.array([1, 9])
    return x.at[i].set(7.0), x.at[i].add(1.0, mode="drop")


@program(floats(4, 4))
def at_set_the_diagonal(j, x):
    i = j.numpy.arange(4)
    return x.at[i, i].set(0.0)


@program(ints(5, low=-9, high=9))
def at_on_integers(j, x):
    return x.at[2].add(4), x.at[0].set(-1), x.at[1].multiply(3)


@program(floats(4, 3), ints(2, high=4))
def take_rows_and_flat(j, x, i):
    return j.numpy.take(x, i, axis=0), j.numpy.take(x, i + 5), j.numpy.take(x, i % 3, axis=-1)


@program(floats(4, 3))
def take_with_modes(j, x):
    i = j.numpy.array([0, 5, -1])
    return [j.numpy.take(x, i, axis=0, mode=m) for m in ("fill", "wrap", "clip")]


@program(floats(4, 5), ints(4, 2, high=5))
def take_along_axis_rows(j, x, i):
    return j.numpy.take_along_axis(x, i, axis=1)


@program(floats(4, 5))
def take_along_axis_undoes_argsort(j, x):
    order = j.numpy.argsort(x, axis=0)
    return j.numpy.take_along_axis(x, order, axis=0)


@program(floats(5, 4), ints(high=4))
def dynamic_slices(j, x, i):
    return (
        j.lax.dynamic_slice(x, (i, 0), (2, 3)),
        j.lax.dynamic_slice_in_dim(x, i, 2, axis=1),
        j.lax.dynamic_index_in_dim(x, i, 0, keepdims=False),
    )


@program(floats(5, 4), floats(2, 2), ints(high=4))
def dynamic_updates(j, x, u, i):
    return (
        j.lax.dynamic_update_slice(x, u, (i, 1)),
        j.lax.dynamic_update_slice_in_dim(x, u[:, :1] * j.numpy.ones((1, 4)), i, 0),
        j.lax.dynamic_update_index_in_dim(x, x[0], i, 0),
    )


@program(floats(5, 4))
def lax_slices(j, x):
    return (
        j.lax.slice(x, (1, 0), (4, 3)),
        j.lax.slice(x, (0, 0), (5, 4), (2, 3)),
        j.lax.slice_in_dim(x, 1, 4, axis=0),
        j.lax.index_in_dim(x, 2, axis=1),
    )


@program(floats(4), ints(high=4))
def traced_scalar_index(j, x, i):
    return x[i], x[-i], x.at[i].set(9.0)


@program(floats(3, 4), bools(3, 4))
def where_with_three_arguments(j, x, m):
    return j.numpy.where(m, x, 0.0), j.numpy.where(m[0], x, -x), j.numpy.where(x > 0, x, x * 0.1)


@program(floats(6), grad=False)
def nonzero_with_a_size(j, x):
    return j.numpy.nonzero(x > 0, size=4, fill_value=-1), j.numpy.where(x > 0, size=6)


@program(ints(8, high=4), grad=False)
def unique_with_a_size(j, x):
    return j.numpy.unique(x, size=5, fill_value=-1)


@program(ints(8, high=4), grad=False)
def unique_with_counts_and_inverse(j, x):
    return j.numpy.unique(x, return_counts=True, return_inverse=True, size=4)


@program(floats(5, 3), ints(5, high=3))
def segment_sum_of_rows(j, x, i):
    return j.ops.segment_sum(x, i, num_segments=3)


@program(ints(9, high=5), grad=False)
def bincount_with_a_length(j, x):
    return j.numpy.bincount(x, length=6)


@program(floats(4, 3), grad=False)
def iterating_and_unpacking(j, x):
    a, b, c, d = x
    return [row.sum() for row in x], a + b, c * d, len(x)


@program(floats(3, 4))
def select_and_choose(j, x):
    return (
        j.lax.select(x > 0, x, -x),
        j.numpy.select([x > 1, x > 0], [x * 10, x * 2], 0.5),
        j.numpy.clip(x, -1, 1),
    )


@program(floats(7), ints(3, high=7), grad=False)
def searchsorted_both_sides(j, x, i):
    table = j.numpy.sort(x)
    return j.numpy.searchsorted(table, table[i]), j.numpy.searchsorted(table, x, side="right")


@program(floats(4, 3))
def tril_and_triu_parts(j, x):
    rows, columns = j.numpy.tril_indices(3)
    return x[rows, columns], j.numpy.tril(x, -1), j.numpy.triu(x, 1)


@program(floats(3, 4))
def unravel_the_largest(j, x):
    return j.numpy.unravel_index(j.numpy.argmax(x), x.shape)


@program(floats(6), floats(4))
def at_with_every_mode(j, x, v):
    i = j.numpy.array([1, 9, -8, -2])
    modes = (None, "drop", "fill")
    return [(x.at[i].set(v, mode=m), x.at[i].add(v, mode=m)) for m in modes]


@program(floats(5, 4), floats(2, 3))
def at_with_slices_and_none_beside_arrays(j, x, v):
    i = j.numpy.array([3, 0])
    return x.at[i, 1:].add(v), x.at[1:3, i].set(0.0), x.at[None, i, :3].max(v)


@program(floats(4, 6), ints(4, 3, low=-6, high=6), floats(4, 3))
def put_along_an_axis(j, x, i, v):
    return j.numpy.put_along_axis(x, i % 2 + j.numpy.array([0, 2, 4]), v, 1, inplace=False)


@program(floats(7, 2), ints(7, low=-1, high=6))
def segment_sums_and_extremes(j, x, i):
    total = j.ops.segment_sum(x, i, 5)
    ends = j.ops.segment_max(x, i, 5), j.ops.segment_min(x, i, 5)
    return total, [j.numpy.where(j.numpy.isfinite(e), e, 0.0) for e in ends]


@program(floats(7, 2), ints(7, low=-1, high=6), grad=False)
def segment_products(j, x, i):
    return j.ops.segment_prod(x, i, 5)


@program(floats(4, 5, 3), ints(2, 2, high=3))
def gathered_and_scattered_windows(j, x, i):
    numbers = j.lax.GatherDimensionNumbers((1, 2), (2,), (0, 2))
    found = j.lax.gather(x, i, numbers, (2, 5, 1))
    back = j.lax.ScatterDimensionNumbers((1, 2), (2,), (0, 2))
    return found, j.lax.scatter_add(x, i, found, back)
