"""Every mesh against one device: `python -m tests.parallel.equality` prints the table.

Invariant: a row is the largest relative error of the loss and of any gradient of a small LLaMA, as
the trainer runs it: the messages arranged, on virtual devices of the adapter in float32, and on
numpy in float64. Pipelines run on the adapter alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np

from ir import evaluate_spmd
from ir.passes.messages import arranged
from picotron.config import Config, DistributedConfig, TrainingConfig
from picotron.parallel import step_of
from tracer import tree

from .test_sharding import (
    CONFIG,
    KINDS,
    LENGTH,
    MESHES,
    ROWS,
    alone,
    arguments,
    program,
    sizes_of,
    traced,
    worst,
)
from .test_sharding_device import on_devices

F32, F64 = 1e-5, 1e-12
STAGED = [(), *((k,) for k in KINDS), ("dp", "tp", "cp")]  # beside pp


def errors(kinds: tuple[str, ...], parts: int) -> tuple[float, float]:
    """(in float32 on virtual devices, in float64 on numpy)."""
    done, args = arranged(program(kinds, parts)), traced(kinds, parts)[1]
    wanted = alone(parts)
    exact = worst(evaluate_spmd(done, *args, wide=True), wanted)
    return worst(on_devices(done, args), wanted), exact


def staged(kinds: tuple[str, ...], parts: int) -> float:
    """In float32, over two stages of virtual devices."""
    sizes = {f"{axis}_size": n for axis, n in sizes_of(kinds).items()}
    cuts = {"sp": "sp" in kinds, "fsdp": "fsdp" in kinds}
    training = TrainingConfig(
        seq_length=LENGTH,
        micro_batch_size=ROWS // sizes["dp_size"],
        gradient_accumulation_steps=parts,
    )
    mesh = DistributedConfig(pp_size=2, **sizes, **cuts)
    step = step_of(Config(model=CONFIG, training=training, distributed=mesh))
    params, batch = arguments(parts)
    micros = [{name: rows[m] for name, rows in batch.items()} for m in range(parts)]
    loss, sums = step.gradients(params, micros, step.actions)
    found = [np.asarray(x) / parts for x in (loss, *tree.leaves(sums))]
    return worst(found, alone(parts))


def table() -> Iterator[tuple[str, int, float, float | None]]:
    """(mesh, accumulation, float32, float64)."""
    for parts in (1, 4):
        for kinds in MESHES:
            yield "+".join(kinds), parts, *errors(kinds, parts)
        for kinds in STAGED:
            yield "+".join(("pp", *kinds)), parts, staged(kinds, parts), None


def main() -> int:
    """Print the table; 1 if a row misses its bound."""
    print(f"{'mesh':18} {'parts':>5} {'float32':>9} {'float64':>9}   bounds {F32:.0e}, {F64:.0e}")
    missed = 0
    for name, parts, single, double in table():
        wide = "" if double is None else f"{double:9.1e}"
        wrong = single > F32 or (double or 0.0) > F64
        missed += wrong
        print(f"{name:18} {parts:5} {single:9.1e} {wide:>9}{'   missed' * wrong}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
