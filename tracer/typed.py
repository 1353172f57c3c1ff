"""What an array's type says: the kinds of types beside the graph's own, and all that follows.

Invariant: equal types are one object once `interned`, so that comparing them compares pointers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ir.graph import Aval

from .errors import located
from .methods import Methods


class WeakAval(Aval):
    """The type of a value that takes the dtype of what it meets, as Python's numbers do.

    Signatures of traces have it; graphs do not, since every conversion is an equation by then.
    """

    weak = True

    def __str__(self) -> str:
        return f"{super().__str__()} (weak)"

    __repr__ = __str__


@dataclass(frozen=True)
class LaidAval(Aval):
    """The type of an array on a mesh with where it lies: a call that is repeated looks at both."""

    sharding: Any
    weak: bool

    __str__ = __repr__ = Aval.__str__


@cache
def interned(aval: Aval) -> Aval:
    """The one object for all equal types, so that comparing signatures compares pointers."""
    return aval


def user_type(aval: Aval) -> str:
    """A type as users write it: float32[3,4]."""
    return f"{aval.dtype.np.name}[{','.join(map(str, aval.shape))}]"


class Typed(Methods):
    """What follows from `aval` alone."""

    __slots__ = ()
    __array_priority__ = 100  # numpy operators step back in favour of ours
    aval: Aval

    @property
    def shape(self) -> tuple[int, ...]:
        return self.aval.shape

    @property
    def dtype(self) -> np.dtype:
        return self.aval.dtype.np

    @property
    def ndim(self) -> int:
        return self.aval.ndim

    @property
    def size(self) -> int:
        return self.aval.size

    @property
    def itemsize(self) -> int:
        return self.aval.dtype.np.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes on the host."""
        return self.size * self.itemsize

    def __len__(self) -> int:
        if not self.aval.shape:
            raise located(TypeError, "len() of unsized object: the array has no axes")
        return self.aval.shape[0]

    def _need_scalar(self) -> None:
        if self.aval.shape:
            raise located(
                TypeError,
                "Only scalar arrays can be converted to Python scalars; got "
                f"arr.ndim={self.ndim}; reduce it or use .item()",
            )

    def _need_one_truth(self) -> None:
        if self.size == 0:
            raise located(
                ValueError,
                "The truth value of an empty array is ambiguous. Use `array.size > 0` to check "
                "that an array is not empty.",
            )
        if self.size > 1:
            raise located(
                ValueError,
                "The truth value of an array with more than one element is ambiguous. Use "
                "a.any() or a.all()",
            )

    def _need_index(self) -> None:
        if not self.aval.dtype.is_integer or self.aval.shape:
            raise located(
                TypeError,
                "Only integer scalar arrays can be converted to a scalar index; got "
                f"{user_type(self.aval)}",
            )

    def _need_axis(self) -> None:
        if not self.aval.shape:
            raise located(TypeError, "iteration over a 0-d array")
