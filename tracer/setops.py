"""Arrays as sets.

Invariant: results are sorted; while tracing their size is given, and what is left of it is filled
with `fill_value`, which is the smallest element found unless given (0 for differences).
"""

from __future__ import annotations

from typing import Any

from ir.dtypes import bool_, i32

from . import elementwise as ew
from . import reductions as red
from . import shaping
from .array import aval_of
from .counting import known_size, nonzero, searchsorted
from .creation import iota
from .distinct import unique
from .errors import located
from .indexing import picked as take
from .operands import astype, same_dtype
from .sorting import sort
from .staging import filled, operand

_COMPARED = 64  # up to so many elements each is compared with each


# --- membership -------------------------------------------------------------------------------

_METHODS = ("auto", "compare_all", "binary_search", "sort")


def isin(
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    method: str = "auto",
) -> Any:
    """Whether each element is among `test_elements` (or is not, if `invert`)."""
    if method not in _METHODS:
        raise located(
            ValueError, f"method={method!r} is not implemented; options are {', '.join(_METHODS)}"
        )
    x, tests = same_dtype("isin", operand(element), shaping.ravel(test_elements))
    count = aval_of(tests).size
    if not count:
        return filled(invert, bool_, aval_of(x).shape)
    if method == "compare_all" or (method == "auto" and count <= _COMPARED):
        found = red.any(ew.equal(shaping.expand_dims(x, -1), tests), -1)
    else:
        ordered = sort(tests)
        place = searchsorted(ordered, x)
        found = ew.equal(take(ordered, ew.minimum(place, count - 1)), x)
    return ew.logical_not(found) if invert else found


# --- combinations -----------------------------------------------------------------------------


def _pair(name: str, ar1: Any, ar2: Any) -> list:
    return same_dtype(name, shaping.ravel(ar1), shaping.ravel(ar2))


def _distinct(x: Any) -> tuple[Any, Any, Any]:
    """(values, first positions, whether there is one), as many as elements."""
    n = aval_of(x).size
    if not n:
        return x, filled(0, i32, (0,)), ew.equal(x, x)
    values, first, counts = unique(x, True, return_counts=True, size=n)
    return values, first, ew.greater(counts, 0)


def _kept(name: str, mask: Any, size: int | None, *parts: Any) -> tuple[list, Any]:
    """Those entries of `parts` where the mask holds, cut or filled up to `size`; how many hold."""
    count = red.sum(mask)
    size = known_size(lambda: red.sum(mask), size, name)
    (places,) = nonzero(mask, size=size)
    if not aval_of(mask).size:
        return [filled(0, aval_of(p).dtype, (size,)) for p in parts], ew.less(iota((size,), 0), 0)
    return [take(p, places) for p in parts], ew.less(iota((size,), 0), count)


def _filled_up(values: Any, there: Any, fill_value: Any) -> Any:
    """Missing entries are `fill_value`, or the smallest value there is."""
    if not aval_of(values).size:
        return values
    kind = aval_of(values).dtype
    if fill_value is None:
        largest = ew.where(there, values, red.max(values))
        fill_value = red.min(largest)
    return ew.where(there, values, astype(fill_value, kind))


def union1d(ar1: Any, ar2: Any, *, size: int | None = None, fill_value: Any = None) -> Any:
    """The distinct elements of both."""
    return unique(shaping.concatenate(_pair("union1d", ar1, ar2)), size=size, fill_value=fill_value)


def intersect1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    return_indices: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements that are in both; with `return_indices` where each is first in both.

    Filled-up indices are the sizes of the arrays.
    """
    a, b = _pair("intersect1d", ar1, ar2)
    values, first, there = _distinct(a)
    mask = ew.logical_and(isin(values, b), there)
    (found, at), have = _kept("intersect1d", mask, size, values, first)
    out = _filled_up(found, have, fill_value)
    if not return_indices:
        return out
    others, second, known = _distinct(b)
    places = ew.logical_and(ew.equal(shaping.expand_dims(found, 1), others), known)
    where = take(second, red.argmax(places, 1)) if aval_of(others).size else at
    sizes = aval_of(a).size, aval_of(b).size
    return out, *(ew.where(have, i, n) for i, n in zip((at, where), sizes, strict=True))


def setdiff1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements of the first that are not in the second; unsorted if known distinct."""
    a, b = _pair("setdiff1d", ar1, ar2)
    values, there = a, filled(True, bool_, aval_of(a).shape)
    if not assume_unique:
        values, _, there = _distinct(a)
    mask = ew.logical_and(isin(values, b, invert=True), there)
    (found,), have = _kept("setdiff1d", mask, size, values)
    return _filled_up(found, have, 0 if fill_value is None else fill_value)


def setxor1d(
    ar1: Any,
    ar2: Any,
    assume_unique: bool = False,
    *,
    size: int | None = None,
    fill_value: Any = None,
) -> Any:
    """The distinct elements that are in one of both alone."""
    a, b = _pair("setxor1d", ar1, ar2)
    values, _, there = _distinct(shaping.concatenate([a, b]))
    mask = ew.logical_and(ew.logical_xor(isin(values, a), isin(values, b)), there)
    (found,), have = _kept("setxor1d", mask, size, values)
    return _filled_up(found, have, fill_value)


__all__ = [
    "intersect1d",
    "isin",
    "setdiff1d",
    "setxor1d",
    "union1d",
]
