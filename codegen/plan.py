"""From regions and kernels to a Program: buffers and steps.

Invariant: every tensor lives in one whole buffer; a buffer is reused only after the last kernel
that reads its previous tensor; a donated result ends in the buffer of its donor, by writing in
place where the kernel allows it and by a copy after the last read otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ir.graph import Graph, Var

from .fuse import Region
from .header import work
from .program import Copy, Dispatch, Program, Slot, Step
from .strategies import Kernel

ALIGN = 256  # size classes of buffers: small tensors of nearly equal size can share one


def plan(
    name: str,
    graph: Graph,
    regions: Sequence[Region],
    kernels: Sequence[Kernel],
    donors: Mapping[Var, Var],
) -> Program:
    """Assign slots and order steps. `donors` maps a result to the input whose buffer it takes."""
    planner = _Planner(graph, regions, donors)
    numbered = _number(kernels)
    steps: list[Step] = []
    for at, (region, kernel) in enumerate(zip(regions, kernels, strict=True)):
        planner.allocate(region, at)
        if region.rows:
            steps.append(_dispatch(region, kernel, numbered, planner))
        planner.release(region, at)
    steps += planner.copies
    codes = tuple(k.code for k in _distinct(kernels))
    ins = tuple(planner.slot[v] for v in graph.ins)
    outs = tuple(planner.slot[planner.final[v]] for v in graph.outs)
    return Program(name, codes, tuple(planner.slots), tuple(steps), ins, outs)


def _distinct(kernels: Sequence[Kernel]) -> list[Kernel]:
    return list({k.code.wgsl: k for k in kernels}.values())


def _number(kernels: Sequence[Kernel]) -> dict[str, int]:
    return {k.code.wgsl: i for i, k in enumerate(_distinct(kernels))}


def _dispatch(
    region: Region, kernel: Kernel, numbered: Mapping[str, int], planner: _Planner
) -> Dispatch:
    tensors = [
        *region.ins,
        *(v for o, v in enumerate(region.outs) if o not in dict(region.aliases)),
    ]
    nbytes, flops = work(region)
    slots = tuple(planner.slot[v] for v in tensors)
    scope = region.graph.eqns[-1].scope
    return Dispatch(numbered[kernel.code.wgsl], slots, kernel.grid, nbytes, flops, scope)


class _Planner:
    def __init__(self, graph: Graph, regions: Sequence[Region], donors: Mapping[Var, Var]) -> None:
        self.donors, self.results = donors, set(graph.outs)
        self.slots: list[Slot] = []
        self.slot: dict[Var, int] = {}
        self.final = {v: v for v in graph.outs}
        self.copies: list[Copy] = []
        self.free: dict[int, list[int]] = {}
        self.last_use = {v: i for i, r in enumerate(regions) for v in (*r.ins, *r.outs)}
        self.last_use.update((v, i) for i, r in enumerate(regions) for v in r.ins)
        for v in graph.ins:
            self.slot[v] = self._new(v, "input")

    def _new(self, v: Var, kind: str) -> int:
        self.slots.append(Slot(_bytes(v), kind, v.hint))
        return len(self.slots) - 1

    def allocate(self, region: Region, at: int) -> None:
        """Slots for what the region writes."""
        in_place = dict(region.aliases)
        for position, v in enumerate(region.outs):
            if position in in_place:
                self.slot[v] = self.slot[region.ins[in_place[position]]]
            elif v in self.donors:
                self.slot[v] = self._temp(v)
                self.copies.append(Copy(self.slot[v], self.slot[self.donors[v]], _bytes(v)))
                self.final[v] = self.donors[v]
            elif v in self.results:
                self.slot[v] = self._new(v, "output")
            else:
                self.slot[v] = self._temp(v)

    def _temp(self, v: Var) -> int:
        size = -(-_bytes(v) // ALIGN) * ALIGN
        for fitting in sorted(self.free):
            if size <= fitting <= 2 * size and self.free[fitting]:
                return self.free[fitting].pop()
        self.slots.append(Slot(size, "temp"))
        return len(self.slots) - 1

    def release(self, region: Region, at: int) -> None:
        """Give back buffers whose tensors nobody reads after step `at`."""
        for v in dict.fromkeys((*region.ins, *region.outs)):
            slot = self.slot[v]
            held = self.slots[slot].kind != "temp" or v in self.results
            if not held and self.last_use.get(v, at) <= at:
                self.free.setdefault(self.slots[slot].nbytes, []).append(slot)


def _bytes(v: Var) -> int:
    return max(4, -(-v.aval.nbytes // 4) * 4)
