"""lax against numpy: values, derivatives, vmap, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from ir import evaluate
from tracer import grad, jit, lax, scipy, vmap
from tracer import numpy as jnp
from tracer.array import aval_of
from tracer.staging import trace

from .lax_cases import CASES

pytestmark = pytest.mark.usefixtures("oracle")


def exact(x):
    return x.astype(np.float64) if x.dtype.kind == "f" else x


@pytest.mark.parametrize("case", [c for c in CASES if c.want], ids=lambda c: c.name)
def test_values(case):
    with np.errstate(over="ignore"):
        want = np.asarray(case.want(*map(exact, case.inputs)))
    for fun in (case.fun, jit(case.fun)):
        got = np.asarray(fun(*case.inputs))
        assert got.shape == want.shape
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=2e-5, atol=2e-6
        )


def weights(shape):
    return np.cos(np.arange(np.prod(shape), dtype=np.float32)).reshape(shape)


def differentiable(case):
    return case.smooth and any(x.dtype.kind == "f" for x in case.inputs)


@pytest.mark.parametrize("case", [c for c in CASES if differentiable(c)], ids=lambda c: c.name)
def test_gradients(case):
    at = tuple(i for i, x in enumerate(case.inputs) if x.dtype.kind == "f")

    def total(measure, *xs):
        return jnp.sum(case.fun(*xs) * measure)

    measure = weights(case.fun(*case.inputs).shape)
    traced = trace(total, [aval_of(x) for x in (measure, *case.inputs)])
    held = [exact(np.asarray(c)) for c in traced.constants]
    found = grad(lambda *xs: total(measure, *xs), at)(*case.inputs)
    rng = np.random.default_rng(0)
    wide = [exact(x) for x in case.inputs]
    step = [1e-6 * rng.standard_normal(x.shape) if i in at else 0 for i, x in enumerate(wide)]
    ends = (
        [x + sign * d if i in at else x for i, (x, d) in enumerate(zip(wide, step, strict=True))]
        for sign in (1, -1)
    )
    high, low = (evaluate(traced.graph, *held, exact(measure), *end, wide=True)[0] for end in ends)
    slope = sum(np.sum(np.asarray(g) * step[i]) for g, i in zip(found, at, strict=True))
    scale = sum(np.sum(np.abs(np.asarray(g) * step[i])) for g, i in zip(found, at, strict=True))
    np.testing.assert_allclose((high - low) / 2, slope, rtol=1e-3, atol=1e-4 * scale + 1e-12)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_vmap(case):
    pairs = [np.stack([x, x[::-1] if x.ndim else x + 1]) for x in case.inputs]
    got = np.asarray(vmap(case.fun)(*pairs))
    for i in range(2):
        want = np.asarray(case.fun(*(p[i] for p in pairs)))
        np.testing.assert_allclose(got[i].astype(float), want.astype(float), rtol=1e-5, atol=1e-6)


F, N, B = np.ones(3, np.float32), np.ones(3, np.int32), np.ones(3, bool)
M, Z = np.ones((2, 3), np.float32), np.ones((2, 3, 4), np.float32)
IMAGE, KERNEL = np.ones((2, 4, 6, 5), np.float32), np.ones((3, 4, 3, 2), np.float32)
REFUSED = {
    "lax.add requires arguments to have the same dtypes, got float32, int32": lambda: lax.add(F, 1),
    "add: arrays must have the same number of dimensions": lambda: lax.add(F, M),
    "add got incompatible shapes for broadcasting": lambda: lax.add(F, F[:2]),
    "add does not accept dtype bool at position 0": lambda: lax.add(B, B),
    "exp does not accept dtype int32": lambda: lax.exp(N),
    "abs does not accept dtype uint32": lambda: lax.abs(N.astype(np.uint32)),
    "The problematic value is of type <class 'list'>": lambda: lax.add([1], 2),
    "Integers cannot be raised to negative powers": lambda: lax.integer_pow(N, -1),
    "select cases must have the same shapes": lambda: lax.select(B, F, M),
    "select with boolean `which` cannot have": lambda: lax.select_n(B, F, F, F),
    "must be boolean or integer type, got float32": lambda: lax.select_n(F, F, F),
    "clamp requires min.shape == operand.shape": lambda: lax.clamp(M, F, 1.0),
    "slice limit_indices must be less than": lambda: lax.slice(Z, (0, 0, 0), (1, 1, 9)),
    "transpose permutation isn't a permutation": lambda: lax.transpose(Z, (2, 0, 0)),
    "rev dimensions must be unique": lambda: lax.rev(Z, (0, 0)),
    "broadcast_dimensions must have length": lambda: lax.broadcast_in_dim(F, (2, 3), ()),
    "target broadcast shape (2, 3)": lambda: lax.broadcast_in_dim(F, (2, 3), (0,)),
    "arrays with different numbers of dimensions": lambda: lax.concatenate([F, M], 0),
    "lax.concatenate requires arguments": lambda: lax.concatenate([F, N], 0),
    "concatenate dimension out of bounds": lambda: lax.concatenate([M, M], -1),
    "pad operand and padding_value must be same dtype": lambda: lax.pad(F, 0, [(1, 1, 0)]),
    "reps length must be equal": lambda: lax.tile(M, (2,)),
    "full must be called with scalar fill_value": lambda: lax.full((3,), F),
    "lhs_contracting of (5,)": lambda: lax.dot_general(Z, Z, (((5,), (1,)), ((), ()))),
    "disjoint from contracting": lambda: lax.dot_general(Z, Z, (((1,), (1,)), ((1,), (1,)))),
    "got (3,) and (2,)": lambda: lax.dot_general(M, M, (((1,), (0,)), ((), ()))),
    "lax.conv_general_dilated requires": lambda: lax.conv(
        IMAGE, KERNEL.astype(int), (1, 1), "SAME"
    ),
    "expected 2, got 1": lambda: lax.conv_general_dilated(IMAGE, KERNEL, (1, 1), [(1, 1)]),
    "exactly once, got NHWN": lambda: lax.conv_dimension_numbers(
        IMAGE.shape, KERNEL.shape, ("NHWC", "HWIO", "NHWN")
    ),
    "init_values to be scalars": lambda: lax.reduce_window(F, F, lax.add, (2,), (1,), "SAME"),
    "of length 2 and operand": lambda: lax.reduce_window(F, 0.0, lax.add, (2, 2), (1,), "SAME"),
    "index_dtype must be an integer type": lambda: lax.argmax(Z, 1, "float32"),
}
WRONG_VALUES = {
    "Dimension size after padding is not at least 0": lambda: lax.pad(F, 0.0, [(-3, -2, 0)]),
    "duplicate value in 'axes' of reduction": lambda: lax.reduce_sum(Z, (0, 0)),
    "contains out-of-bounds indices for float32[2,3,4]": lambda: lax.reduce_sum(Z, (3,)),
    "reduce found non-scalar initial value": lambda: lax.reduce(F, F, lax.add, (0,)),
    "argmin and argmax require non-empty": lambda: lax.argmax(F[:0], 0, "int32"),
    "4 // 1 != 2": lambda: lax.conv(IMAGE, KERNEL[:, :2], (1, 1), "SAME"),
    "3 does not divide 4": lambda: lax.conv_general_dilated(
        IMAGE, KERNEL, (1, 1), "SAME", feature_group_count=3
    ),
    "but got 2 and 1": lambda: lax.conv(IMAGE, KERNEL, (1,), "SAME"),
    "Unrecognized padding type": lambda: lax.conv(IMAGE, KERNEL, (1, 1), "FULL"),
    "XLA operations do not allow negative axes": lambda: lax.cumsum(Z, -1),
    "cannot select an axis to squeeze out": lambda: lax.squeeze(M, (1,)),
    "repeated axis in lax.expand_dims": lambda: lax.expand_dims(M, (0, 0)),
    "Sum of sizes 2 must be equal": lambda: lax.split(M, (1, 1), 1),
    "Invalid dimension range passed to collapse": lambda: lax.collapse(Z, 2, 1),
    "jax.lax.dot: dimension_numbers must be specified": lambda: lax.dot(M, M),
}


@pytest.mark.parametrize("says", REFUSED)
def test_refusals(says):
    with pytest.raises(TypeError) as error:
        REFUSED[says]()
    assert says in str(error.value).splitlines()[0]


@pytest.mark.parametrize("says", WRONG_VALUES)
def test_refused_values(says):
    with pytest.raises(ValueError) as error:
        WRONG_VALUES[says]()
    assert says in str(error.value).splitlines()[0]


def test_scalars_and_axes_of_size_one_repeat():
    assert lax.add(F, 1.0).shape == (3,)
    assert lax.add(1.0, M).shape == (2, 3)
    assert lax.mul(M, np.ones((2, 1), np.float32)).shape == (2, 3)


def test_preferred_element_type():
    half = np.full((4, 4), 300, np.float16)
    assert lax.dot(half, half, preferred_element_type="float32")[0, 0] == 360000
    assert lax.dot(F, F, preferred_element_type="float16").dtype == np.float16


def test_every_precision_is_taken():
    for precision in (*lax.Precision, "highest", None):
        assert lax.dot(F, F, precision=precision) == 3
        assert lax.dot_general(F, F, (((0,), (0,)), ((), ())), precision) == 3
        assert lax.batch_matmul(Z, Z.transpose(0, 2, 1), precision).shape == (2, 3, 3)


def test_empty_reductions_give_their_initial_value():
    assert lax.reduce(F[:0], 2.5, lax.max, (0,)) == 2.5
    assert lax.reduce_prod(F[:0], (0,)) == 1
    assert lax.reduce_and(N[:0], (0,)) == -1


def test_optimization_barrier_is_the_identity():
    tree = {"a": F, "b": (N,)}
    out = jit(lax.optimization_barrier)(tree)
    np.testing.assert_array_equal(out["a"], F)
    assert grad(lambda x: lax.optimization_barrier(x).sum())(F).tolist() == [1, 1, 1]


def test_padding_by_name():
    assert lax.padtype_to_pads((5, 6), (3, 4), (1, 2), "SAME") == [(1, 1), (1, 1)]
    assert lax.padtype_to_pads((5,), (4,), (1,), "SAME") == [(1, 2)]
    assert lax.padtype_to_pads((5,), (4,), (1,), "SAME_LOWER") == [(2, 1)]
    assert lax.padtype_to_pads((5,), (4,), (1,), "VALID") == [(0, 0)]


def test_layouts():
    found = lax.conv_dimension_numbers((1, 2, 3, 4), (5, 6, 7, 8), ("NHWC", "HWIO", "NCHW"))
    assert found == ((0, 3, 1, 2), (3, 2, 0, 1), (0, 1, 2, 3))
    assert lax.conv_dimension_numbers((1, 2, 3), (1, 2, 3), None).lhs_spec == (0, 1, 2)


def test_conv_transpose_is_the_gradient_of_conv():
    def forward(x):
        return lax.conv(x, KERNEL, (2, 2), "SAME")

    ct = np.arange(2 * 3 * 3 * 3, dtype=np.float32).reshape(2, 3, 3, 3)
    want = grad(lambda x: (forward(x) * ct).sum())(IMAGE)
    got = lax.conv_transpose(
        ct, KERNEL, (2, 2), [(2, 1), (1, 0)], dimension_numbers=("NCHW", "OIHW", "NCHW"),
        transpose_kernel=True,
    )  # fmt: skip
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-6)


def test_of_equal_extrema_the_first_of_a_window_gets_the_gradient():
    def total(x):
        return lax.reduce_window(x, -np.inf, lax.max, (2, 2), (2, 2), "VALID").sum()

    want = np.zeros((4, 4), np.float32)
    want[::2, ::2] = 1
    np.testing.assert_array_equal(grad(total)(np.ones((4, 4), np.float32)), want)


def test_a_pool_of_pairs():
    def combine(a, b):
        keep = a[0] >= b[0]
        return lax.select(keep, a[0], b[0]), lax.select(keep, a[1], b[1])

    x = np.array([3, 1, 4, 1, 5, 9, 2, 6], np.float32)
    both = (x, np.arange(8, dtype=np.int32))
    best, place = lax.reduce_window(both, (-np.inf, -1), combine, (4,), (2,), "VALID")
    assert best.tolist() == [4, 9, 9] and place.tolist() == [2, 5, 5]


def test_the_shape_of_a_pool():
    shape = lax.reduce_window_shape_tuple((4, 9), (1, 3), (1, 2), [(0, 0), (1, 1)], None, (1, 2))
    assert shape == (4, 4)
    x = np.zeros((4, 9), np.float32)
    pool = lax.reduce_window(x, 0.0, lax.add, (1, 3), (1, 2), [(0, 0), (1, 1)], None, (1, 2))
    assert pool.shape == shape


def test_special_functions_at_their_ends():
    ends = np.array([0, -1, -2, np.inf, np.nan], np.float32)
    np.testing.assert_array_equal(lax.lgamma(ends), [np.inf, np.inf, np.inf, np.inf, np.nan])
    assert np.isnan(np.asarray(lax.digamma(ends[:3]))).all()
    assert lax.zeta(1.0, 2.0) == np.inf and np.isnan(lax.zeta(0.5, 2.0))
    np.testing.assert_allclose(lax.zeta(2.0, 1.0), np.pi**2 / 6, rtol=1e-6)
    assert scipy.special.entr(0.0) == 0 and scipy.special.entr(-1.0) == -np.inf
    assert scipy.special.rel_entr(0.0, 1.0) == 0 and scipy.special.rel_entr(1.0, 0.0) == np.inf
    assert scipy.special.xlogy(0.0, 0.0) == 0
