"""Meshes and annotations: where on a mesh of devices a value lies, under JAX's names.

Invariant: an annotation never changes a value. A program may be run as it is, whatever its
annotations; `Lowered.sharded` hands it, with them, to the pass that makes the program of one device
(`ir.passes.shard`).
"""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ir.build import current
from ir.sharding import MeshShape, ShardingTypeError, Spec

from . import tree
from .array import Array, aval_of
from .config import devices as all_devices
from .errors import located
from .staging import bind, operand


class AxisType(enum.Enum):
    """Who decides how values lie along a mesh axis. Here annotations and the pass do, always."""

    Auto = "Auto"
    Explicit = "Explicit"
    Manual = "Manual"


class _Unconstrained:
    def __repr__(self) -> str:
        return "UNCONSTRAINED"


class PartitionSpec(tuple):
    """Mesh axes for each axis of an array: a name, a tuple of names, or None for no axis.

    Axes at the end may be left out. Over the axes in `unreduced` the array is a sum that is yet to
    be carried out. UNCONSTRAINED leaves an axis as it is.
    """

    UNCONSTRAINED = _Unconstrained()
    unreduced: frozenset[str]

    def __new__(cls, *partitions: Any, unreduced: Any = frozenset()) -> PartitionSpec:
        made = super().__new__(cls, (tuple(p) if isinstance(p, list) else p for p in partitions))
        made.unreduced = frozenset(unreduced)
        return made

    def __repr__(self) -> str:
        parts = [repr(p) for p in self]
        if len(parts) == 1 and not self.unreduced:
            return f"P({parts[0]},)"
        tail = [f"unreduced={set(self.unreduced)!r}"] if self.unreduced else []
        return f"P({', '.join(parts + tail)})"

    def __add__(self, other: tuple) -> PartitionSpec:
        return PartitionSpec(*self, *other, unreduced=self.unreduced)

    def __eq__(self, other: object) -> bool:
        return tuple.__eq__(self, other) and self.unreduced == getattr(other, "unreduced", set())

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((tuple(self), self.unreduced))

    def __reduce__(self):
        return _spec_of, (tuple(self), self.unreduced)

    def spec(self, ndim: int) -> Spec:
        """The record of the pass, for an array of `ndim` axes."""
        free = self.UNCONSTRAINED
        dims = [None if p is free else () if p is None else p if isinstance(p, tuple) else (p,)
                for p in self]  # fmt: skip
        return Spec((*dims, *((),) * (ndim - len(dims))), self.unreduced)


def _spec_of(partitions: tuple, unreduced: frozenset) -> PartitionSpec:
    return PartitionSpec(*partitions, unreduced=unreduced)


P = PartitionSpec


@dataclass(frozen=True, eq=False)
class Mesh:
    """Devices in a grid whose axes have names. `Mesh(devices, axis_names)`."""

    devices: np.ndarray
    axis_names: tuple[str, ...]
    axis_types: tuple[AxisType, ...] = ()
    _saved: list = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        names = (self.axis_names,) if isinstance(self.axis_names, str) else tuple(self.axis_names)
        grid = np.asarray(self.devices, object)
        if grid.ndim != len(names):
            raise located(
                ValueError,
                "Mesh requires the ndim of its first argument (`devices`) to equal the length of "
                f"its second argument (`axis_names`), but got devices.ndim == {grid.ndim} and "
                f"len(axis_names) == {len(names)}.",
            )
        if len(set(names)) < len(names):
            raise located(ValueError, f"Mesh axis names must differ, got {names}")
        object.__setattr__(self, "devices", grid)
        object.__setattr__(self, "axis_names", names)
        types = tuple(self.axis_types or (AxisType.Auto,) * len(names))
        object.__setattr__(self, "axis_types", types)

    @property
    def shape(self) -> OrderedDict[str, int]:
        return OrderedDict(zip(self.axis_names, self.devices.shape, strict=True))

    @property
    def axis_sizes(self) -> tuple[int, ...]:
        return tuple(self.devices.shape)

    @property
    def size(self) -> int:
        return self.devices.size

    @property
    def empty(self) -> bool:
        return not self.size

    def record(self) -> MeshShape:
        """The record of the pass."""
        return MeshShape(self.axis_names, self.axis_sizes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mesh) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple:
        return self.axis_names, self.axis_sizes, tuple(self.devices.flat), self.axis_types

    def __repr__(self) -> str:
        types = ", ".join(t.name for t in self.axis_types)
        return (
            f"Mesh(axis_sizes={self.axis_sizes}, axis_names={self.axis_names}, "
            f"axis_types=({types}{',' * (len(self.axis_types) == 1)}))"
        )

    def __str__(self) -> str:
        sizes = ", ".join(f"{n!r}: {s}" for n, s in self.shape.items())
        types = ", ".join(t.name for t in self.axis_types)
        return f"Mesh({sizes}, axis_types=({types}{',' * (len(self.axis_types) == 1)}))"

    def __enter__(self) -> Mesh:
        self._saved.append(_ambient.mesh)
        _ambient.mesh = self
        return self

    def __exit__(self, *raised: object) -> None:
        _ambient.mesh = self._saved.pop()


