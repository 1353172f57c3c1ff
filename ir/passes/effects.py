"""Lifting effects: from a graph with callbacks to one without, which returns their operands.

Invariant: the lifted graph computes the same results, in front; behind them come the operands of
the effects. A `Record` says how to call the host's functions with these, in the order in which the
program reached them: through a scan once for each iteration, through branches for the one taken.
A while loop has no known length, so of its iterations the last `KEPT` are held.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..build import attributed, building, emit, inline, lit, read
from ..dtypes import i32
from ..graph import Aval, Eqn, Graph, Value, Var
from ..prims.effect import debug_callback, inspect_sharding, key_use
from ..prims.elementwise import and_
from ..prims.index import with_row
from ..sharding import Spec, whole

KEPT = 256  # iterations of a while loop whose values are held; a power of two
Values = Sequence[np.ndarray]


@dataclass(frozen=True)
class Call:
    """One effect: `callback` of the values at `places`, for each member of its batches."""

    callback: Callable
    members: tuple
    places: tuple[int, ...]

    def replay(self, values: Values, at: tuple[int, ...]) -> None:
        _call(self.callback, self.members, [values[i][at] for i in self.places])


def _call(callback: Callable, members: tuple, operands: list) -> None:
    if not members:
        callback(*operands)
        return
    (size, mask), *rest = members
    for i in range(size):
        pairs = zip(operands, mask, strict=True)
        _call(callback, tuple(rest), [x[i] if mapped else x for x, mapped in pairs])


@dataclass(frozen=True)
class Repeat:
    """The effects of a scan, whose operands lead with an axis of iterations."""

    length: int
    reverse: bool
    body: tuple[Record, ...]

    def replay(self, values: Values, at: tuple[int, ...]) -> None:
        order = range(self.length)
        for i in reversed(order) if self.reverse else order:
            replay(self.body, values, (*at, i))


@dataclass(frozen=True)
class Latest:
    """The effects of a while loop: the value at `count` says how many iterations there were."""

    count: int
    body: tuple[Record, ...]

    def replay(self, values: Values, at: tuple[int, ...]) -> None:
        count = int(values[self.count][at])
        if count > KEPT:
            text = f"a while_loop ran {count} iterations; its callbacks see the last {KEPT}"
            warnings.warn(text, stacklevel=2)
        for i in range(max(0, count - KEPT), count):
            replay(self.body, values, (*at, i % KEPT))


@dataclass(frozen=True)
class Choice:
    """The effects of branches: the value at `index` says which was taken."""

    index: int
    branches: tuple[tuple[Record, ...], ...]

    def replay(self, values: Values, at: tuple[int, ...]) -> None:
        taken = int(np.clip(int(values[self.index][at]), 0, len(self.branches) - 1))
        replay(self.branches[taken], values, at)


Record = Call | Repeat | Latest | Choice


def replay(records: Sequence[Record], values: Values, at: tuple[int, ...] = ()) -> None:
    """Call the host's functions with the values of one run; `at` indexes iterations around."""
    for record in records:
        record.replay(values, at)


# --- the graphs -----------------------------------------------------------------------------------


def lift(graph: Graph) -> tuple[Graph, tuple[Record, ...]]:
    """(graph without effects, records); the graph's further outputs are what the records read."""
    lifter = _Lifter()
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope):
                outs = lifter.lifted(eqn, [read(env, v) for v in eqn.ins], builder)
            env.update(zip(eqn.outs, outs, strict=True))
        outs = [read(env, v) for v in graph.outs]
        return builder.close([*outs, *lifter.values]), tuple(lifter.records)


def inspections(graph: Graph) -> tuple[Graph, tuple[tuple[Callable, Spec], ...]]:
    """(the graph without equations that ask how values lie, the callback and the answer of each in
    program order); what was not cut is whole."""
    if not graph.effectful:
        return graph, ()
    return without_effects(graph, (inspect_sharding,)), tuple(_asked(graph))


def _asked(graph: Graph) -> Iterator[tuple[Callable, Spec]]:
    for eqn in graph.eqns:
        if eqn.prim is inspect_sharding:
            spec = eqn.params["spec"]
            yield eqn.params["callback"], whole(eqn.ins[0].aval.ndim) if spec is None else spec
        for inner in eqn.subgraphs():
            yield from _asked(inner)


ALL = debug_callback, inspect_sharding, key_use


def without_effects(graph: Graph, dropped: tuple = ALL) -> Graph:
    """The graph without them: what runs again must not tell again."""
    if not graph.effectful:
        return graph
    kept = (eqn for eqn in graph.eqns if eqn.prim not in dropped)
    return Graph(graph.ins, tuple(_pure(eqn, dropped) for eqn in kept), graph.outs)


def _pure(eqn: Eqn, dropped: tuple) -> Eqn:
    if not eqn.effectful:
        return eqn
    return replace(eqn, params=eqn.with_subgraphs(lambda graph: without_effects(graph, dropped)))


