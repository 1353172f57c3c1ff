"""Activations.

Invariant: floats in, floats of the same dtype out; a branch that does not apply sees a harmless
value, so that its overflow reaches no gradient.
"""

from __future__ import annotations

import math
from typing import Any

from .. import elementwise as ew
from .. import shaping
from ..array import aval_of
from ..errors import located
from ..operands import as_float
from ..special import erf
from ..staging import operand

_SELU = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017): alpha, scale


def identity(x: Any) -> Any:
    """x itself."""
    return operand(x)


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


def relu6(x: Any) -> Any:
    """x limited to [0, 6]."""
    return ew.minimum(ew.maximum(x, 0), 6.0)


def elu(x: Any, alpha: Any = 1.0) -> Any:
    """x above 0, alpha (exp(x) - 1) below."""
    x = as_float(x)
    above = ew.greater(x, 0)
    return ew.where(above, x, ew.multiply(ew.expm1(ew.where(above, 0.0, x)), alpha))


def celu(x: Any, alpha: Any = 1.0) -> Any:
    """x above 0, alpha (exp(x / alpha) - 1) below."""
    x = as_float(x)
    above = ew.greater(x, 0)
    low = ew.expm1(ew.divide(ew.where(above, 0.0, x), alpha))
    return ew.where(above, x, ew.multiply(low, alpha))


def selu(x: Any) -> Any:
    """The self-normalising elu."""
    alpha, scale = _SELU
    return ew.multiply(elu(x, alpha), scale)


def leaky_relu(x: Any, negative_slope: Any = 1e-2) -> Any:
    """x above 0, a multiple of x below."""
    x = as_float(x)
    return ew.where(ew.greater_equal(x, 0), x, ew.multiply(x, negative_slope))


def hard_tanh(x: Any) -> Any:
    """x limited to [-1, 1]."""
    return ew.where(ew.greater(x, 1), 1, ew.where(ew.less(x, -1), -1, x))


def hard_sigmoid(x: Any) -> Any:
    """relu6(x + 3) / 6."""
    return ew.divide(relu6(ew.add(as_float(x), 3.0)), 6.0)


def hard_silu(x: Any) -> Any:
    """x hard_sigmoid(x)."""
    x = as_float(x)
    return ew.multiply(x, hard_sigmoid(x))


hard_swish = hard_silu


def soft_sign(x: Any) -> Any:
    """x / (1 + |x|)."""
    x = as_float(x)
    return ew.divide(x, ew.add(ew.abs(x), 1.0))


def log_sigmoid(x: Any) -> Any:
    """log(sigmoid(x)), without overflow."""
    x = as_float(x)
    return ew.subtract(ew.minimum(x, 0), ew.log1p(ew.exp(ew.negative(ew.abs(x)))))


def mish(x: Any) -> Any:
    """x tanh(softplus(x))."""
    x = as_float(x)
    return ew.multiply(x, ew.tanh(ew.negative(log_sigmoid(ew.negative(x)))))


def squareplus(x: Any, b: Any = 4.0) -> Any:
    """(x + sqrt(x^2 + b)) / 2."""
    x = as_float(x)
    return ew.multiply(ew.add(x, ew.sqrt(ew.add(ew.square(x), b))), 0.5)


def sparse_plus(x: Any) -> Any:
    """0 below -1, x above 1, (x + 1)^2 / 4 between."""
    x = as_float(x)
    middle = ew.multiply(ew.square(ew.add(x, 1.0)), 0.25)
    return ew.where(ew.less_equal(x, -1), 0.0, ew.where(ew.greater_equal(x, 1), x, middle))


def sparse_sigmoid(x: Any) -> Any:
    """0 below -1, 1 above 1, linear between: the derivative of `sparse_plus`."""
    return ew.multiply(ew.clip(ew.add(as_float(x), 1.0), 0.0, 2.0), 0.5)


def log1mexp(x: Any) -> Any:
    """log(1 - exp(-x)) for x > 0, accurate near 0 and far from it."""
    x = as_float(x)
    near = ew.less(x, math.log(2))
    low = ew.log(ew.negative(ew.expm1(ew.negative(ew.where(near, x, 1.0)))))
    high = ew.log1p(ew.negative(ew.exp(ew.negative(ew.where(near, 1.0, x)))))
    return ew.where(near, low, high)


def glu(x: Any, axis: int = -1) -> Any:
    """The first half along `axis` times the sigmoid of the second. Raises ValueError if odd."""
    x = as_float(x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    if aval_of(x).shape[at] % 2:
        raise located(ValueError, f"glu needs an even axis, got {aval_of(x).shape[at]} along {at}")
    first, second = shaping.split(x, 2, at)
    return ew.multiply(first, ew.logistic(second))


__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log1mexp",
    "log_sigmoid",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_sign",
    "softplus",
    "sparse_plus",
    "sparse_sigmoid",
    "squareplus",
    "swish",
    "tanh",
]
