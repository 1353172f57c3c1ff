"""Cutting a joint graph, forward and backward, into the programs of pipeline stages.

Invariant: every equation of the graph is in exactly one part, save for those of no stage, which
depend on constants and data alone and are repeated wherever they are read. An equation's stage
stands in its scope, and those of the backward pass inherit it from the equation that they
differentiate, so the cut must come before anything merges equations. Between stages only the values
pass that neighbours hand on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from ..build import build, describe_src, inline
from ..graph import Eqn, Graph, Value, Var

_TAG = re.compile(r"stage\((\d+)\)")
_FORWARD, _BACKWARD = "F", "B"
# What stands between the contributions of several stages to a gradient and the gradient itself.
_SUMMING = ("add", "cast", "reshape", "transpose", "psum", "reduce_scatter")


class StageError(TypeError):
    """A graph that cannot be cut as its tags say; the message ends with the user's line."""


def tagged(scope: str, stage: int) -> str:
    """The scope of an equation of this stage."""
    return f"{scope}/stage({stage})" if scope else f"stage({stage})"


def stage_of(eqn: Eqn) -> int | None:
    """The stage that the innermost tag of an equation's scope names."""
    found = _TAG.findall(eqn.scope)
    return int(found[-1]) if found else None


def assign(graph: Graph, stages: Sequence[int | None]) -> Graph:
    """Tag the equations of a forward graph that have no tag yet.

    `stages` are those of the inputs, None for what every stage may have; an equation belongs to
    the last stage of what it reads. Views and casts of weights belong to whoever reads them.
    Raises StageError where a tag points back to an earlier stage.
    """
    weights: set[Value] = set(graph.ins)
    known: dict[Value, int | None] = dict(zip(graph.ins, stages, strict=True))
    eqns = []
    for eqn in graph.eqns:
        read = max((s for v in eqn.ins if (s := known.get(v)) is not None), default=None)
        own = stage_of(eqn)
        if own is not None and read is not None and own < read:
            raise StageError(
                f"{eqn.prim.name} of stage {own} reads a value of stage {read}; stages must follow "
                f"one another{describe_src(eqn.src)}"
            )
        stage = read if own is None else own
        if all(v in weights for v in eqn.ins) and _only_moves(eqn):
            weights.update(eqn.outs)
            known.update((v, read) for v in eqn.outs)
            eqns.append(eqn)
            continue
        known.update((v, stage) for v in eqn.outs)
        if own is None and stage is not None:
            eqn = replace(eqn, scope=tagged(eqn.scope, stage))
        eqns.append(eqn)
    return Graph(graph.ins, tuple(eqns), graph.outs)


def _only_moves(eqn: Eqn) -> bool:
    return eqn.prim.kind == "view" or eqn.prim.name == "cast"


@dataclass(frozen=True, eq=False)
class Part:
    """The program of one stage and one pass, over Vars of the joint graph.

    kind: "F" | "B", or "I" (what other stages wait for) and "W" (the rest). `graph` has Vars of its
    own: its inputs stand for `ins`, its outputs for `outs`, then for the joint outputs `results`.
    """

    kind: str
    stage: int
    graph: Graph
    ins: tuple[Var, ...]
    outs: tuple[Var, ...]
    results: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Stages:
    """The parts of a joint graph by kind and stage; `home` is the stage of each joint output."""

    parts: dict[tuple[str, int], Part]
    count: int
    home: tuple[int, ...]

    def each(self, change: Callable[[Graph], Graph]) -> Stages:
        """The same with the program of each part changed to one of equal results."""
        parts = {key: replace(p, graph=change(p.graph)) for key, p in self.parts.items()}
        return replace(self, parts=parts)


def cut(
    graph: Graph,
    losses: int,
    owners: Sequence[int],
    split: bool = False,
    common: Sequence[int] = (),
) -> Stages:
    """Cut (ins...) -> (the first `losses` outs..., gradients...), gradient i of stage owners[i].

    Inputs in `common`, constants and data, are at hand in all stages. With `split`, backward passes
    come as "I" and "W". Raises StageError, naming the user's line, if a value would pass between
    stages that are no neighbours, other than the gradient of a weight that both use.
    """
    cutter = _Cutter(graph, losses, owners, {graph.ins[i] for i in common})
    cutter.check()
    kinds = [_FORWARD, *("IW" if split else _BACKWARD)]
    parts = [cutter.part(kind, s) for s in range(cutter.count) for kind in kinds]
    return Stages({(p.kind, p.stage): p for p in parts}, cutter.count, tuple(cutter.home))


