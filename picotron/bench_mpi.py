"""`picotron bench mpi`: what several processes gain over one, and what their sums cost.

Invariant: every process computes with one thread, the one that is alone too, and both do the same
work for each process; jobs of one and of many take turns, so that whatever else the machine does
falls on both.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from picotron import launch, reference
from picotron.config import DistributedConfig
from picotron.errors import ConfigError, PicotronError
from picotron.measure import Progress, ratios

SIZE = 64 << 20  # bytes of the array that is summed up, float32
REPEATS = 15
TIMES = ("all_reduce_ms", "all_reduce_least_ms", "device_all_reduce_ms")
TELLING = ("messages", "telling_share", "covered_share")  # of a step, see `bench.run_step`
GOALS = {"all_reduce_ms": 12.0, "ratio": 1.5}  # at most, at least: of two processes on two cores


def run_mpi(
    shapes: reference.Shapes, ranks: int, steps: int, rounds: int, flags: Sequence[str] = ()
) -> dict[str, Any]:
    """Figures of jobs of `ranks` processes and of one alone; a process of such a job gives its own.

    `all_reduce_ms` is the sum of 64 MiB of each process through the memory that they share,
    `device_all_reduce_ms` with the way from the device and back; `ratio` are the tokens per second
    of data-parallel steps over those of one process, with weights in parts if `flags` have
    "--fsdp". `flags` of this command reach the jobs.
    Raises ConfigError without MPI.
    """
    if launch.process_count() > 1:
        return _of_this_job(ranks, steps, shapes, "--fsdp" in flags)
    if ranks == 1:
        return _stepped(shapes, steps, None)
    launcher = launch.mpirun()
    if launcher is None:
        raise ConfigError("bench mpi needs MPI: pip install 'picotron-webgpu[mpi]'")
    jobs: dict[int, list[dict[str, Any]]] = {1: [], ranks: []}
    told = Progress("bench mpi")
    for number in range(1, rounds + 1):
        for count, found in jobs.items():
            found.append(_job(launcher, count, ["--steps", str(steps), *flags]))
            told(f"round {number} of {rounds}, {count}: {found[-1]['tok_s']:.0f} tokens/s")
    return _together(ranks, jobs[1], jobs[ranks])


def _job(launcher: str, count: int, flags: Sequence[str]) -> dict[str, Any]:
    """The figures that a job of `count` processes prints."""
    own = [sys.executable, "-m", "picotron", "bench", "mpi", "--ranks", str(count), "--json"]
    command = [*([launcher, "-n", str(count)] if count > 1 else []), *own, *flags]
    environment = {**launch.environment(count), "LP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise PicotronError(f"a job of {count} processes ended with status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])


def _together(ranks: int, alone: list[dict], many: list[dict]) -> dict[str, Any]:
    found = ratios([1 / r["tok_s"] for r in many], [1 / r["tok_s"] for r in alone])
    return {
        "ranks": ranks,
        **{name: statistics.median(r[name] for r in many) for name in TIMES},
        "alone_tok_s": statistics.median(r["tok_s"] for r in alone),
        "tok_s": statistics.median(r["tok_s"] for r in many),
        **{name: statistics.median(r[name] for r in many) for name in TELLING},
        "ratio": found.median,
        "ratio_least": found.least,
        "ratio_most": found.most,
        "collectives": many[0]["collectives"],
        "goals": GOALS,
    }


# --- in the processes of a job --------------------------------------------------------------------


def _of_this_job(ranks: int, steps: int, shapes: reference.Shapes, fsdp: bool) -> dict[str, Any]:
    world = launch.world()
    launch.check_count(ranks)
    distributed = DistributedConfig(dp_size=ranks, fsdp=fsdp)
    stepped = _stepped(dataclasses.replace(shapes, B=shapes.B * ranks), steps, distributed)
    return {**_all_reduces(world), **stepped}


def _stepped(
    shapes: reference.Shapes, steps: int, distributed: DistributedConfig | None
) -> dict[str, Any]:
    from picotron.bench import run_step

    found = run_step(shapes, steps, distributed)
    wanted = ("tok_s", "ms", "losses", "collectives", *TELLING)
    return {name: found[name] for name in wanted if name in found}


def _all_reduces(world: Any) -> dict[str, float]:
    """Milliseconds of the slowest process: median and least through the window, median from the
    device and back. Raises PicotronError for a wrong sum."""
    import runtime
    from codegen.program import Collective
    from runtime.ranks import RankTeam
    from tracer.spmd import MeshShape

    device = runtime.default_device()
    team = RankTeam(MeshShape(("dp",), (world.size,)), device, world)
    channel, count = team.channel(("dp",)), SIZE // 4
    mine = np.full(count, world.rank + 1, np.float32)
    given, result = device.upload(mine), device.upload(mine)

    def window() -> tuple[float, np.ndarray]:
        slab = channel.stage(SIZE)
        slab.mine.view(np.float32)[:] = mine
        channel.meet()
        start = time.perf_counter()
        total = channel.reduced(slab, np.dtype(np.float32), np.add)
        return time.perf_counter() - start, total

    def whole() -> tuple[float, np.ndarray]:
        step = Collective("psum", ("dp",), (world.size,), 0, 1, "f32", count, SIZE)
        channel.meet()
        start = time.perf_counter()
        team.begin(step, given)(result)
        raw = result.start_read(SIZE).result()  # the upload has ended
        return time.perf_counter() - start, np.frombuffer(raw, np.float32)

    through, from_device = _repeated(world, window), _repeated(world, whole)
    return {
        "all_reduce_ms": statistics.median(through),
        "all_reduce_least_ms": min(through),
        "device_all_reduce_ms": statistics.median(from_device),
    }


def _repeated(world: Any, run: Callable[[], tuple[float, np.ndarray]]) -> list[float]:
    """Milliseconds of the slowest process, without the first two times: they touch new memory."""
    wanted, found = world.size * (world.size + 1) / 2, []
    for _ in range(REPEATS + 2):
        seconds, total = run()
        if not (total == wanted).all():
            raise PicotronError(f"the sum over {world.size} processes is wrong")
        found.append(1e3 * max(world.comm.allgather(seconds)))
    return found[2:]


def summary(result: dict[str, Any]) -> str:
    """For people: what was measured, beside its goal where it has one."""
    if "ratio" not in result:
        return json.dumps(result)
    ranks, least, most = result["ranks"], result["ratio_least"], result["ratio_most"]
    alone, together = result["alone_tok_s"], result["tok_s"]
    messages, telling, covered = (result[name] for name in TELLING)
    return "\n".join(
        [
            f"all-reduce of 64 MiB in shared memory of {ranks}: {result['all_reduce_ms']:.1f} ms, "
            f"least {result['all_reduce_least_ms']:.1f} (goal for 2 on 2 cores: at most 12)",
            f"the same from device to device: {result['device_all_reduce_ms']:.1f} ms",
            f"data-parallel steps of {ranks} to 1, one thread each: {result['ratio']:.2f} times, "
            f"{least:.2f} to {most:.2f} (goal for 2: at least 1.5)",
            f"tokens/s: {alone:.0f} of one, {together:.0f} of {ranks}",
            f"{messages:.0f} messages take {telling:.1%} of a step; for {covered:.0%} of that the "
            "device has other work",
        ]
    )


__all__ = ["run_mpi", "summary"]
