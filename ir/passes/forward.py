"""Forward mode as Graph -> Graph, one equation after another.

Invariant: most primitives state no tangent rule. ct -> vjp(ct) is linear in ct, so its own vjp
takes tangents of the operands to tangents of the results; nothing of that depends on ct. Loops,
branches and calls have rules of their own, which apply the pass to the graphs they hold.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from ..build import attributed, building, current, inline, located, read
from ..graph import Eqn, Graph, Lit, Value, Var
from .grad import vjp_graph
from .simplify import dce

_KEEP = 2048  # rules of single equations kept in memory
_pushes: OrderedDict[tuple, Graph] = OrderedDict()


def jvp_graph(graph: Graph, wrt: Sequence[int], results: int | None = None) -> Graph:
    """(ins..., tangents of ins[i] for i in wrt) -> (outs..., tangents of the float outs).

    With `results`, only the first so many outputs have tangents. Raises TypeError, naming the
    user's line, at a primitive without a derivative.
    """
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        along = {graph.ins[i]: builder.input(graph.ins[i].aval) for i in wrt}
        for eqn in graph.eqns:
            _push(eqn, env, along)
        outs = [read(env, v) for v in graph.outs]
        smooth = [v for v in graph.outs[:results] if v.aval.dtype.is_float]
        return dce(builder.close([*outs, *(along.get(v, Lit(0, v.aval)) for v in smooth)]))


def moving(graph: Graph) -> list[bool]:
    """Which tangents of a `jvp_graph`, or other trailing results, are not zeros throughout."""
    return [not is_zero(v) for v in graph.outs]


def is_zero(v: Value | None) -> bool:
    return v is None or (isinstance(v, Lit) and v.value == 0)


def _push(eqn: Eqn, env: dict[Var, Value], along: dict[Var, Value]) -> None:
    ins = [read(env, v) for v in eqn.ins]
    tangents = [along.get(v) if isinstance(v, Var) else None for v in eqn.ins]
    if all(t is None for t in tangents):
        env.update(zip(eqn.outs, current().repeat(eqn, ins), strict=True))
        return
    with attributed(eqn.src, f"jvp({eqn.scope})" if eqn.scope else "jvp"), located(eqn):
        outs, pushed = eqn.prim.jvp(ins, tangents, **eqn.params)
    env.update(zip(eqn.outs, outs, strict=True))
    along.update((v, t) for v, t in zip(eqn.outs, pushed, strict=True) if not is_zero(t))


def push_through(
    prim: Any, ins: Sequence[Value], tangents: Sequence[Value | None], params: dict[str, Any]
) -> tuple[tuple[Value, ...], tuple[Value | None, ...]]:
    """The tangent rule of one equation from its cotangent rule; see `Primitive.jvp`."""
    places = tuple(i for i, t in enumerate(tangents) if t is not None)
    graph = _single(prim, ins, params)
    key = graph.key(), places
    if key not in _pushes:
        _pushes[key] = _transposed(graph, [list(graph.ins).index(graph.eqns[0].ins[i])
                                           for i in places])  # fmt: skip
        if len(_pushes) > _KEEP:
            _pushes.popitem(last=False)
    push, count = _pushes[key], len(graph.outs)
    given = [v for v in ins if isinstance(v, Var)]
    found = _replayed(push, [*given, *(tangents[i] for i in places)])
    smooth = iter(found[count:])
    pushed = (next(smooth) if v.aval.dtype.is_float else None for v in graph.outs)
    return tuple(found[:count]), tuple(pushed)


def _single(prim: Any, ins: Sequence[Value], params: dict[str, Any]) -> Graph:
    """One equation as a graph of its operands; constants stay constants."""
    with building() as builder:
        given = [v if isinstance(v, Lit) else builder.input(v.aval) for v in ins]
        return builder.close(builder.emit(prim, given, params))


def _transposed(graph: Graph, wrt: Sequence[int]) -> Graph:
    """`jvp_graph` by the vjp of the vjp."""
    first, outs = len(graph.ins), graph.outs
    pull = vjp_graph(graph, wrt)
    values, grads = pull.outs[: len(outs)], pull.outs[len(outs) :]
    smooth = [first + j for j, v in enumerate(outs) if v.aval.dtype.is_float]
    push = vjp_graph(Graph(pull.ins, pull.eqns, (*grads, *values)), smooth, seeds=len(grads))
    with building() as builder:
        ins = [builder.input(v.aval) for v in graph.ins]
        tangents = [builder.input(graph.ins[i].aval) for i in wrt]
        cts = [Lit(0, v.aval) for v in outs]
        return dce(builder.close(inline(push, [*ins, *cts, *tangents])[len(grads) :]))


def _replayed(graph: Graph, args: Sequence[Value]) -> list[Value]:
    """`inline`, with all equations attributed to the open builder's line and scope."""
    builder = current()
    env: dict[Var, Value] = dict(zip(graph.ins, args, strict=True))
    for eqn in graph.eqns:
        outs = builder.emit(eqn.prim, [read(env, v) for v in eqn.ins], eqn.params)
        env.update(zip(eqn.outs, outs, strict=True))
    return [read(env, v) for v in graph.outs]


__all__ = ["is_zero", "jvp_graph", "moving", "push_through"]
