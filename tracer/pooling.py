"""Windows of an array combined by a function of two: pooling.

Invariant: a window is combined axis by axis, elements in their order, out of strided views; nothing
as large as all windows is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.dtypes import bool_
from ir.prims.convolve import positions, spread_size

from . import elementwise as ew
from . import folding, lax_reductions, strict, tree
from .array import aval_of
from .conv_layouts import pads_of
from .errors import located
from .lax_filling import padded
from .operands import astype
from .staging import SCALARS, bind, spread

LONG = 8  # places along an axis beyond which windows are made of windows half as long


def reduce_window(
    operand: Any, init_value: Any, computation: Callable, window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None, padding: str | Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None = None, window_dilation: Sequence[int] | None = None,
) -> Any:  # fmt: skip
    """Each window's elements and `init_value` combined by an associative, commutative function.

    Operands are spread by `base_dilation` and padded; windows start `window_strides` apart and
    take elements `window_dilation` apart. Operands, initial values and
    both arguments of `computation` are trees of one structure. Of equal extrema the first gets the
    gradient. Raises TypeError, ValueError.
    """
    xs, structure = tree.flatten(operand)
    xs, values = strict.arrays("reduce_window", xs), tree.leaves(init_value)
    inits = _initial(xs, values)
    shape = aval_of(xs[0]).shape
    window, strides, base, steps = _lists(
        shape, window_dimensions, window_strides, base_dilation, window_dilation
    )
    spans = [list(map(spread_size, n, s)) for n, s in ((shape, base), (window, steps))]
    pads = pads_of(padding, *spans, strides)
    low, high = (tuple(p[i] for p in pads) for i in (0, 1))
    gaps = tuple(s - 1 for s in base)
    prim = folding.monoid_of(computation, [aval_of(x).dtype for x in xs])
    # What a window takes from the padding is nothing, if it is known what that is.
    kind = aval_of(xs[0]).dtype
    fill = values if prim is None else [lax_reductions.identity_of(prim, kind)]
    xs = [padded(x, v, low, high, gaps) for x, v in zip(xs, fill, strict=True)]
    combine = _keeping_first(prim) or folding.combiner(computation, xs, structure)
    for axis in reversed(range(len(shape))):
        count = positions(aval_of(xs[0]).shape[axis], window[axis], strides[axis], steps[axis])
        xs = slid(combine, xs, axis, window[axis], count, strides[axis], steps[axis])
    if prim is not None and isinstance(values[0], SCALARS) and values == fill:
        return tree.unflatten(structure, xs)
    wide = [spread(v, aval_of(x).shape) for v, x in zip(inits, xs, strict=True)]
    return tree.unflatten(structure, combine(wide, xs))


def slid(
    combine: folding.Combine, xs: list, axis: int, size: int, count: int, stride: int, step: int
) -> list:
    """`count` windows of `size` places along an axis, each combined."""
    if size == 1:
        return [_places(x, axis, 0, count, stride) for x in xs]
    if size > LONG and size % 2:
        last = [_places(x, axis, (size - 1) * step, count, stride) for x in xs]
        return combine(slid(combine, xs, axis, size - 1, count, stride, step), last)
    if size > LONG:
        reach = size // 2 * step
        every = spread_size(count, stride) + reach if count else 0
        halves = slid(combine, xs, axis, size // 2, every, 1, step)
        return combine(
            *([_places(x, axis, start, count, stride) for x in halves] for start in (0, reach))
        )
    found = None
    for k in range(size):
        here = [_places(x, axis, k * step, count, stride) for x in xs]
        found = here if found is None else combine(found, here)
    return found


def _places(x: Any, axis: int, start: int, count: int, stride: int) -> Any:
    """`count` elements along an axis, `stride` apart."""
    shape = aval_of(x).shape
    if (start, count, stride) == (0, shape[axis], 1):
        return x
    low, high, by = [0] * len(shape), list(shape), [1] * len(shape)
    low[axis], by[axis] = (start if count else 0), stride
    high[axis] = start + spread_size(count, stride) if count else 0
    return bind("slice", x, start=tuple(low), limit=tuple(high), stride=tuple(by))


def _keeping_first(prim: Any) -> folding.Combine | None:
    """Extrema as a choice, so that of equal elements the first one alone gets the gradient."""
    if prim is None or prim.name not in ("max", "min"):
        return None

    def combine(left: list, right: list) -> list:
        (a,), (b,) = left, right
        if aval_of(a).dtype is bool_:
            return [bind(prim, a, b)]
        ahead = ew.greater_equal(a, b) if prim.name == "max" else ew.less_equal(a, b)
        return [bind("select", ahead, a, b)]

    return combine


def _initial(xs: list, values: list) -> list:
    """The initial values as scalars of the operands' dtypes; Python numbers adopt them."""
    inits = strict.arrays("reduce_window", values)
    if len(xs) != len(inits):
        raise located(
            ValueError,
            "reduce_window takes an initial value for each operand, got "
            f"{len(xs)} operands and {len(inits)} values",
        )
    shapes = [aval_of(x).shape for x in xs]
    if len(set(shapes)) > 1:
        raise located(ValueError, f"reduce_window takes operands of one shape, got {shapes}")
    scalars = [aval_of(v).shape for v in inits]
    if any(scalars):
        raise located(
            TypeError,
            f"reduce_window expected init_values to be scalars but init_values have shapes "
            f"{scalars}.",
        )
    for i, (x, v) in enumerate(zip(xs, values, strict=True)):
        if isinstance(v, SCALARS):
            inits[i] = astype(inits[i], aval_of(x).dtype)
        strict.same_dtypes("reduce_window", (x, inits[i]))
    return inits


def reduce_window_shape_tuple(
    operand_shape: Sequence[int], window_dimensions: Sequence[int],
    window_strides: Sequence[int] | None, padding: Sequence[tuple[int, int]],
    base_dilation: Sequence[int] | None = None, window_dilation: Sequence[int] | None = None,
) -> tuple[int, ...]:  # fmt: skip
    """The shape of a result of `reduce_window`."""
    window, strides, base, steps = _lists(
        operand_shape, window_dimensions, window_strides, base_dilation, window_dilation
    )
    spans = map(spread_size, operand_shape, base)
    sizes = [n + lo + hi for n, (lo, hi) in zip(spans, padding, strict=True)]
    return tuple(map(positions, sizes, window, strides, steps))


def _lists(shape: Sequence[int], window: Sequence[int], *rest: Any) -> list[tuple[int, ...]]:
    """Window sizes, strides and dilations, one for each axis. Raises TypeError."""
    names = ("window_dimensions", "window_strides", "base_dilation", "window_dilation")
    found = [tuple(window), *((1,) * len(shape) if v is None else tuple(v) for v in rest)]
    for name, values in zip(names, found, strict=True):
        if len(values) != len(shape):
            raise located(
                TypeError,
                f"reduce_window got {name} of length {len(values)} and operand shape {shape}, "
                "which must have equal lengths",
            )
        if any(v < 1 for v in values):
            raise located(
                TypeError,
                f"reduce_window {name} must have every element be strictly positive, got {values}.",
            )
    return found
