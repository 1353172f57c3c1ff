"""Cutting a graph in two: what is needed first, and the rest.

Invariant: both parts together compute what the graph computes, and nothing twice but constants. The
second part gets from the first no more than the values it reads.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Eqn, Graph, Value, Var
from .simplify import dce


def partition(graph: Graph, first: int, late: Sequence[int]) -> tuple[Graph, Graph, int]:
    """(early part, late part, number of residuals).

    early: (ins but those in `late`) -> (the first `first` outs..., residuals...); late:
    (residuals..., ins in `late`) -> the other outs. No early output may depend on a late input.
    What only later outputs need is computed late, so a recomputation stays where it was put.
    """
    wanted, rest = _needed(graph, graph.outs[:first]), _needed(graph, graph.outs[first:])
    constant = _constants(graph)
    early = set(map(id, wanted)) - constant
    second = [e for e in rest if id(e) not in early]
    delayed = [graph.ins[i] for i in late]
    known = {*delayed, *(v for e in second for v in e.outs)}
    read = [*(v for e in second for v in e.ins), *graph.outs[first:]]
    residuals = tuple(dict.fromkeys(v for v in read if isinstance(v, Var) and v not in known))
    ins = tuple(v for v in graph.ins if v not in set(delayed))
    before = Graph(ins, tuple(wanted), (*graph.outs[:first], *residuals))
    after = Graph((*residuals, *delayed), tuple(second), graph.outs[first:])
    return _separate(dce(before)), _separate(dce(after)), len(residuals)


def _needed(graph: Graph, outs: Sequence[Value]) -> list[Eqn]:
    """The equations that `outs` depend on, and those that call the host, in order."""
    live = {v for v in outs if isinstance(v, Var)}
    found: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if any(v in live for v in eqn.outs) or eqn.effectful:
            found.append(eqn)
            live.update(v for v in eqn.ins if isinstance(v, Var))
    return found[::-1]


def _constants(graph: Graph) -> set[int]:
    """Equations that depend on no input: cheaper to run again than to keep."""
    made: set[Var] = set()
    found: set[int] = set()
    for eqn in graph.eqns:
        if all(not isinstance(v, Var) or v in made for v in eqn.ins) and _cheap(eqn):
            made.update(eqn.outs)
            found.add(id(eqn))
    return found


def _cheap(eqn: Eqn) -> bool:
    return eqn.prim.kind in ("source", "view", "elementwise")


def _separate(graph: Graph) -> Graph:
    """The graph with Vars of its own, which another graph may not share."""
    from ..build import build, inline

    def again(*ins: Value) -> list[Value]:
        return inline(graph, ins)

    return build(again, *graph.in_avals)


__all__ = ["partition"]
