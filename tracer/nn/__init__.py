"""Functions of neural networks.

Invariant: where the IR has a composite with a derivative or a kernel of its own, it is used; the
rest is written in `tracer.numpy`. Floats in, floats of the same dtype out.
"""

# ruff: noqa: F401 - the imported names are the interface

from __future__ import annotations

from typing import Any

from ..special import erf
from ..staging import bind, operand
from . import initializers
from .activations import (
    celu,
    elu,
    gelu,
    glu,
    hard_sigmoid,
    hard_silu,
    hard_swish,
    hard_tanh,
    identity,
    leaky_relu,
    log1mexp,
    log_sigmoid,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_sign,
    softplus,
    sparse_plus,
    sparse_sigmoid,
    squareplus,
    swish,
    tanh,
)
from .attention import attention_with_cache, cached_attention, dot_product_attention
from .chunked import linear_cross_entropy, without_last
from .softmax import (
    log_softmax,
    logmeanexp,
    logsumexp,
    normalize,
    one_hot,
    softmax,
    standardize,
)


def rms_norm(x: Any, weight: Any, eps: float = 1e-5) -> Any:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis; weight[x.shape[-1]]."""
    return bind("rms_norm", operand(x), operand(weight), eps=float(eps))


def layer_norm(x: Any, weight: Any, bias: Any, eps: float = 1e-5) -> Any:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""
    return bind("layer_norm", operand(x), operand(weight), operand(bias), eps=float(eps))


def rope(x: Any, cos: Any, sin: Any) -> Any:
    """Rotary positions on x[B, S, N, D] with cos, sin[S, D/2]; pairs are (i, i + D/2)."""
    return bind("rope", operand(x), operand(cos), operand(sin))


def cross_entropy(logits: Any, labels: Any) -> Any:
    """-log softmax(logits)[label] for logits[..., V] and integer labels[...]; no mean is taken."""
    return bind("cross_entropy", operand(logits), operand(labels))


__all__ = """
    attention_with_cache cached_attention celu cross_entropy dot_product_attention elu erf gelu glu
    hard_sigmoid hard_silu hard_swish hard_tanh identity initializers layer_norm leaky_relu
    linear_cross_entropy log1mexp log_sigmoid log_softmax logmeanexp logsumexp mish normalize
    one_hot relu relu6 rms_norm rope selu sigmoid silu soft_sign softmax softplus sparse_plus
    sparse_sigmoid squareplus standardize swish tanh
""".split()
