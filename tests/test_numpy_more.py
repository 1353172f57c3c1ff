"""The wider numpy names and `nn` activations against numpy, gradients against differences."""

import math

import numpy as np
import pytest

from tracer import grad, jit, lax, nn, use_backend
from tracer import numpy as jnp

from .arrays import check_gradient, floats, ints, same

pytestmark = pytest.mark.usefixtures("oracle")


A, B, UNIT = floats(3, 4), floats(3, 4, seed=1), floats(3, 4, low=-0.99, high=0.99)
CUBE, POSITIVE = floats(2, 3, 4), floats(3, 4, low=0.1)
SPECIAL = np.float32([0.0, -0.0, np.inf, -np.inf, np.nan, 1e30, -1e-30, 0.5, -1.0])
WIDE = np.concatenate([floats(200, low=-12, high=12), np.float32([1e-6, -1e-6, 60, -60, 1e8])])
HOLED = np.where(floats(3, 4, seed=9) > 1, np.nan, A).astype(np.float32)
HOLED[1] = np.nan
Y, X = (v.ravel() for v in np.meshgrid(SPECIAL, SPECIAL))

SAME_NAME = {
    # name: operand lists; the function of that name must do what numpy's does
    "tan": [(UNIT,)],
    "arctan": [(WIDE,), (SPECIAL,)],
    "arcsin": [(UNIT,), (np.float32([-1, 0, 1]),)],
    "arccos": [(UNIT,), (np.float32([-1, 0, 1]),)],
    "arctan2": [(A, B), (Y, X)],
    "sinh": [(WIDE,)],
    "cosh": [(WIDE,)],
    "arcsinh": [(WIDE,), (SPECIAL,)],
    "arccosh": [(POSITIVE + 1,), (np.float32([1, 1 + 1e-6, 1e20]),)],
    "arctanh": [(UNIT,), (np.float32([1e-6, -1e-6]),)],
    "cbrt": [(WIDE,), (SPECIAL,)],
    "hypot": [(A, B), (Y, X), (np.float32([3e30]), np.float32([4e30]))],
    "logaddexp": [(A, B), (np.float32([-np.inf, 90, -np.inf]), np.float32([-np.inf, 100, 1]))],
    "logaddexp2": [(A, B)],
    "sinc": [(A,), (np.float32([0, 1e-4, 0.15, 0.16]),)],
    "copysign": [(A, B), (Y, X)],
    "signbit": [(SPECIAL,)],
    "nextafter": [(A, B), (Y, X)],
    "heaviside": [(SPECIAL, 0.25), (A, B)],
    "nan_to_num": [(SPECIAL,), (ints(4),)],
    "fmax": [(Y, X)],
    "fmin": [(Y, X)],
    "float_power": [(POSITIVE, B)],
    "deg2rad": [(A,)],
    "rad2deg": [(A,)],
    "rint": [(WIDE,)],
    "fix": [(A,)],
    "modf": [(WIDE,)],
    "divmod": [(A, POSITIVE), (ints(9), 3)],
    "remainder": [(A, POSITIVE), (ints(9), -3)],
    "ldexp": [(A, ints(3, 4))],
    "isposinf": [(SPECIAL,)],
    "isneginf": [(SPECIAL,)],
    "positive": [(A,)],
    "fabs": [(A,)],
    "left_shift": [(ints(6), 3), (ints(6, kind=np.uint32, low=0), np.uint32([0, 1, 5, 31, 32, 9]))],
    "right_shift": [(ints(6) * 1000, 3), (np.int32([-9, 9, -1]), np.int32([1, 31, 40]))],
    "trace": [(A,), (CUBE,)],
    "diag": [(A,), (floats(3),), (A, 1), (A, -2), (floats(3), -1), (A, 9), (np.zeros(0),)],
    "diagflat": [(floats(2, 2), 1)],
    "diagonal": [(A,), (CUBE, 1, 0, 2), (CUBE, -1, 1, 2)],
    "tri": [(3, 4, 1)],
    "kron": [(A, floats(2, 2)), (floats(2), A), (2.0, A)],
    "inner": [(A, B), (CUBE, floats(5, 4)), (2.0, A)],
    "cross": [(floats(5, 3), floats(5, 3, seed=2)), (floats(3), floats(4, 3))],
    "vecdot": [(A, B), (CUBE, A)],
    "hstack": [((A, B),), ((floats(2), floats(3)),)],
    "vstack": [((A, B),), ((floats(2), floats(2)),)],
    "dstack": [((A, B),), ((floats(2), floats(2)),)],
    "column_stack": [((floats(3), A),)],
    "append": [(A, B), (A, B, 0)],
    "atleast_1d": [(2.0,), (A,)],
    "atleast_2d": [(2.0,), (floats(3),), (A, floats(2))],
    "atleast_3d": [(2.0,), (floats(3),), (A,)],
    "array_split": [(floats(7), 3), (A, 3, 1), (A, [1, 3], 1)],
    "hsplit": [(A, 2), (floats(4), 2)],
    "vsplit": [(A, 3)],
    "dsplit": [(CUBE, 2)],
    "flipud": [(A,)],
    "fliplr": [(A,)],
    "meshgrid": [(floats(3), floats(2)), (floats(3), floats(2), floats(4))],
    "indices": [((2, 3),)],
    "tril_indices": [(3, 1, 4)],
    "triu_indices": [(4,)],
    "cumprod": [(A,), (ints(5),)],
    "nancumsum": [(HOLED[::2],)],
    "nansum": [(HOLED,), (ints(3),)],
    "nanprod": [(HOLED,)],
    "nanmean": [(HOLED,)],
    "nanvar": [(HOLED,)],
    "nanstd": [(HOLED,)],
    "nanmax": [(HOLED,)],
    "nanmin": [(HOLED,)],
    "ptp": [(A,)],
    "count_nonzero": [(ints(9),), (A > 0,)],
    "average": [(A,), (A, 1), (A, None, POSITIVE), (A, 0, floats(3, low=0.5))],
    "diff": [(A,), (A, 2), (A, 1, 0), (ints(5),)],
    "trapezoid": [(A,), (A, floats(4))],
    "convolve": [
        (floats(7), floats(3)),
        (floats(2), floats(5), "same"),
        (floats(6), floats(4), "valid"),
    ],
    "correlate": [
        (floats(7), floats(3)),
        (floats(6), floats(2), "full"),
        (floats(3), floats(3), "same"),
    ],
    "polyval": [(floats(4), A), ([1.0, 2.0, 3.0], A)],
    "interp": [(A, np.float32([-1, 0, 1.5]), np.float32([3, -1, 2]))],
    "select": [([A > 1, A > 0], [A, A * 2]), ([A > 1, A > 0], [A, A * 2], 7.0)],
    "rot90": [(A,), (A, 2), (A, -1), (CUBE, 1, (1, 2))],
    "repeat": [(floats(3), [2, 0, 1]), (A, np.int32([1, 2, 0]), 0)],
    "round": [(A, 2), (A * 100, -1)],
    "matrix_transpose": [(CUBE,)],
    "unstack": [(A,)],
    "broadcast_shapes": [((3, 1), (1, 4))],
}


