"""How values lie on a mesh of devices: the records that annotations and the sharding pass share.

Invariant: a Spec says, axis by axis of a value, which mesh axes cut it, the first one outermost,
and over which the value is the sum of what the devices hold (`unreduced`); along all other axes it
is replicated. A Spec never says how large anything is, a MeshShape nothing about values.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import prod

import numpy as np


class ShardingTypeError(TypeError):
    """Operands lie on the mesh in ways that do not say how the result should."""


Axes = tuple[str, ...]
Coords = Mapping[str, int]


@dataclass(frozen=True)
class MeshShape:
    """Names and sizes of the axes of a mesh; devices are numbered with the last axis fastest.

    What an axis in `zigzag` cuts is cut into twice as many chunks as it has members, of which
    member i holds chunks i and 2n-1-i: causal attention then costs each the same.
    """

    names: Axes
    sizes: tuple[int, ...]
    zigzag: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if len(self.names) != len(self.sizes) or len(set(self.names)) != len(self.names):
            raise ValueError(f"a mesh needs one size for each distinct name, got {self}")

    @cached_property
    def size_of(self) -> dict[str, int]:
        return dict(zip(self.names, self.sizes, strict=True))

    @property
    def count(self) -> int:
        """How many devices there are."""
        return prod(self.sizes)

    def along(self, axes: Iterable[str]) -> int:
        """How many members some axes have together."""
        axes = axes if type(axes) is tuple else tuple(axes)
        found = self._along.get(axes)
        if found is None:
            found = self._along[axes] = prod(self.size_of[a] for a in axes)
        return found

    @cached_property
    def _along(self) -> dict[Axes, int]:
        return {(): 1}

    @cached_property
    def coords(self) -> tuple[dict[str, int], ...]:
        """Each device's number along each axis."""
        places = product(*map(range, self.sizes))
        return tuple(dict(zip(self.names, p, strict=True)) for p in places)

    def groups(self, axes: Sequence[str]) -> list[list[int]]:
        """Devices that differ along `axes` alone, each group in the order of its members."""
        found: dict[tuple, list[tuple[tuple, int]]] = {}
        for device, at in enumerate(self.coords):
            rest = tuple(at[n] for n in self.names if n not in axes)
            found.setdefault(rest, []).append((tuple(at[a] for a in axes), device))
        return [[device for _, device in sorted(group)] for group in found.values()]

    def __str__(self) -> str:
        return ",".join(f"{n}={s}" for n, s in zip(self.names, self.sizes, strict=True))


@dataclass(frozen=True)
class Spec:
    """Mesh axes for each axis of a value, and those over which it is yet to be summed.

    None in place of axes leaves an axis of the value as it is; only a constraint may say so.
    """

    dims: tuple[Axes | None, ...]
    unreduced: frozenset[str] = frozenset()

    @cached_property
    def axes(self) -> frozenset[str]:
        """The mesh axes that cut the value."""
        return frozenset(a for dim in self.dims for a in dim or ())

    @property
    def replicated(self) -> bool:
        return not self.axes and not self.unreduced

    def reduced(self) -> Spec:
        return replace(self, unreduced=frozenset()) if self.unreduced else self

    def shown(self, shape: Sequence[int]) -> tuple[list[str], str]:
        """The sizes with their axes, `8@dp` or `8@(dp,cp)`, and `{+tp}` for pending sums."""
        sizes = [_shown(n, dim) for n, dim in zip(shape, self.dims, strict=True)]
        return sizes, f"{{{''.join(f'+{a}' for a in sorted(self.unreduced))}}}" * self.pending

    @property
    def pending(self) -> bool:
        return bool(self.unreduced)

    def __str__(self) -> str:
        dims = ["None" if not d else repr(d[0] if len(d) == 1 else d) for d in self.dims]
        tail = [f"unreduced={set(self.unreduced)!r}"] if self.unreduced else []
        return f"P({', '.join(dims + tail)})"


