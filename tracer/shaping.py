"""Functions that move elements: views, joins and splits.

Invariant: axes may be negative everywhere and are checked here, so the IR sees canonical ones.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from ir.build import lit

from .array import Tracer, aval_of
from .creation import as_shape
from .errors import located
from .operands import astype, common_shape, same_dtype
from .staging import SCALARS, bind, operand, spread


def canonical_axis(axis: Any, ndim: int) -> int:
    """A non-negative axis. Raises ValueError if it is out of bounds."""
    if isinstance(axis, Tracer):
        raise axis.abstract("The axis argument must be known statically")
    try:
        at = operator.index(axis)
    except TypeError as error:
        raise located(TypeError, f"an axis is a Python int, got {axis!r}") from error
    if not -ndim <= at < ndim:
        raise located(ValueError, f"axis {at} is out of bounds for array of dimension {ndim}")
    return at % ndim


def canonical_axes(axis: Any, ndim: int) -> tuple[int, ...]:
    """Sorted non-negative axes; None means all. Raises ValueError on duplicates."""
    if axis is None:
        return tuple(range(ndim))
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = sorted(canonical_axis(a, ndim) for a in given)
    if len(set(axes)) != len(axes):
        raise located(ValueError, f"duplicate value in 'axis': {axis}")
    return tuple(axes)


def shape(a: Any) -> tuple[int, ...]:
    """The sizes of the axes."""
    return aval_of(operand(a, "shape")).shape


def ndim(a: Any) -> int:
    """The number of axes."""
    return len(shape(a))


def size(a: Any, axis: Any = None) -> int:
    """The number of elements, or of places along `axis`."""
    sizes = shape(a)
    return prod(sizes[d] for d in canonical_axes(axis, len(sizes)))


# --- views ------------------------------------------------------------------------------------


def reshape(a: Any, shape: Any, order: str = "C", *, copy: bool | None = None) -> Any:
    """The same elements, in row-major order, in another shape; one axis may be -1.

    With order "F" the first axis varies fastest, in both shapes. Raises TypeError if the sizes
    differ.
    """
    x = operand(a, "reshape")
    aval, sizes = aval_of(x), _sizes(shape)
    if sizes.count(-1) == 1:
        rest = prod(n for n in sizes if n != -1)
        fill = aval.size // rest if rest else 0
        sizes = tuple(fill if n == -1 else n for n in sizes)
    if sizes.count(-1) > 1:
        raise located(
            TypeError, f"can only specify one unknown axis size with a `-1` value, got {sizes}"
        )
    if prod(sizes) != aval.size or min(sizes, default=0) < 0:
        raise located(
            TypeError,
            f"cannot reshape array of shape {aval.shape} (size {aval.size}) "
            f"into shape {_sizes(shape)} (size {prod(sizes)})",
        )
    if _is_column_major(order):
        return transpose(reshape(transpose(x), sizes[::-1]))
    return x if sizes == aval.shape else bind("reshape", x, shape=sizes)


def _is_column_major(order: str) -> bool:
    if order not in ("C", "F"):
        raise located(ValueError, f"order is 'C' or 'F', got {order!r}")
    return order == "F"


def _sizes(shape: Any) -> tuple[int, ...]:
    items = shape if isinstance(shape, (tuple, list)) else (shape,)
    open_ = [not isinstance(n, Tracer) and n == -1 for n in items]
    fixed = as_shape(tuple(0 if o else n for o, n in zip(open_, items, strict=True)))
    return tuple(-1 if o else n for o, n in zip(open_, fixed, strict=True))


def ravel(a: Any, order: str = "C") -> Any:
    """One axis."""
    return reshape(a, -1 if size(a) else 0, order)


def transpose(a: Any, axes: Sequence[int] | None = None) -> Any:
    """Result axis i is operand axis `axes[i]`; without `axes`, in reverse order."""
    x = operand(a, "transpose")
    n = aval_of(x).ndim
    perm = tuple(reversed(range(n))) if axes is None else tuple(canonical_axis(d, n) for d in axes)
    if sorted(perm) != list(range(n)):
        raise located(
            TypeError,
            "transpose permutation isn't a permutation of operand dimensions, got permutation "
            f"{tuple(axes)} for operand shape {aval_of(x).shape}.",
        )
    return x if list(perm) == sorted(perm) else bind("transpose", x, perm=perm)


def permute_dims(a: Any, /, axes: Sequence[int]) -> Any:
    """`transpose` with the order said."""
    return transpose(a, axes)


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """Two axes in each other's places."""
    x = operand(a, "swapaxes")
    n = aval_of(x).ndim
    first, second = canonical_axis(axis1, n), canonical_axis(axis2, n)
    perm = list(range(n))
    perm[first], perm[second] = second, first
    return transpose(x, perm)


