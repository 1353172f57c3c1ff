"""Reductions with all of their options, and array methods, against numpy."""

import copy
import pickle
import warnings

import numpy as np
import pytest

from tracer import jit
from tracer import numpy as jnp

from .arrays import check_gradient, floats, ints, same

pytestmark = pytest.mark.usefixtures("oracle")

CUBE, A = floats(2, 3, 4), floats(3, 4)
MASK = ints(2, 3, 4) > 0
ROWS = np.array([True, False, True, True])
COUNTS = ints(3, 4)
HOLED = np.where(floats(3, 4, seed=9) > 1, np.nan, A).astype(np.float32)
HALF = np.full((300,), 300, np.float16)

CALLS = {
    **{
        f"{name} {label}": lambda m, f=name, k=options: getattr(m, f)(CUBE, **k)
        for name in ("sum", "prod", "mean", "var", "std", "nansum", "nanprod", "nanmean", "nanvar")
        for label, options in {
            "where": {"where": MASK},
            "where broadcast": {"where": ROWS, "axis": (0, 2)},
            "where keepdims": {"where": MASK, "axis": 1, "keepdims": True},
            "no axes": {"axis": ()},
            "dtype": {"dtype": np.float16, "axis": -1},
        }.items()
        if (name, label) != ("nanvar", "no axes")
    },
    **{
        f"{name} {label}": lambda m, f=name, k=options: getattr(m, f)(CUBE, **k)
        for name in ("max", "min", "nanmax", "nanmin")
        for label, options in {
            "initial": {"initial": 0.5, "axis": 1},
            "where": {"where": MASK, "initial": -0.5, "axis": (0, -1)},
            "keepdims": {"where": ROWS, "initial": 9.0, "keepdims": True},
        }.items()
    },
    "sum initial": lambda m: m.sum(CUBE, axis=0, initial=2.5),
    "prod initial": lambda m: m.prod(COUNTS, axis=0, initial=3),
    "sum of bools": lambda m: m.sum(MASK, axis=1, where=ROWS),
    "sum as bool": lambda m: m.sum(COUNTS, axis=1, dtype=bool),
    "sum of counts as float": lambda m: m.sum(COUNTS, dtype=np.float32),
    "mean as int": lambda m: m.mean(np.arange(6, dtype=np.int32), dtype=np.int32),
    "mean of half": lambda m: m.mean(HALF),
    "mean of nothing": lambda m: m.mean(np.zeros((0, 2), np.float32), axis=0),
    "var too few": lambda m: m.var(A[:1], axis=0, ddof=1),
    "any where": lambda m: m.any(CUBE > 1, axis=2, where=ROWS),
    "all where": lambda m: m.all(CUBE > -1, axis=(0, 2), where=MASK, keepdims=True),
    "max of bools": lambda m: m.max(MASK, axis=1),
    "min of bools": lambda m: m.min(MASK),
    "max of nothing": lambda m: m.max(np.zeros((0, 3), np.float32), axis=0, initial=2.0),
    "argmax of nan": lambda m: m.argmax(HOLED, axis=1),
    "argmin of nan": lambda m: m.argmin(HOLED),
    "argmax of zeros": lambda m: m.argmax(np.float32([-0.0, 0.0])),
    "argmax of bools": lambda m: m.argmax(MASK, axis=1),
    "argmin of unsigned": lambda m: m.argmin(np.uint32([3, 2**31 + 1, 1])),
    "nanargmax": lambda m: m.nanargmax(HOLED, axis=0),
    "nanargmin": lambda m: m.nanargmin(HOLED, keepdims=True),
    "cumsum dtype": lambda m: m.cumsum(MASK, axis=1, dtype=np.float32),
    "cumsum of a scalar": lambda m: m.cumsum(np.float32(3)),
    "cumprod dtype": lambda m: m.cumprod(COUNTS, axis=0, dtype=np.float32),
    "nancumprod": lambda m: m.nancumprod(HOLED, axis=1),
    "cumulative_sum": lambda m: m.cumulative_sum(A, axis=1, include_initial=True),
    "cumulative_prod": lambda m: m.cumulative_prod(A[0]),
    "diff ends": lambda m: m.diff(A, prepend=1, append=A[:, :2]),
    "diff ends of an axis": lambda m: m.diff(A, 2, 0, A[:1], 0.0),
    "diff of order 0": lambda m: m.diff(A, 0),
    "ediff1d": lambda m: m.ediff1d(A, to_begin=np.float32([8, 9]), to_end=7),
    "gradient": lambda m: m.gradient(A),
    "gradient axis": lambda m: m.gradient(A, 0.5, axis=1),
    "gradient steps": lambda m: m.gradient(CUBE, 1.0, 2.0, axis=(0, -1)),
    "gradient places": lambda m: m.gradient(A, np.float32([0, 1, 3, 3.5]), axis=1),
    "average of an axis": lambda m: m.average(A, axis=0, weights=np.float32([1, 2, 3])),
    "average of axes": lambda m: m.average(CUBE, axis=(2, 0), weights=A[:2].T + 3),
    "average returned": lambda m: m.average(A, weights=A * A, returned=True, keepdims=True),
    "allclose nan": lambda m: m.allclose(HOLED, HOLED, equal_nan=True),
    "isclose nan": lambda m: m.isclose(HOLED, HOLED + 1, equal_nan=True),
    "array_equal nan": lambda m: m.array_equal(HOLED, HOLED, equal_nan=True),
    "array_equal lists": lambda m: m.array_equal([1, 2], [1, 2]),
    "array_equiv": lambda m: (m.array_equiv(A, A[None]), m.array_equiv(A, A[0, :3])),
    "size of axes": lambda m: m.size(CUBE, 1),
    "reshape by columns": lambda m: m.reshape(CUBE, (4, -1), order="F"),
    "ravel by columns": lambda m: m.ravel(CUBE, order="F"),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    call = CALLS[name]
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        want = call(np)
    loose = {"rtol": 2e-3, "atol": 2e-3} if "dtype" in name else {"rtol": 2e-5, "atol": 2e-6}
    same(call(jnp), want, **loose)
    same(jit(lambda: call(jnp))(), want, **loose)


def test_dtypes_of_results():
    for name in ("sum", "prod", "mean", "var", "max", "nansum", "cumsum"):
        assert getattr(jnp, name)(HALF).dtype == np.float16, name
    assert jnp.sum(MASK).dtype == np.int32 and jnp.max(MASK).dtype == np.bool_
    assert jnp.var(HALF) == 0, "computed in float32, where no square overflows"
    assert jnp.std(COUNTS).dtype == np.float32 and jnp.prod(COUNTS).dtype == np.int32


GRADIENTS = {
    "sum": lambda x: jnp.sum(x * x, axis=1, where=ROWS, initial=2.0),
    "prod": lambda x: jnp.prod(x, axis=0, where=ROWS),
    "mean": lambda x: jnp.mean(x * x, axis=1, where=ROWS),
    "var": lambda x: jnp.var(x, axis=1, where=ROWS, correction=1),
    "max": lambda x: jnp.max(x * x, axis=1, where=ROWS, initial=0.1),
    "nanmean": lambda x: jnp.nanmean(x * x, where=ROWS),
    "diff": lambda x: jnp.diff(x * x, 2, prepend=0.0, append=x),
    "gradient": lambda x: jnp.gradient(x * x, axis=0),
    "average": lambda x: jnp.average(x, weights=x * x + 1),
    "cumulative_prod": lambda x: jnp.cumulative_prod(x, axis=1, include_initial=True),
    "order": lambda x: jnp.reshape(x * x, (2, 6), order="F"),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradient(name):
    check_gradient(GRADIENTS[name], A)


ERRORS = {
    "mask of numbers": (
        lambda: jnp.sum(A, where=COUNTS),
        ValueError,
        "where must be None or a boo",
    ),
    "mask without initial": (
        lambda: jnp.max(CUBE, where=MASK),
        ValueError,
        "does not have an iden",
    ),
    "nothing": (lambda: jnp.max(A[:0]), ValueError, "zero-size array to reduction operation max"),
    "argmax of nothing": (
        lambda: jnp.argmax(A[:0]),
        ValueError,
        "attempt to get argmax of an empty",
    ),
    "axis": (lambda: jnp.sum(A, axis=2), ValueError, "axis 2 is out of bounds for array of dime"),
    "axes": (lambda: jnp.sum(A, axis=(0, 0)), ValueError, "duplicate value in 'axis'"),
    "out": (lambda: jnp.sum(A, out=A), TypeError, "'out' argument to jnp.sum"),
    "both": (lambda: jnp.var(A, ddof=1, correction=1), ValueError, "can't be provided simultan"),
    "order": (lambda: jnp.diff(A, -1), ValueError, "order must be non-negative but got -1"),
    "scalar": (lambda: jnp.diff(1.0), ValueError, "at least one dimensional"),
    "cumulative": (lambda: jnp.cumulative_sum(A), ValueError, "has rank 2, however axis was not"),
    "weights": (
        lambda: jnp.average(A, axis=0, weights=A[0]),
        ValueError,
        "consistent with shape of a along",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause_and_the_line(name):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind) as info:
        call()
    assert words in str(info.value) and "test_numpy_reductions.py:" in str(info.value)


# --- methods --------------------------------------------------------------------------------------

METHODS = {
    "sum": lambda x: x.sum(0, None, None, True, 2.0),
    "mean": lambda x: x.mean(axis=1, keepdims=True),
    "var": lambda x: x.var(axis=1, ddof=1),
    "argsort": lambda x: x.argsort(axis=0),
    "sort": lambda x: np.sort(x, 1) if isinstance(x, np.ndarray) else x.sort(1),
    "cumprod": lambda x: x.cumprod(1),
    "diagonal": lambda x: x.diagonal(1),
    "trace": lambda x: x.trace(offset=-1),
    "nonzero": lambda x: x.nonzero(),
    "round": lambda x: x.round(1),
    "searchsorted": lambda x: np.sort(x[0]).searchsorted(x[1], side="right"),
    "flatten": lambda x: x.flatten("F"),
    "reshape": lambda x: x.reshape(2, -1, order="F"),
    "transpose": lambda x: x.transpose(1, 0),
    "clip": lambda x: x.clip(max=1),
    "repeat": lambda x: x.repeat(2, axis=1),
    "divmod": lambda x: divmod(x, 0.75),
    "divmod of a number": lambda x: divmod(2.0, x),
    "divmod with numpy": lambda x: divmod(A, x),
    "shifts": lambda x: [2 << COUNTS.astype(bool) * 1, x.astype(np.int32) >> 1],
    "shift of numpy": lambda x: COUNTS >> abs(x.astype(np.int32)),
    "item": lambda x: [x.item(3), x.item(1, 2)],
    "contains": lambda x: [float(x[0, 1]) in x, 77.0 in x],
    "reversed": lambda x: list(reversed(x)),
    "bytes": lambda x: np.frombuffer(x.tobytes(), np.float32),
    "dlpack": lambda x: np.from_dlpack(x),
    "complex": lambda x: complex(x[0, 0]).real,
    "equal to a word": lambda x: (x[0] == None) is False or not np.any(x[0] == None),  # noqa: E711
}


@pytest.mark.parametrize("name", METHODS)
def test_method_is_numpys(name):
    call = METHODS[name]
    same(call(jnp.asarray(A)), call(A), rtol=2e-5, atol=2e-6)


def test_view_and_round():
    x = jnp.asarray(A)
    assert (x.view(jnp.int32).view(jnp.float32) == x).all() and x.view() is x
    assert round(x[0, 0]).dtype == np.int32 and round(x, 1).dtype == np.float32
    assert x.real is x and x.conj() is x


def test_copies_are_equal_and_keys_are_refused():
    x = jnp.asarray(A)
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        np.testing.assert_array_equal(np.asarray(other), A)
    with pytest.raises(TypeError, match="unhashable"):
        hash(x)
    with pytest.raises(TypeError, match="immutable"):
        x[0] = 1
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = x + [1, 2, 3, 4]  # noqa: RUF005
    with pytest.raises(TypeError, match="unsupported operand"):
        None * x
    assert (x == "a") is False and (x != None) is True  # noqa: E711
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        list(x[0, 0])
    with pytest.raises(ValueError, match="array of size 1"):
        x.item()


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda x: bool(x), ValueError, "more than one element is ambiguous"),
        (lambda x: float(x), TypeError, "Only scalar arrays can be converted"),
        (lambda x: [1, 2][x], TypeError, "Only integer scalar arrays"),
        (lambda x: x.block_until_ready(), AttributeError, "not available on traced array"),
        (lambda x: x.nosuch, AttributeError, "nosuch"),
        (lambda x: pickle.dumps(x), TypeError, "pickling of a traced array"),
        (lambda x: x.item(0), TypeError, "traced array with shape float32"),
    ],
)
def test_what_a_traced_array_refuses(use, kind, words):
    with pytest.raises(kind, match=words):
        jit(use)(A)


def test_a_traced_array_copies_to_itself():
    np.testing.assert_array_equal(
        np.asarray(jit(lambda x: copy.deepcopy(x) + copy.copy(x))(A)), A + A
    )
