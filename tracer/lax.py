"""Operations closer to the primitives than numpy's.

Invariant: as in `tracer.numpy`, everything works inside and outside of a trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.dtypes import dtype as dtype_of
from ir.dtypes import u32

from . import tree
from .array import aval_of
from .bits import bits_of, from_bits, nextafter
from .bits import left_shift as shift_left
from .bits import right_shift as shift_right_arithmetic
from .branching import cond, switch
from .control import associative_scan, map, scan
from .creation import as_shape, iota
from .elementwise import exp, log, rsqrt, tanh
from .errors import located
from .indexing import as_position
from .loops import fori_loop, while_loop
from .operands import as_bool, astype, same_dtype
from .sorting import sort_operands as sort
from .sorting import top_k
from .special import erf, erf_inv, erfc
from .staging import bind, operand
from .statistics import cumlogsumexp, cummax, cummin
from .statistics import running_product as cumprod
from .statistics import running_sum as cumsum


def stop_gradient(x: Any) -> Any:
    """The identity on a pytree of arrays, through which no gradient passes."""
    return tree.map(lambda leaf: bind("stop_gradient", operand(leaf)), x)


def select(condition: Any, on_true: Any, on_false: Any) -> Any:
    """`on_true` where `condition`; all of one shape. Raises TypeError otherwise."""
    return bind("select", as_bool(condition), *same_dtype("select", on_true, on_false))


def dynamic_slice(x: Any, start_indices: Sequence[Any], slice_sizes: Sequence[int]) -> Any:
    """x[start : start + size] on every axis; starts may be traced and shift so that it fits.

    Negative starts count from the end.
    """
    x = operand(x, "dynamic_slice")
    starts = _positions(x, start_indices)
    return bind("dynamic_slice", x, *starts, sizes=as_shape(tuple(slice_sizes)))


def dynamic_update_slice(x: Any, update: Any, start_indices: Sequence[Any]) -> Any:
    """`x` with `update` at `start_indices`, which shift so that it fits."""
    x, update = same_dtype("dynamic_update_slice", x, update)
    return bind("dynamic_update", x, update, *_positions(x, start_indices))


def _positions(x: Any, starts: Sequence[Any]) -> list:
    shape = aval_of(x).shape
    if len(starts) != len(shape):
        raise located(
            TypeError, f"a slice of shape {shape} needs a start for each axis, got {len(starts)}"
        )
    return [as_position(i, n) for i, n in zip(starts, shape, strict=True)]


def convert_element_type(x: Any, dtype: Any) -> Any:
    return astype(x, dtype)


def bitcast_convert_type(x: Any, dtype: Any) -> Any:
    """The same bits read as another 4-byte dtype."""
    return bind("bitcast", operand(x), dtype=dtype_of(dtype))


def broadcasted_iota(dtype: Any, shape: Sequence[int], dimension: int) -> Any:
    """Each element's index along `dimension`."""
    sizes = as_shape(tuple(shape))
    if not 0 <= dimension < len(sizes):
        raise located(ValueError, f"dimension {dimension} is not an axis of shape {sizes}")
    return astype(iota(sizes, dimension), dtype)


def shift_right_logical(x: Any, amount: Any) -> Any:
    """x shifted to the right, zeros entering."""
    x = operand(x)
    return from_bits(shift_right_arithmetic(bits_of(x), astype(amount, u32)), aval_of(x).dtype)


__all__ = [
    "associative_scan",
    "bitcast_convert_type",
    "broadcasted_iota",
    "cond",
    "convert_element_type",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "dynamic_slice",
    "dynamic_update_slice",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "fori_loop",
    "log",
    "map",
    "nextafter",
    "rsqrt",
    "scan",
    "select",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
    "sort",
    "stop_gradient",
    "switch",
    "tanh",
    "top_k",
    "while_loop",
]
