"""Per-device programs, and their oracle: all devices in lockstep, with numpy.

Invariant: every device runs the same graph on values of its own; what differs between devices is
what they were given and what `axis_index` says. Loops and branches go the same way on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .graph import Eqn, Graph, Value, Var
from .interp import host_dtype, run_equation
from .sharding import MeshShape, Spec, join, split

Each = list[np.ndarray]  # one array a device


@dataclass(frozen=True)
class ShardedGraph:
    """The program that every device of a mesh runs: `graph`, on parts of the whole arrays.

    `in_specs` and `out_specs` say how its inputs and outputs are parts of the whole ones; see
    `ir.sharding.split` and `join`. Devices talk through the collectives in the graph alone, and
    `axis_index` alone differs between them. `inspected` are the callbacks that asked how a value
    lies, each with the answer.
    """

    graph: Graph
    mesh: MeshShape
    in_specs: tuple[Spec, ...]
    out_specs: tuple[Spec, ...]
    inspected: tuple[tuple[Callable, Spec], ...] = ()


def evaluate_spmd(sharded: ShardedGraph, *args: Any, wide: bool = False) -> list[np.ndarray]:
    """The results of a `ShardedGraph` for whole arrays, put together from all devices.

    With `wide`, floats are float64 throughout.
    """
    graph, mesh = sharded.graph, sharded.mesh
    given = []
    for arg, v, spec in zip(args, graph.ins, sharded.in_specs, strict=True):
        host = np.asarray(arg).astype(host_dtype(v.aval, wide), copy=False)
        given.append(split(host, spec, mesh))
    outs = run_lockstep(graph, mesh, given, wide)
    return [join(each, spec, mesh) for each, spec in zip(outs, sharded.out_specs, strict=True)]


def run_lockstep(graph: Graph, mesh: MeshShape, given: Sequence[Each], wide: bool = False) -> list:
    """What each device gets for each output of a per-device graph."""
    env: dict[Var, Each] = dict(zip(graph.ins, given, strict=True))
    with np.errstate(all="ignore"):
        for eqn in graph.eqns:
            ins = [_read(env, v, mesh, wide) for v in eqn.ins]
            env.update(zip(eqn.outs, _run(eqn, ins, mesh, wide), strict=True))
    return [_read(env, v, mesh, wide) for v in graph.outs]


def _read(env: dict[Var, Each], v: Value, mesh: MeshShape, wide: bool) -> Each:
    if isinstance(v, Var):
        return env[v]
    return [np.full(v.aval.shape, v.value, host_dtype(v.aval, wide))] * mesh.count


def _run(eqn: Eqn, ins: Sequence[Each], mesh: MeshShape, wide: bool) -> list[Each]:
    """The results of one equation, each for every device."""
    if eqn.prim.kind == "collective":
        return _collective(eqn, ins, mesh)
    if eqn.axis_names():
        return eqn.prim.lockstep(ins, lambda g, xs: run_lockstep(g, mesh, xs, wide), **eqn.params)
    each = [run_equation(eqn, xs, wide) for xs in _by_device(ins, mesh.count)]
    return [list(out) for out in zip(*each, strict=True)]


def _by_device(ins: Sequence[Each], count: int) -> list[tuple]:
    return list(zip(*ins, strict=True)) if ins else [()] * count


def _collective(eqn: Eqn, ins: Sequence[Each], mesh: MeshShape) -> list[Each]:
    """Each result of one operand, or of none."""
    outs: list[Each] = [[None] * mesh.count for _ in eqn.outs]
    for group in mesh.groups(eqn.params["axes"]):
        for n, out in enumerate(outs):
            xs = [ins[n][device] for device in group] if ins else [None] * len(group)
            results = eqn.prim.members(xs, **eqn.params)
            for device, result in zip(group, results, strict=True):
                out[device] = result
    return outs
