"""A pytree as one vector.

Invariant: the vector has the leaves in tree order, each in row-major order, all of one dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate
from math import prod
from typing import Any

from ir.dtypes import DType, dtype, f32
from ir.graph import Aval

from . import tree
from .array import aval_of
from .dtypes import result_type
from .errors import located
from .operands import astype
from .shaping import concatenate, ravel, reshape, split
from .staging import filled, operand


def ravel_pytree(pytree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """(vector, unravel): the leaves joined, and the function that takes such a vector apart.

    Leaves of unlike dtypes are promoted; `unravel` gives each its own dtype back. It raises
    ValueError for a vector of another size and TypeError for one of another dtype.
    """
    leaves, structure = tree.flatten(pytree)
    leaves = [operand(leaf) for leaf in leaves]
    avals = [aval_of(leaf) for leaf in leaves]
    kind = dtype(result_type(*leaves)) if leaves else f32
    flat = concatenate([ravel(astype(leaf, kind)) for leaf in leaves] or [filled(0, kind, (0,))])
    sizes = [prod(aval.shape) for aval in avals]

    def unravel(vector: Any) -> Any:
        vector = operand(vector)
        _check(aval_of(vector), sum(sizes), kind)
        parts = split(vector, list(accumulate(sizes))[:-1]) if sizes else []
        own = [astype(reshape(p, a.shape), a.dtype) for p, a in zip(parts, avals, strict=True)]
        return tree.unflatten(structure, own)

    return flat, unravel


def _check(aval: Aval, size: int, kind: DType) -> None:
    if aval.dtype is not kind:
        raise located(
            TypeError,
            f"unravel function given array of dtype {aval.dtype.np}, but expected dtype {kind.np}",
        )
    if aval.shape != (size,):
        raise located(
            ValueError,
            f"Sum of sizes {size} must be equal to dimension 0 of the operand shape "
            f"{list(aval.shape)}",
        )


__all__ = ["ravel_pytree"]
