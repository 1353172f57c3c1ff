"""Building: capture of outer values, leaks, inlining, dtypes, and the operator sugar."""

from __future__ import annotations

import copy
import pickle
import threading

import numpy as np
import pytest

import ir
from ir import PRIMITIVES, Aval, bool_, check, emit, evaluate, f16, f32, i32, u32
from ir.build import Builder, LeakedTracerError, building, current, inline
from ir.dtypes import DTYPES, highest, lowest
from ir.prim import Primitive, register

from .oracle.random_graphs import op

SCALAR = Aval((), f32)


def test_an_inner_graph_captures_outer_values_as_leading_inputs():
    inner = None

    def outer(x, y):
        nonlocal inner
        inner = ir.build(lambda z: z * x + y * x, Aval((), f32))
        return inline(inner, [x, y, op("sin", x)])[0]

    graph = check(ir.build(outer, SCALAR, SCALAR))
    assert len(inner.ins) == 3
    assert check(inner) is inner
    assert len(graph.ins) == 2
    np.testing.assert_allclose(evaluate(graph, 0.5, 3.0)[0], np.sin(0.5) * 0.5 + 1.5, rtol=1e-6)


def test_capture_reaches_through_two_levels():
    def outer(x):
        def middle(y):
            return inline(ir.build(lambda z: z + x, SCALAR), [x, y])[0]

        with building() as builder:
            y = builder.input(SCALAR)
            captured = middle(y)
            graph = builder.close((captured,))
        return inline(graph, [x, x * 2])[0]

    assert evaluate(check(ir.build(outer, SCALAR)), 3.0) == [9.0]


def test_a_value_kept_after_its_function_returned_is_a_leak():
    kept = []
    ir.build(lambda x: kept.append(x) or x, SCALAR)
    with pytest.raises(LeakedTracerError, match=r"type f32\[\] was used after the function"):
        ir.build(lambda x: x + kept[0], SCALAR)


def test_a_leak_through_a_result():
    kept = []
    ir.build(lambda x: kept.append(x) or x, SCALAR)
    with pytest.raises(LeakedTracerError, match="return it from that function"):
        ir.build(lambda: kept[0])


def test_emitting_with_no_graph_open_is_told():
    assert current() is None
    with pytest.raises(RuntimeError, match="`sin` was emitted with no graph open"):
        op("sin", ir.lit(1, f32))


def test_a_failed_build_leaves_no_graph_open():
    def broken(x):
        raise KeyError("user code")

    with pytest.raises(KeyError):
        ir.build(broken, SCALAR)
    assert current() is None


def test_threads_build_apart():
    seen = []

    def work():
        seen.append(current())
        seen.append(len(ir.build(lambda x: x + 1, SCALAR).eqns))

    with building():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [None, 1]


def test_operators_mean_the_primitives():
    def fun(x, y):
        return x + y, 1 + x, x - y, 1 - x, x * y, 2 * x, x / y, 1 / x, -x

    x, y = np.float32(3.0), np.float32(4.0)
    got = evaluate(ir.build(fun, SCALAR, SCALAR), x, y)
    want = [x + y, 1 + x, x - y, 1 - x, x * y, 2 * x, x / y, 1 / x, -x]
    np.testing.assert_allclose(got, want)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_literals_have_their_type(dtype):
    literal = ir.lit(1, dtype, (2,))
    assert literal.aval == Aval((2,), dtype)
    kind = float if dtype.is_float else int if dtype.is_integer else bool
    assert type(literal.value) is kind
    (value,) = evaluate(ir.Graph((), (), (literal,)))
    assert value.dtype == dtype.np
    assert (value == 1).all()


def test_inline_keeps_the_lines_unless_told_otherwise():
    inner = ir.build(lambda x: emit(PRIMITIVES["sin"], x), SCALAR)

    def fun(x):
        return inline(inner, [x])[0], inline(inner, [x], attribute=False)[0]

    first, second = ir.build(fun, SCALAR).eqns
    assert first.src == inner.eqns[0].src
    assert second.src.line == first.src.line + 3


def test_dtypes_are_singletons_under_copy_and_pickle():
    for dtype in DTYPES.values():
        assert copy.deepcopy(dtype) is dtype
        assert pickle.loads(pickle.dumps(dtype)) is dtype
    assert ir.dtype("float32") is ir.dtype(np.float64) is ir.dtype(f32) is ir.dtype("f32") is f32
    assert ir.dtype(np.int64) is ir.dtype(int) is i32
    assert (ir.dtype(bool), ir.dtype("u32"), ir.dtype(np.float16)) == (bool_, u32, f16)


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_bounds_are_finite_and_of_the_type(dtype):
    low, high = (np.array(f(dtype), dtype.np) for f in (lowest, highest))
    assert np.isfinite(low)
    assert np.isfinite(high)
    assert low <= high
    assert (low.item(), high.item()) == (lowest(dtype), highest(dtype))


def test_avals_know_their_size():
    a = Aval((2, 3), f16)
    assert (a.size, a.ndim, a.nbytes, str(a)) == (6, 2, 12, "f16[2, 3]")
    assert Aval((), bool_).nbytes == 4
    assert Aval((0, 5), f32).size == 0


def test_users_lists_readers_once_an_operand():
    graph = ir.build(lambda x: op("sin", x * x), SCALAR)
    readers = graph.users()[graph.ins[0]]
    assert readers == [graph.eqns[0]] * 2


def test_the_registry_refuses_a_second_primitive_of_a_name():
    class again(Primitive):
        name, kind = "sin", "elementwise"

    class kindless(Primitive):
        name = "kindless"

    for cls in (again, kindless):
        with pytest.raises(TypeError, match="unique name and a kind"):
            register(cls)
    assert "kindless" not in PRIMITIVES
    assert type(PRIMITIVES["sin"]) is not again


def test_a_builder_can_be_reopened():
    builder = Builder()
    with building(builder):
        x = builder.input(SCALAR, "x")
    with building(builder):
        y = emit(PRIMITIVES["sin"], x)
    assert evaluate(builder.close((y,)), 0.0) == [0.0]
    assert x.hint == "x"
