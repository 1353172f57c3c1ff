"""Encoding a program's steps, either through wgpu-py's checked calls or by raw native calls.

Invariant: both ways encode the same commands. The checked way raises at the call at fault; the raw
way costs a few microseconds less per dispatch and reports errors only when the encoder is finished.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from codegen.program import (
    NESTED,
    Collective,
    Copy,
    Dispatch,
    Fill,
    Loop,
    Program,
    Step,
    Switch,
    While,
    walk,
)

from .buffer import pad
from .device import Pipeline
from .driver import RawCommand, RawEncoder, wgpu
from .errors import ProgramError
from .overlap import Awaited, awaited

PIECE = 512  # dispatches of one encoder: more have a thread for their second half


class Command(NamedTuple):
    """One dispatch, resolved. `switch` is false if the dispatch before set the same pipeline."""

    pipeline: Pipeline
    group: wgpu.GPUBindGroup
    grid: tuple[int, int, int]
    switch: bool


class Span(NamedTuple):
    """Dispatches `start` to `stop` (counting dispatches only), encoded in one compute pass."""

    start: int
    stop: int


class Repeat(NamedTuple):
    """A loop: its body's plan, `count` times."""

    count: int
    body: list[Part]


class Until(NamedTuple):
    """A while loop: its body's plan, and the slot whose zero ends it."""

    slot: int
    body: list[Part]


class Choose(NamedTuple):
    """A switch: the plan of each case, and the slot that says which one runs."""

    slot: int
    cases: list[list[Part]]


Part = Span | Copy | Fill | Collective | Awaited | Repeat | Until | Choose


def looks_at_data(step: Part) -> bool:
    """Whether the host must read something to run this step."""
    inner = isinstance(step, Repeat) and any(map(looks_at_data, step.body))
    return inner or isinstance(step, (Until, Choose, Collective, Awaited))


def spans(program: Program) -> list[Part]:
    """The steps, with each run of dispatches as one Span, and where collectives end."""
    return _spans(awaited(program.steps), 0)[0]


def _spans(steps: Sequence[Step], count: int) -> tuple[list, int]:
    """(plan, dispatches counted so far)."""
    out: list[Part] = []
    for step in steps:
        if isinstance(step, Loop):
            body, count = _spans(step.steps, count)
            out.append(Repeat(step.count, body))
            continue
        if isinstance(step, While):
            body, count = _spans(step.steps, count)
            out.append(Until(step.slot, body))
            continue
        if isinstance(step, Switch):
            cases = []
            for case in step.steps:
                body, count = _spans(case.steps, count)
                cases.append(body)
            out.append(Choose(step.slot, cases))
            continue
        if not isinstance(step, Dispatch):
            out.append(step)
            continue
        if out and isinstance(out[-1], Span):
            out[-1] = Span(out[-1].start, count + 1)
        else:
            out.append(Span(count, count + 1))
        count += 1
    return out, count


def pieces(plan: Sequence[Part], switch: Sequence[bool]) -> list[list[Part]]:
    """A plan that looks at no data in stretches of about PIECE dispatches, each for one encoder.

    Loops are cut between iterations, other runs of dispatches where one sets its pipeline, as
    `switch` says of each.
    """
    found: list[list[Part]] = [[]]
    size = 0
    for part in plan:
        for piece in _cut(part, switch):
            if found[-1] and size + _size(piece) // 2 >= PIECE:
                found.append([])
                size = 0
            found[-1].append(piece)
            size += _size(piece)
    return found


