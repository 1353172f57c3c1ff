"""Elementwise kernels over one flat index.

Invariant: an invocation computes four neighbouring elements of every result, or one; all operands
are read before the first store, so a result may overwrite an operand.
"""

from __future__ import annotations

from ..expr import Expr, add, minimum, mul, sym
from ..frame import Frame
from ..lower import Lowering
from ..packing import in_quads
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
    widths,
    write_stores,
)
from .functions import mentioned


def build_map(frame: Frame, profile: Profile, threads: int = 0) -> Kernel:
    """A kernel over the flat index space that all results of the region share.

    `threads` are the invocations of a workgroup, if that is settled.
    """
    region = frame.region
    wide = all(in_quads(v.aval) for v in region.outs)
    ragged = not wide and any(v.aval.dtype.packed for v in region.outs)
    count = ceil_div(region.rows, 4) if wide or ragged else region.rows
    most = 64 if profile.kind == "cpu" else min(256, profile.invocations)
    threads = threads or threads_for(count, most)
    body, vec = _ragged(frame, count) if ragged else _body(frame, count, wide)
    share = "4 elements" if wide or ragged else "1 element"
    config = f"map over {shape_text(region.outs[0].aval)}, {share} per invocation"
    return map_kernel(frame, config, body, vec, count, threads)


def map_kernel(
    frame: Frame, config: str, body: list[str], vec: list[int], count: int, threads: int
) -> Kernel:
    """A kernel that runs the statements `body` for each `i` below `count`.

    `config` is what its header says, `vec` the vector width of each tensor.
    """
    groups = ceil_div(count, threads)
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
    vec = widths(frame, values, wide)
    start = mul(i, 4) if wide else i
    stores = [(t, start, x) for t, x in zip(frame.targets, values, strict=True)]
    writer = frame.writer(vec)
    write_stores(frame, writer, stores, LANE if wide else None)
    return writer.lines, vec


def _ragged(frame: Frame, count: int) -> tuple[list[str], list[int]]:
    """The same for packed results of any shape: two words an invocation, the last of which may hold
    one element and repeat it."""
    region = frame.region
    i = sym("i", 0, count - 1)
    low = Lowering(region.graph, frame.sources, {})
    flat = add(mul(i, 4), LANE)
    flat = minimum(flat, region.rows - 1) if region.rows % 4 else flat
    values = [low.at(v, flat) for v in region.outs]
    vec = choose_vec(values, LANE, len(frame.vars), frame.elements)
    for t in frame.targets:
        vec[t] = 1
    writer = frame.writer(vec)
    writer.plan(values, LANE)
    for x in values:  # results may overwrite operands
        writer.bind4(x, LANE)
    for t, x in zip(frame.targets, values, strict=True):
        writer.store_words(t, i, x, LANE, ceil_div(region.rows, 2))
    return writer.lines, vec
