"""Making operands agree: numpy broadcasting and Python scalars end here.

Invariant: operands of different dtypes are converted to the one that JAX's rules give
(`promotion.join`), before any equation; a Python number adopts that dtype.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ir.build import current, user_src
from ir.dtypes import DType, bool_, f32, highest, i32
from ir.graph import Lit

from . import settings
from .array import Array, Tracer, aval_of, is_weak
from .errors import TypePromotionError, located
from .promotion import join, requested
from .staging import SCALARS, bind, filled, marked, operand, scalar, spread, visible


def promote(name: str, *xs: Any) -> list:
    """The operands with one dtype and one shape."""
    return (len(xs) == 2 and _ready(name, *xs)) or broadcast(name, *same_dtype(name, *xs))


def _ready(name: str, x: Any, y: Any) -> list | None:
    """Traced arrays of one dtype, or one of floats with a number: what nearly all operands are."""
    if type(y) is not Tracer:
        number = _beside(x, y)
        return number and [x, number]
    if type(x) is not Tracer:
        number = _beside(y, x)
        return number and [number, y]
    first, second = x.value.aval, y.value.aval
    if first.dtype is not second.dtype or x.weak_type != y.weak_type:
        return None
    return [x, y] if first.shape == second.shape else broadcast(name, x, y)


def _beside(x: Any, number: Any) -> Lit | None:
    """A Python number as an operand beside a traced array of floats."""
    if type(x) is not Tracer or x.weak_type or type(number) not in (float, int):
        return None
    aval = x.value.aval
    kind = aval.dtype
    return Lit(float(number), aval) if kind.is_float and abs(number) <= highest(kind) else None


def promote_floats(name: str, *xs: Any) -> list:
    """The operands with one float dtype, float32 for integers, and one shape."""
    ready = _ready(name, *xs) if len(xs) == 2 else None
    if ready and aval_of(ready[0]).dtype.is_float:
        return ready
    return broadcast(name, *same_floats(name, *xs))


def same_dtype(name: str, *xs: Any) -> list:
    """The operands with the one dtype that holds all of them."""
    ready = [x if isinstance(x, SCALARS) else operand(x, name, i) for i, x in enumerate(xs)]
    kinds = [(aval_of(x).dtype, is_weak(x)) for x in ready]
    _check_kinds(kinds)
    return _converted(name, ready, *join(kinds))


def same_floats(name: str, *xs: Any) -> list:
    """`same_dtype`, with float32 in place of integers and bools."""
    ready = [x if isinstance(x, SCALARS) else operand(x, name, i) for i, x in enumerate(xs)]
    kinds = [(aval_of(x).dtype, is_weak(x)) for x in ready]
    _check_kinds(kinds)
    kind, weak = join(kinds)
    return _converted(name, ready, kind if kind.is_float else f32, weak)


def _check_kinds(kinds: Sequence[tuple[DType, bool]]) -> None:
    """Obey `numpy_dtype_promotion`; weak values may meet arrays whose dtype holds them."""
    if settings.now().numpy_dtype_promotion == "standard":
        return
    strong = {kind for kind, weak in kinds if not weak}
    kept = join(kinds)[0] in strong
    if len(strong) > 1 or (strong and not kept):
        names = sorted({kind.np.name for kind, _ in kinds})
        raise located(
            TypePromotionError,
            f"Input dtypes {tuple(names)} have no available implicit dtype promotion path when "
            "jax_numpy_dtype_promotion=strict. Try explicitly casting inputs to the desired output "
            "type, or set jax_numpy_dtype_promotion=standard.",
        )


def _converted(name: str, xs: list, kind: DType, weak: bool) -> list:
    if all(isinstance(x, SCALARS) for x in xs):
        return [filled(_wrapped(name, x, kind), kind, weak=weak) for x in xs]
    return [_adapted(name, x, kind, weak) for x in xs]


def _adapted(name: str, x: Any, kind: DType, weak: bool) -> Any:
    if isinstance(x, SCALARS):
        return adopt(name, x, kind)
    return marked(x if aval_of(x).dtype is kind else bind("cast", x, dtype=kind), weak)


def adopt(name: str, value: Any, kind: DType) -> Any:
    """A scalar as an operand of dtype `kind`; integers wrap as they do on conversion.

    Raises OverflowError for integers of more than 32 bits.
    """
    return scalar(_wrapped(name, value, kind), kind)


def _wrapped(name: str, value: Any, kind: DType) -> Any:
    if not kind.is_integer:
        return value
    whole = int(value)
    if not -(2**31) <= whole < 2**32:
        text = f"{name} with the integer {whole}, which is too large for 32 bits"
        raise located(OverflowError, text)
    return np.uint32(whole & 0xFFFFFFFF).view(kind.np)


def broadcast(name: str, *xs: Any) -> list:
    """The operands repeated to their common shape."""
    shapes = [aval_of(x).shape for x in xs]
    if shapes.count(shapes[0]) == len(shapes):
        return list(xs)
    _check_ranks(name, shapes)
    try:
        one_is_scalar = len(shapes) == 2 and () in shapes
        shape = max(shapes) if one_is_scalar else np.broadcast_shapes(*shapes)
    except ValueError:
        raise located(
            TypeError,
            f"{name} got incompatible shapes for broadcasting: {', '.join(map(str, shapes))}. "
            "Axes must be equal or 1, counted from the last",
        ) from None
    return [spread(x, shape) for x in xs]


def _check_ranks(name: str, shapes: Sequence[tuple[int, ...]]) -> None:
    """Obey `numpy_rank_promotion`; scalars may always meet arrays."""
    rule = settings.now().numpy_rank_promotion
    if rule == "allow" or len({len(s) for s in shapes if s}) < 2:
        return
    text = (
        f"Operands could not be broadcast together for {name} on shapes "
        f"{' '.join(map(str, shapes))} and with the config option jax_numpy_rank_promotion="
    )
    if rule == "raise":
        raise located(ValueError, f"{text}'raise'; give them one rank, as by x[None, :]")
    warnings.warn(f"{text}'warn': {user_src() or 'here'}", stacklevel=2)


def common_shape(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The shape that all of these broadcast to. Raises ValueError if there is none."""
    if shapes and list(shapes).count(shapes[0]) == len(shapes):
        return shapes[0]
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise located(
            ValueError, f"Incompatible shapes for broadcasting: shapes={list(shapes)}"
        ) from None