def _shown(size: int, axes: Axes | None) -> str:
    if not axes:
        return str(size)
    return f"{size}@{axes[0]}" if len(axes) == 1 else f"{size}@({','.join(axes)})"


def whole(ndim: int) -> Spec:
    """The Spec of a value that every device holds as it is."""
    return Spec(((),) * ndim)


def local_shape(shape: Sequence[int], spec: Spec, mesh: MeshShape) -> tuple[int, ...]:
    """The shape of what one device holds."""
    pairs = zip(shape, spec.dims, strict=True)
    return tuple(n // mesh.along(axes or ()) for n, axes in pairs)


# --- what is wrong with a spec --------------------------------------------------------------------


def problems(what: str, shape: Sequence[int], spec: Spec, mesh: MeshShape) -> Iterator[str]:
    """A sentence for everything that keeps `what` of this shape from lying as `spec` says."""
    used = [a for dim in spec.dims for a in dim or ()] + sorted(spec.unreduced)
    for axis in sorted(set(used)):
        if axis not in mesh.names:
            yield f"{what}: {spec} names the axis {axis!r}; the mesh has {', '.join(mesh.names)}"
        if used.count(axis) > 1:
            yield f"{what}: {spec} uses the axis {axis!r} {used.count(axis)} times"
    if len(spec.dims) != len(shape):
        yield f"{what}: {spec} has {len(spec.dims)} entries for an array of shape {tuple(shape)}"
        return
    for dim, (size, axes) in enumerate(zip(shape, spec.dims, strict=True)):
        if axes and all(a in mesh.names for a in axes):
            parts = mesh.along(axes) * (2 if mesh.zigzag & set(axes) else 1)
            if size % parts:
                yield f"{what}: axis {dim} of {size} is cut by {'*'.join(axes)} {near(size, parts)}"


def near(size: int, parts: int) -> str:
    """ "into 4, which does not divide it; 8 or 12 would do"."""
    low, high = size // parts * parts, -(-size // parts) * parts
    cure = f"{low} or {high} would do" if low else f"{high} would do"
    return f"into {parts}, which does not divide it; {cure}"


# --- the values themselves ------------------------------------------------------------------------


def positions(size: int, axes: Axes, mesh: MeshShape, at: Coords) -> np.ndarray:
    """Where what the device at `at` holds of an axis of `size` lies in the whole."""
    held = np.arange(size)
    for axis in axes:
        n, i = mesh.size_of[axis], at[axis]
        if axis in mesh.zigzag and n > 1:
            chunks = np.split(held, 2 * n)
            held = np.concatenate([chunks[i], chunks[2 * n - 1 - i]])
        else:
            held = np.split(held, n)[i]
    return held


def _places(shape: Sequence[int], spec: Spec, mesh: MeshShape, at: Coords) -> tuple:
    pairs = zip(shape, spec.dims, strict=True)
    return np.ix_(*(positions(n, axes or (), mesh, at) for n, axes in pairs))


def split(x: np.ndarray, spec: Spec, mesh: MeshShape) -> list[np.ndarray]:
    """What each device holds of a whole array. Of a pending sum, the first members hold it all."""
    parts = []
    for at in mesh.coords:
        part = x[_places(x.shape, spec, mesh, at)] if x.ndim else x
        spare = any(at[a] for a in spec.unreduced)
        parts.append(np.zeros_like(part) if spare else np.array(part))
    return parts


def join(parts: Sequence[np.ndarray], spec: Spec, mesh: MeshShape) -> np.ndarray:
    """The whole array of what the devices hold; pending sums are carried out."""
    local = parts[0].shape
    shape = [n * mesh.along(axes or ()) for n, axes in zip(local, spec.dims, strict=True)]
    out = np.zeros(shape, parts[0].dtype)
    kept = spec.axes | spec.unreduced
    for at, part in zip(mesh.coords, parts, strict=True):
        if any(i for axis, i in at.items() if axis not in kept):
            continue
        places = _places(shape, spec, mesh, at) if shape else ()
        out[places] = out[places] + part if spec.unreduced else part
    return out
