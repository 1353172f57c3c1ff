"""Activations and normalisations, for `tracer.nn`.

Invariant: floats in, floats of the same dtype out; a branch that does not apply sees a harmless
value, so that its overflow reaches no gradient.
"""

from __future__ import annotations

from typing import Any

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .errors import located
from .operands import as_float
from .reductions import mean as reduce_mean
from .staging import operand

_SELU = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. (2017): alpha, scale


def identity(x: Any) -> Any:
    """x itself."""
    return operand(x)


def relu6(x: Any) -> Any:
    """x limited to [0, 6]."""
    return ew.minimum(ew.maximum(x, 0), 6)


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
    x = as_float(x)
    return ew.where(ew.greater(x, 1), 1.0, ew.where(ew.less(x, -1), -1.0, x))


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


def glu(x: Any, axis: int = -1) -> Any:
    """The first half along `axis` times the sigmoid of the second. Raises ValueError if odd."""
    x = as_float(x)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    if aval_of(x).shape[at] % 2:
        raise located(ValueError, f"glu needs an even axis, got {aval_of(x).shape[at]} along {at}")
    first, second = shaping.split(x, 2, at)
    return ew.multiply(first, ew.logistic(second))


def standardize(
    x: Any, axis: Any = -1, mean: Any = None, variance: Any = None, epsilon: float = 1e-5
) -> Any:
    """(x - mean) / sqrt(variance + epsilon), both taken along `axis` unless given."""
    x = as_float(x)
    mean = reduce_mean(x, axis, keepdims=True) if mean is None else mean
    centred = ew.subtract(x, mean)
    if variance is None:
        variance = reduce_mean(ew.square(centred), axis, keepdims=True)
    return ew.multiply(centred, ew.rsqrt(ew.add(variance, epsilon)))


normalize = standardize

__all__ = [
    "celu",
    "elu",
    "glu",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "identity",
    "leaky_relu",
    "log_sigmoid",
    "mish",
    "normalize",
    "relu6",
    "selu",
    "soft_sign",
    "sparse_plus",
    "squareplus",
    "standardize",
]
