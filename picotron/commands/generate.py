"""`picotron generate`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from picotron.commands.options import WithWeights, newest_run
from picotron.device import adapter_name, use_adapter
from picotron.heartbeat import first_told

if TYPE_CHECKING:
    from picotron.generator import Generator


@dataclass(frozen=True)
class Writes(WithWeights):
    """A command that writes with a trained model."""

    model: Path | None = None
    """A Hugging Face folder, checkpoint or run; by default the newest run under outputs/."""
    ckpt: Path | None = None
    """Another name of --model."""
    max_new_tokens: int = 400
    """How many tokens to add at most."""
    temperature: float = 0.8
    """0 always takes the likeliest token."""
    top_k: int = 0
    """Choose among this many likeliest tokens; 0 for all."""
    top_p: float = 1.0
    """Choose among the fewest likeliest tokens that have this probability together."""
    min_p: float = 0.0
    """Leave out tokens with less than this share of the likeliest one's probability."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that were there before are less likely."""
    stop: tuple[str, ...] = ()
    """Stop before any of these strings."""
    seed: int = 0
    """Another seed, another text."""

    def options(self) -> dict[str, float | int]:
        """The options of `Generator.stream`, checked; raises ConfigError."""
        from picotron.generator import check_options
        from picotron.sampling import Sampling

        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        found = {name: getattr(self, name) for name in names}
        check_options(self.max_new_tokens, self.seed)
        Sampling(**found).check()
        return found

    def folder(self) -> Path:
        """Where the model is."""
        return self.model or self.ckpt or newest_run()

    def generator(self, prompt: str = "") -> Generator:
        """The model on the device, if it fits with what is written after this prompt."""
        from picotron.generator import Generator
        from picotron.model_memory import check_generation
        from picotron.pretrained import open_folder

        folder = open_folder(self.folder())
        tokenizer = folder.tokenizer()
        use_adapter(self.adapter)
        adapter_name()  # opened here, so that a warning about it does not split the text
        generator = Generator(folder.model, {}, tokenizer, ends=folder.ends())
        lengths = [max(1, len(tokenizer.encode(prompt)))]
        check_generation(generator, lengths, self.max_new_tokens, self.dtype)
        generator.params = folder.read(self.dtype)
        return generator


@dataclass(frozen=True)
class Generate(Writes):
    """Write text with a trained model."""

    prompt: str = "It is a truth"
    """What the text starts with."""

    def run(self) -> int:
        """Print the prompt and what the model adds to it, as it comes."""
        options = self.options()
        generator = self.generator(self.prompt)
        warn_of_unknown(generator, self.prompt)
        pieces = generator.stream(
            self.prompt, self.max_new_tokens, seed=self.seed, stop=self.stop, **options
        )
        shown = self.prompt
        for piece in first_told(pieces, "compiling kernels and reading the prompt"):
            print(shown + piece, end="", flush=True)
            shown = ""
        print(shown)
        return 0


def warn_of_unknown(generator: Generator, text: str) -> None:
    """Warn of characters that the model cannot read."""
    unknown = generator.tokenizer.unknown_in(text)
    if unknown:
        seen = f"the model has never seen {''.join(unknown)!r} in the prompt"
        warnings.warn(seen, stacklevel=1)