def matrix_transpose(x: Any, /) -> Any:
    """The last two axes swapped. Raises ValueError unless there are two."""
    n = aval_of(operand(x, "matrix_transpose")).ndim
    if n < 2:
        raise located(
            ValueError, f"x must be at least two-dimensional for matrix_transpose; got ndim={n}"
        )
    return swapaxes(x, -1, -2)


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """The axis `axis` moved in front of the one that is at `start`."""
    n = aval_of(operand(a, "rollaxis")).ndim
    at = canonical_axis(axis, n)
    if not -n <= start <= n:
        raise located(ValueError, f"start={start} must satisfy {-n}<=start<={n}")
    place = start + n if start < 0 else start
    return moveaxis(a, at, place - 1 if place > at else place)


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """Axes `source` at places `destination`; the others keep their order."""
    x = operand(a, "moveaxis")
    n = aval_of(x).ndim
    src, dst = ([canonical_axis(d, n) for d in _listed(v)] for v in (source, destination))
    if len(src) != len(dst):
        raise located(ValueError, f"Inconsistent number of elements: {len(src)} vs {len(dst)}")
    perm = [d for d in range(n) if d not in src]
    for place, axis in sorted(zip(dst, src, strict=True)):
        perm.insert(place, axis)
    return transpose(x, perm)


def _listed(v: Any) -> list:
    return list(v) if isinstance(v, (tuple, list)) else [v]


def expand_dims(a: Any, axis: Any) -> Any:
    """Insert axes of size 1 at the places `axis` of the result."""
    a = operand(a)
    old = list(aval_of(a).shape)
    n = len(old) + len(_listed(axis))
    places = canonical_axes(axis, n)
    return reshape(a, tuple(1 if d in places else old.pop(0) for d in range(n)))


def squeeze(a: Any, axis: Any = None) -> Any:
    """Remove axes of size 1: all of them, or those given."""
    a = operand(a)
    old = aval_of(a).shape
    gone = [d for d, n in enumerate(old) if n == 1]
    gone = gone if axis is None else canonical_axes(axis, len(old))
    if any(old[d] != 1 for d in gone):
        raise located(
            ValueError,
            "cannot select an axis to squeeze out which has size not equal to one, got "
            f"shape={old} and dimensions={tuple(gone)}",
        )
    return reshape(a, tuple(n for d, n in enumerate(old) if d not in gone))


def broadcast_to(array: Any, shape: Any) -> Any:
    """Repeat `array` to `shape` by numpy's rules."""
    x, wanted = operand(array, "broadcast_to"), as_shape(shape)
    old = aval_of(x).shape
    if len(old) > len(wanted):
        raise located(
            ValueError,
            f"Cannot broadcast to shape with fewer dimensions: arr_shape={old} shape={wanted}",
        )
    tail = wanted[len(wanted) - len(old) :]
    if any(n not in (1, m) for n, m in zip(old, tail, strict=True)):
        kind = aval_of(x).dtype.np.name
        given, asked = (f"{kind}[{','.join(map(str, s))}]" for s in (old, wanted))
        raise located(
            ValueError,
            f"Incompatible types for broadcasting: input type={given} and requested type={asked}",
        )
    return spread(x, wanted)


def broadcast_arrays(*args: Any) -> list:
    """The arrays repeated to their common shape; dtypes may differ."""
    ready = [operand(x, "broadcast_arrays", i) for i, x in enumerate(args)]
    common = common_shape([aval_of(x).shape for x in ready])
    return [broadcast_to(x, common) for x in ready]


def flip(m: Any, axis: Any = None) -> Any:
    """Reverse the order along `axis` (default: all)."""
    m = operand(m)
    axes = canonical_axes(axis, aval_of(m).ndim)
    return bind("rev", m, axes=axes) if axes else m


def slice_axis(x: Any, axis: int, start: int, stop: int) -> Any:
    """x[start:stop] along one axis."""
    old = aval_of(x).shape
    if (start, stop) == (0, old[axis]):
        return x
    low, high = [0] * len(old), list(old)
    low[axis], high[axis] = start, stop
    ones = (1,) * len(old)
    return bind("slice", x, start=tuple(low), limit=tuple(high), stride=ones)


# --- joining and splitting --------------------------------------------------------------------


def concatenate(arrays: Sequence[Any], axis: int | None = 0, dtype: Any = None) -> Any:
    """Join along an axis that exists (None: flattened), of elements as `dtype`."""
    if not len(arrays):
        raise located(ValueError, "Need at least one array to concatenate.")
    ready = [operand(a, "concatenate", i) for i, a in enumerate(arrays)]
    ready = [ravel(a) for a in ready] if axis is None else ready
    if dtype is not None:
        ready = [astype(a, dtype) for a in ready]
    ready = same_dtype("concatenate", *ready)
    at = canonical_axis(0 if axis is None else axis, aval_of(ready[0]).ndim)
    _refuse_unequal([aval_of(a).shape for a in ready], at)
    return ready[0] if len(ready) == 1 else bind("concat", *ready, axis=at)


