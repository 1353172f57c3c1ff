"""Cleaning passes: dead code, common subexpressions, folding, and expansion of composites.

Invariant: a simplified graph computes the same values; equations stay in a valid order.
"""

from __future__ import annotations

from collections.abc import Callable

from ..build import attributed, building, inline, read
from ..dtypes import highest
from ..graph import Eqn, Graph, Lit, Value, Var


def dce(graph: Graph) -> Graph:
    """Drop equations that no output needs and that tell nobody. The graph's inputs stay.

    Loops and branches lose the results that nobody reads, and the operands that only these need.
    """
    live = {v for v in graph.outs if isinstance(v, Var)}
    kept: list[Eqn] = []
    for eqn in reversed(graph.eqns):
        tells = eqn.effectful
        if tells or not live.isdisjoint(eqn.outs):
            eqn = eqn if tells else eqn.prim.trimmed(eqn, live)
            kept.append(eqn)
            live.update([v for v in eqn.ins if type(v) is Var])
    return Graph(graph.ins, tuple(reversed(kept)), graph.outs)


def cse(graph: Graph) -> Graph:
    """One equation for each distinct (primitive, operands, params)."""
    return _rewrite(graph, fold=False)


def simplify(graph: Graph) -> Graph:
    """Fold identities and constants, merge equal equations, drop dead ones."""
    return dce(_rewrite(graph, fold=True))


def _rewrite(graph: Graph, fold: bool) -> Graph:
    env: dict[Var, Value] = {}
    seen: dict[tuple, tuple[Var, ...]] = {}
    made: dict[Var, Eqn] = {}
    eqns: list[Eqn] = []
    for eqn in graph.eqns:
        ins = tuple(env.get(v, v) if isinstance(v, Var) else v for v in eqn.ins)
        simple = _fold(eqn, ins, made) if fold and eqn.outs else None
        if simple is not None:
            env[eqn.outs[0]] = simple
            continue
        key = (eqn.prim.name, tuple(map(_identity, ins)), eqn.param_key())
        if key in seen and not eqn.effectful:
            env.update(zip(eqn.outs, seen[key], strict=True))
            continue
        seen[key] = eqn.outs
        new = (
            eqn if ins == eqn.ins else Eqn(eqn.prim, ins, eqn.outs, eqn.params, eqn.src, eqn.scope)
        )
        eqns.append(new)
        made.update((v, new) for v in eqn.outs)
    outs = tuple(env.get(v, v) if isinstance(v, Var) else v for v in graph.outs)
    return Graph(graph.ins, tuple(eqns), outs)


def _identity(v: Value) -> object:
    """What makes two operands the same; 0.0 and -0.0 are equal numbers but not the same."""
    return (repr(v.value), v.aval) if isinstance(v, Lit) else v


# --- folding: one small function per primitive, (eqn, operands, definitions) -> Value | None ------


def _fold(eqn: Eqn, ins: tuple[Value, ...], made: dict[Var, Eqn]) -> Value | None:
    rule = _FOLDS.get(eqn.prim.name)
    found = rule(eqn, ins, made) if rule else None
    if found is None and ins and all(isinstance(v, Lit) for v in ins):
        found = _constant(eqn, ins)
    return found


def _constant(eqn: Eqn, ins: tuple[Lit, ...]) -> Lit | None:
    """Elementwise operations and shape changes of splats are splats."""
    import numpy as np

    from ..interp import apply

    out = eqn.outs[0].aval
    if eqn.prim.kind == "elementwise":
        with np.errstate(all="ignore"):
            xs = [np.full((), v.value, v.aval.dtype.np) for v in ins]
            value = apply(eqn, xs).astype(out.dtype.np).item()
        finite = not isinstance(value, float) or np.isfinite(value)
        return Lit(value, out) if finite else None
    if eqn.prim.name in ("broadcast", "reshape", "transpose", "slice", "rev", "windows"):
        return Lit(ins[0].value, out)
    return None


def _is(v: Value, value: float) -> bool:
    return isinstance(v, Lit) and v.value == value and v.aval.dtype.name != "bool"


