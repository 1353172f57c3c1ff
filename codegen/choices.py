"""Tile configurations that were measured: what a kernel can choose from, and what was found best.

Invariant: a table is data of the profile, so a compile stays a pure function of (graph, profile).
An entry that names none of its kernel's options, such as one of another version, changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from .profile import Profile

T = TypeVar("T")


@dataclass(frozen=True)
class Choices:
    """The name of an option for each key, as `Decision` spells them; empty: rules alone decide."""

    table: tuple[tuple[str, str], ...] = ()

    @staticmethod
    def of(found: Mapping[str, str]) -> Choices:
        """A table of these entries."""
        return Choices(tuple(sorted(found.items())))

    def pick(self, key: str, options: Callable[[], Mapping[str, T]], usual: T) -> T:
        """The option that the table names for a key, else `usual`."""
        named = self.entries.get(key)
        return usual if named is None else options().get(named, usual)

    @cached_property
    def entries(self) -> Mapping[str, str]:
        return dict(self.table)

    @cached_property
    def _hash(self) -> int:
        return hash(self.table)

    def __hash__(self) -> int:  # kernels are looked up by their profile, of which this is a part
        return self._hash


BY_RULE = Choices()


@dataclass(frozen=True)
class Decision:
    """What a kernel was chosen from: each of `keys` decides, and can be any of `options`."""

    keys: tuple[str, ...]
    options: tuple[str, ...]
    chosen: str

    def entries(self, option: str) -> dict[str, str]:
        """What a table says to have this option."""
        return dict.fromkeys(self.keys, option)


def choosing(profile: Profile, entries: Mapping[str, str]) -> Profile:
    """The profile with these entries over those that it has."""
    return replace(profile, choices=Choices.of({**profile.choices.entries, **entries}))
