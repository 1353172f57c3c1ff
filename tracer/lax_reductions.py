"""lax's reductions, running combinations and reduced precision.

Invariant: axes are explicit and non-negative, and results keep the dtype of their operand.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ir.dtypes import bool_, f32, highest, i32, lowest, u32

from . import bits, folding, shaping, statistics, strict, tree
from . import elementwise as ew
from . import reductions as red
from .array import aval_of
from .custom import custom_jvp
from .errors import located
from .operands import astype
from .promotion import requested
from .special import logaddexp
from .staging import bind, filled, spread
from .strict import FLOATING, NUMBER
from .typed import user_type

IDENTITIES = {"add": 0, "mul": 1, "or_": 0, "xor_": 0, "and_": -1}


def _checked(x: Any, axes: Sequence[int]) -> tuple[int, ...]:
    """Sorted axes. Raises ValueError for those that x has not."""
    given, aval = tuple(axes), aval_of(x)
    if len(set(given)) != len(given):
        raise located(ValueError, f"duplicate value in 'axes' of reduction: {given}")
    if any(not 0 <= a < aval.ndim for a in given):
        raise located(
            ValueError,
            f"reduction axes {given} contains out-of-bounds indices for {user_type(aval)}.",
        )
    return tuple(sorted(given))


def _reduced(prim: str, x: Any, axes: tuple[int, ...]) -> Any:
    return bind(prim, x, axes=axes) if axes else x


def reduce_sum(x: Any, axes: Sequence[int]) -> Any:
    """The sum over `axes`, of x's dtype."""
    x = strict.accept("reduce_sum", strict.array("reduce_sum", x), NUMBER)
    return _reduced("sum", x, _checked(x, axes))


def reduce_prod(x: Any, axes: Sequence[int]) -> Any:
    """The product over `axes`, of x's dtype."""
    x = strict.accept("reduce_prod", strict.array("reduce_prod", x), NUMBER)
    return red.prod(x, _checked(x, axes))


def _extremum(name: str, x: Any, axes: Sequence[int]) -> Any:
    x = strict.array(name, x)
    axes = _checked(x, axes)
    if aval_of(x).dtype is not bool_:
        return _reduced(name, x, axes)
    return ew.equal(_reduced(name, astype(x, i32), axes), 1)


def reduce_max(x: Any, axes: Sequence[int]) -> Any:
    """The largest over `axes`; equal ones share the gradient."""
    return _extremum("reduce_max", x, axes)


def reduce_min(x: Any, axes: Sequence[int]) -> Any:
    """The smallest over `axes`; equal ones share the gradient."""
    return _extremum("reduce_min", x, axes)


def _logical(name: str, combine: Callable, empty: int) -> Callable[[Any, Sequence[int]], Any]:
    def function(x: Any, axes: Sequence[int]) -> Any:
        x = strict.array(function.__name__, x)
        kind = aval_of(x).dtype
        if kind.is_float:
            raise located(
                TypeError,
                f"logical reduction requires operand dtype bool or int, got {kind.np.name}.",
            )
        axes = _checked(x, axes)
        neutral = _neutral(empty, kind)
        for at in reversed(axes):
            (x,) = folding.fold(lambda a, b: [combine(a[0], b[0])], [x], [neutral], at)
        return shaping.squeeze(x, axes)

    function.__name__ = function.__qualname__ = f"reduce_{name}"
    function.__doc__ = f"Bitwise {name} over `axes` of integers, logical of bools."
    return function


def _neutral(value: int, kind: Any) -> Any:
    """0 or -1 of an integer dtype or bool, as bits."""
    if kind is bool_:
        return filled(bool(value), bool_)
    return filled(value % 2**32 if kind is u32 else value, kind)


reduce_and = _logical("and", ew.bitwise_and, -1)
reduce_or = _logical("or", ew.bitwise_or, 0)
reduce_xor = _logical("xor", ew.bitwise_xor, 0)


def reduce(
    operands: Any, init_values: Any, computation: Callable, dimensions: Sequence[int]
) -> Any:
    """Elements along `dimensions` combined by an associative function of two scalars.

    `operands`, `init_values` and both arguments of `computation` are trees of one structure, the
    operands of one shape. Raises ValueError.
    """
    xs, structure = tree.flatten(operands)
    inits, other = tree.flatten(init_values)
    if structure != other:
        raise located(
            ValueError,
            f"Operands must have the same tree structure as init_values: {structure} vs. {other}",
        )
    xs, inits = strict.arrays("reduce", xs), strict.arrays("reduce", inits)
    check_inits("reduce", inits)
    inits = [astype(v, aval_of(x).dtype) for v, x in zip(inits, xs, strict=True)]
    axes = _checked(xs[0], dimensions)
    combine = folding.combiner(computation, xs, structure)
    fast = _by_primitive(computation, xs, axes)
    if fast is None:
        for at in reversed(axes):
            xs = folding.fold(combine, xs, inits, at)
        fast = [shaping.squeeze(x, axes) for x in xs]
    wide = [spread(v, aval_of(x).shape) for v, x in zip(inits, fast, strict=True)]
    return tree.unflatten(structure, combine(wide, fast))


def check_inits(name: str, inits: Sequence[Any]) -> None:
    """Raises ValueError unless all initial values are scalars."""
    shapes = [aval_of(v).shape for v in inits]
    if any(shapes):
        raise located(ValueError, f"{name} found non-scalar initial value: {shapes}")


