"""The program of one device made into the program of a whole mesh that shares one adapter.

Invariant: devices take each step together, one after another, so kernels and pipelines are shared
and a collective finds all its operands ready; what it does is kernels and copies like any other.
Every device has memory of its own, save for constants. The order of every sum is that of the
members, whatever the mesh: all members of a group get the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from ir.build import build, emit
from ir.dtypes import DType, dtype, f32
from ir.graph import Aval, Graph, Value
from ir.prims.elementwise import add, max, min
from ir.prims.unary import cast
from ir.prims.views import reshape_to, slice
from ir.sharding import MeshShape

from .compile import compile_graph
from .profile import Profile
from .program import (
    NESTED,
    Collective,
    Copy,
    Dispatch,
    Fill,
    KernelCode,
    Loop,
    Program,
    Slot,
    Step,
    Switch,
    While,
    walk,
)

_COMBINE = {"psum": add, "pmax": max, "pmin": min, "reduce_scatter": add}


def spread(program: Program, mesh: MeshShape, profile: Profile) -> Program:
    """`program`, which every device of the mesh runs, as one program for all of them.

    Arguments and results are those of device 0, then those of device 1, and so on. Raises
    ValueError if a collective names an axis that the mesh lacks, or another size.
    """
    if mesh.count == 1 and not any(isinstance(s, Collective) for s in walk(program.steps)):
        return placed(program, mesh, 0)
    return _Spreader(program, mesh, profile).result()


def placed(program: Program, mesh: MeshShape, device: int) -> Program:
    """`program` as one device of the mesh runs it: its numbers along the axes are constants."""
    return replace(program, slots=tuple(_placed(s, mesh, device) for s in program.slots))


def _placed(slot: Slot, mesh: MeshShape, device: int) -> Slot:
    if slot.kind != "member":
        return slot
    number = mesh.coords[device][slot.label]
    return Slot(4, "constant", slot.label, number.to_bytes(4, "little").hex())


@dataclass(frozen=True)
class _Group:
    """A collective among some devices: the slots that each reads and writes."""

    step: Collective
    sources: tuple[int, ...]
    targets: tuple[int, ...]

    @property
    def chunk(self) -> int:
        """Bytes that one member's part of a gather or exchange has."""
        size = self.step.count * dtype(self.step.dtype).itemsize
        return size // len(self.sources) if self.step.kind == "all_to_all" else size


class _Spreader:
    """Collects the kernels, slots and steps of the whole mesh."""

    def __init__(self, program: Program, mesh: MeshShape, profile: Profile) -> None:
        self.program, self.mesh, self.profile = program, mesh, profile
        self.devices = range(mesh.count)
        self.kernels: dict[tuple, int] = {}
        self.codes: list[KernelCode] = []
        self.slots: list[Slot] = []
        self.scratch: list[int] = []  # temporaries of collectives, which run one at a time
        self.number = [self._kernel(code) for code in program.kernels]
        shared: dict[Slot, int] = {}
        self.slot = [[self._slot(slot, d, shared) for slot in program.slots] for d in self.devices]

    def result(self) -> Program:
        steps = tuple(self._steps(self.program.steps))
        ins, outs = self.program.in_slots, self.program.out_slots
        return Program(
            self.program.name,
            tuple(self.codes),
            tuple(self.slots),
            steps,
            tuple(self.slot[d][i] for d in self.devices for i in ins),
            tuple(self.slot[d][o] for d in self.devices for o in outs),
        )

    def _kernel(self, code: KernelCode) -> int:
        key = code.wgsl, code.bindings
        if key not in self.kernels:
            self.kernels[key] = len(self.codes)
            self.codes.append(code)
        return self.kernels[key]

    def _slot(self, slot: Slot, device: int, shared: dict[Slot, int]) -> int:
        slot = _placed(slot, self.mesh, device)
        if slot.kind == "constant" and slot in shared:
            return shared[slot]
        self.slots.append(slot)
        number = len(self.slots) - 1
        return shared.setdefault(slot, number) if slot.kind == "constant" else number

    # --- steps ---

    def _steps(self, steps: Iterable[Step]) -> Iterator[Step]:
        for step in steps:
            if isinstance(step, Collective):
                yield from self._collective(step)
            elif not isinstance(step, NESTED):
                yield from (self._moved(step, device) for device in self.devices)
            elif isinstance(step, Loop):
                yield Loop(step.count, tuple(self._steps(step.steps)))
            elif isinstance(step, While) and _communicates(step):
                # Members that disagree about when to end would wait for each other for ever: they
                # do not, so the flag of one of them is that of all.
                yield While(self.slot[0][step.slot], tuple(self._steps(step.steps)))
            else:
                yield from (self._moved(step, device) for device in self.devices)

    def _moved(self, step: Step, device: int) -> Step:
        """A step on the memory of one device."""
        slot = self.slot[device]
        match step:
            case Dispatch():
                slots = tuple(slot[s] for s in step.slots)
                return replace(step, kernel=self.number[step.kernel], slots=slots)
            case Copy():
                return replace(step, src=slot[step.src], dst=slot[step.dst])
            case Fill():
                return replace(step, slot=slot[step.slot])
        steps = tuple(self._moved(inner, device) for inner in step.steps)
        if isinstance(step, (While, Switch)):
            return replace(step, slot=slot[step.slot], steps=steps)
        return replace(step, steps=steps)

    # --- collectives ---

    def _collective(self, step: Collective) -> Iterator[Step]:
        if tuple(self.mesh.size_of.get(a) for a in step.axes) != step.sizes:
            wanted = ", ".join(f"{a}={s}" for a, s in zip(step.axes, step.sizes, strict=True))
            raise ValueError(f"{self.program.name} has a {step.kind} over {wanted}; the mesh is "
                             f"{self.mesh}")  # fmt: skip
        for members in self.mesh.groups(step.axes):
            sources = tuple(self.slot[d][step.src] for d in members)
            targets = tuple(self.slot[d][step.dst] for d in members)
            group = _Group(step, sources, targets)
            yield from _MOVES[step.kind](group) if step.kind in _MOVES else self._combined(group)

    def _combined(self, group: _Group) -> Iterator[Step]:
        """A reduction: kernels that read all members' operands; what does not fit is copied."""
        step, members = group.step, len(group.sources)
        everyone = step.kind == "reduce_scatter" or 2 * members <= self.profile.storage_buffers
        results = members if everyone else 1
        made = _reduction(step.kind, step.dtype, step.count, members, results, self.profile)
        where = dict(zip(made.in_slots, group.sources, strict=True))
        where.update(zip(made.out_slots, group.targets, strict=False))
        temporary = [i for i in range(len(made.slots)) if i not in where]
        where.update(zip(temporary, self._scratch([made.slots[i] for i in temporary]), strict=True))
        for inner in made.steps:
            slots = tuple(where[s] for s in inner.slots)
            kernel = self._kernel(made.kernels[inner.kernel])
            yield replace(inner, kernel=kernel, slots=slots, scope=step.scope)
        size = self.slots[group.targets[0]].nbytes
        yield from (Copy(group.targets[0], other, size) for other in group.targets[results:])

    def _scratch(self, wanted: Sequence[Slot]) -> list[int]:
        free, found = list(self.scratch), []
        for slot in wanted:
            fits = [i for i in free if self.slots[i].nbytes == slot.nbytes]
            if not fits:
                self.slots.append(slot)
                fits = [len(self.slots) - 1]
                self.scratch += fits
            else:
                free.remove(fits[0])
            found.append(fits[0])
        return found