@dataclass(frozen=True)
class Cut:
    """How a joint graph is cut, see `cut`: the same of every graph that computes the same."""

    losses: int
    owners: tuple[int, ...]
    split: bool = False
    common: tuple[int, ...] = ()

    def stages(self, graph: Graph) -> Stages:
        """The parts of a graph. Raises StageError."""
        return cut(graph, self.losses, self.owners, self.split, self.common)

    def places(self, graph: Graph) -> tuple[set[Var], dict[Var, int]]:
        """The values that pass between stages, and the stage of each that is of one."""
        common = {graph.ins[i] for i in self.common}
        cutter = _Cutter(graph, self.losses, self.owners, common)
        staged = [(e, cutter.stage_of[id(e)]) for e in graph.eqns if id(e) not in cutter.free]
        own = {v: stage for eqn, stage in staged for v in eqn.outs}
        passing = {v for eqn, stage in staged for v in eqn.ins if own.get(v, stage) != stage}
        return passing, own


class _Cutter:
    def __init__(
        self, graph: Graph, losses: int, owners: Sequence[int], common: set[Value]
    ) -> None:
        self.graph, self.losses = graph, losses
        self.made = {v: e for e in graph.eqns for v in e.outs}
        self.free = _of_no_stage(graph, common)
        needed = _ancestors(graph, graph.outs[:losses])
        self.pass_of: dict[int, str] = {}
        self.stage_of: dict[int, int] = {}
        for eqn in graph.eqns:
            read = (self.pass_of[id(self.made[v])] for v in eqn.ins if v in self.made)
            late = _BACKWARD in read
            forward = id(eqn) in needed or not (late or "grad" in eqn.scope)
            self.pass_of[id(eqn)] = _FORWARD if forward else _BACKWARD
            self.stage_of[id(eqn)] = self._stage(eqn)
        used = (self.stage_of[id(e)] for e in graph.eqns if id(e) not in self.free)
        self.count = 1 + max([0, *used, *owners])
        losses_at = [self._made_at(v, self.count - 1) for v in graph.outs[:losses]]
        self.home = [*losses_at, *owners]
        self._weights = self._only_weights()

    def _stage(self, eqn: Eqn) -> int:
        found = stage_of(eqn)
        if found is not None:
            return found
        read = [self.stage_of[id(self.made[v])] for v in eqn.ins
                if v in self.made and id(self.made[v]) not in self.free]  # fmt: skip
        return max(read, default=0)

    def _made_at(self, v: Value, default: int) -> int:
        eqn = self.made.get(v)
        return default if eqn is None or id(eqn) in self.free else self.stage_of[id(eqn)]

    def key(self, eqn: Eqn) -> tuple[str, int]:
        return self.pass_of[id(eqn)], self.stage_of[id(eqn)]

    # --- what may pass ---

    def check(self) -> None:
        shared = self._gradient_sums()
        for eqn in self.graph.eqns:
            if id(eqn) in self.free:
                continue
            for v in eqn.ins:
                source = self.made.get(v)
                if source is None or id(source) in self.free:
                    continue
                self._check_pass(source, eqn, v, shared)

    def _check_pass(self, source: Eqn, eqn: Eqn, v: Var, shared: set[int]) -> None:
        (of, a), (to, b) = self.key(source), self.key(eqn)
        near = b in (a, a + 1) if to == _FORWARD else b in (a, a - 1)
        if of != to:
            near = of == _FORWARD and a in (b, b - 1)
        if near or id(eqn) in shared:
            return
        raise StageError(
            f"{eqn.prim.name} of stage {b} reads a value of type {v.aval} of stage {a}, which is "
            "not handed on from neighbour to neighbour; compute it in each stage, or carry it "
            f"along{describe_src(eqn.src)}"
        )

    def _gradient_sums(self) -> set[int]:
        """Sums of what several stages contribute to the gradient of one weight, with the views,
        casts and sums over other axes behind them."""
        found: set[int] = set()
        stack = [v for v in self.graph.outs[self.losses :] if v in self.made]
        while stack:
            eqn = self.made[stack.pop()]
            simple = eqn.prim.name in _SUMMING
            if simple and self.pass_of[id(eqn)] == _BACKWARD:
                found.add(id(eqn))
                stack += [v for v in eqn.ins if v in self.made]
        return found

    # --- parts ---

    def _only_weights(self) -> set[int]:
        """Backward equations that one gradient alone needs, and no other stage."""
        needed_by: dict[Value, set[int]] = {}
        for n, v in enumerate(self.graph.outs[self.losses :]):
            needed_by.setdefault(v, set()).add(n)
        found: set[int] = set()
        for eqn in reversed(self.graph.eqns):
            by = set().union(*(needed_by.get(v, set()) for v in eqn.outs))
            users = self.pass_of[id(eqn)] == _BACKWARD
            if users and len(by) == 1 and self.home[self.losses + next(iter(by))] == (
                self.stage_of[id(eqn)]
            ):  # fmt: skip
                found.add(id(eqn))
            for v in eqn.ins:
                needed_by.setdefault(v, set()).update(by)
        return found

    def _belongs(self, eqn: Eqn, kind: str, stage: int) -> bool:
        if id(eqn) in self.free or self.stage_of[id(eqn)] != stage:
            return False
        if kind in (_FORWARD, _BACKWARD):
            return self.pass_of[id(eqn)] == kind
        split = "W" if id(eqn) in self._weights else "I"
        return self.pass_of[id(eqn)] == _BACKWARD and split == kind

    def part(self, kind: str, stage: int) -> Part:
        own = [e for e in self.graph.eqns if self._belongs(e, kind, stage)]
        made = {v for e in own for v in e.outs}
        results = [n for n, v in enumerate(self.graph.outs) if self._gives(n, v, kind, stage, made)]
        read = [*(v for e in own for v in e.ins), *(self.graph.outs[n] for n in results)]
        repeated = _needed_free(self.graph, read, self.free)
        known = made | {v for e in repeated for v in e.outs}
        read += [v for e in repeated for v in e.ins]
        ins = tuple(dict.fromkeys(v for v in read if isinstance(v, Var) and v not in known))
        elsewhere = (e for e in self.graph.eqns if id(e) not in self.free
                     and not self._belongs(e, kind, stage))  # fmt: skip
        wanted = {v for e in elsewhere for v in e.ins}
        wanted |= {v for n, v in enumerate(self.graph.outs) if v in made and n not in results}
        outs = tuple(v for e in own for v in e.outs if v in wanted)
        order = {id(e): n for n, e in enumerate(self.graph.eqns)}
        eqns = tuple(sorted([*own, *repeated], key=lambda e: order[id(e)]))
        whole = Graph(ins, eqns, (*outs, *(self.graph.outs[n] for n in results)))
        return Part(kind, stage, _separate(whole), ins, outs, tuple(results))

    def _gives(self, n: int, v: Value, kind: str, stage: int, made: set[Var]) -> bool:
        """Whether this part gives joint output n: the part that makes it, or, for a constant or an
        input, the last pass of its stage."""
        eqn = self.made.get(v) if isinstance(v, Var) else None
        if eqn is not None and id(eqn) not in self.free:
            return v in made
        last = _FORWARD if n < self.losses else ("W" if kind in "IW" else _BACKWARD)
        return self.home[n] == stage and kind == last


