"""Scatter kernels: updates stored where an index says, or combined row by row.

Invariant: no two invocations write one element. "Store" has one invocation for each update; its
indices in range are distinct, and the buffer starts as zeros. "Runs" has one for each result, which
combines a stretch of values whose ends were found before, in order. "Match" has a module of its
own.
"""

from __future__ import annotations

from ir.dtypes import u32
from ir.graph import Eqn
from ir.prims.scatter import runs

from .. import expr as ex
from ..expr import add, mul, sym
from ..frame import Frame, independent
from ..lower import Lowering, flat_index, unflatten
from ..profile import Profile
from ..render import render
from ..scatter import clears
from .base import (
    LANE,
    Kernel,
    at_indent,
    ceil_div,
    finish,
    group_index,
    shape_text,
    threads_for,
    widths,
    write_stores,
)
from .functions import mentioned
from .match import build_match
from .totals import is_wide, total_of


def build_scatter(frame: Frame, profile: Profile) -> Kernel:
    """The kernel of one scatter or runs equation."""
    eqn = frame.region.root
    if eqn.prim is runs:
        return _build_runs(frame, eqn, profile)
    return _build_store(frame, eqn) if clears(eqn) else build_match(frame, eqn, profile)


# --- one invocation an update ---------------------------------------------------------------------


def _build_store(frame: Frame, eqn: Eqn) -> Kernel:
    x, ids, updates = eqn.ins
    rows = x.aval.shape[ids.aval.ndim - 1]
    wide = is_wide(updates, ids.aval.ndim)
    count = updates.aval.size // (4 if wide else 1)
    i = sym("i", 0, count - 1)
    flat = add(mul(i, 4), LANE) if wide else i
    low = Lowering(frame.region.graph, frame.sources, {})
    coords = unflatten(flat, updates.aval.shape)
    place = ex.cast(low.value(ids, coords[: ids.aval.ndim]), u32)
    row = sym("row", 0, rows - 1)
    lead, rest = coords[: ids.aval.ndim - 1], coords[ids.aval.ndim :]
    at = flat_index((*lead, row, *rest), x.aval.shape)
    at = ex.substitute(at, {LANE: ex.index(0)}) if wide else at
    value = low.value(updates, coords)
    (target,) = frame.targets
    vec = widths(frame, [value], wide)
    writer = frame.writer(vec)
    writer.plan([place])
    writer.lines.append(f"  let row = {writer.value(place)};")
    inner = writer.child()
    write_stores(frame, inner, [(target, at, value)], LANE if wide else None)
    config = f"{shape_text(ids.aval)} updates stored to rows of {shape_text(x.aval)}"
    body = dict(before=writer.lines, inner=at_indent(inner.lines, 4), rows=rows)
    body["bindings"] = frame.declarations(vec)
    return _finish(frame, "scatter_store", config, count, 64, 0, **body)


# --- one invocation a row -------------------------------------------------------------------------


def _build_runs(frame: Frame, eqn: Eqn, profile: Profile) -> Kernel:
    x, start, stop, values = eqn.ins
    out = eqn.out.aval
    wide = is_wide(values, 1)
    count = out.size // (4 if wide else 1)
    i = sym("i", 0, count - 1)
    k = sym("k", 0, values.aval.shape[0] - 1)
    flat = add(mul(i, 4), LANE) if wide else i
    row, *rest = unflatten(flat, out.shape)
    total = total_of(eqn, "total")
    low = Lowering(frame.region.graph, frame.sources, {eqn.out: total.result()})
    first = total.operand(low.value(x, (row, *rest)))
    value = total.operand(low.value(values, (k, *rest)))
    ends = [ex.cast(low.value(v, (row,)), u32) for v in (start, stop)]
    stores = [
        (t, mul(i, 4) if wide else i, low.at(v, flat))
        for v, t in zip(frame.region.outs, frame.targets, strict=True)
    ]
    lane = LANE if wide else None
    vec = widths(frame, [first, value, *(x for _, _, x in stores)], wide)
    outer = frame.writer(vec)
    for part in independent([value], [k, LANE] if wide else [k]):
        outer.bind(part)
    outer.plan([first], lane)
    begin = total.begin(outer, first, lane)
    ends = [outer.value(x) for x in ends]
    inner = outer.child()
    inner.plan([value], lane)
    step = total.step(inner, value, lane)
    after = outer.child()
    total.declare(after, wide)
    write_stores(frame, after, stores, lane)
    return _finish(
        frame,
        "scatter_runs",
        f"{shape_text(out)} results, each over its own run of {shape_text(values.aval)} values",
        count,
        8 if profile.kind == "cpu" else 64,
        eqn.params["longest"],
        bindings=frame.declarations(vec),
        before=[*outer.lines, begin],
        ends=ends,
        inner=at_indent([*inner.lines, step], 4),
        stores=at_indent(after.lines, 2),
    )


def _finish(
    frame: Frame, template: str, config: str, count: int, most: int, longest: int, **body
) -> Kernel:
    """A kernel of `count` invocations, at most `most` in a workgroup."""
    threads = threads_for(count, most)
    groups = ceil_div(count, threads)
    lines = [x for v in body.values() if isinstance(v, list) for x in v]
    wgsl = render(
        template,
        header=frame.header(config),
        bindings=body.pop("bindings"),
        threads=threads,
        group=group_index(groups),
        guard=count if groups * threads != count or groups > 65535 else 0,
        indexed=mentioned("i", lines),
        **body,
    )
    return finish(frame, template, wgsl, threads, groups, loop_iterations=longest)


__all__ = ["build_scatter"]
