"""Texts to token ids and back: characters, bytes, or what the `tokenizers` library reads.

Invariant: `decode(encode(text)) == text` for every text made of what a tokenizer knows; every id
below `vocab_size` decodes, and no piece of a text can turn into a special token. Each kind writes a
tokenizer.json that Hugging Face's library reads, and `load` tells by its contents which kind it is.
In the kinds that are made here ids 0-3 are special; of characters 4-81 are fixed, of bytes 4-259.
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from picotron.errors import DataError

SPECIALS = ("<pad>", "<unk>", "<s>", "</s>")
PAD, UNKNOWN, START, END = range(4)
BASE = string.ascii_letters + string.digits + " .,!?;:'\"-()[]{}"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class Tokenizer(Protocol):
    """What the trainer and the generator need; equal tokenizers give equal ids."""

    start: int | None
    end: int | None
    """Ids that begin and end a document, if the tokenizer has them."""

    @property
    def vocab_size(self) -> int: ...
    def encode(self, text: str, start: bool = False, end: bool = False) -> np.ndarray: ...
    def decode(self, ids: Iterable[int]) -> str: ...
    def unknown_in(self, text: str) -> Sequence[str]: ...
    def save(self, path: Path) -> None: ...


@dataclass(frozen=True)
class CharTokenizer:
    """`characters[i]` has id `i + 4`."""

    characters: str = BASE
    start = START
    end = END

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
        one_by_one = {
            "type": "Split",
            "pattern": {"Regex": r"[\s\S]"},
            "behavior": "Isolated",
            "invert": False,
        }
        model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": SPECIALS[UNKNOWN]}
        return describe(model, one_by_one, {"type": "Fuse"})

    @staticmethod
    def load(path: Path) -> CharTokenizer:
        """Raises DataError unless the file is a tokenizer.json that `save` could have written."""
        try:
            vocabulary = read(path)["model"]["vocab"]
            tokens = sorted(vocabulary, key=vocabulary.get)
            ids = sorted(vocabulary.values())
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(f"{path} is not a character-level tokenizer.json") from error
        characters = tokens[len(SPECIALS) :]
        proper = tuple(tokens[: len(SPECIALS)]) == SPECIALS and ids == list(range(len(ids)))
        if not proper or any(len(character) != 1 for character in characters):
            raise DataError(f"{path} is not a character-level tokenizer.json")
        return CharTokenizer("".join(characters))


@dataclass(frozen=True)
class ByteTokenizer:
    """Byte b of UTF-8 has id b + 4: no text is unknown, and nothing has to be trained."""

    start = START
    end = END

    @property
    def vocab_size(self) -> int:
        return len(SPECIALS) + 256

    def encode(self, text: str, start: bool = False, end: bool = False) -> np.ndarray:
        """Ids int32 [bytes (+1) (+1)]."""
        data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
        ids = data.astype(np.int32) + len(SPECIALS)
        return np.concatenate([[START] * start, ids, [END] * end]).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids; bytes that are no UTF-8 show as U+FFFD, specials vanish."""
        numbers = [int(index) for index in ids]
        wrong = next((n for n in numbers if not 0 <= n < self.vocab_size), None)
        if wrong is not None:
            raise DataError(f"token id {wrong} is outside the vocabulary of {self.vocab_size}")
        data = bytes(n - len(SPECIALS) for n in numbers if n >= len(SPECIALS))
        return data.decode("utf-8", "replace")

    def unknown_in(self, text: str) -> Sequence[str]:
        return []

    def save(self, path: Path) -> None:
        """Writes a tokenizer.json that Hugging Face's `tokenizers` reads too."""
        names = enumerate((*SPECIALS, *byte_names()))
        vocabulary = {name: index for index, name in names}
        model = {"type": "BPE", "vocab": vocabulary, "merges": [], "ignore_merges": False}
        data = describe(model, BYTES, BYTES)
        path.write_text(json.dumps(data, indent=1), encoding="utf-8")


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
"""How the library writes bytes as printable characters."""


def byte_names() -> Iterator[str]:
    """The printable character that stands for each byte, as in GPT-2's vocabulary."""
    plain = {*range(33, 127), *range(161, 173), *range(174, 256)}
    shifted = 256
    for byte in range(256):
        yield chr(byte if byte in plain else shifted)
        shifted += byte not in plain


def describe(model: dict[str, Any], pre_tokenizer: Any, decoder: Any) -> dict[str, Any]:
    """The contents of a tokenizer.json whose special tokens are ours."""
    names = ("single_word", "lstrip", "rstrip", "normalized")
    flags = dict.fromkeys(names, False) | {"special": True}
    added = [{"id": index, "content": token, **flags} for index, token in enumerate(SPECIALS)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": decoder,
        "model": model,
    }


def read(path: Path) -> dict[str, Any]:
    """The contents of a tokenizer.json; raises DataError."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read the tokenizer {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a tokenizer.json: {error}") from error
    if not isinstance(data, dict) or not isinstance(data.get("model"), dict):
        raise DataError(f"{path} is not a tokenizer.json: it describes no model")
    return data


def load(path: Path) -> Tokenizer:
    """The tokenizer of a tokenizer.json, or of the folder that holds one; raises DataError."""
    path = path / "tokenizer.json" if path.is_dir() else path
    model = read(path)["model"]
    vocabulary = model.get("vocab")
    known = isinstance(vocabulary, dict)
    if known and all(vocabulary.get(name) == at for at, name in enumerate(SPECIALS)):
        if model.get("type") == "WordLevel" and all(
            len(t) == 1 for t in vocabulary if t not in SPECIALS
        ):
            return CharTokenizer.load(path)
        if model.get("type") == "BPE" and not model.get("merges") and len(vocabulary) == 260:
            return ByteTokenizer()
    from picotron.tokenizer_library import LibraryTokenizer

    return LibraryTokenizer.load(path)


def train(kind: str, texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A char, byte or bpe tokenizer made from texts; `vocab_size` is that of bpe."""
    if kind == "char":
        return CharTokenizer(BASE + "".join(sorted(set().union(*map(set, texts)) - set(BASE))))
    if kind == "byte":
        return ByteTokenizer()
    from picotron.tokenizer_library import LibraryTokenizer

    return LibraryTokenizer.train(texts, vocab_size)
