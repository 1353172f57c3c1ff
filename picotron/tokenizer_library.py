"""Tokenizers of Hugging Face's `tokenizers` library: BPE trained here, or any that loads.

Invariant: the library is imported when a tokenizer of this kind is made, and its absence is one
sentence; the tokenizer.json is the whole of it, so equal files are equal tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from picotron.errors import DataError
from picotron.tokenizer import SPECIALS

# What published models call the tokens that begin and end a document.
_STARTS = ("<s>", "<|begin_of_text|>", "<|im_start|>", "<bos>", "[BOS]")
_ENDS = ("</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>", "[EOS]")


@dataclass(frozen=True)
class LibraryTokenizer:
    """`description` is the text of its tokenizer.json."""

    description: str

    @cached_property
    def _inner(self) -> Any:
        inner = library().Tokenizer.from_str(self.description)
        inner.encode_special_tokens = True  # a text that spells </s> has not ended
        return inner

    @cached_property
    def vocab_size(self) -> int:
        return self._inner.get_vocab_size(with_added_tokens=True)

    @cached_property
    def start(self) -> int | None:
        return self._first(_STARTS)

    @cached_property
    def end(self) -> int | None:
        return self._first(_ENDS)

    def _first(self, names: Sequence[str]) -> int | None:
        found = (self._inner.token_to_id(name) for name in names)
        return next((index for index in found if index is not None), None)

    def encode(self, text: str, start: bool = False, end: bool = False) -> np.ndarray:
        """Ids int32 [count]; what the file adds around a text is left out."""
        ids = self._inner.encode(text, add_special_tokens=False).ids
        before = [self.start] if start and self.start is not None else []
        after = [self.end] if end and self.end is not None else []
        return np.array([*before, *ids, *after], np.int32)

    def prompt(self, text: str) -> list[int]:
        """Ids of a text with what the file puts around one, such as its start token."""
        return self._inner.encode(text).ids

    @cached_property
    def _marking(self) -> Any:
        return library().Tokenizer.from_str(self.description)

    def marked(self, text: str) -> list[int]:
        """Ids of a text in which the spelling of a special token stands for it, with nothing put
        around it."""
        return self._marking.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, without special tokens; raises DataError for ids out of range."""
        numbers = [int(index) for index in ids]
        wrong = next((n for n in numbers if not 0 <= n < self.vocab_size), None)
        if wrong is not None:
            raise DataError(f"token id {wrong} is outside the vocabulary of {self.vocab_size}")
        return self._inner.decode(numbers, skip_special_tokens=True)

    def unknown_in(self, text: str) -> Sequence[str]:
        """The distinct characters of `text` that do not survive, sorted."""
        return sorted(set(text) - set(self.decode(self.encode(text))))

    def save(self, path: Path) -> None:
        path.write_text(self.description, encoding="utf-8")

    @staticmethod
    def load(path: Path) -> LibraryTokenizer:
        """Raises DataError if the library is absent or refuses the file."""
        module = library()
        try:
            text = path.read_text(encoding="utf-8")
            module.Tokenizer.from_str(text)
        except OSError as error:
            raise DataError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        except Exception as error:  # the library raises nothing more specific
            raise DataError(f"{path} is not a tokenizer.json: {error}") from error
        return LibraryTokenizer(text)

    @staticmethod
    def train(texts: Iterable[str], vocab_size: int) -> LibraryTokenizer:
        """Byte-level BPE (as GPT-2's) with our special tokens at 0-3 and at most `vocab_size`."""
        module = library()
        inner = module.Tokenizer(module.models.BPE())
        inner.pre_tokenizer = module.pre_tokenizers.ByteLevel(add_prefix_space=False)
        inner.decoder = module.decoders.ByteLevel()
        trainer = module.trainers.BpeTrainer(
            vocab_size=vocab_size,
            special_tokens=list(SPECIALS),
            initial_alphabet=module.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        inner.train_from_iterator(texts, trainer)
        return LibraryTokenizer(json.dumps(json.loads(inner.to_str()), indent=1))


def library() -> Any:
    """The `tokenizers` module; raises DataError if it is not installed."""
    try:
        import tokenizers
    except ImportError as error:
        raise DataError(
            "this tokenizer needs the tokenizers library: pip install tokenizers, or take "
            "--dataset.tokenizer char or byte"
        ) from error
    return tokenizers
