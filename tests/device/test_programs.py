"""Whole graphs on the adapter: random ones, what compiles to nothing, donation, and repetition."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ir
import runtime
from codegen.compile import compile_graph
from codegen.legalize import legalize
from codegen.profile import LAVAPIPE, WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, bool_, emit, evaluate, f16, f32, i32, u32
from ir.passes.grad import vjp_graph

from ..oracle.numeric import agree
from ..oracle.random_graphs import graphs
from .harness import execute, fetch, run

QUICK = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def normal(rng, aval: Aval) -> np.ndarray:
    return np.asarray(rng.standard_normal(aval.shape), aval.dtype.np)


def compare(graph, args, factor: float) -> None:
    got, want = run(graph, *args), evaluate(graph, *args)
    for aval, g, w in zip(graph.out_avals, got, want, strict=True):
        agree(g, w, aval, factor)


def compare_loosely(graph, args) -> None:
    """Random graphs cancel (1 - tanh^2) and have steps (floor, argmax): an absolute bound it is."""
    got, want = run(graph, *args), evaluate(graph, *args)
    for aval, g, w in zip(graph.out_avals, got, want, strict=True):
        assert (g.shape, g.dtype) == (aval.shape, aval.dtype.np)
        np.testing.assert_allclose(g.astype(float), w.astype(float), rtol=5e-4, atol=5e-5)


@QUICK
@given(graph=graphs(), seed=st.integers(0, 99))
def test_random_graphs(graph, seed):
    rng = np.random.default_rng(seed)
    compare_loosely(graph, [normal(rng, a) for a in graph.in_avals])


@QUICK
@given(graph=graphs(most=6), seed=st.integers(0, 99))
def test_random_backward_graphs(graph, seed):
    rng = np.random.default_rng(seed)
    backward = vjp_graph(graph, range(len(graph.ins)))
    compare_loosely(backward, [normal(rng, a) for a in backward.in_avals])


@pytest.mark.parametrize("dtype", [f32, f16, i32, u32, bool_], ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (5,), (2, 3)])
def test_inputs_returned_as_they_came_and_constants(dtype, shape):
    def fun(x):
        return x, x, ir.lit(1, dtype, shape), op("reshape", x, shape=(1, *shape))

    x = np.arange(int(np.prod(shape))).reshape(shape).astype(dtype.np)
    compare(ir.build(fun, Aval(shape, dtype)), [x], 1.0)


def test_a_graph_of_constants_alone():
    def fun():
        return ir.lit(2.5, f32, (3,)), op("iota", shape=(2, 3), dtype=i32, axis=1), ir.lit(7, u32)

    compare(ir.build(fun), [], 1.0)


def test_a_graph_without_results():
    assert run(ir.build(lambda x: (), Aval((3,), f32)), np.ones(3, np.float32)) == []


def test_inputs_that_nothing_reads():
    graph = ir.build(lambda x, y, z: y + 1, *(Aval((n,), f32) for n in (3, 4, 0)))
    args = [np.ones(n, np.float32) for n in (3, 4, 0)]
    compare(graph, args, 1.0)


def test_one_argument_given_twice():
    x = np.arange(4, dtype=np.float32)
    compare(ir.build(lambda a, b: (a + b, a * b), Aval((4,), f32), Aval((4,), f32)), [x, x], 1.0)


def test_runs_repeat_and_follow_their_inputs():
    graph = ir.build(lambda x: (op("sum", x * x, axes=(1,)), op("softmax", x)), Aval((3, 5), f32))
    device = runtime.default_device()
    executable = runtime.Executable(device, compile_graph(graph, device.profile))
    rng = np.random.default_rng(0)
    for _ in range(4):
        x = normal(rng, graph.ins[0].aval)
        got = fetch(executable, graph, [x])
        for aval, g, w in zip(graph.out_avals, got, evaluate(graph, x), strict=True):
            agree(g, w, aval, 10.0)


DONATIONS = {
    "elementwise": lambda x, y: x + y,
    "read again": lambda x, y: (x * 2, op("sum", x, axes=(0, 1)), y),
    "transposed": lambda x, y: op("transpose", x, perm=(1, 0)) + y,
    "reversed": lambda x, y: op("rev", x, axes=(1,)) + y,
    "product": lambda x, y: op("dot", x, y, spec="ij,jk->ik"),
    "row": lambda x, y: op("softmax", x) * y,
    "updated": lambda x, y: op(
        "dynamic_update",
        x,
        op("slice", y, start=(0, 0), limit=(2, 2), stride=(1, 1)),
        ir.lit(1, i32),
        ir.lit(2, i32),
    ),
    "kept": lambda x, y: (x, y * 2),
    "other": lambda x, y: (y * 2, x + 1),
}


@pytest.mark.parametrize("form", DONATIONS)
def test_a_donated_result_is_right_and_lives_in_its_donor(form):
    graph = ir.build(DONATIONS[form], Aval((4, 4), f32), Aval((4, 4), f32))
    device = runtime.default_device()
    program = compile_graph(graph, device.profile, donate=((0, 0),), verify=True)
    assert program.out_slots[0] == program.in_slots[0]
    rng = np.random.default_rng(3)
    args = [normal(rng, a) for a in graph.in_avals]
    for aval, g, w in zip(
        graph.out_avals, execute(program, graph, args), evaluate(graph, *args), strict=True
    ):
        agree(g, w, aval, 10.0)


def test_two_donations_that_swap():
    graph = ir.build(lambda x, y: (y * 1.5, x + 1), Aval((6,), f32), Aval((6,), f32))
    device = runtime.default_device()
    program = compile_graph(graph, device.profile, donate=((0, 0), (1, 1)))
    x, y = np.arange(6, dtype=np.float32), np.full(6, 2, np.float32)
    got = execute(program, graph, [x, y])
    np.testing.assert_array_equal(got, [y * 1.5, x + 1])


def test_special_values_cross_the_device_unharmed():
    x = np.array([0.0, -0.0, 1e-30, 3.4e38, -3.4e38, np.inf, -np.inf, np.nan], np.float32)
    graph = ir.build(lambda x: (op("rev", x, axes=(0,)), op("isfinite", x)), Aval((8,), f32))
    back, finite = run(graph, x)
    np.testing.assert_array_equal(back, x[::-1])
    np.testing.assert_array_equal(finite, np.isfinite(x))


def test_integers_wrap_and_divide_by_zero_as_documented():
    x = np.array([2**31 - 1, -(2**31), -7, 7, 5], np.int32)
    y = np.array([1, -1, 2, -2, 0], np.int32)

    def fun(x, y):
        return x + y, x - y, x * y, op("div", x, y), op("rem", x, y), -x, op("abs", x)

    compare(ir.build(fun, Aval((5,), i32), Aval((5,), i32)), [x, y], 1.0)


@pytest.mark.parametrize("profile", [None, WEBGPU_DEFAULT], ids=["own", "webgpu-default"])
def test_sums_of_many_arrays_are_one_sum(profile):
    shapes = [(3,), (40, 33), (1,), (9, 9, 9), (5000,), (), (70_001,), (2, 4096)]
    rng = np.random.default_rng(7)
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]

    def fun(*xs):
        sums = [
            op("sum", op("mul", x, x), axes=tuple(range(len(s))))
            for x, s in zip(xs, shapes, strict=True)
        ]
        total = functools.reduce(lambda a, b: op("add", a, b), sums)
        return op("sqrt", op("add", total, xs[5])), sums[1]

    graph = ir.build(fun, *(Aval(s, f32) for s in shapes))
    for aval, g, w in zip(
        graph.out_avals,
        run(graph, *args, profile=profile),
        evaluate(graph, *args, wide=True),
        strict=True,
    ):
        agree(g, w, aval, 10.0)
    eqns = legalize(graph, LAVAPIPE).eqns
    whole = [e for e in eqns if e.prim.name == "sum" and not e.out.aval.ndim]
    assert len(whole) == 2  # the one that is a result by itself, and all others
