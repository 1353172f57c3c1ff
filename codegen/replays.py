"""Second computations: which values belong to one, and the graph without the barriers that say so.

Invariant: a value's replay is the number of the latest barrier it depends on, 0 before any. Groups
of different replays never share a kernel, so that a value computed again for a backward pass is
computed when that pass needs it, and not kept from the first time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ir.graph import Eqn, Graph, Value, Var
from ir.prims.call import optimization_barrier


@dataclass(frozen=True)
class Replays:
    """`graph` has no barriers; `held` are the values that passed through one and were read behind
    it, and `number` are the replays above 0."""

    graph: Graph
    number: dict[Var, int]
    held: tuple[Value, ...]


def without_barriers(graph: Graph) -> Replays:
    """Let what reads a barrier's results read its operands; graph outputs must not be results."""
    stands: dict[Var, Value] = {}
    number: dict[Var, int] = {}
    eqns: list[Eqn] = []
    held: list[Value] = []
    count = 0
    read = graph.users()
    for eqn in graph.eqns:
        level = max((number.get(v, 0) for v in eqn.ins), default=0)
        if any(v in stands for v in eqn.ins):
            eqn = replace(eqn, ins=tuple(stands.get(v, v) for v in eqn.ins))
        if eqn.prim is optimization_barrier:
            count += 1
            level = count
            stands.update(zip(eqn.outs, eqn.ins, strict=True))
            held.extend(stands[v] for v in eqn.outs if v in read)
        else:
            eqns.append(eqn)
        if level:
            number.update((v, level) for v in eqn.outs)
    if not count:
        return Replays(graph, number, ())
    return Replays(Graph(graph.ins, tuple(eqns), graph.outs), number, tuple(held))
