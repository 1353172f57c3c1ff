"""`picotron tokenize`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from picotron.config import DatasetConfig
from picotron.errors import DataError


@dataclass(frozen=True)
class Tokenize:
    """Turn texts into a file of token ids and its tokenizer.json, for `picotron train --data`."""

    data: tyro.conf.Positional[str]
    """A text, a glob of texts, a .jsonl file, or stdlib for Python's own sources."""
    out: Path = Path("tokens")
    """The folder for tokens.bin (uint16 as nanoGPT's, uint32 for large vocabularies)."""
    tokenizer: Literal["char", "byte", "bpe"] = "bpe"
    """What is trained on the texts, unless there is a --tokenizer-path."""
    vocab_size: int = 1024
    """Of bpe."""
    tokenizer_path: Path | None = None
    """A tokenizer.json to use instead."""
    text_column: str = "text"
    """The field of .jsonl lines that holds the text."""
    num_samples: int | None = None
    """Documents that are read at most."""

    def run(self) -> int:
        """Write the folder and say how many tokens it holds."""
        from picotron import dataset, tokens, validate
        from picotron.documents import source_of

        config = DatasetConfig(
            path=self.data,
            tokenizer=self.tokenizer,
            vocab_size=self.vocab_size,
            tokenizer_path=str(self.tokenizer_path) if self.tokenizer_path else None,
            text_column=self.text_column,
            num_samples=self.num_samples,
        )
        validate.raise_problems(validate.dataset_problems(config))
        if self.data.endswith(tokens.SUFFIXES):
            raise DataError(f"{self.data} holds token ids already")
        tokenizer = dataset.tokenizer_of(config)
        path = self.out / "tokens.bin"
        source = source_of(config, self.data)
        kind = tokens.token_type(tokenizer.vocab_size)
        count, documents = tokens.save(path, source, tokenizer, kind)
        tokenizer.save(self.out / dataset.TOKENIZER)
        print(
            f"{count:,} tokens of {documents:,} document{'s' * (documents != 1)}, "
            f"{tokenizer.vocab_size:,} in the vocabulary -> {path} ({kind}) and {dataset.TOKENIZER}"
        )
        return 0
