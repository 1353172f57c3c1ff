"""Sums of exponentials and what is normalised by sums: softmax, logsumexp, standardize.

Invariant: the largest exponent is subtracted first, and what `where` excludes reaches neither a
result nor a gradient, whatever it is.
"""

from __future__ import annotations

from math import prod
from typing import Any

from ir.dtypes import f32, lowest

from .. import elementwise as ew
from .. import reductions, shaping
from ..array import aval_of
from ..creation import iota
from ..operands import as_bool, as_float, astype, broadcast, promote
from ..promotion import requested
from ..staging import bind, operand


def softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """exp(x) / sum(exp(x)) over `axis` (an int, a tuple or None for all), without overflow.

    With `where` only over the elements that it names; the others are 0.
    """
    x = as_float(x)
    if where is None:
        return _whole_softmax(x, axis)
    there, shifted, _ = _shifted(x, axis, where)
    e = ew.exp(shifted) if there is None else ew.where(there, ew.exp(shifted), 0.0)
    total = reductions.sum(e, axis, keepdims=True)
    return ew.divide(e, ew.where(ew.equal(total, 0), 1.0, total))


def _whole_softmax(x: Any, axis: Any) -> Any:
    """By the primitive, whose rows are the last axis."""
    shape = aval_of(x).shape
    axes = shaping.canonical_axes(axis, len(shape))
    if not aval_of(x).size or not axes:
        return x if axes else ew.add(ew.multiply(x, 0.0), 1.0)
    last = tuple(range(len(shape) - len(axes), len(shape)))
    rows = shaping.moveaxis(x, axes, last)
    moved = aval_of(rows).shape
    flat = shaping.reshape(rows, (*moved[: len(shape) - len(axes)], prod(shape[a] for a in axes)))
    return shaping.moveaxis(shaping.reshape(bind("softmax", flat), moved), last, axes)


def _shifted(x: Any, axis: Any, where: Any) -> tuple[Any, Any, Any]:
    """(which elements count, x less the largest of those, that largest); None: all count."""
    kind, there = aval_of(x).dtype, None
    if where is not None:
        there, x = broadcast("where", as_bool(where), x)
        x = ew.where(there, x, lowest(kind))
    axes = shaping.canonical_axes(axis, aval_of(x).ndim)
    top = bind("stop_gradient", bind("reduce_max", x, axes=axes) if axes else x)
    # Nothing at all, or only infinities, must not leave a NaN behind.
    used = ew.logical_and(ew.isfinite(top), ew.not_equal(top, lowest(kind)))
    top = shaping.expand_dims(ew.where(used, top, 0.0), axes) if axes else top
    shifted = ew.subtract(x, top)
    return there, shifted if there is None else ew.where(there, shifted, 0.0), top


def log_softmax(x: Any, axis: Any = -1, where: Any = None) -> Any:
    """x - logsumexp(x) over `axis`; -infinity where `where` excludes an element."""
    x = as_float(x)
    there, shifted, _ = _shifted(x, axis, where)
    e = ew.exp(shifted) if there is None else ew.where(there, ew.exp(shifted), 0.0)
    out = ew.subtract(shifted, ew.log(reductions.sum(e, axis, keepdims=True)))
    return out if there is None else ew.where(there, out, float("-inf"))


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False,
    where: Any = None,
) -> Any:  # fmt: skip
    """log(sum(b * exp(a))) over `axis`, without overflow.

    With `return_sign` the logarithm of the absolute value, and the sign; otherwise the result is
    NaN where a sum with `b` is negative.
    """
    a = as_float(a)
    counted = None if where is None else as_bool(where)
    if b is not None:
        a, b = promote("logsumexp", a, as_float(b))
        some = ew.not_equal(b, 0)
        counted = some if counted is None else ew.logical_and(counted, some)
    there, shifted, top = _shifted(a, axis, counted)
    e = ew.exp(shifted) if b is None else ew.multiply(ew.exp(shifted), b)
    e = e if there is None else ew.where(there, e, 0.0)
    total = reductions.sum(e, axis, keepdims=keepdims)
    top = shaping.reshape(top, aval_of(total).shape)
    out = ew.add(ew.log(ew.abs(total) if b is not None or return_sign else total), top)
    sign = bind("stop_gradient", ew.sign(total))
    if return_sign:
        return out, sign
    return out if b is None else ew.where(ew.less(sign, 0), float("nan"), out)


def logmeanexp(x: Any, axis: Any = None, where: Any = None, keepdims: bool = False) -> Any:
    """log(mean(exp(x))) over `axis`."""
    total = logsumexp(x, axis, keepdims=keepdims, where=where)
    shape = aval_of(operand(x)).shape
    count: Any = float(prod(shape[a] for a in shaping.canonical_axes(axis, len(shape))))
    if where is not None:
        there = shaping.broadcast_to(as_bool(where), shape)
        count = astype(reductions.sum(there, axis, keepdims=keepdims), aval_of(total).dtype)
    return ew.subtract(total, ew.log(count))


def standardize(
    x: Any, axis: Any = -1, mean: Any = None, variance: Any = None, epsilon: Any = 1e-5,
    where: Any = None,
) -> Any:  # fmt: skip
    """(x - mean) / sqrt(variance + epsilon), over the elements of `axis` that `where` names."""
    x = as_float(x)
    if mean is None:
        mean = reductions.mean(x, axis, keepdims=True, where=where)
    centred = ew.subtract(x, mean)
    if variance is None:
        variance = reductions.mean(ew.square(centred), axis, keepdims=True, where=where)
    return ew.multiply(centred, ew.rsqrt(ew.add(variance, epsilon)))


normalize = standardize


def one_hot(x: Any, num_classes: int, dtype: Any = f32, axis: int = -1) -> Any:
    """A new axis of size `num_classes`: 1 at each id, 0 elsewhere; all 0 for ids out of range."""
    ids = operand(x, "one_hot")
    shape = (*aval_of(ids).shape, num_classes)
    at = shaping.canonical_axis(axis, len(shape))
    place = iota(shape, len(shape) - 1)
    hot = ew.equal(place, shaping.expand_dims(ids, -1))
    return shaping.moveaxis(astype(hot, f32 if dtype is None else requested(dtype)), -1, at)


__all__ = [
    "log_softmax",
    "logmeanexp",
    "logsumexp",
    "normalize",
    "one_hot",
    "softmax",
    "standardize",
]
