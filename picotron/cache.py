"""Keys and values of what was read, kept on the device: reading a prompt, and one token more.

Invariant: both go through the model's own functions and differ from `model.forward` only in what
attention sees, so logits agree with the whole forward pass at every position. A cache holds, for
each layer, keys and values [2, B, T, groups, D] of T slots; slot t of row b is its token
t - first[b]. Rotary positions are slots: scores depend on differences of positions alone.
"""

from __future__ import annotations

from typing import Any

from picotron import model
from picotron.config import ModelConfig
from tracer import lax, nn
from tracer import numpy as jnp

Cache = list[Any]


def read_prompt(
    params: model.Params, tokens: Any, first: Any, last: Any, config: ModelConfig, slots: int
) -> tuple[Any, Cache]:
    """Logits float32 [B, V] behind slot `last` of int32 tokens [B, S], and a cache of `slots`.

    Row b starts at slot first[b]; what lies before and behind it is seen by no token of it. With
    `first` None all rows start at slot 0, and attention is causal without a mask.
    """
    length = tokens.shape[1]
    seen = None if first is None else _seen(first, length)
    cache: Cache = []

    def attend(query: Any, key: Any, value: Any) -> Any:
        free = ((0, 0), (0, 0), (0, slots - length), (0, 0), (0, 0))
        cache.append(jnp.pad(jnp.stack([key, value]), free))
        if seen is None:
            return nn.dot_product_attention(query, key, value, is_causal=True)
        return nn.dot_product_attention(query, key, value, mask=seen)

    x = model.embed(params, tokens)
    rope = model.rope_tables(config, length)
    for weights in params["model"]["layers"]:
        x = model.layer(weights, x, rope, config, attend)
    x = lax.dynamic_slice_in_dim(x, last, 1, axis=1)[:, 0]
    return model.head(params, model.norm(params["model"]["norm"], x, config), config), cache


def read_token(
    params: model.Params, token: Any, cache: Cache, slot: Any, first: Any, rope: model.Rope,
    config: ModelConfig,
) -> tuple[Any, Cache]:  # fmt: skip
    """Logits float32 [B, V] behind int32 token [B], which goes to `slot` of the cache.

    `rope` are the tables of all slots.
    """
    rows = tuple(lax.dynamic_slice_in_dim(table, slot, 1) for table in rope)
    new: Cache = []

    def attend(query: Any, key: Any, value: Any) -> Any:
        mixed, kept = nn.attention_with_cache(query, key, value, cache[len(new)], first, slot)
        new.append(kept)
        return mixed

    x = model.embed(params, token[:, None])
    for weights in params["model"]["layers"]:
        x = model.layer(weights, x, rows, config, attend)
    x = model.norm(params["model"]["norm"], x[:, 0], config)
    return model.head(params, x, config), new


def _seen(first: Any, length: int) -> Any:
    """bool [B, 1, S, S]: keys from the row's first slot up to the query's own."""
    query, key = (lax.broadcasted_iota(jnp.int32, (1, 1, length, length), d) for d in (2, 3))
    return (key <= query) & (key >= first[:, None, None, None])
