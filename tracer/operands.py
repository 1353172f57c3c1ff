"""Making operands agree: numpy broadcasting and Python scalars end here.

Invariant: arrays never change dtype silently. A Python scalar adopts the dtype of the arrays beside
it if that dtype can hold it; two arrays of different dtypes are an error that names the cure.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import DType, bool_, f16, f32, i32, u32
from ir.dtypes import dtype as dtype_of

from .array import aval_of, user_type
from .errors import located
from .staging import SCALARS, bind, operand, scalar, spread


def promote(name: str, *xs: Any) -> list:
    """The operands with one dtype and one shape."""
    return broadcast(name, *same_dtype(name, *xs))


def same_dtype(name: str, *xs: Any) -> list:
    """The operands with the dtype of the arrays among them; scalars adopt it."""
    ready = [x if isinstance(x, SCALARS) else operand(x, name) for x in xs]
    avals = [aval_of(x) for x in ready if not isinstance(x, SCALARS)]
    if not avals:
        kind = _widest([aval_of(x).dtype for x in ready])
        return [scalar(x, kind) for x in ready]
    kind = avals[0].dtype
    if any(a.dtype is not kind for a in avals):
        raise located(
            TypeError,
            f"{name} requires arrays of equal dtypes, got {' and '.join(map(user_type, avals))}; "
            f"convert one with .astype({kind.np.name!r})",
        )
    return [adopt(name, x, kind) if isinstance(x, SCALARS) else x for x in ready]


def _widest(kinds: list[DType]) -> DType:
    return next(k for k in (f32, f16, i32, u32, bool_) if k in kinds)


def adopt(name: str, value: Any, kind: DType) -> Any:
    """A scalar as an operand of dtype `kind`. Raises TypeError if `kind` does not hold it."""
    fits = kind.is_float or isinstance(value, (bool, np.bool_))
    if kind.is_integer and isinstance(value, (int, np.integer)):
        limits = np.iinfo(kind.np)
        fits = limits.min <= value <= limits.max
    if kind is bool_:
        fits = isinstance(value, (bool, np.bool_))
    if not fits:
        raise located(
            TypeError,
            f"{name} of {kind.np.name} values with the {type(value).__name__} {value!r}, which "
            f"{kind.np.name} does not hold; convert the array with .astype first",
        )
    return scalar(value, kind)


def broadcast(name: str, *xs: Any) -> list:
    """The operands repeated to their common shape."""
    shapes = [aval_of(x).shape for x in xs]
    if shapes.count(shapes[0]) == len(shapes):
        return list(xs)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise located(
            TypeError,
            f"{name} got incompatible shapes for broadcasting: {', '.join(map(str, shapes))}; "
            "axes must be equal or 1, counted from the last",
        ) from None
    return [spread(x, shape) for x in xs]


def as_float(x: Any) -> Any:
    """Integers and bools as float32; floats unchanged."""
    x = operand(x)
    return x if aval_of(x).dtype.is_float else astype(x, f32)


def as_bool(x: Any) -> Any:
    x = operand(x)
    return x if aval_of(x).dtype is bool_ else astype(x, bool_)


def astype(x: Any, dtype: Any) -> Any:
    """Convert. Floats to integers truncate; to bool tests != 0."""
    x, kind = operand(x), dtype_of(dtype)
    if aval_of(x).dtype is kind:
        return x
    return bind("cast", x, dtype=kind)
