"""The reference train step: fixed shapes, weights and data that any language can reproduce.

Invariant: every number is made by integer arithmetic and exactly rounded float32 operations, so
that losses can be compared with other implementations: with k = the top 24 bits of
lowbias32(i * 2654435761 + seed * 40503 + 12345), weight i is (k / 2**23 - 1) * a.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from picotron import optim
from picotron.config import ModelConfig
from picotron.model import Params, parameter_shapes, unflatten
from picotron.sharding import Layout
from picotron.step import make_train_step
from tracer import ShapeDtypeStruct
from tracer.kept import determined

LEARNING_RATE, BETA1, BETA2, EPSILON, WEIGHT_DECAY = 1e-3, 0.9, 0.95, 1e-8, 0.1
EMBEDDING_DEVIATION = 0.02


@dataclass(frozen=True)
class Shapes:
    """Vocabulary, hidden, heads, key/value heads, layers, intermediate, sequence, batch."""

    V: int
    H: int
    NH: int
    NKV: int
    L: int
    I: int  # noqa: E741 - the file's own key
    S: int
    B: int

    @property
    def model(self) -> ModelConfig:
        return ModelConfig(
            vocab_size=self.V,
            hidden_size=self.H,
            intermediate_size=self.I,
            num_hidden_layers=self.L,
            num_attention_heads=self.NH,
            num_key_value_heads=self.NKV,
            max_position_embeddings=self.S,
            rms_norm_eps=1e-5,
            rope_theta=10000.0,
        )


SMALL = Shapes(V=256, H=128, NH=4, NKV=2, L=2, I=352, S=128, B=8)
LARGE = Shapes(V=256, H=512, NH=8, NKV=4, L=8, I=1408, S=256, B=4)


def train_step(
    shapes: Shapes = SMALL, mesh: Mapping[str, int] | None = None, **cuts: bool
) -> tuple[Callable[..., Any], tuple[Any, Any]]:
    """The pure step and example arguments (state, batch), numpy arrays.

    On a `mesh` of these sizes, jitted with the shardings of `picotron.sharding.Layout`, which takes
    `cuts`.
    """
    params = weights(shapes)
    zeros = {path: np.zeros(shape, np.float32) for path, shape in _shapes(shapes).items()}
    moments = {"count": np.zeros((), np.int32), "mu": unflatten(zeros), "nu": unflatten(zeros)}
    given = {"params": params, "optimizer": moments}, batch(shapes)
    if mesh is None:
        return _step(shapes), given
    layout = Layout(mesh, **cuts)
    layout.check(shapes.model, shapes.B, shapes.S)
    step = make_train_step(shapes.model, optimizer(), layout=layout)
    return layout.jitted(step, shapes.model), given


def abstract_step(shapes: Shapes) -> tuple[Callable[..., Any], tuple[Any, Any]]:
    """The pure step and the types of its arguments, for shapes whose weights would be large."""
    types = {path: ShapeDtypeStruct(s, np.float32) for path, s in _shapes(shapes).items()}
    params, count = unflatten(types), ShapeDtypeStruct((), np.int32)
    tokens = ShapeDtypeStruct((1, shapes.B, shapes.S), np.int32)
    state = {"params": params, "optimizer": {"count": count, "mu": params, "nu": params}}
    return _step(shapes), (state, {"inputs": tokens, "targets": tokens})


def _step(shapes: Shapes) -> Callable[..., Any]:
    return determined(make_train_step(shapes.model, optimizer()), "reference", shapes)


def optimizer() -> optim.GradientTransformation:
    """AdamW at a constant rate; every weight decays."""
    return optim.adamw(LEARNING_RATE, BETA1, BETA2, EPSILON, WEIGHT_DECAY)


def weights(shapes: Shapes) -> Params:
    """Seed k + 1 for the k-th parameter: a = sqrt(3 / fan_in), embedding deviation 0.02."""

    def fill(index: int, path: str, shape: tuple[int, ...]) -> np.ndarray:
        if len(shape) == 1:
            return np.ones(shape, np.float32)
        is_embedding = path == "model.embed_tokens.weight"
        bound = EMBEDDING_DEVIATION * 3**0.5 if is_embedding else (3 / shape[0]) ** 0.5
        return uniform(index + 1, shape, bound)

    items = enumerate(_shapes(shapes).items())
    return unflatten({path: fill(index, path, shape) for index, (path, shape) in items})


def batch(shapes: Shapes) -> dict[str, np.ndarray]:
    """Inputs and targets, int32 [1, B, S]: one fixed batch, so that the loss must fall."""
    count = shapes.B * (shapes.S + 1)
    tokens = (hashed(7777, count) % np.uint32(shapes.V)).astype(np.int32)
    rows = tokens.reshape(1, shapes.B, shapes.S + 1)
    return {"inputs": rows[..., :-1].copy(), "targets": rows[..., 1:].copy()}


def uniform(seed: int, shape: tuple[int, ...], bound: float) -> np.ndarray:
    """float32 in [-bound, bound)."""
    top = (hashed(seed, math.prod(shape)) >> np.uint32(8)).astype(np.float32)
    unit = top * np.float32(2.0**-23) - np.float32(1)
    return (unit * np.float32(bound)).reshape(shape)


def hashed(seed: int, count: int) -> np.ndarray:
    """uint32 [count]: lowbias32 of a Weyl sequence."""
    start = np.uint32((seed * 40503 + 12345) & 0xFFFFFFFF)
    x = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + start
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    return x ^ (x >> np.uint32(16))


def _shapes(shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return parameter_shapes(shapes.model)