def as_float(x: Any) -> Any:
    """Integers and bools as float32; floats unchanged."""
    if type(x) is Tracer and x.value.aval.dtype.is_float:
        return x
    return same_floats("this operation", operand(x))[0]


def in_float32(fun: Callable) -> Callable:
    """Decorator: a function of floats whose formula needs more digits than 16 bits have."""

    @functools.wraps(fun)
    def function(*xs: Any) -> Any:
        ready = same_floats(fun.__name__, *xs)
        kind = aval_of(ready[0]).dtype
        if kind is f32:
            return fun(*xs)
        return astype(fun(*(astype(x, f32) for x in ready)), kind)

    return function


def weak_as_operands(fun: Callable) -> Callable:
    """Decorator: the result is weak if the common type of the operands is, whatever the formula."""

    @functools.wraps(fun)
    def function(*xs: Any) -> Any:
        out = visible(fun(*xs))
        return marked(out, join((aval_of(x).dtype, is_weak(x)) for x in xs)[1])

    return function


def numbers(name: str, *xs: Any) -> list:
    """`promote`, with int32 in place of bools."""
    ready = promote(name, *xs)
    return [astype(x, i32) if aval_of(x).dtype is bool_ else x for x in ready]


def as_bool(x: Any) -> Any:
    x = operand(x)
    return x if aval_of(x).dtype is bool_ else astype(x, bool_)


def astype(x: Any, dtype: Any) -> Any:
    """Convert. Floats to integers truncate; to bool tests != 0."""
    x, kind = operand(x), requested(dtype)
    if aval_of(x).dtype is not kind:
        return bind("cast", x, dtype=kind)
    if is_weak(x) and isinstance(x, Array) and current() is None:
        return marked(bind("stop_gradient", x), False)  # a copy: users may donate either
    return marked(x, False)