@pytest.mark.parametrize("name", SAME_NAME)
def test_function_is_numpys(name):
    function = getattr(jnp, name)
    for operands in SAME_NAME[name]:
        with np.errstate(all="ignore"):
            want = getattr(np, name)(*operands)
        loose = {"rtol": 2e-5, "atol": 2e-6}
        same(function(*operands), want, **loose)
        same(jit(lambda x=operands, f=function: f(*x))(), want, **loose)


CALLS = {
    "nansum axis": lambda m: m.nansum(HOLED, axis=0, keepdims=True),
    "nanmean axis": lambda m: m.nanmean(HOLED, axis=1),
    "nanvar axis": lambda m: m.nanvar(HOLED[::2], axis=1, ddof=1, keepdims=True),
    "nanmax axis": lambda m: m.nanmax(HOLED, axis=1),
    "ptp axis": lambda m: m.ptp(A, axis=0, keepdims=True),
    "count axis": lambda m: m.count_nonzero(A > 0, axis=1),
    "average returned": lambda m: m.average(A, 1, floats(4, low=0.5), returned=True),
    "cumprod axis": lambda m: m.cumprod(CUBE, axis=1),
    "norm": lambda m: m.linalg.norm(A),
    "norm cube": lambda m: m.linalg.norm(CUBE),
    "norm axis": lambda m: m.linalg.norm(A, axis=1, keepdims=True),
    "norm 1": lambda m: m.linalg.norm(A, 1, axis=0),
    "norm 3": lambda m: m.linalg.norm(A, 3, axis=0),
    "norm 0": lambda m: m.linalg.norm(A, 0, axis=0),
    "norm inf": lambda m: m.linalg.norm(A, np.inf, axis=0),
    "norm matrix 1": lambda m: m.linalg.norm(A, 1),
    "norm matrix inf": lambda m: m.linalg.norm(CUBE, -np.inf, axis=(0, 2)),
    "norm fro": lambda m: m.linalg.norm(CUBE, "fro", axis=(2, 0), keepdims=True),
    "matrix_power": lambda m: m.linalg.matrix_power(floats(3, 3), 5),
    "matrix_power 0": lambda m: m.linalg.matrix_power(floats(3, 3), 0),
    "multi_dot": lambda m: m.linalg.multi_dot([A, floats(4, 9), floats(9, 2), floats(2)]),
    "meshgrid ij": lambda m: m.meshgrid(floats(3), floats(2), indexing="ij"),
    "meshgrid sparse": lambda m: m.meshgrid(floats(3), floats(2), sparse=True),
    "indices sparse": lambda m: m.indices((2, 3), sparse=True),
    "nan_to_num given": lambda m: m.nan_to_num(SPECIAL, nan=1.0, posinf=2.0, neginf=-2.0),
    "interp number": lambda m: m.interp(2.5, np.float32([0, 2, 3]), np.float32([3, -1, 2])),
    "interp ends": lambda m: m.interp(
        A, np.float32([0, 1]), np.float32([3, 4]), left=-9.0, right=9.0
    ),
    "roll axes": lambda m: m.roll(A, (1, -2), axis=(0, 1)),
}
CALLS |= {
    f"pad {mode} {width}": lambda m, mode=mode, width=width: m.pad(A, width, mode=mode)
    for mode in ("edge", "reflect", "symmetric", "wrap", "constant")
    for width in (2, ((0, 1), (3, 0)), ((5, 7), (9, 4)))
}
CALLS["pad values"] = lambda m: m.pad(A, ((1, 2), (0, 3)), constant_values=((1, 2), (3, 4)))
CALLS["pad one"] = lambda m: m.pad(floats(1), 3, mode="wrap")


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    call = CALLS[name]
    with np.errstate(all="ignore"):
        want = call(np)
    same(call(jnp), want, rtol=2e-5, atol=2e-6)
    same(jit(lambda: call(jnp))(), want, rtol=2e-5, atol=2e-6)


