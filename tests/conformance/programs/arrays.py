"""Elementwise functions, dtypes, manipulation and creation."""

from __future__ import annotations

import numpy as np

from . import bools, distinct, floats, ints, positive, program


@program(floats(3, 4))
def unary_smooth(j, x):
    n = j.numpy
    return [f(x) for f in (n.sin, n.cos, n.exp, n.expm1, n.tanh, n.square, n.exp2, n.negative)]


@program(positive(3, 4))
def unary_of_positives(j, x):
    n = j.numpy
    return [f(x) for f in (n.log, n.log2, n.log10, n.log1p, n.sqrt, n.reciprocal, n.cbrt)]


@program(floats(3, 4, low=-0.9, high=0.9))
def inverse_trigonometry(j, x):
    n = j.numpy
    return [f(x) for f in (n.arcsin, n.arccos, n.arctan, n.arctanh, n.tan, n.sinh, n.cosh)]


@program(floats(4), floats(4), positive(4))
def arctan2_hypot_and_logaddexp(j, x, y, z):
    n = j.numpy
    return n.arctan2(y, x), n.hypot(x, y), n.logaddexp(x, y), n.arccosh(z + 1), n.arcsinh(x)


@program(floats(3, 4, low=-3, high=3))
def rounding(j, x):
    n = j.numpy
    return [f(x) for f in (n.floor, n.ceil, n.round, n.trunc, n.rint, n.sign, n.abs, n.fabs)]


@program(floats(4), floats(1, 4))
def binary_broadcasts(j, x, y):
    n = j.numpy
    return x + y.T, x * y, x - y, n.maximum(x, y.T), n.minimum(x, y), n.power(n.abs(x), y)


@program(floats(4), positive(4))
def remainders(j, x, y):
    n = j.numpy
    return n.mod(x, y), n.fmod(x, y), n.floor_divide(x, y), x % -y, n.divmod(x, y)


@program(ints(6, low=-9, high=9), ints(6, low=1, high=5))
def integer_arithmetic(j, x, y):
    n = j.numpy
    return x // y, x % y, x * y, n.fmod(x, y), x / y, x**2, -x, n.abs(x), n.gcd(x, y)


@program(ints(6, low=0, high=99), ints(6, low=0, high=5))
def bitwise(j, x, y):
    return x & y, x | y, x ^ y, ~x, x << y, x >> y, j.lax.population_count(x)


@program(bools(5), bools(5))
def logical(j, a, b):
    n = j.numpy
    return a & b, a | ~b, n.logical_xor(a, b), a == b, n.logical_not(a), a.astype("float32") + b


@program(floats(4), floats(4))
def comparisons(j, x, y):
    n = j.numpy
    return x < y, x >= y, x == x, n.isclose(x, x + 1e-9), n.not_equal(x, y), x < 0.5


@program()
def special_values(j):
    x = j.numpy.array([0.0, -1.0, np.inf, -np.inf, np.nan])
    n = j.numpy
    return n.isnan(x), n.isinf(x), n.isfinite(x), n.nan_to_num(x), n.sqrt(x), x * 0, n.sign(x)


@program()
def division_by_zero(j):
    x = j.numpy.array([1.0, -1.0, 0.0])
    return x / 0.0, 1 / x, j.numpy.log(x), x // 0.0


@program()
def weak_scalars_keep_the_dtype(j):
    n = j.numpy
    x, i, h = n.ones(2), n.arange(2), n.ones(2, n.float16)
    return x * 2, i * 2, i * 2.5, h * 2.0, h + x, i + x, n.asarray(2.0) * h, True + i


@program()
def promotion_table(j):
    n = j.numpy
    kinds = [n.bool_, n.int32, n.uint32, n.float16, n.float32]
    return [(n.ones(2, a) + n.ones(2, b)).dtype.name for a in kinds for b in kinds]


@program()
def promotion_with_bfloat16(j):
    n = j.numpy
    x = n.ones(2, n.bfloat16)
    return x, x + n.ones(2, n.float32), (x + n.ones(2, n.float16)).dtype.name, x * 2.5


