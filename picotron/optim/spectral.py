"""Muon: momentum whose matrices are made orthogonal (Jordan et al., 2024).

Invariant: `orthogonalized` moves all singular values of a matrix into about [0.7, 1.2] and leaves
its singular vectors; the polynomial and its coefficients are those of the reference.
"""

from __future__ import annotations

import math
from typing import Any

from picotron.optim.optimizers import Rate, adamw
from picotron.optim.transform import (
    GradientTransformation,
    Mask,
    add_decayed_weights,
    chain,
    multi_transform,
    scale_by_learning_rate,
    zeros_like,
)
from tracer import numpy as jnp
from tracer import tree

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonalized(matrix: Any, steps: int = STEPS, eps: float = 1e-7) -> Any:
    """The nearest semi-orthogonal matrix of [rows, columns], by Newton and Schulz's iteration."""
    rows, columns = matrix.shape
    a, b, c = COEFFICIENTS
    x = matrix.transpose(1, 0) if rows > columns else matrix
    x = x / (jnp.sqrt(jnp.sum(x * x)) + eps)
    for _ in range(steps):
        gram = x @ x.transpose(1, 0)
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    return x.transpose(1, 0) if rows > columns else x


def scale_by_muon(momentum: float = 0.95, nesterov: bool = True) -> GradientTransformation:
    """Orthogonal matrices times sqrt(max(1, out / in)); weights are [in, out]."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        averages = tree.map(
            lambda t, g: momentum * t + (1 - momentum) * g, state["momentum"], updates
        )

        def step(average: Any, gradient: Any) -> Any:
            if nesterov:
                average = momentum * average + (1 - momentum) * gradient
            inner, outer = average.shape
            return math.sqrt(max(1.0, outer / inner)) * orthogonalized(average)

        return tree.map(step, averages, updates), {"momentum": averages}

    return GradientTransformation(lambda params: {"momentum": zeros_like(params)}, update)


def muon(
    learning_rate: Rate,
    is_matrix: Mask,
    adam: GradientTransformation | None = None,
    momentum: float = 0.95,
    nesterov: bool = True,
    weight_decay: float = 0.0,
    decays: Mask | None = None,
    factor: Mask | None = None,
) -> GradientTransformation:
    """Muon for what `is_matrix(name, weight)` says, `adam` (AdamW by default) for what is left."""
    spectral = chain(
        scale_by_muon(momentum, nesterov),
        add_decayed_weights(weight_decay, decays),
        scale_by_learning_rate(learning_rate, factor),
    )
    parts = {"muon": spectral, "adamw": adam or adamw(learning_rate)}
    return multi_transform(parts, lambda name, w: "muon" if is_matrix(name, w) else "adamw")