class _Lifter:
    """Collects the records of one graph, and the values they read."""

    def __init__(self) -> None:
        self.values: list[Value] = []
        self.records: list[Record] = []

    def hold(self, value: Value) -> int:
        """Its place among the values."""
        self.values.append(value)
        return len(self.values) - 1

    def lifted(self, eqn: Eqn, ins: list[Value], builder: Any) -> Sequence[Value]:
        """The equation's results, by an equation without effects."""
        if not _tells(eqn):
            return builder.emit(eqn.prim, ins, eqn.params)
        if eqn.prim is debug_callback:
            places = tuple(map(self.hold, ins))
            self.records.append(Call(eqn.params["callback"], eqn.params["members"], places))
            return ()
        if eqn.prim is key_use:
            return ()
        rule = {"scan": self._scan, "while_loop": self._while, "cond": self._cond}
        if eqn.prim.name in rule:
            return rule[eqn.prim.name](eqn, ins)
        return self._inlined(eqn, ins)

    def _inlined(self, eqn: Eqn, ins: list[Value]) -> Sequence[Value]:
        """A call: the graph that it stands for."""
        avals = tuple(v.aval for v in ins)
        callee = eqn.prim.callee(*avals, **eqn.params) or eqn.prim.expansion(avals, eqn.params)
        graph, records = lift(callee)
        outs, count = inline(graph, ins), len(eqn.outs)
        self.records.extend(_moved(records, self._take(outs[count:])))
        return outs[:count]

    def _take(self, values: Sequence[Value]) -> int:
        """Hold values; the place of the first."""
        self.values.extend(values)
        return len(self.values) - len(values)

    def _scan(self, eqn: Eqn, ins: list[Value]) -> Sequence[Value]:
        p, count = eqn.params, len(eqn.outs)
        body, records = lift(p["body"])
        outs = emit(eqn.prim, *ins, **{**p, "body": body})
        records = _moved(records, self._take(outs[count:]))
        self.records.append(Repeat(p["length"], p["reverse"], records))
        return outs[:count]

    def _while(self, eqn: Eqn, ins: list[Value]) -> Sequence[Value]:
        carry = eqn.params["carry"]
        step, records = lift(eqn.params["step"])
        told = step.out_avals[1 + carry :]
        rings = [Aval((KEPT, *a.shape), a.dtype) for a in told]
        graph = _remembering(step, carry, rings)
        zeros = [lit(0, a.dtype, a.shape) for a in (Aval((), i32), *rings)]
        params = {**eqn.params, "step": graph, "carry": carry + len(zeros)}
        outs = emit(eqn.prim, *ins, *zeros, **params)
        first = self._take(outs[carry:])
        self.records.append(Latest(first, _moved(records, first + 1)))
        return outs[:carry]

    def _cond(self, eqn: Eqn, ins: list[Value]) -> Sequence[Value]:
        count, parts = len(eqn.outs), [lift(b) for b in eqn.params["branches"]]
        told = [graph.outs[count:] for graph, _ in parts]
        wide = tuple(_among(graph, count, told, k) for k, (graph, _) in enumerate(parts))
        outs = emit(eqn.prim, *ins, **{**eqn.params, "branches": wide})
        index = self.hold(ins[0])
        branches, first = [], self._take(outs[count:])
        for (_, records), values in zip(parts, told, strict=True):
            branches.append(_moved(records, first))
            first += len(values)
        self.records.append(Choice(index, tuple(branches)))
        return outs[:count]


def _tells(eqn: Eqn) -> bool:
    """Whether it has effects that are lifted; how values lie is told by the compile itself."""
    if not eqn.effectful or eqn.prim is inspect_sharding:
        return False
    return eqn.prim.kind == "effect" or any(_tells(e) for g in eqn.subgraphs() for e in g.eqns)


def _moved(records: Sequence[Record], by: int) -> tuple[Record, ...]:
    """Records of values that are now `by` places further on."""
    return tuple(replace(r, **{f.name: _shifted(f.name, getattr(r, f.name), by) for f in fields(r)})
                 for r in records)  # fmt: skip


def _shifted(name: str, value: Any, by: int) -> Any:
    if name in ("count", "index"):
        return value + by
    if name == "places":
        return tuple(i + by for i in value)
    if name == "body":
        return _moved(value, by)
    return tuple(_moved(b, by) for b in value) if name == "branches" else value


def _remembering(step: Graph, carry: int, rings: Sequence[Aval]) -> Graph:
    """A step that also counts, and writes what it tells into rings of the last iterations."""
    with building() as builder:
        given = [builder.input(v.aval, v.hint) for v in step.ins]
        count = builder.input(Aval((), i32), "iteration")
        held = [builder.input(a, "told") for a in rings]
        outs = inline(step, given)
        row = emit(and_, count, lit(KEPT - 1, i32))
        new = [with_row(r, v, row) for r, v in zip(held, outs[1 + carry :], strict=True)]
        return builder.close([*outs[: 1 + carry], count + 1, *new])


def _among(graph: Graph, count: int, told: Sequence[Sequence[Value]], at: int) -> Graph:
    """A branch that returns what each branch tells, zeros for the others."""
    zeros = [[lit(0, v.aval.dtype, v.aval.shape) for v in values] for values in told]
    own = [told[k] if k == at else zeros[k] for k in range(len(told))]
    return Graph(graph.ins, graph.eqns, (*graph.outs[:count], *(v for vs in own for v in vs)))
