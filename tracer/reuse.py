"""`debug_key_reuse`: random keys that serve twice, within a program and from one to the next.

Invariant: in a traced function a use is an equation, and `ir.passes.keys` judges the whole graph;
out here each key array knows what used it, or a part of it. Sampling and `split` use a key up;
`fold_in`, `key_data` and `clone` do not. Raw uint32 keys are not watched.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from ir.build import current, user_src
from ir.passes.keys import Chain, Use, overlap

from . import settings
from .array import Array, Tracer
from .errors import KeyReuseError, located

_used: weakref.WeakValueDictionary = weakref.WeakValueDictionary()  # id -> array, while it lives
_parts: dict[int, dict[Chain, Use]] = {}  # id -> which views of the array were used, and by whom


def mark(data: Any, by: str) -> None:
    """The key `data` is used up by the function of this name."""
    if not settings.now().debug_key_reuse:
        return
    if current() is None:
        _consume(data, (), Use(by, user_src()), by)
        return
    from .staging import bind

    bind("key_use", data, by=by)


def mark_part(data: Any, index: tuple) -> None:
    """Outside of a trace, a part of a key array is taken: the array's share of it is used up."""
    if not settings.now().debug_key_reuse or current() is not None:
        return
    if any(isinstance(i, (Tracer, Array)) for i in index):
        return
    _consume(data, (("part", repr(index)),), Use("taking a part", user_src()), "slice")


def check_call(uses: Mapping[Chain, Use], constants: Sequence, leaves: Sequence, name: str) -> None:
    """A program is about to use keys that it is given. Raises KeyReuseError."""
    given = [*constants, *leaves]
    for (place, *views), use in uses.items():
        target = use.by if place < len(constants) else f"jit-compiled function {name}"
        at = max(0, place - len(constants))
        _consume(given[place], tuple(views), use, f"{target} at index {at}")


def _consume(array: Any, views: Chain, use: Use, target: str) -> None:
    if not isinstance(array, Array):
        return
    if _used.get(id(array)) is not array:  # another array that had this address is gone
        _used[id(array)], _parts[id(array)] = array, {}
    for other, first in _parts[id(array)].items():
        if overlap(other, views):
            raise located(
                KeyReuseError,
                f"Previously-consumed key passed to {target}: a random key was first used by "
                f"{first}\nand again",
            )
    _parts[id(array)][views] = use
    if len(_parts) > 2 * len(_used) + 1000:
        for gone in _parts.keys() - _used.keys():
            del _parts[gone]