@program()
def result_types(j):
    n = j.numpy
    found = n.result_type(n.int32, n.float16), n.promote_types("float16", "bfloat16")
    return [str(np.dtype(f)) for f in found]


@program()
def default_dtypes(j):
    n = j.numpy
    made = n.array(1), n.array(1.5), n.array(True), n.arange(3), n.linspace(0, 1, 3), n.zeros(2)
    return [m.dtype.name for m in made], n.asarray(np.arange(3)).dtype.name


@program()
def float64_becomes_float32(j):
    return j.numpy.asarray(np.ones(3)), j.numpy.zeros(2, dtype=float), j.numpy.ones(2, dtype=int)


@program(floats(6, low=-5, high=5))
def casts(j, x):
    n = j.numpy
    return x.astype(n.int32), x.astype("float16"), x.astype(bool), (x > 0).astype(n.uint32)


@program(floats(4, dtype=np.float16), floats(4, dtype=np.float16), grad=False)
def half_precision(j, x, y):
    return x + y, x * y, j.numpy.sum(x), j.numpy.exp(x), x @ y


@program(floats(5), grad=False)
def bits_of_floats(j, x):
    bits = j.lax.bitcast_convert_type(x, j.numpy.uint32)
    return bits, j.lax.bitcast_convert_type(bits, j.numpy.float32)


@program(floats(2, 3, 4))
def reshapes(j, x):
    n = j.numpy
    return x.reshape(6, -1), n.reshape(x, (4, 6)), x.ravel(), n.reshape(x, -1), x.flatten()[:3]


@program(floats(2, 3, 4))
def transposes(j, x):
    n = j.numpy
    return x.T, x.transpose(1, 0, 2), n.swapaxes(x, 0, 2), n.moveaxis(x, 0, -1), x.mT


@program(floats(2, 1, 3))
def squeezes_and_expands(j, x):
    n = j.numpy
    return n.squeeze(x), x.squeeze(1), n.expand_dims(x, (0, -1)), n.atleast_2d(x[0, 0]), x[None]


@program(floats(2, 3), floats(2, 3))
def joins(j, x, y):
    n = j.numpy
    return (
        n.concatenate([x, y], axis=1), n.stack([x, y], axis=-1), n.hstack([x, y]),
        n.vstack([x, y]), n.dstack([x, y]), n.column_stack([x[0], y[0]]), n.append(x, y),
    )  # fmt: skip


@program(floats(6, 4))
def splits(j, x):
    n = j.numpy
    return (
        n.split(x, 3), n.split(x, [1, 4]), n.array_split(x, 4), n.hsplit(x, 2), n.vsplit(x, 2),
        n.unstack(x, axis=1),
    )  # fmt: skip


@program(floats(2, 3))
def repeats_and_tiles(j, x):
    n = j.numpy
    return n.repeat(x, 2, axis=1), n.repeat(x, 3), n.tile(x, (2, 1, 2)), n.tile(x, 2)


@program(floats(2, 3))
def repeat_by_counts(j, x):
    return j.numpy.repeat(x, j.numpy.array([1, 0, 2]), axis=1, total_repeat_length=3)


@program(floats(3, 4))
def flips_and_rolls(j, x):
    n = j.numpy
    return (
        n.flip(x), n.flip(x, 1), n.fliplr(x), n.flipud(x), n.roll(x, 2), n.roll(x, -1, axis=0),
        n.roll(x, (1, 2), axis=(0, 1)), n.rot90(x),
    )  # fmt: skip


@program(floats(3, 4))
def pads(j, x):
    n = j.numpy
    modes = ("edge", "reflect", "symmetric", "wrap")
    found = [n.pad(x, ((1, 2), (0, 3)), mode=m) for m in modes]
    return [n.pad(x, 1), n.pad(x, ((0, 1), (2, 0)), constant_values=5.0), *found]


