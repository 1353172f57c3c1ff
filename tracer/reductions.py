"""Reductions along axes.

Invariant: results follow JAX in shape and dtype: sums of bools are int32, means of integers
float32, everything else keeps the operand's dtype; a `where` of False stands for the identity.
"""

from __future__ import annotations

from math import prod as _product
from typing import Any

from ir.dtypes import DType, bool_, f32, highest, i32, lowest

from . import elementwise as ew
from .array import aval_of
from .bits import sort_key
from .creation import iota
from .errors import located
from .operands import as_bool, as_float, astype
from .shaping import (
    broadcast_to,
    canonical_axes,
    canonical_axis,
    concatenate,
    ravel,
    reshape,
    slice_axis,
)
from .staging import bind, filled, operand


def _reduce(prim: str, x: Any, axis: Any, keepdims: bool) -> Any:
    aval = aval_of(x)
    axes = canonical_axes(axis, aval.ndim)
    out = bind(prim, x, axes=axes) if axes else x
    if not keepdims:
        return out
    return reshape(out, tuple(1 if d in axes else n for d, n in enumerate(aval.shape)))


def _number(x: Any) -> Any:
    return astype(x, i32) if aval_of(x).dtype is bool_ else x


def selected(name: str, x: Any, where: Any, identity: Any) -> Any:
    """`x` with `identity` where the mask `where` is False. Raises ValueError unless it is bool."""
    if where is None:
        return x
    mask = operand(where, name)
    if aval_of(mask).dtype is not bool_:
        raise located(
            ValueError,
            f"jnp.{name}: where must be None or a boolean array; got "
            f"where.dtype={aval_of(mask).dtype.np!r}.",
        )
    return ew.where(mask, x, identity)


def without_out(name: str, out: Any) -> None:
    """`out` has a place in the signatures, as in numpy, and nothing may be written to it."""
    if out is not None:
        raise located(
            TypeError,
            f"The 'out' argument to jnp.{name} is not supported: arrays are immutable; "
            "use the result",
        )


# --- sums and products ------------------------------------------------------------------------


def sum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Sum over `axis` (an int, a tuple, or None for all), of elements as `dtype`.

    `initial` is added; elements where `where` is False are not. Bools are counted as int32.
    """
    x, kind = _terms("sum", a, dtype, out, where, 0)
    total = _reduce("sum", x, axis, keepdims)
    total = total if initial is None else ew.add(total, astype(initial, aval_of(total).dtype))
    return astype(total, kind)


def prod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """Product over `axis`, by pairwise multiplication; the options are those of `sum`."""
    x, kind = _terms("prod", a, dtype, out, where, 1)
    shape = aval_of(x).shape
    axes = canonical_axes(axis, len(shape))
    for at in axes:
        x = _halve(x, at)
    kept = tuple(1 if d in axes else n for d, n in enumerate(shape) if keepdims or d not in axes)
    x = reshape(x, kept)
    x = x if initial is None else ew.multiply(x, astype(initial, aval_of(x).dtype))
    return astype(x, kind)


def _terms(name: str, a: Any, dtype: Any, out: Any, where: Any, identity: int) -> tuple[Any, DType]:
    """(numbers to combine, dtype of the result)."""
    without_out(name, out)
    x = operand(a, name)
    x = _number(x) if dtype is None else astype(x, dtype)
    kind = aval_of(x).dtype
    x = _number(x)
    return selected(name, x, where, filled(identity, aval_of(x).dtype)), kind


def _halve(x: Any, at: int) -> Any:
    """The product along one axis, which stays with size 1."""
    shape = aval_of(x).shape
    if shape[at] == 0:
        shape = tuple(1 if d == at else n for d, n in enumerate(shape))
        return filled(1, aval_of(x).dtype, shape)
    while (n := aval_of(x).shape[at]) > 1:
        half = n // 2
        pairs = ew.multiply(slice_axis(x, at, 0, half), slice_axis(x, at, half, 2 * half))
        x = concatenate([pairs, slice_axis(x, at, 2 * half, n)], at) if n % 2 else pairs
    return x


def cumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running sums along `axis` (default: of the flattened array), in log2(n) passes."""
    x, kind = _terms("cumsum", a, dtype, out, None, 0)
    x = ravel(x) if axis is None or not aval_of(x).ndim else x
    at = canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    n, shift = aval_of(x).shape[at], 1
    while shift < n:
        x = ew.add(x, _shifted(x, at, shift))
        shift *= 2
    return astype(x, kind)


def _shifted(x: Any, at: int, by: int) -> Any:
    """`x` moved up by `by` along an axis, zeros entering."""
    aval = aval_of(x)
    low = tuple(by if d == at else 0 for d in range(aval.ndim))
    none, kept = (0,) * aval.ndim, slice_axis(x, at, 0, aval.shape[at] - by)
    return bind("pad", kept, low=low, high=none, interior=none, value=0)


# --- moments ----------------------------------------------------------------------------------


def _wide(kind: DType) -> DType:
    """Where moments are computed: squares and sums of 16-bit floats overflow."""
    return f32 if kind.is_float and kind.np.itemsize < 4 else kind


def _count(x: Any, axis: Any, keepdims: bool, where: Any) -> Any:
    """How many elements a mean is of: a number, or an array with a mask."""
    shape = aval_of(x).shape
    if where is None:
        return _product(shape[d] for d in canonical_axes(axis, len(shape)))
    mask = broadcast_to(operand(where), shape)
    return sum(mask, axis, dtype=aval_of(x).dtype, keepdims=keepdims)


def mean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    *,
    where: Any = None,
) -> Any:
    """Sum divided by the number of elements; of integers in float32."""
    without_out("mean", out)
    x = as_float(a) if dtype is None else astype(a, dtype)
    kind = aval_of(x).dtype
    x = astype(x, _wide(kind))
    total = sum(x, axis, keepdims=keepdims, where=where)
    return astype(_divided(total, _count(x, axis, keepdims, where)), kind)


