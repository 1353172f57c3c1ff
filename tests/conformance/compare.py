"""Comparing results and errors of two libraries.

Invariant: every function here returns None when all is well, and otherwise one line that begins
with the kind of difference (`missing`, `argument`, `error`, `shape`, `dtype`, `value`, ...).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

RTOL = {"float32": 3e-5, "float16": 4e-3, "bfloat16": 3e-2}
ATOL = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2}
DEVICE_LOOSER = 10  # WGSL allows exp, log, sin and division several units in the last place


def leaves(x: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, leaf) of nested dicts, lists, tuples and None."""
    if isinstance(x, dict):
        for key in sorted(x):
            yield from leaves(x[key], f"{path}[{key!r}]")
    elif isinstance(x, (list, tuple)):
        for i, part in enumerate(x):
            yield from leaves(part, f"{path}[{i}]")
    elif x is not None:
        yield path, x


def differences(ours: Any, theirs: Any, loose: float = 1, exact: bool = False) -> str | None:
    """The first difference between two results."""
    mine, other = list(leaves(ours)), list(leaves(theirs))
    if [p for p, _ in mine] != [p for p, _ in other]:
        return f"structure: {[p for p, _ in mine]} instead of {[p for p, _ in other]}"
    for (path, a), (_, b) in zip(mine, other, strict=True):
        found = _leaf(a, b, loose, exact)
        if found:
            return f"{found} at {path}" if path else found
    return None


def _leaf(a: Any, b: Any, loose: float, exact: bool) -> str | None:
    if not hasattr(b, "dtype"):
        return None if a == b else f"value: {a!r} instead of {b!r}"
    if not hasattr(a, "dtype"):
        return f"type: {type(a).__name__} instead of an array"
    if tuple(a.shape) != tuple(b.shape):
        return f"shape: {tuple(a.shape)} instead of {tuple(b.shape)}"
    if np.dtype(a.dtype) != np.dtype(b.dtype):
        return f"dtype: {np.dtype(a.dtype).name} instead of {np.dtype(b.dtype).name}"
    if not hasattr(b, "__array__"):  # a ShapeDtypeStruct
        return None
    return close(np.asarray(a), np.asarray(b), loose, exact)


def close(a: np.ndarray, b: np.ndarray, loose: float = 1, exact: bool = False) -> str | None:
    """Whether two arrays of one shape and dtype hold the same values to their dtype's tolerance."""
    name = b.dtype.name
    if exact or name not in RTOL:
        wrong = ~((a == b) | ((a != a) & (b != b)))
    else:
        a, b = a.astype(np.float64), b.astype(np.float64)
        with np.errstate(all="ignore"):
            rtol, atol = RTOL[name] * loose, ATOL[name] * loose
            wrong = ~np.isclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return f"value: {a[at]} instead of {b[at]} ({int(wrong.sum())} of {wrong.size} elements)"


# --- errors ---------------------------------------------------------------------------------------


def described(error: BaseException) -> str:
    """An error that should not have been, with its kind."""
    text = first_line(error)
    if isinstance(error, AttributeError) and "has no attribute" in text:
        owner = re.sub(r"^.*?'tracer\.?([\w.]*)'.*$", r"\1", text)
        name = re.findall(r"has no attribute '(\w+)'", text)
        return f"missing: {'.'.join(filter(None, [owner if owner != text else '', *name]))}" + (
            "" if owner != text else f" ({text})"
        )
    if isinstance(error, TypeError) and "unexpected keyword argument" in text:
        return f"argument: {text}"
    return f"error: {type(error).__name__}: {text}"


def first_line(error: BaseException) -> str:
    """The first line without the place in the user's file."""
    text = (str(error).splitlines() or [""])[0]
    return re.sub(r"\s*\(?(at |in )?(/\S+|\S+\.py):\d+.*$", "", text)[:200]


def error_difference(ours: BaseException, theirs: BaseException, says: str) -> str | None:
    """Whether our error is the one that JAX raises: the same type and the same words."""
    if first_line(theirs).find(says) < 0:
        return f"program: the other library says {first_line(theirs)!r}, not {says!r}"
    if not same_type(ours, theirs):
        return (
            f"error type: {type(ours).__name__} ({first_line(ours)}) "
            f"instead of {type(theirs).__name__}"
        )
    if says not in str(ours).splitlines()[0]:
        return f"message: {first_line(ours)!r} lacks {says!r}"
    return None


def same_type(ours: BaseException, theirs: BaseException) -> bool:
    """Whether whoever catches the other library's error catches ours."""
    names = {kind.__name__ for kind in type(ours).__mro__}
    kind = type(theirs)
    return kind.__name__ in names if kind.__module__ != "builtins" else isinstance(ours, kind)
