"""How a call becomes a signature: the types of its leaves, with the settings beside them.

Invariant: two calls with equal `Signature`s may share one trace.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.build import current, describe_src, user_src
from ir.graph import Aval

from . import tree
from .array import Array, Tracer, type_of
from .errors import UnexpectedTracerError, leaked, located
from .roles import Roles
from .settings import Settings
from .typed import WeakAval, interned, user_type


@dataclass(frozen=True)
class Signature:
    """The structure of the arguments, the type of each leaf, and the static values."""

    in_tree: tree.Structure
    avals: tuple[Aval, ...]
    statics: tuple[tuple[Any, type, Any], ...]  # (position or name, type, value)
    options: tuple = (
        Settings().tracing
    )  # under which it is traced, as `settings.TRACING` names them
    context: Any = (None, ())  # the mesh, and where named values lie on it


# --- leaves -----------------------------------------------------------------------------------


_PLAIN = (Array, np.ndarray, np.generic, bool, int, float)


def leaf_aval(leaf: Any) -> Aval:
    """The interned type of an argument leaf. Raises TypeError if it is no array."""
    if isinstance(leaf, Tracer):
        if current() is None:
            raise leaked(leaf)
        return interned(leaf.aval)
    if isinstance(leaf, ShapeDtypeStruct):
        return interned(leaf.aval)
    try:
        return type_of(leaf)
    except TypeError as error:
        kept = isinstance(leaf, (np.ndarray, np.generic))  # an array, of a type there is none of
        text = f"It is a {type(leaf).__name__}, not an array or a number"
        raise TypeError(str(error) if kept else text) from None


def plain_aval(leaf: Any) -> Aval | None:
    """The interned type of a number, a numpy or a weak array; None of anything else."""
    return type_of(leaf) if isinstance(leaf, _PLAIN) else None


def checked_avals(of: Roles, in_tree: tree.Structure, leaves: Sequence[Any]) -> tuple[Aval, ...]:
    """`leaf_aval` of each leaf, with errors that name the argument."""
    found = []
    for i, leaf in enumerate(leaves):
        try:
            found.append(leaf_aval(leaf))
        except UnexpectedTracerError:
            raise
        except TypeError as error:
            where = of.path_label(tree.paths(in_tree)[i])
            setting = not isinstance(leaf, (np.ndarray, np.generic))
            cure = "; name it in static_argnames if it is a setting" if setting else ""
            raise located(
                TypeError,
                f"Error interpreting argument to {of.fun} as an abstract array. The problematic "
                f"value is of type {type(leaf)} and was passed to the function at path {where}.\n"
                f"{error}".removesuffix(describe_src(user_src()))
                + cure,
            ) from None
    return tuple(found)


@dataclass(frozen=True, init=False)
class ShapeDtypeStruct:
    """The type of an array without its value: what `eval_shape` and `lower` work with."""

    shape: tuple[int, ...]
    dtype: Any
    weak_type: bool

    def __init__(self, shape: Sequence[int], dtype: Any, *, weak_type: bool = False) -> None:
        from ir.dtypes import dtype as dtype_of

        object.__setattr__(self, "weak_type", bool(weak_type))

        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "dtype", dtype_of(dtype).np)

    @property
    def aval(self) -> Aval:
        from ir.dtypes import dtype as dtype_of

        kind = WeakAval if self.weak_type else Aval
        return kind(self.shape, dtype_of(self.dtype))

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct({user_type(self.aval)}{', weak' * self.weak_type})"


def hints(of: Roles, in_tree: tree.Structure) -> list[str]:
    """A name for each leaf, from its path; the parameter's name in front where needed."""
    found = tree.paths(in_tree)
    owners = [of.label(tree.plain(path[1])) for path in found]
    short = [tree.hint(path[2:]) or owner for owner, path in zip(owners, found, strict=True)]
    count = Counter(short)
    return [
        tree.hint((owner, *path[2:])) if count[name] > 1 else name
        for name, owner, path in zip(short, owners, found, strict=True)
    ]
