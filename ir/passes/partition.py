"""Cutting a graph in two: what is needed early, and the rest.

Invariant: the two parts together compute what the graph computes. Nothing is computed in both but
constants, and equations that hold graphs (loops, branches, calls) of which some results are early
and some late. The late part reads only those early values that it needs.
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
    delayed = [graph.ins[i] for i in late]
    wanted = dce(Graph(graph.ins, graph.eqns, graph.outs[:first])).eqns
    whole = _independent(graph, delayed, {v for e in wanted for v in e.outs})
    early = _closed(graph, [whole.get(e.outs[0], e) if e.outs else e for e in wanted])
    second = _needed(graph, graph.outs[first:], set(map(id, early)) - _constants(graph))
    known = {*delayed, *(v for e in second for v in e.outs)}
    read = [*(v for e in second for v in e.ins), *graph.outs[first:]]
    residuals = tuple(dict.fromkeys(v for v in read if isinstance(v, Var) and v not in known))
    ins = tuple(v for v in graph.ins if v not in set(delayed))
    before = Graph(ins, tuple(early), (*graph.outs[:first], *residuals))
    after = Graph((*residuals, *delayed), tuple(second), graph.outs[first:])
    return _separate(dce(before)), _separate(dce(after)), len(residuals)


def _independent(graph: Graph, delayed: Sequence[Var], wanted: set[Var]) -> dict[Var, Eqn]:
    """Equations that can run early as they stand, by each of their results.

    Others, which compute something early and something late, run twice: cut to the early results
    first, whole later.
    """
    moving, found = set(delayed), {}
    for eqn in graph.eqns:
        if any(v in moving for v in eqn.ins):
            moving.update(eqn.outs)
        elif any(v in wanted for v in eqn.outs):
            found.update((v, eqn) for v in eqn.outs)
    return found


def _closed(graph: Graph, early: Sequence[Eqn]) -> list[Eqn]:
    """`early` with what its equations read: whole ones may read more than was wanted of them."""
    made = {*graph.ins, *(v for e in early for v in e.outs)}
    missing = {v for e in early for v in e.ins if isinstance(v, Var) and v not in made}
    if not missing:
        return list(early)
    more = _needed(Graph(graph.ins, graph.eqns, tuple(missing)), tuple(missing), set())
    place = {v: n for n, e in enumerate(graph.eqns) for v in (*e.outs, id(e))}
    added = [e for e in more if not any(v in made for v in e.outs)]
    return sorted([*early, *added], key=lambda e: place[e.outs[0] if e.outs else id(e)])


def _needed(graph: Graph, outs: Sequence[Value], given: set[int]) -> list[Eqn]:
    """The equations that `outs` depend on, in order; those in `given` are not looked behind."""
    live = {v for v in outs if isinstance(v, Var)}
    found: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        if id(eqn) not in given and any(v in live for v in eqn.outs):
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
