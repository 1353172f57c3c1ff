"""Writing a window of a tensor in place.

Invariant: one invocation stores one element of the window, or four; what lies outside of the window
is neither read nor written.
"""

from __future__ import annotations

from ..expr import add, divisible, mul, substitute, sym
from ..expr import index as constant
from ..frame import Frame
from ..lower import Lowering, flat_index, unflatten, window
from ..profile import Profile
from ..wgsl import choose_vec
from .base import LANE, Kernel, shape_text, threads_for, write_stores
from .map import map_kernel


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
    write_stores(frame, writer, [(target, at, value)], LANE if wide else None)
    config = f"{shape_text(update.aval)} elements of {shape_text(x.aval)}, in place"
    count = i.hi + 1
    return map_kernel(frame, config, writer.lines, vec, count, threads_for(count, 64))
