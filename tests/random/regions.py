"""Interpreting what fusion made of a graph: its regions, one after another.

Invariant: a region sees only tensors that earlier regions stored, as its kernel would; loops run
the fused graph of one iteration again and again, as the device does.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from codegen.fuse import Region, fuse
from codegen.legalize import as_buffers, legalize
from codegen.loop import iteration
from codegen.profile import Profile
from ir import Graph, check, evaluate
from ir.graph import Eqn
from ir.interp import host_dtype
from ir.passes.simplify import simplify


def run(graph: Graph, regions: Sequence[Region], args: Sequence, profile: Profile) -> list:
    """The outputs of a fused graph, in float64."""
    held = dict(zip(graph.ins, args, strict=True))
    for region in regions:
        if region.kind == "loop":
            outs = _loop(region.root, [held[v] for v in region.root.ins], profile)
            held.update(zip(region.root.outs, outs, strict=True))
        else:
            outs = evaluate(region.graph, *(held[v] for v in region.ins), wide=True)
            held.update(zip(region.outs, outs, strict=True))
    return [held[v] for v in graph.outs]


def _loop(eqn: Eqn, given: list, profile: Profile) -> list:
    one = iteration(eqn)
    graph = check(as_buffers(legalize(simplify(one.graph), profile)))
    regions = fuse(graph, profile, one.donate)
    stacked = [np.zeros(v.aval.shape, host_dtype(v.aval, True)) for v in eqn.outs[one.carry :]]
    state = [np.zeros((), np.int32), *given, *stacked] if one.count else list(given)
    left = one.count
    while left if one.count else state[0]:
        outs = run(graph, regions, state, profile)
        for i, j in one.donate:
            state[i] = outs[j]
        left -= 1
    first = 1 + one.fixed
    return [*state[first : first + one.carry], *(state[-len(stacked) :] if stacked else [])]
