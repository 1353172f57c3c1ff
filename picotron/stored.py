"""A checkpoint whose arrays stay on the disk until somebody asks for a block of one.

Invariant: a block costs no more than its own bytes, so a process of a job reads what its device
holds of a state and nothing else. What is read is what was saved: files are compared with their
digests first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, model
from picotron.checkpoint import STATE, TRAINER, Checkpoint, TrainingState
from picotron.pretrained import open_folder
from picotron.tensors import Slices


@dataclass(frozen=True)
class Stored:
    """An array on the disk; `stored[slices]` is a block of it, on the host."""

    shape: tuple[int, ...]
    read: Callable[[Slices], np.ndarray]

    def __getitem__(self, at: Slices) -> np.ndarray:
        return self.read(at)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(()), dtype)


def open_run(path: Path) -> tuple[Checkpoint, TrainingState]:
    """`checkpoint.load_run` with each array as a `Stored`; raises CheckpointError."""
    folder = open_folder(checkpoint.resumable(path))
    step, config = checkpoint.load_config(folder.path)
    data = checkpoint.read_json(folder.path / TRAINER)
    shapes = model.parameter_shapes(folder.model)
    weights = {n: Stored(s, partial(folder.block, n)) for n, s in shapes.items()}
    arrays = checkpoint.arrays_of(folder.path, STATE)
    state = {n: Stored(arrays.shape(n), partial(arrays.read, n)) for n in arrays}
    found = Checkpoint(folder.path, folder.model, model.unflatten(weights), folder.tokenizer())
    batches = data.get("batches", step)
    return found, TrainingState(step, config, state, batches, data["validation_loss"])
