"""How an array lies on devices: on those of a mesh, or on one.

Invariant: a sharding fits its mesh when it is made, and an array when it is asked of one; each of
the texts is JAX's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ir.sharding import MeshShape

from .errors import located
from .meshes import Mesh, PartitionSpec


class Sharding:
    """Describes how an array is laid out across devices: what its kinds have in common."""

    memory_kind: str | None = None
    device_set: set

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Any, tuple[slice, ...]]:
        """Which part of an array of this shape each device holds."""
        raise TypeError(f"{type(self).__name__} does not say where arrays lie")

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what one device holds."""
        part = next(iter(self.devices_indices_map(global_shape).values()))
        pairs = zip(part, global_shape, strict=True)
        return tuple(len(range(*at.indices(n))) for at, n in pairs)

    @property
    def num_devices(self) -> int:
        return len(self.device_set)

    @property
    def addressable_devices(self) -> set:
        """All of them: one process has every virtual device."""
        return self.device_set

    has_addressable_devices = is_fully_addressable = True

    def addressable_devices_indices_map(
        self, global_shape: Sequence[int]
    ) -> dict[Any, tuple[slice, ...]]:
        return self.devices_indices_map(global_shape)

    @property
    def is_fully_replicated(self) -> bool:
        return self.num_devices == 1

    def is_equivalent_to(self, other: Sharding, ndim: int) -> bool:
        """Whether arrays of `ndim` axes lie alike: the same parts on the same devices."""
        # Every product of mesh axes divides this.
        shape = (self.num_devices * other.num_devices,) * ndim
        return self.devices_indices_map(shape) == other.devices_indices_map(shape)


@dataclass(frozen=True)
class NamedSharding(Sharding):
    """A PartitionSpec on a mesh. Raises ValueError for axes that the mesh lacks or that are used
    twice."""

    mesh: Mesh
    spec: PartitionSpec
    memory_kind: str | None = None

    def __post_init__(self) -> None:
        check_axes(self.mesh, self.spec)

    @property
    def device_set(self) -> set:
        return set(self.mesh.devices.flat)

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Any, tuple[slice, ...]]:
        """Which part of an array of this shape each device holds. Raises ValueError if it does not
        divide."""
        shape, record = self.shard_shape(global_shape), self.mesh.record()
        dims = self.spec.spec(len(shape)).dims
        found = {}
        for device, at in zip(self.mesh.devices.flat, record.coords, strict=True):
            found[device] = tuple(_part(n, axes or (), record, at)
                                  for n, axes in zip(shape, dims, strict=True))  # fmt: skip
        return found

    @property
    def is_fully_replicated(self) -> bool:
        axes = self.spec.spec(len(self.spec)).axes
        return self.mesh.record().along(axes) == 1

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        """The shape of what one device holds. Raises ValueError if it does not divide."""
        check_divides(self, tuple(global_shape), "")
        dims = self.spec.spec(len(global_shape)).dims
        record = self.mesh.record()
        return tuple(n // record.along(d or ()) for n, d in zip(global_shape, dims, strict=True))

    def __repr__(self) -> str:
        return f"NamedSharding(mesh={self.mesh}, spec={self.spec}, memory_kind=device)"


def _part(size: int, axes: tuple[str, ...], mesh: MeshShape, at: Mapping[str, int]) -> slice:
    if not axes:
        return slice(None)
    number = 0
    for axis in axes:
        number = number * mesh.size_of[axis] + at[axis]
    return slice(number * size, (number + 1) * size)


@dataclass(frozen=True)
class SingleDeviceSharding(Sharding):
    """All of an array on one device."""

    device: Any

    @property
    def device_set(self) -> set:
        return {self.device}

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Any, tuple[slice, ...]]:
        """The device and the whole array."""
        return {self.device: (slice(None),) * len(global_shape)}

    def __repr__(self) -> str:
        return f"SingleDeviceSharding(device={self.device!r}, memory_kind=device)"


class DuplicateSpecError(ValueError):
    """A spec uses a mesh axis for two axes of an array."""


def check_axes(mesh: Mesh, spec: PartitionSpec) -> None:
    """Raises ValueError for axes that the mesh lacks or that are used twice."""
    whole = spec.spec(len(spec))
    used = [a for d in whole.dims for a in d or ()] + sorted(whole.unreduced)
    for axis in used:
        if axis not in mesh.axis_names:
            raise located(
                ValueError,
                f"Resource axis: {axis} of {spec} is not found in mesh: {mesh.axis_names}.",
            )
        if used.count(axis) > 1:
            raise located(
                DuplicateSpecError,
                "A single NamedSharding spec specification can map every mesh axis to at most one "
                f"positional dimension, but {spec} has duplicate entries for `{axis}`",
            )


def check_divides(sharding: NamedSharding, shape: tuple[int, ...], what: str) -> None:
    """Raises ValueError if an array of `shape` cannot lie so; `what` is the text in front."""
    spec, record = sharding.spec, sharding.mesh.record()
    if len(spec) > len(shape):
        raise located(
            ValueError,
            f"{what}Sharding {sharding} is only valid for values of rank at least {len(spec)}, "
            f"but was applied to a value of rank {len(shape)}.",
        )
    parts = [record.along(d or ()) for d in spec.spec(len(shape)).dims]
    for axis, (n, count) in enumerate(zip(shape, parts, strict=True)):
        if n % count:
            raise located(
                ValueError,
                f"{what}Sharding {sharding} implies that array axis {axis} is partitioned {count} "
                f"times, but the dimension size is {n} (full shape: {shape}, per-dimension tiling "
                f"factors: {parts[: len(spec)]} should evenly divide the shape)",
            )
