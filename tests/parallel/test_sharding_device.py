"""Sharded train steps on virtual devices of the adapter: kernels and collectives against numpy."""

from __future__ import annotations

import numpy as np
import pytest

import runtime
from codegen.compile import compile_graph
from ir import Aval
from ir.passes.messages import arranged
from ir.sharding import local_shape
from runtime.mesh import MeshExecutable, VirtualTeam
from runtime.shards import Layout

from .harness import fetched, stored
from .test_sharding import alone, program, traced, worst


def on_devices(done, args) -> list[np.ndarray]:
    """The results of a ShardedGraph on virtual devices."""
    device = runtime.default_device()
    compiled = compile_graph(done.graph, device.profile)
    wholes = [Aval(np.shape(x), v.aval.dtype) for x, v in zip(args, done.graph.ins, strict=True)]
    ins = [Layout(done.mesh, a, s) for a, s in zip(wholes, done.in_specs, strict=True)]
    outs = []
    for v, spec in zip(done.graph.outs, done.out_specs, strict=True):
        shape = [n * done.mesh.along(d) for n, d in zip(v.aval.shape, spec.dims, strict=True)]
        assert local_shape(shape, spec, done.mesh) == v.aval.shape
        outs.append(Layout(done.mesh, Aval(tuple(shape), v.aval.dtype), spec))
    made = MeshExecutable(VirtualTeam(done.mesh, device), compiled, ins, outs)
    found = made.run([stored(np.asarray(x), a) for x, a in zip(args, wholes, strict=True)])
    return [fetched(s, o.aval) for s, o in zip(found, outs, strict=True)]


@pytest.mark.parametrize(
    ("kinds", "parts", "context"),
    [(("tp", "cp"), 1, "ring"), (("fsdp", "sp"), 4, "gather")],
    ids=str,
)
def test_a_mesh_on_the_adapter_equals_one_device(kinds, parts, context):
    done = arranged(program(kinds, parts, context, zigzag=context == "ring"))
    _, args, _, _ = traced(kinds, parts)
    assert worst(on_devices(done, args), alone(parts)) <= 1e-5
