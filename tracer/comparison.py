"""Whether arrays are equal, or nearly.

Invariant: the answer is one bool array, so it can be asked inside a trace.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import bool_

from . import elementwise as ew
from .array import aval_of
from .creation import asarray
from .reductions import all
from .staging import filled


def allclose(
    a: Any, b: Any, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Any:
    """Whether `isclose` holds everywhere."""
    return all(ew.isclose(a, b, rtol, atol, equal_nan))


def array_equal(a1: Any, a2: Any, equal_nan: bool = False) -> Any:
    """Whether shapes and elements are equal."""
    a, b = asarray(a1), asarray(a2)
    if aval_of(a).shape != aval_of(b).shape:
        return filled(False, bool_)
    same = ew.equal(a, b)
    if equal_nan:
        same = ew.logical_or(same, ew.logical_and(ew.isnan(a), ew.isnan(b)))
    return all(same)


def array_equiv(a1: Any, a2: Any) -> Any:
    """Whether the elements are equal after broadcasting, which must be possible."""
    a, b = asarray(a1), asarray(a2)
    try:
        np.broadcast_shapes(aval_of(a).shape, aval_of(b).shape)
    except ValueError:
        return filled(False, bool_)
    return all(ew.equal(a, b))


__all__ = [
    "allclose",
    "array_equal",
    "array_equiv",
]
