"""Arrays in pieces: which device of a mesh holds which part, and the buffers of the parts.

Invariant: a piece is contiguous and has the same shape on every device; devices that differ only
along axes that the Spec does not name hold equal pieces. To whoever reads it, `Shards` is a buffer
that holds the whole array.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from ir.dtypes import bool_
from ir.graph import Aval
from ir.sharding import MeshShape, Spec, local_shape, positions, problems

from .buffer import Buffer, PendingRead
from .device import Device
from .errors import ProgramError

if TYPE_CHECKING:
    from .mesh import Team


@dataclass(frozen=True)
class Layout:
    """How an array of type `aval` lies on `mesh`: as `spec` says.

    Raises ProgramError, with every reason, where it cannot lie so.
    """

    mesh: MeshShape
    aval: Aval
    spec: Spec

    def __post_init__(self) -> None:
        if wrong := list(problems("an array", self.aval.shape, self.spec, self.mesh)):
            raise ProgramError("; ".join(wrong))

    @cached_property
    def local(self) -> tuple[int, ...]:
        """The shape of one piece."""
        return local_shape(self.aval.shape, self.spec, self.mesh)

    @cached_property
    def stored(self) -> np.dtype:
        """The numpy dtype of what is in memory; bools are words."""
        return np.dtype(np.uint32) if self.aval.dtype is bool_ else self.aval.dtype.np

    @property
    def nbytes(self) -> int:
        return self.aval.size * self.stored.itemsize

    @property
    def local_nbytes(self) -> int:
        return prod(self.local) * self.stored.itemsize

    def place(self, device: int) -> tuple[np.ndarray, ...]:
        """Where the piece of a device lies in the whole array."""
        at, pairs = self.mesh.coords[device], zip(self.aval.shape, self.spec.dims, strict=True)
        return np.ix_(*(positions(n, axes or (), self.mesh, at) for n, axes in pairs))

    @cached_property
    def holders(self) -> tuple[int, ...]:
        """One device for each distinct piece, and for each part of a sum: the first."""
        kept = self.spec.axes | self.spec.unreduced
        every = enumerate(self.mesh.coords)
        return tuple(d for d, at in every if not any(i for a, i in at.items() if a not in kept))

    def owners(self, turn: int = 0) -> tuple[int, ...]:
        """One device for each distinct piece; those that hold the same take turns."""
        alike: dict[tuple, list[int]] = {}
        for device, at in enumerate(self.mesh.coords):
            key = tuple(at[a] for a in self.mesh.names if a in self.spec.axes)
            alike.setdefault(key, []).append(device)
        return tuple(devices[turn % len(devices)] for devices in alike.values())

    def start(self, device: int) -> tuple[int, ...]:
        """Where the block of a device begins. Raises ProgramError if it has no block: along a
        zigzag axis it has two."""
        if self.spec.axes & self.mesh.zigzag:
            raise ProgramError(f"a piece of {self.aval} as {self.spec} is not one block of it")
        return tuple(int(at.flat[0]) for at in self.place(device)) if self.local else ()

    def cut(self, array: np.ndarray, devices: Sequence[int]) -> dict[int, np.ndarray]:
        """The pieces of a host array; devices with equal pieces get the same array."""
        found: dict[tuple, np.ndarray] = {}
        pieces = {}
        for device in devices:
            at = self.mesh.coords[device]
            key = tuple(at[a] for a in self.mesh.names if a in self.spec.axes)
            spare = any(at[a] for a in self.spec.unreduced)
            if (key, spare) not in found:
                part = np.ascontiguousarray(array[self.place(device)] if array.ndim else array)
                found[key, spare] = np.zeros_like(part) if spare else part
            pieces[device] = found[key, spare]
        return pieces

    def join(self, pieces: dict[int, bytes]) -> bytearray:
        """The whole array from the pieces of all `holders`; sums are carried out."""
        if len(self.holders) == 1:
            return bytearray(next(iter(pieces.values())))
        out = bytearray(self.nbytes)
        whole = np.frombuffer(out, self.stored).reshape(self.aval.shape)
        for device, raw in pieces.items():
            piece = np.frombuffer(raw, self.stored).reshape(self.local)
            where = self.place(device) if self.local else ()
            whole[where] = whole[where] + piece if self.spec.unreduced else piece
        return out


class Shards:
    """An array of which each device here has a piece: `parts` maps devices to buffers. Where other
    processes have all of them, there are none."""

    __slots__ = ("__weakref__", "device", "layout", "parts", "team")

    def __init__(self, layout: Layout, parts: dict[int, Buffer], team: Team) -> None:
        self.layout, self.parts, self.team = layout, parts, team
        self.device: Device = team.device

    def __repr__(self) -> str:
        return f"Shards({self.layout.aval} as {self.layout.spec} over {self.layout.mesh})"

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
        """The whole array as it is in memory."""
        raw = np.frombuffer(self.start_read().result(), self.layout.stored)
        return raw.reshape(self.layout.aval.shape)


class PendingArray:
    """A read of all pieces under way; see `PendingRead`."""

    def __init__(self, shards: Shards) -> None:
        self.layout, self.team, self.nbytes = shards.layout, shards.team, shards.nbytes
        size = self.layout.local_nbytes
        wanted = [d for d in self.layout.holders if d in shards.parts]
        self._all_here = len(wanted) == len(self.layout.holders) and self.team.everyone
        if len(self.layout.holders) == 1 and self.team.everyone:
            self._all_here = True
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
        if not self._all_here:
            pieces = self.team.gather(pieces, self.layout)
        return self.layout.join(pieces)


__all__ = ["Layout", "PendingArray", "Shards"]
