"""`picotron bench step`: the reference train step, timed.

Invariant: every loss comes to the host; where steps are shorter than what a measurement lasts, two
are under way before the first's is read, as in the trainer, so that no device waits for its host.
That holds for both sides. Steps that compile or warm up are not among the timed ones unless there
are no others.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from picotron import launch, reference
from picotron.config import Config, DistributedConfig, TrainingConfig
from picotron.config_file import suggest
from picotron.device import adapter_name, is_software
from picotron.errors import ConfigError
from picotron.measure import Progress, Side, Timing, interleaved, ratios
from picotron.prepare import on_device
from picotron.schedules import schedule, simulate, stages_of
from picotron.train import LAG
from picotron.validate import check, raise_problems
from runtime.clocks import WARM_S
from tracer import jit

WARM_UP, TIMED = 6, 5
PEERS = ("torch", "torch.compile", "jax", "tinygrad")
Begin = Callable[[], Callable[[], float]]  # starts a step and gives what reads its loss


def run_step(
    shapes: reference.Shapes,
    steps: int,
    distributed: DistributedConfig | None = None,
    vs: str | None = None,
    micros: int = 0,
) -> dict[str, Any]:
    """Losses, speed and compile statistics of `steps` train steps, in turns with a peer's; on a
    mesh of virtual devices also the collectives of a step, [count, bytes] of each device by axes
    and kind, of a pipeline those of one device of each stage together, and what its ranks did; of
    several processes what their messages take of a step. `micros` are the micro-batches of a
    pipeline, by default as many as there are ranks. Raises ConfigError for a peer that has no such
    step.
    """
    step, (state, batch) = reference.train_step(shapes)
    if distributed is None:
        compiled = jit(step, donate_argnums=(0,))
    else:
        compiled, batch = on_mesh(shapes, distributed, batch, micros)
    ours = _Ours(compiled, on_device(state), batch if distributed else on_device(batch))
    sides: dict[str, Begin] = {"ours": ours.begin}
    name = ""
    if vs:
        sides["peer"], name = _peer(shapes, vs)
    alone = _one_by_one(sides, steps)
    losses = {side: [loss for _, loss in found] for side, found in alone.items()}
    seconds = {side: [s for s, _ in found[_warm_steps(steps) :]] for side, found in alone.items()}
    if steps > 1 and distributed is None and min(seconds["ours"]) < WARM_S:
        seconds = interleaved({side: _lagging(begin) for side, begin in sides.items()}, TIMED)
    median = Timing.of(seconds["ours"]).median
    return {
        "losses": losses["ours"],
        "grad_norm_step0": ours.norm,
        "tok_s": shapes.B * shapes.S / median,
        "ms": median * 1e3,
        **_statistics(compiled),
        "adapter": adapter_name(),
        **({} if distributed is None else _mesh_statistics(compiled, distributed)),
        **_telling(ours.told[_warm_steps(steps)], seconds["ours"]),
        **(_compared(seconds, losses["peer"], name) if vs else {}),
    }


class _Ours:
    """Train steps one after another, and the norm of the first gradient."""

    def __init__(self, step: Callable, state: Any, batch: Any) -> None:
        self.step, self.state, self.batch = step, state, batch
        self.norm: float | None = None
        self.told: list[tuple[int, float, float]] = []  # what messages had cost before each step

    def begin(self) -> Callable[[], float]:
        """Start a step."""
        self.told.append(launch.spent_telling())
        self.state, metrics = self.step(self.state, self.batch)
        if self.norm is None:
            self.norm = float(metrics["grad_norm"])
        loss = metrics["loss"]
        loss.copy_to_host_async()
        return lambda: float(loss)


def _one_by_one(sides: dict[str, Begin], steps: int) -> dict[str, list[tuple[float, float]]]:
    """(seconds, loss) of each step of each side; they take turns."""
    found: dict[str, list[tuple[float, float]]] = {side: [] for side in sides}
    told = Progress("bench step") if launch.leads() else lambda _: None
    for number in range(1, steps + 1):
        for side, begin in sides.items():
            start = time.perf_counter()
            loss = begin()()
            seconds = time.perf_counter() - start
            found[side].append((seconds, loss))
            told(f"step {number} of {steps}, {side}: {seconds:.1f} s, loss {loss:.3f}")
    return found


def _lagging(begin: Begin) -> Side:
    """Steps whose losses are read `LAG` steps later."""
    reads: deque[Callable[[], float]] = deque()

    def run() -> None:
        reads.append(begin())
        if len(reads) > LAG:
            reads.popleft()()

    def wait() -> None:
        while reads:
            reads.popleft()()

    return Side(run, wait)


def _peer(shapes: reference.Shapes, vs: str) -> tuple[Begin, str]:
    """Steps of another library, and what it is."""
    if vs not in PEERS:
        raise ConfigError(f"bench step compares with {', '.join(PEERS)}, not {vs}")
    try:
        if vs == "jax":
            from picotron.bench_jax_step import jax_step

            return jax_step(shapes)
        if vs == "tinygrad":
            from picotron.bench_tinygrad_step import tinygrad_step

            return tinygrad_step(shapes)
        from picotron.bench_torch_step import torch_step

        return torch_step(shapes, is_software(), vs == "torch.compile")
    except ImportError as error:
        raise ConfigError(f"--vs {vs} needs {vs}, which is not installed: {error}") from None


def _compared(seconds: dict[str, list[float]], losses: list[float], name: str) -> dict[str, Any]:
    """The peer's figures, and how many times as fast we are."""
    found = ratios(seconds["ours"], seconds["peer"])
    return {
        "peer": name,
        "peer_losses": losses,
        "peer_ms": 1e3 * Timing.of(seconds["peer"]).median,
        "ratio": found.median,
        "ratio_least": found.least,
        "ratio_most": found.most,
    }


