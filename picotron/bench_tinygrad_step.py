"""The reference train step in tinygrad, from the same weights and data.

Invariant: the same losses as ours; forward, backward and its own AdamW, captured by its jit, on the
device that tinygrad's DEV names. Its jit writes every loss to the same place, so a loss is read
before the next step is started.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import numpy as np

from picotron import model, reference


def tinygrad_step(shapes: reference.Shapes) -> tuple[Callable[[], Callable[[], float]], str]:
    """A function that makes a step and returns what tells its loss, and what it is."""
    import tinygrad
    from tinygrad.helpers import Context
    from tinygrad.nn.optim import AdamW

    tensor = tinygrad.Tensor
    config = shapes.model
    _, (state, batch) = reference.train_step(shapes)
    flat = model.flatten(state["params"])
    params = {n: tensor(np.array(w)).realize() for n, w in flat.items()}
    for w in params.values():
        w.requires_grad = True
    inputs, targets = (
        tensor(np.array(batch[n]).reshape(shapes.B, shapes.S)).realize()
        for n in ("inputs", "targets")
    )
    tables = [tensor(np.array(t)).realize() for t in model.rope_tables(config, shapes.S)]
    optimizer = AdamW(
        list(params.values()), lr=reference.LEARNING_RATE, b1=reference.BETA1, b2=reference.BETA2,
        eps=reference.EPSILON, weight_decay=reference.WEIGHT_DECAY,
    )  # fmt: skip

    def step() -> Any:
        optimizer.zero_grad()
        logits = _forward(params, inputs, tables, config)
        loss = logits.reshape(-1, shapes.V).sparse_categorical_crossentropy(targets.reshape(-1))
        loss.backward()
        return loss.realize(*optimizer.schedule_step())

    jitted = tinygrad.TinyJit(step)

    def run() -> Callable[[], float]:
        with Context(TRAINING=1):  # its optimizers refuse to work without
            loss = float(jitted().item())
        return lambda: loss

    version = importlib.metadata.version("tinygrad")
    return run, f"tinygrad {version} on {tinygrad.Device.DEFAULT}"


def _forward(params: dict, tokens: Any, tables: list, config: Any) -> Any:
    batch, length = tokens.shape
    cos, sin = tables

    def norm(x: Any, name: str) -> Any:
        return x * ((x * x).mean(-1, keepdim=True) + config.rms_norm_eps).rsqrt() * params[name]

    def turned(x: Any) -> Any:
        a, b = x.chunk(2, -1)
        return (a * cos - b * sin).cat(b * cos + a * sin, dim=-1)

    x = params["model.embed_tokens.weight"][tokens]
    for index in range(config.num_hidden_layers):
        at = f"model.layers.{index}."

        def heads(h: Any, name: str, at: str = at) -> Any:
            out = h @ params[f"{at}self_attn.{name}.weight"]
            return out.reshape(batch, length, -1, config.head_size).transpose(1, 2)

        h = norm(x, at + "input_layernorm.weight")
        q, k, v = turned(heads(h, "q_proj")), turned(heads(h, "k_proj")), heads(h, "v_proj")
        repeats = q.shape[1] // k.shape[1]
        k, v = (t.repeat_interleave(repeats, 1) for t in (k, v))
        mixed = q.scaled_dot_product_attention(k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        x = x + mixed @ params[at + "self_attn.o_proj.weight"]
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (h @ params[f"{at}mlp.{n}_proj.weight"] for n in ("gate", "up"))
        x = x + (gate.silu() * up) @ params[at + "mlp.down_proj.weight"]
    return norm(x, "model.norm.weight") @ params["lm_head.weight"]
