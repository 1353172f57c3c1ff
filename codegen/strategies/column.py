"""Column kernels: reductions whose kept axes are contiguous.

Invariant: an invocation owns four neighbouring results (or one) and walks the reduced axes, or
several invocations of a workgroup share the walk and add up in a fixed order. Long columns of few
results arrive here already cut into strips (`reductions`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from ir.graph import Eqn

from ..expr import Expr, add, mul, sym
from ..frame import Frame, independent
from ..lower import Lowering, unflatten
from ..profile import Profile
from ..render import render
from ..wgsl import value_type
from .base import (
    LANE,
    Kernel,
    accumulators,
    at_indent,
    ceil_div,
    finish,
    group_index,
    guard_condition,
    shape_text,
    threads_for,
    widths,
)
from .functions import mentioned

FEW = 4  # invocations a column below which one does as well
NEAR = 8  # quads of columns that are read together: 128 bytes


@dataclass(frozen=True)
class Layout:
    """`columns` (or quads of columns) a workgroup, each walked by `lanes` invocations."""

    columns: int
    lanes: int

    @property
    def threads(self) -> int:
        return self.columns * self.lanes

    def of_size(self, threads: int, count: int) -> Layout:
        """As nearly as possible, with so many invocations; those that meet at barriers all work."""
        columns = threads // self.lanes
        return (
            Layout(threads, 1)
            if self.lanes == 1 or count % columns
            else replace(self, columns=columns)
        )


def build_column(frame: Frame, profile: Profile, threads: int = 0) -> Kernel:
    """A kernel over the results; its reductions have equal operand shapes and axes.

    `threads` are the invocations of a workgroup, if that is settled.
    """
    region = frame.region
    eqns = [e for e in region.graph.eqns if e.out in region.outs]
    out = region.outs[0].aval
    wide = bool(out.ndim) and out.shape[-1] % 4 == 0
    count = region.rows // 4 if wide else region.rows
    layout = _layout(count, region.width, profile)
    layout = layout.of_size(threads, count) if threads else layout
    groups = ceil_div(count, layout.columns)
    i = sym("i", 0, count - 1)
    r = sym("r", 0, region.width - 1)
    sums = accumulators(eqns)
    low = Lowering(region.graph, frame.sources, {a.eqn.out: a.result() for a in sums})
    flat = add(mul(i, 4), LANE) if wide else i
    operands = [a.operand(low.value(a.eqn.ins[0], _coords(a.eqn, flat, r))) for a in sums]
    lane = LANE if wide else None
    vec = widths(frame, operands, wide)
    outer = frame.writer(vec)
    for x in independent(operands, [r, LANE] if wide else [r]):
        outer.bind(x)
    inner = outer.child()
    inner.plan(operands, lane)
    for a, x in zip(sums, operands, strict=True):
        text = inner.value4(x, lane) if wide else inner.value(x)
        total = a.name if layout.lanes == 1 else f"{a.name}_part"
        inner.lines.append(f"    {a.into(total, text)}")
    stores = _stores(frame, sums, vec, i, wide)
    wgsl = render(
        "column",
        header=frame.header(f"{shape_text(out)} results over columns of {region.width}"),
        bindings=frame.declarations(vec),
        layout=layout,
        group=group_index(groups),
        guard=guard_condition("i", groups, layout.columns, count, layout.lanes == 1),
        sums=sums,
        wide=wide,
        value_type=value_type,
        indexed=mentioned("i", [*outer.lines, *inner.lines, *stores]),
        before=outer.lines,
        length=region.width,
        scratch=list(dict.fromkeys(a.dtype for a in sums)),
        body=at_indent(inner.lines, 4),
        stores=stores,
    )
    visits = ceil_div(region.width, layout.lanes)
    memory = 16 * layout.threads * len({a.dtype for a in sums}) if layout.lanes > 1 else 0
    counts = {"loop_iterations": visits, "workgroup_bytes": memory}
    return finish(frame, "column", wgsl, layout.threads, groups, **counts)


def _layout(count: int, length: int, profile: Profile) -> Layout:
    """Several invocations a column where the columns alone would not fill the device."""
    if profile.kind == "cpu":
        return Layout(threads_for(count, 8), 1)
    lanes = min(profile.invocations, 256) // NEAR
    while 4 * lanes > length:
        lanes //= 2
    if count >= 512 * profile.units or count % NEAR or lanes < FEW:
        return Layout(threads_for(count, 64), 1)
    return Layout(NEAR, lanes)


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
