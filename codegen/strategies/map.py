"""Elementwise kernels: an invocation computes four neighbouring elements of each result, or one."""

from __future__ import annotations

from ..expr import Expr, add, mul, sym
from ..frame import Frame
from ..lower import Lowering
from ..profile import Profile
from ..render import render
from ..wgsl import choose_vec
from .base import (
    LANE,
    Kernel,
    ceil_div,
    finish,
    group_index,
    guard,
    shape_text,
    threads_for,
    write_stores,
)
from .functions import mentioned


def build_map(frame: Frame, profile: Profile) -> Kernel:
    """A kernel over the flat index space that all results of the region share."""
    region = frame.region
    wide = all(v.aval.ndim and v.aval.shape[-1] % 4 == 0 for v in region.outs)
    count = region.rows // 4 if wide else region.rows
    threads = threads_for(count, 64 if profile.kind == "cpu" else min(256, profile.invocations))
    groups = ceil_div(count, threads)
    body, vec = _body(frame, count, wide)
    share = "4 elements" if wide else "1 element"
    config = f"map over {shape_text(region.outs[0].aval)}, {share} per invocation"
    wgsl = render(
        "map",
        header=frame.header(config),
        bindings=frame.declarations(vec),
        threads=threads,
        group=group_index(groups),
        guard=guard(groups, threads, count),
        indexed=mentioned("i", body),
        body=body,
    )
    return finish(frame, "map", wgsl, threads, groups)


def _body(frame: Frame, count: int, wide: bool) -> tuple[list[str], list[int]]:
    """(statements, vector width per tensor)."""
    i = sym("i", 0, count - 1)
    low = Lowering(frame.region.graph, frame.sources, {})
    flat: Expr = add(mul(i, 4), LANE) if wide else i
    values = [low.at(v, flat) for v in frame.region.outs]
    vec = [1] * len(frame.vars)
    if wide:
        vec = choose_vec(values, LANE, len(frame.vars), frame.elements)
        for t in frame.targets:
            vec[t] = 4
    start = mul(i, 4) if wide else i
    stores = [(t, start, x) for t, x in zip(frame.targets, values, strict=True)]
    writer = frame.writer(vec)
    write_stores(frame, writer, stores, LANE if wide else None)
    return writer.lines, vec
