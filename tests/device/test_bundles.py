"""Kernels side by side in one dispatch, and sums of products in one kernel.

Invariant: the profile here is wide enough for what a GPU gets, on whatever adapter runs the tests.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import ir
import runtime
from codegen import pieces
from codegen.compile import compile_graph
from codegen.profile import H100, WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, emit, evaluate, f32
from ir.passes.grad import vjp_graph

from ..oracle.numeric import agree
from .harness import execute, from_device, to_device


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


@pytest.fixture(autouse=True)
def few_waves(monkeypatch):
    """Products as small as these are joined as large ones are."""
    monkeypatch.setattr(pieces, "WAVES", 1)


def wide(**changes):
    """A GPU with bindings to spare."""
    own = runtime.default_device().profile
    limits = {"storage_buffers": 16, "loop_limit": own.loop_limit, **changes}
    return dataclasses.replace(WEBGPU_DEFAULT, name="wide", **limits)


def normal(*shape):
    rng = np.random.default_rng(sum(shape) + 7 * len(shape))
    return rng.standard_normal(shape).astype(np.float32)


def compared(graph, args, tolerance=30.0, profile=None, donate=()):
    """The program, after its results were found to be the oracle's."""
    program = compile_graph(graph, profile or wide(), donate=donate, verify=True)
    results = zip(graph.out_avals, execute(program, graph, args), strict=True)
    for (aval, got), want in zip(results, evaluate(graph, *args, wide=True), strict=True):
        agree(got, want, aval, tolerance)
    return program


def templates(program):
    return [program.kernels[d.kernel].template for d in program.dispatches]


@pytest.mark.parametrize("rows", [3, 130])
@pytest.mark.parametrize("columns", [(64, 32, 32), (5, 96, 3)])
def test_products_of_one_operand(rows, columns):
    args = [normal(rows, 24), *(normal(24, n) for n in columns)]

    def fun(x, *ws):
        products = [op("dot", x, w, spec="mk,kn->mn") for w in ws]
        return [op("tanh", products[0] * 0.1), *products[1:]]

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    assert templates(compared(graph, args)) == ["bundle"]
    assert len(templates(compared(graph, args, profile=wide(storage_buffers=8)))) == 2


def test_products_of_unlike_layouts_and_lengths():
    x, dy, w = normal(200, 24), normal(200, 36), normal(24, 36)
    batched = normal(3, 20, 16), normal(3, 28, 16)

    def fun(x, dy, w, a, b):
        back = op("dot", dy, w, spec="mn,kn->mk")
        weight = op("dot", x, dy, spec="mk,mn->kn")
        return back, weight, op("dot", a, b, spec="bmk,bnk->bmn")

    args = [x, dy, w, *batched]
    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    program = compared(graph, args, profile=wide(units=1))
    assert templates(program) == ["bundle"]
    assert program.kernels[0].workgroup_bytes <= WEBGPU_DEFAULT.workgroup_bytes


@pytest.mark.parametrize(("rows", "width"), [(6, 40), (300, 8), (64, 256), (1, 1)])
def test_rows_columns_and_maps(rows, width):
    args = [normal(rows, width), normal(width, rows), normal(50), normal(rows, 3)]

    def fun(x, y, z, u):
        total = op("sum", x, axes=(1,))
        spread = op("broadcast", total, shape=x.aval.shape, dims=(0,))
        return (
            op("mul", x, spread),
            op("sum", op("mul", y, y), axes=(0,)),
            op("exp", z),
            op("reduce_max", u, axes=(1,)),
        )

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    found = templates(compared(graph, args))
    assert "bundle" in found and len(found) <= 2