def _fold_add(eqn, ins, made):
    x, y = ins
    return y if _is(x, 0) else x if _is(y, 0) else None


def _fold_sub(eqn, ins, made):
    return ins[0] if _is(ins[1], 0) else None


def _fold_mul(eqn, ins, made):
    x, y = ins
    return y if _is(x, 1) else x if _is(y, 1) else None


def _fold_div(eqn, ins, made):
    return ins[0] if _is(ins[1], 1) else None


def _fold_select(eqn, ins, made):
    cond, x, y = ins
    if isinstance(cond, Lit):
        return x if cond.value else y
    return x if _identity(x) == _identity(y) else None


def _fold_neg(eqn, ins, made):
    inner = made.get(ins[0])
    return inner.ins[0] if inner and inner.prim is eqn.prim else None


def _fold_same_type(eqn, ins, made):
    """Views and casts that change nothing."""
    return ins[0] if ins[0].aval == eqn.outs[0].aval else None


def _fold_transpose(eqn, ins, made):
    perm = eqn.params["perm"]
    return ins[0] if list(perm) == sorted(perm) else None


def _fold_sum(eqn, ins, made):
    if not eqn.params["axes"]:
        return ins[0]
    if not isinstance(ins[0], Lit) or not ins[0].aval.dtype.is_float:
        return None
    out = eqn.outs[0].aval
    total = ins[0].value * (ins[0].aval.size // out.size) if out.size else 0.0
    return Lit(total, out) if abs(total) <= highest(out.dtype) else None


def _fold_no_axes(eqn, ins, made):
    return None if eqn.params["axes"] else ins[0]


def _fold_stop(eqn, ins, made):
    """After differentiation it means nothing; before, it must stay on anything that varies."""
    return ins[0] if isinstance(ins[0], Lit) else None


_FOLDS: dict[str, Callable] = {
    "add": _fold_add,
    "sub": _fold_sub,
    "mul": _fold_mul,
    "div": _fold_div,
    "select": _fold_select,
    "neg": _fold_neg,
    "cast": _fold_same_type,
    "broadcast": _fold_same_type,
    "reshape": _fold_same_type,
    "transpose": _fold_transpose,
    "slice": _fold_same_type,
    "sum": _fold_sum,
    "reduce_max": _fold_no_axes,
    "reduce_min": _fold_no_axes,
    "rev": _fold_no_axes,
    "stop_gradient": _fold_stop,
}


def expand(graph: Graph, keep: Callable[[Eqn], bool] = lambda eqn: False) -> Graph:
    """Replace composites by their expansions, except those that `keep` accepts.

    Calls are expanded through and through, and so are branches. What only transformations read
    disappears here too: expansion is for code generation, after differentiation.
    """
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            ins = [read(env, v) for v in eqn.ins]
            with attributed(eqn.src, eqn.scope):
                env.update(zip(eqn.outs, _expanded(eqn, ins, keep, builder), strict=True))
        return builder.close([read(env, v) for v in graph.outs])


# Identities that mean something to transformations.
_MARKS = ("stop_gradient", "checkpoint_name", "sharding_constraint")


def _expanded(eqn: Eqn, ins: list[Value], keep: Callable[[Eqn], bool], builder) -> tuple:
    if eqn.prim.name in _MARKS:
        return (ins[0],)
    if keep(eqn):
        return builder.emit(eqn.prim, ins, eqn.params)
    callee = eqn.prim.callee(*(v.aval for v in eqn.ins), **eqn.params)
    if callee is not None:
        return tuple(inline(expand(callee, keep), ins))
    if eqn.prim.kind != "composite":
        return builder.emit(eqn.prim, ins, eqn.params)
    if eqn.prim.nested:
        inner = eqn.prim.expansion(tuple(v.aval for v in ins), eqn.params)
        return tuple(inline(expand(inner, keep), ins))
    outs = eqn.prim.expand(*ins, **eqn.params)
    return outs if eqn.prim.multi else (outs,)
