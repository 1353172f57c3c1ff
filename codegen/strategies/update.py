"""Writing a window of a tensor in place: one invocation stores one or four elements of it."""

from __future__ import annotations

from ..expr import add, divisible, mul, substitute, sym
from ..expr import index as constant
from ..frame import Frame
from ..lower import Lowering, flat_index, unflatten, window
from ..profile import Profile
from ..render import render
from ..wgsl import choose_vec
from .base import LANE, Kernel, ceil_div, finish, group_index, guard, shape_text, threads_for
from .functions import mentioned


def build_update(frame: Frame, profile: Profile) -> Kernel:
    """A kernel over the elements of a `dynamic_update`'s update; the rest stays as it is."""
    region = frame.region
    eqn = region.graph.eqns[-1]
    x, update, *starts = eqn.ins
    shape = update.aval.shape
    low = Lowering(region.graph, frame.sources, {})
    corner = window(low, x.aval.shape, shape, starts)
    wide = bool(shape) and shape[-1] % 4 == 0
    i = sym("i", 0, region.rows // (4 if wide else 1) - 1)
    flat = add(mul(i, 4), LANE) if wide else i
    coords = unflatten(flat, shape)
    value = low.value(update, coords)
    places = tuple(add(c, s) for c, s in zip(coords, corner, strict=True))
    at = flat_index(places, x.aval.shape)
    if wide:
        at = substitute(at, {LANE: constant(0)})
    (target,) = frame.targets
    vec = (
        choose_vec([value], LANE, len(frame.vars), frame.elements)
        if wide
        else [1] * len(frame.vars)
    )
    if wide and divisible(at, 4) and x.aval.size % 4 == 0:
        vec[target] = 4
    writer = frame.writer(vec)
    writer.plan([], LANE if wide else None, [(target, at, value)])
    if wide:
        writer.store4(target, at, value, LANE)
    else:
        writer.store(target, at, value)
    return _finish(frame, writer.lines, vec, i.hi + 1)


def _finish(frame: Frame, body: list[str], vec: list[int], count: int) -> Kernel:
    threads = threads_for(count, 64)
    groups = ceil_div(count, threads)
    eqn = frame.region.graph.eqns[-1]
    config = f"{shape_text(eqn.ins[1].aval)} elements of {shape_text(eqn.ins[0].aval)}, in place"
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
