"""Reductions and scans along axes.

Invariant: results follow numpy in shape; in dtype they keep the operand's, except that sums and
extrema of bools are int32 and means of integers float32.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod as _product
from typing import Any

from ir.dtypes import bool_, i32

from .array import aval_of
from .creation import iota
from .elementwise import (
    add,
    equal,
    isclose,
    isfinite,
    multiply,
    sqrt,
    square,
    subtract,
    where,
)
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
    x = operand(x)
    return astype(x, i32) if aval_of(x).dtype is bool_ else x


def sum(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum over `axis` (an int, a tuple, or None for all). Bools are counted."""
    return _reduce("sum", _number(x), axis, keepdims)


def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum divided by the number of elements; of integers in float32."""
    x = as_float(x)
    shape = aval_of(x).shape
    count = _product(shape[d] for d in canonical_axes(axis, len(shape)))
    return sum(x, axis, keepdims) * (1.0 / count if count else float("nan"))


def var(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Mean squared distance from the mean; divides by count - ddof."""
    x = as_float(x)
    shape = aval_of(x).shape
    count = _product(shape[d] for d in canonical_axes(axis, len(shape))) - ddof
    centred = subtract(x, mean(x, axis, keepdims=True))
    return sum(square(centred), axis, keepdims) * (1.0 / count if count > 0 else float("nan"))


def std(x: Any, axis: Any = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """Square root of `var`."""
    return sqrt(var(x, axis, ddof, keepdims))


def _extremum(prim: str, name: str, x: Any, axis: Any, keepdims: bool) -> Any:
    x = _number(x)
    shape = aval_of(x).shape
    if 0 in [shape[d] for d in canonical_axes(axis, len(shape))]:
        raise located(
            ValueError,
            f"zero-size array of shape {shape} to reduction {name}, which has no identity",
        )
    return _reduce(prim, x, axis, keepdims)


def max(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The largest element; equal ones share the gradient. Raises ValueError if there is none."""
    return _extremum("reduce_max", "max", x, axis, keepdims)


def min(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """The smallest element; equal ones share the gradient. Raises ValueError if there is none."""
    return _extremum("reduce_min", "min", x, axis, keepdims)


def any(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether an element is true."""
    found = _reduce("reduce_max", astype(as_bool(x), i32), axis, keepdims)
    return equal(found, 1)


def all(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Whether no element is false."""
    found = _reduce("reduce_min", astype(as_bool(x), i32), axis, keepdims)
    # An empty reduction gives the largest integer, and all() of nothing is true.
    return equal(equal(found, 0), False)


def allclose(x: Any, y: Any, rtol: float = 1e-5, atol: float = 1e-8) -> Any:
    """Whether `isclose` holds everywhere."""
    return all(isclose(x, y, rtol, atol))


def array_equal(x: Any, y: Any) -> Any:
    """Whether shapes and elements are equal."""
    x, y = operand(x), operand(y)
    if aval_of(x).shape != aval_of(y).shape:
        return filled(False, bool_)
    return all(equal(x, y))


def argmax(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """int32 index of the first largest element along `axis` (default: of the flattened array)."""
    return _first(max, x, axis, keepdims)


def argmin(x: Any, axis: int | None = None, keepdims: bool = False) -> Any:
    """int32 index of the first smallest element along `axis`."""
    return _first(min, x, axis, keepdims)


def _first(extremum: Callable, x: Any, axis: int | None, keepdims: bool) -> Any:
    x = _number(x)
    rank = aval_of(x).ndim
    line = ravel(x) if axis is None else x
    at = canonical_axis(0 if axis is None else axis, aval_of(line).ndim)
    shape = aval_of(line).shape
    hit = equal(line, broadcast_to(extremum(line, at, keepdims=True), shape))
    place = min(where(hit, iota(shape, at), shape[at] - 1), at, keepdims=keepdims)
    return reshape(place, (1,) * rank) if axis is None and keepdims else place


def prod(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """Product over `axis`, by pairwise multiplication."""
    x = _number(x)
    shape = aval_of(x).shape
    axes = canonical_axes(axis, len(shape))
    for at in axes:
        x = _halve(x, at)
    kept = tuple(1 if d in axes else n for d, n in enumerate(shape) if keepdims or d not in axes)
    return reshape(x, kept)


def _halve(x: Any, at: int) -> Any:
    """The product along one axis, which stays with size 1."""
    shape = aval_of(x).shape
    if shape[at] == 0:
        shape = tuple(1 if d == at else n for d, n in enumerate(shape))
        return filled(1, aval_of(x).dtype, shape)
    while (n := aval_of(x).shape[at]) > 1:
        half = n // 2
        pairs = multiply(slice_axis(x, at, 0, half), slice_axis(x, at, half, 2 * half))
        x = concatenate([pairs, slice_axis(x, at, 2 * half, n)], at) if n % 2 else pairs
    return x


def cumsum(x: Any, axis: int | None = None) -> Any:
    """Running sums along `axis` (default: of the flattened array), in log2(n) passes."""
    x = ravel(_number(x)) if axis is None else _number(x)
    at = canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    n, shift = aval_of(x).shape[at], 1
    while shift < n:
        x = add(x, _shifted(x, at, shift))
        shift *= 2
    return x


def _shifted(x: Any, at: int, by: int) -> Any:
    """`x` moved up by `by` along an axis, zeros entering."""
    aval = aval_of(x)
    low = tuple(by if d == at else 0 for d in range(aval.ndim))
    none, kept = (0,) * aval.ndim, slice_axis(x, at, 0, aval.shape[at] - by)
    return bind("pad", kept, low=low, high=none, interior=none, value=0)


def logsumexp(x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """log(sum(exp(x))), without overflow."""
    from .elementwise import exp, log

    x = as_float(x)
    shape = aval_of(x).shape
    top = bind("stop_gradient", max(x, axis, keepdims=True))
    top = where(isfinite(top), top, 0.0)
    total = sum(exp(subtract(x, broadcast_to(top, shape))), axis, keepdims)
    return add(log(total), reshape(top, aval_of(total).shape))


__all__ = [
    "all",
    "allclose",
    "any",
    "argmax",
    "argmin",
    "array_equal",
    "cumsum",
    "logsumexp",
    "max",
    "mean",
    "min",
    "prod",
    "std",
    "sum",
    "var",
]
