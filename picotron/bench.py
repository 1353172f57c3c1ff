"""`picotron bench step`: the reference train step, timed.

Invariant: each timed step ends when its loss is on the host, and steps that compile or warm up are
not among the timed ones unless there are no others.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from picotron import launch, reference
from picotron.config import Config, DistributedConfig, TrainingConfig
from picotron.config_file import suggest
from picotron.device import adapter_name, is_software
from picotron.errors import ConfigError
from picotron.measure import ratios
from picotron.prepare import on_device
from picotron.validate import check, raise_problems
from tracer import jit

WARM_UP, TIMED = 6, 5


def run_step(
    shapes: reference.Shapes,
    steps: int,
    distributed: DistributedConfig | None = None,
    vs: str | None = None,
) -> dict[str, Any]:
    """Losses, speed and compile statistics of `steps` train steps, in turns with a peer's; on a
    mesh of virtual devices also the collectives of a step, [count, bytes] of each device by axes
    and kind, of a pipeline those of one device of each stage together. Raises ConfigError for a
    peer that has no such step.
    """
    step, (state, batch) = reference.train_step(shapes)
    if distributed is None:
        compiled = jit(step, donate_argnums=(0,))
    else:
        compiled, batch = on_mesh(shapes, distributed, batch)
    state, losses, seconds, norm = on_device(state), [], [], None
    batch = batch if distributed else on_device(batch)
    peer, theirs = _peer(shapes, vs), []
    for _ in range(steps):
        start = time.perf_counter()
        state, metrics = compiled(state, batch)
        losses.append(float(metrics["loss"]))
        seconds.append(time.perf_counter() - start)
        norm = float(metrics["grad_norm"]) if norm is None else norm
        if peer:
            start = time.perf_counter()
            loss = peer[0]()
            theirs.append((time.perf_counter() - start, loss))
    timed = slice(_warm_steps(steps), None)
    median = statistics.median(seconds[timed])
    return {
        "losses": losses,
        "grad_norm_step0": norm,
        "tok_s": shapes.B * shapes.S / median,
        "ms": median * 1e3,
        **_statistics(compiled),
        "adapter": adapter_name(),
        **({} if distributed is None else _mesh_statistics(compiled, distributed)),
        **(_compared(seconds[timed], theirs[timed], theirs, peer[1]) if peer else {}),
    }


def _peer(shapes: reference.Shapes, vs: str | None) -> tuple[Callable[[], float], str] | None:
    """A step of another library, and what it is."""
    if vs is None:
        return None
    if vs != "torch":
        raise ConfigError(f"bench step compares with torch, not {vs}")
    try:
        from picotron.bench_torch_step import torch_step

        return torch_step(shapes, is_software())
    except ImportError as error:
        raise ConfigError(f"--vs torch needs torch, which is not installed: {error}") from None


def _compared(ours: list[float], timed: list, theirs: list, name: str) -> dict[str, Any]:
    """The peer's figures, and how many times as fast we are."""
    found = ratios(ours, [s for s, _ in timed])
    return {
        "peer": name,
        "peer_losses": [loss for _, loss in theirs],
        "peer_ms": 1e3 * statistics.median(s for s, _ in timed),
        "ratio": found.median,
        "ratio_least": found.least,
        "ratio_most": found.most,
    }


def on_mesh(
    shapes: reference.Shapes, distributed: DistributedConfig, batch: dict[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """The reference step on virtual devices, and its batch as it takes it: a pipeline gets as many
    micro-batches as it has stages. Raises ConfigError where the mesh does not fit the shapes."""
    from picotron.parallel import step_of

    micros = distributed.pp_size
    parts = micros * distributed.dp_size
    if shapes.B % parts:
        cure = f"B must be divisible by dp x pp = {parts}"
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
    staged = {"pp_schedule": distributed.pp_engine} if distributed.pp_size > 1 else {}
    mesh = ",".join(f"{name}={size}" for name, size in sizes.items())
    return {"mesh": mesh, **staged, "collectives": compiled.traffic()}


def _warm_steps(steps: int) -> int:
    return 0 if steps == 1 else min(WARM_UP, max(1, steps - TIMED))


def _statistics(compiled: Any) -> dict[str, Any]:
    names = ("kernels_per_step", "distinct_kernels", "trace_s", "compile_s", "peak_bytes")
    found = compiled.stats()
    return {name: found[name] for name in names}


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
