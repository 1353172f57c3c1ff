"""Running combinations along an axis, differences, and other summaries.

Invariant: nothing is gathered or compared that a view or a select expresses, so every function has
the derivative its formula has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.dtypes import bool_, i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .errors import located
from .operands import as_bool, as_float, astype, same_dtype
from .staging import SCALARS, filled, operand

# --- running ----------------------------------------------------------------------------------


def running(combine: Callable, x: Any, axis: int | None, reverse: bool = False) -> Any:
    """x[0], combine(x[0], x[1]), ... along `axis` (None: flattened), in log2(n) passes."""
    x = operand(x)
    x = astype(x, i32) if aval_of(x).dtype is bool_ else x
    x = shaping.ravel(x) if axis is None else x
    at = shaping.canonical_axis(0 if axis is None else axis, aval_of(x).ndim)
    x = shaping.flip(x, at) if reverse else x
    n, shift = aval_of(x).shape[at], 1
    while shift < n:
        before, after = (
            shaping.slice_axis(x, at, lo, hi) for lo, hi in ((0, n - shift), (shift, n))
        )
        kept = shaping.slice_axis(x, at, 0, shift)
        x = shaping.concatenate([kept, combine(before, after)], at)
        shift *= 2
    return shaping.flip(x, at) if reverse else x


def cumprod(a: Any, axis: int | None = None, dtype: Any = None, out: None = None) -> Any:
    """Running products along `axis` (default: of the flattened array)."""
    red.without_out("cumprod", out)
    x = operand(a, "cumprod") if dtype is None else astype(a, dtype)
    made = running(ew.multiply, x if aval_of(x).ndim else shaping.ravel(x), axis)
    return made if dtype is None else astype(made, dtype)


def cumulative_sum(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """`cumsum`; with `include_initial` a 0 goes in front. `axis` may be left out of vectors."""
    return _cumulative("sum", red.cumsum, 0, x, axis, dtype, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: int | None = None, dtype: Any = None, include_initial: bool = False
) -> Any:
    """`cumprod`; with `include_initial` a 1 goes in front. `axis` may be left out of vectors."""
    return _cumulative("product", cumprod, 1, x, axis, dtype, include_initial)


def _cumulative(
    name: str, run: Callable, first: int, x: Any, axis: int | None, dtype: Any, initial: bool
) -> Any:
    x = operand(x, f"cumulative_{name[:4]}")
    rank = aval_of(x).ndim
    if rank == 0:
        raise located(
            ValueError,
            f"The input must be non-scalar to take a cumulative {name}, however a scalar value or "
            "scalar array was given.",
        )
    if axis is None and rank > 1:
        raise located(
            ValueError,
            f"The input array has rank {rank}, however axis was not set to an explicit value. The "
            "axis argument is only optional for one-dimensional arrays.",
        )
    at = shaping.canonical_axis(0 if axis is None else axis, rank)
    made = run(x, at, dtype)
    if not initial:
        return made
    sizes = tuple(1 if d == at else n for d, n in enumerate(aval_of(x).shape))
    return shaping.concatenate([filled(first, aval_of(made).dtype, sizes), made], at)


def diff(a: Any, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Any:
    """Differences of neighbours along `axis`, `n` times.

    `prepend` and `append` (arrays, or scalars for one more element) come in front and behind.
    Raises ValueError if n is negative or there is no axis.
    """
    x = operand(a, "diff")
    if n < 0:
        raise located(ValueError, f"order must be non-negative but got {n}")
    if not aval_of(x).ndim:
        raise located(ValueError, "diff requires input that is at least one dimensional; got ()")
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    if n == 0:
        return x
    parts = [_beside(prepend, x, at), x, _beside(append, x, at)]
    x = shaping.concatenate([p for p in parts if p is not None], at)
    change = ew.not_equal if aval_of(x).dtype is bool_ else ew.subtract
    for _ in range(n):
        size = aval_of(x).shape[at]
        if size == 0:
            break
        x = change(shaping.slice_axis(x, at, 1, size), shaping.slice_axis(x, at, 0, size - 1))
    return x


def _beside(given: Any, x: Any, at: int) -> Any:
    if given is None or aval_of(operand(given)).ndim:
        return given
    kind = aval_of(x).dtype
    sizes = tuple(1 if d == at else n for d, n in enumerate(aval_of(x).shape))
    return shaping.broadcast_to(astype(given, kind) if isinstance(given, SCALARS) else given, sizes)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """Differences of neighbours of the flattened array, between two given ends."""
    x = operand(ary, "ediff1d")
    kind = aval_of(x).dtype
    ends = [None if v is None else astype(shaping.ravel(v), kind) for v in (to_begin, to_end)]
    parts = [ends[0], diff(shaping.ravel(x)), ends[1]]
    return shaping.concatenate([p for p in parts if p is not None], 0)


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: int | None = None) -> Any:
    """Central differences along each axis, one-sided ones at the ends; a list if there are several.

    `varargs` are the distances along each axis, or one for all; places of the elements instead
    of a distance may be unevenly spaced.
    """
    f = as_float(f)
    rank = aval_of(f).ndim
    given = range(rank) if axis is None else axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [shaping.canonical_axis(a, rank) for a in given]
    if edge_order not in (None, 1):
        raise located(ValueError, f"gradient has edge_order 1, got {edge_order}")
    steps = list(varargs) if varargs else [1.0]
    steps = steps * len(axes) if len(steps) == 1 else steps
    if len(steps) != len(axes):
        raise located(TypeError, f"gradient of {len(axes)} axes got {len(steps)} spacings")
    found = [_slope(f, a, h) for a, h in zip(axes, steps, strict=True)]
    return found[0] if len(found) == 1 else found


def _slope(f: Any, at: int, h: Any) -> Any:
    n = aval_of(f).shape[at]
    if n < 2:
        raise located(
            ValueError,
            "Shape of array too small to calculate a numerical gradient, at least 2 elements are "
            "required.",
        )

    def part(lo: int, hi: int) -> Any:
        return shaping.slice_axis(f, at, lo, hi)

    rise = diff(f, axis=at)
    if aval_of(operand(h)).ndim == 0:
        middle = ew.divide(ew.subtract(part(2, n), part(0, n - 2)), ew.multiply(2.0, h))
        slopes = ew.divide(rise, h)
    else:
        shape = tuple(n - 1 if d == at else 1 for d in range(aval_of(f).ndim))
        width = shaping.reshape(diff(as_float(h)), shape)
        slopes = ew.divide(rise, width)
        left, right = (shaping.slice_axis(width, at, *ends) for ends in ((0, n - 2), (1, n - 1)))
        low, high = (shaping.slice_axis(slopes, at, *ends) for ends in ((0, n - 2), (1, n - 1)))
        middle = (low * right + high * left) / (left + right)
    first, last = (shaping.slice_axis(slopes, at, i, i + 1) for i in (0, n - 2))
    return shaping.concatenate([first, middle, last], at)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral along `axis` by the trapezoidal rule, at places `x` or `dx` apart."""
    y = shaping.moveaxis(as_float(y), axis, -1)
    n = aval_of(y).shape[-1]
    widths = dx
    if x is not None:
        x = as_float(x)
        widths = diff(shaping.moveaxis(x, axis, -1) if aval_of(x).ndim > 1 else x)
    heights = ew.add(y[..., 1:], y[..., : n - 1])
    return red.sum(ew.multiply(heights, widths), -1) * 0.5


