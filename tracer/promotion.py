"""The dtype that values of several dtypes have together: JAX's lattice without 64-bit types.

Invariant: `join` is commutative and associative. Weak types are those of Python's numbers and of
what is computed from them alone: they yield to any other type of their class (int, float).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from ir.build import describe_src, user_src
from ir.dtypes import NARROWED, DType, bf16, bool_, f16, f32, i32, u32
from ir.dtypes import dtype as dtype_of

Kind = tuple[DType, bool]  # a dtype, and whether it is weak

# From the least to the greatest; of uint32 and int32 together, JAX's int64 is narrowed to int32.
_LEVELS = ((bool_, False), (i32, True), (u32, False), (i32, False), (f32, True), (f16, False))
_LEVEL = {kind: level for level, kind in enumerate(_LEVELS)} | {(f32, False): len(_LEVELS)}
_LEVEL[bf16, False] = _LEVEL[f16, False]  # beside each other: together they are float32


def join(kinds: Iterable[Kind]) -> Kind:
    """The least type that is at least each of `kinds`, of which there is one at least."""
    return _join(tuple(kinds))


@cache
def _join(kinds: tuple[Kind, ...]) -> Kind:
    weak = all(w for _, w in kinds)
    levels = {(k, w and not weak and k is not bool_) for k, w in kinds}
    highest = max(map(_LEVEL.__getitem__, levels))
    found = [kind for kind in levels if _LEVEL[kind] == highest]
    kind, yields = found[0] if len(found) == 1 else (f32, False)
    return kind, (weak or yields) and kind is not bool_


# --- dtypes that users name -------------------------------------------------------------------


def requested(spec: Any) -> DType:
    """The dtype that a user asked for; a warning says what stands in for a 64-bit one.

    Python's `float` and `int` mean float32 and int32. Raises TypeError for types WGSL cannot hold.
    """
    kind = dtype_of(spec)
    if isinstance(spec, DType) or any(spec is python for python in (float, int, bool)):
        return kind
    host = kind.np if spec == kind.name else np.dtype(spec)
    if host in NARROWED:
        warn(
            f"Explicitly requested dtype {host} is not available on WebGPU devices, and will be "
            f"truncated to dtype {kind.np.name}; ask for {kind.np.name} to silence this."
        )
    return kind


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """A warning at the user's line."""
    src = user_src()
    if src is None:
        warnings.warn(message, category, stacklevel=2)
    else:
        warnings.warn_explicit(message + describe_src(src), category, src.file, src.line)