def on_mesh(
    shapes: reference.Shapes,
    distributed: DistributedConfig,
    batch: dict[str, Any],
    micros: int = 0,
) -> tuple[Any, dict[str, Any]]:
    """The reference step on virtual devices, and its batch as it takes it, in micro-batches: by
    default as many as a pipeline has ranks. Raises ConfigError where the mesh does not fit the
    shapes."""
    from picotron.parallel import step_of

    told = "micro-batches" if micros else "pp"
    micros = micros or distributed.pp_size
    parts = micros * distributed.dp_size
    if shapes.B % parts:
        cure = f"B must be divisible by dp x {told} = {parts}"
        raise ConfigError(f"a batch of {shapes.B} sequences does not fit the mesh; {cure}")
    training = TrainingConfig(
        seq_length=shapes.S,
        micro_batch_size=shapes.B // parts,
        gradient_accumulation_steps=micros,
    )
    config = check(Config(distributed=distributed, model=shapes.model, training=training))
    cut = {n: x.reshape(micros, shapes.B // micros, shapes.S) for n, x in batch.items()}
    launch.join(config)
    return step_of(config, (reference.optimizer(), None, 0.0)), cut


def _mesh_statistics(compiled: Any, distributed: DistributedConfig) -> dict[str, Any]:
    sizes = {a: getattr(distributed, f"{a}_size") for a in ("dp", "pp", "cp", "tp")}
    staged = _pipeline_statistics(compiled, distributed) if distributed.pp_size > 1 else {}
    mesh = ",".join(f"{name}={size}" for name, size in sizes.items())
    return {"mesh": mesh, **staged, "collectives": compiled.traffic()}


def _pipeline_statistics(compiled: Any, distributed: DistributedConfig) -> dict[str, Any]:
    """The schedule; what the ranks waited in the latest step, as shares of what they did, counted
    as they carried it out, beside what the simulator says; and the activations that they held."""
    name, micros, counted = distributed.pp_engine, compiled.micros, compiled.counted()
    planned = simulate(schedule(name, distributed.pp_size, micros))
    return {
        "pp_schedule": name,
        "micro_batches": micros,
        "bubble": counted.bubble,
        "bubble_simulated": planned.bubble,
        "idle": [counted.idle(rank) for rank in range(distributed.pp_size)],
        "live_activations": list(counted.live),
    }


def _telling(before: tuple[int, float, float], seconds: list[float]) -> dict[str, Any]:
    """Of a process of a job, for the steps since: the messages of a step, the share of its time
    that they take, and the share of that for which the device has other work."""
    after = launch.spent_telling()
    count, telling, covered = (b - a for a, b in zip(before, after, strict=True))
    if not count:
        return {}
    return {
        "messages": count / len(seconds),
        "telling_share": telling / sum(seconds),
        "covered_share": covered / telling,
    }


def _warm_steps(steps: int) -> int:
    return 0 if steps == 1 else min(WARM_UP, max(1, steps - TIMED))


def _statistics(compiled: Any) -> dict[str, Any]:
    names = ("kernels_per_step", "distinct_kernels", "trace_s", "compile_s", "peak_bytes")
    found = compiled.stats()
    return {name: found[name] for name in names}


def deep_enough(shapes: reference.Shapes, distributed: DistributedConfig) -> reference.Shapes:
    """The shapes with a layer for each stage of a pipeline."""
    stages = stages_of(distributed.pp_engine, distributed.pp_size)
    return replace(shapes, L=max(shapes.L, stages))


def read_shapes(path: Path) -> reference.Shapes:
    """V, H, NH, NKV, L, I, S and B of a JSON file; raises ConfigError with every problem."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the shapes file {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"the shapes file {path} is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ConfigError(f"the shapes file {path} must hold an object")
    known = [field.name for field in fields(reference.Shapes)]
    unknown = [key for key in data if key not in known and key != "name"]
    problems = [f"{path}: unknown key {key!r}{suggest(key, known)}" for key in unknown]
    problems += [f"{path}: {key} is missing" for key in known if key not in data]
    wrong = [key for key in known if key in data and not _is_count(data[key])]
    problems += [f"{path}: {key} must be a positive integer, not {data[key]!r}" for key in wrong]
    raise_problems(problems)
    shapes = reference.Shapes(**{key: data[key] for key in known})
    training = TrainingConfig(seq_length=shapes.S, micro_batch_size=shapes.B)
    check(Config(model=shapes.model, training=training))
    return shapes


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def summary(result: dict[str, Any]) -> str:
    """The result for people, one line per figure."""
    return "\n".join(f"{name:>18}  {_show(value)}" for name, value in result.items())


def _show(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_show(item) for item in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
