"""Where a leaf is in its tree: a tuple of keys, each of which says how its parent is entered.

Invariant: joined in order, the texts of the keys are the Python expression that reaches the leaf.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import optree


@dataclass(frozen=True)
class SequenceKey:
    """The element `idx` of a list or tuple."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"


@dataclass(frozen=True)
class DictKey:
    """The value of `key` in a dict."""

    key: Hashable

    def __str__(self) -> str:
        return f"[{self.key!r}]"


@dataclass(frozen=True)
class GetAttrKey:
    """The attribute `name`."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"


@dataclass(frozen=True)
class FlattenedIndexKey:
    """The child number `key` of a class that was registered without keys."""

    key: int

    def __str__(self) -> str:
        return f"[<flat index {self.key}>]"


KeyEntry = Any  # one of the above, or what a registered class calls its children
KeyPath = tuple[KeyEntry, ...]


def key_path(accessor: optree.PyTreeAccessor) -> KeyPath:
    """optree's path as keys."""
    return tuple(map(_key, accessor))


def _key(step: optree.PyTreeEntry) -> KeyEntry:
    match step:
        case optree.NamedTupleEntry() | optree.StructSequenceEntry():
            return GetAttrKey(step.field)
        case optree.MappingEntry():
            return DictKey(step.entry)
        case optree.SequenceEntry():
            return SequenceKey(step.entry)
    # Registered classes name their children by keys, or not at all.
    return FlattenedIndexKey(step.entry) if isinstance(step.entry, int) else step.entry


def plain(key: KeyEntry) -> Any:
    """What a key holds: an index, a dict's key or a name."""
    for name in ("key", "idx", "name"):
        if hasattr(key, name):
            return getattr(key, name)
    return key


def keystr(keys: KeyPath, *, simple: bool = False, separator: str = "") -> str:
    """A path as Python would index it: `['layers'][0]`; `simple` keys are bare: `layers0`."""
    return separator.join(str(plain(key) if simple else key) for key in keys)


def hint(keys: KeyPath) -> str:
    """A path as an identifier: ['layers'][0].wq -> layers_0_wq."""
    return re.sub(r"\W+", "_", keystr(keys, simple=True, separator="_")).strip("_")