def make_mesh(
    axis_shapes: Sequence[int],
    axis_names: Sequence[str],
    axis_types: tuple[AxisType, ...] | None = None,
    *,
    devices: Sequence[Any] | None = None,
) -> Mesh:
    """A mesh of these sizes of the first devices, in their order.

    Raises ValueError if there are fewer; `config.update("jax_num_cpu_devices", n)` makes n virtual
    ones of the one adapter.
    """
    sizes = tuple(int(n) for n in axis_shapes)
    found = list(all_devices() if devices is None else devices)
    if prod(sizes) > len(found):
        text = f"Number of devices {len(found)} must be >= the product of mesh_shape {sizes}"
        raise located(ValueError, text)
    grid = np.empty(len(found), object)
    grid[:] = found
    types = (AxisType.Explicit,) * len(sizes) if axis_types is None else axis_types
    return Mesh(grid[: prod(sizes)].reshape(sizes), tuple(axis_names), types)


@dataclass(frozen=True)
class NamedSharding:
    """A PartitionSpec on a mesh. Raises ValueError for axes that the mesh lacks or that are used
    twice."""

    mesh: Mesh
    spec: PartitionSpec
    memory_kind: str | None = None

    def __post_init__(self) -> None:
        check_axes(self.mesh, self.spec)

    @property
    def num_devices(self) -> int:
        return self.mesh.size

    @property
    def device_set(self) -> set:
        return set(self.mesh.devices.flat)

    @property
    def addressable_devices(self) -> set:
        return self.device_set

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
class SingleDeviceSharding:
    """All of an array on one device."""

    device: Any
    is_fully_replicated = True
    num_devices = 1

    @property
    def device_set(self) -> set:
        return {self.device}

    addressable_devices = device_set

    def devices_indices_map(self, global_shape: Sequence[int]) -> dict[Any, tuple[slice, ...]]:
        """The device and the whole array."""
        return {self.device: (slice(None),) * len(global_shape)}

    def shard_shape(self, global_shape: Sequence[int]) -> tuple[int, ...]:
        return tuple(global_shape)

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


# --- the mesh of the context ----------------------------------------------------------------------


class _Ambient(threading.local):
    mesh: Mesh | None = None
    names: tuple[tuple[str, tuple[PartitionSpec, ...]], ...] = ()


_ambient = _Ambient()


class set_mesh:
    """The mesh that bare PartitionSpecs mean: from now on, or within a `with` block."""

    def __init__(self, mesh: Mesh | None) -> None:
        self._before, _ambient.mesh = _ambient.mesh, mesh
        self.mesh = mesh

    def __enter__(self) -> Mesh | None:
        return self.mesh

    def __exit__(self, *raised: object) -> None:
        _ambient.mesh = self._before


use_mesh = set_mesh


def get_mesh() -> Mesh | None:
    """The mesh of the context."""
    return _ambient.mesh


def ambient() -> tuple:
    """What the context says, for the signature of a trace."""
    return _ambient.mesh, _ambient.names


@contextmanager
def named_values(rules: Mapping[str, Sequence[PartitionSpec]]) -> Iterator[None]:
    """Within the block values that `checkpoint_name` gives a name lie as the rules say, one spec
    after the other; their cotangents go the other way."""
    saved = _ambient.names
    _ambient.names = tuple((n, tuple(specs)) for n, specs in rules.items())
    try:
        yield
    finally:
        _ambient.names = saved


