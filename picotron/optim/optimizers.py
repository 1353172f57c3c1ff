"""The optimizers of elementwise updates: SGD, AdamW, Lion.

Invariant: each equals the chain of its parts in `transform`. States are flat dicts with one step
count, so a checkpoint reads the same whichever parts an optimizer is made of.
"""

from __future__ import annotations

from typing import Any

from picotron.optim.schedules import Schedule
from picotron.optim.transform import (
    GradientTransformation,
    Mask,
    add_decayed_weights,
    dotted,
    rate_at,
    scale_by_lion,
    trace,
    unbias,
    zero,
    zeros_like,
)
from tracer import numpy as jnp
from tracer import tree

Rate = float | Schedule


def _always(name: str, weight: Any) -> float:
    return 1.0


def adamw(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    decays: Mask = _always,
    factor: Mask = _always,
) -> GradientTransformation:
    """Adam with decoupled decay: w -= lr * (m̂ / (sqrt(v̂) + eps) + weight_decay * w).

    `decays(name, weight)` is the share of weight_decay that a weight takes, `factor(name, weight)`
    that of the rate (Loshchilov & Hutter, 2019).
    """

    def init(params: Any) -> Any:
        return {"count": zero(), "mu": zeros_like(params), "nu": zeros_like(params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        count = state["count"] + 1
        rate = rate_at(learning_rate, state["count"])
        unbias1, unbias2 = unbias(b1, count), unbias(b2, count)
        mu = tree.map(lambda m, g: b1 * m + (1 - b1) * g, state["mu"], grads)
        nu = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state["nu"], grads)

        # One expression per weight, so that its kernel stands in one place of the program.
        def step(path: Any, m: Any, v: Any, weight: Any) -> Any:
            direction = (m * unbias1) / (jnp.sqrt(v * unbias2) + eps)
            share = weight_decay * float(decays(dotted(path), weight))
            if share:
                direction = direction + share * weight
            own = float(factor(dotted(path), weight))
            return (-rate if own == 1.0 else -rate * own) * direction

        made = tree.map_with_path(step, mu, nu, params)
        return made, {"count": count, "mu": mu, "nu": nu}

    return GradientTransformation(init, update)


def sgd(
    learning_rate: Rate,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decays: Mask = _always,
    factor: Mask = _always,
) -> GradientTransformation:
    """w -= lr * t with t = momentum * t + g, and g + momentum * t for it with nesterov.

    The decay is part of the gradient, as in torch.
    """
    decay, inner = add_decayed_weights(weight_decay, decays), trace(momentum, nesterov)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        grads, _ = decay.update(grads, (), params)
        updates, own = inner.update(grads, state, params)
        return _scaled(updates, learning_rate, state, factor), _counted(state, own)

    return GradientTransformation(lambda params: _started(inner, params), update)


def lion(
    learning_rate: Rate,
    b1: float = 0.9,
    b2: float = 0.99,
    weight_decay: float = 0.0,
    decays: Mask = _always,
    factor: Mask = _always,
) -> GradientTransformation:
    """w -= lr * (sign(b1 m + (1 - b1) g) + weight_decay * w) (Chen et al., 2023)."""
    inner, decay = scale_by_lion(b1, b2), add_decayed_weights(weight_decay, decays)

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        updates, own = inner.update(grads, state, params)
        updates, _ = decay.update(updates, (), params)
        return _scaled(updates, learning_rate, state, factor), _counted(state, own)

    return GradientTransformation(lambda params: _started(inner, params), update)


def _started(inner: GradientTransformation, params: Any) -> dict[str, Any]:
    return {"count": zero(), **inner.init(params)}


def _counted(state: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return {"count": state["count"] + 1, **own}


def _scaled(updates: Any, learning_rate: Rate, state: dict[str, Any], factor: Mask) -> Any:
    """Updates times minus the rate of this step and the weight's own factor."""
    rate = rate_at(learning_rate, state["count"])

    def one(path: Any, change: Any) -> Any:
        own = float(factor(dotted(path), change))
        return (-rate if own == 1.0 else -rate * own) * change

    return tree.map_with_path(one, updates)
