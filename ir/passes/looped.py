"""How loops and branches are cut: the graphs that they hold are walked on their own.

Invariant: a carry lies at the end of an iteration as it does at its start. One that starts as zeros
lies as it is first returned; what is only added up in it is added up in parts, and as pending sums,
so that gradients are summed between devices once, after the loop.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..build import building, emit
from ..graph import Aval, Eqn, Graph, Lit
from ..sharding import Spec, whole
from .layout import Dims, Held
from .simplify import simplify

if TYPE_CHECKING:
    from .shard import Walk

EMPTY: Mapping[int, Eqn] = MappingProxyType({})


def scanned(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A scan whose carry lies as it comes out of an iteration, where what it starts from allows."""
    p = eqn.params
    consts, carry = p["consts"], p["carry"]
    fixed = [walk.placed(h, None) for h in helds[:consts]]
    xs = [walk.move(h, ((), *h.spec.dims[1:])) for h in helds[consts + carry :]]
    rows = [Held(Aval(h.aval.shape[1:], h.aval.dtype), None, Spec(h.spec.dims[1:])) for h in xs]
    inits = helds[consts : consts + carry]
    body, after = _settled(walk, simplify(p["body"]), fixed, inits, rows)
    specs = [h.spec for h in after]
    begun = [walk.move(h, s.dims, s.unreduced) if not h.is_zero else
             Held(h.aval, Lit(h.value.value, walk.local(h.aval, s.dims)), s)
             for h, s in zip(inits, specs, strict=False)]  # fmt: skip
    ins = [h.value for h in (*fixed, *begun, *xs)]
    outs = emit(eqn.prim, *ins, **{**p, "body": body})
    stacked = [Spec(((), *s.dims), s.unreduced) for s in specs[carry:]]
    found = zip(eqn.outs, outs, (*specs[:carry], *stacked), strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]


def _settled(walk: Walk, body: Graph, fixed, inits, rows) -> tuple[Graph, list[Held]]:
    """(a body that takes its carry as it returns it, what it returns)."""
    carry = [h.spec if not h.is_free else None for h in inits]
    totals = _totals(body, len(fixed), inits)
    for _ in range(3):
        graph, after = _bodied(walk, body, fixed, inits, carry, rows, None, totals)
        ends = after[: len(inits)]
        pairs = enumerate(zip(ends, carry, strict=True))
        if all(n in totals or h.spec == s for n, (h, s) in pairs):
            return graph, after
        carry = [_joined(h, old, a.spec) for h, old, a in zip(inits, carry, ends, strict=True)]
    wanted = [*carry, *(h.spec for h in after[len(inits) :])]
    return _bodied(walk, body, fixed, inits, carry, rows, wanted)


def _totals(body: Graph, first: int, inits: Sequence[Held]) -> dict[int, Eqn]:
    """The carries that start as zeros and are only added to, with the equation that does it."""
    made, users = {e.out: e for e in body.eqns if e.prim.name == "add"}, body.users()
    found = {}
    for n, (held, out) in enumerate(zip(inits, body.outs, strict=False)):
        eqn, carry = made.get(out), body.ins[first + n]
        alone = eqn is not None and users.get(carry) == [eqn] and body.outs.count(carry) == 0
        if held.is_zero and alone and out not in users and body.outs.count(out) == 1:
            found[n] = eqn
    return found


def _joined(init: Held, old: Spec | None, new: Spec) -> Spec:
    """How a carry should lie: as an iteration returns it, if what it starts from can."""
    if init.is_zero:
        return new
    if init.is_free or not (old and old.axes):
        return new.reduced()
    return old.reduced()


def _bodied(
    walk: Walk, body: Graph, fixed, inits, carry, rows, wanted, totals: Mapping[int, Eqn] = EMPTY
) -> tuple[Graph, list[Held]]:
    """(the body of one device, what it returns); `totals` are added where the new parts lie."""
    from .shard import Walk, annotated

    with building() as builder:
        inner = Walk(walk.mesh, walk.options)

        def given(h: Held, spec: Spec) -> Held:
            return Held(h.aval, builder.input(walk.local(h.aval, spec.dims)), spec)

        starts = [given(h, h.spec) for h in fixed]
        for n, (h, s) in enumerate(zip(inits, carry, strict=True)):
            free = s is None or n in totals
            starts.append(Held(h.aval, Lit(0, h.aval), whole(h.aval.ndim)) if free else given(h, s))
        starts += [given(h, h.spec) for h in rows]
        at = {eqn: len(fixed) + n for n, eqn in totals.items()}

        def total(eqn: Eqn, spec: Spec) -> Held:
            starts[at[eqn]] = given(starts[at[eqn]], spec)
            return starts[at[eqn]]

        inner.totals = dict.fromkeys(at, total)
        found = inner.graph(body, starts, wanted)
        found = [inner.placed(h, whole(h.aval.ndim)) if h.value is None else h for h in found]
        graph = builder.close([h.value for h in found])
    if any(isinstance(h.value, Lit) for h in starts):
        return graph, found  # only to see where its results lie
    order = [h.value for h in starts]
    graph = Graph((*graph.ins[: len(graph.ins) - len(order)], *order), graph.eqns, graph.outs)
    return simplify(annotated(graph, {h.value: h.spec for h in (*starts, *inner.named)})), found


def branched(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A cond whose branches return what all of them can: common cuts, no pending sums."""
    index, *rest = (walk.placed(h, None) for h in helds)
    branches = eqn.params["branches"]
    tried = [_bodied(walk, b, rest, (), (), (), None)[1] for b in branches]
    wanted = [Spec(_common([h.spec.dims for h in outs])) for outs in zip(*tried, strict=True)]
    graphs = tuple(_bodied(walk, b, rest, (), (), (), wanted)[0] for b in branches)
    outs = emit(eqn.prim, index.value, *(h.value for h in rest), branches=graphs)
    found = zip(eqn.outs, outs, wanted, strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]


def _common(dims: Sequence[Dims]) -> Dims:
    """Cuts that all have."""
    return tuple(axes[0] if len(set(axes)) == 1 else () for axes in zip(*dims, strict=True))


def repeated(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A while loop whose carry lies as it starts."""
    p = eqn.params
    flag, *rest = (walk.placed(h, None) for h in helds)
    fixed, inits = rest[: p["consts"]], rest[p["consts"] :]
    specs = [h.spec for h in inits]
    step, _ = _bodied(walk, p["step"], fixed, inits, specs, (), [whole(0), *specs])
    outs = emit(eqn.prim, *(h.value for h in (flag, *rest)), **{**p, "step": step})
    found = zip(eqn.outs, outs, specs, strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]
