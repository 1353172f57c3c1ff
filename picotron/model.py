"""A LLaMA as pure functions: config, weights, forward, loss.

Invariant: weights are a nested dict whose dotted paths are the Hugging Face parameter names
(`model.layers.0.self_attn.q_proj.weight`); a matrix W is stored [in, out] and used as x @ W.
Values have names where layers meet: `normed` is what a part reads, `added` what it adds to the
`residual` stream.
Shapes: B sequences, S positions, V vocabulary, H hidden size, N heads, D head dimension.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from picotron.config import ModelConfig
from picotron.dropout import KEEP, Drops
from picotron.rope import tables
from tracer import checkpoint_name, nn
from tracer import numpy as jnp

Params = dict[str, Any]
Rope = tuple[Any, Any]
Attend = Callable[[Any, Any, Any], Any]


def forward(
    params: Params,
    tokens: Any,
    config: ModelConfig,
    drops: Drops = KEEP,
    segments: Any = None,
    dtype: Any = jnp.float32,
) -> Any:
    """Logits [B, S, V] of the next token at every position of int32 tokens [B, S].

    Attention stays within equal `segments` int32 [B, S], if they are given, which never fall along
    a row; rotary positions are relative, so that each starts anew without more. `dtype` is that
    of activations and logits.
    """
    drops = drops if segments is None else replace(drops, segments=segments)
    return head(params, hidden_states(params, tokens, config, drops, dtype), config)


def hidden_states(
    params: Params,
    tokens: Any,
    config: ModelConfig,
    drops: Drops = KEEP,
    dtype: Any = jnp.float32,
) -> Any:
    """The normalised output of the last layer, [B, S, H] of `dtype`."""
    body = params["model"]
    rope = tuple(table.astype(dtype) for table in rope_tables(config, tokens.shape[1]))
    x = checkpoint_name(embed(params, tokens).astype(dtype), "added")
    x = drops.hidden(x, "embedding")
    for index in range(config.num_hidden_layers):
        own = drops.of_layer(index)
        x = layer(body["layers"][index], x, rope, config, own.attend, own)
    return norm(body["norm"], x, config)


def embed(params: Params, tokens: Any) -> Any:
    """float32 [..., H] of tokens [...], whatever the weights are stored as."""
    table = params["model"]["embed_tokens"]["weight"]
    return jnp.take(table, tokens, axis=0, mode="clip").astype(jnp.float32)


def layer(
    weights: Params, x: Any, rope: Rope, config: ModelConfig, attend: Attend, drops: Drops = KEEP
) -> Any:
    """One block, pre-normalised: x + attention, then x + gated feed-forward."""
    normed = norm(weights["input_layernorm"], x, config)
    mixed = checkpoint_name(attention(weights["self_attn"], normed, rope, config, attend), "added")
    x = checkpoint_name(x + drops.hidden(mixed, "attention"), "residual")
    normed = norm(weights["post_attention_layernorm"], x, config)
    fed = checkpoint_name(feed_forward(weights["mlp"], normed), "added")
    return checkpoint_name(x + drops.hidden(fed, "feed forward"), "residual")


def attention(weights: Params, x: Any, rope: Rope, config: ModelConfig, attend: Attend) -> Any:
    """Attention of x [B, S, H] with positions turned by `rope`, the tables of these S positions.

    `attend(query, key, value)` sees [B, S, N, D] and twice [B, S, groups, D] and returns
    [B, S, N, D]; it decides what is seen, and may keep keys and values for later.
    """
    batch, length, _ = x.shape

    def heads(name: str) -> Any:
        return linear(weights[name], x).reshape(batch, length, -1, config.head_size)

    query, key = nn.rope(heads("q_proj"), *rope), nn.rope(heads("k_proj"), *rope)
    mixed = attend(query, key, heads("v_proj"))
    return linear(weights["o_proj"], mixed.reshape(batch, length, -1))


def feed_forward(weights: Params, x: Any) -> Any:
    """SwiGLU: down(silu(gate(x)) * up(x))."""
    gate = nn.silu(linear(weights["gate_proj"], x))
    return linear(weights["down_proj"], gate * linear(weights["up_proj"], x))


def linear(weights: Params, x: Any) -> Any:
    """x @ W, plus the bias if there is one."""
    out = x @ weights["weight"]
    return out + weights["bias"] if "bias" in weights else out


def norm(weights: Params, x: Any, config: ModelConfig) -> Any:
    """x over its root mean square, scaled; in the dtype of x."""
    scaled = nn.rms_norm(x, weights["weight"].astype(x.dtype), config.rms_norm_eps)
    return checkpoint_name(scaled, "normed")


def head(params: Params, x: Any, config: ModelConfig) -> Any:
    """Logits [..., V] of hidden states [..., H]; those of unused rows are far below all others."""
    return nn.without_last(x @ head_weight(params, config), config.unused_rows)


def head_weight(params: Params, config: ModelConfig) -> Any:
    """The matrix [H, V] that makes logits."""
    if config.tie_word_embeddings:
        return params["model"]["embed_tokens"]["weight"].transpose(1, 0)
    return params["lm_head"]["weight"]


def loss(
    params: Params,
    batch: dict[str, Any],
    config: ModelConfig,
    drops: Drops = KEEP,
    dtype: Any = jnp.float32,
) -> Any:
    """Mean cross-entropy in nats of batch["targets"] given batch["inputs"], both int32 [B, S].

    batch["segments"], if it is there, says which document each token belongs to. Logits beyond
    128 MiB are made and used part by part, and never stored as a whole.
    """
    segments = batch.get("segments")
    drops = drops if segments is None else replace(drops, segments=segments)
    hidden = hidden_states(params, batch["inputs"], config, drops, dtype)
    return nn.linear_cross_entropy(
        hidden, head_weight(params, config), batch["targets"], unused=config.unused_rows
    )


def rope_tables(config: ModelConfig, length: int) -> Rope:
    """cos and sin of positions 0 to length - 1, float32 [length, D/2]."""
    context = config.max_position_embeddings
    cos, sin = tables(config.rope_scaling, config.rope_theta, config.head_size, context, length)
    return jnp.asarray(cos), jnp.asarray(sin)


# -- weights -----------------------------------------------------------------------------------


def init(config: ModelConfig, seed: int) -> Params:
    """Fresh weights as numpy float32; each depends on the seed and its own path alone. Unused rows
    are zeros, and the others as if there were none."""

    def fill(path: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return np.full(shape, not path.endswith("bias"), np.float32)
        # Projections back into the residual stream shrink with depth, so that its variance stays.
        into_residual = path.endswith(("o_proj.weight", "down_proj.weight"))
        depth = math.sqrt(2 * config.num_hidden_layers) if into_residual else 1.0
        return normal(seed, path, shape, config.initializer_range / depth)

    used, shapes = parameter_shapes(without_unused(config)), parameter_shapes(config)
    return unflatten({path: widened(fill(path, used[path]), s) for path, s in shapes.items()})


def without_unused(config: ModelConfig) -> ModelConfig:
    """The same model without rows of the vocabulary that stand for no token."""
    if not config.unused_rows:
        return config
    return replace(config, vocab_size=config.vocab_size - config.unused_rows, unused_rows=0)


def widened(weight: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A weight with zeros behind each axis, up to a shape."""
    if weight.shape == shape:
        return weight
    return np.pad(weight, [(0, n - have) for n, have in zip(shape, weight.shape, strict=True)])


