"""Arrays in the hand: conversion, printing, life; and what a traced one refuses."""

import copy
import pickle

import numpy as np
import pytest

from tracer import Array, errors, grad, jit
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


def test_text_is_jaxs():
    assert repr(jnp.array([1.0, 2.0])) == "Array([1., 2.], dtype=float32)"
    assert repr(jnp.array([[1, 2], [3, 4]])) == "Array([[1, 2],\n       [3, 4]], dtype=int32)"
    assert repr(jnp.array(3)) == "Array(3, dtype=int32, weak_type=True)"
    assert repr(jnp.array([3])) == "Array([3], dtype=int32)"
    assert repr(jnp.zeros((0, 2))) == "Array([], shape=(0, 2), dtype=float32)"
    assert str(jnp.array([True])) == "[ True]"
    assert f"{jnp.array(1.23456):.2f} {jnp.ones(2)}" == "1.23 [1. 1.]"


def test_conversions():
    x = jnp.array([[1.5, -2.0]])
    assert x.tolist() == [[1.5, -2.0]] and x[0, 0].item() == 1.5
    assert float(x[0, 1]) == -2.0 and int(jnp.array(7)) == 7 and bool(jnp.array(True))
    assert [10, 20, 30][jnp.array(1)] == 20
    assert np.asarray(x, np.float64).dtype == np.float64
    assert np.exp(x).shape == (1, 2)
    assert [row.shape for row in x] == [(2,)] and len(x) == 1
    assert (x.shape, x.ndim, x.size, x.dtype, x.nbytes) == ((1, 2), 2, 2, np.float32, 8)
    assert str(x.aval) == "f32[1, 2]" and x.T.shape == (2, 1) and x.mT.shape == (2, 1)


