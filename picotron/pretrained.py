"""A model in a folder: Hugging Face's, or a checkpoint of a run, which is the same.

Invariant: opening compares every name, shape and dtype with config.json and reads no weight;
reading goes tensor by tensor, and a block of one costs no more than its own bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, hf, hf_config, json_file
from picotron.config import ModelConfig
from picotron.errors import CheckpointError
from picotron.hf_config import Dtype
from picotron.model import Params
from picotron.tensors import Arrays, Slices
from picotron.tokenizer import Tokenizer
from tracer import numpy as jnp

GENERATION = "generation_config.json"
PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth")


@dataclass(frozen=True)
class Folder:
    """What a folder says about its model; the weights stay on disk until they are read."""

    path: Path
    model: ModelConfig
    arrays: Arrays
    special: dict[str, Any]
    """Ids of special tokens, by transformers' names."""

    def read(
        self, dtype: Dtype = "float32", place: Callable[[np.ndarray], Any] = jnp.asarray
    ) -> Params:
        """All weights as `dtype`, each put on the device as it is read. Computing is in float32:
        the half-width types are how weights are stored."""
        return hf.read(self.arrays, self.model, self.path, jnp.dtype(dtype), place)

    def block(self, name: str, at: Slices | None = None, dtype: Dtype = "float32") -> np.ndarray:
        """The block `at` of one weight; [in, out], as `model.parameter_shapes` has it."""
        return hf.read_block(self.arrays, name, at, jnp.dtype(dtype))

    def tokenizer(self) -> Tokenizer:
        """What its ids mean; raises DataError or CheckpointError."""
        return checkpoint.tokenizer_of(self.path, self.model)

    def ends(self) -> list[int] | None:
        """The tokens that end what the model writes, of generation_config.json or else of
        config.json, as transformers has it; None if neither says."""
        try:
            said = json_file.read_object(self.path / GENERATION).get("eos_token_id")
        except (OSError, ValueError):
            said = None
        said = self.special.get("eos_token_id") if said is None else said
        ids = said if isinstance(said, list) else [said]
        return [i for i in ids if isinstance(i, int) and not isinstance(i, bool)] or None


def model_of(path: Path) -> ModelConfig:
    """The model of a folder, from its config.json alone; raises CheckpointError."""
    path = checkpoint.resolve(path) / checkpoint.CONFIG
    return hf_config.from_config(checkpoint.read_json(path), path)


def open_folder(path: Path) -> Folder:
    """The model of a folder, run folder or checkpoint; raises CheckpointError with all that is
    wrong with it. Weights in pickles are not read: they can run any code."""
    pickles = [name for name in PICKLES if (path / name).exists()]
    if pickles and not any(path.glob("model*.safetensors*")):
        raise CheckpointError(
            f"{path} has its weights in {pickles[0]}, a pickle that could run any code; "
            "save them as safetensors first (save_pretrained of a current transformers does)"
        )
    path = checkpoint.resolve(path)
    checkpoint.verify(path)
    record = checkpoint.read_json(path / checkpoint.CONFIG)
    model = hf_config.from_config(record, path / checkpoint.CONFIG)
    arrays = checkpoint.arrays_of(path, checkpoint.MODEL)
    hf.check_fits(arrays, model, path)
    special = {n: record[n] for n in hf_config.SPECIAL if record.get(n) is not None}
    return Folder(path, model, arrays, special)
