"""From texts to batches of token ids.

Invariant: batch k is a pure function of (tokens, seed, k, rank), so a resumed run sees exactly what
an uninterrupted one would have seen, and the ranks of a mesh together see what one device would; an
epoch visits every window of the text once, in shuffled order, and validation windows never overlap
the training text.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from picotron import tokenizer as tokenizers
from picotron import tokens as files
from picotron.config import Config, DatasetConfig
from picotron.documents import Files, source_of
from picotron.errors import DataError
from picotron.tokenizer import Tokenizer

Batch = dict[str, np.ndarray]
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class Corpus:
    """Token ids, integers [count] that may be memory maps, split in two without overlap."""

    tokenizer: Tokenizer
    train: np.ndarray
    validation: np.ndarray
    source: str


def load(config: DatasetConfig, tokenizer: Tokenizer | None = None) -> Corpus:
    """The texts a run asks for, as tokens; raises DataError.

    Without a `tokenizer`, it is the one of a file, or made from the text.
    """
    tokenizer = tokenizer or tokenizer_of(config)
    tokens = _tokens(config, config.path, tokenizer)
    name = config.path or config.name or files_name(config)
    if config.eval_path:
        return Corpus(tokenizer, tokens, _tokens(config, config.eval_path, tokenizer), name)
    cut = len(tokens) - int(len(tokens) * config.validation_fraction)
    return Corpus(tokenizer, tokens[:cut], tokens[cut:], name)


def text_size(config: DatasetConfig) -> int:
    """Bytes of the texts; 0 if they are not known, as those of token ids."""
    return 0 if _holds_tokens(config.path) else source_of(config, config.path).size


def files_name(config: DatasetConfig) -> str:
    return source_of(config, None).name


def tokenizer_of(config: DatasetConfig) -> Tokenizer:
    """The one of the file that is named or lies beside the tokens, or one made from the text."""
    given = Path(config.tokenizer_path) if config.tokenizer_path else None
    if given is None and _holds_tokens(config.path):
        given = Path(config.path).parent / TOKENIZER
        if not given.exists():
            raise DataError(
                f"{config.path} holds token ids: name the tokenizer they were made "
                "with, --dataset.tokenizer-path tokenizer.json"
            )
    if given is not None:
        return tokenizers.load(given)
    texts = (text for text, _ in source_of(config, config.path).pieces())
    return tokenizers.train(config.tokenizer, texts, config.vocab_size)


def _holds_tokens(path: str | None) -> bool:
    return path is not None and path.endswith(files.SUFFIXES)


def _tokens(config: DatasetConfig, path: str | None, tokenizer: Tokenizer) -> np.ndarray:
    if _holds_tokens(path):
        return files.read_tokens(Path(path), tokenizer.vocab_size)
    source = source_of(config, path)
    if isinstance(source, Files) and path == config.eval_path and path is not None:
        source = replace(source, most=None)  # num_samples is about what is trained on
    return files.tokenized(source, tokenizer, config.cache_dir)


@dataclass(frozen=True)
class Batches:
    """Shuffled training batches: `batches(k)` has int32 [A, B, S] inputs and targets."""

    tokens: np.ndarray
    seq_length: int
    micro_batch_size: int
    accumulation_steps: int
    seed: int
    rank: int = 0
    ranks: int = 1
    separator: int | None = None
    """The token that ends a document, if attention is to stay within documents: `segments` then
    says which one a token belongs to."""

    @property
    def windows(self) -> int:
        """Windows per epoch; every epoch starts at its own offset below seq_length."""
        return (len(self.tokens) - self.seq_length) // self.seq_length

    def __call__(self, step: int) -> Batch:
        parts, rows = self.accumulation_steps, self.micro_batch_size
        first = (step * parts + np.arange(parts)[:, None]) * self.ranks + self.rank
        numbers = (first * rows + np.arange(rows)).reshape(-1).tolist()
        starts = np.array([self._start(number) for number in numbers])
        batch = cut_windows(self.tokens, starts, self.seq_length, self.separator)
        return {name: values.reshape(parts, rows, -1) for name, values in batch.items()}

    def _start(self, index: int) -> int:
        epoch, slot = divmod(index, self.windows)
        offset, order = _epoch_order(self.seed, epoch, self.windows, self.seq_length)
        return offset + int(order[slot]) * self.seq_length


def batches_of(corpus: Corpus, config: Config, rank: int = 0, ranks: int = 1) -> Batches:
    """The training batches of one of `ranks` data-parallel ranks."""
    training = config.training
    return Batches(
        corpus.train,
        training.seq_length,
        training.micro_batch_size,
        training.gradient_accumulation_steps,
        training.seed,
        rank,
        ranks,
        _separator(corpus, config),
    )


def _separator(corpus: Corpus, config: Config) -> int | None:
    if not config.dataset.document_mask:
        return None
    if corpus.tokenizer.end is None:
        raise DataError(
            "dataset.document_mask needs a tokenizer with an end token; "
            f"that of {corpus.source} has none"
        )
    return corpus.tokenizer.end


def validation_batches(corpus: Corpus, config: Config) -> Iterator[Batch]:
    """The same evenly spread windows every time, int32 [B, S] each."""
    rows, length = config.training.micro_batch_size, config.training.seq_length
    count, tokens = config.logging.eval_batches, corpus.validation
    starts = np.linspace(0, len(tokens) - length - 1, count * rows).astype(np.int64)
    for index in range(count):
        own = starts[index * rows : (index + 1) * rows]
        yield cut_windows(tokens, own, length, _separator(corpus, config))


def cut_windows(
    tokens: np.ndarray, starts: np.ndarray, length: int, separator: int | None = None
) -> Batch:
    """Rows of `length` tokens from each start, and the same rows one token later, int32.

    With a `separator`, also `segments`: how many of them stand before each token of the row.
    """
    positions = starts[:, None] + np.arange(length)[None]
    inputs = tokens[positions].astype(np.int32)
    batch = {"inputs": inputs, "targets": tokens[positions + 1].astype(np.int32)}
    if separator is not None:
        ends = np.cumsum(inputs == separator, axis=1, dtype=np.int32)
        batch["segments"] = ends - (inputs == separator)
    return batch


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
