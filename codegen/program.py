"""The serialisable result of a compile: kernels, slots and the steps that run them.

Invariant: a Program is pure data. Everything that depends on a device (buffers, pipelines, bind
groups) lives in `runtime`; everything that depends on the model (fusion, schedules, liveness) was
decided before. One artefact therefore serves execution, the disk cache, `dump` and golden tests.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


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
    """A buffer. kind: "input" | "output" | "temp" | "constant" (`data` holds its bytes, hex)."""

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
    """Copy `nbytes` from the start of slot `src` to the start of slot `dst`."""

    src: int
    dst: int
    nbytes: int


@dataclass(frozen=True)
class Fill:
    """Zero the first `nbytes` of a slot."""

    slot: int
    nbytes: int


Step = Dispatch | Copy | Fill
_STEPS = {cls.__name__: cls for cls in (Dispatch, Copy, Fill)}


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
        return tuple(step for step in self.steps if isinstance(step, Dispatch))

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
        data["steps"] = [{"step": type(s).__name__, **asdict(s)} for s in self.steps]
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


def _step(data: dict) -> Step:
    cls = _STEPS[data.pop("step")]
    return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})
