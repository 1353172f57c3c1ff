"""Mixed precision: what forward and backward passes compute with (Micikevicius et al., 2018).

Invariant: the weights that are updated, the optimizer's moments and the sum of the gradients of a
step are float32 under every policy. The state of a loss scale is part of the train state, so a
resumed run scales as an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tracer import lax, tree, value_and_grad
from tracer import numpy as jnp

SCALE, GROWTH_STEPS = 2.0**16, 2000
"""A first loss scale, and the good steps after which it doubles: torch's GradScaler."""


@dataclass(frozen=True)
class Policy:
    """`storage`: dtype of the weights' copies that a step reads; `compute`: of activations."""

    name: str
    storage: Any
    compute: Any
    why: str

    @property
    def scales(self) -> bool:
        """Whether gradients could underflow without a loss scale."""
        return self.compute == jnp.float16


POLICIES = {
    "f32": Policy("f32", jnp.float32, jnp.float32, "every number is float32"),
    "bf16": Policy(
        "bf16",
        jnp.bfloat16,
        jnp.float32,
        "weights are read as bfloat16, two to a word, and multiplied in float32, because WGSL has "
        "no bfloat16 arithmetic",
    ),
    "f16": Policy(
        "f16",
        jnp.float16,
        jnp.float16,
        "weights and activations are float16; the loss is scaled so that gradients do not vanish",
    ),
}


def policy_of(precision: str) -> Policy:
    """The policy of `training.precision`; auto is float32, which is right everywhere."""
    return POLICIES["f32" if precision == "auto" else precision]


def described(precision: str) -> str:
    """One line for the log: the policy and why it was chosen."""
    policy = policy_of(precision)
    chosen = "by default" if precision == "auto" else "as training.precision asks"
    return f"precision {policy.name} {chosen}: {policy.why}"


def copies(params: Any, policy: Policy) -> Any:
    """The weights as a step reads them, stored once per step."""
    if policy.storage == jnp.float32:
        return params
    # The barrier keeps kernels from reading the float32 weights and converting each time.
    return lax.optimization_barrier(tree.map(lambda w: w.astype(policy.storage), params))


def value_and_gradient(
    loss: Callable[[Any], Any], weights: Any, policy: Policy, scale: Any = None
) -> tuple[Any, Any]:
    """Loss and float32 gradient at copies of the weights; the gradient is `scale` times too big."""
    if policy.compute == jnp.float32:
        wide = tree.map(lambda w: w.astype(jnp.float32), weights)
        return value_and_grad(loss)(wide)

    def scaled(weights: Any) -> Any:
        value = loss(weights)
        return value * scale, value

    (_, value), grads = value_and_grad(scaled, has_aux=True)(weights)
    return value, tree.map(lambda g: g.astype(jnp.float32), grads)


def first_scale() -> dict[str, Any]:
    """The loss scale of a new run, and how many steps in a row it was right."""
    return {"scale": jnp.full((), SCALE, jnp.float32), "good": jnp.zeros((), jnp.int32)}


def next_scale(state: dict[str, Any], finite: Any) -> dict[str, Any]:
    """Half of the scale after gradients that overflowed, twice as much after many that did not."""
    scale, good = state["scale"], jnp.where(finite, state["good"] + 1, 0)
    grown = good >= GROWTH_STEPS
    after = jnp.where(finite, jnp.where(grown, scale * 2.0, scale), jnp.maximum(scale * 0.5, 1.0))
    return {"scale": after, "good": jnp.where(grown, 0, good)}
