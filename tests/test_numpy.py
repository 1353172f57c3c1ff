"""`tracer.numpy` against numpy: values at once and under jit, gradients against differences."""

import numpy as np
import pytest

from tracer import jit
from tracer import numpy as jnp

from .arrays import check_gradient, floats, ints

pytestmark = pytest.mark.usefixtures("oracle")


def bools(*shape):
    return ints(*shape) > 0


A, B = floats(3, 4), floats(3, 4, seed=1)
POSITIVE = floats(3, 4, low=0.1)
TIES = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 0.49999997, 8388609.0, -0.7, 1e20], np.float32)

SAME_NAME = {
    # name: operand lists; the function of that name must do what numpy's does
    "abs": [(A,), (ints(5),)],
    "negative": [(A,), (ints(5),)],
    "sign": [(A,), (ints(5),), (np.zeros(2, np.float32),)],
    "exp": [(A,)],
    "log": [(POSITIVE,)],
    "sin": [(A,)],
    "cos": [(A,)],
    "tanh": [(A,)],
    "sqrt": [(POSITIVE,)],
    "square": [(A,), (ints(5),)],
    "reciprocal": [(POSITIVE,)],
    "floor": [(A,), (TIES,)],
    "ceil": [(A,), (TIES,)],
    "trunc": [(A,), (TIES,)],
    "round": [(A,), (TIES,), (TIES * -1,)],
    "log1p": [(POSITIVE,), (floats(50, low=-0.9, high=0.3),), (np.float32([1e-7, -1e-7, 1e-3]),)],
    "expm1": [(A,), (np.float32([1e-7, -1e-7, 1e-3, 0.49, -0.51]),)],
    "exp2": [(A,)],
    "log2": [(POSITIVE,)],
    "log10": [(POSITIVE,)],
    "isclose": [
        (A, A + np.float32(1e-7)),
        (A, 0.5),
        (np.float32([np.inf, np.inf, np.nan, -np.inf]), np.float32([np.inf, 1, np.nan, np.inf])),
    ],
    "allclose": [(A, A), (A, B), (A, A + 1e-3)],
    "array_equal": [(A, A), (A, B), (A, floats(3))],
    "isfinite": [(np.float32([1, np.inf, np.nan, -np.inf]),)],
    "isnan": [(np.float32([1, np.inf, np.nan, -np.inf]),)],
    "isinf": [(np.float32([1, np.inf, np.nan, -np.inf]),)],
    "invert": [(bools(4),), (ints(4),)],
    "logical_not": [(bools(4),), (A,)],
    "add": [(A, B), (A, floats(4)), (floats(3, 1), floats(4)), (ints(3), ints(1)), (A, 2.5)],
    "subtract": [(A, B), (1.5, A), (floats(1, 4), floats(3, 1))],
    "multiply": [(A, B), (A, 3), (ints(2, 3), ints(3))],
    "divide": [(A, POSITIVE), (A, 2), (1.0, POSITIVE), (ints(4), ints(4, low=1))],
    "floor_divide": [(A, POSITIVE), (ints(9), ints(9, low=1)), (ints(9), -3), (A, -0.7)],
    "mod": [(A, POSITIVE), (ints(9), ints(9, low=1)), (ints(9), -3), (A, -0.7)],
    "fmod": [(A, POSITIVE), (ints(9), ints(9, low=1)), (ints(9), -3)],
    "power": [(A, 2), (A, 3), (POSITIVE, -2), (POSITIVE, 0.5), (POSITIVE, B), (2.0, A), (A, 0)],
    "maximum": [(A, B), (A, 0.0), (ints(3), ints(3, low=0))],
    "minimum": [(A, B), (A, 0.0)],
    "equal": [(ints(9), ints(9, low=0)), (bools(4), True)],
    "not_equal": [(ints(9), ints(9, low=0))],
    "less": [(A, B), (ints(9), 2)],
    "less_equal": [(ints(9), 2)],
    "greater": [(A, B), (ints(9), 2)],
    "greater_equal": [(ints(9), 2)],
    "bitwise_and": [(ints(9), ints(9, low=0)), (bools(9), bools(9))],
    "bitwise_or": [(ints(9), 6)],
    "bitwise_xor": [(ints(9), 6), (bools(9), ~bools(9))],
    "logical_and": [(bools(9), ints(9))],
    "logical_or": [(bools(9), ints(9))],
    "logical_xor": [(bools(9), ints(9))],
    "where": [(bools(3, 4), A, B), (bools(3, 1), A, 0.0), (bools(4), 1.5, A), (ints(4), A, B)],
    "clip": [(A, -1, 1), (A, None, 0.5), (ints(9), 0, 2)],
    "matmul": [
        (A, floats(4, 5)),
        (floats(4), floats(4)),
        (A, floats(4)),
        (floats(3), A),
        (floats(2, 3, 4), floats(4, 5)),
        (floats(3, 4), floats(2, 4, 5)),
        (floats(2, 1, 3, 4), floats(5, 4, 2)),
        (ints(2, 3), ints(3, 2)),
        (floats(2, 0), floats(0, 3)),
    ],
    "dot": [(A, floats(4)), (A, floats(4, 2)), (2.0, A), (A, floats(2, 4, 3))],
    "vdot": [(A, B)],
    "outer": [(floats(3), floats(2, 2))],
    "sum": [(A,), (bools(5),), (ints(4),), (np.zeros((0, 3), np.float32),)],
    "mean": [(A,), (ints(4),)],
    "var": [(A,)],
    "std": [(A,)],
    "max": [(A,), (ints(4),)],
    "min": [(A,), (ints(4),)],
    "prod": [(A,), (ints(7, low=1),), (np.zeros((0, 3), np.float32),)],
    "all": [(bools(3),), (np.ones(3, bool),), (np.zeros(0, bool),), (A,)],
    "any": [(bools(3),), (np.zeros(3, bool),), (np.zeros(0, bool),), (A,)],
    "argmax": [(A,), (np.int32([1, 3, 3]),)],
    "argmin": [(A,), (np.int32([3, 1, 1]),)],
    "cumsum": [(A,), (ints(7),), (floats(1),)],
    "transpose": [(A,), (floats(2, 3, 4),)],
    "ravel": [(A,), (np.zeros((0, 3), np.float32),)],
    "squeeze": [(floats(1, 3, 1),)],
    "flip": [(A,)],
    "tril": [(A,), (floats(2, 4, 3),), (ints(3, 3),)],
    "triu": [(A,), (floats(2, 4, 3),), (bools(3, 3),)],
    "zeros_like": [(A,), (ints(3),)],
    "ones_like": [(A,), (bools(3),)],
    "copy": [(A,)],
}