def _refuse_unequal(shapes: list[tuple[int, ...]], at: int) -> None:
    listed = ", ".join(map(str, shapes))
    if len({len(s) for s in shapes}) > 1:
        raise located(
            TypeError,
            f"Cannot concatenate arrays with different numbers of dimensions: got {listed}.",
        )
    if len({(*s[:at], *s[at + 1 :]) for s in shapes}) > 1:
        raise located(
            TypeError,
            "Cannot concatenate arrays with shapes that differ in dimensions other than the one "
            f"being concatenated: concatenating along dimension {at} for shapes {listed}.",
        )


def concat(arrays: Sequence[Any], /, *, axis: int | None = 0) -> Any:
    """`concatenate`."""
    return concatenate(arrays, axis)


def stack(arrays: Sequence[Any], axis: int = 0, out: None = None, dtype: Any = None) -> Any:
    """Join along a new axis, of elements as `dtype`."""
    if out is not None:
        raise located(TypeError, "The 'out' argument to jnp.stack is not supported; use the result")
    if not len(arrays):
        raise located(ValueError, "Need at least one array to stack.")
    ready = [operand(a, "stack", i) for i, a in enumerate(arrays)]
    shapes = [aval_of(a).shape for a in ready]
    if len(set(shapes)) > 1:
        listed = ", ".join(map(str, shapes))
        raise located(ValueError, f"All input arrays must have the same shape. Got {listed}.")
    return concatenate([expand_dims(a, axis) for a in ready], axis, dtype)


def split(ary: Any, indices_or_sections: Any, axis: int = 0) -> list:
    """`indices_or_sections` equal parts, or parts between the given indices."""
    x, parts = operand(ary, "split"), indices_or_sections
    at = canonical_axis(axis, aval_of(x).ndim)
    n = aval_of(x).shape[at]
    if np.ndim(parts):
        cuts = [min(max(c + n if c < 0 else c, 0), n) for c in map(operator.index, parts)]
    elif n % parts:
        raise located(
            ValueError, f"array split does not result in an equal division: rest is {n % parts}"
        )
    else:
        cuts = [n // parts * i for i in range(1, parts)]
    bounds = [0, *cuts, n]
    return [slice_axis(x, at, lo, max(lo, hi)) for lo, hi in pairwise(bounds)]


def tile(A: Any, reps: Any) -> Any:
    """`A` repeated `reps` times along each axis, counted from the last."""
    A, times = operand(A), as_shape(reps)
    old = aval_of(A).shape
    rank = max(len(old), len(times))
    old, times = (1,) * (rank - len(old)) + old, (1,) * (rank - len(times)) + times
    pairs = tuple(n for pair in zip((1,) * rank, old, strict=True) for n in pair)
    wide = tuple(n for pair in zip(times, old, strict=True) for n in pair)
    result = tuple(t * n for t, n in zip(times, old, strict=True))
    return reshape(broadcast_to(reshape(A, pairs), wide), result)


def repeat(x: Any, repeats: int, axis: int | None = None) -> Any:
    """Each element `repeats` times in a row along `axis` (default: of the flattened array)."""
    x = ravel(x) if axis is None else operand(x)
    at = canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    old, (times,) = list(aval_of(x).shape), as_shape(repeats)
    wide = [*old[: at + 1], times, *old[at + 1 :]]
    old[at] *= times
    return reshape(broadcast_to(expand_dims(x, at + 1), wide), old)


def roll(x: Any, shift: Any, axis: Any = None) -> Any:
    """Shift elements along `axis`; those that fall off come back at the other end."""
    x = operand(x)
    if axis is None:
        return reshape(roll(ravel(x), shift, 0), aval_of(x).shape)
    for by, at in zip(_listed(shift), _listed(axis), strict=True):
        at = canonical_axis(at, aval_of(x).ndim)
        n = aval_of(x).shape[at]
        cut = -by % n if n else 0
        parts = slice_axis(x, at, cut, n), slice_axis(x, at, 0, cut)
        x = concatenate(parts, at) if cut else x
    return x


def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = 0) -> Any:
    """Elements of one value around `x`; widths as in numpy: n, (low, high) or one pair an axis.

    Raises ValueError for modes other than "constant" and for negative widths.
    """
    x = operand(x)
    aval = aval_of(x)
    if mode != "constant" or not isinstance(constant_values, SCALARS):
        raise located(ValueError, f"pad has mode 'constant' with one scalar value, got {mode!r}")
    widths = np.broadcast_to(np.asarray(pad_width, dtype=int), (aval.ndim, 2)).tolist()
    if any(w < 0 for pair in widths for w in pair):
        raise located(ValueError, f"index can't contain negative values: pad_width={pad_width}")
    if not np.isfinite(constant_values):
        raise located(ValueError, f"pad needs a finite value, got {constant_values}")
    value = lit(constant_values, aval.dtype).value
    low, high = (tuple(pair[i] for pair in widths) for i in (0, 1))
    return bind("pad", x, low=low, high=high, interior=(0,) * aval.ndim, value=value)
