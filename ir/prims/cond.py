"""`cond`: one of several graphs, chosen at run time.

Invariant: branches are graphs of equal types that see nothing but their operands. Derivatives are
conds of the branches' derivatives, so what the others would have given never reaches a result: a
branch may be infinite, undefined or endless where it is not taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..build import build, building, emit, inline, lit
from ..dtypes import bool_, i32
from ..graph import Aval, Graph, Lit, Value
from ..prim import Primitive, register
from .call import paired
from .elementwise import lt, select
from .scan import cut, trim
from .views import broadcast_to

Branches = tuple[Graph, ...]


@register
class cond(Primitive):
    """branches[index](operands).

    Operands: the index, an i32 that is clamped into range or a bool that chooses between two; then
    what every branch takes.
    """

    name = "cond"
    kind = "control"
    multi = True
    named = True

    def typeof(self, index: Aval, *avals: Aval, branches: Branches):
        two = index.dtype is bool_ and len(branches) == 2
        if index.shape or not (two or index.dtype is i32):
            raise TypeError(f"cond of {len(branches)} branches takes an i32 index, got {index}")
        for branch in branches:
            if branch.in_avals != avals:
                raise TypeError(f"a branch of cond takes {branch.in_avals}, got {avals}")
            if branch.out_avals != branches[0].out_avals:
                raise TypeError(
                    "branches of cond must have equal output types, got "
                    f"{branches[0].out_avals} and {branch.out_avals}"
                )
        return branches[0].out_avals

    def eval(self, index, *xs, branches):
        from ..interp import evaluate

        wide = any(np.asarray(x).dtype == np.float64 for x in xs)
        at = int(np.clip(int(index), 0, len(branches) - 1))
        return tuple(evaluate(branches[at], *xs, wide=wide))

    def lockstep(self, ins, run, *, branches):
        index, *xs = ins
        return run(branches[int(np.clip(int(index[0]), 0, len(branches) - 1))], xs)

    def vjp(self, cts, outs, index, *ins, branches):
        places = [i for i, v in enumerate(ins) if v.aval.dtype.is_float]
        live = [j for j, ct in enumerate(cts) if ct is not None]
        pulls = tuple(_pullback(b, places, live) for b in branches)
        found = emit(cond, index, *ins, *(cts[j] for j in live), branches=pulls)
        by_place = dict(zip(places, found, strict=True))
        return None, *(by_place.get(i) for i in range(len(ins)))

    def jvp(self, ins, tangents, *, branches):
        from ..passes.forward import jvp_graph

        places = [i for i, t in enumerate(tangents[1:]) if t is not None]
        pushes = tuple(jvp_graph(b, places) for b in branches)
        found = emit(cond, *ins, *(tangents[i + 1] for i in places), branches=pushes)
        return paired(found, branches[0].out_avals)

    def batch(self, ins, mask, size, *, name=None, branches):
        from ..passes.batch import batch_all

        wide = tuple(batch_all(b, mask[1:], size, name) for b in branches)
        if mask[0]:  # each member takes a branch of its own
            return tuple(chosen(ins[0], [inline(b, ins[1:]) for b in wide]))
        return emit(cond, *ins, branches=wide)

    def trimmed(self, eqn, live):
        keeps = [v in live for v in eqn.outs]
        small = [trim(b, keeps, 0, 0) for b in eqn.params["branches"]]
        reads = [any(flags) for flags in zip(*(r for _, r, _ in small), strict=True)]
        branches = (_taking(b, g, reads) for b, (g, _, _) in
                    zip(eqn.params["branches"], small, strict=True))  # fmt: skip
        return cut(eqn, [True, *reads], keeps, branches=tuple(branches))

    def callee(self, *avals, branches):
        """All branches, and a choice between their results."""
        return build(lambda i, *ins: chosen(i, [inline(b, ins) for b in branches]), *avals)

    def flops(self, *avals, branches):
        from .fused import total_flops

        return max(map(total_flops, branches))


def _taking(branch: Graph, small: Graph, reads: Sequence[bool]) -> Graph:
    """`small`, cut from `branch`, with all the inputs that any branch reads."""
    ins = tuple(v for v, kept in zip(branch.ins, reads, strict=True) if kept)
    return Graph(ins, small.eqns, small.outs)


def _pullback(branch: Graph, places: Sequence[int], live: Sequence[int]) -> Graph:
    """(ins..., cotangents of the outputs in `live`) -> cotangents of ins[i] for i in places."""
    from ..passes.effects import without_effects
    from ..passes.grad import vjp_graph
    from ..passes.simplify import dce

    joint = vjp_graph(without_effects(branch), places)
    with building() as builder:
        ins = [builder.input(v.aval, v.hint) for v in branch.ins]
        given = {j: builder.input(branch.out_avals[j]) for j in live}
        cts = [given.get(j, Lit(0, a)) for j, a in enumerate(branch.out_avals)]
        return dce(builder.close(inline(joint, [*ins, *cts])[len(cts) :]))


def chosen(index: Value, results: Sequence[Sequence[Value]]) -> list[Value]:
    """results[index], clamped, by selection; an index with an axis chooses for each row."""
    found = list(results[-1])
    for at in reversed(range(len(results) - 1)):
        for j, value in enumerate(results[at]):
            found[j] = _choice(index, at, value, found[j])
    return found


def _choice(index: Value, at: int, value: Value, other: Value) -> Value:
    """`value` where the index is `at` or less."""
    flag = index.aval.dtype is bool_
    shape, dims = value.aval.shape, tuple(range(index.aval.ndim))
    hit = index if flag else emit(lt, index, lit(at + 1, i32, index.aval.shape))
    pair = (other, value) if flag else (value, other)
    return emit(select, broadcast_to(hit, shape, dims), *pair)