EINSUMS = [
    ("ij,jk,kl,lm", (2, 3), (3, 4), (4, 2), (2, 5)),
    ("i,j,k->kij", (2,), (3,), (4,)),
    ("iij,jk", (3, 3, 2), (2, 4)),
    ("iiii->i", (2, 2, 2, 2)),
    ("ijk,k,j,i->", (2, 3, 4), (4,), (3,), (2,)),
    ("...i,...i,i...->...", (3, 4), (3, 4), (4, 3)),
    ("ab,ab,ab->ba", (2, 3), (2, 3), (2, 3)),
]


@pytest.mark.parametrize("spec", EINSUMS, ids=lambda s: s[0])
def test_einsum(spec):
    text, *shapes = spec
    xs = [floats(*shape, seed=i) for i, shape in enumerate(shapes)]
    same(jnp.einsum(text, *xs), np.einsum(text, *xs), rtol=2e-5, atol=1e-6)


def test_running():
    x = floats(3, 11)
    same(lax.cummax(x, axis=1), np.maximum.accumulate(x, axis=1))
    same(lax.cummin(x, axis=0, reverse=True), np.minimum.accumulate(x[::-1], axis=0)[::-1])
    same(
        lax.cumsum(x, axis=1, reverse=True), np.cumsum(x[:, ::-1], 1)[:, ::-1], rtol=1e-5, atol=1e-6
    )
    same(lax.cumprod(x, axis=1), np.cumprod(x, 1), rtol=1e-5)
    same(lax.cumlogsumexp(x, axis=1), np.logaddexp.accumulate(x, axis=1), rtol=1e-5)


