"""Reductions of segments: rows that carry one number are combined.

Invariant: numbers out of range, negative ones included, name no segment; a segment without rows
holds the reduction's identity.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import DType, highest, i32, lowest

from .array import aval_of, host_value
from .creation import as_shape, full
from .errors import ConcretizationTypeError, located
from .indexing import said, scatter_mode
from .operands import astype
from .staging import operand
from .writing import How, written


def _segments(
    name: str,
    combine: str,
    identity: Any,
    data: Any,
    segment_ids: Any,
    num_segments: int | None,
    promises: dict[str, bool],
    mode: Any,
) -> Any:
    x, ids = operand(data, name), operand(segment_ids, name)
    if aval_of(x).shape[:1] != aval_of(ids).shape or aval_of(ids).ndim != 1:
        raise located(
            ValueError,
            f"{name} of {aval_of(x)} needs one segment id for each row, got {aval_of(ids)}",
        )
    count = _count(name, ids, num_segments)
    start = full((count, *aval_of(x).shape[1:]), identity, aval_of(x).dtype)
    options = How(scatter_mode(mode), wrap=False, **said(**promises))
    return written(start, astype(ids, i32), x, combine, options)


def _count(name: str, ids: Any, given: int | None) -> int:
    if given is not None:
        (count,) = as_shape(given)
        if count < 0:
            raise located(ValueError, "num_segments must be non-negative.")
        return count
    if current() is not None:
        raise located(
            ConcretizationTypeError,
            f"the number of segments of {name} depends on values that are not known while tracing; "
            "give it `num_segments`",
        )
    host = host_value(ids)
    return max(0, int(np.max(host)) + 1) if host.size else 0


def _lowest(kind: DType) -> Any:
    return -np.inf if kind.is_float else lowest(kind)


def _highest(kind: DType) -> Any:
    return np.inf if kind.is_float else highest(kind)


def segment_sum(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """The sum of the rows of each segment: [num_segments, ...], by default as many as are named.

    The two flags are promises. `bucket_size` has no effect: sums are already in a fixed order.
    """
    promises = dict(sorted=indices_are_sorted, unique=unique_indices)
    return _segments("segment_sum", "add", 0, data, segment_ids, num_segments, promises, mode)


def segment_prod(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """The product of the rows of each segment, 1 where there are none; see `segment_sum`."""
    promises = dict(sorted=indices_are_sorted, unique=unique_indices)
    return _segments("segment_prod", "mul", 1, data, segment_ids, num_segments, promises, mode)


def segment_max(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """The largest of each segment, minus infinity or the lowest integer where there are no rows."""
    promises = dict(sorted=indices_are_sorted, unique=unique_indices)
    start = _lowest(aval_of(operand(data, "segment_max")).dtype)
    return _segments("segment_max", "max", start, data, segment_ids, num_segments, promises, mode)


def segment_min(
    data: Any,
    segment_ids: Any,
    num_segments: int | None = None,
    indices_are_sorted: bool = False,
    unique_indices: bool = False,
    bucket_size: int | None = None,
    mode: Any = None,
) -> Any:
    """The smallest of each segment, infinity or the highest integer where there are no rows."""
    promises = dict(sorted=indices_are_sorted, unique=unique_indices)
    start = _highest(aval_of(operand(data, "segment_min")).dtype)
    return _segments("segment_min", "min", start, data, segment_ids, num_segments, promises, mode)


__all__ = ["segment_max", "segment_min", "segment_prod", "segment_sum"]
