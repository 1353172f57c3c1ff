"""Arrays in pieces: which device of a mesh holds which part, and the buffers of the parts.

Invariant: a piece is contiguous and has the same shape on every device; devices that differ only
along axes that no dimension names hold equal pieces. To whoever reads it, `Shards` is a buffer
that holds the whole array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from codegen.mesh import Mesh

from .buffer import Buffer, PendingRead
from .device import Device
from .errors import ProgramError

Dims = tuple[tuple[str, ...], ...]  # for each dimension the axes that cut it, major first


@dataclass(frozen=True)
class Layout:
    """An array of `shape`, with elements of `itemsize` bytes, cut over `mesh` as `dims` say.

    Raises ProgramError where a dimension cannot be cut into equal parts.
    """

    mesh: Mesh
    shape: tuple[int, ...]
    itemsize: int
    dims: Dims = ()

    def __post_init__(self) -> None:
        if len(self.dims) > len(self.shape):
            raise ProgramError(f"{len(self.dims)} dimensions of an array of shape {self.shape}")
        object.__setattr__(self, "dims", self.dims + ((),) * (len(self.shape) - len(self.dims)))
        for size, parts, axes in zip(self.shape, self.parts, self.dims, strict=True):
            if size % parts:
                text = f"an axis of {size} elements cannot be cut into {parts} equal parts"
                raise ProgramError(f"{text} over {','.join(axes)} of the mesh {self.mesh}")

    @cached_property
    def parts(self) -> tuple[int, ...]:
        """How many parts each dimension is cut into."""
        sizes = dict(zip(self.mesh.names, self.mesh.sizes, strict=True))
        return tuple(prod(sizes[a] for a in axes) for axes in self.dims)

    @cached_property
    def local(self) -> tuple[int, ...]:
        """The shape of one piece."""
        return tuple(n // p for n, p in zip(self.shape, self.parts, strict=True))

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.itemsize

    @property
    def local_nbytes(self) -> int:
        return prod(self.local) * self.itemsize

    def slices(self, device: int) -> tuple[slice, ...]:
        """Where the piece of a device lies in the whole array."""
        at, found = self.mesh.coordinates(device), []
        sizes = dict(zip(self.mesh.names, self.mesh.sizes, strict=True))
        for axes, size in zip(self.dims, self.local, strict=True):
            number = 0
            for axis in axes:
                number = number * sizes[axis] + at[axis]
            found.append(slice(number * size, (number + 1) * size))
        return tuple(found)

    @cached_property
    def holders(self) -> tuple[int, ...]:
        """The first device that holds each distinct piece."""
        found: dict[tuple, int] = {}
        for device in range(self.mesh.size):
            key = tuple(s.start for s in self.slices(device))
            found.setdefault(key, device)
        return tuple(found.values())


class Shards:
    """An array of which each device here has a piece: `parts` maps devices to buffers."""

    __slots__ = ("__weakref__", "device", "layout", "parts", "team")

    def __init__(self, layout: Layout, parts: dict[int, Buffer], team: object) -> None:
        self.layout, self.parts, self.team = layout, parts, team
        self.device: Device = next(iter(parts.values())).device

    def __repr__(self) -> str:
        cut = ", ".join("+".join(axes) or "whole" for axes in self.layout.dims)
        return f"Shards({self.layout.shape} cut as ({cut}) over {self.layout.mesh})"

    @property
    def nbytes(self) -> int:
        return self.layout.nbytes

    def start_read(self, nbytes: int | None = None, offset: int = 0) -> PendingArray:
        """Begin copying the whole array to the host; every process of the mesh must take part
        where others hold pieces that are not here."""
        if offset or nbytes not in (None, self.nbytes):
            raise ValueError("an array in pieces is read as a whole")
        return PendingArray(self)

    def numpy(self) -> np.ndarray:
        """The whole array as words of its item size."""
        raw = np.frombuffer(self.start_read().result(), f"u{self.layout.itemsize}")
        return raw.reshape(self.layout.shape)


class PendingArray:
    """A read of all pieces under way; see `PendingRead`."""

    def __init__(self, shards: Shards) -> None:
        self.layout, self.team, self.nbytes = shards.layout, shards.team, shards.nbytes
        size = self.layout.local_nbytes
        wanted = [d for d in self.layout.holders if d in shards.parts]
        if len(self.layout.holders) == 1:
            wanted = list(shards.parts)[:1]  # everyone has the whole array
        self._pending: dict[int, PendingRead] = {
            device: shards.parts[device].start_read(size) for device in wanted
        }
        self._data: bytearray | None = None

    def result(self) -> bytearray:
        """The bytes of the whole array."""
        if self._data is None:
            self._data = self._assembled()
        return self._data

    def _assembled(self) -> bytearray:
        pieces = {device: read.result() for device, read in self._pending.items()}
        if len(self.layout.holders) > len(pieces):
            pieces = self.team.gather(pieces, self.layout)
        out = bytearray(self.nbytes)
        whole = np.frombuffer(out, f"u{self.layout.itemsize}").reshape(self.layout.shape)
        for device, raw in pieces.items():
            piece = np.frombuffer(raw, whole.dtype).reshape(self.layout.local)
            whole[self.layout.slices(device)] = piece
        return out


def cut(array: np.ndarray, layout: Layout, devices: Sequence[int]) -> dict[int, np.ndarray]:
    """The pieces of a host array; devices with equal pieces get the same view."""
    found: dict[tuple, np.ndarray] = {}
    pieces = {}
    for device in devices:
        where = layout.slices(device)
        key = tuple(s.start for s in where)
        if key not in found:
            found[key] = np.ascontiguousarray(array[where])
        pieces[device] = found[key]
    return pieces


__all__ = ["Layout", "PendingArray", "Shards", "cut"]
