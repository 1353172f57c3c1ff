"""Random numbers that take a closed formula of the bits: uniform, normal and discrete ones.

Invariant: every sample is a pure function of a key and a shape, made by the steps JAX makes from
the bits of its default generator: integers are equal, floats differ by the rounding of `log` and
the like.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ir.dtypes import f32, finfo, i32

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .bits import bits_of, from_bits, nextafter, shift_right
from .creation import as_shape
from .errors import located
from .operands import as_float, astype
from .prng import single, split_data, word_bits
from .promotion import requested
from .reductions import argmax
from .sorting import top_k
from .special import erf, erf_inv, tan
from .staging import SCALARS, bind, operand
from .typed import user_type
from .whole import one_program

_MODES = (None, "low", "high")


def float_dtype(name: str, dtype: Any) -> Any:
    """The dtype that samples are asked in. Raises ValueError unless it is one of floats."""
    kind = requested(dtype)
    if not kind.is_float:
        raise located(
            ValueError, f"dtype argument to `{name}` must be a float dtype, got {kind.np.name}"
        )
    return kind


def sample_shape(name: str, shape: Any, *params: Any) -> tuple[int, ...]:
    """The result's shape; None means that of the parameters together."""
    return shape_of(name, shape, *map(np.shape, params))


def shape_of(name: str, shape: Any, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """`sample_shape` of the parameters' shapes."""
    common = np.broadcast_shapes(*shapes)
    if shape is None:
        return common
    sizes = as_shape(shape)
    if shapes and np.broadcast_shapes(sizes, common) != sizes:
        raise located(
            ValueError, f"{name}: parameters of shape {common} do not broadcast to shape {sizes}"
        )
    return sizes


# --- uniform ----------------------------------------------------------------------------------


def unit(data: Any, shape: tuple[int, ...], kind: Any) -> Any:
    """[0, 1) in steps of one mantissa bit."""
    words = word_bits(data, shape)
    if kind is not f32:  # the highest bits of the low byte or two
        count = finfo(kind).nmant
        steps = shift_right(words, (8 if count < 8 else 16) - count)
        steps = ew.bitwise_and(steps, (1 << count) - 1)
        return astype(ew.multiply(astype(steps, f32), 2.0**-count), kind)
    mantissa = ew.bitwise_or(shift_right(words, 9), 0x3F800000)
    return ew.subtract(from_bits(mantissa, f32), 1.0)


def _uniform(data: Any, shape: tuple[int, ...], kind: Any, low: Any, high: Any) -> Any:
    if isinstance(low, float) and isinstance(high, float):
        if (low, high) == (0.0, 1.0):
            return unit(data, shape, kind)
        low, high = (kind.np.type(v) for v in (low, high))
        span = kind.np.type(high - low)
    else:
        low, high = (astype(v, kind) for v in (low, high))
        span = ew.subtract(high, low)
    return ew.maximum(low, ew.add(ew.multiply(unit(data, shape, kind), span), low))


@one_program
def uniform(
    key: Any, shape: Any = (), dtype: Any = f32, minval: Any = 0.0, maxval: Any = 1.0
) -> Any:
    """Numbers in [minval, maxval), each with the same probability."""
    kind = float_dtype("uniform", dtype)
    low, high = (float(v) if isinstance(v, SCALARS) else v for v in (minval, maxval))
    return _uniform(
        single(key, "uniform"), sample_shape("uniform", shape, low, high), kind, low, high
    )


@one_program
def randint(key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = i32) -> Any:
    """Integers in [minval, maxval); minval where that is empty."""
    kind = requested(dtype)
    if not kind.is_integer:
        raise located(TypeError, f"randint only accepts integer dtypes, got {kind.np.name}")
    sizes = sample_shape("randint", shape, minval, maxval)
    beyond = isinstance(maxval, (int, np.integer)) and int(maxval) > np.iinfo(kind.np).max
    low, high = (_integer(v, kind) for v in (minval, maxval))
    low, high = shaping.broadcast_arrays(low, high)
    span = bits_of(ew.subtract(high, low))
    span = ew.add(span, np.uint32(1)) if beyond else span
    span = ew.where(ew.less_equal(high, low), np.uint32(1), span)
    pair = split_data(single(key, "randint"), (2,))
    upper, lower = word_bits(pair[0], sizes), word_bits(pair[1], sizes)
    # 64 bits modulo span, from 32-bit words: 2**32 is congruent to (2**16 % span)**2.
    factor = _rem(np.uint32(2**16), span)
    factor = _rem(ew.multiply(factor, factor), span)
    offset = ew.add(ew.multiply(_rem(upper, span), factor), _rem(lower, span))
    return ew.add(low, from_bits(_rem(offset, span), kind))


def _integer(v: Any, kind: Any) -> Any:
    if isinstance(v, SCALARS):
        limits = np.iinfo(kind.np)
        return operand(np.full((), min(max(int(v), limits.min), limits.max), kind.np))
    return astype(v, kind)


def _rem(x: Any, span: Any) -> Any:
    """x % span; x itself for a span of 2**32, which is written 0."""
    x = shaping.broadcast_to(operand(x), np.broadcast_shapes(np.shape(x), aval_of(span).shape))
    return ew.where(ew.equal(span, 0), x, ew.fmod(x, span))


# --- continuous -------------------------------------------------------------------------------


@one_program
def normal(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Standard normal numbers: the inverse distribution function of uniform ones."""
    kind = float_dtype("normal", dtype)
    low = float(np.nextafter(kind.np.type(-1), kind.np.type(0)))
    u = _uniform(single(key, "normal"), sample_shape("normal", shape), kind, low, 1.0)
    return ew.multiply(erf_inv(u), math.sqrt(2))


@one_program
def truncated_normal(key: Any, lower: Any, upper: Any, shape: Any = None, dtype: Any = f32) -> Any:
    """Standard normal numbers given that they lie between `lower` and `upper`, both excluded."""
    kind = float_dtype("truncated_normal", dtype)
    sizes = sample_shape("truncated_normal", shape, lower, upper)
    low, high = (astype(operand(v), kind) for v in (lower, upper))
    a, b = (erf(ew.divide(v, math.sqrt(2))) for v in (low, high))
    u = _uniform(single(key, "truncated_normal"), sizes, kind, a, b)
    ends = [bind("stop_gradient", v) for v in (low, high)]
    ends = ends if kind is not f32 else [_towards(ends[0], math.inf), _towards(ends[1], -math.inf)]
    return ew.clip(ew.multiply(erf_inv(u), math.sqrt(2)), *ends)


def _towards(x: Any, end: float) -> Any:
    return nextafter(x, np.float32(end))


@one_program
def exponential(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers with density exp(-x), x >= 0."""
    kind = float_dtype("exponential", dtype)
    u = unit(single(key, "exponential"), sample_shape("exponential", shape), kind)
    return ew.negative(ew.log1p(ew.negative(u)))


@one_program
def gumbel(key: Any, shape: Any = (), dtype: Any = f32, mode: str | None = None) -> Any:
    """Numbers of the standard Gumbel distribution; "high" has the finer upper tail."""
    kind = float_dtype("gumbel", dtype)
    return gumbel_noise(single(key, "gumbel"), sample_shape("gumbel", shape), kind, mode)


def gumbel_noise(data: Any, shape: tuple[int, ...], kind: Any, mode: str | None) -> Any:
    _check_mode("gumbel", mode)
    tiny = float(finfo(kind).tiny)
    if mode == "high":
        pair = unit(data, (2, *shape), kind)
        steps = 2.0 ** -finfo(kind).nmant
        fine = ew.add(pair[0], ew.add(ew.multiply(pair[1], steps), tiny))
        x = ew.where(ew.greater_equal(pair[0], 0.5), pair[0], fine)
        return ew.negative(ew.log(ew.negative(ew.log1p(ew.negative(x)))))
    u = _uniform(data, shape, kind, tiny, 1.0)
    return ew.negative(ew.log(ew.negative(ew.log(u))))


def _check_mode(name: str, mode: str | None) -> None:
    if mode not in _MODES:
        raise located(ValueError, f"{name} has the modes None, 'low' and 'high', got {mode!r}")


# --- discrete ---------------------------------------------------------------------------------


@one_program
def bernoulli(key: Any, p: Any = 0.5, shape: Any = None, mode: str | None = None) -> Any:
    """bool: true with probability `p`, a float; "high" resolves small p finer."""
    _check_mode("bernoulli", mode)
    p = operand(p)
    kind = aval_of(p).dtype
    if not kind.is_float:
        raise located(
            TypeError,
            f"bernoulli probability `p` must have a floating dtype, got {user_type(aval_of(p))}",
        )
    sizes, data = sample_shape("bernoulli", shape, p), single(key, "bernoulli")
    if mode != "high":
        return ew.less(unit(data, sizes, kind), p)
    pair = unit(data, (2, *sizes), kind)
    return ew.less(ew.multiply(pair[1], 2.0 ** -finfo(kind).nmant), ew.subtract(p, pair[0]))


@one_program
def categorical(
    key: Any,
    logits: Any,
    axis: int = -1,
    shape: Any = None,
    replace: bool = True,
    mode: str | None = None,
) -> Any:
    """int32 indices along `axis`, with probabilities softmax(logits).

    `shape` ends in that of `logits` without `axis`. Without replacement the samples along its
    leading axes differ. Raises ValueError if there are too few categories for that.
    """
    logits = as_float(logits)
    old = aval_of(logits).shape
    at = shaping.canonical_axis(axis, len(old))
    batch = old[:at] + old[at + 1 :]
    sizes = sample_shape(
        "categorical", shape, *([] if shape is None else [np.empty(batch, np.bool_)])
    )
    sizes = batch if shape is None else sizes
    lead, data = sizes[: len(sizes) - len(batch)], single(key, "categorical")
    kind = aval_of(logits).dtype
    if replace:
        full = list(sizes[len(lead) :])
        full.insert(at, old[at])
        noise = gumbel_noise(data, (*lead, *full), kind, mode)
        return argmax(ew.add(noise, logits), axis=at - len(old))
    count = math.prod(lead)
    if count > old[at]:
        raise located(
            ValueError,
            f"Number of samples without replacement ({count}) cannot exceed number of "
            f"categories ({old[at]}).",
        )
    scores = shaping.moveaxis(ew.add(logits, gumbel_noise(data, old, kind, mode)), at, -1)
    return shaping.reshape(shaping.moveaxis(top_k(scores, count)[1], -1, 0), sizes)


@one_program
def rademacher(key: Any, shape: Any = (), dtype: Any = i32) -> Any:
    """-1 or 1, each with probability 1/2."""
    heads = bernoulli(key, 0.5, sample_shape("rademacher", shape))
    return astype(ew.where(heads, 1, -1), requested(dtype))


@one_program
def laplace(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers with density exp(-|x|) / 2."""
    kind = float_dtype("laplace", dtype)
    low = -1.0 + float(finfo(kind).epsneg)
    u = _uniform(single(key, "laplace"), sample_shape("laplace", shape), kind, low, 1.0)
    return ew.multiply(ew.sign(u), ew.log1p(ew.negative(ew.abs(u))))


@one_program
def cauchy(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers of density 1 / (pi (1 + x**2)): the tangent of a uniform angle."""
    kind = float_dtype("cauchy", dtype)
    u = _uniform(
        single(key, "cauchy"), sample_shape("cauchy", shape), kind, float(finfo(kind).eps), 1.0
    )
    return tan(ew.multiply(np.pi, ew.subtract(u, 0.5)))


@one_program
def logistic(key: Any, shape: Any = (), dtype: Any = f32) -> Any:
    """Numbers whose distribution function is the sigmoid."""
    kind = float_dtype("logistic", dtype)
    tiny = float(finfo(kind).tiny)
    u = _uniform(single(key, "logistic"), sample_shape("logistic", shape), kind, tiny, 1.0)
    return ew.subtract(ew.log(u), ew.log1p(ew.negative(u)))


__all__ = [
    "bernoulli",
    "categorical",
    "cauchy",
    "exponential",
    "gumbel",
    "laplace",
    "logistic",
    "normal",
    "rademacher",
    "randint",
    "truncated_normal",
    "uniform",
]
