"""Column kernels: reductions whose kept axes are contiguous.

One invocation owns four neighbouring results (or one) and walks the reduced axes. Long columns of
few results arrive here already cut into strips (`legalize`).
"""

from __future__ import annotations

from ir.graph import Eqn

from ..expr import Expr, add, mul, sym
from ..frame import Frame, independent
from ..lower import Lowering, unflatten
from ..profile import Profile
from ..render import render
from ..wgsl import choose_vec, value_type
from .base import (
    LANE,
    Kernel,
    accumulators,
    ceil_div,
    finish,
    group_index,
    guard,
    shape_text,
    threads_for,
)
from .functions import mentioned


def build_column(frame: Frame, profile: Profile) -> Kernel:
    """A kernel over the results; its reductions have equal operand shapes and axes."""
    region = frame.region
    eqns = [e for e in region.graph.eqns if e.out in region.outs]
    out = region.outs[0].aval
    wide = bool(out.ndim) and out.shape[-1] % 4 == 0
    count = region.rows // 4 if wide else region.rows
    i = sym("i", 0, count - 1)
    r = sym("r", 0, region.width - 1)
    sums = accumulators(eqns)
    low = Lowering(region.graph, frame.sources, {a.eqn.out: a.result() for a in sums})
    flat = add(mul(i, 4), LANE) if wide else i
    operands = [a.operand(low.value(a.eqn.ins[0], _coords(a.eqn, flat, r))) for a in sums]
    lane = LANE if wide else None
    vec = (
        choose_vec(operands, LANE, len(frame.vars), frame.elements)
        if wide
        else [1] * len(frame.vars)
    )
    for t in frame.targets if wide else ():
        vec[t] = 4
    outer = frame.writer(vec)
    for x in independent(operands, [r, LANE] if wide else [r]):
        outer.bind(x)
    inner = outer.child()
    inner.plan(operands, lane)
    for a, x in zip(sums, operands, strict=True):
        text = inner.value4(x, lane) if wide else inner.value(x)
        inner.lines.append(f"    {a.name} = {a.combine(a.name, text)};")
    threads = threads_for(count, 8 if profile.kind == "cpu" else 64)
    groups = ceil_div(count, threads)
    stores = _stores(frame, sums, vec, i, wide)
    wgsl = render(
        "column",
        header=frame.header(f"{shape_text(out)} results over columns of {region.width}"),
        bindings=frame.declarations(vec),
        threads=threads,
        group=group_index(groups),
        guard=guard(groups, threads, count),
        sums=sums,
        wide=wide,
        value_type=value_type,
        indexed=mentioned("i", [*outer.lines, *inner.lines, *stores]),
        before=outer.lines,
        length=region.width,
        body=["    " + line.strip() for line in inner.lines],
        stores=stores,
    )
    return finish(frame, "column", wgsl, threads, groups, loop_iterations=region.width)


def _coords(eqn: Eqn, flat: Expr, r: Expr) -> tuple[Expr, ...]:
    """Operand coordinates of result `flat` and position `r` along the reduced axes."""
    shape, axes = eqn.ins[0].aval.shape, eqn.params["axes"]
    kept = iter(unflatten(flat, eqn.out.aval.shape))
    reduced = iter(unflatten(r, [shape[a] for a in axes]))
    return tuple(next(reduced) if d in axes else next(kept) for d in range(len(shape)))


def _stores(frame: Frame, sums, vec: list[int], i: Expr, wide: bool) -> list[str]:
    writer = frame.writer(vec)
    target = dict(zip(frame.region.outs, frame.targets, strict=True))
    for a in sums:
        value = a.result()
        name = sym(a.name, None, None, a.dtype)
        if wide:
            writer.declare_vector(name)
            writer.store4(target[a.eqn.out], mul(i, 4), value, LANE)
        else:
            writer.store(target[a.eqn.out], i, value)
    return writer.lines
