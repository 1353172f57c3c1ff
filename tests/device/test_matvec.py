"""Products of few rows: the matvec kernels of a GPU profile, run on the adapter at hand.

Invariant: profiles differ from the adapter's own only downwards, so what they compile must run.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ir
import runtime
from codegen.compile import compile_graph
from codegen.matvec import MatvecConfig, few_rows, matvec_config
from codegen.profile import H100, LAVAPIPE, WEBGPU_DEFAULT, Profile
from ir import PRIMITIVES, Aval, bf16, emit, evaluate, f16, f32, i32
from ir.graph import Graph

from ..oracle.numeric import agree
from .harness import execute

BARE = dataclasses.replace(WEBGPU_DEFAULT, storage_buffers=16)


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def software_gpu() -> Profile:
    """A GPU's profile whose subgroups are the adapter's."""
    own = runtime.default_device().profile
    sizes = dict(subgroup=own.subgroup, f16=own.f16, workgroup_bytes=32 << 10, invocations=256)
    return dataclasses.replace(H100, name="software-gpu", **sizes)


def check(graph: Graph, profile: Profile, kernels: int, tolerance: float = 30.0) -> None:
    rng = np.random.default_rng(7)
    args = [(0.5 * rng.standard_normal(v.aval.shape)).astype(v.aval.dtype.np) for v in graph.ins]
    program = compile_graph(graph, profile, verify=True)
    assert len(program.kernels) == kernels
    assert {k.template for k in program.kernels} <= {"matvec", "matvec_held"}
    got, want = execute(program, graph, args), evaluate(graph, *args, wide=True)
    for aval, g, w in zip(graph.out_avals, got, want, strict=True):
        agree(g, w, aval, tolerance)


def product(spec: str, x: Aval, w: Aval) -> Graph:
    return ir.build(lambda a, b: op("dot", a, b, spec=spec), x, w)


@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("sizes", [(16, 16), (64, 96), (37, 45), (4100, 20)], ids=str)
@pytest.mark.parametrize("spec", ["mk,kn->mn", "mk,nk->mn", "nk,mk->nm", "kn,km->mn"])
def test_every_layout_of_few_rows(spec, sizes, rows):
    size = dict(zip("kn", sizes, strict=True)) | {"m": rows}
    x, w = (Aval(tuple(size[c] for c in part), f32) for part in spec.split("->")[0].split(","))
    check(product(spec, x, w), software_gpu(), 1)
    if rows == 1:
        check(product(spec, x, w), BARE, 1)


@pytest.mark.parametrize("spec", ["bmk,bkn->bmn", "bskgd,btkd->bkgst", "bkgst,btkd->bskgd"])
def test_batches(spec):
    size = dict(b=3, m=2, k=5, n=36, s=1, g=3, d=32, t=40)
    x, w = (Aval(tuple(size[c] for c in part), f32) for part in spec.split("->")[0].split(","))
    check(product(spec, x, w), software_gpu(), 1)


@pytest.mark.parametrize("kind", [f16, bf16])
def test_weights_of_two_bytes_are_summed_in_float32(kind):
    def fun(x, w):
        return op("dot", x, op("cast", w, dtype=f32), spec="mk,kn->mn")

    check(ir.build(fun, Aval((2, 96), f32), Aval((96, 64), kind)), software_gpu(), 1)
    check(product("mk,nk->mn", Aval((1, 96), kind), Aval((64, 96), kind)), software_gpu(), 1)


def normed(x, w, eps: float = 1e-5):
    return op("rms_norm", x, w, eps=eps)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("profile", [software_gpu, lambda: BARE], ids=["subgroups", "bare"])
def test_a_norm_and_three_matrices_are_one_kernel(profile, rows):
    if profile() is BARE and rows > 1:
        pytest.skip("few rows are fewer without subgroups")

    def fun(x, w, q, k, v):
        h = normed(x, w)
        return tuple(op("dot", h, m, spec="mk,kn->mn") for m in (q, k, v))

    avals = [(rows, 96), (96,), (96, 96), (96, 30), (96, 32)]
    check(ir.build(fun, *(Aval(s, f32) for s in avals)), profile(), 1)


@pytest.mark.parametrize("kind", [f16, bf16])
def test_matrices_of_two_bytes_share_a_kernel(kind):
    def fun(x, q, k, v):
        wide = (op("cast", m, dtype=f32) for m in (q, k, v))
        return tuple(op("dot", x, m, spec="mk,kn->mn") for m in wide)

    weights = [Aval((96, n), kind) for n in (96, 32, 32)]
    check(ir.build(fun, Aval((2, 96), f32), *weights), software_gpu(), 1)
    products = lambda x, *ws: tuple(op("dot", x, w, spec="mk,kn->mn") for w in ws)  # noqa: E731
    check(ir.build(products, Aval((2, 96), kind), *weights), software_gpu(), 1)


def test_a_feed_forward_block_is_two_kernels():
    def fun(x, w, gate, up, down):
        h = normed(x, w)
        g, u = (op("dot", h, m, spec="mk,kn->mn") for m in (gate, up))
        inner = g * op("logistic", g) * u
        return x + op("dot", inner, down, spec="mk,kn->mn")

    avals = [(1, 64), (64,), (64, 160), (64, 160), (160, 64)]
    check(ir.build(fun, *(Aval(s, f32) for s in avals)), software_gpu(), 2)


def test_a_sum_that_something_else_needs_is_stored():
    def fun(x, w):
        h = op("rms_norm", x, w[0], eps=1e-5)
        return op("dot", h, w[1], spec="mk,kn->mn"), h

    graph = ir.build(
        lambda x, s, m: fun(x, (s, m)), *(Aval(s, f32) for s in [(1, 64), (64,), (64, 48)])
    )
    program = compile_graph(graph, software_gpu(), verify=True)
    assert [k.template for k in program.kernels] == ["row", "matvec_held"]


def test_which_products_have_few_rows():
    def few(spec, x, w, profile=H100):
        return few_rows(spec, Aval(x, f32), Aval(w, f32), profile)

    assert few("mk,kn->mn", (1, 576), (576, 576)) and few("mk,kn->mn", (8, 64), (64, 64))
    assert not few("mk,kn->mn", (9, 64), (64, 64)) and not few("mk,kn->mn", (1, 64), (64, 8))
    assert few("kn,km->nm", (64, 64), (64, 2)) is few("mk,kn->mn", (2, 64), (64, 64))
    assert not few("mk,kn->mn", (3, 64), (64, 64), WEBGPU_DEFAULT)
    assert not few("mk,kn->mn", (1, 64), (64, 64), LAVAPIPE)


@pytest.mark.parametrize("k", [16, 64, 576, 1536, 4096, 14336])
@pytest.mark.parametrize("n", [64, 576, 3072, 49152])
@pytest.mark.parametrize("along_k", [False, True])
def test_layouts_cover_k_fit_the_device_and_leave_few_lanes_idle(k, n, along_k):
    for rows, profile in ((1, H100), (8, H100), (1, WEBGPU_DEFAULT)):
        c = matvec_config(rows, [n], k, 1, along_k, profile)
        assert isinstance(c, MatvecConfig) and c.threads <= profile.invocations
        assert c.chunk % (c.unroll * c.depth) == 0 and c.chunk % 4 == 0
        padded = -(-k // c.chunk) * c.chunk
        assert k <= padded <= max(1.34 * k, k + c.depth)
        assert 4 * rows * c.chunk + 16 * c.parts * rows * c.quads <= profile.workgroup_bytes


@pytest.mark.parametrize(
    ("batch", "slots", "heads", "kv_heads", "size"),
    [(1, 40, 9, 3, 32), (3, 300, 4, 4, 16), (2, 1000, 8, 2, 32)],
)
def test_attention_to_a_cache_sees_its_slots_alone(batch, slots, heads, kv_heads, size):
    kept = Aval((batch, slots, kv_heads, size), f32)
    avals = Aval((batch, 1, heads, size), f32), kept, kept, Aval((batch,), i32), Aval((), i32)
    graph = ir.build(lambda *x: op("cached_attention", *x, scale=size**-0.5), *avals)
    program = compile_graph(graph, software_gpu(), verify=True)
    assert [k.template for k in program.kernels] == ["attention_cached"]
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(a.shape).astype(np.float32) for a in avals[:3])
    first = 3 * np.arange(batch, dtype=np.int32)
    for stop in (0, 1, slots // 3, slots, slots + 5):
        args = [q, k, v, first, np.int32(stop)]
        (got,), (want,) = execute(program, graph, args), evaluate(graph, *args, wide=True)
        agree(got, want, graph.out_avals[0], 30.0)


@pytest.mark.parametrize(
    ("batch", "slots", "heads", "kv_heads", "size"),
    [(1, 40, 9, 3, 32), (2, 300, 4, 4, 16), (3, 200, 64, 16, 32)],
)
def test_attention_keeps_a_token_in_place(batch, slots, heads, kv_heads, size):
    """Its key and value are turned on the way, as rotary positions are."""

    def fun(cache, q, k, v, turn, first, slot):
        wide = op("broadcast", turn, shape=k.aval.shape, dims=(3,))
        return op("attention_with_cache", q, k * wide, v, cache, first, slot, scale=size**-0.5)

    new, kept = Aval((batch, 1, kv_heads, size), f32), Aval((2, batch, slots, kv_heads, size), f32)
    query = Aval((batch, 1, heads, size), f32)
    given = kept, query, new, new, Aval((size,), f32), Aval((batch,), i32), Aval((), i32)
    graph = ir.build(fun, *given)
    program = compile_graph(graph, software_gpu(), donate=[(0, 1)], verify=True)
    assert [k.template for k in program.kernels] == ["attention_cached"]
    assert program.in_slots[0] == program.out_slots[1] and len(program.steps) == 1
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal(a.shape).astype(np.float32) for a in given[:5]]
    first = 3 * np.arange(batch, dtype=np.int32)
    for slot in (-1, 0, 7, slots // 3, slots - 1, slots + 5):
        args = [*arrays, first, np.int32(slot)]
        got, want = execute(program, graph, args), evaluate(graph, *args, wide=True)
        agree(got[0], want[0], graph.out_avals[0], 30.0)
        assert np.array_equal(got[1], want[1].astype(np.float32))


def test_a_cache_that_something_else_reads_is_not_written_over():
    def fun(cache, x, first, slot):
        o, kept = op("attention_with_cache", x, x, x, cache, first, slot, scale=0.25)
        return o, kept, cache * 2.0

    given = Aval((2, 1, 12, 2, 16), f32), Aval((1, 1, 2, 16), f32), Aval((1,), i32), Aval((), i32)
    graph = ir.build(fun, *given)
    rng = np.random.default_rng(0)
    args = [rng.standard_normal(a.shape).astype(np.float32) for a in given[:2]]
    args += [np.zeros(1, np.int32), np.int32(5)]
    want = evaluate(graph, *args, wide=True)
    for donate in ([], [(0, 1)]):
        program = compile_graph(graph, software_gpu(), donate=donate, verify=True)
        for g, w, aval in zip(execute(program, graph, args), want, graph.out_avals, strict=True):
            agree(g, w, aval, 30.0)
