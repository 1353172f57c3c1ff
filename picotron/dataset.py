"""From a text to batches of token ids.

Invariant: batch k is a pure function of (tokens, seed, k), so a resumed run sees exactly what an
uninterrupted one would have seen; an epoch visits every window of the text once, in shuffled
order, and validation windows never overlap the training text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from picotron.config import Config, DatasetConfig
from picotron.errors import DataError
from picotron.tokenizer import CharTokenizer

Batch = dict[str, np.ndarray]
NOVEL = "pride_and_prejudice.txt"


@dataclass(frozen=True)
class Corpus:
    """Token ids, int32 [count], split in two without overlap."""

    tokenizer: CharTokenizer
    train: np.ndarray
    validation: np.ndarray
    source: str


def load(config: DatasetConfig) -> Corpus:
    """The text a run asks for, as tokens; raises DataError."""
    tokenizer = CharTokenizer.load(Path(config.tokenizer_path)) if config.tokenizer_path else None
    if config.path and config.path.endswith(".npy"):
        if tokenizer is None:
            raise DataError(
                f"{config.path} holds token ids: name the tokenizer they were made "
                "with, --dataset.tokenizer-path tokenizer.json"
            )
        tokens = read_tokens(Path(config.path), tokenizer.vocab_size)
    else:
        text = read_text(Path(config.path) if config.path else None)
        tokenizer = tokenizer or CharTokenizer.train(text)
        tokens = tokenizer.encode(text)
    cut = len(tokens) - int(len(tokens) * config.validation_fraction)
    return Corpus(tokenizer, tokens[:cut], tokens[cut:], config.path or NOVEL)


def read_text(path: Path | None) -> str:
    """A UTF-8 file, or the novel of the package; raises DataError naming what is wrong with it."""
    source = resources.files("picotron") / "data" / NOVEL if path is None else path
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"there is no text file {source}") from None
    except OSError as error:
        raise DataError(f"cannot read the text file {source}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{source} is not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        ) from None
    if not text.strip():
        raise DataError(f"the text file {source} is empty")
    return text.replace("\r\n", "\n")


def read_tokens(path: Path, vocab_size: int) -> np.ndarray:
    """Token ids of a .npy file, int32 [count]; raises DataError."""
    try:
        values = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError(f"there is no token file {path}") from None
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} is not a .npy file of token ids: {error}") from error
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise DataError(f"{path} must hold one row of numbers, not {values.dtype}{values.shape}")
    if not values.size:
        raise DataError(f"the token file {path} is empty")
    for wrong, what in (
        (~np.isfinite(values), "is not a number"),
        (values != np.trunc(values), "is not a whole number"),
        ((values < 0) | (values >= vocab_size), f"is outside the vocabulary of {vocab_size}"),
    ):
        if wrong.any():
            index = int(np.argmax(wrong))
            raise DataError(f"{path}: token {index} is {values[index]}, which {what}")
    return values.astype(np.int32)


@dataclass(frozen=True)
class Batches:
    """Shuffled training batches: `batches(k)` has int32 [A, B, S] inputs and targets."""

    tokens: np.ndarray
    seq_length: int
    micro_batch_size: int
    accumulation_steps: int
    seed: int

    @property
    def windows(self) -> int:
        """Windows per epoch; every epoch starts at its own offset below seq_length."""
        return (len(self.tokens) - self.seq_length) // self.seq_length

    def __call__(self, step: int) -> Batch:
        shape = self.accumulation_steps, self.micro_batch_size
        count = shape[0] * shape[1]
        starts = np.array([self._start(step * count + index) for index in range(count)])
        return {name: rows.reshape(*shape, -1) for name, rows in self._cut(starts).items()}

    def _cut(self, starts: np.ndarray) -> Batch:
        return cut_windows(self.tokens, starts, self.seq_length)

    def _start(self, index: int) -> int:
        epoch, slot = divmod(index, self.windows)
        offset, order = _epoch_order(self.seed, epoch, self.windows, self.seq_length)
        return offset + int(order[slot]) * self.seq_length


def validation_batches(tokens: np.ndarray, config: Config) -> Iterator[Batch]:
    """The same evenly spread windows every time, int32 [B, S] each."""
    rows, length = config.training.micro_batch_size, config.training.seq_length
    count = config.logging.eval_batches
    starts = np.linspace(0, len(tokens) - length - 1, count * rows).astype(np.int64)
    for index in range(count):
        yield cut_windows(tokens, starts[index * rows : (index + 1) * rows], length)


def cut_windows(tokens: np.ndarray, starts: np.ndarray, length: int) -> Batch:
    """Rows of `length` tokens from each start, and the same rows one token later."""
    positions = starts[:, None] + np.arange(length)[None]
    return {"inputs": tokens[positions], "targets": tokens[positions + 1]}


def check_length(corpus: Corpus, seq_length: int) -> None:
    """Raises DataError unless both parts hold enough tokens for one window."""
    parts = ("training", corpus.train, 2 * seq_length), ("validation", corpus.validation, 0)
    for name, tokens, needed in parts:
        needed = needed or seq_length + 1
        if len(tokens) < needed:
            raise DataError(
                f"{corpus.source} is too short: its {name} part has {len(tokens)} tokens, and "
                f"training.seq_length {seq_length} needs {needed}; take a longer text or a "
                "smaller --training.seq-length"
            )


@functools.lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, windows: int, length: int) -> tuple[int, np.ndarray]:
    random = np.random.Generator(np.random.Philox(key=[seed, epoch]))
    return int(random.integers(length)), random.permutation(windows)
