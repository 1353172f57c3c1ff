"""Gradient transformations, the parts that optimizers are chained from; names are optax's.

Invariant: a transformation is a pair of pure functions. Work per weight is elementwise and stays in
one kernel per weight however many parts a chain has, because fusion follows the data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tracer import numpy as jnp
from tracer import tree

Mask = Callable[[str, Any], Any]
"""Of a weight's dotted name and the weight: whether, or how much."""


class GradientTransformation(NamedTuple):
    """init(params) -> state; update(grads, state, params) -> (updates, state)."""

    init: Callable[[Any], Any]
    update: Callable[..., tuple[Any, Any]]


def stateless(change: Callable[[Any, Any], Any]) -> GradientTransformation:
    """The transformation `change(updates, params)`."""
    return GradientTransformation(
        lambda params: (), lambda updates, state, params=None: (change(updates, params), state)
    )


def identity() -> GradientTransformation:
    """Updates as they are."""
    return stateless(lambda updates, params: updates)


def chain(*parts: GradientTransformation) -> GradientTransformation:
    """One after another; the state is the tuple of theirs."""

    def init(params: Any) -> tuple[Any, ...]:
        return tuple(part.init(params) for part in parts)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, tuple[Any, ...]]:
        after = []
        for part, before in zip(parts, state, strict=True):
            updates, changed = part.update(updates, before, params)
            after.append(changed)
        return updates, tuple(after)

    return GradientTransformation(init, update)


def multi_transform(
    parts: Mapping[str, GradientTransformation], label: Callable[[str, Any], str]
) -> GradientTransformation:
    """Each weight through the part that `label(dotted name, weight)` names.

    The state has one entry per label; there, trees of weights are dicts by dotted name.
    """

    def split(values: Any, params: Any) -> dict[str, dict[str, Any]]:
        groups: dict[str, dict[str, Any]] = {name: {} for name in parts}
        named = zip(named_leaves(params), tree.leaves(values), strict=True)
        for (path, weight), value in named:
            groups[label(path, weight)][path] = value
        return groups

    def init(params: Any) -> Any:
        groups = split(params, params)
        return {name: part.init(groups[name]) for name, part in parts.items()}

    def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        gradients, weights = split(updates, params), split(params, params)
        merged, after = {}, {}
        for name, part in parts.items():
            changed, after[name] = part.update(gradients[name], state[name], weights[name])
            merged |= changed
        paths = [path for path, _ in named_leaves(params)]
        return tree.unflatten(tree.structure(params), [merged[p] for p in paths]), after

    return GradientTransformation(init, update)


def apply_updates(params: Any, updates: Any) -> Any:
    """Weights plus updates, leaf by leaf."""
    return tree.map(lambda weight, change: weight + change, params, updates)


# -- parts -------------------------------------------------------------------------------------


def scale(factor: float) -> GradientTransformation:
    """All updates times `factor`."""
    return stateless(lambda updates, _: tree.map(lambda u: factor * u, updates))


def clip_by_global_norm(max_norm: float) -> GradientTransformation:
    """All updates times min(1, max_norm / their norm)."""
    return stateless(lambda updates, _: clipped_to(updates, global_norm(updates), max_norm))


def add_decayed_weights(weight_decay: float, mask: Mask | None = None) -> GradientTransformation:
    """Adds weight_decay * mask(name, weight) * weight; without a mask, to all."""

    def add(updates: Any, params: Any) -> Any:
        def one(path: Any, update: Any, weight: Any) -> Any:
            share = weight_decay * (1.0 if mask is None else float(mask(dotted(path), weight)))
            return update + share * weight if share else update

        return tree.map_with_path(one, updates, params)

    return stateless(add)


