"""Dropout: which elements a train step sets to zero (Srivastava et al., 2014).

Invariant: what is dropped follows from one key, the layer and the place in it, so a step that is
repeated drops the same elements, and each place draws numbers of its own. The numbers are those
that JAX draws with the same key. Without a key, or at a rate of 0, nothing is traced at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from picotron.config import ModelConfig
from tracer import checkpoint_name, nn, random
from tracer import numpy as jnp

PLACES = ("weights", "attention", "feed forward", "embedding")


def dropout(x: Any, rate: float, key: Any) -> Any:
    """`x` with a share `rate` of its elements 0 and the others divided by 1 - rate."""
    kept = random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(kept, x / (1.0 - rate), 0.0)


@dataclass(frozen=True)
class Drops:
    """The rates of a model and the key of one step, or of one layer of it; `KEEP` drops nothing."""

    hidden_rate: float = 0.0
    attention_rate: float = 0.0
    key: Any = None
    segments: Any = None
    """int32 [B, S], never falling along a row: which document each position belongs to, where
    they are kept apart."""

    def of_layer(self, index: int) -> Drops:
        """The same rates with a key of the layer's own."""
        if self.key is None:
            return self
        return replace(self, key=random.fold_in(self.key, len(PLACES) + index))

    def hidden(self, x: Any, place: str) -> Any:
        """What a part of the model adds to the residual stream."""
        return self._drop(x, self.hidden_rate, place)

    def attend(self, query: Any, key: Any, value: Any) -> Any:
        """Causal attention on [B, S, heads, D]; its weights exist only where some are dropped."""
        if self.key is None or not self.attention_rate:
            return nn.dot_product_attention(
                query, key, value, is_causal=True, query_segment_ids=self.segments,
                segments_are_sorted=True,
            )  # fmt: skip
        batch, length, heads, size = query.shape
        groups = key.shape[2]
        key, value = (checkpoint_name(x, "keys") for x in (key, value))
        query = query.reshape(batch, length, groups, heads // groups, size)
        scores = jnp.einsum("bskgd,btkd->bkgst", query, key) * size**-0.5
        seen = jnp.tril(jnp.ones((length, length), jnp.bool_))
        if self.segments is not None:
            alike = self.segments[:, :, None] == self.segments[:, None, :]
            seen = seen & alike[:, None, None]
        weights = nn.softmax(jnp.where(seen, scores, jnp.finfo(scores.dtype).min))
        weights = self._drop(weights, self.attention_rate, "weights")
        mixed = jnp.einsum("bkgst,btkd->bskgd", weights, value)
        return mixed.reshape(batch, length, heads, size)

    def _drop(self, x: Any, rate: float, place: str) -> Any:
        if self.key is None or not rate:
            return x
        return dropout(x, rate, random.fold_in(self.key, PLACES.index(place)))


KEEP = Drops()


def drops(config: ModelConfig, key: Any) -> Drops:
    """What a step of a model with this key drops."""
    if not config.drops:
        return KEEP
    return Drops(config.hidden_dropout, config.attention_dropout, key)