def parameter_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape by dotted path, in the order of use; matrices are [in, out]."""
    hidden, inner, vocab = config.hidden_size, config.intermediate_size, config.vocab_size
    queries = config.num_attention_heads * config.head_size
    shared = config.num_key_value_heads * config.head_size
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocab, hidden)}
    for index in range(config.num_hidden_layers):
        block = {
            "input_layernorm": (hidden,),
            "self_attn.q_proj": (hidden, queries),
            "self_attn.k_proj": (hidden, shared),
            "self_attn.v_proj": (hidden, shared),
            "self_attn.o_proj": (queries, hidden),
            "post_attention_layernorm": (hidden,),
            "mlp.gate_proj": (hidden, inner),
            "mlp.up_proj": (hidden, inner),
            "mlp.down_proj": (inner, hidden),
        }
        biased = ("self_attn.",) * config.attention_bias + ("mlp.",) * config.mlp_bias
        for name, shape in block.items():
            shapes[f"model.layers.{index}.{name}.weight"] = shape
            if name.startswith(biased):
                shapes[f"model.layers.{index}.{name}.bias"] = shape[1:]
    shapes["model.norm.weight"] = (hidden,)
    if not config.tie_word_embeddings:
        shapes["lm_head.weight"] = (hidden, vocab)
    return shapes


def parameter_count(config: ModelConfig) -> int:
    """Number of weights, a tied embedding counted once."""
    return sum(math.prod(shape) for shape in parameter_shapes(config).values())


def normal(seed: int, path: str, shape: tuple[int, ...], deviation: float) -> np.ndarray:
    """Normal float32 values; element i is a function of (seed, path, i) and nothing else."""
    key = hashlib.sha256(f"{seed}/{path}".encode()).digest()[:16]
    bits = np.random.Philox(key=int.from_bytes(key, "little"))
    count = math.prod(shape)
    # Box-Muller takes exactly two draws per element, unlike the ziggurat, so that a slice of a
    # weight could be made without the rest.
    uniform = (bits.random_raw(2 * count).reshape(count, 2) >> np.uint64(11)) * 2.0**-53
    radius = np.sqrt(-2.0 * np.log1p(-uniform[:, 0]))
    values = radius * np.cos(2.0 * np.pi * uniform[:, 1])
    return (deviation * values).astype(np.float32).reshape(shape)


def unflatten(flat: dict[str, Any]) -> Params:
    """Nested dicts from dotted paths; a level whose keys are all numbers becomes a list."""
    nested: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split(".")
        level = nested
        for name in parents:
            level = level.setdefault(name, {})
        level[leaf] = value
    return _numbered_to_lists(nested)


def flatten(nested: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted path -> leaf; the inverse of `unflatten`."""
    if not isinstance(nested, dict | list | tuple):
        return {prefix: nested}
    pairs = nested.items() if isinstance(nested, dict) else enumerate(nested)
    flat: dict[str, Any] = {}
    for name, value in pairs:
        flat |= flatten(value, f"{prefix}.{name}" if prefix else str(name))
    return flat


def _numbered_to_lists(level: Any) -> Any:
    if not isinstance(level, dict):
        return level
    done = {name: _numbered_to_lists(value) for name, value in level.items()}
    if done and all(name.isdigit() for name in done):
        return [done[str(index)] for index in range(len(done))]
    return done
