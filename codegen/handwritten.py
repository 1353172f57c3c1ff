"""Kernels that a primitive brings itself, as WGSL.

Invariant: a handwritten kernel is a pure function of the equation's types and parameters and of the
profile. It reads whole operands from buffers and writes whole results; nothing is fused into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ir.build import describe_src
from ir.graph import Eqn

from .grid import GROUPS_PER_DIM, Grid
from .profile import Profile

_WORKGROUP = re.compile(r"@workgroup_size\(([^)]*)\)")


@dataclass(frozen=True)
class Handwritten:
    """WGSL of one kernel, without its bindings, which are declared in front of it.

    `operands` and `results` are what the source calls the buffers, `array`s of the tensors' dtype
    in row-major order (bools are u32). `grid` are the workgroups to dispatch; their size is that of
    the source's `@compute @workgroup_size(...) fn main`: numbers, or names of `constants`, which
    are declared as `const NAME = 64u;`. An invocation runs at most `loop_iterations` iterations of
    its loops, all added up, and a workgroup shares `workgroup_bytes`.
    """

    source: str
    operands: tuple[str, ...]
    results: tuple[str, ...]
    grid: Grid
    constants: Mapping[str, int] = field(default_factory=dict)
    workgroup_bytes: int = 0
    loop_iterations: int = 0

    @property
    def workgroup(self) -> Grid:
        """Invocations of a workgroup along x, y and z."""
        words = _words(_WORKGROUP.search(self.source)[1])
        x, y, z = (*(int(self.constants.get(word, word)) for word in words), 1, 1)[:3]
        return x, y, z


def is_handwritten(eqn: Eqn) -> bool:
    """Whether what is left of an equation after expansion is one kernel of its own."""
    return eqn.prim.kind == "composite" and not getattr(eqn.prim, "has_kernel", False)


def handwritten(eqn: Eqn, profile: Profile) -> Handwritten | None:
    """The kernel that the equation's primitive brings; raises ValueError where it cannot run."""
    if not all(v.aval.size for v in (*eqn.ins, *eqn.outs)):
        return None
    found = eqn.prim.kernel(profile, *(v.aval for v in eqn.ins), **eqn.params)
    if found is not None:
        _check(found, eqn)
    return found


def _check(kernel: Handwritten, eqn: Eqn) -> None:
    named, tensors = (kernel.operands, kernel.results), (eqn.ins, eqn.outs)
    for what, names, values in zip(("operands", "results"), named, tensors, strict=True):
        if len(names) != len(values):
            _refuse(eqn, f"names {len(names)} {what}, and there are {len(values)}")
    if not all(0 < n <= GROUPS_PER_DIM for n in kernel.grid):
        _refuse(eqn, f"asks for {kernel.grid} workgroups; each must be 1 to {GROUPS_PER_DIM}")
    found = _WORKGROUP.search(kernel.source)
    if not found or "fn main(" not in kernel.source:
        _refuse(eqn, "has no '@compute @workgroup_size(...) fn main(...)'")
    unknown = [w for w in _words(found[1]) if not w.isdigit() and w not in kernel.constants]
    if unknown:
        _refuse(eqn, f"has a workgroup size {unknown[0]!r} that is none of its constants")


def _refuse(eqn: Eqn, why: str) -> None:
    raise ValueError(f"the kernel of {eqn.prim.name} {why}{describe_src(eqn.src)}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]
