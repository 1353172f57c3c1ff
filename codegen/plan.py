"""From regions and kernels to a Program: buffers and steps.

Invariant: every tensor lives in one whole buffer; a buffer is reused only after the last kernel
that reads its previous tensor; a donated result ends in the buffer of its donor, by writing in
place where the kernel allows it and by a copy after the last read otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ir.graph import Eqn, Graph, Var
from ir.passes.messages import payload

from .collectives import packed
from .dataflow import members
from .fuse import Region
from .header import work
from .loop import Iteration
from .program import (
    Case,
    Collective,
    Copy,
    Dispatch,
    Fill,
    Loop,
    Program,
    Slot,
    Step,
    Switch,
    While,
)
from .scatter import clears
from .strategies import Kernel

ALIGN = 256  # size classes of buffers: small tensors of nearly equal size can share one


@dataclass(frozen=True, eq=False)
class Body:
    """A graph that a loop or a switch holds, compiled."""

    graph: Graph
    regions: Sequence[Region]
    kernels: Sequence[Planned]


@dataclass(frozen=True, eq=False)
class LoopBody:
    """One iteration of a loop: stands among the kernels in the loop's place."""

    iteration: Iteration
    body: Body


@dataclass(frozen=True, eq=False)
class Choice:
    """The branches of a switch, in its place."""

    cases: tuple[Body, ...]


@dataclass(frozen=True, eq=False)
class Exchange:
    """A collective, in its place."""

    eqn: Eqn


Planned = Kernel | LoopBody | Choice | Exchange


def plan(
    name: str,
    graph: Graph,
    regions: Sequence[Region],
    kernels: Sequence[Planned],
    donors: Mapping[Var, Var],
) -> Program:
    """Assign slots and order steps. `donors` maps a result to the input whose buffer it takes."""
    codes = {k.code.wgsl: k.code for k in all_kernels(kernels)}
    memory = _Memory({text: i for i, text in enumerate(codes)})
    held = {v: memory.new(v, "input") for v in graph.ins}
    planner = _Planner(memory, graph, regions, donors, held)
    steps = planner.steps(kernels)
    ins = tuple(planner.slot[v] for v in graph.ins)
    outs = tuple(planner.slot[planner.final[v]] for v in graph.outs)
    return Program(name, tuple(codes.values()), tuple(memory.slots), tuple(steps), ins, outs)


def all_kernels(kernels: Sequence[Planned]) -> Iterator[Kernel]:
    """Kernels in order of use, those of loop bodies and branches included."""
    for k in kernels:
        if isinstance(k, Kernel):
            yield k
        for body in bodies(k):
            yield from all_kernels(body.kernels)


def bodies(planned: Planned) -> tuple[Body, ...]:
    """The graphs that a loop or switch holds; a kernel holds none."""
    if isinstance(planned, LoopBody):
        return (planned.body,)
    return planned.cases if isinstance(planned, Choice) else ()


