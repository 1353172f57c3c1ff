"""The reference train step in JAX, from the same weights and data.

Invariant: the same losses as ours; forward, backward and AdamW in one jitted function whose state
is donated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from picotron import model, reference


def jax_step(shapes: reference.Shapes) -> tuple[Callable[[], Callable[[], float]], str]:
    """A function that starts a step and returns what reads its loss, and what it is."""
    import jax
    import jax.numpy as jnp

    config = shapes.model
    _, (state, batch) = reference.train_step(shapes)
    params = {n: jnp.asarray(w) for n, w in model.flatten(state["params"]).items()}
    inputs, targets = (
        jnp.asarray(np.asarray(batch[n]).reshape(shapes.B, shapes.S)) for n in ("inputs", "targets")
    )
    tables = [jnp.asarray(np.array(t)) for t in model.rope_tables(config, shapes.S)]

    def loss_of(params: dict[str, Any]) -> Any:
        logits = _forward(jax, params, inputs, tables, config)
        picked = jnp.take_along_axis(logits, targets[..., None], -1)[..., 0]
        return (jax.nn.logsumexp(logits, -1) - picked).mean()

    def step(params: dict, mu: dict, nu: dict, count: Any) -> tuple:
        loss, grads = jax.value_and_grad(loss_of)(params)
        count = count + 1
        for name, g in grads.items():
            mu[name] = reference.BETA1 * mu[name] + (1 - reference.BETA1) * g
            nu[name] = reference.BETA2 * nu[name] + (1 - reference.BETA2) * g * g
            m = mu[name] / (1 - reference.BETA1**count)
            v = nu[name] / (1 - reference.BETA2**count)
            update = m / (jnp.sqrt(v) + reference.EPSILON) + reference.WEIGHT_DECAY * params[name]
            params[name] = params[name] - reference.LEARNING_RATE * update
        return loss, (params, mu, nu, count)

    jitted = jax.jit(step, donate_argnums=(0, 1, 2))
    zeros = [{n: jnp.zeros_like(w) for n, w in params.items()} for _ in range(2)]
    held = [(params, *zeros, jnp.float32(0))]

    def run() -> Callable[[], float]:
        loss, held[0] = jitted(*held[0])
        loss.copy_to_host_async()
        return lambda: float(loss)

    return run, f"jax {jax.__version__} on {jax.devices()[0]}"


def _forward(jax: Any, params: dict, tokens: Any, tables: list, config: Any) -> Any:
    jnp = jax.numpy
    batch, length = tokens.shape
    cos, sin = (t[:, None] for t in tables)

    def norm(x: Any, name: str) -> Any:
        scale = jax.lax.rsqrt((x * x).mean(-1, keepdims=True) + config.rms_norm_eps)
        return x * scale * params[name]

    def turned(x: Any) -> Any:
        a, b = jnp.split(x, 2, -1)
        return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)

    x = params["model.embed_tokens.weight"][tokens]
    for index in range(config.num_hidden_layers):
        at = f"model.layers.{index}."

        def heads(h: Any, name: str, at: str = at) -> Any:
            out = h @ params[f"{at}self_attn.{name}.weight"]
            return out.reshape(batch, length, -1, config.head_size)

        h = norm(x, at + "input_layernorm.weight")
        q, k, v = turned(heads(h, "q_proj")), turned(heads(h, "k_proj")), heads(h, "v_proj")
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(batch, length, -1)
        x = x + mixed @ params[at + "self_attn.o_proj.weight"]
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (h @ params[f"{at}mlp.{n}_proj.weight"] for n in ("gate", "up"))
        x = x + (jax.nn.silu(gate) * up) @ params[at + "mlp.down_proj.weight"]
    return norm(x, "model.norm.weight") @ params["lm_head.weight"]
