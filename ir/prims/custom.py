"""Derivatives by hand: a graph together with the rule that its user wrote for it.

Invariant: rules are graphs over the same operands as the function; what any of them closed over are
leading operands, and is not differentiated.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..build import attributed, building, current, emit, inline, read
from ..graph import Graph, Lit, Value, Var
from ..prim import CLOSED_OVER, register
from .call import Call, filled, float_places, paired
from .reduce import sum

TOO_DEEP = (
    "a function with a custom derivative whose rule calls the function itself was differentiated "
    "too many times; let the rule use the function's results instead"
)


@register
class custom_vjp(Call):
    """`body`, whose derivative is the pair `fwd` and `bwd`.

    body: (closed over..., args...) -> outs; fwd: the same -> (outs..., residuals...); bwd: (closed
    over..., residuals..., cotangents of outs...) -> cotangents of the float args. The first
    `closed` operands are what the three functions closed over, and are not differentiated. Without
    `fwd` and `bwd` it has no derivative: rules that call their own function are finite copies.
    """

    name = "custom_vjp"

    def forward(self, *ins, body, fwd, bwd, closed):
        if fwd is None:
            raise TypeError(TOO_DEEP)
        outs = inline(fwd, ins)
        count = len(body.outs)
        return tuple(outs[:count]), tuple(outs[count:])

    def backward(self, cts, saved, *ins, body, fwd, bwd, closed):
        given = [*ins[:closed], *saved, *filled(cts, body.out_avals)]
        found = inline(bwd, given, attribute=False)
        places = [closed + i for i in float_places(body.in_avals[closed:])]
        by_place = dict(zip(places, found, strict=True))
        return tuple(CLOSED_OVER if i < closed else by_place.get(i) for i in range(len(ins)))

    def batch(self, ins, mask, size, *, name=None, body, fwd, bwd, closed):
        from ..passes.batch import batch_all, batch_graph, batch_some

        wide = batch_all(body, mask, size, name)
        if fwd is None:
            return emit(custom_vjp, *ins, body=wide, fwd=None, bwd=None, closed=closed)
        outs, residuals = fwd.outs[: len(body.outs)], fwd.outs[len(body.outs) :]
        _, led = batch_graph(Graph(fwd.ins, fwd.eqns, residuals), mask, size, name)
        forward = batch_some(fwd, mask, (True,) * len(outs) + led, size, name)
        shared = [not mask[closed + i] for i in float_places(body.in_avals[closed:])]
        backward = batch_all(bwd, (*mask[:closed], *led, *(True for _ in outs)), size, name)
        graphs = dict(body=wide, fwd=forward, bwd=_summed(backward, shared))
        return emit(custom_vjp, *ins, **graphs, closed=closed)


def _summed(graph: Graph, shared: Sequence[bool]) -> Graph:
    """The cotangent of what all members share is the sum of theirs."""
    with building() as builder:
        outs = inline(graph, [builder.input(v.aval, v.hint) for v in graph.ins])
        pairs = zip(outs, shared, strict=True)
        return builder.close([emit(sum, o, axes=(0,)) if s else o for o, s in pairs])


@register
class custom_jvp(Call):
    """`body`, whose tangents are given by `rule`.

    body: (closed over..., args...) -> outs; rule: (closed over..., args..., tangents of the float
    args...) -> (outs..., tangents of the float outs...), linear in the tangents: its transpose
    gives the cotangents. Without `rule` it has no derivative, as a `custom_vjp` without a pair.
    """

    name = "custom_jvp"

    def jvp(self, ins, tangents, *, body, rule, closed):
        if rule is None:
            raise TypeError(TOO_DEEP)
        if any(t is not None for t in tangents[:closed]):
            raise TypeError(
                "Detected differentiation of a custom_jvp function with respect to a closed-over "
                "value; pass it as an argument"
            )
        avals = body.in_avals
        places = [closed + i for i in float_places(avals[closed:])]
        given = [Lit(0, avals[i]) if tangents[i] is None else tangents[i] for i in places]
        return paired(inline(rule, [*ins, *given], attribute=False), body.out_avals)

    def forward(self, *ins, body, rule, closed):
        """The rule's results, which may say more about their derivative than the body's."""
        if rule is None:
            raise TypeError(TOO_DEEP)
        values = Graph(rule.ins, rule.eqns, rule.outs[: len(body.outs)])
        zeros = [Lit(0, a) for a in body.in_avals[closed:] if a.dtype.is_float]
        return tuple(inline(_needed(values), [*ins, *zeros])), ()

    def backward(self, cts, saved, *ins, body, rule, closed):
        places = [closed + i for i in float_places(body.in_avals[closed:])]
        given = [*ins, *filled(cts, body.out_avals)]
        found = inline(_transposed(rule, body), given, attribute=False)
        by_place = dict(zip(places, found, strict=True))
        return tuple(CLOSED_OVER if i < closed else by_place.get(i) for i in range(len(ins)))

    def batch(self, ins, mask, size, *, name=None, body, rule, closed):
        from ..passes.batch import batch_all

        along = (mask[closed + i] for i in float_places(body.in_avals[closed:]))
        wide = rule and batch_all(rule, (*mask, *along), size, name)
        body = batch_all(body, mask, size, name)
        return emit(custom_jvp, *ins, body=body, rule=wide, closed=closed)


def _needed(graph: Graph) -> Graph:
    from ..passes.simplify import dce

    return dce(graph)


def _quiet(graph: Graph) -> Graph:
    from ..passes.effects import without_effects

    return without_effects(graph)


def _transposed(rule: Graph, body: Graph) -> Graph:
    """(operands..., cotangents of the outs...) -> cotangents of the float args."""
    from ..passes.grad import vjp_graph

    first, count = len(body.ins), len(body.outs)
    tangents = _needed(_quiet(Graph(rule.ins, rule.eqns, rule.outs[count:])))
    linear = _plain(tangents, set(rule.ins[first:]))
    pull = vjp_graph(linear, range(first, len(rule.ins)))
    with building() as builder:
        ins = [builder.input(a) for a in body.in_avals]
        zeros = [Lit(0.0, v.aval) for v in rule.ins[first:]]
        cts = [builder.input(a) for a in body.out_avals]
        smooth = [ct for ct in cts if ct.aval.dtype.is_float]
        found = inline(pull, [*ins, *zeros, *smooth])[len(linear.outs) :]
        return _needed(builder.close(found))


def _plain(graph: Graph, tangents: set[Var]) -> Graph:
    """The graph with its own kind inlined wherever a tangent goes: what is linear in tangents is
    transposed as it stands, whatever its derivative was said to be."""
    active = set(tangents)
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            ins = [read(env, v) for v in eqn.ins]
            reached = [v in active for v in eqn.ins]
            if any(reached) and eqn.prim in (custom_vjp, custom_jvp):
                body = eqn.params["body"]
                inner = {v for v, r in zip(body.ins, reached, strict=True) if r}
                outs = inline(_plain(body, inner), ins)
            else:
                with attributed(eqn.src, eqn.scope):
                    outs = current().emit(eqn.prim, ins, eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
            active.update(eqn.outs if any(reached) else ())
        return builder.close([read(env, v) for v in graph.outs])
