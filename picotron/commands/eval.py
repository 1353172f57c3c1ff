"""`picotron eval`."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from picotron.commands.options import ModelFolder, WithWeights, newest_run
from picotron.device import use_adapter
from picotron.errors import ConfigError, DataError
from picotron.heartbeat import on_stderr, telling

if TYPE_CHECKING:
    from picotron.pretrained import Folder

LONGEST = 2048


@dataclass(frozen=True)
class Eval(WithWeights):
    """Loss and perplexity of a model on a text or on token ids."""

    model: ModelFolder = None
    """A Hugging Face folder, checkpoint or run; by default the newest run under outputs/."""
    data: str | None = None
    """Text files or a glob of them, .jsonl, token ids (.npy, .bin), or 'stdlib' for Python's own
    sources; by default the novel that comes with the package."""
    seq_length: int | None = None
    """Tokens that are read at once; by default the model's context, at most 2048."""
    stride: int | None = None
    """Tokens between the starts of two windows; by default seq_length, so that none overlap. With
    less, each token is predicted from more of what precedes it, at more expense."""
    max_tokens: int = 0
    """Judge only this many tokens, from the start; 0 for all."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Predict every token but the first once, and print how well that went."""
        from picotron.model_memory import check_scoring
        from picotron.pretrained import open_folder
        from picotron.scoring import Scorer

        folder = open_folder(self.model or newest_run())
        length = self.seq_length or min(folder.model.max_position_embeddings, LONGEST)
        stride = self.stride or length
        self._check(length, stride)
        tokens, size = _tokens(self.data, folder)
        tokens = tokens[: self.max_tokens or None]
        if len(tokens) < 2:
            raise DataError(f"{self.data} has {len(tokens)} tokens; there is nothing to predict")
        _warn_of_length(min(length, len(tokens) - 1), folder)
        use_adapter(self.adapter)
        scorer = Scorer(folder.model, {})
        check_scoring(scorer, min(length, len(tokens) - 1), self.dtype, "--seq-length")
        scorer.params = folder.read(self.dtype)
        with telling(on_stderr, f"scoring {len(tokens):,} tokens"):
            score = scorer.score(tokens, length, stride)
        result = {
            "loss": score.loss,
            "perplexity": score.perplexity,
            "tokens": score.count,
            "seq_length": length,
            "stride": stride,
            "model": str(folder.path),
        }
        if size and not self.max_tokens:
            result["bits_per_byte"] = score.total / math.log(2) / size
        print(json.dumps(result) if self.json else _readable(result))
        return 0

    def _check(self, length: int, stride: int) -> None:
        for name, value in (("seq-length", length), ("stride", stride)):
            if value < 1:
                raise ConfigError(f"--{name} must be greater than 0, not {value}")
        if stride > length:
            raise ConfigError(f"--stride {stride} exceeds --seq-length {length}")
        if self.max_tokens < 0:
            raise ConfigError(f"--max-tokens must be 0 or more, not {self.max_tokens}")


def _warn_of_length(length: int, folder: Folder) -> None:
    context = folder.model.max_position_embeddings
    if length > context:
        text = f"--seq-length {length} is beyond the model's context of {context} tokens"
        warnings.warn(text, stacklevel=1)


def _tokens(data: str | None, folder: Folder) -> tuple[np.ndarray, int]:
    """Integers [count], and the bytes of the text; 0 if they are not known."""
    from picotron import dataset
    from picotron import tokens as files
    from picotron.config import DatasetConfig

    if data is not None and data.endswith(files.SUFFIXES):
        return files.read_tokens(Path(data), folder.model.vocab_size), 0
    config = DatasetConfig(path=data, validation_fraction=0.0)
    return dataset.load(config, folder.tokenizer()).train, dataset.text_size(config)


def _readable(result: dict[str, object]) -> str:
    return "\n".join(
        f"{name:>14}  {f'{value:.6g}' if isinstance(value, float) else value}"
        for name, value in result.items()
    )
