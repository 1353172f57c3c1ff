"""Values that a backward pass reads, computed again instead of kept.

Invariant: the graph computes the same values. What is computed again stands behind a barrier, so no
pass merges it with the first computation, right before the first equation that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from ..build import attributed, building, emit, read
from ..graph import Eqn, Graph, Value, Var
from ..prims.call import optimization_barrier

HEAVY = ("contract", "composite", "control", "scatter", "collective", "gather")
SMALL = 1 << 12  # bytes that are not worth a second computation


def is_backward(eqn: Eqn) -> bool:
    """Whether differentiation wrote an equation."""
    return eqn.scope == "grad" or eqn.scope.startswith("grad(")


def candidates(graph: Graph) -> list[Var]:
    """Values that could be computed again, those first that free most bytes for an operation."""
    made = {v: e for e in graph.eqns for v in e.outs if not is_backward(e)}
    results = set(graph.outs)
    kept = {v for e in graph.eqns if is_backward(e) for v in e.ins if v in made}
    cost = {}
    for v in kept - results:
        chain = _chain(v, made, kept - {v})
        if v.aval.nbytes > SMALL and not any(
            e.effectful or e.prim.kind == "control" for e in chain
        ):
            flops = sum(e.prim.flops(*(x.aval for x in e.ins), **e.params) for e in chain)
            cost[v] = flops / v.aval.nbytes if chain else inf
    place = {v: n for n, v in enumerate(made)}
    return sorted(cost, key=lambda v: (round(cost[v], 1), -v.aval.nbytes, place[v]))


def _chain(v: Var, made: dict[Var, Eqn], kept: set[Var]) -> list[Eqn]:
    """The equations that compute v from kept values, inputs and results of heavy equations."""
    found: dict[Eqn, None] = {}
    stack = [made[v]]
    while stack:
        eqn = stack.pop()
        found[eqn] = None
        for x in eqn.ins:
            inner = made.get(x) if isinstance(x, Var) else None
            if inner is not None and x not in kept and inner.prim.kind not in HEAVY:
                stack.append(inner)
    return list(found)


def recompute(graph: Graph, chosen: Iterable[Var]) -> Graph:
    """The graph whose backward equations read second computations of the chosen values."""
    again = _Again(graph, set(chosen))
    with building() as builder:
        again.env = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            backward = is_backward(eqn)
            with attributed(eqn.src, eqn.scope):
                ins = [again.read(v) if backward else read(again.env, v) for v in eqn.ins]
                outs = builder.emit(eqn.prim, ins, eqn.params)
            again.env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(again.env, v) for v in graph.outs])


class _Again:
    """The first and the second computation of values; `env` holds the first."""

    def __init__(self, graph: Graph, chosen: set[Var]) -> None:
        self.place = {e: n for n, e in enumerate(graph.eqns)}
        self.made = {v: e for e in graph.eqns for v in e.outs if not is_backward(e)}
        read_late = {v for e in graph.eqns if is_backward(e) for v in e.ins if v in self.made}
        self.chosen, self.kept = chosen, read_late - chosen
        self.env: dict[Var, Value] = {}
        self.second: dict[Var, Value] = {}

    def read(self, v: Value) -> Value:
        """What a backward equation reads for v."""
        if v not in self.chosen:
            return read(self.env, v)
        if v not in self.second:
            self._compute(v)
        return self.second[v]

    def _compute(self, v: Var) -> None:
        chain = sorted(self._needed(v), key=self.place.__getitem__)
        inner = {x for e in chain for x in e.outs}
        leaves = [x for e in chain for x in e.ins if isinstance(x, Var) and x not in inner]
        leaves = [x for x in dict.fromkeys(leaves) if x not in self.second]
        held = emit(optimization_barrier, *(read(self.env, x) for x in leaves)) if leaves else ()
        local = {**self.second, **dict(zip(leaves, held, strict=True))}
        for eqn in chain:
            with attributed(eqn.src, "grad"):
                outs = emit(eqn.prim, *(read(local, x) for x in eqn.ins), **eqn.params)
            outs = outs if isinstance(outs, tuple) else (outs,)
            local.update(zip(eqn.outs, outs, strict=True))
        self.second.update((x, local[x]) for x in inner if x in self.chosen)

    def _needed(self, v: Var) -> list[Eqn]:
        """Equations of v down to what is kept; heavy ones only for what was chosen."""
        found: dict[Eqn, None] = {}
        stack = [v]
        while stack:
            x = stack.pop()
            eqn = self.made[x]
            if eqn in found:
                continue
            found[eqn] = None
            for y in eqn.ins:
                inner = self.made.get(y) if isinstance(y, Var) else None
                if inner is None or y in self.kept or y in self.second:
                    continue
                if inner.prim.kind not in HEAVY or y in self.chosen:
                    stack.append(y)
        return list(found)
