"""Per-dispatch times of one run.

Invariant: the commands timed are those a run replays, in the same order, transfers included; only
the pass boundaries differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.program import Dispatch, Program, Step

from .buffer import Buffer
from .device import Device
from .driver import timestamp_period, wgpu
from .replay import Command, encode_checked, encode_transfer, unroll

QUERIES = 4096  # WebGPU's limit of a query set
Buffers = Sequence[wgpu.GPUBuffer]  # by slot


@dataclass(frozen=True)
class KernelTime:
    """One dispatch. `clock` is "gpu" (timestamps) or "wall" (launch and wait included)."""

    kernel: str
    template: str
    scope: str
    grid: tuple[int, int, int]
    seconds: float
    nbytes: int
    flops: int
    clock: str


def time_steps(
    device: Device, program: Program, commands: Sequence[Command], buffers: Buffers
) -> list[KernelTime]:
    """Run the program once, timing each dispatch; `commands` are by dispatch, `buffers` by slot.

    A dispatch in a loop is timed in every iteration.
    """
    gpu = "timestamp-query" in device.features
    measure = _gpu_seconds if gpu else _wall_seconds
    numbered = list(unroll(program.steps))
    steps = [step for _, step in numbered]
    each = [commands[number] for number, step in numbered if isinstance(step, Dispatch)]
    seconds = measure(device, steps, each, buffers)
    clock = "gpu" if gpu else "wall"
    dispatches = [step for step in steps if isinstance(step, Dispatch)]
    pairs = zip(dispatches, seconds, strict=True)
    return [_record(program, step, value, clock) for step, value in pairs]


def _record(program: Program, step: Dispatch, seconds: float, clock: str) -> KernelTime:
    kernel = program.kernels[step.kernel]
    return KernelTime(
        kernel=kernel.name,
        template=kernel.template,
        scope=step.scope,
        grid=step.grid,
        seconds=seconds,
        nbytes=step.nbytes,
        flops=step.flops,
        clock=clock,
    )


def _gpu_seconds(
    device: Device, steps: list[Step], commands: Sequence[Command], buffers: Buffers
) -> list[float]:
    """Seconds by timestamps; a submission per query set's worth of dispatches."""
    out: list[float] = []
    remaining, steps = list(commands), list(steps)
    while steps:
        chunk = _take_chunk(steps, QUERIES // 2)
        count = sum(isinstance(step, Dispatch) for step in chunk)
        part, remaining = remaining[:count], remaining[count:]
        out.extend(_timed_chunk(device, chunk, part, buffers))
    return out


def _take_chunk(steps: list[Step], most: int) -> list[Step]:
    """Remove and return the longest head of `steps` with at most `most` dispatches."""
    chunk: list[Step] = []
    count = 0
    while steps and count + isinstance(steps[0], Dispatch) <= most:
        count += isinstance(steps[0], Dispatch)
        chunk.append(steps.pop(0))
    return chunk


def _timed_chunk(
    device: Device, steps: Sequence[Step], commands: Sequence[Command], buffers: Buffers
) -> list[float]:
    encoder = device.raw.create_command_encoder()
    if not commands:
        for step in steps:
            encode_transfer(encoder, step, buffers)
        device.submit(encoder)
        return []
    queries = device.raw.create_query_set(type="timestamp", count=2 * len(commands))
    usage = wgpu.BufferUsage.QUERY_RESOLVE | wgpu.BufferUsage.COPY_SRC
    ticks = device.raw.create_buffer(size=16 * len(commands), usage=usage)
    index = 0
    for step in steps:
        if isinstance(step, Dispatch):
            _encode_timed(encoder, queries, index, commands[index])
            index += 1
        else:
            encode_transfer(encoder, step, buffers)
    encoder.resolve_query_set(queries, 0, 2 * len(commands), ticks, 0)
    result = Buffer(device, ticks.size)
    encoder.copy_buffer_to_buffer(ticks, 0, result.raw, 0, ticks.size)
    device.submit(encoder)
    pairs = np.frombuffer(device.download(result), np.uint64).reshape(-1, 2)
    return ((pairs[:, 1] - pairs[:, 0]) * (timestamp_period(device.raw) * 1e-9)).tolist()


def _encode_timed(
    encoder: wgpu.GPUCommandEncoder, queries: wgpu.GPUQuerySet, index: int, command: Command
) -> None:
    writes = {
        "query_set": queries,
        "beginning_of_pass_write_index": 2 * index,
        "end_of_pass_write_index": 2 * index + 1,
    }
    compute = encoder.begin_compute_pass(timestamp_writes=writes)
    encode_checked(compute, [command])
    compute.end()


def _wall_seconds(
    device: Device, steps: list[Step], commands: Sequence[Command], buffers: Buffers
) -> list[float]:
    """Seconds on the host clock from submitting one dispatch to its end."""
    out: list[float] = []
    device.synchronize()
    for step in steps:
        encoder = device.raw.create_command_encoder()
        if isinstance(step, Dispatch):
            compute = encoder.begin_compute_pass()
            encode_checked(compute, [commands[len(out)]])
            compute.end()
        else:
            encode_transfer(encoder, step, buffers)
        start = time.perf_counter()
        device.submit(encoder)
        device.synchronize()
        if isinstance(step, Dispatch):
            out.append(time.perf_counter() - start)
    return out
