"""lax's arrays of one value, of indices, and extended by one value.

Invariant: what is known while tracing becomes a constant or a view; only infinite values and arrays
travel as data.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import bool_

from . import creation, strict
from . import elementwise as ew
from .array import Array, Tracer, aval_of
from .errors import located
from .operands import adopt, astype
from .promotion import requested
from .staging import SCALARS, bind, filled, operand, spread

# --- padding ----------------------------------------------------------------------------------


def pad(x: Any, padding_value: Any, padding_config: Sequence[tuple[int, int, int]]) -> Any:
    """(low, high, interior) elements of a scalar for each axis; negative ends cut off instead."""
    x, value = strict.array("pad", x), strict.array("pad", padding_value, 1)
    config = [tuple(map(operator.index, c)) for c in padding_config]
    _check_pad(x, value, config)
    low, high, interior = (tuple(c[i] for c in config) for i in range(3))
    grown = padded(x, padding_value, *(tuple(max(v, 0) for v in w) for w in (low, high)), interior)
    return _cropped(grown, low, high)


def _check_pad(x: Any, value: Any, config: list) -> None:
    shape, shown = aval_of(x).shape, tuple(config)
    kinds = [aval_of(v).dtype for v in (x, value)]
    if aval_of(value).shape:
        raise located(
            ValueError,
            f"padding_value must be a scalar; got np.shape(padding_value)={aval_of(value).shape}",
        )
    if len(config) != len(shape) or any(len(c) != 3 for c in config):
        raise located(
            ValueError,
            "length of padding_config must equal the number of axes of operand, got padding_config "
            f"{shown} for operand shape {shape}",
        )
    if any(c[2] < 0 for c in config):
        raise located(
            ValueError,
            f"interior padding in padding_config must be nonnegative, got padding_config {shown}",
        )
    sizes = tuple(
        lo + n + max(n - 1, 0) * gap + hi for n, (lo, hi, gap) in zip(shape, config, strict=True)
    )
    if any(n < 0 for n in sizes):
        raise located(
            ValueError,
            f"Dimension size after padding is not at least 0, got result shape {sizes}, for "
            f"padding_config {shown} and operand shape {shape}",
        )
    if kinds[0] is not kinds[1]:
        raise located(
            TypeError,
            "pad operand and padding_value must be same dtype: got "
            f"{kinds[0].np.name} and {kinds[1].np.name}.",
        )


def padded(x: Any, value: Any, low: tuple, high: tuple, interior: tuple) -> Any:
    """x with non-negative widths of `value`, a scalar of x's dtype, around and between."""
    widths = {"low": low, "high": high, "interior": interior}
    if not any((*low, *high, *interior)):
        return operand(x)
    kind = aval_of(x).dtype
    if isinstance(value, SCALARS) and np.isfinite(value):
        return bind("pad", x, **widths, value=adopt("pad", value, kind).value)
    # Infinite values and arrays are data, which the primitive does not take.
    zero = False if kind is bool_ else 0
    there = bind("pad", filled(True, bool_, aval_of(x).shape), **widths, value=False)
    grown = bind("pad", x, **widths, value=zero)
    return ew.where(there, grown, spread(operand(value), aval_of(grown).shape))


def _cropped(x: Any, low: tuple[int, ...], high: tuple[int, ...]) -> Any:
    """Without as many elements as the negative widths say."""
    shape = aval_of(x).shape
    start = tuple(max(-lo, 0) for lo in low)
    limit = tuple(n - max(-hi, 0) for n, hi in zip(shape, high, strict=True))
    if limit == shape and not any(start):
        return x
    return bind("slice", x, start=start, limit=limit, stride=(1,) * len(shape))


# --- making -----------------------------------------------------------------------------------


def iota(dtype: Any, size: int) -> Any:
    """0, 1, ... as `size` numbers."""
    return broadcasted_iota(dtype, (size,), 0)


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Any:
    """Each element's index along `dimension`. Raises TypeError for bools."""
    sizes, kind = creation.as_shape(tuple(shape)), requested(dtype)
    if kind is bool_:
        raise located(
            TypeError,
            "iota does not accept dtype bool. Accepted dtypes are subtypes of integer, floating.",
        )
    if not 0 <= dimension < len(sizes):
        raise located(
            ValueError,
            f"iota dimension must be between 0 and len(shape), got dimension={dimension} for "
            f"shape={sizes}",
        )
    return astype(creation.iota(sizes, dimension), kind)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of one repeated scalar."""
    if np.shape(fill_value):
        raise located(
            TypeError,
            "full must be called with scalar fill_value, got fill_value.shape "
            f"{np.shape(fill_value)}.",
        )
    return creation.full(shape, fill_value, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None, shape: Any = None) -> Any:
    """`full` with the shape and dtype of `x`, unless given."""
    kind = x.dtype if hasattr(x, "dtype") else aval_of(x).dtype
    return full(np.shape(x) if shape is None else shape, fill_value, dtype or kind)


def empty(shape: Any, dtype: Any) -> Any:
    """Zeros."""
    return full(shape, 0, dtype)


def dtype(x: Any) -> np.dtype:
    """The dtype of an array-like."""
    return x.dtype if isinstance(x, (Tracer, Array)) else aval_of(x).dtype.np
