"""Values that a backward pass reads, computed again instead of kept.

Invariant: the graph computes the same values. What is computed again stands behind a barrier, so no
pass merges it with the first computation, right before the first equation that reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from itertools import accumulate

from ..build import attributed, building, emit, read
from ..graph import Eqn, Graph, Value, Var
from ..prims.call import optimization_barrier

FIXED = ("control", "collective")  # never computed twice, but for gathers
GATHERED = 1000  # operations in the time that a byte comes from another device of a machine
SMALL = 1 << 12  # bytes that are not worth a second computation
NARROW = 1.5  # a waist is this much narrower than what lies on either side of it


def is_backward(eqn: Eqn) -> bool:
    """Whether differentiation wrote an equation."""
    return eqn.scope == "grad" or eqn.scope.startswith("grad(")


def candidates(graph: Graph, fixed: Set[Var] = frozenset()) -> list[Var]:
    """Values that could be computed again, those first that free most bytes for an operation.

    The values at the waists of the forward pass, such as the residual stream between two blocks,
    are none: second computations start there, one block after another. Nor are those that are
    `fixed`, where they start as well. Bodies of loops count.
    """
    cost = _costs(graph, fixed)
    place = {v: n for n, v in enumerate(cost)}
    return sorted(cost, key=lambda v: (round(cost[v], 1), -v.aval.nbytes, place[v]))


def by_price(graph: Graph) -> dict[float, list[Var]]:
    """The `candidates` by what a byte of them costs, in operations, the cheapest first: those of
    equal layers are equal."""
    cost, found = _costs(graph, frozenset()), {}
    for v in candidates(graph):
        found.setdefault(round(cost[v], 1), []).append(v)
    return found


def _costs(graph: Graph, fixed: Set[Var]) -> dict[Var, float]:
    """Operations per byte of each value that could be computed again, in the order of the graph."""
    made, narrow = _forward(graph), waists(graph) | fixed
    kept = _read_late(graph, made) | narrow
    options = kept - set(graph.outs) - narrow
    costs: dict[Var, float] = {}
    for eqn in graph.eqns:
        for inner in eqn.subgraphs():
            costs |= _costs(inner, fixed)
        for v in options.intersection(eqn.outs):
            chain = _chain(v, made, kept - {v}) if v.aval.nbytes > SMALL else None
            if chain is not None:
                costs[v] = sum(map(_cost, chain)) / v.aval.nbytes
    return costs


def _cost(eqn: Eqn) -> float:
    """Operations; a message is as many as the device could do meanwhile."""
    if eqn.prim.kind == "collective":
        return GATHERED * sum(v.aval.nbytes for v in eqn.outs)
    return eqn.prim.flops(*(x.aval for x in eqn.ins), **eqn.params)


def _runs_once(eqn: Eqn) -> bool:
    """Whether an equation may not be computed twice. What is gathered once more is what was."""
    return eqn.effectful or (eqn.prim.kind in FIXED and eqn.prim.name != "all_gather")


def waists(graph: Graph) -> set[Var]:
    """Values that alone lead from one part of the forward pass to the next.

    A waist is a place in the order of equations that fewer bytes cross than on either side of it,
    by the factor NARROW (a minimum of that prominence), as in Chen et al., 2016.
    """
    eqns = [e for e in graph.eqns if not is_backward(e)]
    last = {x: n for n, e in enumerate(eqns) for x in e.ins if isinstance(x, Var)}
    made = {v: n for n, e in enumerate(eqns) for v in e.outs}
    width = [0] * (len(eqns) + 1)
    for v, start in made.items():
        width[start] += v.aval.nbytes
        width[last.get(v, start)] -= v.aval.nbytes
    width = list(accumulate(width))
    narrow = [n for n in range(len(eqns)) if _is_minimum(width, n)]
    return {v for v, start in made.items() for n in narrow if start <= n < last.get(v, start)}


def _is_minimum(width: list[int], place: int) -> bool:
    """Whether it rises by the factor NARROW on both sides before it falls below what it is here."""
    here = width[place]

    def rises(side: Iterable[int]) -> bool:
        return next((w >= NARROW * here for w in side if not here <= w < NARROW * here), False)

    return here > 0 and rises(reversed(width[:place])) and rises(width[place + 1 :])


def _forward(graph: Graph) -> dict[Var, Eqn]:
    return {v: e for e in graph.eqns for v in e.outs if not is_backward(e)}


def _read_late(graph: Graph, made: dict[Var, Eqn]) -> set[Var]:
    """Results of the forward pass that a backward equation reads."""
    return {v for e in graph.eqns if is_backward(e) for v in e.ins if v in made}


def _chain(v: Var, made: dict[Var, Eqn], kept: set[Var]) -> list[Eqn] | None:
    """The equations that compute v from kept values and inputs; None if one cannot run twice."""
    found: dict[Eqn, None] = {}
    stack = [v]
    while stack:
        eqn = made[stack.pop()]
        if eqn in found:
            continue
        if _runs_once(eqn):
            return None
        found[eqn] = None
        stack += [x for x in eqn.ins if isinstance(x, Var) and x in made and x not in kept]
    return list(found)


def recompute(graph: Graph, chosen: Iterable[Var], fixed: Set[Var] = frozenset()) -> Graph:
    """The graph whose backward equations read second computations of the chosen values; what is
    `fixed` is at hand for these."""
    chosen = set(chosen)
    again = _Again(graph, chosen, fixed)
    with building() as builder:
        again.env = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            backward = is_backward(eqn)
            with attributed(eqn.src, eqn.scope):
                ins = [again.read(v) if backward else read(again.env, v) for v in eqn.ins]
                params = eqn.with_subgraphs(lambda inner: recompute(inner, chosen, fixed))
                outs = builder.emit(eqn.prim, ins, params)
            again.env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(again.env, v) for v in graph.outs])


def _late(eqn: Eqn) -> str:
    """The scope of an equation that is done once more in the backward pass; its stage is kept."""
    return f"grad({eqn.scope})" if eqn.scope else "grad"


class _Again:
    """The first and the second computation of values; `env` holds the first."""

    def __init__(self, graph: Graph, chosen: set[Var], fixed: Set[Var]) -> None:
        self.place = {e: n for n, e in enumerate(graph.eqns)}
        self.made = _forward(graph)
        self.chosen = chosen
        self.kept = (_read_late(graph, self.made) | waists(graph) | fixed) - chosen
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
        chain = _chain(v, self.made, self.kept | self.second.keys())
        assert chain is not None  # `candidates` takes no value whose chain cannot run twice
        chain.sort(key=self.place.__getitem__)
        inner = {x for e in chain for x in e.outs}
        leaves = [x for e in chain for x in e.ins if isinstance(x, Var) and x not in inner]
        leaves = [x for x in dict.fromkeys(leaves) if x not in self.second]
        with attributed(self.made[v].src, _late(self.made[v])):
            held = (
                emit(optimization_barrier, *(read(self.env, x) for x in leaves)) if leaves else ()
            )
        local = {**self.second, **dict(zip(leaves, held, strict=True))}
        for eqn in chain:
            with attributed(eqn.src, _late(eqn)):
                outs = emit(eqn.prim, *(read(local, x) for x in eqn.ins), **eqn.params)
            outs = outs if isinstance(outs, tuple) else (outs,)
            local.update(zip(eqn.outs, outs, strict=True))
        self.second.update((x, local[x]) for x in inner)
