"""Making arrays.

Invariant: while tracing, arrays of one repeated value are constants of the graph and integer ranges
are computed where they are used; nothing is uploaded for them.
"""

from __future__ import annotations

import operator
from math import ceil
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import DType, bool_, f32, i32
from ir.dtypes import dtype as dtype_of

from .array import Array, Tracer, aval_of, is_weak
from .elementwise import (
    add,
    divide,
    equal,
    floor,
    greater_equal,
    log10,
    multiply,
    power,
    sign,
    subtract,
    where,
)
from .errors import located
from .limits import check_count
from .operands import astype as converted
from .operands import promote_floats
from .promotion import requested
from .staging import SCALARS, bind, filled, marked, operand


def array(
    object: Any,
    dtype: Any = None,
    copy: bool = True,
    order: str | None = "K",
    ndmin: int = 0,
    *,
    device: Any = None,
) -> Any:
    """An array from numbers, nested lists or arrays; 64-bit types become their 32-bit twins.

    Axes of size 1 come in front until there are `ndmin`. Raises TypeError for what is no number,
    ValueError for nested lists of unequal lengths.
    """
    made = _made(object, dtype)
    rank = aval_of(made).ndim
    if rank >= ndmin:
        return made
    from .shaping import reshape

    return reshape(made, (1,) * (ndmin - rank) + aval_of(made).shape)


def _made(x: Any, dtype: Any) -> Any:
    if isinstance(x, Tracer):
        return asarray(x, dtype)
    if isinstance(x, (list, tuple)) and _holds_tracer(x):
        from .shaping import stack

        return asarray(stack([_made(item, dtype) for item in x]), dtype)
    if isinstance(x, (list, tuple)):
        x = np.asarray([np.asarray(item) for item in x]) if x else np.zeros(0, np.float32)
    elif x is None:
        raise located(ValueError, "None is not a valid value for jnp.array")
    if np.asarray(x).dtype.kind not in "biuf":
        raise located(
            TypeError,
            f"Value {x!r} with dtype {np.asarray(x).dtype} is not a valid array type. Only arrays "
            "of numeric types are supported",
        )
    return Array.from_host(x, None if dtype is None else requested(dtype))


def _holds_tracer(x: Any) -> bool:
    if isinstance(x, (list, tuple)):
        return any(_holds_tracer(item) for item in x)
    return isinstance(x, Tracer)


def asarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    *,
    copy: bool | None = None,
    device: Any = None,
) -> Any:
    """`array`, without a copy where `a` is one of our arrays already, unless `copy` is True.

    Raises ValueError if `copy` is False and a copy is needed.
    """
    if copy is False and not isinstance(a, (Tracer, Array)):
        raise located(
            ValueError, f"jnp.asarray: cannot convert object of type {type(a)} without a copy"
        )
    if copy:
        return array(a, dtype)
    if isinstance(a, np.ndarray) and (dtype is None or aval_of(a).dtype is requested(dtype)):
        return operand(a)
    if not isinstance(a, (Tracer, Array)):
        return array(a, dtype)
    return a if dtype is None else converted(a, dtype)


def astype(x: Any, dtype: Any, /, *, copy: bool = False, device: Any = None) -> Any:
    """Convert. Floats to integers truncate; to bool tests != 0."""
    made = converted(operand(x, "astype"), f32 if dtype is None else dtype)
    return array(made) if copy and made is x else made


