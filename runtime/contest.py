"""One kernel in all its tile configurations, measured side by side.

Invariant: an option is taken only if its results are those of the rule's option and it is faster by
more than the rule's own times vary. Sides take turns, so that whatever else the machine does falls
on all of them.
"""

from __future__ import annotations

import contextlib
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codegen.profile import Profile
from codegen.program import Program
from codegen.subjects import Subject, alone, variants
from ir.graph import Aval

from .buffer import Buffer
from .clocks import WARM_S
from .device import Device
from .errors import KernelCompileError, ProgramError
from .executable import Executable

ROUNDS = 7
ROUND_S = 0.003  # that a kernel is timed for in one round, by as many dispatches as it takes
MOST_TIMES = 40
LEAST_GAIN = 0.02
HOPELESS = 1.3  # times the best of the first round: not measured again
COMPARED = 1 << 22  # bytes of each result that are compared
TOLERANCE = {2: 2e-2, 4: 1e-4}  # ‖difference‖ / ‖result‖ by bytes of a float


@dataclass(frozen=True)
class Finding:
    """One kernel's measurement. `option` is the best that passed, or `chosen`, the rule's; `spread`
    is that of the rule's times; times in seconds of one dispatch."""

    kernel: str
    keys: tuple[str, ...]
    chosen: str
    option: str
    seconds: float
    best_seconds: float
    spread: float
    tried: int

    @property
    def family(self) -> str:
        """matmul, matvec, attention or rows."""
        return self.keys[0].split()[0]

    @property
    def better(self) -> bool:
        return self.option != self.chosen

    @property
    def times_as_fast(self) -> float:
        return self.seconds / self.best_seconds

    def __str__(self) -> str:
        if not self.better:
            return f"{self.kernel}: {self.chosen} stays, best of {self.tried}"
        gain = f"{self.times_as_fast:.2f} times as fast as {self.chosen}"
        return f"{self.kernel}: {self.option} is {gain}, best of {self.tried}"


def contest(device: Device, subject: Subject, profile: Profile) -> Finding:
    """Measure a kernel in all its options; `profile` is the one that it was built for."""
    hosts = [stand_in(v.aval, n) for n, v in enumerate(subject.region.ins)]
    once = Executable(device, alone(subject.region, profile))
    buffers = [device.upload(host) for host in hosts]
    seconds = statistics.median(_seconds(once, buffers) for _ in range(3))
    times = max(1, min(MOST_TIMES, round(ROUND_S / max(seconds, 1e-7))))
    rule = Executable(device, alone(subject.region, profile, times))
    sides = _agreeing(device, subject, variants(subject, profile, times), rule, hosts)
    _warm(rule, buffers)
    runners = {name: _runner(side, buffers) for name, side in sides.items()}
    return judged(subject, in_turns(runners, ROUNDS, HOPELESS))


def _agreeing(
    device: Device, subject: Subject, programs: Mapping[str, Program], rule: Executable,
    hosts: Sequence[np.ndarray],
) -> dict[str, Executable]:  # fmt: skip
    """The rule's executable, and those of the options that the driver takes and that compute the
    same."""
    with contextlib.suppress(KernelCompileError):  # side by side; below, one that fails is told
        device.pipelines([kernel for p in programs.values() for kernel in p.kernels])
    wanted, found = results(rule, subject, hosts), {subject.decision.chosen: rule}
    for option, program in programs.items():
        with contextlib.suppress(KernelCompileError, ProgramError):
            made = Executable(device, program)
            if agree(results(made, subject, hosts), wanted):
                found[option] = made
    return found


def stand_in(aval: Aval, seed: int) -> np.ndarray:
    """An array of a type, as the device stores it: floats in [0, 1), integers and bools 0 in the
    first half of each row and 1 in the second, since numbers of segments must not fall."""
    if aval.dtype.is_float:
        rng = np.random.default_rng(seed)
        block = rng.random(min(aval.size, 1 << 20), np.float32)
        return np.resize(block.astype(aval.dtype.np), aval.shape)
    kind = np.dtype(np.uint32) if aval.dtype.name == "bool" else aval.dtype.np
    width = aval.shape[-1] if aval.shape else 1
    row = (np.arange(width) >= (width + 1) // 2).astype(kind)
    return np.array(np.broadcast_to(row, aval.shape))


def results(
    executable: Executable, subject: Subject, hosts: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """The first elements of each result of a run."""
    made = executable.run([host.copy() for host in hosts])
    found = []
    for buffer, v in zip(made, subject.region.outs, strict=True):
        data = executable.device.download(buffer, min(COMPARED, buffer.nbytes) // 4 * 4)
        kind = np.dtype(np.uint32) if v.aval.dtype.name == "bool" else v.aval.dtype.np
        found.append(np.frombuffer(data, kind)[: v.aval.size])
    return found


def agree(found: Sequence[np.ndarray], wanted: Sequence[np.ndarray]) -> bool:
    """Whether results are the same but for the order of additions."""
    for x, y in zip(found, wanted, strict=True):
        tolerance = TOLERANCE.get(y.dtype.itemsize, 1e-6)
        x, y = x.astype(np.float64), y.astype(np.float64)
        finite = np.isfinite(x) & np.isfinite(y)
        if (np.isfinite(x) != np.isfinite(y)).mean() > 1e-3:
            return False
        error = np.linalg.norm(np.where(finite, x, 0) - np.where(finite, y, 0))
        if error > tolerance * np.linalg.norm(y[finite]):
            return False
    return True


# --- measuring ------------------------------------------------------------------------------------


def in_turns(
    sides: Mapping[str, Callable[[], float]], rounds: int, hopeless: float = math.inf
) -> dict[str, list[float]]:
    """Seconds of each side, round by round. After the first round sides drop out, but for the first
    side, that took more than `hopeless` times the best."""
    found = {name: [run()] for name, run in sides.items()}
    best = min(seconds for [seconds] in found.values())
    first = next(iter(sides))
    kept = [n for n, [seconds] in found.items() if n == first or seconds <= hopeless * best]
    for _ in range(rounds - 1):
        for name in kept:
            found[name].append(sides[name]())
    return {name: found[name] for name in kept}


def judged(subject: Subject, measured: Mapping[str, list[float]]) -> Finding:
    """What the times say; the first side is the rule's."""
    chosen, *others = measured
    usual = measured[chosen]
    seconds, spread = statistics.median(usual), max(usual) - min(usual)
    medians = {name: statistics.median(measured[name]) for name in others}
    best = min(medians, key=medians.__getitem__, default=chosen)
    gain = seconds - medians.get(best, seconds)
    option = best if gain > max(spread, LEAST_GAIN * seconds) else chosen
    tried = len({*subject.decision.options, chosen})
    return Finding(
        subject.kernel.code.name, subject.decision.keys, chosen, option, seconds,
        medians.get(option, seconds), spread, tried,
    )  # fmt: skip


def _runner(executable: Executable, buffers: Sequence[Buffer]) -> Callable[[], float]:
    return lambda: _seconds(executable, buffers)


def _seconds(executable: Executable, buffers: Sequence[Buffer]) -> float:
    """Of one dispatch: the median of those of a run."""
    return statistics.median(t.seconds for t in executable.profile(buffers))


def _warm(executable: Executable, buffers: Sequence[Buffer]) -> None:
    end = time.perf_counter() + WARM_S
    while time.perf_counter() < end:
        _seconds(executable, buffers)
