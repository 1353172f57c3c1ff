"""`picotron generate`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

from picotron.commands.options import OnAdapter, newest_run
from picotron.device import adapter_name, use_adapter


@dataclass(frozen=True)
class Generate(OnAdapter):
    """Write text with a trained model."""

    prompt: str = "It is a truth"
    """What the text starts with."""
    ckpt: Path | None = None
    """A checkpoint, run or Hugging Face folder; by default the newest run under outputs/."""
    max_new_tokens: int = 400
    """How many characters to add."""
    temperature: float = 0.8
    """0 always takes the likeliest character."""
    top_k: int = 0
    """Choose among this many likeliest characters; 0 for all."""
    seed: int = 0
    """Another seed, another text."""

    def run(self) -> int:
        """Print the prompt and what the model adds to it, character by character."""
        from picotron import checkpoint
        from picotron.generate import Generator, check_options
        from picotron.prepare import on_device

        check_options(self.max_new_tokens, self.temperature, self.top_k, self.seed)
        loaded = checkpoint.load(self.ckpt or newest_run())
        unknown = loaded.tokenizer.unknown_in(self.prompt)
        if unknown:
            seen = f"the model has never seen {''.join(unknown)!r} in the prompt"
            warnings.warn(seen, stacklevel=1)
        use_adapter(self.adapter)
        generator = Generator(loaded.model, on_device(loaded.params), loaded.tokenizer)
        options = self.temperature, self.top_k, self.seed
        adapter_name()  # opened here, so that a warning about it does not split the text
        print(self.prompt, end="", flush=True)
        for piece in generator.stream(self.prompt, self.max_new_tokens, *options):
            print(piece, end="", flush=True)
        print()
        return 0