@program(floats(3), floats(4))
def grids(j, x, y):
    n = j.numpy
    return n.meshgrid(x, y), n.meshgrid(x, y, indexing="ij"), n.indices((2, 3))


@program(floats(4, 4), floats(4))
def diagonals(j, x, v):
    n = j.numpy
    return n.diag(v), n.diag(x), n.diagonal(x, 1), n.trace(x), n.diag(v, -1), n.tril(x), n.triu(x)


@program()
def creation(j):
    n = j.numpy
    return (
        n.zeros((2, 3)), n.ones(3, "int32"), n.full((2,), 7), n.eye(3, 4, k=1), n.identity(2),
        n.arange(2, 11, 3), n.arange(0.0, 1.0, 0.25), n.linspace(0, 1, 5, endpoint=False),
        n.tri(3), n.empty((0, 2)), n.logspace(0, 2, 3), n.full_like(n.ones(2), 3),
    )  # fmt: skip


@program(floats(2, 3))
def broadcasts(j, x):
    n = j.numpy
    return (
        n.broadcast_to(x, (4, 2, 3)), n.broadcast_arrays(x, n.ones((2, 1))),
        n.broadcast_shapes((2, 1), (3,)), j.lax.broadcast_in_dim(x, (2, 5, 3), (0, 2)),
    )  # fmt: skip


@program(distinct(3, 5))
def sorts(j, x):
    n = j.numpy
    return n.sort(x), n.sort(x, axis=0), n.sort(x, descending=True), x.sort(axis=None)


@program(distinct(3, 5), grad=False)
def argsorts(j, x):
    n = j.numpy
    return n.argsort(x), n.argsort(x, axis=0), n.argsort(-x, axis=None), n.argsort(x > 0)


@program(distinct(3, 5))
def top_k(j, x):
    return j.lax.top_k(x, 2)


@program(distinct(6), ints(6, high=3))
def sort_with_values(j, x, v):
    return j.lax.sort_key_val(x, v), j.lax.sort((v, x), num_keys=2), j.numpy.lexsort((x, v))


@program(floats(3, 4))
def methods_of_an_array(j, x):
    return (
        x.sum(), x.mean(axis=0), x.max(1), x.min(), x.std(), x.var(0), x.prod(), x.cumsum(1),
        x.argmax(), x.clip(-1, 1), x.round(), x.swapaxes(0, 1), x.dot(x.T), x.squeeze(),
    )  # fmt: skip


@program(floats(3, 4), grad=False)
def attributes_of_an_array(j, x):
    return x.shape, x.ndim, x.size, str(x.dtype), x.nbytes, x.itemsize, len(x)


@program()
def array_conversions(j):
    x = j.numpy.array([[1.0, 2.0], [3.0, 4.0]])
    return np.asarray(x).tolist(), x.tolist(), float(x[0, 1]), int(x[1, 0]), x[0, 0].item()


@program(floats(5), positive(5))
def power_gradients(j, x, y):
    return x**2, x**3, y**-1, y**0.5, 2.0**x, y**x, x**0


@program(floats(5), floats(5))
def interpolation(j, x, y):
    n = j.numpy
    table = n.linspace(-2, 2, 5)
    return n.interp(x, table, y), n.heaviside(x, 0.5), n.diff(x), n.cross(x[:3], y[:3])


@program(floats(4), floats(3))
def polynomials_and_windows(j, x, y):
    n = j.numpy
    return n.polyval(y, x), n.convolve(x, y), n.correlate(x, y), n.vander(x, 3), n.kron(x, y)


@program(floats(3, 4))
def vectorize_a_row_function(j, x):
    return j.numpy.vectorize(lambda r: r / r.sum(), signature="(n)->(n)")(x)


@program(floats(4))
def apply_along_axis_is_vmap(j, x):
    return j.numpy.apply_along_axis(lambda r: r.sum() * r, 0, x[:, None] * x)


