"""The train step as a pure function.

Invariant: `train_step(state, batch) -> (state, metrics)` reads nothing but its arguments and knows
neither files nor clocks nor devices; the new state has the shapes of the old, so it can be donated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from picotron import dropout, model, optim
from picotron.config import ModelConfig
from picotron.dropout import KEEP
from picotron.sharding import ONE_DEVICE, Layout
from tracer import lax, random, tree, value_and_grad
from tracer import numpy as jnp

State = dict[str, Any]


def make_train_step(
    config: ModelConfig,
    optimizer: optim.Optimizer,
    schedule: optim.Schedule | None = None,
    max_grad_norm: float = 0.0,
    layout: Layout = ONE_DEVICE,
) -> Callable[[State, dict[str, Any]], tuple[State, dict[str, Any]]]:
    """The pure step: batch int32 [A, B, S] twice; gradients are averaged over A.

    A model with dropout needs the key of the run in the state, see `initial_state`. `layout` says
    where weights, gradients and moments lie on a mesh.
    """

    def train_step(state: State, batch: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        params = state["params"]
        key = step_key(state) if config.drops else None
        loss, grads = mean_gradient(params, batch, config, key, layout)
        grads = layout.for_update(grads)
        norm = optim.global_norm(grads)
        if max_grad_norm:
            grads = optim.clip_by_global_norm(grads, norm, max_grad_norm)
        updates, moments = optimizer.update(grads, state["optimizer"], params)
        metrics = {"loss": loss, "grad_norm": norm}
        if schedule is not None:
            metrics["learning_rate"] = schedule(state["optimizer"]["count"])
        changed = {"params": optim.apply_updates(params, updates), "optimizer": moments}
        return {**state, **changed}, metrics

    return train_step


def skipping(
    train_step: Callable[[State, Any], tuple[State, Any]],
) -> Callable[[State, Any], tuple[State, Any]]:
    """A train step that leaves the state as it was if loss or gradient are no numbers."""

    def step(state: State, batch: Any) -> tuple[State, dict[str, Any]]:
        changed, metrics = train_step(state, batch)
        good = jnp.isfinite(metrics["loss"]) & jnp.isfinite(metrics["grad_norm"])
        kept = tree.map(lambda new, old: jnp.where(good, new, old), changed, state)
        return kept, metrics

    return step


def initial_state(params: Any, moments: Any, config: ModelConfig, seed: int) -> State:
    """The state before the first step: `rng`, the key of a run, only where something is dropped."""
    state = {"params": params, "optimizer": moments}
    return {**state, "rng": random.key_data(random.key(seed))} if config.drops else state


def step_key(state: State) -> Any:
    """The key of one step: that of the run, folded with the number of steps done."""
    return random.fold_in(random.wrap_key_data(state["rng"]), state["optimizer"]["count"])


def make_eval_loss(config: ModelConfig) -> Callable[[Any, dict[str, Any]], Any]:
    """The loss of params on a batch int32 [B, S] twice."""

    def eval_loss(params: Any, batch: dict[str, Any]) -> Any:
        return model.loss(params, batch, config)

    return eval_loss


def mean_gradient(
    params: Any,
    batch: dict[str, Any],
    config: ModelConfig,
    key: Any = None,
    layout: Layout = ONE_DEVICE,
) -> tuple[Any, Any]:
    """Loss and gradient averaged over the leading axis of the batch, one part after another.

    With a `key`, each part drops what its own key says. On a mesh, weights and gradients lie as
    `layout` says.
    """

    def loss(weights: Any, part: dict[str, Any], drops: dropout.Drops) -> Any:
        return model.loss(layout.in_use(weights), part, config, drops)

    def loss_and_grad(part: dict[str, Any], number: Any) -> tuple[Any, Any]:
        drops = KEEP if key is None else dropout.drops(config, random.fold_in(key, number))
        return value_and_grad(partial(loss, drops=drops))(params, part)

    parts = batch["inputs"].shape[0]
    if parts == 1:
        return loss_and_grad({name: rows[0] for name, rows in batch.items()}, 0)

    def add(total: tuple[Any, Any], numbered: tuple[Any, Any]) -> tuple[tuple[Any, Any], None]:
        return tree.map(lambda a, b: a + b, total, loss_and_grad(*numbered)), None

    zeros = jnp.zeros(()), tree.map(jnp.zeros_like, params)
    total, _ = lax.scan(add, zeros, (batch, jnp.arange(parts)))
    return tree.map(lambda leaf: leaf * (1.0 / parts), total)
