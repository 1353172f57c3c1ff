"""Meshes of devices, and which of their axes cut an array: what annotations are made of.

Invariant: a mesh and a spec are values: equal if their parts are. The mesh of the context belongs
to a thread.
"""

from __future__ import annotations

import enum
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from ir.sharding import MeshShape, Spec

from .config import devices as all_devices
from .errors import located


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


def partition(spec: Spec) -> PartitionSpec:
    """What says of an array that it lies as a record of the pass does."""
    dims = (None if not d else d[0] if len(d) == 1 else d for d in spec.dims)
    return PartitionSpec(*dims, unreduced=spec.unreduced)


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
        self._saved.append(context.mesh)
        context.mesh = self
        return self

    def __exit__(self, *raised: object) -> None:
        context.mesh = self._saved.pop()


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


# --- the mesh of the context ----------------------------------------------------------------------


class Context(threading.local):
    mesh: Mesh | None = None
    names: tuple[tuple[str, tuple[PartitionSpec, ...]], ...] = ()


context = Context()


class set_mesh:
    """The mesh that bare PartitionSpecs mean: from now on, or within a `with` block."""

    def __init__(self, mesh: Mesh | None) -> None:
        self._before, context.mesh = context.mesh, mesh
        self.mesh = mesh

    def __enter__(self) -> Mesh | None:
        return self.mesh

    def __exit__(self, *raised: object) -> None:
        context.mesh = self._before


use_mesh = set_mesh


def get_mesh() -> Mesh | None:
    """The mesh of the context."""
    return context.mesh
