"""`scan`: a body graph run a known number of times.

Invariant: a body is an ordinary graph whose inputs say everything it reads; nothing is captured
implicitly. The length is static, so cost, memory and derivative are known before it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from ..build import emit, inline, lit_like
from ..graph import Aval, Eqn, Graph, Lit, Value, Var
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
    kind = "control"
    multi = True
    named = True

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

    def lockstep(self, ins, run, *, body, consts, carry, length, reverse):
        fixed, state, xs = ins[:consts], ins[consts : consts + carry], ins[consts + carry :]
        rows: list = [None] * length
        for i in reversed(range(length)) if reverse else range(length):
            outs = run(body, [*fixed, *state, *([x[i] for x in each] for each in xs)])
            state, rows[i] = outs[:carry], outs[carry:]
        ys = body.out_avals[carry:]
        stacked = [
            [_stack([r[j][device] for r in rows], y, True) for device in range(len(ins[0]))]
            for j, y in enumerate(ys)
        ]
        return [*state, *stacked]

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

    def jvp(self, ins, tangents, *, body, consts, carry, length, reverse):
        parts = consts, carry, len(ins) - consts - carry
        wide, moves = with_tangents(body, [t is not None for t in tangents], consts, carry)
        cs, inits, xs = widened(ins, tangents, moves, parts)
        outs = emit(
            scan, *cs, *inits, *xs, body=wide,
            consts=len(cs), carry=len(inits), length=length, reverse=reverse,
        )  # fmt: skip
        ys = [v.dtype.is_float for v in body.out_avals[carry:]]
        carries, along = separated(outs[: len(inits)], moves[consts : consts + carry])
        stacked, along_ys = separated(outs[len(inits) :], ys)
        return (*carries, *stacked), (*along, *along_ys)

    def batch(self, ins, mask, size, *, name=None, body, consts, carry, length, reverse):
        from ..passes.batch import batch_some

        varies = varying(body, mask, size, consts, carry, name)
        last = consts + carry
        inits = zip(ins[consts:last], mask[consts:last], varies, strict=True)
        inits = [lead(v, m, size) if wanted else v for v, m, wanted in inits]
        xs = [inward(v, 1) if m else v for v, m in zip(ins[last:], mask[last:], strict=True)]
        wanted = (*varies, *(True for _ in body.outs[carry:]))
        body = batch_some(body, (*mask[:consts], *varies, *mask[last:]), wanted, size, name)
        outs = emit(
            scan, *ins[:consts], *inits, *xs,
            body=body, consts=consts, carry=carry, length=length, reverse=reverse,
        )  # fmt: skip
        carries = lead_all(outs[:carry], varies, size)
        return *carries, *(front(y, 1) for y in outs[carry:])

    def trimmed(self, eqn, live):
        p = eqn.params
        used = [v in live for v in eqn.outs]
        body, reads, keeps = trim(p["body"], used, p["consts"], p["carry"])
        counts = {"consts": sum(reads[: p["consts"]]), "carry": sum(keeps[: p["carry"]])}
        return cut(eqn, reads, keeps, body=body, **counts)

    def _results(self, body: Graph, carry: int, length: int) -> list[Aval]:
        ys = body.out_avals[carry:]
        return [*body.out_avals[:carry], *(Aval((length, *y.shape), y.dtype) for y in ys)]

    def flops(self, *avals, body, length, **params):
        from .fused import total_flops

        return length * total_flops(body)


def varying(
    body: Graph, mask, size: int, consts: int, carry: int, name: str | None = None
) -> tuple[bool, ...]:
    """Which carries differ between members: what one iteration makes differ, the next one sees."""
    from ..passes.batch import batch_graph

    varies = tuple(mask[consts : consts + carry])
    while True:
        given = (*mask[:consts], *varies, *mask[consts + carry :])
        _, led = batch_graph(body, given, size, name)
        grown = tuple(a or b for a, b in zip(varies, led[:carry], strict=True))
        if grown == varies:
            return varies
        varies = grown


# --- trimming -------------------------------------------------------------------------------------


def trim(
    body: Graph, used: Sequence[bool], consts: int, carry: int, leading: int = 0
) -> tuple[Graph, list[bool], list[bool]]:
    """(the body cut to what `used` results need, which operands and which results are left).

    `leading` results come before the carry. A carry that a later iteration reads is needed too.
    """
    from ..passes.simplify import dce

    keeps, count = list(used), len(body.outs)
    while True:
        outs = tuple(v for v, kept in zip(body.outs, keeps, strict=True) if kept)
        small = dce(Graph(body.ins, body.eqns, outs))
        read = {v for e in small.eqns for v in e.ins} | set(outs)
        carried = [v in read for v in body.ins[consts : consts + carry]]
        after = [False] * (count - leading - carry)
        grown = zip(keeps, [False] * leading + carried + after, strict=True)
        grown = [a or b for a, b in grown]
        if grown == keeps:
            break
        keeps = grown
    reads = [v in read for v in body.ins]
    reads[consts : consts + carry] = keeps[leading : leading + carry]
    ins = tuple(v for v, kept in zip(body.ins, reads, strict=True) if kept)
    return Graph(ins, small.eqns, outs), reads, keeps


def cut(eqn: Eqn, reads: Sequence[bool], keeps: Sequence[bool], **params: Any) -> Eqn:
    """The equation with the operands that `reads` and the results that `keeps` are left."""
    if all(reads) and all(keeps):
        return eqn
    ins = tuple(v for v, kept in zip(eqn.ins, reads, strict=True) if kept)
    outs = tuple(v for v, kept in zip(eqn.outs, keeps, strict=True) if kept)
    return replace(eqn, ins=ins, outs=outs, params={**eqn.params, **params})


# --- tangents -------------------------------------------------------------------------------------


def with_tangents(
    body: Graph, moves: Sequence[bool], consts: int, carry: int, leading: int = 0
) -> tuple[Graph, list[bool]]:
    """(the body with a tangent behind each part of its operands and results, which operands have
    one). A carry has one if an iteration can give it one. `leading` results come before the carry.
    """
    from ..passes.forward import jvp_graph, moving

    moves, smooth = list(moves), [v.dtype.is_float for v in body.out_avals]
    while True:
        pushed = jvp_graph(body, [i for i, m in enumerate(moves) if m])
        found = iter(moving(pushed)[len(body.outs) :])
        reached = [s and next(found) for s in smooth][leading : leading + carry]
        grown = [a or b for a, b in zip(moves[consts : consts + carry], reached, strict=True)]
        if grown == moves[consts : consts + carry]:
            break
        moves[consts : consts + carry] = grown
    kept = [*smooth[:leading], *grown, *smooth[leading + carry :]]
    parts = consts, carry, len(moves) - consts - carry
    return _reordered(body, pushed, moves, kept, parts, leading), moves


def _reordered(body, pushed: Graph, moves, kept, parts, leading: int) -> Graph:
    """`pushed` with the tangents of each part of operands and results right behind the part."""
    count, smooth = len(body.ins), [v.dtype.is_float for v in body.out_avals]
    along = iter(pushed.ins[count:])
    ins = widened(pushed.ins[:count], [next(along) if m else None for m in moves], moves, parts)
    found = iter(pushed.outs[len(body.outs) :])
    tangents = [next(found) if s else None for s in smooth]
    ends = leading, parts[1], len(body.outs) - leading - parts[1]
    outs = widened(pushed.outs[: len(body.outs)], tangents, kept, ends)
    return Graph(tuple(chain(*ins)), pushed.eqns, tuple(chain(*outs)))


def widened(values, tangents, moves: Sequence[bool], parts: Sequence[int]) -> list[list]:
    """Each part of `values` followed by the tangents of what `moves` in it."""
    found, start = [], 0
    for length in parts:
        here = range(start, start + length)
        along = (
            Lit(0, values[i].aval) if tangents[i] is None else tangents[i] for i in here if moves[i]
        )
        found.append([*(values[i] for i in here), *along])
        start += length
    return found


def separated(values: Sequence[Value], moves: Sequence[bool]) -> tuple[list, list]:
    """Undo `widened` of one part: (values, their tangents or None)."""
    along = iter(values[len(moves) :])
    return list(values[: len(moves)]), [next(along) if m else None for m in moves]


def _element(aval: Aval, length: int) -> Aval:
    if not aval.ndim or aval.shape[0] != length:
        raise TypeError(f"scan of length {length} got an array of type {aval} to walk over")
    return Aval(aval.shape[1:], aval.dtype)


def _stack(rows: list, aval: Aval, wide: bool):
    from ..interp import host_dtype

    return np.stack(rows) if rows else np.zeros((0, *aval.shape), host_dtype(aval, wide))


def _or_zero(ct: Value | None, index: int, results: list[Aval]) -> Value:
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
        from ..passes.effects import without_effects
        from ..passes.grad import vjp_graph

        body = without_effects(body)
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
