"""Where an array lies, as its user sees it: its sharding, and the pieces that devices hold.

Invariant: looking changes nothing; a piece that is on a device is shown without a copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .array import Array


@dataclass(frozen=True, eq=False)
class Shard:
    """What one device holds of an array: its place in the whole, and how many hold the same before
    it."""

    device: Any
    index: tuple[slice, ...]
    replica_id: int
    data: Array

    def __repr__(self) -> str:
        return (f"Shard(device={self.device!r}, index={self.index}, replica_id={self.replica_id}, "
                f"data={self.data})")  # fmt: skip


def lies(x: Any) -> Any:
    """The sharding of an array on a mesh; None for all else."""
    return getattr(getattr(x, "signed", None), "sharding", None)


def followed(leaves: Sequence[Any]) -> tuple:
    """How arguments lie, if any of them is on a mesh: for the signature of a trace."""
    found = tuple(map(lies, leaves))
    return (found,) if any(s is not None for s in found) else ()


class Laid:
    """The part of an array that says where it is."""

    __slots__ = ()

    @property
    def sharding(self) -> Any:
        """A NamedSharding of an array on a mesh; otherwise that of the one device."""
        from .shardings import SingleDeviceSharding

        placed = lies(self)
        return placed if placed is not None else SingleDeviceSharding(self._first_device())

    @staticmethod
    def _first_device() -> Any:
        from .config import devices

        return devices()[0]

    @property
    def device(self) -> Any:
        """The one device that holds the array, or its sharding if there are several."""
        found = self.sharding
        return found if len(found.device_set) > 1 else next(iter(found.device_set))

    def devices(self) -> set:
        """The devices it is on."""
        return self.sharding.device_set

    @property
    def is_fully_replicated(self) -> bool:
        """Whether every device holds the whole array."""
        return self.sharding.is_fully_replicated

    @property
    def is_fully_addressable(self) -> bool:
        """Whether this process reaches all devices that hold it: always."""
        return True

    @property
    def addressable_shards(self) -> list[Shard]:
        """The piece of each device, in the order of the mesh."""
        held = getattr(self._buffer, "parts", None)
        seen: dict[tuple, int] = {}
        shards = []
        for n, (device, index) in enumerate(self.sharding.devices_indices_map(self.shape).items()):
            key = tuple((s.start, s.stop) for s in index)
            seen[key] = seen.get(key, -1) + 1
            data = self._piece(held[n] if held else None, index)
            shards.append(Shard(device, index, seen[key], data))
        return shards

    global_shards = addressable_shards

    def _piece(self, buffer: Any, index: tuple[slice, ...]) -> Array:
        from ir.graph import Aval

        from .array import Array
        from .typed import interned

        if buffer is None:
            return Array.from_host(np.asarray(self)[index], self.aval.dtype)
        shape = tuple(s.indices(n)[1] - s.indices(n)[0]
                      for s, n in zip(index, self.shape, strict=True))  # fmt: skip
        return Array(interned(Aval(shape, self.aval.dtype)), buffer)


__all__ = ["Laid", "Shard", "followed", "lies"]
