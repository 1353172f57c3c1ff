"""Per-device graphs on virtual devices, and what `vmap` over every axis of the mesh says of them.

Invariant: an argument has one row for each device, which is its piece; results come back alike, so
the two ways of running a graph can be compared row by row.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import runtime
from codegen.compile import compile_graph
from ir import Aval, Graph, bool_, evaluate
from ir.passes.batch import batch_all
from ir.sharding import MeshShape, Spec
from runtime.mesh import MeshExecutable, Team, VirtualTeam
from runtime.shards import Layout


def rows(mesh: MeshShape, aval) -> Layout:
    """One row for each device."""
    whole = Aval((mesh.count, *aval.shape), aval.dtype)
    return Layout(mesh, whole, Spec((mesh.names, *((),) * aval.ndim)))


def executable(
    graph: Graph, mesh: MeshShape, donate: Sequence[tuple[int, int]] = (), team: Team | None = None
) -> MeshExecutable:
    """The graph on virtual devices of the default adapter, or on another team."""
    device = runtime.default_device()
    program = compile_graph(graph, device.profile, donate=donate, verify=True)
    ins = [rows(mesh, a) for a in graph.in_avals]
    outs = [rows(mesh, a) for a in graph.out_avals]
    return MeshExecutable(team or VirtualTeam(mesh, device), program, ins, outs)


def stored(x: np.ndarray, aval) -> np.ndarray:
    return x.astype(np.uint32 if aval.dtype is bool_ else aval.dtype.np)


def fetched(shards: runtime.Shards, aval) -> np.ndarray:
    kind = np.dtype(np.uint32) if aval.dtype is bool_ else aval.dtype.np
    raw = np.frombuffer(shards.start_read().result(), kind)
    return raw.reshape(shards.layout.aval.shape).astype(aval.dtype.np)


def run(graph: Graph, mesh: MeshShape, *args: np.ndarray) -> list[np.ndarray]:
    made = executable(graph, mesh)
    results = made.run([stored(x, a) for x, a in zip(args, graph.in_avals, strict=True)])
    return [fetched(s, a) for s, a in zip(results, graph.out_avals, strict=True)]


def by_vmap(graph: Graph, mesh: MeshShape, *args: np.ndarray) -> list[np.ndarray]:
    """The same by batching along one axis after another, on the oracle."""
    for name, size in zip(reversed(mesh.names), reversed(mesh.sizes), strict=True):
        graph = batch_all(graph, (True,) * len(graph.ins), size, name)
    split = [x.reshape(*mesh.sizes, *x.shape[1:]) for x in args]
    return [y.reshape(mesh.count, *y.shape[len(mesh.sizes) :]) for y in evaluate(graph, *split)]