def test_methods_are_the_functions():
    x = jnp.array([[3.0, -1.0], [0.5, 2.0]])
    host = np.asarray(x)
    for name in "sum mean var std max min prod argmax argmin cumsum ravel squeeze copy".split():
        got, want = getattr(x, name)(), getattr(host, name)()
        np.testing.assert_allclose(np.asarray(got), want, rtol=1e-6)
    assert x.reshape(4).shape == x.reshape((2, -1)).reshape(-1).shape == x.flatten().shape
    assert x.transpose(1, 0).shape == x.transpose().shape == x.swapaxes(0, 1).shape
    np.testing.assert_allclose(np.asarray(x.dot(x)), host @ host, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(x.clip(0, 1)), host.clip(0, 1))
    np.testing.assert_array_equal(np.asarray(x.take(np.int32([1]), 0)), host[[1]])
    np.testing.assert_array_equal(np.asarray(x.round()), host.round())
    np.testing.assert_array_equal(np.asarray(x.repeat(2, 1)), host.repeat(2, 1))
    assert bool((x > 2).any()) and not bool((x > 2).all())
    np.testing.assert_array_equal(np.asarray(-abs(x) // 1 % 2), -abs(host) // 1 % 2)
    np.testing.assert_array_equal(np.asarray(~(x > 0) | (x != x)), ~(host > 0))
    assert x.astype("int32").dtype == np.int32 and x.astype(jnp.float32) is x


def test_ambiguous_or_wrong_conversions_name_the_cause():
    x = jnp.ones(2)
    with pytest.raises(ValueError, match=r"more than one element is ambiguous"):
        bool(x)
    with pytest.raises(TypeError, match=r"Only scalar arrays.*got arr.ndim=1"):
        float(x)
    with pytest.raises(TypeError, match=r"integer scalar arrays"):
        [1, 2][jnp.array(1.0)]
    with pytest.raises(TypeError, match=r"unsized"):
        len(jnp.array(1.0))
    with pytest.raises(TypeError, match=r"unhashable"):
        hash(x)


def test_an_array_does_not_follow_its_source():
    host = np.ones(2, np.float32)
    x = jnp.array(host)
    y = jnp.asarray(host)
    host[:] = 5
    assert x.tolist() == y.tolist() == [1, 1]
    with pytest.raises(ValueError, match="read-only"):
        np.asarray(x)[0] = 3
    changed = np.array(x)
    changed[0] = 3
    assert x.tolist() == [1, 1]


def test_copies_and_pickles():
    x = jnp.array([1, 2])
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.copy()):
        assert twin is not x and isinstance(twin, Array) and twin.tolist() == [1, 2]
        assert twin.dtype == np.int32


def test_64_bit_types_narrow():
    assert jnp.asarray(np.arange(3)).dtype == np.int32
    assert jnp.asarray(np.ones(3)).dtype == np.float32
    assert jnp.asarray([1, 2.5]).dtype == np.float32 and jnp.asarray(True).dtype == np.bool_


def test_reading_back_early_is_the_same():
    x = jnp.ones(3) * 2
    x.copy_to_host_async()
    assert x.block_until_ready() is x and x.tolist() == [2, 2, 2]


# --- traced -----------------------------------------------------------------------------------


def caught(function, *args):
    with pytest.raises(Exception) as info:
        jit(function)(*args)
    assert "test_tracer_array.py:" in str(info.value), "the user's line is missing"
    return info.value


def test_a_condition_on_a_traced_array():
    def branch(x):
        if x > 0:
            return x
        return -x

    error = caught(branch, 1.0)
    assert isinstance(error, errors.TracerBoolConversionError)
    assert "Attempted boolean conversion of traced array with shape bool[]" in str(error)
    assert "if x > 0:" in str(error) and "jnp.where" in str(error)


@pytest.mark.parametrize(
    ("convert", "kind"),
    [
        (float, errors.ConcretizationTypeError),
        (int, errors.ConcretizationTypeError),
        (lambda x: x.item(), errors.ConcretizationTypeError),
        (lambda x: x.tolist(), errors.ConcretizationTypeError),
        (lambda x: [1, 2][x.astype("int32")], errors.TracerIntegerConversionError),
        (np.asarray, errors.TracerArrayConversionError),
        (np.exp, errors.TracerArrayConversionError),
        (lambda x: jnp.zeros(x.astype("int32")), TypeError),
        (lambda x: jnp.arange(x), errors.ConcretizationTypeError),
    ],
)
def test_a_value_asked_of_a_traced_array(convert, kind):
    assert isinstance(caught(lambda x: convert(x), 1.0), kind)


def test_leaked_tracers():
    kept = []

    def leaky(x):
        kept.append(x * 2)
        return x

    jit(leaky)(1.0)
    with pytest.raises(
        errors.UnexpectedTracerError,
        match=r"(?s)float32\[\].*leaky at.*for jit.*x \* 2.*kept\[0\] \+ 1",
    ):
        kept[0] + 1
    assert isinstance(caught(lambda x: x + kept[0], 1.0), errors.UnexpectedTracerError)
    assert isinstance(caught(lambda x: kept[0], 1.0), errors.UnexpectedTracerError)
    with pytest.raises(errors.UnexpectedTracerError):
        jit(lambda x: x)(kept[0])
    with pytest.raises(errors.UnexpectedTracerError):
        grad(lambda x: x * kept[0])(1.0)


def test_an_inner_tracer_does_not_survive_its_gradient():
    kept = []

    def f(x):
        def inner(y):
            kept.append(y * 3)
            return y * y

        return grad(inner)(x) + kept[0]

    assert isinstance(caught(f, 1.0), errors.UnexpectedTracerError)


def test_the_trace_is_closed_after_an_error():
    def bad(x):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        grad(lambda x: jit(bad)(x))(1.0)
    assert float(jnp.array(1.0) + 1) == 2.0


def test_a_traced_array_prints_its_type():
    seen = []
    jit(lambda x: seen.append(repr(x)) or x)(jnp.ones((2, 3)))
    assert seen == ["Traced<float32[2,3]>"]


def test_iteration_and_truth_of_static_facts_while_tracing():
    def f(x):
        assert len(x) == 2 and x.ndim == 2 and x.shape[1] == 3
        first, second = x
        return first + sum(second)

    np.testing.assert_allclose(np.asarray(jit(f)(np.ones((2, 3), np.float32))), [4, 4, 4])