def full(shape: Any, fill_value: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """An array of `shape` (an int or a tuple), every element `fill_value`."""
    shape = as_shape(shape)
    if not isinstance(fill_value, SCALARS):
        value = asarray(fill_value)
        from .shaping import broadcast_to

        return broadcast_to(value if dtype is None else converted(value, dtype), shape)
    weak = dtype is None and is_weak(fill_value)
    kind = aval_of(fill_value).dtype if dtype is None else requested(dtype)
    return filled(fill_value, kind, shape, weak)


def zeros(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """Zeros, float32 unless said otherwise."""
    return full(shape, 0, f32 if dtype is None else dtype)


def ones(shape: Any, dtype: Any = None, *, device: Any = None) -> Any:
    """Ones, float32 unless said otherwise."""
    return full(shape, 1, f32 if dtype is None else dtype)


def full_like(
    a: Any, fill_value: Any, dtype: Any = None, shape: Any = None, *, device: Any = None
) -> Any:
    """`full` with the shape and dtype of `a`, unless given."""
    kind = _like(a) if dtype is None else dtype
    made = full(np.shape(a) if shape is None else shape, fill_value, kind)
    return marked(made, dtype is None and is_weak(a))


def zeros_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Zeros with the shape and dtype of `a`, unless given."""
    return full_like(a, 0, dtype, shape)


def ones_like(a: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """Ones with the shape and dtype of `a`, unless given."""
    return full_like(a, 1, dtype, shape)


def empty_like(prototype: Any, dtype: Any = None, shape: Any = None, *, device: Any = None) -> Any:
    """`zeros_like`: arrays always have values."""
    return full_like(prototype, 0, dtype, shape)


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
    if current() is None:  # a type may be of any size; a program is judged as a whole
        check_count(sizes)
    return sizes


def arange(
    start: Any, stop: Any = None, step: Any = None, dtype: Any = None, *, device: Any = None
) -> Any:
    """start, start + step, ... below `stop`; int32 unless an argument is a float.

    A single bound is where it stops. Raises ValueError for arrays with axes.
    """
    bounds = [v for v in (start, stop, 1 if step is None else step) if v is not None]
    if any(isinstance(v, (Tracer, Array)) for v in bounds):
        bounds = [_known(v) for v in bounds]
    if any(np.ndim(v) for v in bounds):
        raise located(ValueError, f"jnp.arange: arguments must be scalars; got {bounds}")
    first, last, by = bounds if stop is not None else (0, *bounds)
    check_count((ceil((last - first) / by) if by else 0,))
    line = np.arange(first, last, by)
    kind = aval_of(line).dtype if dtype is None else requested(dtype)
    if current() is None or not np.issubdtype(line.dtype, np.integer):
        return operand(line.astype(kind.np))
    places = bind("iota", shape=line.shape, dtype=i32, axis=0)
    return converted(add(multiply(places, by), first), kind)


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
    *,
    device: Any = None,
) -> Any:
    """`num` evenly spaced floats from `start` to `stop`, numbers or arrays, along a new `axis`.

    With `retstep`, a pair of them and the step. Integers are rounded down.
    """
    num = operator.index(num)
    if num < 0:
        raise located(ValueError, f"Number of samples, {num}, must be non-negative.")
    count = num - 1 if endpoint else num
    if isinstance(start, SCALARS) and isinstance(stop, SCALARS):
        host, step = np.linspace(start, stop, num, endpoint, retstep=True)
        whole = dtype is not None and not dtype_of(dtype).is_float
        found = asarray(operand(np.floor(host) if whole else host.astype(np.float32)), dtype)
        return (found, step) if retstep else found
    spans = multiply(subtract(stop, start), 1.0)
    parts = np.arange(num, dtype=np.float32) / max(count, 1)
    parts = operand(parts.reshape(-1, *(1,) * aval_of(spans).ndim))
    rows = add(multiply(subtract(1, parts), start), multiply(parts, stop))
    found = bind("transpose", rows, perm=_first_to(axis, aval_of(rows).ndim))
    if dtype is not None:
        found = converted(found if dtype_of(dtype).is_float else floor(found), dtype)
    return (found, divide(spans, count or np.nan)) if retstep else found


def _first_to(axis: int, rank: int) -> tuple[int, ...]:
    """The permutation that moves the first axis to `axis`."""
    moved = list(range(1, rank))
    moved.insert(axis % rank, 0)
    return tuple(moved)


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`base` to powers evenly spaced from `start` to `stop`."""
    powers = linspace(start, stop, num, endpoint, axis=axis)
    found = power(base, powers)
    return found if dtype is None else converted(found, dtype)


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    axis: int = 0,
) -> Any:
    """`num` numbers from `start` to `stop`, of one sign, each the same multiple of the last."""
    start, stop = promote_floats("geomspace", start, stop)
    turned = sign(start)
    ends = (log10(divide(v, turned)) for v in (start, stop))
    found = multiply(logspace(*ends, num, endpoint), turned)
    found = bind("transpose", found, perm=_first_to(axis, aval_of(found).ndim))
    return found if dtype is None else converted(found, dtype)


def eye(N: int, M: int | None = None, k: int = 0, dtype: Any = None, *, device: Any = None) -> Any:
    """[N, M] with ones on the k-th diagonal."""
    if N < 0 or (M or 0) < 0:
        raise located(ValueError, f"negative dimensions are not allowed, got {N} and {M}")
    shape = as_shape((N, N if M is None else M))
    row, column = (iota(shape, axis) for axis in (0, 1))
    return converted(equal(add(row, k), column), f32 if dtype is None else dtype)


def identity(n: int, dtype: Any = None) -> Any:
    """[n, n] with ones on the diagonal."""
    return eye(n, dtype=dtype)


def iota(shape: tuple[int, ...], axis: int) -> Any:
    """int32 of `shape`: each element's index along `axis`."""
    return bind("iota", shape=shape, dtype=i32, axis=axis)


def _triangle(x: Any, k: int, lower: bool) -> Any:
    x = operand(x)
    aval = aval_of(x)
    if aval.ndim < 2:
        name = "tril" if lower else "triu"
        raise located(
            ValueError, f"Argument to jnp.{name} must be at least 2D, got shape {aval.shape}"
        )
    row, column = (iota(aval.shape, aval.ndim - d) for d in (2, 1))
    keep = greater_equal(add(row, k), column) if lower else greater_equal(column, add(row, k))
    return where(keep, x, False if aval.dtype is bool_ else 0)


def tril(m: Any, k: int = 0) -> Any:
    """Zero above the k-th diagonal of the last two axes."""
    return _triangle(m, k, lower=True)


def triu(m: Any, k: int = 0) -> Any:
    """Zero below the k-th diagonal of the last two axes."""
    return _triangle(m, k, lower=False)
