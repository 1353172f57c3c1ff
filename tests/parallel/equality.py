"""Every mesh against one device: `python -m tests.parallel.equality` prints the table, and with
`--record` writes it to docs/equality.md.

Invariant: a row is the largest relative error of the loss and of any gradient of a small LLaMA, as
the trainer runs it: the messages arranged, on virtual devices of the adapter in float32, and on
numpy in float64. Pipelines run on the adapter alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np

from ir import evaluate_spmd
from ir.passes.messages import arranged
from picotron.config import Config, DistributedConfig, TrainingConfig
from picotron.device import adapter_name
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


def rows() -> Iterator[tuple[tuple[str, ...], int]]:
    """(kinds of parallelism, accumulation)."""
    for parts in (1, 4):
        yield from ((kinds, parts) for kinds in [*MESHES, *(("pp", *k) for k in STAGED)])


def table() -> Iterator[tuple[str, int, float, float | None]]:
    """(mesh, accumulation, float32, float64)."""
    for kinds, parts in rows():
        found = (staged(kinds[1:], parts), None) if kinds[0] == "pp" else errors(kinds, parts)
        yield "+".join(kinds), parts, *found


PAGE = Path(__file__).resolve().parents[2] / "docs" / "equality.md"
WORDS = (
    f"A LLaMA of {CONFIG.num_hidden_layers} layers, {CONFIG.hidden_size} channels and "
    f"{CONFIG.num_attention_heads} heads over {CONFIG.num_key_value_heads} on each mesh, against "
    "one device in float64: the largest relative error of the loss and of any gradient, in float32 "
    f"on virtual devices of {{adapter}}, at most {F32:.0e}, and on numpy in float64, at most "
    f"{F64:.0e}. Axes have two members. `parts` are the micro-batches of a step; with `pp` they go "
    "through the pipeline, which runs on the adapter alone. [parallelism.md](parallelism.md) says "
    "what the meshes are. This page is written by"
)
COMMAND = "\n```console\n$ python -m tests.parallel.equality --record\n```\n"
COLUMNS = "\n| mesh | parts | float32 | float64 |\n|---|---|---|---|\n"


def page(lines: Sequence[str], adapter: str) -> str:
    """The page of these rows."""
    words = fill(WORDS.format(adapter=adapter), 100)
    return f"# Every mesh equals one device\n\n{words}\n{COMMAND}{COLUMNS}" + "".join(lines)


def main(arguments: list[str]) -> int:
    """Print the table, and write it down if asked and all is well; 1 if a row misses its bound."""
    print(f"{'mesh':18} {'parts':>5} {'float32':>9} {'float64':>9}   bounds {F32:.0e}, {F64:.0e}")
    missed, lines = 0, []
    for name, parts, single, double in table():
        wide = "" if double is None else f"{double:.1e}"
        wrong = single > F32 or (double or 0.0) > F64
        missed += wrong
        print(f"{name:18} {parts:5} {single:9.1e} {wide:>9}{'   missed' * wrong}", flush=True)
        lines.append(f"| {name} | {parts} | {single:.1e} | {wide} |\n")
    if "--record" in arguments and not missed:
        PAGE.write_text(page(lines, adapter_name()))
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
