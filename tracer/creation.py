"""Making arrays.

Invariant: while tracing, arrays of one repeated value are constants of the graph and integer ranges
are computed where they are used; nothing is uploaded for them.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import DType, bool_, f32, i32
from ir.dtypes import dtype as dtype_of

from .array import Array, Tracer, aval_of, is_weak
from .elementwise import add, divide, equal, greater_equal, multiply, subtract, where
from .errors import located
from .operands import astype
from .promotion import requested
from .staging import SCALARS, bind, filled, marked, operand, spread


def array(x: Any, dtype: Any = None) -> Any:
    """An array from numbers, nested lists or arrays; 64-bit types become their 32-bit twins."""
    if isinstance(x, Tracer):
        return asarray(x, dtype)
    if isinstance(x, (list, tuple)) and _holds_tracer(x):
        from .shaping import stack

        return asarray(stack([array(item, dtype) for item in x]), dtype)
    if isinstance(x, (list, tuple)):
        x = np.asarray([np.asarray(item) for item in x]) if x else np.zeros(0, np.float32)
    return Array.from_host(x, None if dtype is None else requested(dtype))


def _holds_tracer(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_tracer(item) for item in x)
    return isinstance(x, Tracer)


def asarray(x: Any, dtype: Any = None) -> Any:
    """`array`, without a copy where `x` is one of our arrays already."""
    if isinstance(x, np.ndarray) and (dtype is None or aval_of(x).dtype is requested(dtype)):
        return operand(x)
    if not isinstance(x, (Tracer, Array)):
        return array(x, dtype)
    return x if dtype is None else astype(x, dtype)


def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """An array of `shape` (an int or a tuple), every element `fill_value`."""
    shape = as_shape(shape)
    if not isinstance(fill_value, SCALARS):
        value = operand(fill_value, "full")
        return spread(value if dtype is None else astype(value, dtype), shape)
    weak = dtype is None and is_weak(fill_value)
    kind = aval_of(fill_value).dtype if dtype is None else requested(dtype)
    return filled(fill_value, kind, shape, weak)


def zeros(shape: Any, dtype: Any = f32) -> Any:
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = f32) -> Any:
    return full(shape, 1, dtype)


def full_like(x: Any, fill_value: Any, dtype: Any = None) -> Any:
    """`full` with the shape of `x` and, unless given, its dtype."""
    made = full(np.shape(x), fill_value, _like(x) if dtype is None else dtype)
    return marked(made, dtype is None and is_weak(x))


def zeros_like(x: Any, dtype: Any = None) -> Any:
    return full_like(x, 0, dtype)


def ones_like(x: Any, dtype: Any = None) -> Any:
    return full_like(x, 1, dtype)


def _like(x: Any) -> DType:
    # Also of a ShapeDtypeStruct, which has a dtype but no value.
    return dtype_of(x.dtype) if hasattr(x, "dtype") else aval_of(x).dtype


SHAPES = "Shapes must be 1D sequences of concrete values of integer type"
CURE = "If using `jit`, try using `static_argnums` or applying `jit` to smaller subfunctions"


def as_shape(shape: Any) -> tuple[int, ...]:
    """A shape given as an int or a sequence of ints. Raises TypeError, ValueError."""
    items = shape if isinstance(shape, (tuple, list)) else (shape,)
    try:
        sizes = tuple(operator.index(n) for n in items)
    except TypeError as error:
        raise located(TypeError, f"{SHAPES}, got {items!r}. {CURE}") from error
    if any(n < 0 for n in sizes):
        raise located(ValueError, f"axes cannot have negative sizes, got {sizes}")
    return sizes


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: Any = None) -> Any:
    """start, start + step, ... below `stop`; int32 unless an argument is a float."""
    if any(isinstance(v, (Tracer, Array)) for v in (start, stop, step)):
        start, stop, step = (_known(v) for v in (start, stop, step))
    line = np.arange(start, stop, step) if stop is not None else np.arange(0, start, step)
    kind = aval_of(line).dtype if dtype is None else requested(dtype)
    if current() is None or not np.issubdtype(line.dtype, np.integer):
        return operand(line.astype(kind.np))
    first = start if stop is not None else 0
    places = bind("iota", shape=line.shape, dtype=i32, axis=0)
    return astype(add(multiply(places, step), first), kind)


def _known(v: Any) -> Any:
    """A bound must be known while tracing: it decides a shape."""
    return v.item() if isinstance(v, (Tracer, Array)) else v


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` evenly spaced floats from `start` to `stop`, numbers or arrays, along a new `axis`.

    With `retstep`, a pair of them and the step.
    """
    count = num - 1 if endpoint else num
    if isinstance(start, SCALARS) and isinstance(stop, SCALARS):
        host, step = np.linspace(start, stop, num, endpoint, retstep=True)
        found = asarray(operand(host.astype(np.float32)), dtype)
        return (found, step) if retstep else found
    spans = multiply(subtract(stop, start), 1.0)
    parts = np.arange(num, dtype=np.float32) / max(count, 1)
    parts = operand(parts.reshape(-1, *(1,) * aval_of(spans).ndim))
    rows = add(multiply(subtract(1, parts), start), multiply(parts, stop))
    found = bind("transpose", rows, perm=_first_to(axis, aval_of(rows).ndim))
    found = found if dtype is None else astype(found, dtype)
    return (found, divide(spans, count or np.nan)) if retstep else found


def _first_to(axis: int, rank: int) -> tuple[int, ...]:
    """The permutation that moves the first axis to `axis`."""
    moved = list(range(1, rank))
    moved.insert(axis % rank, 0)
    return tuple(moved)


def eye(n: int, m: int | None = None, k: int = 0, dtype: Any = f32) -> Any:
    """[n, m] with ones on the k-th diagonal."""
    shape = as_shape((n, n if m is None else m))
    row, column = (iota(shape, axis) for axis in (0, 1))
    return astype(equal(add(row, k), column), dtype)


def iota(shape: tuple[int, ...], axis: int) -> Any:
    """int32 of `shape`: each element's index along `axis`."""
    return bind("iota", shape=shape, dtype=i32, axis=axis)


def _triangle(x: Any, k: int, lower: bool) -> Any:
    x = operand(x)
    aval = aval_of(x)
    if aval.ndim < 2:
        raise located(ValueError, f"tril and triu need at least two axes, got shape {aval.shape}")
    row, column = (iota(aval.shape, aval.ndim - d) for d in (2, 1))
    keep = greater_equal(add(row, k), column) if lower else greater_equal(column, add(row, k))
    return where(keep, x, False if aval.dtype is bool_ else 0)


def tril(x: Any, k: int = 0) -> Any:
    """Zero above the k-th diagonal of the last two axes."""
    return _triangle(x, k, lower=True)


def triu(x: Any, k: int = 0) -> Any:
    """Zero below the k-th diagonal of the last two axes."""
    return _triangle(x, k, lower=False)
