"""What lax asks of its operands, where numpy would convert and repeat them.

Invariant: nothing is converted here. Operands have one dtype, which the operation has, and one
number of axes or none; otherwise a TypeError says what was given and which function would convert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType, bool_

from .array import Array, Tracer, aval_of
from .errors import located
from .staging import SCALARS, operand, spread

FLOATING, NUMBER, INTEGER = ("floating",), ("integer", "floating"), ("integer",)
LOGIC, SIGNED, ANY = ("integer", "bool"), ("floating", "signedinteger"), ()


def array(name: str, x: Any, place: int = 0) -> Any:
    """An operand of lax: an array or a number. Raises TypeError for lists and other objects."""
    if isinstance(x, (Tracer, Array, np.ndarray, *SCALARS)):
        return operand(x)
    raise located(
        TypeError,
        f"Error interpreting argument to {name} as a JAX value. The problematic value is of type "
        f"{type(x)} and was passed to {name} at position {place}.",
    )


def arrays(name: str, xs: Sequence[Any]) -> list:
    return [array(name, x, i) for i, x in enumerate(xs)]


def _is(kind: DType, family: str) -> bool:
    return {
        "floating": kind.is_float,
        "integer": kind.is_integer,
        "signedinteger": kind.np.kind == "i",
        "bool": kind is bool_,
    }[family]


def accept(name: str, x: Any, families: tuple[str, ...], place: int | None = None) -> Any:
    """`x` if its dtype is of one of the families. Raises TypeError."""
    kind = aval_of(x).dtype
    if not families or any(_is(kind, f) for f in families):
        return x
    at = "" if place is None else f" at position {place}"
    raise located(
        TypeError,
        f"{name} does not accept dtype {kind.np.name}{at}. Accepted dtypes{at} are subtypes of "
        f"{', '.join(families)}.",
    )


def same_dtypes(name: str, xs: Sequence[Any], twin: str = "") -> None:
    """Raises TypeError unless all dtypes are equal; `twin` is the numpy function that converts."""
    kinds = [aval_of(x).dtype for x in xs]
    if any(k is not kinds[0] for k in kinds):
        tip = f" (Tip: jnp.{twin} is a similar function that does automatic type promotion on "
        raise located(
            TypeError,
            f"lax.{name} requires arguments to have the same dtypes, got "
            f"{', '.join(k.np.name for k in kinds)}.{tip + 'inputs).' if twin else ''}",
        )


def same_ranks(name: str, xs: Sequence[Any]) -> list:
    """The operands repeated to one shape: scalars, and axes of size 1 where ranks are equal."""
    shapes = [aval_of(x).shape for x in xs]
    ranks = {len(s) for s in shapes if s}
    if len(ranks) > 1:
        raise located(
            TypeError, f"{name}: arrays must have the same number of dimensions, got {ranks}"
        )
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        listed = ", ".join(map(str, shapes))
        raise located(
            TypeError, f"{name} got incompatible shapes for broadcasting: {listed}."
        ) from None
    return [spread(x, shape) for x in xs]


def together(
    name: str, xs: Sequence[Any], families: tuple[str, ...], twin: str = "", says: str = ""
) -> list:
    """Operands of one dtype from `families` and of one shape. Raises TypeError.

    `says` is what errors call the operation, if that is not its name.
    """
    says = says or name
    ready = arrays(says, xs)
    for place, x in enumerate(ready):
        accept(says, x, families, place)
    same_dtypes(name, ready, twin)
    return same_ranks(says, ready)
