"""How a model judges given tokens: logits, and the loss of each token after those before it.

Invariant: memory does not grow with the batch and hardly with the vocabulary: one sequence at a
time, and the output head in pieces of positions whose logits fill at most PIECE_BYTES.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from picotron import model
from picotron.config import ModelConfig
from tracer import ShapeDtypeStruct, jit, nn
from tracer import numpy as jnp

PIECE_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Score:
    """Sum of the losses in nats of `count` predicted tokens."""

    total: float
    count: int

    @property
    def loss(self) -> float:
        return self.total / self.count

    @property
    def perplexity(self) -> float:
        return math.exp(self.loss) if self.loss < 700 else math.inf


class Scorer:
    """Compiled functions of one model; params in any dtype, on the device or not."""

    def __init__(self, config: ModelConfig, params: Any) -> None:
        self.config, self.params = config, params
        self._hidden = jit(lambda params, tokens: model.hidden_states(params, tokens, config))
        self._head = jit(lambda params, hidden: model.head(params, hidden, config))
        self._losses = jit(lambda params, *given: _losses(params, *given, config))

    def lowered(self, params: Any, length: int) -> list[Any]:
        """Its programs for weights as given, shapes among them, and sequences of `length`."""
        hidden = ShapeDtypeStruct((self._step(length), self.config.hidden_size), np.float32)
        tokens, targets = (ShapeDtypeStruct(s, np.int32) for s in ((1, length), hidden.shape[:1]))
        return [self._hidden.lower(params, tokens), self._losses.lower(params, hidden, targets)]

    def _step(self, length: int) -> int:
        """Positions whose logits are made at a time."""
        return min(length, max(1, PIECE_BYTES // (4 * self.config.vocab_size)))

    def logits(self, tokens: np.ndarray) -> Iterator[np.ndarray]:
        """The logits after each of the integers [B, S], sequence by sequence: float32 [n, V]."""
        for row in tokens:
            for _, hidden in self._pieces(row):
                yield np.asarray(self._head(self.params, hidden))

    def score(self, tokens: np.ndarray, length: int, stride: int) -> Score:
        """Loss over int32 [count] of all but the first token.

        Windows of `length` tokens start every `stride` tokens, and each predicts what the one
        before it has not: with a smaller stride, tokens are judged by more of what precedes them.
        """
        total, done = 0.0, 1  # the first token follows nothing
        for start in _starts(len(tokens), length, stride):
            window = tokens[start : start + length + 1]
            losses = self._window(window[:-1], window[1:])[done - start - 1 :]
            total += float(losses.sum(dtype=np.float64))
            done = start + len(window)
        return Score(total, len(tokens) - 1)

    def _window(self, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
        parts = [
            np.asarray(self._losses(self.params, hidden, targets[at]))
            for at, hidden in self._pieces(inputs)
        ]
        return np.concatenate(parts)

    def _pieces(self, row: np.ndarray) -> Iterator[tuple[slice, Any]]:
        hidden = self._hidden(self.params, np.ascontiguousarray(row[None], np.int32))[0]
        step = self._step(len(row))
        for start in range(0, len(row), step):
            at = slice(start, min(start + step, len(row)))
            yield at, hidden if step >= len(row) else hidden[at]


def _losses(params: Any, hidden: Any, targets: Any, config: ModelConfig) -> Any:
    return nn.cross_entropy(model.head(params, hidden, config), jnp.asarray(targets))


def _starts(count: int, length: int, stride: int) -> Iterator[int]:
    """Where windows of `length` inputs begin; the last one ends with the tokens."""
    last = max(0, count - 1 - length)
    yield from range(0, last, stride)
    yield last