# --- summaries --------------------------------------------------------------------------------


def ptp(a: Any, axis: Any = None, out: None = None, keepdims: bool = False) -> Any:
    """Largest minus smallest element."""
    ends = (f(a, axis, out, keepdims) for f in (red.max, red.min))
    return ew.subtract(*ends)


def count_nonzero(a: Any, axis: Any = None, keepdims: bool = False) -> Any:
    """int32 number of elements that are not zero."""
    return red.sum(as_bool(a), axis, keepdims=keepdims)


def average(
    a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: bool = False
) -> Any:
    """Mean weighted by `weights`, of a's shape or one for each place along `axis`.

    With `returned` also the sum of the weights. Raises ValueError for weights that do not fit.
    """
    x = as_float(a)
    if weights is None:
        out = red.mean(x, axis, keepdims=keepdims)
        count = aval_of(x).size / max(aval_of(out).size, 1)
        return (out, ew.add(ew.multiply(out, 0.0), count)) if returned else out
    x, weights = same_dtype("average", x, as_float(weights))
    weights = _fitted(weights, aval_of(x).shape, axis)
    total = red.sum(weights, axis, keepdims=keepdims)
    out = red.sum(ew.multiply(x, weights), axis, keepdims=keepdims) / total
    return (out, shaping.broadcast_to(total, aval_of(out).shape)) if returned else out


def _fitted(weights: Any, shape: tuple[int, ...], axis: Any) -> Any:
    if aval_of(weights).shape == shape:
        return weights
    if axis is None:
        raise located(ValueError, "Axis must be specified when shapes of a and weights differ.")
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [shaping.canonical_axis(d, len(shape)) for d in given]
    if aval_of(weights).shape != tuple(shape[d] for d in axes):
        raise located(
            ValueError, "Shape of weights must be consistent with shape of a along specified axis."
        )
    weights = shaping.transpose(weights, sorted(range(len(axes)), key=axes.__getitem__))
    sizes = tuple(n if d in axes else 1 for d, n in enumerate(shape))
    return shaping.broadcast_to(shaping.reshape(weights, sizes), shape)


__all__ = [
    "average",
    "count_nonzero",
    "cumprod",
    "cumulative_prod",
    "cumulative_sum",
    "diff",
    "ediff1d",
    "gradient",
    "ptp",
    "trapezoid",
]
