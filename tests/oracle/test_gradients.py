"""Derivatives: every rule against finite differences, and the conventions where there is none.

Invariant: rules are checked through `vjp_graph`, in float64, on the samples every other test uses.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
from ir import PRIMITIVES, Aval, Lit, check, emit, evaluate, f32, i32
from ir.passes.grad import grad_graph, vjp_graph
from ir.passes.simplify import expand, simplify

from ..strategies import COMPOSITES, all_samples, samples, smooth
from .numeric import check_vjp

NO_DERIVATIVE = ("while_loop", "runs")
BY_DEFINITION_ZERO = ("stop_gradient", "isfinite", "bitcast")
SMOOTH = [
    s
    for s in all_samples()
    if smooth(s)
    and s.prim not in BY_DEFINITION_ZERO + NO_DERIVATIVE
    and any(a.dtype.is_float for a in s.graph().out_avals)
]
NAMES = tuple(dict.fromkeys(s.prim for s in SMOOTH))


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def gradient(fun, *args, wrt=(0,)):
    """d sum(fun) / d args[i], evaluated in float64."""

    def total(*xs):
        y = fun(*xs)
        return op("sum", y, axes=tuple(range(y.aval.ndim)))

    args = [np.asarray(a, np.float32) for a in args]
    graph = ir.build(total, *(Aval(a.shape, f32) for a in args))
    return evaluate(grad_graph(graph, wrt), *args, wide=True)[1:]


@pytest.mark.parametrize("sample", SMOOTH, ids=str)
def test_vjp_matches_finite_differences(sample):
    check_vjp(sample.graph(), sample.arrays(), smooth(sample))


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(1, 2**20))
@pytest.mark.parametrize("name", NAMES)
def test_vjp_matches_finite_differences_on_other_shapes(name, seed):
    chosen = [s for s in samples(name, seed) if smooth(s) and s.graph().outs[0].aval.dtype.is_float]
    for sample in chosen[seed % 4 :: 4]:
        arrays = sample.arrays(seed)
        if name == "floor":  # a bfloat16 may be a whole number, where it jumps
            arrays = [np.floor(a) + a.dtype.type(0.5) for a in arrays]
        check_vjp(sample.graph(), arrays, smooth(sample))


def _tiny(name):
    """The sample of a primitive with the fewest elements above one."""
    sized = [s for s in SMOOTH if s.prim == name and all(a.size for a in s.avals)]
    return min(sized, key=lambda s: abs(sum(a.size for a in s.avals) - 6))


@pytest.mark.parametrize("name", NAMES)
def test_second_order_matches_finite_differences(name):
    sample = _tiny(name)
    arrays = sample.arrays(3)
    backward = check(vjp_graph(sample.graph(), smooth(sample)))
    rng = np.random.default_rng(5)
    cts = [rng.standard_normal(a.shape).astype(a.dtype.np) for a in sample.graph().out_avals]
    inputs = [i for i, a in enumerate(backward.in_avals) if a.dtype.is_float]
    check_vjp(backward, [*arrays, *cts], inputs)


@pytest.mark.parametrize("sample", [s for s in SMOOTH if s.prim in COMPOSITES], ids=str)
def test_composite_vjp_is_the_vjp_of_its_expansion(sample):
    graph, arrays = sample.graph(), sample.arrays(7)
    rng = np.random.default_rng(11)
    cts = [rng.standard_normal(a.shape) for a in graph.out_avals]
    wrt = smooth(sample)
    ours = evaluate(vjp_graph(graph, wrt), *arrays, *cts, wide=True)
    derived = evaluate(vjp_graph(expand(graph), wrt), *arrays, *cts, wide=True)
    for a, b in zip(ours, derived, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("sample", SMOOTH[::3], ids=str)
def test_backward_graphs_are_well_formed_and_simplify(sample):
    graph, arrays = sample.graph(), sample.arrays()
    backward = check(vjp_graph(graph, smooth(sample)))
    assert backward.in_avals == (*graph.in_avals, *graph.out_avals)
    wanted = tuple(graph.ins[i].aval for i in smooth(sample))
    assert backward.out_avals == (*graph.out_avals, *wanted)
    cts = [np.ones(a.shape) for a in graph.out_avals]
    smaller = check(simplify(backward))
    for a, b in zip(
        evaluate(backward, *arrays, *cts, wide=True),
        evaluate(smaller, *arrays, *cts, wide=True),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("name", NO_DERIVATIVE)
def test_what_has_no_derivative_says_so(name):
    sample = samples(name)[-1]
    with pytest.raises(ValueError, match="differentiation does not work"):
        vjp_graph(sample.graph(), smooth(sample))


# --- conventions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_DEFINITION_ZERO)
def test_no_cotangent_passes(name):
    for sample in (s for s in samples(name) if s.avals[0].dtype is f32):
        backward = vjp_graph(sample.graph(), (0,))
        assert backward.outs[1] == ir.lit(0, f32, sample.avals[0].shape)


def test_stop_gradient_hides_one_factor():
    (g,) = gradient(lambda x: x * op("stop_gradient", x), [3.0, 5.0])
    np.testing.assert_array_equal(g, [3.0, 5.0])


@pytest.mark.parametrize("name", ["max", "min"])
def test_ties_share_the_cotangent(name):
    gx, gy = gradient(lambda x, y: op(name, x, y), [1.0, 2.0, 2.0], [2.0, 2.0, 1.0], wrt=(0, 1))
    first = [0.0, 0.5, 1.0] if name == "max" else [1.0, 0.5, 0.0]
    np.testing.assert_array_equal(gx, first)
    np.testing.assert_array_equal(gx + gy, np.ones(3))


@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_extremum_shares_the_cotangent_among_all_positions(name):
    rows = [[1.0, 4.0, 4.0, 4.0], [7.0, 7.0, 2.0, 2.0]]
    (g,) = gradient(lambda x: op(name, x, axes=(1,)), rows)
    best = np.max if name == "reduce_max" else np.min
    hits = np.array(rows) == best(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(g, hits / hits.sum(1, keepdims=True))


def test_select_keeps_the_nan_of_the_branch_not_taken_out():
    def safe_log(x):
        ok = op("lt", ir.lit(0, f32, (3,)), x)
        guarded = op("select", ok, x, ir.lit(1, f32, (3,)))
        return op("select", ok, op("log", guarded), ir.lit(0, f32, (3,)))

    (g,) = gradient(safe_log, [-1.0, 0.0, 2.0])
    np.testing.assert_array_equal(g, [0.0, 0.0, 0.5])


@pytest.mark.parametrize(
    ("x", "y", "gx", "gy"),
    [
        (0.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 2.0, 0.0, 0.0),
        (-2.0, 3.0, 12.0, 0.0),
        (-2.0, 0.0, 0.0, 0.0),
        (2.0, 0.0, 0.0, np.log(2.0)),
    ],
)
def test_pow_at_the_edges_of_its_domain(x, y, gx, gy):
    found = gradient(lambda a, b: op("pow", a, b), [x], [y], wrt=(0, 1))
    np.testing.assert_allclose(np.ravel(found), [gx, gy], rtol=1e-12)


def test_a_read_out_of_range_has_no_derivative():
    ids = np.array([-5, 1, 9], np.int32)
    graph = ir.build(lambda x, i: op("take", x, i), Aval((3,), f32), Aval((3,), i32))
    _, g = evaluate(vjp_graph(graph, (0,)), np.ones(3), ids, np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(g, [0.0, 10.0, 0.0])


def added(size, ids, updates):
    rest = updates.aval.shape[ids.aval.ndim :]
    return op("scatter", ir.lit(0, f32, (size, *rest)), ids, updates, combine="add")


def test_a_dropped_update_gets_no_cotangent():
    ids = np.array([-1, 1, 3, 1], np.int32)
    graph = ir.build(lambda i, u: added(3, i, u), Aval((4,), i32), Aval((4,), f32))
    _, g = evaluate(vjp_graph(graph, (1,)), ids, np.ones(4), np.array([1.0, 10.0, 100.0]))
    np.testing.assert_array_equal(g, [0.0, 10.0, 0.0, 10.0])


@pytest.mark.parametrize("kind", ["i32", "u32"])
def test_tables_without_rows_have_empty_gradients(kind):
    none = Aval((0,), ir.dtype(kind))
    taken = ir.build(lambda x, i: op("take", x, i), Aval((0, 2), f32), none)
    empty, ids = np.zeros((0, 2)), np.zeros(0, none.dtype.np)
    assert evaluate(vjp_graph(taken, (0,)), empty, ids, empty)[1].shape == (0, 2)
    rows = ir.build(lambda i, u: added(0, i, u), Aval((3,), none.dtype), Aval((3, 2), f32))
    ids, updates = np.zeros(3, none.dtype.np), np.ones((3, 2))
    g = evaluate(vjp_graph(rows, (1,)), ids, updates, np.zeros((0, 2)))[1]
    np.testing.assert_array_equal(g, np.zeros((3, 2)))


# --- the pass -------------------------------------------------------------------------------------


def test_an_input_that_is_not_used_gets_a_zero():
    graph = vjp_graph(ir.build(lambda x, y: x, Aval((2,), f32), Aval((3,), f32)), (0, 1))
    assert graph.outs[2] == ir.lit(0, f32, (3,))
    assert graph.outs[1] is graph.ins[2]


def test_fan_out_adds_and_repeated_outputs_add():
    (g,) = gradient(lambda x: x * x + x, [3.0])
    assert g == 7.0
    twice = ir.build(lambda x: (x, x), Aval((), f32))
    assert evaluate(vjp_graph(twice, (0,)), 1.0, 10.0, 100.0)[2] == 110.0


def test_integer_paths_carry_no_cotangent():
    def fun(x):
        whole = op("cast", x, dtype=i32)
        return x * op("cast", whole, dtype=f32)

    (g,) = gradient(fun, [2.5, -3.5])
    np.testing.assert_array_equal(g, [2.0, -3.0])


def test_grad_graph_returns_all_outputs_then_gradients():
    graph = ir.build(lambda x: (op("sum", x * x, axes=(0,)), x + 1), Aval((3,), f32))
    x = np.array([1.0, 2.0, 3.0])
    value, other, g = evaluate(check(grad_graph(graph, (0,))), x)
    assert value == 14.0
    np.testing.assert_array_equal(other, x + 1)
    np.testing.assert_array_equal(g, 2 * x)


def test_third_derivative():
    def cube(x):
        return x * x * x

    graph = ir.build(cube, Aval((), f32))
    for want in (12.0, 12.0, 6.0):  # 3x^2, 6x and 6 at x = 2
        graph = grad_graph(graph, (0,))
        graph = ir.Graph(graph.ins, graph.eqns, graph.outs[-1:])
        assert evaluate(graph, 2.0) == [want]


def test_zero_cotangents_never_become_equations():
    graph = ir.build(lambda x: (x * 2.0, op("exp", x)), Aval((4,), f32))
    only_first = grad_graph(
        ir.build(lambda x: (op("sum", x * 2.0, axes=(0,)), op("exp", x)), Aval((4,), f32)), (0,)
    )
    assert not any(isinstance(v, Lit) and v.value != v.value for v in only_first.outs)
    names = [e.prim.name for e in simplify(only_first).eqns]
    assert names.count("exp") == 1
    assert len(vjp_graph(graph, ()).eqns) == 2


def test_equations_of_the_backward_pass_keep_the_line_and_mark_the_scope():
    with ir.building() as builder:
        x = builder.input(Aval((), f32))
        builder.scope = "layer"
        y = op("sin", x)
        graph = builder.close((y,))
    backward = vjp_graph(graph, (0,))
    assert [(e.prim.name, e.scope) for e in backward.eqns] == [
        ("sin", "layer"),
        ("cos", "grad(layer)"),
        ("mul", "grad(layer)"),
    ]
    assert {e.src for e in backward.eqns} == {graph.eqns[0].src}