def _of_no_stage(graph: Graph, common: set[Value]) -> set[int]:
    """Equations that are of no stage and read nothing that is, and cheap ones, whatever their tag,
    that read nothing but what all stages have, or views of a weight, which is wherever it is used:
    passes may have merged those of several."""
    made: set[Value] = set(graph.ins)
    everywhere, views = set(common), set(graph.ins)
    found: set[int] = set()
    for eqn in graph.eqns:
        shared = all(not isinstance(v, Var) or v in everywhere for v in eqn.ins) and _is_cheap(eqn)
        view = eqn.prim.kind == "view" and all(v in views for v in eqn.ins)
        views.update(eqn.outs if view else ())
        untagged = stage_of(eqn) is None and not eqn.effectful
        if (
            shared
            or view
            or (untagged and all(not isinstance(v, Var) or v in made for v in eqn.ins))
        ):
            made.update(eqn.outs)
            found.add(id(eqn))
        everywhere.update(eqn.outs if shared else ())
    return found


def _is_cheap(eqn: Eqn) -> bool:
    return (
        eqn.prim.kind in ("elementwise", "view", "source", "gather")
        or eqn.prim.name == "axis_index"
    )


def _ancestors(graph: Graph, values: Iterable[Value]) -> set[int]:
    live = {v for v in values if isinstance(v, Var)}
    found: set[int] = set()
    for eqn in reversed(graph.eqns):
        if any(v in live for v in eqn.outs):
            found.add(id(eqn))
            live.update(v for v in eqn.ins if isinstance(v, Var))
    return found


def _needed_free(graph: Graph, values: Iterable[Value], free: set[int]) -> list[Eqn]:
    needed = _ancestors(Graph(graph.ins, tuple(e for e in graph.eqns if id(e) in free), ()), values)
    return [e for e in graph.eqns if id(e) in needed]


def _separate(graph: Graph) -> Graph:
    """The graph with Vars of its own, names of inputs included."""
    made = build(lambda *ins: inline(graph, ins), *graph.in_avals)
    ins = tuple(Var(v.aval, old.hint) for v, old in zip(made.ins, graph.ins, strict=True))
    env = dict(zip(made.ins, ins, strict=True))
    eqns = tuple(replace(e, ins=tuple(env.get(v, v) for v in e.ins)) for e in made.eqns)
    return Graph(ins, eqns, tuple(env.get(v, v) for v in made.outs))


__all__ = ["Cut", "Part", "StageError", "Stages", "assign", "cut", "stage_of", "tagged"]
