"""The train step as a pure function.

Invariant: `train_step(state, batch) -> (state, metrics)` reads nothing but its arguments and knows
neither files nor clocks nor devices; the new state has the shapes of the old, so it can be donated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from picotron import model, optim
from picotron.config import ModelConfig
from tracer import lax, tree, value_and_grad
from tracer import numpy as jnp

State = dict[str, Any]


def make_train_step(
    config: ModelConfig,
    optimizer: optim.Optimizer,
    schedule: optim.Schedule | None = None,
    max_grad_norm: float = 0.0,
) -> Callable[[State, dict[str, Any]], tuple[State, dict[str, Any]]]:
    """The pure step: batch int32 [A, B, S] twice; gradients are averaged over A."""

    def train_step(state: State, batch: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        params = state["params"]
        loss, grads = mean_gradient(params, batch, config)
        norm = optim.global_norm(grads)
        if max_grad_norm:
            grads = optim.clip_by_global_norm(grads, norm, max_grad_norm)
        updates, moments = optimizer.update(grads, state["optimizer"], params)
        metrics = {"loss": loss, "grad_norm": norm}
        if schedule is not None:
            metrics["learning_rate"] = schedule(state["optimizer"]["count"])
        return {"params": optim.apply_updates(params, updates), "optimizer": moments}, metrics

    return train_step


def make_eval_loss(config: ModelConfig) -> Callable[[Any, dict[str, Any]], Any]:
    """The loss of params on a batch int32 [B, S] twice."""

    def eval_loss(params: Any, batch: dict[str, Any]) -> Any:
        return model.loss(params, batch, config)

    return eval_loss


def mean_gradient(params: Any, batch: dict[str, Any], config: ModelConfig) -> tuple[Any, Any]:
    """Loss and gradient averaged over the leading axis of the batch, one part after another."""
    loss_and_grad = value_and_grad(partial(model.loss, config=config))
    parts = batch["inputs"].shape[0]
    if parts == 1:
        return loss_and_grad(params, {name: rows[0] for name, rows in batch.items()})

    def add(total: tuple[Any, Any], part: dict[str, Any]) -> tuple[tuple[Any, Any], None]:
        return tree.map(lambda a, b: a + b, total, loss_and_grad(params, part)), None

    zeros = jnp.zeros(()), tree.map(jnp.zeros_like, params)
    total, _ = lax.scan(add, zeros, batch)
    return tree.map(lambda leaf: leaf * (1.0 / parts), total)
