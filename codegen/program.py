"""The serialisable result of a compile: kernels, slots and the steps that run them.

Invariant: a Program is pure data. Everything that depends on a device (buffers, pipelines, bind
groups) lives in `runtime`; everything that depends on the model (fusion, schedules, liveness) was
decided before. One artefact therefore serves execution, the disk cache, `dump` and golden tests.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Binding:
    """One `@group(0) @binding(i)` of a kernel, in order."""

    name: str
    access: str  # "read" | "read_write"


@dataclass(frozen=True)
class KernelCode:
    """A WGSL module with one entry point `main`; `template` says which strategy wrote it."""

    name: str
    template: str
    wgsl: str
    workgroup: tuple[int, int, int]
    bindings: tuple[Binding, ...]
    workgroup_bytes: int = 0
    loop_iterations: int = 0


@dataclass(frozen=True)
class Slot:
    """A buffer. kind: "input" | "output" | "temp" | "constant" (`data` holds its bytes, hex), or
    "member": the i32 number of this device along the mesh axis `label`."""

    nbytes: int
    kind: str
    label: str = ""
    data: str = ""


@dataclass(frozen=True)
class Dispatch:
    """Run `kernels[kernel]` on `grid` workgroups with `slots` bound in binding order."""

    kernel: int
    slots: tuple[int, ...]
    grid: tuple[int, int, int]
    nbytes: int = 0  # bytes read and written at least once
    flops: int = 0
    scope: str = ""


@dataclass(frozen=True)
class Copy:
    """Copy `nbytes` of slot `src` to slot `dst`, from and to their starts or these offsets."""

    src: int
    dst: int
    nbytes: int
    src_offset: int = 0
    dst_offset: int = 0


@dataclass(frozen=True)
class Fill:
    """Zero the first `nbytes` of a slot."""

    slot: int
    nbytes: int


@dataclass(frozen=True)
class Collective:
    """What the members of some mesh axes tell each other; each reads `src` and writes `dst`.

    kind: psum, pmax, pmin (dst like src), all_gather (dst holds the members' src in order),
    reduce_scatter (a member gets its own chunk of the sum), all_to_all (chunk i goes to member i)
    or ppermute (`perm` has pairs (from, to); others get zeros). `count` are the elements of src,
    `nbytes` the larger of src and dst.
    """

    kind: str
    axes: tuple[str, ...]
    sizes: tuple[int, ...]
    src: int
    dst: int
    dtype: str
    count: int
    nbytes: int
    perm: tuple[tuple[int, int], ...] = ()
    scope: str = ""


@dataclass(frozen=True)
class Loop:
    """Run `steps` `count` times. Iterations differ only by what the steps leave in their slots."""

    count: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class While:
    """Run `steps` while the u32 in `slot` is not 0; running them after that changes nothing."""

    slot: int
    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Switch:
    """Run the steps of one case: that of the i32 in `slot`, clamped into range."""

    slot: int
    steps: tuple[Case, ...]


@dataclass(frozen=True)
class Case:
    """The steps of one case of a Switch."""

    steps: tuple[Step, ...]


Step = Dispatch | Copy | Fill | Collective | Loop | While | Switch | Case
NESTED = (Loop, While, Switch, Case)  # steps that hold `steps`
_STEPS = {cls.__name__: cls for cls in (Dispatch, Copy, Fill, Collective, *NESTED)}


def walk(steps: Iterable[Step]) -> Iterator[Step]:
    """All steps in order, each once; what holds steps comes before them."""
    for step in steps:
        yield step
        if isinstance(step, NESTED):
            yield from walk(step.steps)


def collectives(steps: Iterable[Step]) -> Counter[Collective]:
    """The collectives of one run and how often each happens; those of a While count once."""
    found: Counter[Collective] = Counter()
    for step in steps:
        if isinstance(step, Collective):
            found[step] += 1
        elif isinstance(step, NESTED):
            inner, times = collectives(step.steps), getattr(step, "count", 1)
            found.update({one: times * count for one, count in inner.items()})
    return found


def sum_over(steps: Iterable[Step], of: Callable[[Dispatch], int]) -> int:
    """Sum over the dispatches of one run, those of a Loop once per iteration, those of a While and
    of each Case once."""
    found = 0
    for step in steps:
        if isinstance(step, NESTED):
            found += getattr(step, "count", 1) * sum_over(step.steps, of)
        elif isinstance(step, Dispatch):
            found += of(step)
    return found


@dataclass(frozen=True)
class Program:
    """`in_slots[i]` and `out_slots[j]` hold argument i and result j.

    A donated result shares its donor's slot.
    """

    name: str
    kernels: tuple[KernelCode, ...]
    slots: tuple[Slot, ...]
    steps: tuple[Step, ...]
    in_slots: tuple[int, ...]
    out_slots: tuple[int, ...]

    @property
    def dispatches(self) -> tuple[Dispatch, ...]:
        """Every dispatch once, in program order, loop bodies included."""
        return tuple(step for step in walk(self.steps) if isinstance(step, Dispatch))

    @property
    def dispatch_count(self) -> int:
        """Dispatches of one run."""
        return sum_over(self.steps, lambda dispatch: 1)

    @property
    def flops(self) -> int:
        """Arithmetic of one run, as the kernels' headers state it."""
        return sum_over(self.steps, lambda dispatch: dispatch.flops)

    @property
    def bytes_accessed(self) -> int:
        """Bytes that the kernels of one run read and write, each tensor of a kernel once."""
        return sum_over(self.steps, lambda dispatch: dispatch.nbytes)

    def traffic(self) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of the collectives of one run by axes ("dp" or "dp,cp") and kind."""
        found: dict[str, dict[str, list[int]]] = {}
        for step, times in collectives(self.steps).items():
            kinds = found.setdefault(",".join(step.axes), {})
            one = kinds.setdefault(step.kind, [0, 0])
            one[0] += times
            one[1] += times * step.nbytes
        return found

    def bytes_by_kind(self) -> dict[str, int]:
        """Device bytes per slot kind."""
        total: dict[str, int] = {}
        for slot in self.slots:
            total[slot.kind] = total.get(slot.kind, 0) + slot.nbytes
        return total

    @property
    def peak_bytes(self) -> int:
        """Bytes of all slots: what the program needs on the device while it runs."""
        return sum(slot.nbytes for slot in self.slots)

    def to_json(self) -> str:
        data = asdict(self)
        data["steps"] = [_step_data(s) for s in self.steps]
        return json.dumps(data)

    @staticmethod
    def from_json(text: str) -> Program:
        data = json.loads(text)
        kernels = tuple(_kernel(k) for k in data["kernels"])
        steps = tuple(_step(s) for s in data["steps"])
        slots = tuple(Slot(**s) for s in data["slots"])
        ins, outs = tuple(data["in_slots"]), tuple(data["out_slots"])
        return Program(data["name"], kernels, slots, steps, ins, outs)


def _kernel(data: dict) -> KernelCode:
    bindings = tuple(Binding(**b) for b in data.pop("bindings"))
    workgroup = tuple(data.pop("workgroup"))
    return KernelCode(workgroup=workgroup, bindings=bindings, **data)


def _step_data(step: Step) -> dict:
    data = {"step": type(step).__name__, **asdict(step)}
    if isinstance(step, NESTED):
        data["steps"] = [_step_data(s) for s in step.steps]
    return data


def _step(data: dict) -> Step:
    cls = _STEPS[data.pop("step")]
    if "steps" in data:
        data["steps"] = [_step(s) for s in data["steps"]]
    return cls(**{k: _frozen(v) for k, v in data.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