def _cut(part: Part, switch: Sequence[bool]) -> Iterator[Part]:
    """A part in pieces of at most PIECE dispatches, or a little more."""
    if isinstance(part, Repeat):
        each = max(1, PIECE // max(1, sum(map(_size, part.body))))
        for start in range(0, part.count, each):
            yield Repeat(min(each, part.count - start), part.body)
        return
    if isinstance(part, Span):
        start = part.start
        for at in range(part.start, part.stop):
            if switch[at] and at - start >= PIECE:
                yield Span(start, at)
                start = at
        part = Span(start, part.stop)
    yield part


def _size(part: Part) -> int:
    """Dispatches of a part."""
    if isinstance(part, Repeat):
        return part.count * sum(map(_size, part.body))
    return part.stop - part.start if isinstance(part, Span) else 0


def unroll(steps: Sequence[Step], start: int = 0) -> Iterator[tuple[int, Step]]:
    """Every step of one run with the number of the next dispatch, loops written out."""
    for step in steps:
        if isinstance(step, Loop):
            for _ in range(step.count):
                yield from unroll(step.steps, start)
            start += sum(isinstance(inner, Dispatch) for inner in walk(step.steps))
        elif isinstance(step, Collective):
            raise ProgramError(f"a {step.kind} cannot be timed: it waits for other processes")
        elif isinstance(step, (While, Switch)):
            what = "while_loop" if isinstance(step, While) else "cond"
            raise ProgramError(f"a {what} cannot be timed: its dispatches depend on data")
        else:
            yield start, step
            start += isinstance(step, Dispatch)


def switches(program: Program) -> list[bool]:
    """For each dispatch, whether it must set its pipeline: first of its pass, or another kernel."""
    return _switches(awaited(program.steps))


def _switches(steps: Sequence[Step]) -> list[bool]:
    flags, last = [], None
    for step in steps:
        if isinstance(step, Dispatch):
            flags.append(step.kernel != last)
            last = step.kernel
            continue
        last = None
        if isinstance(step, NESTED):
            flags += _switches(step.steps)
    return flags


def raw(command: Command) -> RawCommand:
    """The native form of a command; valid while the command's objects live."""
    handle = command.pipeline.handle if command.switch else None
    return RawCommand(handle, command.group._internal, *command.grid)


def encode_checked(compute: wgpu.GPUComputePassEncoder, commands: Sequence[Command]) -> None:
    """Encode through wgpu-py; raises GPUValidationError at the call at fault."""
    for command in commands:
        compute.set_pipeline(command.pipeline.raw)
        compute.set_bind_group(0, command.group)
        compute.dispatch_workgroups(*command.grid)


def checked_pass(encoder: wgpu.GPUCommandEncoder, commands: Sequence[Command], times: int) -> None:
    """A compute pass that runs the commands a number of times."""
    compute = encoder.begin_compute_pass()
    for _ in range(times):
        encode_checked(compute, commands)
    compute.end()


raw_pass = RawEncoder.dispatch  # the same in native calls


def encode(
    encoder: wgpu.GPUCommandEncoder | RawEncoder,
    plan: Sequence[Part],
    write: Callable[[Any, Sequence, int], None],
    commands: Sequence,
    buffers: Sequence[wgpu.GPUBuffer],
) -> None:
    """Encode a plan; `write` encodes a pass. A loop of dispatches alone is one pass."""
    for step in plan:
        match step:
            case Span(start, stop):
                write(encoder, commands[start:stop], 1)
            case Repeat(count, [Span(start, stop)]):
                write(encoder, commands[start:stop], count)
            case Repeat(count, body):
                for _ in range(count):
                    encode(encoder, body, write, commands, buffers)
            case _:
                encode_transfer(encoder, step, buffers)


def encode_transfer(
    encoder: wgpu.GPUCommandEncoder | RawEncoder,
    step: Copy | Fill,
    buffers: Sequence[wgpu.GPUBuffer],
) -> None:
    """Encode a Copy or Fill; `buffers` are by slot. A copy of a buffer to itself is no work."""
    if isinstance(step, Fill):
        encoder.clear_buffer(buffers[step.slot], 0, pad(step.nbytes))
    elif buffers[step.src] is not buffers[step.dst]:
        source, target = (buffers[step.src], step.src_offset), (buffers[step.dst], step.dst_offset)
        encoder.copy_buffer_to_buffer(*source, *target, pad(step.nbytes))
