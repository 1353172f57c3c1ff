"""Options of promotion, regions with a name, types, and writing as numpy's functions do."""

from __future__ import annotations

from . import bools, floats, positive, program


@program(floats(3, 4), bools(3, 4))
def writing_as_numpy_does(j, x, m):
    n = j.numpy
    diagonal = n.fill_diagonal(x, n.arange(2.0), inplace=False)
    return n.place(x, m, n.arange(5.0), inplace=False), n.place(x, m, 2.5, inplace=False), diagonal


@program(floats(3, 3, 3))
def a_diagonal_of_three_axes(j, x):
    return j.numpy.fill_diagonal(x, 9.0, inplace=False)


@program(floats(4, 5), positive(4, 5))
def weighted_quantiles(j, x, w):
    n = j.numpy
    some = n.quantile(x, 0.4, axis=1, method="inverted_cdf", weights=w, keepdims=True)
    row = n.percentile(x, n.array([10.0, 90.0]), axis=1, method="inverted_cdf", weights=w[0])
    return some, row, n.nanquantile(x, 0.7, method="inverted_cdf")


@program(says="jax_numpy_rank_promotion='raise'")
def ranks_that_may_not_differ(j):
    with j.numpy_rank_promotion("raise"):
        j.numpy.ones((2, 3)) + j.numpy.ones(3)


@program(says="no available implicit dtype promotion path")
def dtypes_that_may_not_differ(j):
    with j.numpy_dtype_promotion("strict"):
        j.numpy.ones(3) + j.numpy.ones(3, int)


@program(floats(2, 3))
def strict_options_let_numbers_pass(j, x):
    n = j.numpy
    with j.numpy_rank_promotion("raise"), j.numpy_dtype_promotion("strict"):
        return x + 1, 2 * n.mean(x), j.nn.softmax(x), n.where(x > 0, x, 0.0), n.std(x, axis=1)


@program(floats(2, 3), floats(3, 2))
def precision_of_products(j, x, y):
    with j.default_matmul_precision("float32"):
        return x @ y


@program(floats(2, 3), grad=False)  # JAX has no derivative of composites
def composites_and_platforms(j, x):
    double = j.lax.composite(lambda x, *, by: x * by, "test.scale")
    return double(x, by=2.0), j.lax.platform_dependent(x, default=lambda x: x + 1)


@program(floats(3))
def types_of_values(j, x):
    kind = j.typeof(x)
    level = j.tree_util.flatten_one_level({"b": x, "a": [x]})
    return kind.shape, str(kind.dtype), j.typeof(1.0).weak_type, level


@program(floats(3), floats(2, 3))
def broadcasting_like_another(j, x, y):
    return j.lax.broadcast_like(x, y)
