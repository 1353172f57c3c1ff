"""Cleaning passes: they keep what a graph computes, and they do remove what they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
from ir import PRIMITIVES, Aval, Graph, Lit, check, emit, evaluate, f32, i32
from ir.passes.grad import vjp_graph
from ir.passes.simplify import cse, dce, expand, simplify

from .oracle.random_graphs import graphs, op

PASSES = {"dce": dce, "cse": cse, "simplify": simplify, "expand": expand}


def values(graph: Graph, seed: int, wide: bool = True) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    args = [rng.standard_normal(a.shape) for a in graph.in_avals]
    return evaluate(graph, *args, wide=wide)


def ops(graph: Graph) -> list[str]:
    return [e.prim.name for e in graph.eqns]


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=60, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_passes_keep_the_values(name, graph, seed):
    after = check(PASSES[name](graph))
    assert (after.in_avals, after.out_avals) == (graph.in_avals, graph.out_avals)
    # A constant is folded in f32, in which the graph is defined: hence more than 1e-12.
    for a, b in zip(values(graph, seed), values(after, seed), strict=True):
        np.testing.assert_allclose(a, b, rtol=3e-6, atol=3e-6)


@settings(max_examples=40, deadline=None)
@given(graph=graphs(), seed=st.integers(0, 99))
def test_passes_commute_with_reverse_mode(graph, seed):
    wrt = range(len(graph.ins))
    plain = vjp_graph(graph, wrt)
    cleaned = check(simplify(vjp_graph(simplify(graph), wrt)))
    for a, b in zip(values(plain, seed), values(cleaned, seed), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(graph=graphs())
def test_simplify_is_idempotent_and_never_adds(graph):
    once = simplify(graph)
    assert len(once.eqns) <= len(graph.eqns)
    assert len(cse(graph).eqns) <= len(graph.eqns)
    assert simplify(once).key() == once.key()


@settings(max_examples=30, deadline=None)
@given(graph=graphs())
def test_dce_keeps_just_what_is_needed(graph):
    after = dce(graph)
    used = set(after.outs) | {v for e in after.eqns for v in e.ins}
    assert all(any(v in used for v in e.outs) for e in after.eqns)
    assert after.ins == graph.ins


@settings(max_examples=30, deadline=None)
@given(graph=graphs())
def test_cse_leaves_no_two_equal_equations(graph):
    keys = [(e.prim.name, e.ins, e.param_key()) for e in cse(graph).eqns]
    assert len(keys) == len(set(keys))


@settings(max_examples=30, deadline=None)
@given(graph=graphs())
def test_expand_leaves_no_composites_and_no_stop_gradient(graph):
    assert not {"softmax", "rms_norm", "layer_norm", "stop_gradient"} & set(ops(expand(graph)))


def test_expand_keeps_what_it_is_told_to():
    def fun(x):
        return op("softmax", op("softmax", x)), op("layer_norm", x, x1(x), x1(x), eps=1e-5)

    def x1(x):
        return ir.lit(1, f32, x.aval.shape[-1:])

    graph = ir.build(fun, Aval((2, 3), f32))
    kept = expand(graph, keep=lambda e: e.prim.name == "softmax")
    assert ops(kept).count("softmax") == 2
    assert "layer_norm" not in ops(kept)


def _shape(x: Lit | ir.Var) -> tuple[int, ...]:
    return x.aval.shape


FOLDS = {
    "x + 0": lambda x: x + 0,
    "0 + x": lambda x: 0 + x,
    "x - 0": lambda x: x - 0,
    "x * 1": lambda x: x * 1,
    "1 * x": lambda x: 1 * x,
    "x / 1": lambda x: x / 1,
    "-(-x)": lambda x: op("neg", op("neg", x)),
    "same cast": lambda x: op("cast", x, dtype=f32),
    "same reshape": lambda x: op("reshape", x, shape=_shape(x)),
    "same broadcast": lambda x: op("broadcast", x, shape=_shape(x), dims=(0, 1)),
    "same order": lambda x: op("transpose", x, perm=(0, 1)),
    "whole slice": lambda x: op("slice", x, start=(0, 0), limit=(2, 3), stride=(1, 1)),
    "no reversal": lambda x: op("rev", x, axes=()),
    "no sum": lambda x: op("sum", x, axes=()),
    "no max": lambda x: op("reduce_max", x, axes=()),
    "no min": lambda x: op("reduce_min", x, axes=()),
    "same branches": lambda x: op("select", op("lt", x, x * 2), x, x),
    "true": lambda x: op("select", ir.lit(True, ir.bool_, _shape(x)), x, x * 2),
    "false": lambda x: op("select", ir.lit(False, ir.bool_, _shape(x)), x * 2, x),
    "(x + 0) * (3 - 2)": lambda x: (x + 0) * (ir.lit(3, f32, _shape(x)) - 2),
}


@pytest.mark.parametrize("form", FOLDS)
def test_identities_vanish(form):
    graph = simplify(ir.build(FOLDS[form], Aval((2, 3), f32)))
    assert graph.eqns == ()
    assert graph.outs == graph.ins


KEPT = {
    "x * 0 may be NaN": lambda x: x * 0,
    "x - x may be NaN": lambda x: x - x,
    "x / x may be NaN": lambda x: x / x,
    "x == x may be false": lambda x: op("eq", x, x),
    "a constant that overflows": lambda x: op("exp", ir.lit(1000, f32, _shape(x))),
    "a sum that overflows": lambda x: op("sum", ir.lit(3e38, f32, (9, 2)), axes=(0,)),
    "stop_gradient before the derivative": lambda x: op("stop_gradient", x),
    "an order that changes": lambda x: op("transpose", x, perm=(1, 0)),
    "a reversal": lambda x: op("rev", x, axes=(0,)),
}


@pytest.mark.parametrize("form", KEPT)
def test_what_only_looks_like_an_identity_stays(form):
    assert len(simplify(ir.build(KEPT[form], Aval((2, 3), f32))).eqns) == 1


CONSTANTS = {
    "arithmetic": (lambda: ir.lit(2, f32, (3,)) * 4 - 1, 7.0),
    "function": (lambda: op("sqrt", ir.lit(9, f32)), 3.0),
    "integer division": (lambda: ir.lit(-7, i32) / 2, -3),
    "comparison": (lambda: op("lt", ir.lit(1, i32), ir.lit(2, i32)), True),
    "conversion": (lambda: op("cast", ir.lit(2.75, f32), dtype=i32), 2),
    "bits": (lambda: op("bitcast", ir.lit(1, f32), dtype=i32), 0x3F800000),
    "sum": (lambda: op("sum", ir.lit(0.5, f32, (4, 3)), axes=(0, 1)), 6.0),
    "empty sum": (lambda: op("sum", ir.lit(0.5, f32, (4, 0)), axes=(1,)), 0.0),
    "views": (
        lambda: op("reshape", op("broadcast", ir.lit(2, f32), shape=(2, 3), dims=()), shape=(6,)),
        2.0,
    ),
}


@pytest.mark.parametrize("form", CONSTANTS)
def test_constants_fold(form):
    fun, want = CONSTANTS[form]
    graph = ir.build(lambda: fun())
    folded = simplify(graph)
    assert folded.eqns == ()
    assert folded.outs[0].value == want
    assert type(folded.outs[0].value) is type(want)
    assert folded.out_avals == graph.out_avals
    np.testing.assert_array_equal(evaluate(folded)[0], evaluate(graph)[0])


def test_equal_equations_merge_whoever_wrote_them():
    def fun(x):
        a = op("sin", x) + 1
        b = op("sin", x) + 1
        return a * b

    assert ops(simplify(ir.build(fun, Aval((3,), f32)))) == ["sin", "add", "mul"]


def test_equations_that_differ_in_params_or_type_do_not_merge():
    def fun(x):
        return op("sum", x, axes=(0,)), op("sum", x, axes=(1,)), op("cast", x, dtype=i32), x + 1

    assert len(simplify(ir.build(fun, Aval((3, 3), f32))).eqns) == 4


def test_literals_that_print_differently_do_not_merge():
    def fun(x):
        return x / ir.lit(0.0, f32), x / Lit(-0.0, Aval((), f32))

    graph = ir.build(fun, Aval((), f32))
    assert evaluate(simplify(graph), 1.0) == evaluate(graph, 1.0) == [np.inf, -np.inf]


def test_merged_equations_of_many_results():
    sample_avals = (Aval((1, 2, 1, 4), f32),) * 3

    def fun(q, k, v):
        first = op("attention", q, k, v, causal=True, scale=0.5)
        second = op("attention", q, k, v, causal=True, scale=0.5)
        return first[0] + second[0], second[1]

    graph = simplify(ir.build(fun, *sample_avals))
    assert ops(graph) == ["attention", "add"]
    assert graph.outs[1] is graph.eqns[0].outs[1]


def test_passes_keep_lines_and_scopes():
    graph = ir.build(lambda x: emit(PRIMITIVES["sin"], x + 0), Aval((3,), f32))
    (eqn,) = simplify(graph).eqns
    assert eqn.src == graph.eqns[1].src
    inside = expand(ir.build(lambda x: emit(PRIMITIVES["softmax"], x), Aval((3,), f32)))
    assert {e.src.file for e in inside.eqns} == {__file__}
    assert len({e.src for e in inside.eqns}) == 1
