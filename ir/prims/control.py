"""Control flow: a body graph run many times on the device.

Invariant: a body is an ordinary graph whose inputs say everything it reads; nothing is captured
implicitly. `scan` has a static length, so its cost, memory and derivative are known before it runs.
"""

from __future__ import annotations

import numpy as np

from ..build import emit, inline, lit_like
from ..dtypes import bool_, i32
from ..graph import Aval, Graph, Value, Var
from ..prim import Primitive, register
from .lead import front, inward, lead, lead_all


@register
class scan(Primitive):
    """carry, y = body(consts, carry, x) for each x; returns the last carry and the stacked ys.

    Operands: `consts` values, then `carry` initial ones, then arrays with a leading axis of
    `length`, of which the body sees one element. `reverse` walks from the end; ys keep the place
    of their x.
    """

    name = "scan"
    kind = "loop"
    multi = True

    def typeof(
        self, *avals: Aval, body: Graph, consts: int, carry: int, length: int, reverse: bool
    ):
        seen = [a if i < consts + carry else _element(a, length) for i, a in enumerate(avals)]
        if tuple(seen) != body.in_avals:
            raise TypeError(f"scan's body takes {body.in_avals}, got {tuple(seen)}")
        carries, ys = body.out_avals[:carry], body.out_avals[carry:]
        if carries != tuple(avals[consts : consts + carry]):
            raise TypeError(
                "scan body function carry input and carry output must have equal types, got "
                f"{tuple(avals[consts : consts + carry])} and {carries}"
            )
        return *carries, *(Aval((length, *y.shape), y.dtype) for y in ys)

    def eval(self, *xs, body, consts, carry, length, reverse):
        from ..interp import evaluate

        wide = any(np.asarray(x).dtype == np.float64 for x in xs)
        fixed, state = xs[:consts], list(xs[consts : consts + carry])
        rows = [None] * length
        for i in reversed(range(length)) if reverse else range(length):
            outs = evaluate(body, *fixed, *state, *(x[i] for x in xs[consts + carry :]), wide=wide)
            state, rows[i] = outs[:carry], outs[carry:]
        ys = body.out_avals[carry:]
        stacked = [_stack([r[j] for r in rows], y, wide) for j, y in enumerate(ys)]
        return *state, *stacked

    def forward(self, *ins, body, consts, carry, length, reverse):
        """The results, and what the backward pass needs: the carry before each iteration."""
        outs = emit(
            scan, *ins, body=_with_carries(body, consts, carry),
            consts=consts, carry=carry, length=length, reverse=reverse,
        )  # fmt: skip
        count = len(body.outs)
        return outs[:count], outs[count:]

    def backward(self, cts, saved, *ins, body, consts, carry, length, reverse):
        """Walk the other way, running the body again from each saved carry."""
        pull = _Pullback(body, consts, carry)
        cts = [
            _or_zero(ct, like, self._results(body, carry, length)) for like, ct in enumerate(cts)
        ]
        smooth_cts = [cts[i] for i in pull.carried_cts]
        fixed, xs = ins[:consts], ins[consts + carry :]
        zeros = [lit_like(0, fixed[i]) for i in pull.smooth_consts]
        outs = emit(
            scan, *fixed, *smooth_cts, *zeros, *saved, *xs, *(cts[i] for i in pull.stacked_cts),
            body=pull.body, consts=consts, carry=len(smooth_cts) + len(zeros),
            length=length, reverse=not reverse,
        )  # fmt: skip
        return pull.place(outs, len(ins))

    def batch(self, ins, mask, size, *, body, consts, carry, length, reverse):
        from ..passes.batch import batch_some

        varies = _varying(body, mask, size, consts, carry)
        last = consts + carry
        inits = zip(ins[consts:last], mask[consts:last], varies, strict=True)
        inits = [lead(v, m, size) if wanted else v for v, m, wanted in inits]
        xs = [inward(v, 1) if m else v for v, m in zip(ins[last:], mask[last:], strict=True)]
        wanted = (*varies, *(True for _ in body.outs[carry:]))
        body = batch_some(body, (*mask[:consts], *varies, *mask[last:]), wanted, size)
        outs = emit(
            scan, *ins[:consts], *inits, *xs,
            body=body, consts=consts, carry=carry, length=length, reverse=reverse,
        )  # fmt: skip
        carries = lead_all(outs[:carry], varies, size)
        return *carries, *(front(y, 1) for y in outs[carry:])

    def _results(self, body: Graph, carry: int, length: int) -> list[Aval]:
        ys = body.out_avals[carry:]
        return [*body.out_avals[:carry], *(Aval((length, *y.shape), y.dtype) for y in ys)]

    def flops(self, *avals, body, length, **params):
        from .fused import total_flops

        return length * total_flops(body)


def _varying(body: Graph, mask, size: int, consts: int, carry: int) -> tuple[bool, ...]:
    """Which carries differ between members: what one iteration makes differ, the next one sees."""
    from ..passes.batch import batch_graph

    varies = tuple(mask[consts : consts + carry])
    while True:
        _, led = batch_graph(body, (*mask[:consts], *varies, *mask[consts + carry :]), size)
        grown = tuple(a or b for a, b in zip(varies, led[:carry], strict=True))
        if grown == varies:
            return varies
        varies = grown


