"""A linear layer and the cross-entropy behind it, without ever holding all logits.

Invariant: at most about `chunk_bytes` of logits exist at a time, and their gradient besides. Each
part's gradients are taken where its logits are, so nothing is computed twice.
"""

from __future__ import annotations

from functools import partial
from math import prod
from typing import Any

from ir.dtypes import f32

from .. import contraction, reductions, shaping
from ..array import aval_of
from ..control import scan
from ..creation import iota, zeros
from ..custom import custom_vjp
from ..elementwise import where
from ..gradients import value_and_grad
from ..operands import astype
from ..staging import bind, operand

LOWEST = -1e19  # a logit whose exponential is 0 beside all others
CHUNK = 128 << 20  # bytes of logits: what the default limits of WebGPU allow in one binding


def linear_cross_entropy(
    hidden: Any, weight: Any, labels: Any, *, unused: int = 0, chunk_bytes: int = CHUNK
) -> Any:
    """Mean float32 of `cross_entropy(hidden @ weight, labels)` for hidden[..., S, H], weight[H, V]
    and integer labels[..., S]. The last `unused` classes are as if they were not there.

    Positions S are taken in as many equal parts as keep the logits within `chunk_bytes`, if they
    can be cut so; logits that fit are computed as a whole. Of several parts only the reverse
    derivative exists. After Wijmans et al., 2024 (Cut Your Losses), with logits in memory.
    """
    hidden, weight, labels = map(operand, (hidden, weight, labels))
    matrix = aval_of(weight)
    sizes = aval_of(labels).shape, matrix.shape[1], matrix.dtype.itemsize
    parts = parts_of(*sizes, chunk_bytes)
    if parts == 1:
        return reductions.mean(_losses(hidden, weight, labels, unused))
    return _mean_of_parts(_cut(hidden, parts, -2), weight, _cut(labels, parts, -1), unused)


def _losses(hidden: Any, weight: Any, labels: Any, unused: int) -> Any:
    """In float32, whatever the dtype of the logits."""
    logits = without_last(astype(contraction.matmul(hidden, weight), f32), unused)
    return bind("cross_entropy", logits, labels)


def without_last(logits: Any, unused: int) -> Any:
    """Logits [..., V] of which the last `unused` have no share in a softmax, nor a gradient."""
    if not unused:
        return logits
    width = aval_of(logits).shape[-1]
    return where(iota((width,), 0) < width - unused, logits, astype(operand(LOWEST), logits.dtype))


def parts_of(shape: tuple[int, ...], width: int, itemsize: int, chunk_bytes: int = CHUNK) -> int:
    """In how many parts `linear_cross_entropy` takes labels of `shape` among `width` classes."""
    whole, length = prod(shape) * width * itemsize, shape[-1] if shape else 1
    cuts = (n for n in range(1, length) if length % n == 0)
    return next((n for n in cuts if whole // n <= chunk_bytes), 1)


def _cut(x: Any, parts: int, axis: int) -> Any:
    """Equal parts of an axis, on a new axis in front."""
    shape = list(aval_of(x).shape)
    axis += len(shape)
    shape[axis : axis + 1] = [parts, shape[axis] // parts]
    return shaping.moveaxis(shaping.reshape(x, shape), axis, 0)


def _sum(hidden: Any, weight: Any, labels: Any, unused: int) -> Any:
    return reductions.sum(_losses(hidden, weight, labels, unused))


@partial(custom_vjp, nondiff_argnums=(3,))
def _mean_of_parts(hidden: Any, weight: Any, labels: Any, unused: int) -> Any:
    """The mean over parts hidden[N, ..., S, H], labels[N, ..., S]."""

    def add(total: Any, part: tuple[Any, Any]) -> tuple[Any, None]:
        return total + _sum(part[0], weight, part[1], unused), None

    total, _ = scan(add, zeros((), f32), (hidden, labels))
    return total / prod(labels.shape)


def _forward(hidden: Any, weight: Any, labels: Any, unused: int) -> tuple[Any, tuple[Any, Any]]:
    gradients = value_and_grad(partial(_sum, unused=unused), argnums=(0, 1))

    def add(carry: tuple[Any, Any], part: tuple[Any, Any]) -> tuple[tuple[Any, Any], Any]:
        loss, (to_hidden, to_weight) = gradients(part[0], weight, part[1])
        return (carry[0] + loss, carry[1] + astype(to_weight, f32)), to_hidden

    start = zeros((), f32), zeros(weight.shape, f32)
    (total, to_weight), to_hidden = scan(add, start, (hidden, labels))
    return total / prod(labels.shape), (to_hidden, astype(to_weight, weight.dtype))


def _backward(unused: int, residuals: tuple[Any, Any], cotangent: Any) -> tuple[Any, Any, None]:
    scale = cotangent / prod(residuals[0].shape[:-1])
    scaled = (x * astype(scale, x.dtype) for x in residuals)
    return *scaled, None


_mean_of_parts.defvjp(_forward, _backward)
