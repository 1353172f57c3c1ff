"""Fusion: which values exist in memory, and which kernel computes each.

Invariant: a value is either *materialised* (computed by exactly one group and stored) or inlined
into every group that reads it. Groups only ever merge when each reads the other's results at the
very index it writes and no third group stands between them, so the groups stay acyclic.

The decisions, in order: (1) results of contractions, reductions and kernels of their own are
materialised; (2) a contraction takes over the elementwise chain that alone uses it (epilogue);
(3) what a contraction reads is materialised unless it is a view or nearly free; (4) so is a value
that several groups need, unless recomputing is cheaper; (5) elementwise groups join the group that
feeds them, rows join rows, siblings that share an operand join each other, all within the
profile's binding limit; (6) values only their own group reads are not stored after all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import prod

from ir.graph import Eqn, Graph, Lit, Value, Var

from .legalize import is_suffix
from .profile import Profile

HEAVY = ("contract", "reduce", "composite")
FREE = ("broadcast", "reshape", "transpose", "slice", "rev", "cast", "iota", "bitcast")
COSTLY = ("exp", "log", "sin", "cos", "tanh", "logistic", "pow", "sqrt", "rsqrt")
SIMPLE_VIEWS = ("broadcast", "reshape", "transpose", "slice", "rev", "cast")
FEW_ROWS = 32  # a reduction of fewer rows than this lacks the parallelism to carry elementwise work
SMALL = 4096  # ... unless there is next to no work
NEAR = 256  # equations; joining what lies further apart would keep operands alive for nothing


@dataclass(eq=False)
class Group:
    """A kernel in the making. `rows` x `width` is its iteration space (width 1 unless kind "row")."""

    kind: str  # "map" | "row" | "column" | "dot" | "attention"
    outs: list[Var]
    rows: int
    width: int = 1
    root: Eqn | None = None
    reads: set[Var] = field(default_factory=set)
    first: int = 0  # least and greatest position of an equation that defines one of `outs`
    last: int = 0


@dataclass(frozen=True, eq=False)
class Region:
    """A finished group: its equations as a graph of their own over the tensors it reads.

    `aliases` pairs positions (output, input) that share one buffer.
    """

    kind: str
    graph: Graph
    ins: tuple[Var, ...]
    outs: tuple[Var, ...]
    rows: int
    width: int
    root: Eqn | None
    aliases: tuple[tuple[int, int], ...] = ()

    def key(self) -> tuple:
        """Equal keys make equal kernels."""
        root = self.graph.eqns.index(self.root) if self.root else -1
        return self.kind, self.rows, self.width, root, self.aliases, self.graph.key()


def fuse(graph: Graph, profile: Profile, donate: Iterable[tuple[int, int]] = ()) -> list[Region]:
    """Partition a legalised graph into regions, in an order in which they can run."""
    donors = {graph.outs[j]: graph.ins[i] for i, j in donate}
    fusion = _Fusion(graph, profile, donors)
    fusion.materialise()
    fusion.merge()
    fusion.drop_internal()
    return fusion.regions()


class _Fusion:
    def __init__(self, graph: Graph, profile: Profile, donors: dict[Var, Var]) -> None:
        self.graph, self.profile, self.donors = graph, profile, donors
        self.place = {v: i for i, e in enumerate(graph.eqns) for v in e.outs}
        self.inputs = set(graph.ins)
        self.results = {v for v in graph.outs if isinstance(v, Var)}
        self.users = graph.users()
        self.owner: dict[Var, Group] = {}
        self.groups: list[Group] = []

    def define(self, v: Var) -> Eqn:
        return self.graph.eqns[self.place[v]]

    # --- which values are materialised ----------------------------------------------------------

    def materialise(self) -> None:
        self.stored: set[Var] = set(self.results)
        claimed = self._claim_epilogues()
        for eqn in self.graph.eqns:
            if eqn.prim.kind in HEAVY:
                self.stored.update(v for v in eqn.outs if v not in claimed)
                if eqn.prim.kind != "reduce":
                    self.stored.update(self._operand_roots(eqn))
        self._store_shared()
        for v in sorted(self.stored - self.inputs, key=self.place.__getitem__):
            if v not in self.owner:
                self._open(v, claimed)
        for group in list(self.groups):
            while len(group.reads) + len(group.outs) > self.profile.storage_buffers:
                self._split(group)

    def _split(self, group: Group) -> None:
        """Rule 7: store the intermediate value that takes the most operands off an over-full group."""
        budget = self.profile.storage_buffers - 1
        best, most = None, 1
        for eqn in self._inner(group):
            reads = self._reads_of([eqn.out], set())
            if eqn.prim.kind == "elementwise" and most < len(reads) <= budget:
                best, most = eqn.out, len(reads)
        if best is None:
            raise ValueError(
                f"a kernel needs {len(group.reads) + len(group.outs)} buffers and the profile "
                f"{self.profile.name!r} allows {self.profile.storage_buffers}; combine fewer arrays at once"
            )
        self.stored.add(best)
        self._open(best, {})
        group.reads = self._reads(group)

    def _inner(self, group: Group) -> list[Eqn]:
        """Equations of values that the group computes on the way to its results."""
        found, stack, own = {}, [x for v in group.outs for x in self.define(v).ins], set(group.outs)
        while stack:
            v = stack.pop()
            if (
                isinstance(v, Var)
                and v not in self.inputs
                and v not in self.stored | own
                and v not in found
            ):
                found[v] = self.define(v)
                stack.extend(found[v].ins)
        return [found[v] for v in sorted(found, key=self.place.__getitem__)]

    def _claim_epilogues(self) -> dict[Var, Var]:
        """{contraction result: end of its epilogue}; the chain's values are not stored."""
        ends: dict[Var, Var] = {}
        taken: set[Var] = set()
        for eqn in reversed(self.graph.eqns):
            if eqn.prim.kind != "contract":
                continue
            end = eqn.out
            while (user := self._only_user(end)) and user.out not in taken:
                end = user.out
                taken.add(end)
            if end is not eqn.out:
                ends[eqn.out] = end
        self.stored.update(ends.values())
        return ends

    def _only_user(self, v: Var) -> Eqn | None:
        """The one elementwise equation of the same shape that reads v, if nothing else does."""
        users = self.users.get(v, ())
        if len(users) != 1 or v in self.results:
            return None
        eqn = users[0]
        same = eqn.prim.kind == "elementwise" and eqn.out.aval.shape == v.aval.shape
        return eqn if same else None

    def _operand_roots(self, eqn: Eqn) -> Iterable[Var]:
        """What a contraction or attention reads, seen through views, unless nearly free."""
        for v in eqn.ins:
            while isinstance(v, Var) and v not in self.inputs:
                inner = self.define(v)
                if inner.prim.name not in SIMPLE_VIEWS:
                    break
                v = inner.ins[0]
            attention = eqn.prim.kind == "composite"
            if isinstance(v, Var) and v not in self.inputs and (attention or not self._free(v)):
                yield v

    def _free(self, v: Value) -> bool:
        """A pull of views, casts, comparisons and integer arithmetic on inputs and constants."""
        if isinstance(v, Lit) or v in self.inputs:
            return True
        eqn = self.define(v)
        exact = eqn.prim.kind == "elementwise" and not v.aval.dtype.is_float
        light = exact or eqn.prim.name in FREE
        return light and all(self._free(x) for x in eqn.ins)

    def _store_shared(self) -> None:
        """Rule 4, in reverse order: how many different kernels would compute this value?"""
        cost = self._costs()
        sinks: dict[Var, set[Var]] = {}
        for eqn in reversed(self.graph.eqns):
            if eqn.prim.kind in HEAVY:
                continue
            v = eqn.out
            if v in self.stored:
                continue
            mine: set[Var] = set()
            for user in self.users.get(v, ()):
                ends = user.prim.kind in HEAVY or user.out in self.stored
                mine |= {user.out} if ends else sinks.get(user.out, set())
            sinks[v] = mine
            if self._worth_storing(eqn, mine, cost[v]):
                self.stored.add(v)

    def _worth_storing(self, eqn: Eqn, sinks: set[Var], cost: tuple[int, int]) -> bool:
        if eqn.prim.kind != "elementwise":
            return False
        flops, loads = cost
        if flops > 1 and any(
            u.out.aval.size > eqn.out.aval.size
            for u in self.users.get(eqn.out, ())
            if u.prim.name == "broadcast"
        ):
            return True
        if len(sinks) < 2:
            return False
        limit = (6, 2) if len(sinks) == 2 else (3, 1)
        return flops > limit[0] or loads > limit[1]

    def _costs(self) -> dict[Var, tuple[int, int]]:
        """(operations, full-size loads) to recompute each value from stored ones; an upper bound."""
        cost: dict[Var, tuple[int, int]] = {}
        for eqn in self.graph.eqns:
            size = eqn.outs[0].aval.size
            if eqn.prim.kind in HEAVY:
                cost.update((v, (0, 1)) for v in eqn.outs)
                continue
            flops = 4 if eqn.prim.name in COSTLY else 0 if eqn.prim.name in FREE else 1
            loads = 0
            for v in eqn.ins:
                if isinstance(v, Var):
                    f, n = (0, 1) if v in self.stored or v in self.inputs else cost[v]
                    flops += f
                    loads += n if v.aval.size * 4 > size else 0
            cost[eqn.out] = flops, loads
        return cost

    # --- groups -----------------------------------------------------------------------------------

    def _open(self, v: Var, claimed: dict[Var, Var]) -> None:
        """A group for one stored value."""
        start = next((d for d, end in claimed.items() if end is v), None) if claimed else None
        eqn = self.define(start or v)
        kind = eqn.prim.kind
        if kind == "composite":
            group = Group("attention", list(eqn.outs), eqn.outs[0].aval.size, root=eqn)
        elif kind == "contract":
            group = Group("dot", [v], v.aval.size, root=eqn)
        elif kind == "reduce":
            group = self._open_reduce(eqn)
        else:
            group = Group("map", [v], v.aval.size)
        self.groups.append(group)
        self.owner.update((o, group) for o in group.outs)
        places = [self.place[o] for o in group.outs]
        group.first, group.last = min(places), max(places)
        group.reads = self._reads(group)

    def _open_reduce(self, eqn: Eqn) -> Group:
        x, rows = eqn.ins[0].aval, eqn.out.aval.size
        kind = "row" if is_suffix(eqn.params["axes"], x.ndim) else "column"
        return Group(kind, [eqn.out], rows, x.size // rows, eqn if kind == "column" else None)

    def _reads(self, group: Group) -> set[Var]:
        """Stored values of others that the group's values are computed from."""
        return self._reads_of(group.outs, set(group.outs))

    def _reads_of(self, values: Iterable[Var], own: set[Var]) -> set[Var]:
        found, seen = set(), set()
        stack = list(values)
        while stack:
            v = stack.pop()
            if v in seen or isinstance(v, Lit):
                continue
            seen.add(v)
            if v not in own and (v in self.inputs or v in self.stored):
                found.add(v)
            else:
                stack.extend(self.define(v).ins)
        return found

    # --- merging ----------------------------------------------------------------------------------

    def merge(self) -> None:
        self._merge_vertical()
        self._merge_siblings()
        self._merge_vertical()

    def _merge_vertical(self) -> None:
        for group in list(self.groups):
            for v in sorted(group.reads - self.inputs, key=self.place.__getitem__, reverse=True):
                current = self.owner[group.outs[0]]
                producer = self.owner.get(v)
                if producer is not None and producer is not current:
                    self._try(producer, current)

    def _merge_siblings(self) -> None:
        readers: dict[Var, list[Group]] = {}
        for group in self.groups:
            for v in group.reads:
                if v.aval.size > 1 or group.rows == 1:
                    readers.setdefault(v, []).append(group)
        for v in sorted(readers, key=lambda v: self.place.get(v, -1)):
            self._merge_among(readers[v], lambda g: (g.rows, g.width))
        scalars = [g for g in self.groups if g.kind == "map" and g.rows == 1]
        self._merge_among(scalars, lambda g: 1)

    def _merge_among(self, groups: list[Group], key) -> None:
        classes: dict[tuple, list[Group]] = {}
        for group in groups:
            found = self.owner[group.outs[0]]
            bucket = [self._now(g) for g in classes.setdefault(key(found), [])]
            if not any(g is found or self._try(g, found) for g in _near(found, bucket)):
                classes[key(found)].append(found)

    def _now(self, group: Group) -> Group:
        return self.owner[group.outs[0]]

    def _try(self, a: Group, b: Group) -> bool:
        """Merge b into a (or a into b) if that is legal and useful."""
        shape = _joint(a, b)
        if shape is None:
            return False
        outs = a.outs + b.outs
        reads = (a.reads | b.reads) - set(outs)
        if not self._fits(outs, reads) or not self._parallel(shape, outs):
            return False
        if not self._aligned(outs, shape) or self._between(a, b):
            return False
        kind, rows, width, root = shape
        a.kind, a.rows, a.width, a.root = kind, rows, width, root
        a.outs, a.reads = sorted(outs, key=self.place.__getitem__), reads
        a.first, a.last = min(a.first, b.first), max(a.last, b.last)
        self.owner.update((o, a) for o in b.outs)
        self.groups.remove(b)
        return True

    def _fits(self, outs: list[Var], reads: set[Var]) -> bool:
        """Within the binding limit, counting only results that somebody else will read."""
        inner = set(outs)
        stored = [v for v in outs if v in self.results or self._read_outside(v, inner)]
        shared = [v for v in stored if self.donors.get(v) in reads]
        return len(stored) - len(shared) + len(reads) <= self.profile.storage_buffers

    def _read_outside(self, v: Var, inner: set[Var]) -> bool:
        group = self.owner[v]
        return any(
            v in g.reads and g is not group and not inner.issuperset(g.outs)
            for g in self.groups_of(v)
        )

    def groups_of(self, v: Var) -> Iterable[Group]:
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

    def _parallel(self, shape: tuple, outs: list[Var]) -> bool:
        """A kernel of few long rows must not carry full-size results."""
        kind, rows, width, _ = shape
        if kind != "row" or rows >= FEW_ROWS or rows * width <= SMALL:
            return True
        return all(v.aval.size == rows for v in outs)

    def _between(self, a: Group, b: Group) -> bool:
        """Whether a path leaves one of the two and comes back to the other through a third."""
        return self._path(a, b) or self._path(b, a)

    def _path(self, start: Group, end: Group) -> bool:
        """A path start -> third -> ... -> end?"""
        stack = [g for g in self._sources(end) if g is not start and g is not end]
        seen = set(map(id, stack))
        while stack:
            group = stack.pop()
            for source in self._sources(group):
                if source is start:
                    return True
                if id(source) not in seen and source is not end and source.last > start.first:
                    seen.add(id(source))
                    stack.append(source)
        return False

    def _sources(self, group: Group) -> Iterable[Group]:
        return {id(g): g for v in group.reads if (g := self.owner.get(v))}.values()

    def _aligned(self, outs: list[Var], shape: tuple) -> bool:
        """Each member reads the others only at the index it is computed at."""
        own = set(outs)
        return all(self._member_aligned(v, own, shape) for v in outs)

    def _member_aligned(self, v: Var, own: set[Var], shape: tuple) -> bool:
        kind, rows, width, root = shape
        eqn = self.define(v)
        if eqn is root or kind == "column":
            return not any(self._reaches(x, own) for x in eqn.ins)
        if kind != "column" and eqn.prim.kind == "reduce":
            return self._path_aligned(eqn.ins[0], own, rows, width, True)
        wide = v.aval.size == rows * width
        return self._step_aligned(eqn, own, rows, width, wide)

    def _path_aligned(self, v: Value, own: set[Var], rows: int, width: int, wide: bool) -> bool:
        """Does the pull from v, at the current element (wide) or row, stay in step with `own`?"""
        if isinstance(v, Lit) or v in self.inputs:
            return True
        if v in own:
            return v.aval.size == (rows * width if wide else rows)
        if v in self.stored:
            return True
        return self._step_aligned(self.define(v), own, rows, width, wide)

    def _step_aligned(self, eqn: Eqn, own: set[Var], rows: int, width: int, wide: bool) -> bool:
        name = eqn.prim.name
        if eqn.prim.kind == "elementwise" or name == "reshape":
            return all(self._path_aligned(x, own, rows, width, wide) for x in eqn.ins)
        if name == "broadcast" and wide and _row_to_element(eqn, rows, width):
            return self._path_aligned(eqn.ins[0], own, rows, width, False)
        if eqn.prim.kind == "contract":  # the root, below its epilogue
            return wide and not any(self._reaches(x, own) for x in eqn.ins)
        return not any(self._reaches(x, own) for x in eqn.ins)

    def _reaches(self, v: Value, own: set[Var]) -> bool:
        stack, seen = [v], set()
        while stack:
            x = stack.pop()
            if isinstance(x, Lit) or x in seen:
                continue
            seen.add(x)
            if x in own:
                return True
            if x not in self.inputs and x not in self.stored:
                stack.extend(self.define(x).ins)
        return False

    # --- finishing --------------------------------------------------------------------------------

    def drop_internal(self) -> None:
        """Values that no other group reads stay in registers."""
        needed = set(self.results)
        for group in self.groups:
            needed |= group.reads
        for group in self.groups:
            group.outs = [v for v in group.outs if v in needed] or group.outs[-1:]
        self.stored = {v for g in self.groups for v in g.outs}

    def regions(self) -> list[Region]:
        ordered = self._order()
        last_read = {v: i for i, g in enumerate(ordered) for v in g.reads}
        return [self._region(g, i, last_read) for i, g in enumerate(ordered)]

    def _order(self) -> list[Group]:
        """Depth first from each group in program order: producers right before their consumers."""
        done: set[int] = set()
        ordered: list[Group] = []
        for group in sorted(self.groups, key=lambda g: g.last):
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
                sources = sorted(self._sources(current), key=lambda g: -g.last)
                stack.extend((g, False) for g in sources if id(g) not in done and g is not current)
        return ordered

    def _region(self, group: Group, at: int, last_read: dict[Var, int]) -> Region:
        graph, ins = self._subgraph(group)
        aliases = []
        for o, v in enumerate(group.outs):
            donor = self.donors.get(v)
            if donor in ins and last_read.get(donor) == at and self._in_place(group, v, donor):
                aliases.append((o, ins.index(donor)))
        return Region(
            group.kind,
            graph,
            ins,
            tuple(group.outs),
            group.rows,
            group.width,
            group.root,
            tuple(aliases),
        )

    def _in_place(self, group: Group, v: Var, donor: Var) -> bool:
        """All reads of the donor in this group are at the element that is written."""
        if group.kind not in ("map", "dot") or donor.aval.size != v.aval.size:
            return False
        if group.root and any(self._reaches_input(x, donor) for x in group.root.ins):
            return False
        return all(self._reads_at_element(o, donor, group) for o in group.outs)

    def _reaches_input(self, v: Value, donor: Var) -> bool:
        stack, seen = [v], set()
        while stack:
            x = stack.pop()
            if x is donor:
                return True
            if (
                isinstance(x, Var)
                and x not in seen
                and x not in self.inputs
                and x not in self.stored
            ):
                seen.add(x)
                stack.extend(self.define(x).ins)
        return False

    def _reads_at_element(self, v: Value, donor: Var, group: Group, top: bool = True) -> bool:
        if v is donor:
            return True
        if isinstance(v, Lit) or v in self.inputs:
            return True
        if not top and v in self.stored and v not in group.outs:
            return True
        eqn = self.define(v)
        if eqn is group.root:
            return True
        if eqn.prim.kind == "elementwise" or eqn.prim.name == "reshape":
            return all(self._reads_at_element(x, donor, group, False) for x in eqn.ins)
        return not any(self._reaches_input(x, donor) for x in eqn.ins)

    def _subgraph(self, group: Group) -> tuple[Graph, tuple[Var, ...]]:
        """The group's equations in order, over the tensors it reads in order of first use."""
        places: set[int] = set()
        stack = list(group.outs)
        own = set(group.outs)
        seen: set[Var] = set()
        while stack:
            v = stack.pop()
            if isinstance(v, Lit) or v in seen:
                continue
            seen.add(v)
            if v in own or (v not in self.inputs and v not in self.stored):
                places.add(self.place[v])
                stack.extend(self.define(v).ins)
        eqns = tuple(self.graph.eqns[i] for i in sorted(places))
        made = {v for e in eqns for v in e.outs}
        ins = dict.fromkeys(v for e in eqns for v in e.ins if isinstance(v, Var) and v not in made)
        return Graph(tuple(ins), eqns, tuple(group.outs)), tuple(ins)


def _near(group: Group, others: Iterable[Group]) -> list[Group]:
    """Those of `others` that start within reach of where `group` ends, or the other way round."""
    return [g for g in others if max(g.first, group.first) - min(g.last, group.last) <= NEAR]


def _joint(a: Group, b: Group) -> tuple | None:
    """(kind, rows, width, root) of the merged kernel, or None if the two have no common space."""
    kinds = {a.kind, b.kind}
    if kinds == {"map"} and a.rows == b.rows:
        return "map", a.rows, 1, None
    if kinds == {"map", "dot"}:
        dot = a if a.kind == "dot" else b
        return ("dot", dot.rows, 1, dot.root) if a.rows == b.rows else None
    if kinds == {"row"} and (a.rows, a.width) == (b.rows, b.width):
        return "row", a.rows, a.width, None
    if kinds == {"map", "row"}:
        row, flat = (a, b) if a.kind == "row" else (b, a)
        fits = flat.rows in (row.rows * row.width, row.rows)
        return ("row", row.rows, row.width, None) if fits else None
    if kinds == {"column"}:
        return _joint_columns(a, b)
    return None


def _joint_columns(a: Group, b: Group) -> tuple | None:
    x, y = a.root, b.root
    same = x.params == y.params and x.ins[0].aval.shape == y.ins[0].aval.shape
    return ("column", a.rows, a.width, a.root) if same else None


def _row_to_element(eqn: Eqn, rows: int, width: int) -> bool:
    """Does this broadcast repeat one value a row over the row's elements?"""
    shape, dims = eqn.params["shape"], eqn.params["dims"]
    x = eqn.ins[0].aval
    if x.size != rows or prod(shape) != rows * width:
        return False
    split = 0
    while prod(shape[:split]) < rows:
        split += 1
    if prod(shape[:split]) != rows:
        return False
    kept = [d for n, d in zip(x.shape, dims, strict=True) if n > 1]
    return kept == [d for d in range(split) if shape[d] > 1]
