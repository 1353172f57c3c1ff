"""The dataflow of a graph as fusion sees it: stored values, and the groups that compute them.

Invariant: `stored` holds the values that exist in memory; each is owned by exactly one group, and
everything else is pulled, that is recomputed, by whichever group reads it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ir.graph import Eqn, Graph, Lit, Value, Var
from ir.prims.cond import cond

from .collectives import is_member
from .handwritten import is_handwritten
from .packing import updates_in_quads
from .profile import Profile
from .reductions import is_suffix
from .replays import without_barriers

# Kinds that are no kernel, but steps of the plan around others, or between devices.
STEPS = ("loop", "switch", "collective")
WHOLE = (*STEPS, "handwritten")  # kinds that write all their results, read or not
IN_PLACE = ("map", "dot", "row", "scatter")  # kinds whose invocations read what they write


@dataclass(eq=False)
class Group:
    """A kernel in the making. It iterates over `rows` x `width` (width 1 unless kind "row")."""

    kind: str  # the name of a strategy, or one of STEPS
    outs: list[Var]
    rows: int
    width: int = 1
    root: Eqn | None = None
    reads: set[Var] = field(default_factory=set)
    first: int = 0  # least and greatest position of an equation that defines one of `outs`
    last: int = 0
    replay: int = 0


class Dataflow:
    """A graph with its definitions, users, stored values and groups.

    `donors` maps a result to the input whose buffer it is to take over.
    """

    def __init__(self, graph: Graph, profile: Profile, donors: dict[Var, Var]) -> None:
        replays = without_barriers(graph)
        self.graph = graph = replays.graph
        self.replay, self.held = replays.number, replays.held
        self.profile, self.donors = profile, donors
        self.place = {v: i for i, e in enumerate(graph.eqns) for v in e.outs}
        self.inputs = {*graph.ins, *members(graph)}
        self.results = {v for v in graph.outs if isinstance(v, Var)}
        self.users = graph.users()
        self.stored: set[Var] = set(self.results)
        self.absorbed: set[Var] = set()  # what the prologues of matvecs compute
        self.owner: dict[Var, Group] = {}
        self.groups: list[Group] = []

    def define(self, v: Var) -> Eqn:
        return self.graph.eqns[self.place[v]]

    def in_memory(self, v: Value) -> bool:
        """A constant, an input or a stored value: nothing to compute."""
        return isinstance(v, Lit) or v in self.inputs or v in self.stored

    def open(self, v: Var, eqn: Eqn) -> Group:
        """A new group for the stored value `v`, whose work begins with `eqn`."""
        kind = eqn.prim.kind
        if kind == "control":
            group = Group("switch" if eqn.prim is cond else "loop", list(eqn.outs), 1, root=eqn)
        elif kind == "collective":
            group = Group("collective", list(eqn.outs), 1, root=eqn)
        elif self._in_place_update(v, eqn):
            group = Group("update", [v], eqn.ins[1].aval.size)
        elif kind == "composite":
            kind = "handwritten" if is_handwritten(eqn) else "attention"
            group = Group(kind, list(eqn.outs), eqn.outs[0].aval.size, root=eqn)
        elif kind == "contract":
            group = Group("dot", [v], v.aval.size, root=eqn)
        elif kind == "reduce":
            group = _reduce_group(eqn)
        elif kind == "scatter":
            group = Group("scatter", [v], v.aval.size, root=eqn)
        else:
            group = Group("map", [v], v.aval.size)
        self.groups.append(group)
        self.owner.update((o, group) for o in group.outs)
        places = [self.place[o] for o in group.outs]
        group.first, group.last = min(places), max(places)
        group.replay = max(self.replay.get(o, 0) for o in group.outs)
        group.reads = self.reads_of(group.outs, set(group.outs))
        return group

    def _in_place_update(self, v: Var, eqn: Eqn) -> bool:
        donated = eqn.prim.name == "dynamic_update" and self.donors.get(v) is eqn.ins[0]
        return donated and updates_in_quads(eqn)

    def pulled(self, values: Iterable[Value], own: set[Var]) -> list[Eqn]:
        """Equations that computing `values` runs, in order; `own` values are computed, not read."""
        places: set[int] = set()
        seen: set[Var] = set()
        stack = list(values)
        while stack:
            v = stack.pop()
            if isinstance(v, Lit) or v in seen or (v not in own and self.in_memory(v)):
                continue
            seen.add(v)
            places.add(self.place[v])
            stack.extend(self.define(v).ins)
        return [self.graph.eqns[i] for i in sorted(places)]

    def reads_of(self, values: Iterable[Value], own: set[Var]) -> set[Var]:
        """Stored values and inputs that computing `values` reads."""
        eqns = self.pulled(values, own)
        found = {v for e in eqns for v in e.ins if isinstance(v, Var) and v not in own}
        return {v for v in found if v in self.inputs or v in self.stored}

    def reaches(self, v: Value, targets: set[Var]) -> bool:
        """Whether the pull of `v` reads one of `targets`."""
        stack, seen = [v], set()
        while stack:
            x = stack.pop()
            if isinstance(x, Lit) or x in seen:
                continue
            seen.add(x)
            if x in targets:
                return True
            if not self.in_memory(x):
                stack.extend(self.define(x).ins)
        return False

    def sources(self, group: Group) -> Iterable[Group]:
        """Groups whose results this one reads."""
        return {id(g): g for v in group.reads if (g := self.owner.get(v))}.values()

    def consumers(self, v: Var) -> Iterable[Group]:
        """Groups that may read v: owners of what its users flow into."""
        seen: set[Var] = set()
        stack = [v]
        while stack:
            for user in self.users.get(stack.pop(), ()):
                for out in user.outs:
                    if out in self.owner:
                        yield self.owner[out]
                    elif out not in seen:
                        seen.add(out)
                        stack.append(out)


def members(graph: Graph) -> list[Var]:
    """Numbers of this device along axes: in memory before anything runs, as inputs are."""
    return [e.out for e in graph.eqns if is_member(e)]


def _reduce_group(eqn: Eqn) -> Group:
    x, rows = eqn.ins[0].aval, eqn.out.aval.size
    kind = "row" if is_suffix(eqn.params["axes"], x.ndim) else "column"
    return Group(kind, [eqn.out], rows, x.size // rows, eqn if kind == "column" else None)
