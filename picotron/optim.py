"""Optimizers as pairs of pure functions over pytrees.

Invariant: `update(grads, state, params) -> (updates, state)` reads nothing but its arguments, so
it can be traced; `apply_updates` adds the updates. States are plain dicts of arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from picotron.config import TrainingConfig
from tracer import numpy as jnp
from tracer import tree

Schedule = Callable[[Any], Any]


class Optimizer(NamedTuple):
    """init(params) -> state; update(grads, state, params) -> (updates, state)."""

    init: Callable[[Any], Any]
    update: Callable[[Any, Any, Any], tuple[Any, Any]]


def sgd(learning_rate: float | Schedule, momentum: float = 0.0) -> Optimizer:
    """w -= lr * trace, where trace = momentum * trace + g."""

    def init(params: Any) -> Any:
        return {"count": _zero(), "trace": tree.map(jnp.zeros_like, params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        rate = _rate(learning_rate, state["count"])
        trace = tree.map(lambda t, g: momentum * t + g, state["trace"], grads)
        updates = tree.map(lambda t: -rate * t, trace)
        return updates, {"count": state["count"] + 1, "trace": trace}

    return Optimizer(init, update)


def adamw(
    learning_rate: float | Schedule,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decays: Callable[[Any], bool] = lambda weight: True,
) -> Optimizer:
    """Adam with decoupled decay: w -= lr * (m̂ / (sqrt(v̂) + eps) + weight_decay * w).

    `decays(weight)` says, from its shape, whether a weight decays.
    """

    def init(params: Any) -> Any:
        zeros = tree.map(jnp.zeros_like, params)
        return {"count": _zero(), "mu": zeros, "nu": tree.map(jnp.zeros_like, params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        count = state["count"] + 1
        rate = _rate(learning_rate, state["count"])
        unbias1, unbias2 = _unbias(b1, count), _unbias(b2, count)
        mu = tree.map(lambda m, g: b1 * m + (1 - b1) * g, state["mu"], grads)
        nu = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state["nu"], grads)

        def step(m: Any, v: Any, weight: Any) -> Any:
            direction = (m * unbias1) / (jnp.sqrt(v * unbias2) + eps)
            if weight_decay and decays(weight):
                direction = direction + weight_decay * weight
            return -rate * direction

        return tree.map(step, mu, nu, params), {"count": count, "mu": mu, "nu": nu}

    return Optimizer(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    return tree.map(lambda weight, change: weight + change, params, updates)


def global_norm(grads: Any) -> Any:
    """Square root of the sum of squares of all leaves."""
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in tree.leaves(grads)))


def clip_by_global_norm(grads: Any, norm: Any, maximum: float) -> Any:
    """Gradients scaled so that their norm, given, is at most `maximum`."""
    scale = jnp.minimum(maximum / (norm + 1e-6), 1.0)
    return tree.map(lambda leaf: leaf * scale, grads)


def warmup_cosine(peak: float, floor: float, warmup_steps: int, total_steps: int) -> Schedule:
    """Linear from peak/warmup_steps to `peak`, then a half cosine down to `floor`; count from 0."""
    decay_steps = max(total_steps - warmup_steps, 1)

    def schedule(count: Any) -> Any:
        done = count.astype(jnp.float32)
        rising = (done + 1.0) * (peak / max(warmup_steps, 1))
        progress = jnp.minimum((done - warmup_steps) / decay_steps, 1.0)
        falling = floor + (peak - floor) * 0.5 * (1.0 + jnp.cos(math.pi * progress))
        return jnp.where(done < warmup_steps, rising, falling)

    return schedule


def from_config(config: TrainingConfig) -> tuple[Optimizer, Schedule]:
    """The optimizer a run asks for and its learning-rate schedule; only matrices decay."""
    rate = warmup_cosine(
        config.learning_rate,
        config.min_learning_rate,
        config.warmup_steps,
        config.total_train_steps,
    )
    if config.optimizer == "sgd":
        return sgd(rate, config.momentum), rate
    betas = config.adam_beta1, config.adam_beta2
    is_matrix = _is_matrix
    return adamw(rate, *betas, config.adam_epsilon, config.weight_decay, is_matrix), rate


def _is_matrix(weight: Any) -> bool:
    return len(weight.shape) >= 2


def _zero() -> Any:
    return jnp.zeros((), jnp.int32)


def _rate(learning_rate: float | Schedule, count: Any) -> Any:
    return learning_rate(count) if callable(learning_rate) else learning_rate


def _unbias(beta: float, count: Any) -> Any:
    """1 / (1 - beta**count), the correction for moments that start at zero."""
    power = jnp.exp(count.astype(jnp.float32) * math.log(beta)) if beta else 0.0
    return 1.0 / (1.0 - power)