def _divided(total: Any, count: Any) -> Any:
    kind = aval_of(total).dtype
    if not kind.is_float:
        return bind("div", total, broadcast_to(filled(count, kind), aval_of(total).shape))
    if isinstance(count, int | float):
        return ew.multiply(total, 1.0 / count if count > 0 else float("nan"))
    enough = ew.greater(count, 0)
    return ew.where(enough, ew.divide(total, ew.where(enough, count, 1.0)), float("nan"))


def var(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """Mean squared distance from the mean; divides by count - ddof.

    `mean` (with axes kept) is the mean where it is known; `correction` is another name of `ddof`.
    """
    without_out("var", out)
    x = as_float(a) if dtype is None else as_float(astype(a, dtype))
    kind = aval_of(x).dtype
    x = astype(x, _wide(kind))
    centre = _mean(x, axis, keepdims=True, where=where) if mean is None else operand(mean)
    squares = ew.square(ew.subtract(x, astype(centre, aval_of(x).dtype)))
    total = sum(squares, axis, keepdims=keepdims, where=where)
    less = _correction(ddof, correction)
    return astype(_divided(total, _count(x, axis, keepdims, where) - less), kind)


_mean = mean  # where `mean` is a parameter


def _correction(ddof: float, correction: float | None) -> float:
    if correction is None:
        return ddof
    if ddof != 0:
        raise located(ValueError, "ddof and correction can't be provided simultaneously.")
    return correction


def std(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    *,
    where: Any = None,
    mean: Any = None,
    correction: float | None = None,
) -> Any:
    """Square root of `var`."""
    less = _correction(ddof, correction)
    return ew.sqrt(var(a, axis, dtype, out, less, keepdims, where=where, mean=mean))


# --- extrema ----------------------------------------------------------------------------------


def _extremum(
    name: str, a: Any, axis: Any, out: Any, keepdims: bool, initial: Any, where: Any
) -> Any:
    without_out(name, out)
    x = operand(a, name)
    kind = aval_of(x).dtype
    if initial is None and where is not None:
        raise located(
            ValueError,
            f"reduction operation {name} does not have an identity, so to use a where mask one "
            "has to specify 'initial'",
        )
    if initial is None:
        refuse_empty(
            f"zero-size array to reduction operation {name} which has no identity", x, axis
        )
        return astype(_reduce(f"reduce_{name}", _number(x), axis, keepdims), kind)
    first = _number(astype(initial, kind))
    x = selected(name, _number(x), where, first)
    shape = aval_of(x).shape
    if 0 in [shape[d] for d in canonical_axes(axis, len(shape))]:
        return astype(broadcast_to(first, aval_of(sum(x, axis, keepdims=keepdims)).shape), kind)
    pair = ew.maximum if name == "max" else ew.minimum
    return astype(pair(_reduce(f"reduce_{name}", x, axis, keepdims), first), kind)


def refuse_empty(message: str, x: Any, axis: Any) -> None:
    """Raise ValueError if there is nothing along `axis`."""
    shape = aval_of(x).shape
    if 0 in [shape[d] for d in canonical_axes(axis, len(shape))]:
        raise located(ValueError, message)


def max(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element, and no less than `initial`; equal ones share the gradient.

    Raises ValueError if there may be none and no `initial`.
    """
    return _extremum("max", a, axis, out, keepdims, initial, where)


def min(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element, and no more than `initial`; equal ones share the gradient.

    Raises ValueError if there may be none and no `initial`.
    """
    return _extremum("min", a, axis, out, keepdims, initial, where)


def any(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether an element is true."""
    without_out("any", out)
    x = selected("any", as_bool(a), where, False)
    return ew.equal(_reduce("reduce_max", astype(x, i32), axis, keepdims), 1)


def all(
    a: Any, axis: Any = None, out: None = None, keepdims: bool = False, *, where: Any = None
) -> Any:
    """Whether no element is false."""
    without_out("all", out)
    x = selected("all", as_bool(a), where, True)
    # An empty reduction gives the largest integer, and all() of nothing is true.
    return ew.not_equal(_reduce("reduce_min", astype(x, i32), axis, keepdims), 0)


def argmax(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """int32 index of the first largest element along `axis` (default: of the flattened array).

    A NaN counts as the largest. Raises ValueError if there is no element.
    """
    without_out("argmax", out)
    return _first("argmax", sort_key(operand(a, "argmax")), axis, bool(keepdims))


def argmin(a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None) -> Any:
    """int32 index of the first smallest element along `axis`; a NaN counts as the smallest."""
    without_out("argmin", out)
    x = operand(a, "argmin")
    key = sort_key(x)
    key = ew.where(ew.isnan(x), lowest(i32), key) if aval_of(x).dtype.is_float else key
    return _first("argmin", key, axis, bool(keepdims))


def _first(name: str, key: Any, axis: int | None, keepdims: bool) -> Any:
    """Where the first extreme integer is; floats have no order that NaN is part of."""
    refuse_empty(f"attempt to get {name} of an empty sequence", key, axis)
    rank = aval_of(key).ndim
    line = ravel(key) if axis is None else key
    at = canonical_axis(0 if axis is None else axis, aval_of(line).ndim)
    shape = aval_of(line).shape
    extreme = (max if name == "argmax" else min)(line, at, keepdims=True)
    hit = ew.equal(line, broadcast_to(extreme, shape))
    place = min(ew.where(hit, iota(shape, at), highest(i32)), at, keepdims=keepdims)
    return reshape(place, (1,) * rank) if axis is None and keepdims else place


__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "cumsum",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]
