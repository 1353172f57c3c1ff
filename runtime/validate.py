"""Does a program obey the adapter it is to run on? Asked once, before any call to the driver.

Invariant: what wgpu accepts and the driver then gets silently wrong (workgroup memory or loop
iterations over the limit), or what would only surface later, is refused here by kernel name.
"""

from __future__ import annotations

from collections.abc import Mapping

from codegen.profile import Profile
from codegen.program import Collective, Copy, Dispatch, Fill, KernelCode, Program, walk

from .errors import ProgramError

CURE = "compile it with this device's profile"


def check_program(
    program: Program, limits: Mapping[str, int], profile: Profile, one_of_many: bool = False
) -> None:
    """Raise ProgramError naming the first thing of `program` that does not fit.

    Only `one_of_many` processes can run a collective.
    """
    _check_slots(program)
    for kernel in program.kernels:
        _check_kernel(kernel, limits, profile)
    for step in walk(program.steps):
        match step:
            case Dispatch():
                _check_dispatch(program, step, limits)
            case Copy(src, dst, nbytes, src_offset, dst_offset):
                _check_range(program, src, nbytes, src_offset)
                _check_range(program, dst, nbytes, dst_offset)
            case Collective(kind, axes) if not one_of_many:
                text = f"{program.name} has a {kind} over {','.join(axes)}"
                raise ProgramError(f"{text}; run it on a mesh that has these axes")
            case Fill(slot, nbytes):
                _check_range(program, slot, nbytes)


def _check_slots(program: Program) -> None:
    for place, slot in enumerate(program.out_slots):
        kind = program.slots[slot].kind
        if kind not in ("input", "output"):
            text = f"result {place} of {program.name} is in a slot of kind {kind!r}"
            raise ProgramError(f"{text}; results live in output slots or their donor's input slot")
    known = set(program.in_slots) | set(program.out_slots)
    for index, slot in enumerate(program.slots):
        if slot.kind == "member":
            text = f"{program.name} asks for its number along the axis {slot.label!r}"
            raise ProgramError(f"{text}; run it on a mesh that has it")
        if slot.kind not in ("temp", "constant") and index not in known:
            text = f"{slot.kind} slot {index} ({slot.label}) of {program.name}"
            raise ProgramError(f"{text} is neither an argument nor a result")
    if len(set(program.in_slots)) != len(program.in_slots):
        raise ProgramError(f"two arguments of {program.name} share an input slot")


def _check_kernel(kernel: KernelCode, limits: Mapping[str, int], profile: Profile) -> None:
    x, y, z = kernel.workgroup
    _check(kernel, x * y * z, limits["max-compute-invocations-per-workgroup"], "invocations")
    _check(kernel, len(kernel.bindings), limits["max-storage-buffers-per-shader-stage"], "buffers")
    memory = limits["max-compute-workgroup-storage-size"]
    _check(kernel, kernel.workgroup_bytes, memory, "bytes of workgroup memory")
    if profile.loop_limit:
        _check(kernel, kernel.loop_iterations, profile.loop_limit, "loop iterations per invocation")


def _check(kernel: KernelCode, need: int, limit: int, what: str) -> None:
    if need > limit:
        text = f"kernel `{kernel.name}` needs {need} {what}, the adapter allows {limit}"
        raise ProgramError(f"{text}; {CURE}")


def _check_dispatch(program: Program, step: Dispatch, limits: Mapping[str, int]) -> None:
    kernel = program.kernels[step.kernel]
    _check(kernel, max(step.grid), limits["max-compute-workgroups-per-dimension"], "workgroups")
    if len(step.slots) != len(kernel.bindings):
        text = f"a dispatch of kernel `{kernel.name}` binds {len(step.slots)} slots"
        raise ProgramError(f"{text}, the kernel has {len(kernel.bindings)} bindings")
    written = {s for s, b in zip(step.slots, kernel.bindings, strict=True) if b.access != "read"}
    for slot in written:
        if step.slots.count(slot) > 1:
            text = f"a dispatch of kernel `{kernel.name}` binds slot {slot} twice, once to write"
            raise ProgramError(f"{text}; bind it once, read_write")


def _check_range(program: Program, slot: int, nbytes: int, offset: int = 0) -> None:
    size = program.slots[slot].nbytes
    if not 0 < nbytes <= size - offset or offset % 4:
        text = f"{program.name} copies or fills {nbytes} bytes of slot {slot}"
        raise ProgramError(f"{text}, which has {size}")