def trace(decay: float, nesterov: bool = False) -> GradientTransformation:
    """Momentum: t = g + decay * t; gives t, or g + decay * t with nesterov."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        sums = tree.map(lambda g, t: g + decay * t, updates, state["trace"])
        ahead = tree.map(lambda g, t: g + decay * t, updates, sums) if nesterov else sums
        return ahead, {"trace": sums}

    return GradientTransformation(lambda params: {"trace": zeros_like(params)}, update)


def scale_by_adam(b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> GradientTransformation:
    """m̂ / (sqrt(v̂) + eps) (Kingma & Ba, 2015)."""

    def init(params: Any) -> Any:
        return {"count": zero(), "mu": zeros_like(params), "nu": zeros_like(params)}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        count = state["count"] + 1
        unbias1, unbias2 = unbias(b1, count), unbias(b2, count)
        mu = tree.map(lambda m, g: b1 * m + (1 - b1) * g, state["mu"], updates)
        nu = tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state["nu"], updates)
        made = tree.map(lambda m, v: (m * unbias1) / (jnp.sqrt(v * unbias2) + eps), mu, nu)
        return made, {"count": count, "mu": mu, "nu": nu}

    return GradientTransformation(init, update)


def scale_by_lion(b1: float = 0.9, b2: float = 0.99) -> GradientTransformation:
    """sign(b1 m + (1 - b1) g), then m = b2 m + (1 - b2) g (Chen et al., 2023)."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        made = tree.map(lambda m, g: jnp.sign(b1 * m + (1 - b1) * g), state["mu"], updates)
        return made, {"mu": tree.map(lambda m, g: b2 * m + (1 - b2) * g, state["mu"], updates)}

    return GradientTransformation(lambda params: {"mu": zeros_like(params)}, update)


def scale_by_learning_rate(
    learning_rate: float | Callable[[Any], Any], factor: Mask | None = None
) -> GradientTransformation:
    """Times minus the rate, and times factor(name, weight) where that is given."""

    def init(params: Any) -> Any:
        return {"count": zero()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        rate = rate_at(learning_rate, state["count"])

        def one(path: Any, change: Any) -> Any:
            own = 1.0 if factor is None else float(factor(dotted(path), change))
            return (-rate if own == 1.0 else -rate * own) * change

        return tree.map_with_path(one, updates), {"count": state["count"] + 1}

    return GradientTransformation(init, update)


# -- sums and averages -------------------------------------------------------------------------


def global_norm(updates: Any) -> Any:
    """Square root of the sum of squares of all leaves."""
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in tree.leaves(updates)))


def clipped_to(updates: Any, norm: Any, maximum: Any) -> Any:
    """Updates scaled so that their norm, given, is at most `maximum`."""
    factor = jnp.minimum(maximum / (norm + 1e-6), 1.0)
    return tree.map(lambda leaf: leaf * factor, updates)


def averaged(average: Any, params: Any, decay: float, count: Any) -> Any:
    """The exponential moving average of weights after step `count` (from 0).

    While few steps are done the decay is (1 + count) / (10 + count), so that the start is forgotten
    (as TensorFlow's ExponentialMovingAverage).
    """
    done = count.astype(jnp.float32)
    keep = jnp.minimum(decay, (1.0 + done) / (10.0 + done))
    return tree.map(lambda a, w: w + keep * (a - w), average, params)


# -- names and small change --------------------------------------------------------------------


def dotted(path: Any) -> str:
    """A path as `layers.0.weight`."""
    return tree.keystr(path, simple=True, separator=".")


def named_leaves(params: Any) -> list[tuple[str, Any]]:
    """(dotted name, leaf) of each leaf, in the tree's order."""
    return [(dotted(path), leaf) for path, leaf in tree.leaves_with_path(params)]


def zeros_like(params: Any) -> Any:
    return tree.map(jnp.zeros_like, params)


def zero() -> Any:
    return jnp.zeros((), jnp.int32)


def rate_at(learning_rate: float | Callable[[Any], Any], count: Any) -> Any:
    """The learning rate at a step: a constant, or a schedule of the number of steps done."""
    return learning_rate(count) if callable(learning_rate) else learning_rate


def unbias(beta: float, count: Any) -> Any:
    """1 / (1 - beta**count), the correction for moments that start at zero; accurate for a beta
    near 1, where the difference would lose its digits."""
    return -1.0 / jnp.expm1(count.astype(jnp.float32) * math.log(beta)) if beta else 1.0