@program(floats(3, 4))
def lax_elementwise(j, x):
    k = j.lax
    return (
        k.add(x, x), k.mul(x, x), k.sub(x, x), k.div(x, x + 3), k.neg(x), k.max(x, -x),
        k.rsqrt(x * x + 1), k.logistic(x), k.exp(x), k.integer_pow(x, 3), k.clamp(-1.0, x, 1.0),
        k.erf(x), k.square(x),
    )  # fmt: skip


@program(floats(3, 4))
def lax_shapes(j, x):
    k = j.lax
    return (
        k.reshape(x, (4, 3)), k.transpose(x, (1, 0)), k.rev(x, (0,)), k.concatenate([x, x], 0),
        k.expand_dims(x, (1,)), k.pad(x, 0.0, ((1, 0, 0), (0, 2, 1))), k.squeeze(x[None], (0,)),
        k.iota("int32", 4), k.full((2, 2), 3.0), k.broadcast(x, (2,)),
    )  # fmt: skip


@program(floats(3, 4))
def array_namespace_of_the_standard(j, x):
    xp = x.__array_namespace__()
    found = xp.permute_dims(x, (1, 0)), xp.concat([x, x]), xp.astype(x, xp.int32)
    return *found, xp.matrix_transpose(x)


@program(floats(3, 4), positive(3, 4))
def more_lax_elementwise(j, x, p):
    k = j.lax
    unit = x / 2.5
    return (
        [f(x) for f in (k.sin, k.cos, k.tan, k.sinh, k.cosh, k.asinh, k.atan, k.tanh, k.expm1)],
        [f(x) for f in (k.exp2, k.erfc, k.cbrt, k.abs, k.sign, k.floor, k.ceil, k.logistic)],
        [f(p) for f in (k.log, k.log1p, k.sqrt, k.rsqrt, k.reciprocal)],
        [f(unit) for f in (k.asin, k.acos, k.atanh, k.erf_inv)],
        k.pow(p, x), k.atan2(x, p), k.rem(x, p), k.min(x, p), k.acosh(p + 1),
        k.select_n(x > 0, x, p), k.clamp(x - 1, p, x + 1),
    )  # fmt: skip


@program()
def lax_rounds(j):
    x = j.numpy.array([-2.5, -1.5, -0.5, -0.3, 0.3, 0.5, 1.5, 2.5])
    return j.lax.round(x), j.lax.round(x, j.lax.RoundingMethod.TO_NEAREST_EVEN)


@program(ints(4, 5, low=-100, high=100), ints(4, 5, low=0, high=40), exact=True)
def lax_integers(j, x, n):
    k = j.lax
    u = x.astype("uint32")
    return (
        k.population_count(x), k.clz(x), k.clz(u), k.bitwise_not(x), k.bitwise_and(x, n),
        k.shift_left(x, n), k.shift_right_logical(x, n), k.shift_right_arithmetic(x, n),
        k.div(x, n + 1), k.rem(x, n + 1), k.neg(u), k.integer_pow(x, 3), k.sign(u),
    )  # fmt: skip


@program(floats(2, 3, 4))
def more_lax_shapes(j, x):
    k = j.lax
    return (
        k.slice(x, (0, 1, 0), (2, 3, 4), (1, 1, 2)), k.slice_in_dim(x, -3, None, 2, 2),
        k.index_in_dim(x, 1, 1), k.reshape(x, (6, 4), (1, 0, 2)), k.collapse(x, 1),
        k.broadcast_in_dim(x, (2, 5, 3, 4), (0, 2, 3)), k.tile(x, (1, 2, 1)),
        k.split(x, (1, 2), 1), k.full_like(x, 2), k.broadcasted_iota("float32", (2, 3), 1),
        k.pad(x, 1.0, ((-1, 2, 0), (0, 0, 0), (1, -2, 2))), k.expand_dims(x, (0, -1)),
        k.pad(x, -j.numpy.inf, ((1, 1, 0), (0, 0, 1), (0, 0, 0))) > 0,
    )  # fmt: skip


@program(floats(3, 4), grad=False)
def lax_precision(j, x):
    return j.lax.reduce_precision(x, 5, 10), j.lax.reduce_precision(x * 1e30, 8, 7)
