"""Joining groups into kernels: rule 5 of fusion.

Invariant: two groups merge only if each member reads the others at the very index it is computed
at, no third group stands between them, both belong to one replay, and the result fits the binding
limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import NamedTuple

from ir.graph import Eqn, Value, Var
from ir.prims.unary import cast

from .dataflow import IN_PLACE, Dataflow, Group
from .matvec import is_matvec, roles_of
from .packing import storable
from .scatter import clears

FEW_ROWS = 32  # a reduction of fewer rows than this lacks the parallelism to carry elementwise work
SMALL = 4096  # ... unless there is next to no work
NEAR = 256  # equations; siblings further apart would keep operands alive for nothing


class Space(NamedTuple):
    """The common iteration space of a merged group."""

    kind: str
    rows: int
    width: int
    root: Eqn | None


def merge(flow: Dataflow) -> None:
    """Elementwise groups join the group that feeds them, rows join rows, siblings join siblings."""
    _merge_vertical(flow)
    _merge_siblings(flow)
    _merge_vertical(flow)
    _merge_matvecs(flow)


def _merge_vertical(flow: Dataflow) -> None:
    for group in list(flow.groups):
        for v in sorted(group.reads - flow.inputs, key=flow.place.__getitem__, reverse=True):
            current = _now(flow, group)
            producer = flow.owner.get(v)
            if producer is not None and producer is not current:
                _try(flow, producer, current)


def _merge_siblings(flow: Dataflow) -> None:
    readers: dict[Var, list[Group]] = {}
    for group in flow.groups:
        for v in group.reads:
            if v.aval.size > 1 or group.rows == 1:
                readers.setdefault(v, []).append(group)
    for v in sorted(readers, key=lambda v: flow.place.get(v, -1)):
        _merge_among(flow, readers[v], lambda g: (g.rows, g.width))
    scalars = [g for g in flow.groups if g.kind == "map" and g.rows == 1]
    _merge_among(flow, [g for g in scalars if not _waits(flow, g)], lambda g: 1)


def _waits(flow: Dataflow, group: Group) -> bool:
    """Whether it overwrites what others read: with its siblings it would come too early for that.

    A loop's counter above all: a copy of it would end the compute pass in every iteration.
    """
    donors = {flow.donors.get(v) for v in group.outs} & group.reads
    return any(g is not group and donors & g.reads for g in flow.groups)


def _merge_among(flow: Dataflow, groups: list[Group], key: Callable[[Group], object]) -> None:
    classes: dict[object, list[Group]] = {}
    for group in groups:
        found = _now(flow, group)
        bucket = [_now(flow, g) for g in classes.setdefault(key(found), [])]
        if not any(g is found or _try(flow, g, found) for g in _near(found, bucket)):
            classes[key(found)].append(found)


def _merge_matvecs(flow: Dataflow) -> None:
    """Products of the same few rows with several matrices: one kernel, which stages the rows once.

    The matrices must lie in memory as they are, so that all are read in the same way.
    """
    found: dict[tuple, list[Group]] = {}
    for group in [g for g in flow.groups if g.kind == "dot" and is_matvec(g.root, flow.profile)]:
        who, ins = roles_of(group.root), group.root.ins
        rows, matrix = ins[who.vector], _stored_as(flow, ins[1 - who.vector])
        if flow.in_memory(matrix) and not who.batch:
            key = rows, who.letters, who.out, matrix.aval.dtype, group.replay
            _join_matvec(flow, group, found.setdefault(key, []))


def _stored_as(flow: Dataflow, v: Value) -> Value:
    """What a matrix is read from: a kernel widens it on the way."""
    made = flow.define(v) if v in flow.place else None
    return made.ins[0] if made is not None and made.prim is cast else v


def _join_matvec(flow: Dataflow, group: Group, others: list[Group]) -> None:
    for other in _near(group, others):
        outs = other.outs + group.outs
        reads = other.reads | group.reads
        apart = not reads.intersection(outs) and not _path(flow, other, group)
        if (
            apart
            and not _path(flow, group, other)
            and _fits(flow, Space("matvec", 0, 1, None), outs, reads)
        ):
            other.kind, other.rows = "matvec", sum(v.aval.size for v in outs)
            _absorb(flow, other, group, outs, reads)
            return
    others.append(group)


def _now(flow: Dataflow, group: Group) -> Group:
    """The group that has absorbed `group` by now."""
    return flow.owner[group.outs[0]]


def _near(group: Group, others: Iterable[Group]) -> list[Group]:
    """Those of `others` that start within reach of where `group` ends, or the other way round."""
    return [g for g in others if max(g.first, group.first) - min(g.last, group.last) <= NEAR]


def _try(flow: Dataflow, a: Group, b: Group) -> bool:
    """Merge b into a if that is legal and useful."""
    space = _joint(a, b)
    if space is None or a.replay != b.replay:
        return False
    outs = a.outs + b.outs
    reads = (a.reads | b.reads) - set(outs)
    if not _fits(flow, space, outs, reads) or not _parallel(space, outs):
        return False
    if not storable(space.kind, space.rows, space.width, space.root, outs):
        return False
    if not _aligned(flow, outs, space) or _path(flow, a, b) or _path(flow, b, a):
        return False
    a.kind, a.rows, a.width, a.root = space
    _absorb(flow, a, b, outs, reads)
    return True


def _absorb(flow: Dataflow, a: Group, b: Group, outs: list[Var], reads: set[Var]) -> None:
    """Let a own what b owned."""
    a.outs, a.reads = sorted(outs, key=flow.place.__getitem__), reads
    a.first, a.last = min(a.first, b.first), max(a.last, b.last)
    flow.owner.update((o, a) for o in b.outs)
    flow.groups.remove(b)


# --- the common iteration space -------------------------------------------------------------------


def _joint(a: Group, b: Group) -> Space | None:
    """The iteration space of one kernel for both; None where their kinds or sizes allow none."""
    kinds = {a.kind, b.kind}
    if kinds == {"map"} and a.rows == b.rows:
        return Space("map", a.rows, 1, None)
    if kinds == {"map", "dot"}:
        dot = a if a.kind == "dot" else b
        return Space("dot", dot.rows, 1, dot.root) if a.rows == b.rows else None
    if kinds == {"map", "scatter"} and a.rows == b.rows:
        scatter = a if a.kind == "scatter" else b
        return None if clears(scatter.root) else Space("scatter", a.rows, 1, scatter.root)
    if kinds == {"row"} and (a.rows, a.width) == (b.rows, b.width):
        return Space("row", a.rows, a.width, None)
    if kinds == {"map", "row"}:
        row, flat = (a, b) if a.kind == "row" else (b, a)
        fits = flat.rows in (row.rows * row.width, row.rows)
        return Space("row", row.rows, row.width, None) if fits else None
    if kinds == {"column"}:
        x, y = a.root, b.root
        same = x.params == y.params and x.ins[0].aval.shape == y.ins[0].aval.shape
        return Space("column", a.rows, a.width, a.root) if same else None
    return None


def _parallel(space: Space, outs: list[Var]) -> bool:
    """A kernel of few long rows must not carry full-size results."""
    if space.kind != "row" or space.rows >= FEW_ROWS or space.rows * space.width <= SMALL:
        return True
    return all(v.aval.size == space.rows for v in outs)


# --- limits and order -----------------------------------------------------------------------------


def _fits(flow: Dataflow, space: Space, outs: list[Var], reads: set[Var]) -> bool:
    """Within the binding limit, counting only results that somebody else will read.

    A result written over an operand shares its binding, but not the result of a whole row, since
    one invocation stores what others may still read.
    """
    inner = set(outs)
    stored = [v for v in outs if v in flow.results or _read_outside(flow, v, inner)]
    size = space.rows * space.width
    elements = [v for v in stored if space.kind != "row" or v.aval.size == size]
    shared = [v for v in elements if space.kind in IN_PLACE and flow.donors.get(v) in reads]
    return len(stored) - len(shared) + len(reads) <= flow.profile.storage_buffers


def _read_outside(flow: Dataflow, v: Var, inner: set[Var]) -> bool:
    return any(v in g.reads and not inner.issuperset(g.outs) for g in flow.consumers(v))


def _path(flow: Dataflow, start: Group, end: Group) -> bool:
    """Whether a path start -> third group -> ... -> end exists."""
    stack = [g for g in flow.sources(end) if g is not start and g is not end]
    seen = set(map(id, stack))
    while stack:
        for source in flow.sources(stack.pop()):
            if source is start:
                return True
            if id(source) not in seen and source is not end and source.last > start.first:
                seen.add(id(source))
                stack.append(source)
    return False


# --- alignment: every member reads the others at the index it is computed at ----------------------

Known = dict[tuple[Value, bool], bool]  # answers for (value, wide)


def _aligned(flow: Dataflow, outs: list[Var], space: Space) -> bool:
    own, known = set(outs), {}
    return all(_member_aligned(flow, v, own, space, known) for v in outs)


def _member_aligned(flow: Dataflow, v: Var, own: set[Var], space: Space, known: Known) -> bool:
    eqn = flow.define(v)
    if eqn is space.root or space.kind == "column":
        return not any(flow.reaches(x, own) for x in eqn.ins)
    if eqn.prim.kind == "reduce":
        return _path_aligned(flow, eqn.ins[0], own, space, True, known)
    return _step_aligned(flow, eqn, own, space, v.aval.size == space.rows * space.width, known)


def _path_aligned(
    flow: Dataflow, v: Value, own: set[Var], space: Space, wide: bool, known: Known
) -> bool:
    """Does the pull from v, at the current element (wide) or row, stay in step with `own`?"""
    if isinstance(v, Var) and v in own:
        return v.aval.size == (space.rows * space.width if wide else space.rows)
    if flow.in_memory(v):
        return True
    if (v, wide) not in known:  # what a large expression uses often is walked once
        known[v, wide] = _step_aligned(flow, flow.define(v), own, space, wide, known)
    return known[v, wide]


def _step_aligned(
    flow: Dataflow, eqn: Eqn, own: set[Var], space: Space, wide: bool, known: Known
) -> bool:
    name = eqn.prim.name
    if eqn.prim.kind == "elementwise" or name == "reshape":
        return all(_path_aligned(flow, x, own, space, wide, known) for x in eqn.ins)
    if name == "broadcast" and wide and row_to_element(eqn, space):
        return _path_aligned(flow, eqn.ins[0], own, space, False, known)
    apart = not any(flow.reaches(x, own) for x in eqn.ins)
    return apart and (wide or eqn.prim.kind != "contract")


def row_to_element(eqn: Eqn, space: Space) -> bool:
    """Does this broadcast repeat one value a row over the row's elements?"""
    shape, dims = eqn.params["shape"], eqn.params["dims"]
    x = eqn.ins[0].aval
    if x.size != space.rows or prod(shape) != space.rows * space.width:
        return False
    split = 0
    while prod(shape[:split]) < space.rows:
        split += 1
    if prod(shape[:split]) != space.rows:
        return False
    kept = [d for n, d in zip(x.shape, dims, strict=True) if n > 1]
    return kept == [d for d in range(split) if shape[d] > 1]
