"""Batching: every rule against one evaluation a member.

Invariant: parametrised over the registry and over which operands are batched, with two members that
differ in every batched operand, and with none.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ir
from ir import PRIMITIVES, Aval, check, emit, evaluate, f32, i32
from ir.passes.batch import batch_all, batch_graph
from ir.passes.grad import vjp_graph

from ..strategies import COMPOSITES, LOCAL, all_samples, samples, smooth
from .numeric import agree
from .random_graphs import graphs

WIDE = 5  # operands beyond which not every mask is tried
SMOOTH = [n for n in COMPOSITES if n != "sort"]
BATCHED = [s for s in all_samples() if s.avals]


def masks(count: int) -> list[tuple[bool, ...]]:
    """Which operands may be batched: every choice, or some where there are many operands."""
    if count > WIDE:
        ends = [tuple(i == at for i in range(count)) for at in range(count)]
        return [*ends, tuple(i % 2 == 0 for i in range(count)), (True,) * count]
    return [m for m in product((True, False), repeat=count) if any(m)]


def stacked(sample, mask, size: int) -> tuple[list[list[np.ndarray]], list[np.ndarray]]:
    """(each member's operands, the operands with the axis of `size` in front of batched ones)."""
    drawn = [sample.arrays(i) for i in range(max(size, 1))]
    members = [[m[i] if batched else drawn[0][i] for i, batched in enumerate(mask)] for m in drawn]
    wide = [
        np.stack([m[i] for m in members])[:size] if batched else drawn[0][i]
        for i, batched in enumerate(mask)
    ]
    return members, wide


def compare(graph: ir.Graph, sample, mask, size: int) -> None:
    batched, led = batch_graph(graph, mask, size)
    check(batched)
    members, wide = stacked(sample, mask, size)
    got = evaluate(batched, *wide)
    want = [evaluate(graph, *m) for m in members]
    for j, (found, leads, v) in enumerate(zip(got, led, graph.outs, strict=True)):
        rows = np.stack([w[j] for w in want])[:size] if leads else want[0][j]
        shape = (size, *v.aval.shape) if leads else v.aval.shape
        agree(found, rows, Aval(shape, v.aval.dtype), 20.0)


@pytest.mark.parametrize("sample", BATCHED, ids=str)
def test_batched_primitives_do_what_each_member_does(sample):
    for mask in masks(len(sample.avals)):
        compare(sample.graph(), sample, mask, 2)
    compare(sample.graph(), sample, (True,) * len(sample.avals), 0)


@pytest.mark.parametrize("name", [n for n in LOCAL if samples(n)[0].avals])
def test_results_of_batched_operands_lead_with_the_axis(name):
    """The barrier alone keeps what does not vary as it is."""
    for sample in samples(name):
        for mask in masks(len(sample.avals)):
            _, led = batch_graph(sample.graph(), mask, 3)
            assert led == (mask if name == "optimization_barrier" else (True,) * len(led))


@pytest.mark.parametrize("name", [*SMOOTH, "scan", "take", "scatter", "dynamic_slice"])
def test_backward_graphs_batch(name):
    sample = next(s for s in samples(name)[3:] if smooth(s) and all(a.size for a in s.avals))
    backward = vjp_graph(sample.graph(), smooth(sample))
    rng = np.random.default_rng(3)
    cts = [
        [np.asarray(rng.standard_normal(a.shape)).astype(a.dtype.np) for _ in range(2)]
        for a in sample.graph().out_avals
    ]
    given = [sample.arrays(i) for i in range(2)]
    pairs = [[*given[i], *(ct[i] for ct in cts)] for i in range(2)]
    got = evaluate(
        batch_all(backward, (True,) * len(pairs[0]), 2), *map(np.stack, zip(*pairs, strict=True))
    )
    want = [evaluate(backward, *p) for p in pairs]
    for j, v in enumerate(backward.outs):
        rows = np.stack([w[j] for w in want])
        agree(got[j], rows, Aval((2, *v.aval.shape), v.aval.dtype), 60.0)


@pytest.mark.parametrize(
    ("name", "mask"),
    [
        ("softmax", (True,)),
        ("cross_entropy", (True, False)),
        ("rms_norm", (True, False)),
        ("rms_norm", (False, True)),
        ("layer_norm", (True, True, False)),
        ("rope", (True, False, False)),
        ("rope", (True, True, False)),
        ("attention", (True, True, True)),
        ("attention", (False, True, False)),
        ("attention", (True, True, True, False, True)),
        ("remat", (True, False)),
        ("custom_vjp", (False, True)),
    ],
)
def test_composites_stay_composites(name, mask):
    sample = next(s for s in samples(name)[4:] if len(s.avals) == len(mask))
    batched, _ = batch_graph(sample.graph(), mask, 3)
    assert name in [e.prim.name for e in batched.eqns]


def test_what_members_share_is_done_once():
    def fun(x, w):
        shared = emit(PRIMITIVES["exp"], w)
        return emit(PRIMITIVES["dot"], x, shared, spec="i,ij->j"), shared

    graph = ir.build(fun, Aval((3,), f32), Aval((3, 4), f32))
    batched, led = batch_graph(graph, (True, False), 5)
    assert led == (True, False)
    assert [str(e.out.aval) for e in batched.eqns] == ["f32[3, 4]", "f32[5, 4]"]
    again, _ = batch_graph(batched, (True, False), 2)
    assert str(again.outs[0].aval) == "f32[2, 5, 4]"


def test_a_member_reads_only_its_own_rows():
    """Indices out of range clamp within the member, and updates out of range are dropped."""
    x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    ids = np.array([[-9, 7], [5, 0]], np.int32)
    take = ir.build(lambda x, i: emit(PRIMITIVES["take"], x, i), Aval((3, 2), f32), Aval((2,), i32))
    got = evaluate(batch_all(take, (True, True), 2), x, ids)[0]
    np.testing.assert_array_equal(got, [x[0][[0, 2]], x[1][[2, 0]]])
    scatter = ir.build(
        lambda i, u: emit(PRIMITIVES["scatter"], ir.lit(0, f32, (3,)), i, u, combine="add"),
        Aval((2,), i32),
        Aval((2,), f32),
    )
    got = evaluate(batch_all(scatter, (True, True), 2), ids, np.float32([[1, 2], [3, 4]]))[0]
    np.testing.assert_array_equal(got, [[0, 0, 0], [4, 0, 0]])


def test_a_primitive_without_a_rule_is_named_with_the_users_line():
    class odd(ir.Primitive):
        name, kind = "odd", "view"

        def typeof(self, x):
            return x

    graph = ir.build(lambda x: emit(odd(), x), Aval((2,), f32))
    with pytest.raises(TypeError, match=r"odd has no batching rule\n  at .*test_batching.py"):
        batch_graph(graph, (True,), 3)


@settings(max_examples=30, deadline=None)
@given(graph=graphs(), data=st.data())
def test_random_graphs_batch(graph, data):
    count = len(graph.ins)
    mask = tuple(data.draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    wide = [
        (rng.standard_normal((3, *a.shape) if m else a.shape) * 2).astype(a.dtype.np)
        for a, m in zip(graph.in_avals, mask, strict=True)
    ]
    batched, led = batch_graph(graph, mask, 3)
    check(batched)
    got = evaluate(batched, *wide, wide=True)
    for i in range(3):
        member = [x[i] if m else x for x, m in zip(wide, mask, strict=True)]
        for g, leads, w in zip(got, led, evaluate(graph, *member, wide=True), strict=True):
            np.testing.assert_allclose(g[i] if leads else g, w, rtol=1e-9, atol=1e-9)
