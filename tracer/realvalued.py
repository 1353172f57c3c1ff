"""What functions of complex numbers are for real ones, the only ones here.

Invariant: code written for both kinds of number runs, and means what it means for real arrays.
"""

from __future__ import annotations

import math
from typing import Any

from ir.dtypes import bool_

from . import elementwise as ew
from .array import aval_of
from .bits import signbit
from .operands import as_float, astype
from .staging import filled, operand


def real(val: Any, /) -> Any:
    """The array itself."""
    return operand(val, "real")


def imag(val: Any, /) -> Any:
    """Zeros."""
    x = operand(val, "imag")
    return filled(0, aval_of(x).dtype, aval_of(x).shape)


def conjugate(x: Any, /) -> Any:
    """The array itself."""
    return operand(x, "conjugate")


def angle(z: Any, deg: bool = False) -> Any:
    """0 for positive numbers, pi (or 180 degrees) for negative ones."""
    x = as_float(z)
    turned = ew.where(signbit(x), 180.0 if deg else math.pi, 0.0)
    return ew.where(ew.isnan(x), x, astype(turned, aval_of(x).dtype))


def isreal(x: Any) -> Any:
    """True everywhere."""
    return filled(True, bool_, aval_of(operand(x)).shape)


def iscomplex(x: Any) -> Any:
    """False everywhere."""
    return filled(False, bool_, aval_of(operand(x)).shape)


def isrealobj(x: Any) -> bool:
    """Whether it is an array of real numbers."""
    return not isinstance(x, complex)


def iscomplexobj(x: Any) -> bool:
    """Whether it is a complex number, which no array holds."""
    return isinstance(x, complex)


conj = conjugate

__all__ = [
    "angle",
    "conj",
    "conjugate",
    "imag",
    "iscomplex",
    "iscomplexobj",
    "isreal",
    "isrealobj",
    "real",
]
