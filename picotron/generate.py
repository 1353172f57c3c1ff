"""Text from a trained model, one character at a time.

Invariant: the same weights, prompt and seed give the same text; each token depends on at most the
last `max_position_embeddings` tokens, and special tokens other than the end are never chosen.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from picotron import model
from picotron.config import ModelConfig
from picotron.errors import ConfigError
from picotron.tokenizer import END, START, CharTokenizer
from tracer import jit
from tracer import numpy as jnp


class Generator:
    """Holds one compiled function from a context window to the logits after it."""

    def __init__(self, config: ModelConfig, params: Any, tokenizer: CharTokenizer) -> None:
        self.config, self.params, self.tokenizer = config, params, tokenizer
        self._logits = jit(next_logits, static_argnames="config")

    def stream(
        self,
        prompt: str,
        count: int,
        temperature: float = 0.8,
        top_k: int = 0,
        seed: int = 0,
    ) -> Iterator[str]:
        """Up to `count` characters after the prompt, as they come; stops early at the end token.

        temperature 0 always takes the likeliest character; top_k 0 considers all of them.
        Only the last `max_position_embeddings` tokens of a longer prompt have influence.
        """
        random = np.random.Generator(np.random.Philox(key=seed))
        tokens = self.tokenizer.encode(prompt).tolist() or [START]
        for _ in range(count):
            token = choose(self._next(tokens), temperature, top_k, random)
            if token == END:
                return
            tokens.append(token)
            yield self.tokenizer.decode([token])

    def _next(self, tokens: list[int]) -> np.ndarray:
        """Logits float32 [tokenizer's vocabulary] after the tokens; specials but END at -inf."""
        size = self.config.max_position_embeddings
        recent = tokens[-size:]
        # Padding on the right is invisible: attention is causal and one position is read.
        window = np.zeros((1, size), np.int32)
        window[0, : len(recent)] = recent
        position = np.array([len(recent) - 1], np.int32)
        logits = np.asarray(self._logits(self.params, window, position, config=self.config))
        logits = logits[: self.tokenizer.vocab_size].copy()
        logits[:END] = -np.inf
        return logits


def next_logits(params: Any, window: Any, position: Any, config: ModelConfig) -> Any:
    """Logits float32 [V] at one position (int32 [1]) of a window (int32 [1, S])."""
    hidden = model.hidden_states(params, window, config)[0]
    return model.head(params, jnp.take(hidden, position, axis=0), config)[0]


def choose(logits: np.ndarray, temperature: float, top_k: int, random: np.random.Generator) -> int:
    """One id, drawn from softmax(logits / temperature) over the `top_k` likeliest (0: all)."""
    if temperature == 0.0:
        return int(np.argmax(logits))
    scaled = logits.astype(np.float64) / temperature
    if 0 < top_k < scaled.size:
        scaled[scaled < np.partition(scaled, -top_k)[-top_k]] = -np.inf
    weights = np.exp(scaled - scaled.max())
    return int(random.choice(scaled.size, p=weights / weights.sum()))


def check_options(count: int, temperature: float, top_k: int, seed: int) -> None:
    """Raises ConfigError for values outside their range."""
    for name, value in (("max-new-tokens", count), ("top-k", top_k), ("seed", seed)):
        if value < 0:
            raise ConfigError(f"--{name} must be 0 or more, not {value}")
    if not 0 <= temperature < float("inf"):
        raise ConfigError(f"--temperature must be 0 or more, not {temperature}")