def test_updates_in_place_wait_for_all_readers():
    """A weight is overwritten by one kernel while another, independent one still reads it."""
    args = [normal(64, 64), normal(64, 64), normal(3, 40)]

    def fun(w, g, z):
        return op("sub", w, op("mul", g, g)), op("sum", w, axes=(0,)), op("exp", z)

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    program = compile_graph(graph, wide(), donate=((0, 0),), verify=True)
    executable = runtime.Executable(runtime.default_device(), program)
    buffers = executable.run([to_device(a, v) for a, v in zip(args, graph.in_avals, strict=True)])
    pairs = zip(buffers, graph.out_avals, evaluate(graph, *args), strict=True)
    for buffer, aval, want in pairs:
        agree(from_device(buffer.start_read().result(), aval), want, aval, 10.0)
    assert program.in_slots[0] == program.out_slots[0]


@pytest.mark.parametrize("heads", [(2, 1), (2, 2)])
def test_both_halves_of_attention_backward(heads):
    q, kv = normal(1, 36, heads[0], 8), normal(1, 36, heads[1], 8)
    args = [q, kv, kv + 1, normal(1, 36, heads[0], 8)]

    def fun(q, k, v):
        return op("attention", q, k, v, causal=True, scale=0.3)[0]

    graph = vjp_graph(ir.build(fun, *(Aval(a.shape, f32) for a in args[:3])), (0, 1, 2))
    found = compared(graph, args, 60.0)
    names = [found.kernels[d.kernel].name for d in found.dispatches]
    assert "attention_dq_and_attention_dkv" in names


@pytest.mark.parametrize("sizes", [(16, 24), (4, 20, 8), (12, 5)])
@pytest.mark.parametrize(
    ("spec", "rows"), [("mk,kn->mn", 70), ("mk,nk->mn", 64), ("km,kn->mn", 94)]
)
def test_sums_of_products_are_one_kernel(spec, rows, sizes):
    left, right = spec.split("->")[0].split(",")
    letters = {"m": rows, "n": 64}
    args = [normal(rows, 64)]
    for k in sizes:
        args += [normal(*({**letters, "k": k}[c] for c in side)) for side in (left, right)]

    def fun(other, *operands):
        pairs = zip(operands[::2], operands[1::2], strict=True)
        total, *rest = [op("dot", a, b, spec=spec) for a, b in pairs]
        for product in rest:
            total = op("add", total, product)
        return op("tanh", op("add", total, other) * 0.1)

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    whole = all(k % 4 == 0 for k in sizes)
    found = templates(compared(graph, args, profile=wide(units=1)))
    assert found == ["matmul_tile"] * (1 if whole else len(sizes))


@pytest.mark.parametrize(("units", "product"), [(1, "matmul_tile"), (64, "bundle")])
def test_products_of_few_tiles_stay_apart(units, product):
    """Both fill the device together, and the kernel that reads their sum adds them."""
    args = [normal(64, 16), normal(16, 64), normal(64, 24), normal(24, 64)]

    def fun(a, b, c, d):
        first, second = (op("dot", *pair, spec="mk,kn->mn") for pair in ((a, b), (c, d)))
        total = op("add", first, second)
        return op("sum", op("mul", total, total), axes=(1,))

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    assert templates(compared(graph, args, profile=wide(units=units))) == [product, "row"]


def test_joined_operands_that_others_read_are_stored():
    args = [normal(8, 16), normal(8, 12), normal(28, 20)]

    def fun(a, b, w):
        both = op("concat", a, b, axis=1)
        return op("dot", both, w, spec="mk,kn->mn"), op("exp", both)

    graph = ir.build(fun, *(Aval(a.shape, f32) for a in args))
    compared(graph, args)
    alone = ir.build(lambda *xs: fun(*xs)[0], *(Aval(a.shape, f32) for a in args))
    assert templates(compared(alone, args)) == ["matmul_tile"]


def test_rows_that_a_workgroup_of_their_own_would_share_fit_a_bundle():
    """16,384 floats have 512 invocations where a row stands alone; a bundle has 256."""
    x = Aval((512, 16384), f32)

    def both(x, y):
        return op("softmax", x), op("sum", y, axes=(1,))

    program = compile_graph(ir.build(both, x, x), H100)
    assert [k.template for k in program.kernels] == ["bundle"]
    assert program.kernels[0].workgroup == (256, 1, 1)
