"""Batching as Graph -> Graph: one graph that does what the given one does to each of many members.

Invariant: a batched value leads with the mapped axis. What depends on no batched input stays as it
is, so work that all members share is done once. Collectives over the axis's name become ordinary
equations, and the name is gone.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..build import attributed, building, current, inline, located, read
from ..graph import Aval, Eqn, Graph, Value, Var


def batch_graph(
    graph: Graph, mask: Sequence[bool], size: int, name: str | None = None
) -> tuple[Graph, tuple[bool, ...]]:
    """(batched graph, which of its outputs lead with the mapped axis of `size`).

    Inputs in `mask` get a leading axis; collectives know it by `name`. Raises TypeError, naming the
    user's line, at a primitive without a batching rule.
    """
    with building() as builder:
        env: dict[Var, Value] = {}
        for v, mapped in zip(graph.ins, mask, strict=True):
            aval = Aval((size, *v.aval.shape), v.aval.dtype) if mapped else v.aval
            env[v] = builder.input(aval, v.hint)
        led = {v for v, mapped in zip(graph.ins, mask, strict=True) if mapped}
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope):
                _batch_eqn(eqn, env, led, size, name)
        outs = [read(env, v) for v in graph.outs]
        return builder.close(outs), tuple(v in led for v in graph.outs)


def batch_all(graph: Graph, mask: Sequence[bool], size: int, name: str | None = None) -> Graph:
    """`batch_graph` with every output led by the mapped axis."""
    return batch_some(graph, mask, (True,) * len(graph.outs), size, name)


def batch_some(
    graph: Graph,
    mask: Sequence[bool],
    wanted: Sequence[bool],
    size: int,
    name: str | None = None,
) -> Graph:
    """`batch_graph` with the outputs in `wanted` led by the axis; no other output may vary."""
    from ..prims.lead import lead

    batched, led = batch_graph(graph, mask, size, name)
    if led == tuple(wanted):
        return batched
    with building() as builder:
        outs = inline(batched, [builder.input(v.aval, v.hint) for v in batched.ins])
        pairs = zip(outs, led, wanted, strict=True)
        return builder.close([lead(o, has, size) if want else o for o, has, want in pairs])


def _batch_eqn(eqn: Eqn, env: dict[Var, Value], led: set[Var], size: int, name: str | None) -> None:
    ins = [read(env, v) for v in eqn.ins]
    mask = tuple(v in led for v in eqn.ins)
    if not any(mask) and name not in eqn.axis_names():
        outs = current().emit(eqn.prim, ins, eqn.params)
    else:
        params = {"name": name, **eqn.params} if eqn.prim.named else eqn.params
        with located(eqn):
            found = eqn.prim.batch(ins, mask, size, **params)
        outs = found if eqn.prim.multi else (found,)
        leading = eqn.prim.batched(mask, len(eqn.outs), **params)
        led.update(v for v, leads in zip(eqn.outs, leading, strict=True) if leads)
    env.update(zip(eqn.outs, outs, strict=True))


__all__ = ["batch_all", "batch_graph", "batch_some"]