class _Memory:
    """The slots of a program, and which of the temporary ones are free."""

    def __init__(self, numbered: Mapping[str, int]) -> None:
        self.numbered = numbered  # kernel text -> kernel
        self.slots: list[Slot] = []
        self.free: dict[int, list[int]] = {}
        self.numbers: dict[str, int] = {}  # axis -> the slot of this device's number along it

    def new(self, v: Var, kind: str) -> int:
        self.slots.append(Slot(_bytes(v), kind, v.hint))
        return len(self.slots) - 1

    def number(self, axis: str) -> int:
        if axis not in self.numbers:
            self.slots.append(Slot(4, "member", axis))
            self.numbers[axis] = len(self.slots) - 1
        return self.numbers[axis]

    def temp(self, v: Var) -> int:
        size = -(-_bytes(v) // ALIGN) * ALIGN
        for fitting in sorted(self.free):
            if size <= fitting <= 2 * size and self.free[fitting]:
                return self.free[fitting].pop()
        self.slots.append(Slot(size, "temp"))
        return len(self.slots) - 1

    def release(self, slot: int) -> None:
        if self.slots[slot].kind == "temp":
            self.free.setdefault(self.slots[slot].nbytes, []).append(slot)


class _Planner:
    """Plans one graph: the program's, or one that a step holds.

    `held` are its inputs' slots, `targets` those that results must be written to.
    """

    def __init__(
        self,
        memory: _Memory,
        graph: Graph,
        regions: Sequence[Region],
        donors: Mapping[Var, Var],
        held: Mapping[Var, int],
        targets: Mapping[Var, int] | None = None,
    ) -> None:
        self.memory, self.regions, self.donors = memory, regions, donors
        self.targets = targets or {}
        self.results, self.inputs = set(graph.outs), set(graph.ins)
        self.slot: dict[Var, int] = dict(held)
        numbers = members(graph)
        axes = {e.out: e.params["axes"][0] for e in graph.eqns if e.out in numbers}
        self.slot.update((v, memory.number(axis)) for v, axis in axes.items())
        self.final = {v: v for v in graph.outs}
        self.copies: list[Copy] = []
        self.last_use = {v: i for i, r in enumerate(regions) for v in (*r.ins, *r.outs)}
        self.last_use.update((v, i) for i, r in enumerate(regions) for v in r.ins)

    def steps(self, kernels: Sequence[Planned]) -> list[Step]:
        """All steps, with the copies that bring donated results home at the end."""
        steps: list[Step] = []
        for at, (region, kernel) in enumerate(zip(self.regions, kernels, strict=True)):
            self._allocate(region, at)
            if isinstance(kernel, LoopBody):
                steps += self._loop(region, kernel)
            elif isinstance(kernel, Choice):
                steps.append(self._switch(region, kernel))
            elif isinstance(kernel, Exchange):
                steps += self._collective(kernel.eqn)
            elif region.rows:
                if clears(region.root):
                    steps += [Fill(self.slot[v], _bytes(v)) for v in region.outs]
                steps.append(self._dispatch(region, kernel))
            self._release(region, at)
        return steps + self.copies

    def _allocate(self, region: Region, at: int) -> None:
        """Slots for what the region, step `at`, writes."""
        in_place = dict(region.aliases)
        for position, v in enumerate(region.outs):
            if position in in_place:
                self.slot[v] = self.slot[region.ins[in_place[position]]]
            elif v in self.targets:
                self.slot[v] = self.targets[v]
            elif v in self.donors and self._is_over(region, position, self.donors[v], at):
                self.slot[v] = self.slot[self.donors[v]]
            elif v in self.donors:
                self.slot[v] = self.memory.temp(v)
                self.copies.append(Copy(self.slot[v], self.slot[self.donors[v]], _bytes(v)))
                self.final[v] = self.donors[v]
            elif v in self.results:
                self.slot[v] = self.memory.new(v, "output")
            else:
                self.slot[v] = self.memory.temp(v)

    def _is_over(self, region: Region, position: int, donor: Var, at: int) -> bool:
        """Whether nobody reads the donor any more, or a loop only as where its carry starts."""
        last = self.last_use.get(donor, -1)
        if region.kind != "loop" or last != at:
            return last < at
        root = region.root
        start = root.params["consts"] + (0 if root.prim.name == "scan" else 1)
        carried = position < root.params["carry"] and root.ins[start + position] is donor
        return carried and root.ins.count(donor) == 1

    def _release(self, region: Region, at: int) -> None:
        """Give back buffers whose tensors nobody reads after step `at`."""
        for v in dict.fromkeys((*region.ins, *region.outs)):
            kept = v in self.results or v in self.inputs
            if not kept and self.last_use.get(v, at) <= at:
                self.memory.release(self.slot[v])

    def _dispatch(self, region: Region, kernel: Kernel) -> Dispatch:
        nbytes, flops = work(region)
        slots = tuple(self.slot[v] for v in kernel.bound(region.tensors))
        scope = region.graph.eqns[-1].scope
        number = self.memory.numbered[kernel.code.wgsl]
        return Dispatch(number, slots, kernel.grid, nbytes, flops, scope)

    def _collective(self, eqn: Eqn) -> list[Step]:
        """Several values travel in one buffer, and come back to buffers of their own."""
        p, x = eqn.params, eqn.ins[0].aval
        source, target = self.slot[eqn.ins[0]], self.slot[eqn.out]
        before, after = [], []
        if eqn.prim.multi:
            starts, x = packed([v.aval for v in eqn.ins])
            source, target = (self.memory.temp(Var(x)) for _ in range(2))
            for start, v, out in zip(starts, eqn.ins, eqn.outs, strict=True):
                before.append(Copy(self.slot[v], source, _bytes(v), dst_offset=start))
                after.append(Copy(target, self.slot[out], _bytes(v), src_offset=start))
            self.memory.release(source)
            self.memory.release(target)
        message = Collective(
            eqn.prim.message, p["axes"], p["sizes"], source, target,
            x.dtype.name, x.size, payload(eqn), p.get("perm", ()), eqn.scope,
        )  # fmt: skip
        return [*before, message, *after]

    def _switch(self, region: Region, choice: Choice) -> Switch:
        """Every branch writes the results of all."""
        index, *operands = map(self.slot.__getitem__, region.root.ins)
        results = list(map(self.slot.__getitem__, region.root.outs))
        cases = []
        for body in choice.cases:
            held = dict(zip(body.graph.ins, operands, strict=True))
            targets = dict(zip(body.graph.outs, results, strict=True))
            inner = _Planner(self.memory, body.graph, body.regions, {}, held, targets)
            cases.append(Case(tuple(inner.steps(body.kernels))))
        return Switch(index, tuple(cases))

    def _loop(self, region: Region, loop: LoopBody) -> list[Step]:
        """The carry starts as a copy of its initial value; a counter at zero, a flag as given."""
        one, body = loop.iteration, loop.body
        first, operands = region.root.ins[: one.lead], region.root.ins[one.lead :]
        carried = region.root.outs[: one.carry]
        steps: list[Step] = [
            Copy(self.slot[init], self.slot[v], _bytes(v))
            for init, v in zip(operands[one.fixed :], carried, strict=False)
            if self.slot[init] != self.slot[v]
        ]
        counter = self.memory.temp(body.graph.ins[0])
        steps += [Copy(self.slot[v], counter, 4) for v in first] or [Fill(counter, 4)]
        inner = list(map(self.slot.__getitem__, operands))
        inner[one.fixed : one.fixed + one.carry] = [self.slot[v] for v in carried]
        inner += [self.slot[v] for v in region.root.outs[one.carry :]]
        held = dict(zip(body.graph.ins, [counter, *inner], strict=True))
        donors = {body.graph.outs[j]: body.graph.ins[i] for i, j in one.donate}
        planner = _Planner(self.memory, body.graph, body.regions, donors, held)
        inside = tuple(planner.steps(body.kernels))
        steps.append(Loop(one.count, inside) if one.count else While(counter, inside))
        for copy in planner.copies:
            self.memory.release(copy.src)
        self.memory.release(counter)
        return steps


def _bytes(v: Var) -> int:
    return max(4, -(-v.aval.nbytes // 4) * 4)
