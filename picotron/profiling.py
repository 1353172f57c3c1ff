"""`picotron profile`: where the time of a program goes, on the host and on the device.

Invariant: host stages are measured as they happen; each kernel is measured in a real run, alone in
its pass, so the sum of the kernels is what they take without the gaps between them. The trace is in
the format of Chrome and Perfetto: complete events, times in microseconds.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from picotron import model, reference
from picotron.bench_decode import SMALL, SMOLLM_135M
from picotron.device import adapter_name, is_software
from picotron.generator import Generator
from picotron.measure import Roof, roof
from picotron.prepare import on_device
from picotron.sampling import Sampling
from picotron.terminal import table_width
from tracer import block_until_ready, jit

HOST, DEVICE = 1, 2  # processes of the trace


@dataclass(frozen=True)
class Stage:
    """What the host did, from `start` seconds on."""

    name: str
    start: float
    seconds: float


@dataclass
class Recording:
    """Host stages and the kernels of one run (`KernelTime`s of the runtime)."""

    what: str
    stages: list[Stage] = field(default_factory=list)
    kernels: list[Any] = field(default_factory=list)
    _zero: float = field(default_factory=time.perf_counter)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record what happens inside as one stage."""
        start = time.perf_counter()
        yield
        self.stages.append(Stage(name, start - self._zero, time.perf_counter() - start))

    @property
    def seconds(self) -> float:
        """Of all kernels together."""
        return sum(k.seconds for k in self.kernels)


def profile_step(shapes: reference.Shapes, steps: int) -> Recording:
    """The reference train step: `steps` runs, then one that is timed kernel by kernel."""
    recording = Recording("train step")
    with recording.stage("make weights and data"):
        step, (state, batch) = reference.train_step(shapes)
    with recording.stage("upload"):
        state, batch = on_device(state), on_device(batch)
    compiled = jit(step, donate_argnums=(0,))
    _first(recording, lambda: compiled.lower(state, batch))
    for n in range(steps):
        with recording.stage(f"step {n}, submit"):
            state, metrics = compiled(state, batch)
        with recording.stage(f"step {n}, wait for the loss"):
            float(metrics["loss"])
    with recording.stage("step by kernels"):
        recording.kernels = compiled.profile(state, batch)
    return recording


def profile_decode(steps: int) -> Recording:
    """Decoding: `steps` chunks of tokens, then one that is timed kernel by kernel."""
    recording = Recording("decode")
    config = SMALL if is_software() else SMOLLM_135M
    with recording.stage("make weights"):
        params = model.init(config, 0)
    with recording.stage("upload"):
        generator = Generator(config, on_device(params))
    rows = np.random.default_rng(0).integers(0, config.vocab_size, (1, 32)).tolist()
    with recording.stage("trace, compile and write a chunk"):
        generator.lists(rows, 1 + generator.chunk, Sampling(0.0))
    for n in range(steps):
        with recording.stage(f"read the prompt, write chunk {n}"):
            generator.lists(rows, 1 + generator.chunk, Sampling(0.0))
    with recording.stage("chunk by kernels"):
        recording.kernels = generator.profile(rows)
    return recording


def _first(recording: Recording, lower: Callable) -> None:
    with recording.stage("trace"):
        lowered = lower()
    with recording.stage("compile"):
        block_until_ready(lowered.compile())


# --- the trace --------------------------------------------------------------------------------


def write_trace(recording: Recording, path: Path) -> None:
    """Write the recording as a Chrome trace; raises OSError."""
    path.write_text(json.dumps(trace(recording)), encoding="utf-8")


def trace(recording: Recording) -> dict[str, Any]:
    """The trace as JSON's objects: a track of the host and one of the device."""
    last = recording.stages[-1]
    events = [_named(HOST, "host"), _named(DEVICE, f"device: {adapter_name()}")]
    events += [_event(HOST, s.name, s.start, s.seconds, {}) for s in recording.stages]
    at = last.start
    for k in recording.kernels:
        shown = {"template": k.template, "scope": k.scope, "grid": list(k.grid), "clock": k.clock}
        shown |= {"bytes": k.nbytes, "flops": k.flops}
        events.append(_event(DEVICE, k.kernel, at, k.seconds, shown))
        at += k.seconds
    return {"traceEvents": events, "displayTimeUnit": "ms"}


def _named(process: int, name: str) -> dict[str, Any]:
    return {"name": "process_name", "ph": "M", "pid": process, "args": {"name": name}}


def _event(process: int, name: str, start: float, seconds: float, args: dict) -> dict[str, Any]:
    times = {"ts": 1e6 * start, "dur": 1e6 * seconds}
    return {"name": name, "ph": "X", "pid": process, "tid": 0, **times, "args": args}


# --- the table --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """All dispatches of one kernel in a run."""

    kernel: str
    template: str
    count: int
    seconds: float
    flops: int
    nbytes: int

    def share_of(self, top: Roof) -> float | None:
        """The larger of the shares of the arithmetic and of the memory roof; None if unknown."""
        if not top.flops or not self.seconds:
            return None
        return max(self.flops / top.flops, self.nbytes / top.nbytes) / self.seconds


def lines(kernels: Sequence[Any]) -> list[Line]:
    """One line for each kernel, the dearest first."""
    found: dict[str, list[Any]] = {}
    for k in kernels:
        found.setdefault(k.kernel, []).append(k)
    made = [
        Line(
            name, each[0].template, len(each), sum(k.seconds for k in each),
            sum(k.flops for k in each), sum(k.nbytes for k in each),
        )
        for name, each in found.items()
    ]  # fmt: skip
    return sorted(made, key=lambda line: -line.seconds)


def show(recording: Recording, top: int, console: Console | None = None) -> None:
    """Print the host's stages and the `top` dearest kernels."""
    console = console or Console(highlight=False, width=table_width())
    best = roof(adapter_name(), is_software())
    clock = recording.kernels[0].clock if recording.kernels else "gpu"
    title = f"{recording.what} on {adapter_name()}: {len(recording.kernels)} dispatches, "
    title += f"{1e3 * recording.seconds:.3g} ms by the {clock} clock; roof by {best.source}"
    table = Table(title=title, title_justify="left", box=SIMPLE)
    table.add_column("kernel", no_wrap=True)
    for head in ("template", "times", "ms", "share", "TF/s", "GB/s", "of the roof"):
        table.add_column(head, justify="left" if head == "template" else "right")
    for line in lines(recording.kernels)[:top]:
        share, seconds = line.share_of(best), max(line.seconds, 1e-12)
        table.add_row(
            line.kernel, line.template, str(line.count), f"{1e3 * line.seconds:.3g}",
            f"{line.seconds / max(recording.seconds, 1e-12):.1%}",
            f"{line.flops / seconds / 1e12:.3g}", f"{line.nbytes / seconds / 1e9:.4g}",
            "" if share is None else f"{share:.2f}",
        )  # fmt: skip
    for stage in recording.stages:
        console.print(f"{1e3 * stage.seconds:10.2f} ms  {stage.name}", markup=False)
    console.print(table)