def _element(aval: Aval, length: int) -> Aval:
    if not aval.ndim or aval.shape[0] != length:
        raise TypeError(f"scan of length {length} got an array of type {aval} to walk over")
    return Aval(aval.shape[1:], aval.dtype)


def _stack(rows: list, aval: Aval, wide: bool):
    from ..interp import host_dtype

    return np.stack(rows) if rows else np.zeros((0, *aval.shape), host_dtype(aval, wide))


def _or_zero(ct: Value | None, index: int, results: list[Aval]) -> Value:
    from ..graph import Lit

    return Lit(0, results[index]) if ct is None else ct


def _with_carries(body: Graph, consts: int, carry: int) -> Graph:
    """The body, also returning the carry it was given."""
    return Graph(body.ins, body.eqns, (*body.outs, *body.ins[consts : consts + carry]))


class _Pullback:
    """The body of the backward scan, and where its results belong.

    Its inputs: consts; cotangents of the float carries; gradients of the float consts so far;
    then, per iteration, the saved carry, x, and cotangents of the float ys.
    """

    def __init__(self, body: Graph, consts: int, carry: int) -> None:
        from ..passes.grad import vjp_graph

        avals, outs = body.in_avals, body.out_avals
        smooth = [i for i, a in enumerate(avals) if a.dtype.is_float]
        self.consts, self.carry = consts, carry
        self.smooth_consts = [i for i in smooth if i < consts]
        self.smooth_carry = [i - consts for i in smooth if consts <= i < consts + carry]
        self.smooth_xs = [i for i in smooth if i >= consts + carry]
        self.carried_cts = self.smooth_carry
        self.stacked_cts = [j for j in range(carry, len(outs)) if outs[j].dtype.is_float]
        order = [i + consts for i in self.smooth_carry] + self.smooth_consts + self.smooth_xs
        self.body = self._build(body, vjp_graph(body, order))

    def _build(self, body: Graph, joint: Graph) -> Graph:
        from ..build import building

        consts, carry, outs = self.consts, self.carry, body.out_avals
        with building() as builder:
            fixed = [builder.input(a) for a in body.in_avals[:consts]]
            cts = {j: builder.input(outs[j]) for j in self.carried_cts}
            sums = [builder.input(body.in_avals[i]) for i in self.smooth_consts]
            state = [builder.input(a) for a in body.in_avals[consts : consts + carry]]
            xs = [builder.input(a) for a in body.in_avals[consts + carry :]]
            cts |= {j: builder.input(outs[j]) for j in self.stacked_cts}
            seeds = [_or_zero(cts.get(j), j, list(outs)) for j in range(len(outs))]
            found = inline(joint, [*fixed, *state, *xs, *seeds])[len(outs) :]
            n, m = len(self.smooth_carry), len(self.smooth_consts)
            totals = [s + g for s, g in zip(sums, found[n : n + m], strict=True)]
            return builder.close([*found[:n], *totals, *found[n + m :]])

    def place(self, outs: tuple[Var, ...], count: int) -> tuple[Value | None, ...]:
        """Cotangents by operand of the forward scan."""
        found: dict[int, Value] = {}
        places = [self.consts + i for i in self.smooth_carry] + self.smooth_consts + self.smooth_xs
        found.update(zip(places, outs, strict=True))
        return tuple(found.get(i) for i in range(count))


@register
class while_loop(Primitive):
    """flag, carry = step(consts, carry) while the flag holds; returns the last carry.

    Operands: the first flag (bool), `consts` values, then the initial carry. The host looks at the
    flag from time to time, so the number of iterations may depend on data; for the same reason it
    has no derivative.
    """

    name = "while_loop"
    kind = "loop"
    multi = True

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

    def vjp(self, ct, out, *ins, **params):
        raise TypeError(
            "Reverse-mode differentiation does not work for lax.while_loop, whose number of "
            "iterations is unknown; use lax.scan or lax.fori_loop with fixed bounds"
        )

    def batch(self, ins, mask, size, *, step, consts, carry):
        from ..passes.batch import batch_some

        flag, fixed, inits = ins[0], ins[1 : consts + 1], ins[consts + 1 :]
        # A flag is to a step what a carry is to the next iteration.
        varies = _varying(_with_flag(step), (*mask[1 : consts + 1], *mask[:1], *mask[consts + 1 :]),
                          size, consts, carry + 1)  # fmt: skip
        alone = varies[0]
        varies = (True,) * carry if alone else varies[1:]
        inits = zip(inits, mask[consts + 1 :], varies, strict=True)
        inits = [lead(v, m, size) if wanted else v for v, m, wanted in inits]
        step = batch_some(step, (*mask[1 : consts + 1], *varies), (alone, *varies), size)
        if alone:
            flag = lead(flag, mask[0], size)
            step, inits, flag = _each_until_done(step, consts), [flag, *inits], _any(flag)
        outs = emit(while_loop, flag, *fixed, *inits, step=step, consts=consts, carry=len(inits))
        return tuple(lead_all(outs[1:] if alone else outs, varies, size))

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
    from .elementwise import cast, lt
    from .reduce import reduce_max

    most = emit(reduce_max, emit(cast, flags, dtype=i32), axes=(0,))
    return emit(lt, lit_like(0, most), most)