def _by_primitive(computation: Callable, xs: list, axes: tuple[int, ...]) -> list | None:
    """The reduction by a primitive of its own, if there is one."""
    kind = aval_of(xs[0]).dtype
    prim = folding.monoid_of(computation, [kind]) if len(xs) == 1 else None
    names = {"add": "sum", "max": "reduce_max", "min": "reduce_min"}
    if prim is None or prim.name not in names or kind is bool_:
        return None
    empty = any(aval_of(xs[0]).shape[a] == 0 for a in axes)
    return None if empty else [_reduced(names[prim.name], xs[0], axes)]


def identity_of(prim: Any, kind: Any) -> float | int | bool:
    """What combinations by a monoid's primitive leave alone."""
    if prim.name in IDENTITIES:
        value = IDENTITIES[prim.name]
        return value % 2**32 if kind is u32 else bool(value) if kind is bool_ else value
    if kind.is_float:
        return -math.inf if prim.name == "max" else math.inf
    return lowest(kind) if prim.name == "max" else highest(kind)


# --- places -----------------------------------------------------------------------------------


def _place(name: str, x: Any, axis: int, index_dtype: Any) -> Any:
    x = strict.array(name, x)
    shape, kind = aval_of(x).shape, requested(index_dtype)
    if not 0 <= axis < len(shape):
        raise located(ValueError, f"Invalid axis {axis} for operand shape {shape}")
    if not kind.is_integer:
        raise located(TypeError, f"index_dtype must be an integer type, but got {kind.np.name}")
    if not shape[axis]:
        raise located(
            ValueError,
            "argmin and argmax require non-empty reduced dimension. "
            f"operand.shape={shape} axis={axis}",
        )
    return astype(getattr(red, name)(x, axis), kind)


def argmax(x: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first largest element along `axis`."""
    return _place("argmax", x, axis, index_dtype)


def argmin(x: Any, axis: int, index_dtype: Any) -> Any:
    """The index of the first smallest element along `axis`."""
    return _place("argmin", x, axis, index_dtype)


# --- running ----------------------------------------------------------------------------------


def _running(name: str, families: tuple[str, ...], combine: Callable, doc: str) -> Callable:
    def function(x: Any, axis: int = 0, reverse: bool = False) -> Any:
        x = strict.accept(name, strict.array(name, x), families)
        if axis < 0:
            raise located(ValueError, "XLA operations do not allow negative axes")
        if axis >= aval_of(x).ndim:
            raise located(
                ValueError, f"axis {axis} is out of bounds for array of shape {aval_of(x).shape}"
            )
        return statistics.running(combine, x, axis, reverse)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"{doc} so far along `axis`, or from its end."
    return function


cumsum = _running("cumsum", NUMBER, ew.add, "The sum")
cumprod = _running("cumprod", NUMBER, ew.multiply, "The product")
cummax = _running("cummax", NUMBER, ew.maximum, "The largest")
cummin = _running("cummin", NUMBER, ew.minimum, "The smallest")
cumlogsumexp = _running("cumlogsumexp", FLOATING, logaddexp, "log of the sum of exp")


# --- precision --------------------------------------------------------------------------------


def reduce_precision(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    """x rounded to what a float of these widths holds; too large becomes infinite, too small 0.

    The derivative is 1. Raises ValueError for widths that are not positive.
    """
    x = strict.accept("reduce_precision", strict.array("reduce_precision", x), FLOATING)
    if exponent_bits < 1:
        raise located(
            ValueError, f"reduce_precision: exponent_bits must be positive; got {exponent_bits}"
        )
    if mantissa_bits < 0:
        raise located(
            ValueError,
            f"reduce_precision: mantissa_bits must be non-negative; got {mantissa_bits}",
        )

    if exponent_bits >= 8 and mantissa_bits >= 23:
        return x

    @custom_jvp
    def rounded(v: Any) -> Any:
        return _rounded(v, exponent_bits, mantissa_bits)

    rounded.defjvp(lambda primals, tangents: (rounded(*primals), tangents[0]))
    return rounded(x)


def _rounded(x: Any, exponent_bits: int, mantissa_bits: int) -> Any:
    kind = aval_of(x).dtype
    number = bits.bits_of(astype(x, f32))
    drop = 23 - mantissa_bits
    if drop > 0:  # halves go to the even neighbour: add just below half, and the last kept bit
        last = ew.bitwise_and(bits.shift_right(number, drop), 1)
        raised = ew.add(number, ew.add(last, (1 << (drop - 1)) - 1))
        number = ew.bitwise_and(raised, 2**32 - (1 << drop))
    sign, size = (ew.bitwise_and(number, m) for m in (0x80000000, 0x7FFFFFFF))
    if exponent_bits < 8:
        top = (1 << (exponent_bits - 1)) - 1
        exponent = bits.shift_right(size, 23)
        size = ew.where(ew.greater(exponent, 127 + top), 0x7F800000, size)
        size = ew.where(ew.less_equal(exponent, 127 - top), 0, size)
    value = astype(bits.from_bits(ew.bitwise_or(sign, size), f32), kind)
    return ew.where(ew.isnan(x), x, value)


__all__ = [
    "argmax",
    "argmin",
    "cumlogsumexp",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "reduce",
    "reduce_and",
    "reduce_max",
    "reduce_min",
    "reduce_or",
    "reduce_precision",
    "reduce_prod",
    "reduce_sum",
    "reduce_xor",
]
