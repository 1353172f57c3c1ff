"""Whether a long run's memory is flat: `python benchmarks/flat_memory.py [--steps 10000]`.

A small model is trained with validations and checkpoints on the way. Of ten marks, from the first
tenth of the steps on, each prints the process's resident memory, its blocks of Python objects and
the bytes of device buffers; the exit code is 1 if one of them ends more than 2 % above the second.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import sys
import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from picotron import Trainer
from picotron.config import Config
from picotron.device import bytes_in_use
from picotron.presets import PRESETS

MARKS, ALLOWED = 10, 0.02


def sizes() -> dict[str, int]:
    """Bytes, blocks and bytes that the process holds."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "resident": pages * os.sysconf("SC_PAGE_SIZE"),
        "python blocks": sys.getallocatedblocks(),
        "device": bytes_in_use(),
    }


def configuration(steps: int, out: str) -> Config:
    """A model of one small layer, so that steps are quick."""
    base = PRESETS["tiny"]
    shape = {"hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 16}
    return replace(
        base,
        model=replace(base.model, num_hidden_layers=1, **shape),
        training=replace(
            base.training, seq_length=16, micro_batch_size=2, total_train_steps=steps
        ),
        checkpoint=replace(base.checkpoint, save_dir=out, save_frequency=max(1, steps // 20)),
        logging=replace(
            base.logging, eval_frequency=max(1, steps // 20), eval_batches=1, plot=False,
            sample_tokens=0,
        ),
    )  # fmt: skip


def watched(steps: int) -> list[dict[str, int]]:
    """The sizes at each mark of a run."""
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(configuration(steps, out))
        trainer.reporter.console = Console(file=io.StringIO(), width=80)
        advance, found = trainer._advance, []

        def marking() -> None:
            advance()
            if trainer.step % max(1, steps // MARKS) == 0:
                trainer.reporter.console.file.truncate(0)
                found.append(sizes())
                row = "  ".join(f"{name} {size:>12,}" for name, size in found[-1].items())
                print(f"step {trainer.step:>6}  {row}", flush=True)

        trainer._advance = marking
        trainer.run()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--steps", type=int, default=10_000)
    found = watched(parser.parse_args().steps)
    grown = {n: found[-1][n] / found[1][n] - 1 for n in found[1]}
    print("growth " + ", ".join(f"{name} {share:+.2%}" for name, share in grown.items()))
    return int(max(grown.values()) > ALLOWED)


if __name__ == "__main__":
    raise SystemExit(main())
