"""Narrower limits than the adapter's own: the kernels of the WebGPU defaults run here as well.

Invariant: a profile is narrower than the adapter where that matters, so what it compiles must run;
the GPU templates (workgroup memory, no subgroups) are thereby tested on a software adapter.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ir
import runtime
from codegen.compile import CompileError, compile_graph
from codegen.legalize import legalize
from codegen.profile import H100, LAVAPIPE, LAVAPIPE_25, WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, emit, evaluate, f32, i32
from ir.passes.grad import vjp_graph

from ..oracle.numeric import agree
from ..strategies import COMPOSITES, samples, smooth
from .harness import run
from .test_primitives import compare

KINDS = ("contract", "reduce", "scatter", "composite")
HEAVY = [n for n, p in PRIMITIVES.items() if p.kind in KINDS]
SAMPLES = [s for n in HEAVY for s in samples(n)]


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def webgpu():
    """The WebGPU defaults, with what the driver at hand survives."""
    own = runtime.default_device().profile
    return dataclasses.replace(WEBGPU_DEFAULT, loop_limit=own.loop_limit)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_default_limits_suffice(sample):
    compare(sample.graph(), sample.arrays(), 30.0, webgpu())


@pytest.mark.parametrize(
    "sample", [s for s in SAMPLES if s.prim in COMPOSITES and s.prim == "attention"], ids=str
)
def test_default_limits_suffice_backwards(sample):
    graph, arrays = vjp_graph(sample.graph(), smooth(sample)), sample.arrays()
    cts = [np.ones(a.shape, a.dtype.np) for a in sample.graph().out_avals]
    compare(graph, [*arrays, *cts], 60.0, webgpu())


@pytest.mark.parametrize("sizes", [(64, 64, 64), (65, 33, 130), (128, 200, 16), (1, 256, 300)])
@pytest.mark.parametrize("spec", ["ij,jk->ik", "ji,jk->ik", "ij,kj->ik", "ij,kj->ki"])
def test_products_larger_than_a_tile(spec, sizes):
    letters = dict(zip("ijk", sizes, strict=True))
    shapes = [tuple(letters[c] for c in part) for part in spec.split("->")[0].split(",")]
    rng = np.random.default_rng(4)
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]

    def fun(x, y):
        z = op("dot", x, y, spec=spec)
        return op("tanh", z * 0.1), op("sum", z, axes=(1,))

    graph = ir.build(fun, *(Aval(s, f32) for s in shapes))
    for profile in (webgpu(), None):
        got, want = run(graph, *args, profile=profile), evaluate(graph, *args, wide=True)
        for aval, g, w in zip(graph.out_avals, got, want, strict=True):
            agree(g, w, aval, 30.0)


@pytest.mark.parametrize(
    ("spec", "parts"),
    [("bsm,bsn->mn", 3), ("sm,sn->mn", 2), ("sbm,bsn->nm", 3), ("esm,esn->emn", 2)],
)
def test_long_sums_are_cut_to_fill_the_device(spec, parts):
    letters = dict(b=3, s=4096, m=40, n=24, e=2)
    shapes = [tuple(letters[c] for c in part) for part in spec.split("->")[0].split(",")]
    rng = np.random.default_rng(5)
    args = [rng.standard_normal(s).astype(np.float32) for s in shapes]

    def fun(x, y):
        return op("tanh", op("dot", x, y, spec=spec) * 0.01)

    graph = ir.build(fun, *(Aval(s, f32) for s in shapes))
    products = [e for e in legalize(graph, WEBGPU_DEFAULT).eqns if e.prim.name == "dot"]
    pieces = products[0].out.aval.size // graph.outs[0].aval.size
    assert len(products) == 1 and pieces >= parts
    assert legalize(graph, LAVAPIPE).eqns[0].out.aval.size == graph.outs[0].aval.size
    got = run(graph, *args, profile=webgpu())
    agree(got[0], evaluate(graph, *args, wide=True)[0], graph.out_avals[0], 30.0)


@pytest.mark.parametrize(("k", "parts"), [(512, 1), (4096, 2), (65536, 2)])
def test_products_that_fill_the_device_are_not_cut_short(k, parts):
    x, y = Aval((512, k), f32), Aval((k, 512), f32)
    graph = ir.build(lambda x, y: op("dot", x, y, spec="mk,kn->mn"), x, y)
    product = next(e for e in legalize(graph, H100).eqns if e.prim.name == "dot")
    pieces = product.out.aval.size // 512**2
    assert pieces >= parts and k // pieces >= 256


@pytest.mark.parametrize("rows", [8, 24, 65, 264_000])
@pytest.mark.parametrize("width", [64, 132, 576])
def test_rows_share_a_workgroup(rows, width):
    rows = rows if width == 64 or rows < 1000 else 3 * rows // width
    x = np.random.default_rng(6).standard_normal((rows, width)).astype(np.float32)

    def fun(v):
        e = op("exp", v)
        total = op("broadcast", op("sum", e, axes=(1,)), shape=e.aval.shape, dims=(0,))
        return op("div", e, total), op("reduce_max", v, axes=(1,))

    graph = ir.build(fun, Aval(x.shape, f32))
    for aval, g, w in zip(
        graph.out_avals, run(graph, x, profile=webgpu()), evaluate(graph, x, wide=True), strict=True
    ):
        agree(g, w, aval, 10.0)


@pytest.mark.parametrize("width", [3, 32, 96, 576])
@pytest.mark.parametrize("length", [15, 16, 100, 1024, 5000])
def test_columns_are_shared(length, width):
    x = np.random.default_rng(8).standard_normal((length, width)).astype(np.float32)

    def fun(v):
        return op("sum", op("mul", v, v), axes=(0,)), op("reduce_max", v, axes=(0,))

    graph = ir.build(fun, Aval(x.shape, f32))
    got, want = run(graph, x, profile=webgpu()), evaluate(graph, x, wide=True)
    for aval, g, w in zip(graph.out_avals, got, want, strict=True):
        agree(g, w, aval, 10.0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    "shape", [(1, 70, 70, 4, 2, 32), (2, 33, 65, 2, 1, 64), (1, 1, 129, 2, 2, 8)]
)
def test_attention_longer_than_a_tile(shape, causal):
    b, s, t, n, k, d = shape
    q, kv = Aval((b, s, n, d), f32), Aval((b, t, k, d), f32)
    graph = ir.build(lambda *xs: op("attention", *xs, causal=causal, scale=d**-0.5), q, kv, kv)
    rng = np.random.default_rng(6)
    args = [rng.standard_normal(a.shape).astype(np.float32) for a in (q, kv, kv)]
    cts = [rng.standard_normal(a.shape).astype(np.float32) for a in graph.out_avals]
    for profile in (webgpu(), None):
        compare(graph, args, 30.0, profile)
        compare(vjp_graph(graph, (0, 1, 2)), [*args, *cts], 60.0, profile)


@pytest.mark.parametrize(("causal", "ordered"), [(True, True), (False, False)])
def test_attention_within_segments(causal, ordered):
    """Rows whose segments end within a block, fill it or leave others out, and a query alone."""
    q, kv, ids = Aval((2, 70, 2, 16), f32), Aval((2, 70, 1, 16), f32), Aval((2, 70), i32)
    graph = ir.build(
        lambda *xs: op("attention", *xs, causal=causal, scale=0.2, ordered=ordered),
        q, kv, kv, ids, ids,
    )  # fmt: skip
    rng = np.random.default_rng(7)
    args = [rng.standard_normal(a.shape).astype(np.float32) for a in (q, kv, kv)]
    lengths = [1, 7, 32, 30], [40, 30]
    rows = [np.repeat(np.arange(len(n)), n) for n in lengths]
    queries = np.stack(rows if ordered else [rng.permutation(r) for r in rows]).astype(np.int32)
    keys = queries if ordered else np.where(queries == 1, 9, queries)  # some see no key
    cts = [rng.standard_normal(a.shape).astype(np.float32) for a in graph.out_avals]
    for profile in (dataclasses.replace(webgpu(), storage_buffers=10), None):
        compare(graph, [*args, queries, keys], 30.0, profile)
        compare(vjp_graph(graph, (0, 1, 2)), [*args, queries, keys, *cts], 60.0, profile)


@pytest.mark.parametrize("spec", ["ij,kj->ik", "ij,ik->jk", "ij,ij->i", "ij,ij->ij", "ij,jk->ik"])
def test_a_product_of_a_value_with_itself(spec):
    graph = ir.build(lambda x: op("dot", x, x, spec=spec), Aval((5, 5), f32))
    compare(graph, [np.random.default_rng(1).standard_normal((5, 5)).astype(np.float32)], 10.0)


def test_what_does_not_fit_is_refused_every_time():
    tiny = dataclasses.replace(WEBGPU_DEFAULT, binding_bytes=1024)
    graph = ir.build(lambda x: x + 1, Aval((1000,), f32))
    for _ in range(2):
        with pytest.raises(CompileError, match=r"f32\[1000\].*storage binding"):
            compile_graph(graph, tiny)
    cramped = dataclasses.replace(WEBGPU_DEFAULT, workgroup_bytes=16)
    product = ir.build(
        lambda x, y: op("dot", x, y, spec="ij,jk->ik"), Aval((64, 64), f32), Aval((64, 64), f32)
    )
    for _ in range(2):
        with pytest.raises(ValueError, match=r"fits no tile of profile|workgroup memory"):
            compile_graph(product, cramped)


def test_many_operands_stay_within_the_bindings():
    avals = (Aval((33,), f32),) * 20

    def fun(*xs):
        total = xs[0]
        for x in xs[1:]:
            total = total * 0.5 + x
        return total

    graph = ir.build(fun, *avals)
    args = [np.full(33, n, np.float32) for n in range(20)]
    for program_profile in (webgpu(), None):
        compare(graph, args, 10.0, program_profile)


ATTENTION = [s for s in SAMPLES if s.prim == "attention"][::2]


@pytest.mark.parametrize("sample", ATTENTION, ids=str)
def test_rows_of_attention_in_arrays_of_a_lane(sample):
    own = runtime.default_device().profile
    profile = dataclasses.replace(LAVAPIPE_25, loop_limit=own.loop_limit)
    graph, arrays = vjp_graph(sample.graph(), smooth(sample)), sample.arrays()
    cts = [np.ones(a.shape, a.dtype.np) for a in sample.graph().out_avals]
    compare(graph, [*arrays, *cts], 60.0, profile)
