"""What `import picotron` offers beside the GPU operations: models to ask, and runs to start.

Invariant: each does what the verb of its name does, with the same defaults and the same errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from picotron import train
from picotron.config import Config, ModelConfig
from picotron.device import use_adapter
from picotron.generator import Generator
from picotron.hf_config import Dtype
from picotron.model import Params
from picotron.prepare import prepare
from picotron.pretrained import open_folder
from picotron.report import Reporter, TrainingConsole
from picotron.scoring import Scorer
from picotron.tokenizer import Tokenizer
from picotron.validate import check


@dataclass(frozen=True)
class LanguageModel:
    """A LLaMA whose weights are on the device, with its tokenizer."""

    config: ModelConfig
    params: Params
    tokenizer: Tokenizer
    ends: list[int] | None = None
    """The tokens that end a text, by default the tokenizer's."""

    def logits(self, tokens: Any) -> np.ndarray:
        """float32 [batch, seq, vocab]: what is predicted after each of integers [batch, seq]."""
        tokens = np.asarray(tokens)
        pieces = list(Scorer(self.config, self.params).logits(tokens))
        return np.concatenate(pieces).reshape(*tokens.shape, -1)

    def generate(self, prompt: str, max_new_tokens: int = 400, **options: Any) -> str:
        """The prompt and what follows it; options are those of `Generator.stream`, such as
        temperature, top_k and seed."""
        generator = Generator(self.config, self.params, self.tokenizer, ends=self.ends)
        return prompt + "".join(generator.stream(prompt, max_new_tokens, **options))


def load_model(folder: str | Path, dtype: Dtype = "float32") -> LanguageModel:
    """The model of a Hugging Face folder, a checkpoint or a run; raises CheckpointError.

    `dtype` is how weights are stored on the device; computing is in float32.
    """
    found = open_folder(Path(folder))
    return LanguageModel(found.model, found.read(dtype), found.tokenizer(), found.ends())


def generate(
    model: LanguageModel | str | Path, prompt: str, max_new_tokens: int = 400, **options: Any
) -> str:
    """The prompt and what a model, or that of a folder, writes after it."""
    found = model if isinstance(model, LanguageModel) else load_model(model)
    return found.generate(prompt, max_new_tokens, **options)


class Trainer(train.Trainer):
    """A run of a configuration: `Trainer(config).run()` trains and returns the exit code.

    Afterwards `folder` is the run's folder, `state` its weights and moments, and `validate()`,
    `sample()`, `save()` and `plot()` do what their names say. Raises ConfigError, DataError or
    CheckpointError if the run cannot start.
    """

    def __init__(self, config: Config, adapter: str | None = None) -> None:
        use_adapter(adapter)
        prepared = prepare(check(config))
        console = TrainingConsole(highlight=False)
        super().__init__(prepared, Reporter.of(prepared, console))

    def run(self) -> int:
        with self.reporter:
            return super().run()