def of_name(x: Any, name: str) -> Any:
    """`x` constrained as the rules of the context say for values of this name."""
    for spec in dict(_ambient.names).get(name, ()):
        x = constrained(x, spec)
    return x


# --- annotating values ----------------------------------------------------------------------------


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """A pytree's leaves, of which it is said how they lie: NamedShardings, or PartitionSpecs on the
    mesh of the context, as a tree prefix. Raises ValueError if they do not fit."""
    return _placed("with_sharding_constraint", x, shardings)


def reshard(xs: Any, out_shardings: Any) -> Any:
    """`with_sharding_constraint`: annotations are never only checked."""
    return _placed("reshard", xs, out_shardings)


def _placed(name: str, x: Any, shardings: Any) -> Any:
    leaves, structure = tree.flatten(x)
    found = [named(name, s) for s in spread_prefix(name, shardings, x, structure)]
    outs = []
    for leaf, sharding in zip(leaves, found, strict=True):
        if sharding is None:
            outs.append(leaf)
            continue
        value = operand(leaf, name)
        shape = aval_of(value).shape
        text = f"One of {name} arguments is incompatible with its sharding annotation {sharding}: "
        check_divides(sharding, shape, text)
        if current() is None and isinstance(value, Array):
            from .placed import place

            outs.append(place(value, sharding))
            continue
        outs.append(_constrained(value, sharding.spec.spec(len(shape))))
    return tree.unflatten(structure, outs)


def constrained(x: Any, spec: PartitionSpec) -> Any:
    """`x`, of which it is said how it lies on whatever mesh the program is made for."""
    return _constrained(x, spec.spec(aval_of(x).ndim))


def _constrained(x: Any, spec: Spec) -> Any:
    if current() is None and isinstance(x, Array):
        return x
    params = {"dims": spec.dims, "unreduced": tuple(sorted(spec.unreduced)), "dual": False}
    return bind("sharding_constraint", x, **params)


def named(name: str, sharding: Any) -> NamedSharding | None:
    """A sharding as users give it. Raises RuntimeError for a bare spec without a mesh."""
    if not isinstance(sharding, PartitionSpec):
        return sharding
    if _ambient.mesh is None or _ambient.mesh.empty:
        raise located(
            RuntimeError,
            f"{name} requires a non-empty mesh in context if you are passing `PartitionSpec`s to "
            "shardings. You can define a context mesh via `jax.set_mesh(mesh)`. Alternatively, "
            "provide `Sharding`s to shardings and then the mesh context manager is not required.",
        )
    return NamedSharding(_ambient.mesh, sharding)


def is_sharding(x: Any) -> bool:
    return x is None or isinstance(x, (PartitionSpec, NamedSharding))


def spread_prefix(name: str, prefix: Any, whole: Any, structure: tree.Structure) -> list:
    """One sharding for each leaf of `whole`, of which `prefix` is a tree prefix."""
    if is_sharding(prefix):
        return [prefix] * structure.num_leaves
    if isinstance(prefix, dict) and isinstance(whole, dict) and set(prefix) == set(whole):
        pairs = [(prefix[k], whole[k]) for k in sorted(whole)]
    elif isinstance(prefix, (list, tuple)) and isinstance(whole, (list, tuple)):
        if len(prefix) != len(whole):
            raise located(
                ValueError,
                f"{name} specification must be a tree prefix of the value, but it is the wrong "
                f"length: got a tuple or list of length {len(prefix)} for {len(whole)} values.",
            )
        pairs = list(zip(prefix, whole, strict=True))
    else:
        raise located(
            ValueError,
            f"{name}: pytree structure error: {type(prefix).__name__} of shardings for a "
            f"{type(whole).__name__}; give a tree prefix of the value",
        )
    return [s for p, w in pairs for s in spread_prefix(name, p, w, tree.flatten(w)[1])]


__all__ = [
    "AxisType",
    "DuplicateSpecError",
    "Mesh",
    "NamedSharding",
    "P",
    "PartitionSpec",
    "ShardingTypeError",
    "SingleDeviceSharding",
    "constrained",
    "get_mesh",
    "make_mesh",
    "named_values",
    "reshard",
    "set_mesh",
    "use_mesh",
    "with_sharding_constraint",
]
