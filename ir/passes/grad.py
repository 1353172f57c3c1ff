"""Reverse mode as Graph -> Graph.

Invariant: the result is one ordinary graph, which begins with the very equations of the given one.
A residual is by definition any forward value that a rule mentions, so there is no residual
bookkeeping; and since rules emit ordinary equations, the pass applies to its own output (higher
order).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..build import attributed, building, current, describe_src, lit_like, located, read
from ..graph import Eqn, Graph, Lit, Value, Var
from ..prim import CLOSED_OVER
from .simplify import dce

Env = dict[Var, Value]
Saved = dict[Eqn, tuple[Value, ...]]


def vjp_graph(graph: Graph, wrt: Sequence[int], seeds: int | None = None) -> Graph:
    """(ins..., cts...) -> (outs..., cotangents of ins[i] for i in wrt).

    The cotangent inputs have the types of the outputs, or of the first `seeds` of them. An input
    that these do not depend on gets a zero cotangent. Raises TypeError, naming the user's line, at
    a primitive without a derivative.
    """
    return _differentiated(graph, wrt, lambda builder, v, _: builder.input(v.aval), seeds)


def grad_graph(graph: Graph, wrt: Sequence[int]) -> Graph:
    """(ins...) -> (outs..., d outs[0] / d ins[i] for i in wrt); outs[0] is a float scalar."""
    return _differentiated(graph, wrt, lambda _, v, place: lit_like(place == 0, v))


def _differentiated(
    graph: Graph, wrt: Sequence[int], seed: Callable, seeds: int | None = None
) -> Graph:
    """(ins..., inputs that `seed` makes) -> (outs..., cotangents of ins[i] for i in wrt)."""
    with building() as builder:
        builder.inputs += graph.ins
        builder.owned.update(graph.ins)
        env: Env = {}
        saved: Saved = {}
        active = _repeat(graph, env, {graph.ins[i] for i in wrt}, saved)
        cts_in = [seed(builder, v, place) for place, v in enumerate(graph.outs[:seeds])]
        cts = _seed(graph, cts_in, active)
        for eqn in reversed(graph.eqns):
            if any(v in cts for v in eqn.outs):
                _pull_back(eqn, env, cts, active, saved)
        outs = [read(env, v) for v in graph.outs]
        found = [cts.get(graph.ins[i], lit_like(0, graph.ins[i])) for i in wrt]
        return dce(builder.close([*outs, *found]))


def _repeat(graph: Graph, env: Env, wrt: set[Var], saved: Saved) -> set[Var]:
    """Take the forward equations over; returns the Vars that depend on `wrt`.

    `env` receives the results of those that are computed in another way, for the backward pass.
    """
    active = set(wrt)
    builder = current()
    for eqn in graph.eqns:
        needed = _reads(eqn, active)
        if needed and eqn.prim.forward:
            ins = _operands(eqn, env)
            with attributed(eqn.src, eqn.scope), located(eqn):
                outs, saved[eqn] = eqn.prim.forward(*ins, **eqn.params)
            env.update(zip(eqn.outs, outs, strict=True))
        else:
            builder.adopt(eqn, env)
        if needed:
            active.update([v for v in eqn.outs if v.aval.dtype.is_float])
    return active


def _reads(eqn: Eqn, active: set[Var]) -> bool:
    return any(type(v) is Var and v in active for v in eqn.ins)


def _operands(eqn: Eqn, env: Env) -> Sequence[Value]:
    return [read(env, v) for v in eqn.ins] if env else eqn.ins


def _seed(graph: Graph, cts_in: list[Value], active: set[Var]) -> dict[Var, Value]:
    cts: dict[Var, Value] = {}
    for out, ct in zip(graph.outs, cts_in, strict=False):
        if isinstance(out, Var) and out in active:
            _accumulate(cts, out, ct)
    return cts


def _pull_back(eqn: Eqn, env: Env, cts: Env, active: set[Var], saved: Saved) -> None:
    """Turn the cotangents of an equation's results into cotangents of its operands."""
    if not _reads(eqn, active):
        return
    ct_outs = tuple(cts.pop(v, None) for v in eqn.outs)
    scope = f"grad({eqn.scope})" if eqn.scope else "grad"
    with attributed(eqn.src, scope):
        with located(eqn):
            found = _cotangents(eqn, ct_outs, env, saved)
        for v, c in zip(eqn.ins, found, strict=True):
            if c is CLOSED_OVER:
                _refuse_closed_over(eqn, v, active)
            elif c is not None and isinstance(v, Var) and v in active:
                _accumulate(cts, v, c)


def _refuse_closed_over(eqn: Eqn, v: Value, active: set[Var]) -> None:
    if v in active:
        raise TypeError(
            f"Detected differentiation of a {eqn.prim.name} function with respect to a closed-over "
            f"value of type {v.aval}; pass it as an argument{describe_src(eqn.src)}"
        )


def _cotangents(eqn: Eqn, cts: tuple[Value | None, ...], env: Env, saved: Saved) -> tuple:
    ins = _operands(eqn, env)
    if eqn in saved:
        return eqn.prim.backward(cts, saved[eqn], *ins, **eqn.params)
    ct, out = (cts, eqn.outs) if eqn.prim.multi else (cts[0], eqn.out)
    return eqn.prim.vjp(ct, out, *ins, **eqn.params)


def _accumulate(cts: dict[Var, Value], v: Var, ct: Value) -> None:
    """Add a contribution; zeros are dropped so that they never become equations."""
    if isinstance(ct, Lit) and ct.value == 0:
        return
    held = cts.get(v)
    cts[v] = ct if held is None else held + ct


__all__ = ["grad_graph", "vjp_graph"]
