"""Calls: equations that stand for a whole graph, so that transformations can treat it as one.

Invariant: `callee` is what a call computes; every pass but differentiation and batching may put it
in the call's place. Graphs are parameters and see nothing but their inputs: what a function closed
over are leading operands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..build import emit, inline
from ..factors import Factors
from ..graph import Aval, Eqn, Graph, Lit, Value, Var
from ..prim import Primitive, register
from .contract import roles
from .effect import key_use
from .elementwise import ANY, Elementwise
from .fused import Composite

Policy = tuple[Any, ...]


class Call(Composite):
    """A graph under the name `body`, with a derivative of its own."""

    multi = True
    named = True

    def typeof(self, *avals: Aval, body: Graph, **params) -> tuple[Aval, ...]:
        if avals != body.in_avals:
            raise TypeError(f"{self.name} of a graph of {_list(body.in_avals)} got {_list(avals)}")
        return body.out_avals

    def callee(self, *avals: Aval, body: Graph, **params) -> Graph:
        return body

    def lockstep(self, ins, run, *, body, **params):
        return run(body, ins)

    def expand(self, *ins, body, **params):
        return tuple(inline(body, ins))

    def expansion(self, avals, params):
        return params["body"]


def _list(avals: Sequence[Aval]) -> str:
    return ", ".join(map(str, avals)) or "nothing"


def float_places(avals: Sequence[Aval]) -> list[int]:
    """Positions of what can have a cotangent."""
    return [i for i, a in enumerate(avals) if a.dtype.is_float]


def paired(found: Sequence[Value], avals: Sequence[Aval]) -> tuple[tuple, tuple]:
    """The results of a `jvp_graph` as (results of types `avals`, a tangent or None for each)."""
    smooth = iter(found[len(avals) :])
    tangents = (next(smooth) if a.dtype.is_float else None for a in avals)
    return tuple(found[: len(avals)]), tuple(tangents)


def filled(cts: Sequence[Value | None], avals: Sequence[Aval]) -> list[Value]:
    """Cotangents with zeros for those that are missing."""
    return [Lit(0, a) if ct is None else ct for ct, a in zip(cts, avals, strict=True)]


# --- rematerialisation ----------------------------------------------------------------------------


@register
class remat(Call):
    """`body`, whose backward pass computes it again instead of keeping its intermediate values.

    `policy` says which of them are kept all the same; see `keeps`. With `apart`, no pass merges the
    second computation with the first.
    """

    name = "remat"

    def forward(self, *ins, body, policy, apart):
        outs = emit(remat, *ins, body=_with_kept(body, policy), policy=policy, apart=apart)
        return outs[: len(body.outs)], outs[len(body.outs) :]

    def backward(self, cts, saved, *ins, body, policy, apart):
        from ..passes.effects import without_effects
        from ..passes.grad import vjp_graph

        body = without_effects(body, (key_use,))  # the same key again is the same numbers again
        places, count = float_places(body.in_avals), len(body.outs)
        joint = vjp_graph(_with_kept(body, policy), places, seeds=count)
        first = count + len(saved)
        pull = _given(joint, joint.outs[count:first], joint.outs[first:])
        given = [*ins, *filled(cts, body.out_avals), *saved]
        if apart:
            given = _held_apart(pull, given, set(range(len(ins), len(ins) + count)))
        found = inline(pull, given, attribute=False)
        by_place = dict(zip(places, found, strict=True))
        return tuple(by_place.get(i) for i in range(len(ins)))

    def trimmed(self, eqn, live):
        from .scan import cut, trim

        body, reads, keeps = trim(eqn.params["body"], [v in live for v in eqn.outs], 0, 0)
        return cut(eqn, reads, keeps, body=body)

    def jvp(self, ins, tangents, *, body, policy, apart):
        from ..passes.forward import jvp_graph

        places = [i for i, t in enumerate(tangents) if t is not None]
        pushed = jvp_graph(body, places)
        given = [*ins, *(tangents[i] for i in places)]
        found = emit(remat, *given, body=pushed, policy=policy, apart=apart)
        return paired(found, body.out_avals)

    def batch(self, ins, mask, size, *, name=None, body, policy, apart):
        from ..passes.batch import batch_all

        wide = batch_all(body, mask, size, name)
        return emit(remat, *ins, body=wide, policy=policy, apart=apart)


def _held_apart(graph: Graph, values: Sequence[Value], but: set[int]) -> list[Value]:
    """Arguments of a graph, those that it reads behind a barrier, except at the places in `but`."""
    read = graph.users()
    places = [i for i, v in enumerate(graph.ins) if v in read and i not in but]
    held = emit(optimization_barrier, *(values[i] for i in places)) if places else ()
    stands = dict(zip(places, held, strict=True))
    return [stands.get(i, v) for i, v in enumerate(values)]


def _with_kept(body: Graph, policy: Policy) -> Graph:
    """The body, also returning what its policy keeps of the values its results need."""
    from ..passes.simplify import dce

    kept = (v for e in dce(body).eqns if keeps(policy, e) for v in e.outs)
    return Graph(body.ins, body.eqns, (*body.outs, *kept))


def _given(graph: Graph, values: Sequence[Value], outs: Sequence[Value]) -> Graph:
    """`outs` of a graph that takes some of its intermediate values as further inputs."""
    from ..passes.simplify import dce

    inputs = [Var(v.aval) for v in values]
    known = set(graph.ins)
    stands = {v: x for v, x in zip(values, inputs, strict=True) if v not in known}
    eqns = tuple(replace(e, ins=tuple(stands.get(v, v) for v in e.ins)) for e in graph.eqns)
    return dce(Graph((*graph.ins, *inputs), eqns, tuple(stands.get(v, v) for v in outs)))


def keeps(policy: Policy, eqn: Eqn) -> bool:
    """Whether a policy keeps an equation's results: one word, and names where it is about names.

    nothing, everything, dots, unbatched dots (products without batch axes), names (values that
    checkpoint_name gave one of them), names but (any other name), all but (everything, unless it
    is named so). "either" is followed by two policies. Raises ValueError for other words.
    """
    word, *names = policy
    if word == "either":
        return any(keeps(one, eqn) for one in names)
    name = eqn.params["name"] if eqn.prim is checkpoint_name else None
    dot = eqn.prim.name == "dot"
    rules = {
        "nothing": False,
        "everything": True,
        "dots": dot,
        "unbatched dots": dot and not roles(eqn.params["spec"])[0],
        "names": name in names,
        "names but": name is not None and name not in names,
        "all but": name not in names,
    }
    if word not in rules:
        raise ValueError(f"unknown checkpoint policy {word!r}; one of {', '.join(rules)}")
    return rules[word]


@register
class checkpoint_name(Elementwise):
    """The identity; a policy of `remat` may keep its result by `name`."""

    name = "checkpoint_name"
    accepts = ANY
    sums = ((True,),)

    def typeof(self, x: Aval, *, name: str) -> Aval:
        return x

    def eval(self, x, *, name):
        return x

    def vjp(self, ct, out, x, *, name):
        return (ct,)


@register
class optimization_barrier(Primitive):
    """The identity of each operand; what is computed from the results is computed anew.

    No pass merges equations on either side. Code generation drops it once it has decided which
    kernels there are.
    """

    name = "optimization_barrier"
    kind = "view"
    multi = True

    def typeof(self, *avals: Aval) -> tuple[Aval, ...]:
        return avals

    def eval(self, *xs):
        return xs

    def vjp(self, cts, outs, *ins):
        return cts

    def factors(self, *avals):
        dims = tuple(tuple((i, d) for d in range(a.ndim)) for i, a in enumerate(avals))
        return Factors(dims, dims)

    def linear(self, mask):
        return True

    def batch(self, ins, mask, size):
        return emit(optimization_barrier, *ins)

    def batched(self, mask, results, **params):
        return mask
