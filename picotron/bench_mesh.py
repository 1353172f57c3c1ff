"""`picotron bench mesh`: what many devices cost beside the work that they share.

Invariant: the passes are timed by the processor, the least of several runs, over a train step of 32
layers on 16 devices with every kind of cut. A mesh of virtual devices takes turns with one device
that does the same work on the same adapter, step by step, and each step ends with its loss on the
host.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from picotron import reference
from picotron.bench import on_mesh
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.device import adapter_name
from picotron.measure import Timing, ratios
from picotron.parallel import step_of
from picotron.prepare import on_device
from tracer import jit

PASSES, OVERHEAD = 2.0, 1.3  # goals: seconds, and times as long
LAYERS, MICROS, RUNS = 32, 4, 3
SIXTEEN = DistributedConfig(dp_size=4, cp_size=2, tp_size=2, sp=True, fsdp=True)
FOURS = {
    "dp=4": DistributedConfig(dp_size=4),
    "dp=2,tp=2": DistributedConfig(dp_size=2, tp_size=2),
    "tp=4": DistributedConfig(tp_size=4),
}
SHAPES = reference.Shapes(V=512, H=256, NH=4, NKV=4, L=2, I=704, S=128, B=8)


def run_mesh(rounds: int, shapes: reference.Shapes = SHAPES) -> dict[str, Any]:
    """{"passes": ..., "overhead": {mesh: ...}, "adapter": ...}; times in seconds and ms."""
    overhead = {name: _overhead(shapes, mesh, rounds) for name, mesh in FOURS.items()}
    return {"passes": passes(), "overhead": overhead, "adapter": adapter_name()}


def passes(layers: int = LAYERS) -> dict[str, Any]:
    """Processor seconds from the traced train step to the program of one of 16 devices."""
    model = ModelConfig(
        vocab_size=512, hidden_size=128, intermediate_size=256, num_hidden_layers=layers,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    training = TrainingConfig(seq_length=64, micro_batch_size=1, gradient_accumulation_steps=MICROS)
    step = step_of(Config(model=model, training=training, distributed=SIXTEEN))
    runs = [step.one_device() for _ in range(RUNS)]
    found = {"layers": layers, "devices": SIXTEEN.world_size, "micro_batches": MICROS}
    return {**found, "seconds": min(one.passes_s for one in runs), "goal": PASSES}


def _overhead(shapes: reference.Shapes, mesh: DistributedConfig, rounds: int) -> dict[str, Any]:
    """Step times of one device and of a mesh, in turns."""
    step, (state, batch) = reference.train_step(shapes)
    meshed, cut = on_mesh(shapes, mesh, batch)
    alone = jit(step, donate_argnums=(0,))
    sides = [_Side(alone, on_device(state), on_device(batch)), _Side(meshed, on_device(state), cut)]
    times = [[side() for side in sides] for _ in range(2 + rounds)][2:]
    one, many = (list(column) for column in zip(*times, strict=True))
    times_as_long = ratios(one, many)
    return {
        "one_ms": 1e3 * Timing.of(one).median,
        "mesh_ms": 1e3 * Timing.of(many).median,
        "times": times_as_long.median,
        "times_least": times_as_long.least,
        "times_most": times_as_long.most,
        "goal": OVERHEAD,
    }


class _Side:
    """Train steps one after another; a call is one step and gives its seconds."""

    def __init__(self, step: Callable, state: Any, batch: Any) -> None:
        self.step, self.state, self.batch = step, state, batch

    def __call__(self) -> float:
        start = time.perf_counter()
        self.state, metrics = self.step(self.state, self.batch)
        float(metrics["loss"])
        return time.perf_counter() - start


def summary(result: dict[str, Any]) -> str:
    """A line for each figure; those that miss their goal say so."""
    p = result["passes"]
    sizes = f"{p['layers']} layers, {p['devices']} devices, {p['micro_batches']} micro-batches"
    spent = f"{p['seconds']:.2f} s of the processor{_goal(p['seconds'], p['goal'])}"
    lines = [f"adapter: {result['adapter']}", f"passes, {sizes}: {spent}"]
    for name, one in result["overhead"].items():
        spread = f"{one['times_least']:.2f} to {one['times_most']:.2f}"
        lines.append(
            f"{name}: {one['mesh_ms']:.1f} ms, one device {one['one_ms']:.1f} ms: "
            f"{one['times']:.2f} times as long ({spread}){_goal(one['times'], one['goal'])}"
        )
    return "\n".join(lines)


def _goal(value: float, goal: float) -> str:
    return f" (goal: {goal}{'' if value <= goal else ', missed'})"
