"""`while_loop`: a step run until it says stop.

Invariant: the step is an ordinary graph; what it reads besides the carry are constant operands. A
flag that has dropped stays down, and iterations after that change nothing.
"""

from __future__ import annotations

import numpy as np

from ..build import emit, inline, lit_like
from ..dtypes import bool_, i32
from ..graph import Aval, Graph, Value, Var
from ..prim import Primitive, register
from .lead import lead, lead_all
from .scan import cut, separated, trim, varying, widened, with_tangents


@register
class while_loop(Primitive):
    """flag, carry = step(consts, carry) while the flag holds; returns the last carry.

    Operands: the first flag (bool), `consts` values, then the initial carry. The host looks at the
    flag from time to time, so the number of iterations may depend on data; for the same reason it
    has tangents and no cotangents.
    """

    name = "while_loop"
    kind = "control"
    multi = True
    named = True

    def typeof(self, flag: Aval, *avals: Aval, step: Graph, consts: int, carry: int):
        if tuple(avals) != step.in_avals or len(avals) != consts + carry:
            raise TypeError(f"while_loop's step takes {step.in_avals}, got {tuple(avals)}")
        if (flag, *avals[consts:]) != step.out_avals or flag != Aval((), bool_):
            raise TypeError(
                "while_loop's body must return what it takes: "
                f"{tuple(avals[consts:])} became {step.out_avals[1:]}"
            )
        return tuple(avals[consts:])

    def eval(self, flag, *xs, step, consts, carry):
        from ..interp import evaluate

        wide = any(np.asarray(x).dtype == np.float64 for x in xs)
        fixed, state = xs[:consts], list(xs[consts:])
        while bool(flag):
            flag, *state = evaluate(step, *fixed, *state, wide=wide)
        return tuple(state)

    def lockstep(self, ins, run, *, step, consts, carry):
        flag, fixed, state = ins[0], ins[1 : consts + 1], ins[consts + 1 :]
        while bool(flag[0]):
            flag, *state = run(step, [*fixed, *state])
        return list(state)

    def vjp(self, ct, out, *ins, **params):
        raise ValueError(
            "Reverse-mode differentiation does not work for lax.while_loop or lax.fori_loop with "
            "dynamic start/stop values. Try using lax.scan, or using fori_loop with static "
            "start/stop."
        )

    def jvp(self, ins, tangents, *, step, consts, carry):
        flag, *ins = ins
        wide, moves = with_tangents(step, [t is not None for t in tangents[1:]], consts, carry, 1)
        fixed, inits, _ = widened(ins, tangents[1:], moves, (consts, carry, 0))
        outs = emit(
            while_loop, flag, *fixed, *inits, step=wide, consts=len(fixed), carry=len(inits)
        )
        return separated(outs, moves[consts:])

    def batch(self, ins, mask, size, *, name=None, step, consts, carry):
        from ..passes.batch import batch_some

        flag, fixed, inits = ins[0], ins[1 : consts + 1], ins[consts + 1 :]
        # A flag is to a step what a carry is to the next iteration.
        seen = (*mask[1 : consts + 1], *mask[:1], *mask[consts + 1 :])
        varies = varying(_with_flag(step), seen, size, consts, carry + 1, name)
        alone = varies[0]
        varies = (True,) * carry if alone else varies[1:]
        inits = zip(inits, mask[consts + 1 :], varies, strict=True)
        inits = [lead(v, m, size) if wanted else v for v, m, wanted in inits]
        step = batch_some(step, (*mask[1 : consts + 1], *varies), (alone, *varies), size, name)
        if alone:
            flag = lead(flag, mask[0], size)
            step, inits, flag = _each_until_done(step, consts), [flag, *inits], _any(flag)
        outs = emit(while_loop, flag, *fixed, *inits, step=step, consts=consts, carry=len(inits))
        return tuple(lead_all(outs[1:] if alone else outs, varies, size))

    def trimmed(self, eqn, live):
        p = eqn.params
        used = [True, *(v in live for v in eqn.outs)]
        step, reads, keeps = trim(p["step"], used, p["consts"], p["carry"], 1)
        counts = {"consts": sum(reads[: p["consts"]]), "carry": sum(keeps[1:])}
        return cut(eqn, [True, *reads], keeps[1:], step=step, **counts)

    def flops(self, *avals, step, **params):
        from .fused import total_flops

        return total_flops(step)  # of one iteration: how many there are is not known


def _with_flag(step: Graph) -> Graph:
    """A step that also takes the flag, and ignores it: of the form of a scan's body."""
    consts = len(step.ins) - len(step.outs) + 1
    ignored = Var(step.outs[0].aval)
    return Graph((*step.ins[:consts], ignored, *step.ins[consts:]), step.eqns, step.outs)


def _each_until_done(step: Graph, consts: int) -> Graph:
    """A batched step whose members each stop by themselves: (any flag, flags, carries)."""
    from ..build import building
    from .elementwise import and_, select
    from .views import broadcast_to

    with building() as builder:
        fixed = [builder.input(v.aval, v.hint) for v in step.ins[:consts]]
        flags = builder.input(step.outs[0].aval)
        old = [builder.input(v.aval, v.hint) for v in step.ins[consts:]]
        still, *new = inline(step, [*fixed, *old])
        moved = []
        for before, after in zip(old, new, strict=True):
            going = broadcast_to(flags, before.aval.shape, (0,))
            moved.append(emit(select, going, after, before))
        still = emit(and_, flags, still)
        return builder.close([_any(still), still, *moved])


def _any(flags: Value) -> Value:
    """bool[]: whether any of bool[n] holds."""
    from .elementwise import lt
    from .reduce import reduce_max
    from .unary import cast

    most = emit(reduce_max, emit(cast, flags, dtype=i32), axes=(0,))
    return emit(lt, lit_like(0, most), most)
