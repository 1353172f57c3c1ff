"""Row kernels: reductions over contiguous rows, with the elementwise work around them.

A row is handled by one invocation ("serial", for software adapters and short rows) or by several
of a workgroup, which may hold several rows ("shared"). Reductions that need each other's results
run in successive phases; each phase walks the row once, and elementwise results are stored in a
last walk. On a GPU a maximum and the sums of exponentials below it share a walk: an invocation
keeps its sum relative to the highest value it has seen (Milakov and Gimelshein, 2018). Values that
are the same for the whole row are computed between the walks. What several walks read, and each
invocation reads a few times only, stays in its registers: memory is then read once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ir.dtypes import f32
from ir.graph import Eqn, Graph, Lit, Value, Var

from ..expr import Expr, add, depends, loads, mul, substitute, sym
from ..frame import Frame, independent
from ..lower import Lowering
from ..parts import consecutive
from ..profile import Profile
from ..render import render
from ..rows import MOST_HELD, RowLayout, row_decision, row_layout
from ..wgsl import Writer, choose_vec, value_type
from .base import (
    LANE,
    Accumulator,
    Kernel,
    accumulators,
    ceil_div,
    counted,
    finish,
    group_index,
    guard_condition,
    write_stores,
)
from .functions import mentioned


@dataclass(frozen=True)
class Held:
    """What an invocation keeps of an operand between walks: a vec4 for each of its visits."""

    name: str
    load: Expr

    @property
    def now(self) -> Expr:
        """The vec4 of the visit at hand."""
        return sym(f"{self.name}[visit]", None, None, self.load.dtype)


@dataclass(frozen=True)
class Walk:
    """One pass over the row: `before` it row-wide lets, inside `lines` for each step.

    A sum named in `below` is relative to what its invocation has seen, until these statements.
    """

    before: tuple[str, ...]
    lines: tuple[str, ...]
    sums: tuple[Accumulator, ...]
    below: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def indexed(self) -> bool:
        """Whether its steps differ."""
        return mentioned("j", self.lines)


def build_row(frame: Frame, profile: Profile, threads: int = 0) -> Kernel:
    """A kernel over `region.rows` rows of `region.width` elements.

    `threads` are the invocations of a workgroup, if that is settled.
    """
    region = frame.region
    layout = row_layout(region, profile)
    decision = None if threads else row_decision(region, profile, layout)
    layout = layout.of_size(threads, region.rows) if threads else layout
    again = profile.kind != "cpu" and region.width > layout.step * layout.lanes > layout.step
    body = _Body(frame, layout, again)
    walks, stores = body.walks(), body.row_stores()
    groups = ceil_div(region.rows, layout.rows)
    share = f"{layout.rows} per" if layout.rows > 1 else "one per"
    per = "one per invocation" if layout.serial else f"{share} workgroup of {layout.threads}"
    sums = [a for w in walks for a in w.sums]
    wgsl = render(
        "row",
        header=frame.header(f"{counted(region.rows, 'row')} of {region.width}, {per}"),
        bindings=frame.declarations(body.vec),
        layout=layout,
        held=body.held,
        group=group_index(groups),
        indexed=mentioned("row", [line for w in walks for line in (*w.before, *w.lines)] + stores),
        guard=guard_condition("row", groups, layout.rows, region.rows, layout.serial),
        visits=region.width // layout.step,
        walks=walks,
        stores=stores,
        value_type=value_type,
        scratch=list(dict.fromkeys(a.dtype for a in sums)),
    )
    visits = len(walks) * ceil_div(region.width // layout.step, layout.lanes)
    memory = 0 if layout.serial else 4 * layout.threads * len({a.dtype for a in sums})
    kernel = finish(
        frame, "row", wgsl, layout.threads, groups, loop_iterations=visits, workgroup_bytes=memory
    )
    return replace(kernel, decision=decision)


class _Body:
    """The statements of a row kernel, walk by walk."""

    def __init__(self, frame: Frame, layout: RowLayout, again: bool) -> None:
        self.frame, self.layout = frame, layout
        region = frame.region
        self.row = sym("row", 0, region.rows - 1)
        visits = region.width // layout.step
        self.j = sym(layout.lane if visits == layout.lanes else "j", 0, visits - 1)
        self.lane = LANE if layout.step == 4 else None
        self.varying = [self.j] if self.lane is None else [self.j, LANE]
        column = add(mul(self.j, 4), LANE) if self.lane else self.j
        self.flat = add(mul(self.row, region.width), column)
        self.start = add(mul(self.row, region.width), mul(self.j, layout.step))
        self.phases = _phases(region.graph)
        sums = accumulators([e for phase in self.phases for e in phase])
        self.sums = {a.eqn.out: a for a in sums}
        local = {v: a.result() for v, a in self.sums.items()}
        self.low = Lowering(region.graph, frame.sources, local)
        pairs = list(zip(region.outs, frame.targets, strict=True))
        self.wide = [(v, t) for v, t in pairs if not self._row_level(v)]
        self.narrow = [(v, t) for v, t in pairs if self._row_level(v)]
        self.operands = {e.out: self._operand(e) for phase in self.phases for e in phase}
        self.values = [(t, self.low.at(v, self.flat)) for v, t in self.wide]
        self.vec = self._widths()
        self.writer = frame.writer(self.vec, "  ")
        self.held = self._held(visits) if again else []
        self.online = again and not self.held
        self._kept: dict[Expr, Expr] = {}  # loads of walks before, and what stands for them
        for h in self.held:
            self.writer.declare_vector(h.now)
            self.varying.append(h.now)

    def _held(self, visits: int) -> list[Held]:
        """What several walks read; none if it is too much for an invocation, or cut unevenly."""
        each, rest = divmod(visits, self.layout.lanes)
        if rest or self.lane is None:
            return []
        walks = [[self.operands[e.out] for e in phase] for phase in self.phases]
        walks.append([x for _, x in self.values])
        read = Counter(x for walk in walks for x in {y for z in walk for y in loads(z)})
        often = [x for x, times in read.items() if times > 1 and depends(x, self.j)]
        if each * len(often) > MOST_HELD or not all(map(self._is_quad, often)):
            return []
        names: list[str] = []
        for x in often:
            name = f"{self.frame.names[x.value]}_held"
            while name in (*names, *self.frame.names):
                name += "_too"
            names.append(name)
        return [Held(name, x) for name, x in zip(names, often, strict=True)]

    def _is_quad(self, load: Expr) -> bool:
        """Whether its four lanes are one vec4 in memory."""
        return self.vec[load.value] == 4 and consecutive(load.args[0], self.lane)

    def _row_level(self, v: Var) -> bool:
        """One value a row. In rows of one element reductions are; elementwise results are not."""
        if self.frame.region.width == 1:
            return v in self.sums
        return v.aval.size == self.frame.region.rows

    def _operand(self, eqn: Eqn) -> Expr:
        return self.sums[eqn.out].operand(self.low.at(eqn.ins[0], self.flat))

    def _widths(self) -> list[int]:
        if self.lane is None:
            return [1] * len(self.frame.vars)
        exprs = [*self.operands.values(), *(x for _, x in self.values)]
        vec = choose_vec(exprs, LANE, len(self.frame.vars), self.frame.elements)
        for _, t in self.wide:
            vec[t] = 4
        return vec

    def walks(self) -> list[Walk]:
        found = []
        phases = [tuple(self.sums[e.out] for e in phase) for phase in self.phases]
        while phases:
            sums, *phases = phases
            below = self._below(sums, phases[0]) if phases else {}
            if below:
                found.append(self._online_walk(sums, phases.pop(0), below))
            else:
                found.append(self._reduce_walk(sums))
        if self.wide:
            found.append(self._store_walk())
        return found

    def _before(self, exprs: Sequence[Expr]) -> tuple[str, ...]:
        """Name, outside of the walk, what the walk needs and does not change along the row."""
        mark = len(self.writer.lines)
        for x in independent(exprs, self.varying):
            self.writer.bind(x)
        return tuple(self.writer.lines[mark:])

    def _from_held(self, exprs: Sequence[Expr]) -> list[Expr]:
        """The same, with what walks before have kept."""
        return [substitute(x, self._kept) for x in exprs] if self._kept else list(exprs)

    def _keep(self, inner: Writer, exprs: Sequence[Expr]) -> None:
        """Keep what this walk, of `exprs`, is the first to read and another one reads again."""
        for h in self.held:
            if h.load not in self._kept and any(depends(x, h.load) for x in exprs):
                inner.bind4(h.load, self.lane)
                name = inner.value4(h.load, self.lane)
                inner.lines.append(f"    {h.now.value} = {name};")
                self._kept[h.load] = h.now

    def _reduce_walk(self, sums: tuple[Accumulator, ...]) -> Walk:
        exprs = self._from_held([self.operands[a.eqn.out] for a in sums])
        before = self._before(exprs)
        inner = self.writer.child()
        inner.plan(exprs, self.lane)
        self._keep(inner, exprs)
        for a, x in zip(sums, exprs, strict=True):
            text = inner.value4(x, self.lane) if self.lane else inner.value(x)
            inner.lines.append(f"    {a.into(a.name + '_part', text)}")
        return Walk(before, tuple(_indented(inner.lines)), sums)

    def _below(
        self, first: Sequence[Accumulator], then: Sequence[Accumulator]
    ) -> dict[Accumulator, tuple[Accumulator, Expr]]:
        """(maximum, what stands for it) of each sum of `then` if all are sums of exp(x - that)."""
        tops = [a for a in first if a.eqn.prim.monoid == "max" and a.dtype is f32]
        by_operand = {self.operands[a.eqn.out]: a for a in tops} if self.online else {}
        found = {}
        for a in then:
            term = self.operands[a.eqn.out]
            shifted = term.args[0] if term.op == "exp" else None
            if a.eqn.prim.monoid != "add" or shifted is None or shifted.op != "sub":
                return {}
            x, base = shifted.args
            top = by_operand.get(x)
            if top is None or any(depends(base, v) for v in self.varying):
                return {}
            found[a] = top, base
        return found

    def _online_walk(
        self,
        first: tuple[Accumulator, ...],
        then: tuple[Accumulator, ...],
        below: Mapping[Accumulator, tuple[Accumulator, Expr]],
    ) -> Walk:
        exprs = [self.operands[a.eqn.out] for a in first]
        before = self._before(exprs)
        inner = self.writer.child()
        inner.plan(exprs, self.lane)
        for a, x in zip(first, exprs, strict=True):
            text = inner.value4(x, self.lane) if self.lane else inner.value(x)
            part, now, top = (f"{a.name}_{what}" for what in ("part", "now", "top"))
            totals = [f"{b.name}_part" for b in then if below[b][0] is a]
            if not totals:
                inner.lines.append(f"    {a.into(part, text)}")
                continue
            inner.lines.append(f"    let {now} = {a.combine(part, text)};")
            inner.lines.append(f"    let {top} = {self._finite(now)};")  # infinity - it is no NaN
            for total in totals:
                kept, new = (f"exp({y} - {top})" for y in (self._finite(part), text))
                inner.lines.append(f"    {total} = fma({total}, {kept}, {new});")
            inner.lines.append(f"    {part} = {now};")
        return Walk(before, tuple(_indented(inner.lines)), (*first, *then), self._rescaled(below))

    def _rescaled(
        self, below: Mapping[Accumulator, tuple[Accumulator, Expr]]
    ) -> dict[str, tuple[str, ...]]:
        found = {}
        for a, (top, base) in below.items():
            lets = self._before([base])
            kept = f"exp({self._finite(f'{top.name}_part')} - {self.writer.value(base)})"
            found[a.name] = (*lets, f"  {a.name}_part *= {kept};")
        return found

    def _finite(self, text: str) -> str:
        """WGSL of a value with infinity brought within range."""
        most = "3.4028234e38"
        return f"min({text}, {f'vec4<f32>({most})' if self.lane else most})"

    def _store_walk(self) -> Walk:
        values = self._from_held([x for _, x in self.values])
        before = self._before(values)
        inner = self.writer.child()
        stores = [(t, self.start, x) for (t, _), x in zip(self.values, values, strict=True)]
        write_stores(self.frame, inner, stores, self.lane)
        return Walk(before, tuple(_indented(inner.lines)), ())

    def row_stores(self) -> list[str]:
        """Statements that store one value a row."""
        if not self.narrow:
            return []
        inner = self.writer.child() if not self.layout.serial else self.writer
        mark = len(inner.lines)
        stores = [(t, self.row, self.low.at(v, self.row)) for v, t in self.narrow]
        inner.plan([], None, stores)
        for store in stores:
            inner.store(*store)
        return _indented(inner.lines[mark:]) if not self.layout.serial else inner.lines[mark:]


def _indented(lines: Sequence[str]) -> list[str]:
    """Inner lines at four blanks."""
    return ["    " + line.strip() for line in lines]


def _phases(graph: Graph) -> list[list[Eqn]]:
    """Reductions by how many others must be finished before them."""
    depth: dict[Var, int] = {}
    phases: list[list[Eqn]] = []
    for eqn in graph.eqns:
        below = max((_depth(v, depth) for v in eqn.ins), default=0)
        if eqn.prim.kind == "reduce":
            while len(phases) <= below:
                phases.append([])
            phases[below].append(eqn)
            below += 1
        depth.update((v, below) for v in eqn.outs)
    return phases


def _depth(v: Value, depth: dict[Var, int]) -> int:
    return 0 if isinstance(v, Lit) else depth.get(v, 0)
