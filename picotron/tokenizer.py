"""Character-level tokens.

Invariant: `decode(encode(text)) == text` for every text made of the tokenizer's characters; ids
and characters are one to one, `vocab_size` counts exactly them, and no character of a text can
turn into a special token. Ids 0-3 are special and 4-81 are fixed, whatever the training text.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from picotron.errors import DataError

SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
PAD, UNKNOWN, START, END = range(4)
BASE = string.ascii_letters + string.digits + " .,!?;:'\"-()[]{}"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class CharTokenizer:
    """`characters[i]` has id `i + 4`."""

    characters: str = BASE

    @staticmethod
    def train(text: str) -> CharTokenizer:
        """The base characters, then those of `text` that are not among them, sorted."""
        return CharTokenizer(BASE + "".join(sorted(set(text) - set(BASE))))

    @property
    def vocab_size(self) -> int:
        """Special tokens and characters: every id below it decodes."""
        return len(SPECIALS) + len(self.characters)

    def encode(self, text: str, start: bool = False, end: bool = False) -> np.ndarray:
        """Ids int32 [len(text) (+1) (+1)]; characters not in the table become UNKNOWN."""
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        table = np.full(int(points.max(initial=0)) + 1, UNKNOWN, np.int32)
        for index, character in enumerate(self.characters):
            if ord(character) < table.size:
                table[ord(character)] = index + len(SPECIALS)
        ids = table[points]
        return np.concatenate([[START] * start, ids, [END] * end]).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; UNKNOWN shows as U+FFFD, the other specials vanish.

        Raises DataError for an id outside the vocabulary.
        """
        return "".join(self._show(int(index)) for index in ids)

    def _show(self, index: int) -> str:
        if not 0 <= index < self.vocab_size:
            raise DataError(f"token id {index} is outside the vocabulary of {self.vocab_size}")
        if index < len(SPECIALS):
            return REPLACEMENT if index == UNKNOWN else ""
        return self.characters[index - len(SPECIALS)]

    def unknown_in(self, text: str) -> Sequence[str]:
        """The distinct characters of `text` that have no id, sorted."""
        return sorted(set(text) - set(self.characters))

    def save(self, path: Path) -> None:
        """Writes a tokenizer.json that Hugging Face's `tokenizers` reads too."""
        path.write_text(json.dumps(self._description(), indent=1), encoding="utf-8")

    def _description(self) -> dict:
        vocabulary = {token: index for index, token in enumerate((*SPECIALS, *self.characters))}
        names = ("single_word", "lstrip", "rstrip", "normalized")
        flags = dict.fromkeys(names, False) | {"special": True}
        added = [{"id": index, "content": token, **flags} for index, token in enumerate(SPECIALS)]
        one_by_one = {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        }
        return {
            "version": "1.0",
            "truncation": None,
            "padding": None,
            "added_tokens": added,
            "normalizer": None,
            "pre_tokenizer": one_by_one,
            "post_processor": None,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": SPECIALS[UNKNOWN]},
        }

    @staticmethod
    def load(path: Path) -> CharTokenizer:
        """Raises DataError unless the file is a tokenizer.json that `save` could have written."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            vocabulary = data["model"]["vocab"]
            tokens = sorted(vocabulary, key=vocabulary.get)
            ids = sorted(vocabulary.values())
        except OSError as error:
            raise DataError(f"cannot read the tokenizer {path}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DataError(f"{path} is not a character-level tokenizer.json") from error
        characters = tokens[len(SPECIALS) :]
        proper = tuple(tokens[: len(SPECIALS)]) == SPECIALS and ids == list(range(len(ids)))
        if not proper or any(len(character) != 1 for character in characters):
            raise DataError(f"{path} is not a character-level tokenizer.json")
        return CharTokenizer("".join(characters))