def test_traced_amounts():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    same(jit(lambda x, s: jnp.roll(x, s, axis=1))(x, np.int32(3)), np.roll(x, 3, 1))
    same(jit(lambda x, s: jnp.roll(x, s))(x, np.int32(-5)), np.roll(x, -5))
    spread = jit(lambda x, r: jnp.repeat(x, r, total_repeat_length=6))
    same(spread(x[0], np.int32([1, 0, 2, 1])), np.float32([0, 2, 2, 3, 3, 3]))
    shifted = lax.shift_right_logical(np.int32([-1, 8]), np.int32([28, 2]))
    assert shifted.tolist() == [15, 2]


def test_result_type():
    assert jnp.result_type(A, 2) == np.float32 and jnp.result_type(ints(2), 2) == np.int32
    assert jnp.result_type(jnp.float16, 1.5) == np.float16 and jnp.result_type(1, True) == np.int32
    assert jnp.result_type(A, ints(2)) == np.float32 and jnp.result_type(int, "f2") == np.float16
    assert jnp.promote_types("int32", "uint32") == np.int32
    assert not jnp.isdtype(jnp.uint32, "real floating") and jnp.isdtype(np.int32, ("bool", "int32"))


# --- special functions and activations ------------------------------------------------------------


def test_error_functions_to_the_last_places():
    x = np.linspace(-6, 6, 997).astype(np.float32)
    wide = x.astype(np.float64)
    same(nn.erf(x), np.vectorize(math.erf)(wide), rtol=5e-7, atol=0)
    same(lax.erfc(x), np.vectorize(math.erfc)(wide), rtol=3e-6, atol=0)
    back = np.asarray(lax.erf_inv(np.vectorize(math.erf)(wide[300:700]).astype(np.float32)))
    assert (
        np.max(
            np.abs(
                np.vectorize(math.erf)(back.astype(float)) - np.vectorize(math.erf)(wide[300:700])
            )
        )
        < 1e-6
    )
    assert lax.erf_inv(np.float32([-1, 1])).tolist() == [-np.inf, np.inf]