def _communicates(step: Step) -> bool:
    return any(isinstance(s, Collective) for s in walk(step.steps))


def _gathered(group: _Group) -> Iterator[Step]:
    """The first member's result piece by piece, the others' as a whole."""
    first, *others = group.targets
    for at, source in enumerate(group.sources):
        yield Copy(source, first, group.chunk, dst_offset=at * group.chunk)
    yield from (Copy(first, other, group.chunk * len(group.sources)) for other in others)


def _permuted(group: _Group) -> Iterator[Step]:
    size = -(-group.chunk // 4) * 4
    source = {to: of for of, to in group.step.perm}
    for to, target in enumerate(group.targets):
        if to in source:
            yield Copy(group.sources[source[to]], target, size)
        else:
            yield Fill(target, size)


def _exchanged(group: _Group) -> Iterator[Step]:
    for of, source in enumerate(group.sources):
        for to, target in enumerate(group.targets):
            offsets = {"src_offset": to * group.chunk, "dst_offset": of * group.chunk}
            yield Copy(source, target, group.chunk, **offsets)


_MOVES = {"all_gather": _gathered, "ppermute": _permuted, "all_to_all": _exchanged}


@lru_cache(maxsize=256)
def _reduction(
    kind: str, of: str, count: int, members: int, results: int, profile: Profile
) -> Program:
    """All members' operands -> the first `results` members' results."""
    graph = _reduction_graph(kind, dtype(of), count, members, results)
    made = compile_graph(graph, profile, name=kind)
    named = (replace(k, name=f"{kind}_{n}" if n else kind) for n, k in enumerate(made.kernels))
    return replace(made, kernels=tuple(named))


def _reduction_graph(kind: str, of: DType, count: int, members: int, results: int) -> Graph:
    """Sums of 16-bit floats are rounded once."""
    wide, combine = (f32 if of.is_float else of), _COMBINE[kind]

    def cast_to(x: Value, kind: DType) -> Value:
        return x if x.aval.dtype is kind else emit(cast, x, dtype=kind)

    def total(parts: Sequence[Value]) -> Value:
        found = cast_to(parts[0], wide)
        for part in parts[1:]:
            found = emit(combine, found, cast_to(part, wide))
        return cast_to(found, of)

    def everything(*xs: Value) -> list[Value]:
        if kind != "reduce_scatter":
            return [total(xs)] * results
        return [total([_row(x, n) for x in xs]) for n in range(results)]

    shape = (members, count // members) if kind == "reduce_scatter" else (count,)
    return build(everything, *[Aval(shape, of)] * members)


def _row(x: Value, n: int) -> Value:
    width = x.aval.shape[1]
    row = emit(slice, x, start=(n, 0), limit=(n + 1, width), stride=(1, 1))
    return reshape_to(row, (width,))


__all__ = ["placed", "spread"]
