"""Reductions and running combinations that pass over NaN.

Invariant: a NaN is replaced before anything is combined, by a select, so that no derivative meets
it either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import elementwise as ew
from . import reductions as red
from .array import aval_of
from .operands import as_float, astype
from .staging import operand
from .statistics import cumprod


def _filled(x: Any, value: float) -> tuple[Any, Any]:
    """Floats with NaN replaced, and which of them are numbers."""
    x = operand(x)
    if not aval_of(x).dtype.is_float:
        return x, ew.equal(x, x)
    odd = ew.isnan(x)
    return ew.where(odd, value, x), ew.logical_not(odd)


def nansum(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """`sum` of the elements that are not NaN."""
    return red.sum(_filled(a, 0.0)[0], axis, dtype, out, keepdims, initial, where)


def nanprod(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """`prod` of the elements that are not NaN."""
    return red.prod(_filled(a, 1.0)[0], axis, dtype, out, keepdims, initial, where)


def _numbers(a: Any, where: Any) -> tuple[Any, Any]:
    """Floats, 0 where there is NaN, and which of them count."""
    x, there = _filled(as_float(a), 0.0)
    if where is not None:
        there = ew.logical_and(there, operand(where))
    return x, there


def nanmean(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    keepdims: bool = False,
    where: Any = None,
) -> Any:
    """Mean of the elements that are not NaN; NaN if there is none."""
    x, there = _numbers(a if dtype is None else astype(a, dtype), where)
    return red.mean(x, axis, None, out, keepdims, where=there)


def nanvar(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """Variance of the elements that are not NaN; NaN unless there are more than `ddof`."""
    x, there = _numbers(a if dtype is None else astype(a, dtype), where)
    return red.var(x, axis, None, out, ddof, keepdims, where=there, mean=mean)


def nanstd(
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: None = None,
    ddof: float = 0,
    keepdims: bool = False,
    where: Any = None,
    mean: Any = None,
) -> Any:
    """Square root of `nanvar`."""
    return ew.sqrt(nanvar(a, axis, dtype, out, ddof, keepdims, where, mean))


def _nan_extremum(
    reduce: Callable,
    worst: float,
    a: Any,
    axis: Any,
    out: Any,
    keepdims: bool,
    initial: Any,
    where: Any,
) -> Any:
    x, there = _filled(a, worst)
    found = reduce(x, axis, out, keepdims, initial, where)
    if not aval_of(x).dtype.is_float or initial is not None:
        return found
    return ew.where(red.any(there, axis, keepdims=keepdims), found, float("nan"))


def nanmax(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The largest element that is not NaN; NaN if there is none and no `initial`."""
    return _nan_extremum(red.max, -float("inf"), a, axis, out, keepdims, initial, where)


def nanmin(
    a: Any,
    axis: Any = None,
    out: None = None,
    keepdims: bool = False,
    initial: Any = None,
    where: Any = None,
) -> Any:
    """The smallest element that is not NaN; NaN if there is none and no `initial`."""
    return _nan_extremum(red.min, float("inf"), a, axis, out, keepdims, initial, where)


def nanargmax(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """`argmax` of the elements that are not NaN; -1 if there is none."""
    return _nan_place(red.argmax, -float("inf"), a, axis, out, keepdims)


def nanargmin(
    a: Any, axis: int | None = None, out: None = None, keepdims: bool | None = None
) -> Any:
    """`argmin` of the elements that are not NaN; -1 if there is none."""
    return _nan_place(red.argmin, float("inf"), a, axis, out, keepdims)


def _nan_place(find: Callable, worst: float, a: Any, axis: Any, out: Any, keepdims: Any) -> Any:
    x, there = _filled(a, worst)
    place = find(x, axis, out, keepdims)
    return ew.where(red.any(there, axis, keepdims=bool(keepdims)), place, -1)


def nancumsum(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running sums that count NaN as 0."""
    return red.cumsum(_filled(a, 0.0)[0], axis, dtype, out)


def nancumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running products that count NaN as 1."""
    return cumprod(_filled(a, 1.0)[0], axis, dtype, out)


__all__ = [
    "nanargmax",
    "nanargmin",
    "nancumprod",
    "nancumsum",
    "nanmax",
    "nanmean",
    "nanmin",
    "nanprod",
    "nanstd",
    "nansum",
    "nanvar",
]