WX = np.concatenate([WIDE[:100], np.float32([-30, 30, 0])])
W = WX.astype(np.float64)
SIG = 1 / (1 + np.exp(-W))
ACTIVATIONS = {
    "relu6": np.clip(W, 0, 6),
    "elu": np.where(W > 0, W, np.expm1(np.minimum(W, 0))),
    "celu": np.where(W > 0, W, np.expm1(np.minimum(W, 0))),
    "selu": 1.0507009873554805
    * np.where(W > 0, W, 1.6732632423543772 * np.expm1(np.minimum(W, 0))),
    "leaky_relu": np.where(W > 0, W, 0.01 * W),
    "hard_tanh": np.clip(W, -1, 1),
    "hard_sigmoid": np.clip(W + 3, 0, 6) / 6,
    "hard_swish": W * np.clip(W + 3, 0, 6) / 6,
    "hard_silu": W * np.clip(W + 3, 0, 6) / 6,
    "soft_sign": W / (1 + np.abs(W)),
    "log_sigmoid": -np.logaddexp(0, -W),
    "mish": W * np.tanh(np.logaddexp(0, W)),
    "squareplus": (W + np.sqrt(W * W + 4)) / 2,
    "sparse_plus": np.where(W <= -1, 0, np.where(W >= 1, W, (W + 1) ** 2 / 4)),
    "identity": W,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    same(getattr(nn, name)(WX), ACTIVATIONS[name].astype(np.float32), rtol=5e-6, atol=1e-6)
    slope = np.asarray(grad(lambda x: jnp.sum(getattr(nn, name)(x)))(WX))
    assert np.isfinite(slope).all()


def test_glu_and_standardize():
    x = floats(3, 6)
    same(nn.glu(x), x[:, :3] / (1 + np.exp(-x[:, 3:])), rtol=1e-5)
    same(nn.glu(x[:2], axis=0), x[:1] / (1 + np.exp(-x[1:2])), rtol=1e-5)
    want = (x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + 1e-5)
    same(nn.standardize(x), want, rtol=1e-5, atol=1e-6)
    same(nn.normalize(x, axis=1), want, rtol=1e-5, atol=1e-6)


SMOOTH = floats(2, 3, seed=4)
INSIDE = floats(2, 3, low=-0.9, high=0.9, seed=5)
GRADIENTS = {
    **{n: (getattr(jnp, n), SMOOTH) for n in "arctan sinh cosh arcsinh cbrt sinc tan".split()},
    **{n: (getattr(jnp, n), INSIDE) for n in "arcsin arccos arctanh".split()},
    **{
        n: (getattr(nn, n), SMOOTH) for n in "erf elu celu selu log_sigmoid mish squareplus".split()
    },
    **{n: (getattr(nn, n), SMOOTH) for n in "leaky_relu hard_swish soft_sign standardize".split()},
    "arccosh": (jnp.arccosh, SMOOTH + 3.5),
    "erfc": (lax.erfc, SMOOTH * 2),
    "erf_inv": (lax.erf_inv, INSIDE),
    "arctan2": (lambda x: jnp.arctan2(x, x[::-1] * 2), SMOOTH),
    "hypot": (lambda x: jnp.hypot(x, x[::-1] * 2), SMOOTH),
    "logaddexp": (lambda x: jnp.logaddexp(x, x[::-1] * 2), SMOOTH),
    "copysign": (lambda x: jnp.copysign(x, -x[::-1]), SMOOTH),
    "nan_to_num": (lambda x: jnp.nan_to_num(x) ** 2, SMOOTH),
    "glu": (lambda x: nn.glu(x, axis=0), SMOOTH),
    "diag": (lambda x: jnp.diag(x[0], 1) ** 2, SMOOTH),
    "diagonal": (lambda x: jnp.diagonal(x, 1) ** 2, SMOOTH),
    "trace": (lambda x: jnp.trace(x) ** 2, SMOOTH),
    "kron": (lambda x: jnp.kron(x, x), SMOOTH),
    "cross": (lambda x: jnp.cross(x, x[::-1] * x), SMOOTH),
    "norm": (jnp.linalg.norm, SMOOTH),
    "norm 3": (lambda x: jnp.linalg.norm(x, 3, axis=1), SMOOTH),
    "multi_dot": (lambda x: jnp.linalg.multi_dot([x, x.T, x]), SMOOTH),
    "matrix_power": (lambda x: jnp.linalg.matrix_power(x @ x.T, 3), SMOOTH),
    "pad reflect": (lambda x: jnp.pad(x, ((3, 2), (4, 1)), mode="reflect") ** 2, SMOOTH),
    "pad edge": (lambda x: jnp.pad(x, 2, mode="edge") ** 2, SMOOTH),
    "pad wrap": (lambda x: jnp.pad(x, 4, mode="wrap") ** 2, SMOOTH),
    "cumprod": (lambda x: jnp.cumprod(x, 1), SMOOTH),
    "cummax": (lambda x: lax.cummax(x, 1), SMOOTH),
    "cumlogsumexp": (lambda x: lax.cumlogsumexp(x, 1), SMOOTH),
    "nanmean": (lambda x: jnp.nanmean(jnp.where(x > 1, np.nan, x), 1), SMOOTH),
    "nanstd": (lambda x: jnp.nanstd(x, 1), SMOOTH),
    "nanmax": (lambda x: jnp.nanmax(x, 1), SMOOTH),
    "average": (lambda x: jnp.average(x, 1, x[0] ** 2 + 1), SMOOTH),
    "diff": (lambda x: jnp.diff(x) ** 2, SMOOTH),
    "convolve": (lambda x: jnp.convolve(x[0], x[1], "same"), SMOOTH),
    "polyval": (lambda x: jnp.polyval(x[0], x[1]), SMOOTH),
    "repeat": (lambda x: jnp.repeat(x, [2, 0, 1], 1) ** 2, SMOOTH),
    "rot90": (lambda x: jnp.rot90(x) * x.T, SMOOTH),
    "einsum": (lambda x: jnp.einsum("ij,ik,jk->i", x, x * 2, x.T @ x), SMOOTH),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    check_gradient(*GRADIENTS[name])


def test_second_derivatives():
    for name, at, want in (
        ("sinc", 0.0, -(math.pi**2) / 3),
        ("arctan", 1.0, -0.5),
        ("erf", 0.5, None),
    ):
        function = getattr(nn if name == "erf" else jnp, name)
        found = float(grad(grad(function))(np.float32(at)))
        want = -2 * at * 2 / math.sqrt(math.pi) * math.exp(-at * at) if want is None else want
        assert abs(found - want) < 1e-4, name


DEVICE = (
    "arctan2",
    "sinh",
    "cbrt",
    "left_shift",
    "right_shift",
    "diag",
    "kron",
    "convolve",
    "rot90",
)


@pytest.mark.device
@pytest.mark.parametrize("name", DEVICE)
def test_on_the_device(name):
    pytest.importorskip("wgpu")
    use_backend("device")
    operands = SAME_NAME[name][0]
    got = jit(lambda: getattr(jnp, name)(*operands))()
    same(got, getattr(np, name)(*operands), rtol=2e-5, atol=2e-6)


ERRORS = {
    "pad": (lambda: jnp.pad(A, 1, mode="mean"), ValueError, "'mean'"),
    "pad empty": (lambda: jnp.pad(np.zeros((0,)), 1, mode="edge"), ValueError, "empty axis"),
    "pad negative": (lambda: jnp.pad(A, -1, mode="wrap"), ValueError, "negative"),
    "norm": (lambda: jnp.linalg.norm(A, 3), ValueError, "Invalid order 3"),
    "norm axes": (lambda: jnp.linalg.norm(CUBE, 1), ValueError, "one or two axes"),
    "multi_dot": (lambda: jnp.linalg.multi_dot([A]), ValueError, "at least two"),
    "diagonal": (lambda: jnp.diagonal(A[0]), ValueError, "two dimensions"),
    "diag": (lambda: jnp.diag(CUBE), ValueError, "1d or 2d"),
    "cross": (lambda: jnp.cross(A, A), ValueError, "2 or 3"),
    "convolve": (lambda: jnp.convolve(A[0], A[0], "odd"), ValueError, "'odd'"),
    "interp": (lambda: jnp.interp(A, A[0], A[1, :2]), ValueError, "one size"),
    "select": (lambda: jnp.select([A > 0], []), ValueError, "as many"),
    "shift": (lambda: jnp.left_shift(A, B), TypeError, "integers"),
    "glu": (lambda: nn.glu(A[:, :3]), ValueError, "even axis"),
    "sections": (lambda: jnp.array_split(A, 0), ValueError, "larger than 0"),
    "indexing": (lambda: jnp.meshgrid(A[0], indexing="yx"), ValueError, "'yx'"),
    "shapes": (lambda: jnp.broadcast_shapes((2,), (3,)), ValueError, "Incompatible shapes"),
    "where": (lambda: jnp.where(A > 0, A), ValueError, "both x and y"),
    "rot90": (lambda: jnp.rot90(A, axes=(0, 0)), ValueError, "different axes"),
    "weights": (lambda: jnp.average(A, None, A[0]), ValueError, "Axis must be specified"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause_and_the_line(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message) as caught:
        wrong()
    assert "test_numpy_more.py:" in str(caught.value)
