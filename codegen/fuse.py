"""Fusion: which values exist in memory, and which kernel computes each.

Invariant: a value is either *stored* (computed by exactly one group, in memory) or pulled into
every group that reads it. Groups only ever merge when each reads the other's results at the very
index it writes and no third group stands between them, so the groups stay acyclic.

The decisions, in order: (1) results of contractions, reductions and kernels of their own are
stored; (2) a contraction takes over the elementwise chain that alone uses it (epilogue); (3) what
a contraction reads is stored unless it is a view or nearly free; (4) so is a value that several
groups need, unless recomputing is cheaper; (5) elementwise groups join the group that feeds them,
rows join rows, siblings that share an operand join each other; (6) values only their own group
reads are not stored after all; (7) a group that exceeds the profile's binding limit is split.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ir.graph import Eqn, Graph, Value, Var

from .bundle import bundle
from .dataflow import IN_PLACE, WHOLE, Dataflow, Group
from .materialise import materialise
from .merge import merge
from .profile import Profile

SMALL = 4096  # bytes that are never missed


@dataclass(frozen=True, eq=False)
class Region:
    """A finished group: its equations as a graph of their own over the tensors it reads.

    `aliases` pairs positions (output, input) that share one buffer. The `parts` of a bundle are
    regions that share one dispatch.
    """

    kind: str
    graph: Graph
    ins: tuple[Var, ...]
    outs: tuple[Var, ...]
    rows: int
    width: int
    root: Eqn | None
    aliases: tuple[tuple[int, int], ...] = ()
    parts: tuple[Region, ...] = ()

    def key(self) -> tuple:
        """Equal keys make equal kernels."""
        if self.parts:
            number = {v: n for n, v in enumerate((*self.ins, *self.outs))}
            tensors = (tuple(number[v] for v in (*p.ins, *p.outs)) for p in self.parts)
            return self.kind, self.aliases, tuple(p.key() for p in self.parts), tuple(tensors)
        root = self.graph.eqns.index(self.root) if self.root else -1
        return self.kind, self.rows, self.width, root, self.aliases, self.graph.key()

    @property
    def tensors(self) -> tuple[Var, ...]:
        """What its kernel binds, in order: results in place of an input share its binding."""
        aliased = {o for o, _ in self.aliases}
        return (*self.ins, *(v for o, v in enumerate(self.outs) if o not in aliased))


def fuse(graph: Graph, profile: Profile, donate: Iterable[tuple[int, int]] = ()) -> list[Region]:
    """Partition a legalised graph into regions, in an order in which they can run.

    `donate` pairs (input, output): the output may be written over the input. Raises ValueError
    when one equation needs more buffers than the profile allows.
    """
    flow = Dataflow(graph, profile, {graph.outs[j]: graph.ins[i] for i, j in donate})
    materialise(flow)
    merge(flow)
    _drop_internal(flow)
    bundles = bundle(flow, _order(flow))
    last_read = {v: i for i, groups in enumerate(bundles) for g in groups for v in g.reads}
    regions: list[Region] = []
    for at, groups in enumerate(bundles):
        parts = [_region(flow, g, at, last_read) for g in groups]
        bound = sum(len(p.tensors) for p in parts)
        regions += [side_by_side(parts)] if bound <= profile.storage_buffers else parts
    return regions


def _drop_internal(flow: Dataflow) -> None:
    """Values that no other group reads stay in registers."""
    needed = flow.results.union(*(g.reads for g in flow.groups))
    for group in flow.groups:
        if group.kind in WHOLE:
            continue
        group.outs = [v for v in group.outs if v in needed] or group.outs[-1:]
    flow.stored = {v for g in flow.groups for v in g.outs}


def _order(flow: Dataflow) -> list[Group]:
    """Depth first from each group in program order: producers right before their consumers.

    What releases at least the memory that it takes does not wait for its place in the program.
    """
    done: set[int] = set()
    ordered: list[Group] = []
    rank = _ranks(flow)
    for group in sorted(flow.groups, key=lambda g: (rank[id(g)], g.last)):
        stack = [(group, False)]
        while stack:
            current, ready = stack.pop()
            if id(current) in done:
                continue
            if ready:
                done.add(id(current))
                ordered.append(current)
                continue
            stack.append((current, True))
            sources = sorted(flow.sources(current), key=lambda g: -g.last)
            stack.extend((g, False) for g in sources if id(g) not in done and g is not current)
    return ordered


def _ranks(flow: Dataflow) -> dict[int, int]:
    """When each group is to run, as a position in the program."""
    readers: dict[Var, list[Group]] = {}
    for group in flow.groups:
        for v in group.reads:
            readers.setdefault(v, []).append(group)
    rank: dict[int, int] = {}
    for group in sorted(flow.groups, key=lambda g: g.last):
        rank[id(group)] = group.last
        if _releases(flow, group, readers):
            own = {flow.donors.get(v) for v in group.outs} & group.reads
            others = [g.last for v in own for g in readers[v] if g is not group]
            sources = [rank.get(id(g), g.last) for g in flow.sources(group) if g is not group]
            rank[id(group)] = min(group.last, max([0, *others, *sources]))
    return rank


def _releases(flow: Dataflow, group: Group, readers: dict[Var, list[Group]]) -> bool:
    """Whether running a group leaves no more memory in use than before."""
    if group.kind == "loop":
        return False
    taken = [v for v in group.outs if flow.donors.get(v) not in group.reads]
    held = [v for v in group.reads - flow.inputs - flow.results if len(readers[v]) == 1]
    return sum(v.aval.nbytes for v in taken) <= max(SMALL, sum(v.aval.nbytes for v in held))


def _region(flow: Dataflow, group: Group, at: int, last_read: dict[Var, int]) -> Region:
    eqns = tuple(flow.pulled(group.outs, set(group.outs)))
    made = {v for e in eqns for v in e.outs}
    read = (v for e in eqns for v in e.ins if isinstance(v, Var) and v not in made)
    ins = tuple(dict.fromkeys(read))
    aliases = []
    for o, v in enumerate(group.outs):
        donor = flow.donors.get(v)
        if donor in ins and last_read.get(donor) == at and _in_place(flow, group, v, donor):
            aliases.append((o, ins.index(donor)))
    outs = tuple(group.outs)
    graph = Graph(ins, eqns, outs)
    kind, rows = group.kind, group.rows
    if kind == "update" and not aliases:  # someone still needs the old value: write a whole new one
        kind, rows = "map", outs[0].aval.size
    return Region(kind, graph, ins, outs, rows, group.width, group.root, tuple(aliases))


def side_by_side(parts: Sequence[Region]) -> Region:
    """Independent regions as one; a single one is itself."""
    if len(parts) == 1:
        return parts[0]
    ins = tuple(dict.fromkeys(v for p in parts for v in p.ins))
    outs = tuple(v for p in parts for v in p.outs)
    overwritten = {p.outs[o]: p.ins[i] for p in parts for o, i in p.aliases}
    aliases = tuple((outs.index(o), ins.index(i)) for o, i in overwritten.items())
    graph = Graph(ins, tuple(e for p in parts for e in p.graph.eqns), outs)
    rows = sum(p.rows for p in parts)
    return Region("bundle", graph, ins, outs, rows, 1, None, aliases, tuple(parts))


def _in_place(flow: Dataflow, group: Group, v: Var, donor: Var) -> bool:
    """All reads of the donor in this group are at the element that is written, or ordered by its
    kernel."""
    if group.kind == "attention":  # `legalize` keeps those alone that write to a cache in place
        return group.root.prim.name == "attention_with_cache" and donor is group.root.ins[3]
    if group.kind == "update":
        x, *others = flow.define(v).ins
        return x is donor and not any(flow.reaches(o, {donor}) for o in others)
    if group.kind not in IN_PLACE or donor.aval.size != v.aval.size:
        return False
    if group.kind == "row" and v.aval.size != group.rows * group.width:
        return False  # one invocation stores what all that share the row may read
    if group.root and any(flow.reaches(x, {donor}) for x in group.root.ins):
        return False
    known: dict[Value, bool] = {}
    return all(_reads_at_element(flow, flow.define(o), donor, group, known) for o in group.outs)


def _reads_at_element(
    flow: Dataflow, eqn: Eqn, donor: Var, group: Group, known: dict[Value, bool]
) -> bool:
    if eqn is group.root:
        return True
    if eqn.prim.kind != "elementwise" and eqn.prim.name != "reshape":
        return not any(flow.reaches(x, {donor}) for x in eqn.ins)
    return all(_operand_at_element(flow, x, donor, group, known) for x in eqn.ins)


def _operand_at_element(
    flow: Dataflow, v: Value, donor: Var, group: Group, known: dict[Value, bool]
) -> bool:
    if flow.in_memory(v) and v not in group.outs:
        return True
    if v not in known:  # what a large expression uses often is walked once
        known[v] = _reads_at_element(flow, flow.define(v), donor, group, known)
    return known[v]