def same(got, want, **tolerance):
    want = np.asarray(want)
    got = np.asarray(got)
    assert got.shape == want.shape
    narrow = {"f": np.float32, "i": np.int32, "u": np.uint32, "b": np.bool_}[want.dtype.kind]
    assert got.dtype == narrow or got.dtype == np.float16
    np.testing.assert_allclose(got, want, **({"rtol": 2e-5, "atol": 1e-6} | tolerance))


@pytest.mark.parametrize("name", SAME_NAME)
def test_function_is_numpys(name):
    function = getattr(jnp, name)
    for operands in SAME_NAME[name]:
        want = getattr(np, name)(*operands)
        same(function(*operands), want)
        arrays = [i for i, x in enumerate(operands) if isinstance(x, np.ndarray)]

        def traced(*given, operands=operands, arrays=arrays):
            full = list(operands)
            for i, x in zip(arrays, given, strict=True):
                full[i] = x
            return function(*full)

        same(jit(traced)(*[operands[i] for i in arrays]), want)


CUBE = floats(2, 3, 4)
CALLS = {
    # (ours, numpy's) on an operand
    "sum axis": lambda m: m.sum(CUBE, axis=1),
    "sum axes keepdims": lambda m: m.sum(CUBE, axis=(0, -1), keepdims=True),
    "mean axis": lambda m: m.mean(CUBE, axis=-1, keepdims=True),
    "var ddof": lambda m: m.var(CUBE, axis=(0, 2), ddof=1),
    "std axis": lambda m: m.std(CUBE, axis=1, keepdims=True),
    "max axis": lambda m: m.max(CUBE, axis=(0, 1)),
    "min axis": lambda m: m.min(CUBE, axis=-2, keepdims=True),
    "prod axis": lambda m: m.prod(CUBE, axis=1),
    "prod odd": lambda m: m.prod(floats(7, 2, seed=3), axis=0, keepdims=True),
    "all axis": lambda m: m.all(CUBE > 0, axis=2),
    "any axis": lambda m: m.any(CUBE > 1.5, axis=(0, 1)),
    "argmax axis": lambda m: m.argmax(CUBE, axis=1),
    "argmax keepdims": lambda m: m.argmax(CUBE, axis=-1, keepdims=True),
    "argmax flat keepdims": lambda m: m.argmax(CUBE, keepdims=True),
    "argmin axis": lambda m: m.argmin(CUBE, axis=0),
    "cumsum axis": lambda m: m.cumsum(floats(3, 11), axis=1),
    "reshape": lambda m: m.reshape(CUBE, (4, -1)),
    "reshape to int": lambda m: m.reshape(CUBE, 24),
    "transpose": lambda m: m.transpose(CUBE, (2, 0, -2)),
    "swapaxes": lambda m: m.swapaxes(CUBE, 0, -1),
    "moveaxis": lambda m: m.moveaxis(CUBE, 0, -1),
    "moveaxis many": lambda m: m.moveaxis(floats(2, 3, 4, 5), (0, -1), (2, 0)),
    "expand_dims": lambda m: m.expand_dims(CUBE, (0, -1)),
    "squeeze axis": lambda m: m.squeeze(floats(1, 3, 1), axis=-1),
    "broadcast_to": lambda m: m.broadcast_to(floats(3, 1), (2, 3, 4)),
    "broadcast scalar": lambda m: m.broadcast_to(1.5, (2, 2)),
    "flip axis": lambda m: m.flip(CUBE, axis=(0, 2)),
    "concatenate": lambda m: m.concatenate([CUBE, CUBE[:1], CUBE[:0]], axis=0),
    "concatenate last": lambda m: m.concatenate((CUBE, CUBE), axis=-1),
    "stack": lambda m: m.stack([A, B], axis=1),
    "stack last": lambda m: m.stack([A, B], axis=-1),
    "split": lambda m: m.split(CUBE, 3, axis=1)[2],
    "split at": lambda m: m.split(CUBE, [1, 3], axis=-1)[1],
    "split last": lambda m: m.split(CUBE, [1, -1], axis=-1)[2],
    "tile": lambda m: m.tile(A, (2, 1, 3)),
    "tile int": lambda m: m.tile(A, 2),
    "repeat": lambda m: m.repeat(A, 2, axis=1),
    "repeat flat": lambda m: m.repeat(A, 3),
    "roll": lambda m: m.roll(A, 1, axis=1),
    "roll back": lambda m: m.roll(A, -5, axis=0),
    "roll flat": lambda m: m.roll(A, 2),
    "roll axes": lambda m: m.roll(A, (1, 2), axis=(0, 1)),
    "pad": lambda m: m.pad(A, 1),
    "pad pair": lambda m: m.pad(A, (1, 2), constant_values=3.0),
    "pad pairs": lambda m: m.pad(A, ((0, 1), (2, 0))),
    "tril k": lambda m: m.tril(A, 1),
    "triu k": lambda m: m.triu(A, k=-1),
    "take": lambda m: m.take(A, np.int32([2, 0, -1]), axis=0),
    "take axis": lambda m: m.take(CUBE, np.int32([[1, 0], [2, 2]]), axis=1),
    "take flat": lambda m: m.take(A, np.int32([11, 0, -2])),
    "take_along_axis": lambda m: m.take_along_axis(A, np.int32([[0, 1], [2, -1], [3, 3]]), axis=1),
    "take_along_axis repeats": lambda m: m.take_along_axis(A, np.int32([[0], [2], [3]]), axis=-1),
    "tensordot": lambda m: m.tensordot(CUBE, floats(3, 4, 5), axes=2),
    "tensordot lists": lambda m: m.tensordot(CUBE, floats(4, 5, 2), axes=((0, 2), (2, 0))),
    "arange": lambda m: m.arange(2, 11, 3),
    "arange down": lambda m: m.arange(5, 0, -2),
    "arange float": lambda m: m.arange(0.0, 1.0, 0.125),
    "arange empty": lambda m: m.arange(0),
    "arange dtype": lambda m: m.arange(4, dtype=np.float32),
    "linspace": lambda m: m.linspace(-1.0, 3.0, 9),
    "linspace open": lambda m: m.linspace(0, 1, 4, endpoint=False),
    "eye": lambda m: m.eye(3, 4, k=1, dtype=np.float32),
    "zeros": lambda m: m.zeros((2, 0), np.int32),
    "ones": lambda m: m.ones(3, np.float32),
    "full": lambda m: m.full((2, 2), 7, np.int32),
    "full infinite": lambda m: m.full((2,), -np.inf, np.float32),
    "full_like": lambda m: m.full_like(A, 2),
    "array": lambda m: m.array([[1, 2], [3, 4]]),
    "array of floats": lambda m: m.array([1.5, 2]),
    "array of bools": lambda m: m.array([True, False]),
    "where infinite": lambda m: m.where(A > 0, A, -np.inf),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    call = CALLS[name]
    same(call(jnp), call(np))
    same(jit(lambda: call(jnp))(), call(np))


SPECS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 5)),
    ("ij,kj->ki", (2, 3), (4, 3)),
    ("i,j->ij", (2,), (3,)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ij->i", (2, 3)),
    ("ba", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("ij,k->k", (2, 3), (4,)),
    ("...ij,...jk->...ik", (5, 1, 2, 3), (4, 3, 2)),
    ("...i->...", (2, 3, 4)),
    ("i...,i...->...", (2, 3), (2, 3)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,ik->i", (2, 3), (3, 4), (2, 4)),
    ("bskgd,btkd->bkgst", (2, 3, 2, 2, 4), (2, 5, 2, 4)),
    ("i,i,i->", (3,), (3,), (3,)),
    ("ij,jk->ik", (2, 0), (0, 3)),
    ("b i d, b j d -> b i j", (2, 3, 4), (2, 5, 4)),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: s[0])
def test_einsum(spec):
    text, *shapes = spec
    xs = [floats(*shape, seed=i) for i, shape in enumerate(shapes)]
    same(jnp.einsum(text, *xs), np.einsum(text, *xs))
    whole = [ints(*shape) for shape in shapes]
    same(jnp.einsum(text, *whole), np.einsum(text, *whole))


GRADIENTS = {
    "exp": (jnp.exp, A),
    "log": (jnp.log, POSITIVE),
    "sqrt": (jnp.sqrt, POSITIVE),
    "tanh": (jnp.tanh, A),
    "sin": (jnp.sin, A),
    "cos": (jnp.cos, A),
    "abs": (jnp.abs, A),
    "log1p": (jnp.log1p, floats(20, low=-0.6)),
    "expm1": (jnp.expm1, A),
    "cube": (lambda x: x**3, A),
    "inverse square": (lambda x: x**-2, POSITIVE),
    "power": (lambda x: x**1.5, POSITIVE),
    "power of both": (lambda x: x**x, POSITIVE),
    "divide": (lambda x: 1.0 / (x + 3) + x / 2, A),
    "mod": (lambda x: x % 0.7, A),
    "maximum": (lambda x: jnp.maximum(x, 0.3), A),
    "clip": (lambda x: jnp.clip(x, -1, 1), A),
    "where": (lambda x: jnp.where(x > 0, x * x, -x), A),
    "mean": (lambda x: jnp.mean(x, 1), A),
    "var": (lambda x: jnp.var(x, 0, ddof=1), A),
    "std": (lambda x: jnp.std(x, 1), A),
    "max": (lambda x: jnp.max(x, 1), A),
    "min": (lambda x: jnp.min(x, (0, 1)), A),
    "prod": (lambda x: jnp.prod(x, 1), A),
    "cumsum": (lambda x: jnp.cumsum(x, 1), A),
    "matmul": (lambda x: x @ x.T, A),
    "batched matmul": (lambda x: x[:, None] @ x.reshape(4, 3), A),
    "einsum": (lambda x: jnp.einsum("ij,kj,kl->il", x, x * 2, x), A),
    "diagonal": (lambda x: jnp.einsum("ii->i", x[:, :3]), A),
    "sum out": (lambda x: jnp.einsum("ij,k->k", x, x[0]), A),
    "tensordot": (lambda x: jnp.tensordot(x, x, 2), A),
    "outer": (lambda x: jnp.outer(x, x[0]), A),
    "reshape": (lambda x: jnp.reshape(x, (2, 6)) ** 2, A),
    "concatenate": (lambda x: jnp.concatenate([x, x * x], 1), A),
    "stack": (lambda x: jnp.stack([x, x * x], 1), A),
    "split": (lambda x: jnp.split(x, 2, 1)[1] ** 2, A),
    "tile": (lambda x: jnp.tile(x, (2, 2)) ** 2, A),
    "repeat": (lambda x: jnp.repeat(x, 2, 0) ** 2, A),
    "roll": (lambda x: jnp.roll(x, 1, 1) * x, A),
    "flip": (lambda x: jnp.flip(x, 1) * x, A),
    "pad": (lambda x: jnp.pad(x, 1) ** 2, A),
    "tril": (lambda x: jnp.tril(x) ** 2, A),
    "moveaxis": (lambda x: jnp.moveaxis(x, 0, 1) ** 2, A),
    "broadcast_to": (lambda x: jnp.broadcast_to(x[:, None], (3, 2, 4)) ** 2, A),
    "take": (lambda x: jnp.take(x, np.int32([0, 0, 2]), 0) ** 2, A),
    "take_along_axis": (
        lambda x: jnp.take_along_axis(x, np.int32([[0, 0], [1, -1], [3, 2]]), 1) ** 2,
        A,
    ),
    "astype": (lambda x: (x * 3).astype(jnp.float32) * x, A),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    check_gradient(*GRADIENTS[name])


def test_shapes_are_python_ints():
    assert (jnp.shape(A), jnp.ndim(A), jnp.size(A)) == ((3, 4), 2, 12)
    assert (jnp.shape(1.5), jnp.ndim(1.5), jnp.size(1.5)) == ((), 0, 1)


def test_round_to_nothing_is_exact():
    whole = np.float32(2.0) ** np.arange(0, 24, dtype=np.float32)
    halves = np.concatenate([whole + 0.5, whole - 0.5, -whole - 0.5])
    same(jnp.round(halves), np.round(halves), rtol=0, atol=0)


def test_scalars_adopt_the_dtype_of_arrays():
    assert (jnp.ones(2, jnp.float16) * 2.5).dtype == np.float16
    assert (jnp.ones(2, jnp.int32) + 2).dtype == np.int32
    assert (jnp.ones(2, jnp.int32) * 2.5).dtype == np.float32
    same(jnp.ones(2, jnp.uint32) + (-2), np.full(2, 2**32 - 1, np.uint32))
    assert (2 ** jnp.ones(2)).dtype == np.float32
    assert jnp.add(1, 2).dtype == np.int32 and jnp.add(1, 2.0).dtype == np.float32


def test_numpy_on_the_left_gives_our_arrays():
    for got in (A + jnp.asarray(B), A - jnp.asarray(B), A @ jnp.asarray(B).T, A ** jnp.asarray(B)):
        assert type(got).__name__ == "Array"
    same(A - jnp.asarray(B), A - B)


def test_what_32_bits_cannot_hold_is_refused():
    with pytest.raises(OverflowError, match=r"integer 1099511627776.*32 bits"):
        jnp.ones(2, jnp.int32) + 2**40


ERRORS = {
    "shapes": (
        lambda: jnp.ones(3) + jnp.ones(4),
        TypeError,
        r"incompatible shapes.*\(3,\), \(4,\)",
    ),
    "matmul": (
        lambda: jnp.ones((2, 4)) @ jnp.ones((5, 3)),
        TypeError,
        r"dot_general requires contracting dimensions .* got \(4,\) and \(5,\)",
    ),
    "reshape": (lambda: jnp.ones(3).reshape(2, 2), TypeError, r"cannot reshape.*\(3,\).*\(2, 2\)"),
    "axis": (lambda: jnp.sum(jnp.ones(3), axis=1), ValueError, r"axis 1 is out of bounds"),
    "twice": (lambda: jnp.sum(jnp.ones((3, 3)), axis=(0, -2)), ValueError, r"duplicate"),
    "empty max": (lambda: jnp.max(jnp.ones((0, 2)), axis=0), ValueError, r"zero-size array"),
    "list": (lambda: jnp.sin([1.0]), TypeError, r"jnp.asarray"),
    "transpose": (
        lambda: jnp.transpose(jnp.ones((2, 2)), (0, 0)),
        TypeError,
        r"isn't a permutation of operand dimensions",
    ),
    "squeeze": (lambda: jnp.squeeze(jnp.ones((2, 1)), 0), ValueError, r"has size not equal to one"),
    "broadcast": (
        lambda: jnp.broadcast_to(jnp.ones(3), (2,)),
        ValueError,
        r"Incompatible types for broad",
    ),
    "concatenate": (lambda: jnp.concatenate([]), ValueError, r"at least one array"),
    "joined": (
        lambda: jnp.concatenate([jnp.ones((2, 2)), jnp.ones(3)]),
        TypeError,
        r"different numbers of dim",
    ),
    "split": (lambda: jnp.split(jnp.ones(5), 2), ValueError, r"not result in an equal division"),
    "pad": (lambda: jnp.pad(jnp.ones(5), -1), ValueError, r"negative"),
    "pad mode": (lambda: jnp.pad(jnp.ones(5), 1, mode="mean"), ValueError, r"'mean'"),
    "spec": (lambda: jnp.einsum("ij->ij", jnp.ones(3)), ValueError, r"ranks"),
    "spec twice": (lambda: jnp.einsum("i->ii", jnp.ones(3)), ValueError, r"result axis"),
    "spec sizes": (
        lambda: jnp.einsum("i,i->", jnp.ones(3), jnp.ones(4)),
        ValueError,
        "Size of label 'i'",
    ),
    "shape": (lambda: jnp.zeros((2, -1)), ValueError, r"negative"),
    "dtype": (lambda: jnp.zeros(2, np.complex64), TypeError, r"not supported"),
    "take": (lambda: jnp.take(jnp.ones(3), jnp.ones(2)), TypeError, r"integer indices"),
    "tril": (lambda: jnp.tril(jnp.ones(3)), ValueError, r"must be at least 2D"),
    "bools": (
        lambda: jnp.ones(2, jnp.bool_) - jnp.ones(2, jnp.bool_),
        TypeError,
        "sub does not accept dtype bool",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause_and_the_line(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message) as caught:
        wrong()
    if name != "dtype":
        assert "test_numpy.py:" in str(caught.value)


def test_every_public_name_is_documented_or_plain():
    assert set(jnp.__all__) >= {"einsum", "arange", "float32", "where", "pi"}
    assert not {"annotations", "math", "Any"} & set(jnp.__all__)
    assert all(getattr(jnp, name) is not None for name in jnp.__all__ if name != "newaxis")
