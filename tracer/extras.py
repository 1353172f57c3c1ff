"""Elementwise functions made of others.

Invariant: as in `elementwise`: operands become of one dtype, and functions that only floats have
take integers as float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ir.dtypes import highest, lowest

from . import elementwise as ew
from .array import aval_of
from .errors import located
from .operands import as_bool, as_float, promote_floats, same_dtype
from .staging import bind, operand

# --- of one array -----------------------------------------------------------------------------


def positive(x: Any) -> Any:
    """x itself."""
    return operand(x)


def fabs(x: Any) -> Any:
    """|x| as a float."""
    return ew.abs(as_float(x))


def round(a: Any, decimals: int = 0) -> Any:
    """The nearest multiple of 10**-decimals, ties to even, of a's dtype."""
    if not decimals or not aval_of(operand(a)).dtype.is_float:
        return ew.round(a)
    scale = 10.0 ** abs(decimals)
    if decimals > 0:
        return ew.divide(ew.round(ew.multiply(a, scale)), scale)
    return ew.multiply(ew.round(ew.divide(a, scale)), scale)


def deg2rad(x: Any) -> Any:
    """Degrees as radians."""
    return ew.multiply(as_float(x), math.pi / 180)


def rad2deg(x: Any) -> Any:
    """Radians as degrees."""
    return ew.multiply(as_float(x), 180 / math.pi)


def modf(x: Any) -> tuple[Any, Any]:
    """The fractional and the whole part, both with the sign of x."""
    x = as_float(x)
    whole = ew.trunc(x)
    rest = ew.where(ew.isinf(x), 0.0, ew.subtract(x, whole))
    return rest, whole


def isposinf(x: Any) -> Any:
    return ew.logical_and(ew.isinf(x), ew.greater(x, 0))


def isneginf(x: Any) -> Any:
    return ew.logical_and(ew.isinf(x), ew.less(x, 0))


def nan_to_num(
    x: Any, copy: bool = True, nan: float = 0.0, posinf: Any = None, neginf: Any = None
) -> Any:
    """NaN and infinities replaced by numbers, the infinities by the dtype's extremes by default."""
    x = operand(x)
    kind = aval_of(x).dtype
    if not kind.is_float:
        return x
    top, bottom = highest(kind), lowest(kind)
    x = ew.where(isposinf(x), top if posinf is None else posinf, x)
    x = ew.where(isneginf(x), bottom if neginf is None else neginf, x)
    return ew.where(ew.isnan(x), nan, x)


# --- of two arrays ----------------------------------------------------------------------------


def divmod(x: Any, y: Any) -> tuple[Any, Any]:
    """(floor_divide(x, y), mod(x, y))."""
    return ew.floor_divide(x, y), ew.mod(x, y)


def float_power(x: Any, y: Any) -> Any:
    """x ** y in floats."""
    return bind("pow", *promote_floats("float_power", x, y))


def heaviside(x1: Any, x2: Any, /) -> Any:
    """0 below 0, 1 above, `x2` there; NaN for NaN."""
    x, middle = promote_floats("heaviside", x1, x2)
    step = ew.where(ew.less(x, 0), 0.0, ew.where(ew.equal(x, 0), middle, 1.0))
    return ew.where(ew.isnan(x), math.nan, step)


def fmax(x1: Any, x2: Any) -> Any:
    """The larger of two; the other one where one is NaN."""
    x1, x2 = same_dtype("fmax", x1, x2)
    return ew.where(ew.isnan(x1), x2, ew.where(ew.isnan(x2), x1, ew.maximum(x1, x2)))


def fmin(x1: Any, x2: Any) -> Any:
    """The smaller of two; the other one where one is NaN."""
    x1, x2 = same_dtype("fmin", x1, x2)
    return ew.where(ew.isnan(x1), x2, ew.where(ew.isnan(x2), x1, ew.minimum(x1, x2)))


def ldexp(x: Any, n: Any) -> Any:
    """x * 2**n for integers n."""
    return ew.multiply(as_float(x), ew.exp2(ew.trunc(as_float(n))))


def select(condlist: Sequence[Any], choicelist: Sequence[Any], default: Any = 0) -> Any:
    """For each element the choice of the first condition that holds, else `default`."""
    if len(condlist) != len(choicelist) or not condlist:
        raise located(
            ValueError,
            "condlist must have length equal to choicelist and not be empty "
            f"({len(condlist)} vs {len(choicelist)})",
        )
    out = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        out = ew.where(as_bool(condition), choice, out)
    return out


__all__ = [
    "deg2rad",
    "divmod",
    "fabs",
    "float_power",
    "fmax",
    "fmin",
    "heaviside",
    "isneginf",
    "isposinf",
    "ldexp",
    "modf",
    "nan_to_num",
    "positive",
    "rad2deg",
    "round",
    "select",
]
