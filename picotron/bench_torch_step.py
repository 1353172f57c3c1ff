"""The reference train step in PyTorch, from the same weights and data.

Invariant: the same losses as ours; forward, backward and AdamW. Where a loss is read it is the only
thing that is waited for, not the steps behind it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from picotron import model, reference


def torch_step(
    shapes: reference.Shapes, software: bool, compiled: bool = False
) -> tuple[Callable[[], Callable[[], float]], str]:
    """A function that starts a step and returns what reads its loss, and what it is.

    `compiled` goes through torch.compile, forward and backward.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = False
    kind = "cuda" if torch.cuda.is_available() and not software else "cpu"
    config = shapes.model
    _, (state, batch) = reference.train_step(shapes)
    flat = model.flatten(state["params"])
    params = {n: torch.from_numpy(w.copy()).to(kind).requires_grad_() for n, w in flat.items()}
    inputs, targets = (
        torch.from_numpy(np.asarray(batch[n]).reshape(shapes.B, shapes.S)).long().to(kind)
        for n in ("inputs", "targets")
    )
    tables = [torch.from_numpy(np.array(t)).to(kind) for t in model.rope_tables(config, shapes.S)]
    optimizer = torch.optim.AdamW(
        params.values(), lr=reference.LEARNING_RATE, betas=(reference.BETA1, reference.BETA2),
        eps=reference.EPSILON, weight_decay=reference.WEIGHT_DECAY, fused=True,
    )  # fmt: skip

    def loss_of(params: dict) -> Any:
        logits = _forward(torch, params, inputs, tables, config)
        return torch.nn.functional.cross_entropy(
            logits.reshape(-1, logits.shape[-1]), targets.reshape(-1)
        )

    if compiled:
        loss_of = torch.compile(loss_of)

    def step() -> Callable[[], float]:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(params)
        loss.backward()
        optimizer.step()
        return _reading(torch, loss.detach())

    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    return step, f"torch{'.compile' if compiled else ''} {torch.__version__} on {name}"


def _reading(torch: Any, loss: Any) -> Callable[[], float]:
    """What gives a loss; its copy to the host is under way from now on."""
    if loss.device.type == "cpu":
        return lambda: float(loss)
    held = torch.empty((), dtype=loss.dtype, pin_memory=True)
    held.copy_(loss, non_blocking=True)
    done = torch.cuda.Event()
    done.record()

    def read() -> float:
        done.synchronize()
        return float(held)

    return read


def _forward(torch: Any, params: dict, tokens: Any, tables: list, config: Any) -> Any:
    functional = torch.nn.functional
    batch, length = tokens.shape

    def norm(x: Any, name: str) -> Any:
        return functional.rms_norm(x, x.shape[-1:], params[name], config.rms_norm_eps)

    def turned(x: Any) -> Any:
        a, b = x.chunk(2, -1)
        cos, sin = tables
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    x = params["model.embed_tokens.weight"][tokens]
    for index in range(config.num_hidden_layers):
        at = f"model.layers.{index}."

        def heads(h: Any, name: str, at: str = at) -> Any:
            out = h @ params[f"{at}self_attn.{name}.weight"]
            return out.view(batch, length, -1, config.head_size).transpose(1, 2)

        h = norm(x, at + "input_layernorm.weight")
        q, k, v = turned(heads(h, "q_proj")), turned(heads(h, "k_proj")), heads(h, "v_proj")
        repeats = q.shape[1] // k.shape[1]
        k, v = (t.repeat_interleave(repeats, 1) for t in (k, v))
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(batch, length, -1)
        x = x + mixed @ params[at + "self_attn.o_proj.weight"]
        h = norm(x, at + "post_attention_layernorm.weight")
        gate, up = (h @ params[f"{at}mlp.{n}_proj.weight"] for n in ("gate", "up"))
        x = x + (functional.silu(gate) * up) @ params[at + "mlp.down_proj.weight"]
    return norm(x, "model.norm.weight") @ params["lm_head.weight"]
