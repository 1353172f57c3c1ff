"""Functions of neural networks.

Invariant: where the IR has a composite with a derivative or a kernel of its own, it is used; the
rest is written in `tracer.numpy`. Floats in, floats of the same dtype out.
"""

from __future__ import annotations

import math
from typing import Any

from ir.dtypes import f32

from . import elementwise as ew
from . import shaping
from .activations import (
    celu,
    elu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log_sigmoid,
    mish,
    normalize,
    relu6,
    selu,
    soft_sign,
    sparse_plus,
    squareplus,
    standardize,
)
from .array import aval_of
from .creation import iota
from .errors import located
from .operands import as_float, astype
from .promotion import requested
from .reductions import logsumexp
from .special import erf
from .staging import bind, operand


def relu(x: Any) -> Any:
    """max(x, 0), with derivative 0 at 0."""
    return ew.where(ew.greater(x, 0), x, 0)


def sigmoid(x: Any) -> Any:
    """1 / (1 + exp(-x))."""
    return ew.logistic(x)


def silu(x: Any) -> Any:
    """x * sigmoid(x)."""
    x = as_float(x)
    return ew.multiply(x, ew.logistic(x))


swish = silu


def tanh(x: Any) -> Any:
    return ew.tanh(x)


def softplus(x: Any) -> Any:
    """log(1 + exp(x)), without overflow."""
    x = as_float(x)
    return ew.add(ew.maximum(x, 0), ew.log1p(ew.exp(ew.negative(ew.abs(x)))))


def gelu(x: Any, approximate: bool = True) -> Any:
    """x * P(N(0, 1) <= x) (Hendrycks and Gimpel, 2016); `approximate` uses their tanh formula."""
    x = as_float(x)
    if not approximate:
        return x * 0.5 * (erf(x * math.sqrt(0.5)) + 1)
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))
    return x * 0.5 * (ew.tanh(inner) + 1)


# --- over one axis ----------------------------------------------------------------------------


def softmax(x: Any, axis: int = -1) -> Any:
    """exp(x) / sum(exp(x)) along `axis`, without overflow."""
    x = as_float(x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    rows = shaping.moveaxis(x, at, -1)
    return shaping.moveaxis(bind("softmax", rows), -1, at)


def log_softmax(x: Any, axis: int = -1) -> Any:
    """x - logsumexp(x) along `axis`."""
    x = as_float(x)
    return ew.subtract(x, logsumexp(x, axis, keepdims=True))


def one_hot(x: Any, num_classes: int, dtype: Any = f32, axis: int = -1) -> Any:
    """A new axis of size `num_classes`: 1 at each id, 0 elsewhere; all 0 for ids out of range."""
    ids = operand(x, "one_hot")
    if not aval_of(ids).dtype.is_integer:
        raise located(TypeError, f"one_hot needs integer ids, got {aval_of(ids)}")
    shape = (*aval_of(ids).shape, num_classes)
    at = shaping.canonical_axis(axis, len(shape))
    place = astype(iota(shape, len(shape) - 1), aval_of(ids).dtype)
    hot = ew.equal(place, shaping.expand_dims(ids, -1))
    return shaping.moveaxis(astype(hot, requested(dtype)), -1, at)


# --- of transformers --------------------------------------------------------------------------


def rms_norm(x: Any, weight: Any, eps: float = 1e-5) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis; weight[x.shape[-1]]."""
    return bind("rms_norm", operand(x), operand(weight), eps=float(eps))


def layer_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""
    return bind("layer_norm", operand(x), operand(weight), operand(bias), eps=float(eps))


def rope(x: Any, cos: Any, sin: Any) -> Any:
    """Rotary positions on x[B, S, N, D] with cos, sin[S, D/2]; pairs are (i, i + D/2)."""
    return bind("rope", operand(x), operand(cos), operand(sin))


def dot_product_attention(
    query: Any, key: Any, value: Any, *, scale: float | None = None, is_causal: bool = False
) -> Any:
    """softmax(q k^T * scale) v for q[B, S, N, D] and k, v[B, T, K, D]; B may be missing.

    Query head n reads key head n // (N / K). `scale` is 1/sqrt(D) by default. Causal: query s sees
    key t iff t <= s + T - S, so that the last query sees all keys. Raises TypeError.
    """
    q, k, v = (operand(t, "dot_product_attention") for t in (query, key, value))
    if aval_of(q).ndim == 3:
        batched = [shaping.expand_dims(t, 0) for t in (q, k, v)]
        out = dot_product_attention(*batched, scale=scale, is_causal=is_causal)
        return shaping.squeeze(out, 0)
    scale = 1 / math.sqrt(aval_of(q).shape[-1]) if scale is None else float(scale)
    return bind("attention", q, k, v, causal=bool(is_causal), scale=scale)[0]


def cross_entropy(logits: Any, labels: Any) -> Any:
    """-log softmax(logits)[label] for logits[..., V] and integer labels[...]; no mean is taken."""
    return bind("cross_entropy", operand(logits), operand(labels))


__all__ = [
    "celu",
    "cross_entropy",
    "dot_product_attention",
    "elu",
    "erf",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "layer_norm",
    "leaky_relu",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mish",
    "normalize",
    "one_hot",
    "relu",
    "relu6",
    "rms_norm",
    "rope",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softmax",
    "softplus",
    "sparse_plus",
    "squareplus",
    "standardize",
    "swish",
    "tanh",
]
