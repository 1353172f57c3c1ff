"""The train step as a pure function.

Invariant: `train_step(state, batch) -> (state, metrics)` reads nothing but its arguments and knows
neither files nor clocks nor devices; the new state has the shapes of the old, so it can be donated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from picotron import dropout, model, optim
from picotron.config import Config, ModelConfig
from picotron.dropout import KEEP
from picotron.precision import (
    POLICIES,
    Policy,
    copies,
    first_scale,
    next_scale,
    policy_of,
    value_and_gradient,
)
from picotron.sharding import ONE_DEVICE, Layout
from tracer import ShapeDtypeStruct, eval_shape, lax, random, tree
from tracer import numpy as jnp

State = dict[str, Any]


def make_train_step(
    config: ModelConfig,
    optimizer: optim.GradientTransformation,
    schedule: optim.Schedule | None = None,
    max_grad_norm: float = 0.0,
    layout: Layout = ONE_DEVICE,
    policy: Policy = POLICIES["f32"],
    ema_decay: float = 0.0,
) -> Callable[[State, dict[str, Any]], tuple[State, dict[str, Any]]]:
    """The pure step: batch int32 [A, B, S] twice; gradients are averaged over A.

    A batch with `segments` keeps attention within them. The state is that of `initial_state`: it
    has a key for dropout, a loss scale for f16 and an average of the weights where they are needed.
    `layout` says where weights, gradients and moments lie on a mesh.
    """

    update = make_update(optimizer, schedule, max_grad_norm, policy, ema_decay)

    def train_step(state: State, batch: dict[str, Any]) -> tuple[State, dict[str, Any]]:
        params = state["params"]
        key = step_key(state["rng"], state["optimizer"]["count"]) if config.drops else None
        scale = state["loss_scale"]["scale"] if policy.scales else None
        loss, grads = mean_gradient(params, batch, config, key, layout, policy, scale)
        grads = layout.for_update(grads)
        return update(state, (loss, grads, optim.global_norm(grads)))

    return train_step


def make_update(
    optimizer: optim.GradientTransformation,
    schedule: optim.Schedule | None = None,
    max_grad_norm: float = 0.0,
    policy: Policy = POLICIES["f32"],
    ema_decay: float = 0.0,
) -> Callable[[State, tuple[Any, Any, Any]], tuple[State, dict[str, Any]]]:
    """What a step does with (loss, gradients, their norm): the state after it, and its metrics.

    A state of some of the weights, with their gradients, does as well as the whole one.
    """

    def update(state: State, found: tuple[Any, Any, Any]) -> tuple[State, dict[str, Any]]:
        params, count = state["params"], state["optimizer"]["count"]
        loss, grads, norm = found
        if max_grad_norm:
            grads = optim.clipped_to(grads, norm, max_grad_norm)
        updates, moments = optimizer.update(grads, state["optimizer"], params)
        metrics = {"loss": loss, "grad_norm": norm}
        if schedule is not None:
            metrics["learning_rate"] = schedule(count)
        changed = {"params": optim.apply_updates(params, updates), "optimizer": moments}
        if ema_decay:
            average = state["ema"]
            changed["ema"] = optim.averaged(average, changed["params"], ema_decay, count)
        if policy.scales:
            return _unless_overflown({**state, **changed}, state, metrics)
        return {**state, **changed}, metrics

    return update


def _unless_overflown(
    changed: State, state: State, metrics: dict[str, Any]
) -> tuple[State, dict[str, Any]]:
    """The changed state, or the old one with a smaller loss scale if the gradient overflowed.

    Such a step tells a norm of 0, since a scale too large is no fault of the run; a scale that can
    fall no further is.
    """
    finite = jnp.isfinite(metrics["grad_norm"])
    kept = tree.map(lambda new, old: jnp.where(finite, new, old), changed, state)
    kept["loss_scale"] = next_scale(state["loss_scale"], finite)
    told = finite | (state["loss_scale"]["scale"] <= 1.0)
    return kept, {**metrics, "grad_norm": jnp.where(told, metrics["grad_norm"], 0.0)}


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


def initial_state(params: Any, moments: Any, config: Config) -> State:
    """The state before the first step.

    `rng`, the key of the run, is there only where something is dropped, `loss_scale` only for f16,
    `ema` only where an average of the weights is wanted.
    """
    state, training = {"params": params, "optimizer": moments}, config.training
    if config.model.drops:
        state["rng"] = random.key_data(random.key(training.seed))
    if policy_of(training.precision).scales:
        state["loss_scale"] = first_scale()
    if training.ema_decay:
        state["ema"] = tree.map(_copied, params)
    return state


def _copied(weight: Any) -> Any:
    """Memory of its own, since the state is donated; a shape stays a shape."""
    return weight if isinstance(weight, ShapeDtypeStruct) else jnp.array(weight, copy=True)


def state_shapes(config: Config, optimizer: optim.GradientTransformation) -> State:
    """The state of a run as shapes: nothing is allocated."""
    shapes = model.parameter_shapes(config.model)
    params = model.unflatten({n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()})
    return initial_state(params, eval_shape(optimizer.init, params), config)


def batch_shapes(config: Config) -> dict[str, ShapeDtypeStruct]:
    """What a step reads of the text: int32 [micro-batches, rows of all dp members, positions]."""
    training = config.training
    rows = training.micro_batch_size * config.distributed.dp_size
    sizes = training.gradient_accumulation_steps, rows, training.seq_length
    names = ("inputs", "targets", *(["segments"] if config.dataset.document_mask else []))
    return dict.fromkeys(names, ShapeDtypeStruct(sizes, np.int32))


def weights_of(state: State) -> Any:
    """What is validated and sampled: the average of the weights if there is one."""
    return state.get("ema", state["params"])


def step_key(rng: Any, count: Any) -> Any:
    """The key of one step: that of the run, as data, folded with the number of steps done."""
    return random.fold_in(random.wrap_key_data(rng), count)


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
    policy: Policy = POLICIES["f32"],
    scale: Any = None,
) -> tuple[Any, Any]:
    """Loss and gradient averaged over the leading axis of the batch, one part after another.

    With a `key`, each part drops what its own key says. On a mesh, weights and gradients lie as
    `layout` says. `scale` is that of the loss in float16.
    """
    weights = copies(params, policy)

    def loss_at(weights: Any, part: dict[str, Any], drops: dropout.Drops) -> Any:
        return model.loss(layout.in_use(weights), part, config, drops, policy.compute)

    def loss_and_grad(part: dict[str, Any], number: Any) -> tuple[Any, Any]:
        drops = KEEP if key is None else dropout.drops(config, random.fold_in(key, number))
        loss = partial(loss_at, part=part, drops=drops)
        return value_and_gradient(loss, weights, policy, scale)

    parts = batch["inputs"].shape[0]
    if parts == 1:
        loss, grads = loss_and_grad({name: rows[0] for name, rows in batch.items()}, 0)
        return loss, grads if scale is None else tree.map(lambda g: g * (1.0 / scale), grads)

    def add(total: tuple[Any, Any], numbered: tuple[Any, Any]) -> tuple[tuple[Any, Any], None]:
        return tree.map(lambda a, b: a + b, total, loss_and_grad(*numbered)), None

    zeros = jnp.zeros(()), tree.map(jnp.zeros_like, params)
    (loss, grads), _ = lax.scan(add, zeros, (batch, jnp.arange(parts)))
    share = 1.0 / parts if scale is None else 1.0 / (parts * scale)
    return loss * (1.0 / parts), tree.map(lambda leaf: leaf * share, grads)
