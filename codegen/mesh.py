"""The shape of a device mesh: how devices are numbered, and who talks to whom along its axes.

Invariant: devices are numbered row-major, the last axis running fastest. Members of a group are
numbered in the order in which a collective names its axes, the last name running fastest, whatever
the order of the mesh.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod


@dataclass(frozen=True)
class Mesh:
    """Axis names with their sizes: `Mesh(("dp", "tp"), (2, 2))` is four devices."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.sizes) or len(set(self.names)) < len(self.names):
            raise ValueError(f"axes {self.names} of sizes {self.sizes}: one size for each name")
        if any(size < 1 for size in self.sizes):
            raise ValueError(f"axes {self.names} must have positive sizes, got {self.sizes}")

    def __str__(self) -> str:
        return ",".join(f"{n}={s}" for n, s in zip(self.names, self.sizes, strict=True)) or "1"

    @property
    def size(self) -> int:
        """How many devices there are."""
        return prod(self.sizes)

    def coordinates(self, device: int) -> dict[str, int]:
        """The device's number along each axis."""
        found = {}
        for name, size in zip(reversed(self.names), reversed(self.sizes), strict=True):
            device, found[name] = divmod(device, size)
        return {name: found[name] for name in self.names}

    def device(self, coordinates: dict[str, int]) -> int:
        """The device with these numbers along the axes; 0 along those left out."""
        number = 0
        for name, size in zip(self.names, self.sizes, strict=True):
            number = number * size + coordinates.get(name, 0)
        return number

    def groups(self, axes: Sequence[str]) -> list[tuple[int, ...]]:
        """The groups that differ along `axes` alone, each in the order of its members.

        Raises ValueError for an axis that the mesh does not have.
        """
        sizes = dict(zip(self.names, self.sizes, strict=True))
        if unknown := [a for a in axes if a not in sizes]:
            raise ValueError(f"the mesh {self} has no axis {unknown[0]!r}")
        rest = [n for n in self.names if n not in axes]
        return [
            tuple(
                self.device(dict(zip((*rest, *axes), (*fixed, *member), strict=True)))
                for member in product(*(range(sizes[a]) for a in axes))
            )
            for fixed in product(*(range(sizes[n]) for n in rest))
        ]

    def group_of(self, device: int, axes: Sequence[str]) -> tuple[int, ...]:
        """The group along `axes` that a device belongs to."""
        return next(group for group in self.groups(axes) if device in group)
