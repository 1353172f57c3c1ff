"""Every primitive cut in two along every axis of every operand, against the whole, with numpy.

Invariant: whatever lies where, the devices together compute what one does; an axis that has a
factor is cut without a gather, and a pending sum passes through exactly what is linear in it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ir import MeshShape, Spec, check, evaluate
from ir.interp import host_dtype
from ir.passes.shard import shard
from ir.prim import PRIMITIVES, Primitive
from ir.sharding import join, split, whole
from ir.spmd import evaluate_spmd, run_lockstep

from .. import strategies

MESH = MeshShape(("x",), (2,))
ZIGZAG = MeshShape(("x",), (2,), frozenset({"x"}))
CASES = 8  # samples of a primitive


def test_every_primitive_has_a_rule():
    """Its factors, a rule of its own, or a graph that stands for it."""
    from ir.passes.special import SPECIAL

    for name, prim in PRIMITIVES.items():
        own = type(prim).factors is not Primitive.factors
        calls = type(prim).callee is not Primitive.callee
        assert own or calls or name in SPECIAL or prim.kind == "collective", name


def cases(name: str) -> Iterator[tuple]:
    """(sample, graph, arrays, results) of samples with an axis to cut."""
    found = [s for s in strategies.samples(name) if any(n % 2 == 0 < n for a in s.avals
                                                         for n in a.shape)]  # fmt: skip
    for sample in found[:CASES]:
        graph = sample.graph()
        arrays = sample.arrays()
        yield sample, graph, arrays, evaluate(graph, *arrays, wide=True)


def close(found: np.ndarray, wanted: np.ndarray) -> bool:
    return np.allclose(found, wanted, rtol=1e-11, atol=1e-11, equal_nan=True)


@pytest.mark.parametrize("name", strategies.LOCAL)
def test_an_operand_may_be_cut_along_any_axis(name):
    tried = 0
    for sample, graph, arrays, wanted in cases(name):
        for i, aval in enumerate(sample.avals):
            for d, n in enumerate(aval.shape):
                for mesh in (MESH, ZIGZAG):
                    if n == 0 or n % (4 if mesh is ZIGZAG else 2):
                        continue
                    specs = [whole(v.aval.ndim) for v in graph.ins]
                    dims = tuple(("x",) if e == d else () for e in range(aval.ndim))
                    specs[i] = Spec(dims)
                    sharded = shard(graph, mesh, specs)
                    check(sharded.graph)
                    for f, w in zip(evaluate_spmd(sharded, *arrays, wide=True), wanted,
                                    strict=True):  # fmt: skip
                        assert close(f, w), f"{sample} cut {i}, {d}:\n{sharded.graph}"
                    tried += 1
    assert tried or all(not a.shape for s in strategies.samples(name) for a in s.avals)


@pytest.mark.parametrize("name", strategies.LOCAL)
def test_a_factor_is_cut_without_a_gather(name):
    prim = PRIMITIVES[name]
    calls = type(prim).callee is not Primitive.callee or name == "shard_map"
    if prim.kind == "control" or calls:
        return  # what they hold is cut
    for sample, graph, _, _ in cases(name):
        factors = prim.factors(*sample.avals, **sample.params)
        for i, dims in enumerate(factors.ins[:1] if name == "scatter" else factors.ins):
            for d, f in enumerate(dims):
                sizes = [n for aval, of in zip(sample.avals, factors.ins, strict=True)
                         for n, g in zip(aval.shape, of, strict=True) if g == f]  # fmt: skip
                sizes += [n for v, of in zip(graph.outs, factors.outs, strict=True)
                          for n, g in zip(v.aval.shape, of, strict=True) if g == f]  # fmt: skip
                if f is None or any(n % 2 or not n for n in sizes):
                    continue
                specs = [whole(v.aval.ndim) for v in graph.ins]
                specs[i] = Spec(tuple(("x",) if e == d else () for e in range(len(dims))))
                text = str(shard(graph, MESH, specs).graph)
                assert "all_gather" not in text, f"{sample}:\n{text}"


@pytest.mark.parametrize("name", strategies.LOCAL)
def test_a_pending_sum_passes_what_is_linear_alone(name):
    for sample, graph, arrays, wanted in cases(name):
        for i, aval in enumerate(sample.avals):
            if not aval.dtype.is_float:
                continue
            specs = [whole(v.aval.ndim) for v in graph.ins]
            specs[i] = Spec(specs[i].dims, frozenset({"x"}))
            outs = [Spec(((),) * v.aval.ndim, frozenset({"x"})) for v in graph.outs]
            sharded = shard(graph, MESH, specs, outs)
            wide = [x.astype(host_dtype(v.aval, True)) for x, v in zip(arrays, graph.ins,
                                                                       strict=True)]  # fmt: skip
            given, x = [split(x, whole(x.ndim), MESH) for x in wide], wide[i]
            part = np.random.default_rng(1).integers(-99, 99, x.shape) / 64  # no rounding
            given[i] = [part, x - part]
            found = run_lockstep(sharded.graph, MESH, given, wide=True)
            for f, w, spec in zip(found, wanted, sharded.out_specs, strict=True):
                assert close(join(f, spec, MESH), w), f"{sample} sum {i}:\n{sharded.graph}"
