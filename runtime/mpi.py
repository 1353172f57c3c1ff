"""One process per device, over MPI: who there is, and how they tell each other things.

Invariant: all processes call the same collectives in the same order. Within a node data passes
through memory that its processes share: each writes its own part, waits, and reads what it needs;
two windows take turns, so that nothing is overwritten while someone still reads. Every sum is added
up in the order of the members, so all get the same bits.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from .buffer import pad
from .errors import ProgramError
from .watchdog import Watchdog

BLOCK = 1 << 15  # elements
GROW = 1 << 20  # windows grow by whole MiB
LIBMPI = "MPI4PY_LIBMPI"
PER_NODE = "PICOTRON_RANKS_PER_NODE"


def mpi() -> ModuleType:
    """mpi4py's MPI, initialised by its first use. Raises ProgramError where it is not installed."""
    try:
        return _imported()
    except (ImportError, RuntimeError) as error:
        raise ProgramError(
            "several processes need MPI: pip install 'picotron-webgpu[mpi]', or let MPI4PY_LIBMPI "
            f"be the path of another libmpi ({str(error).splitlines()[0]})"
        ) from error


def _imported() -> ModuleType:
    """mpi4py looks beside the interpreter and where the loader does; an mpich that is installed as
    a package may be elsewhere, such as below the environment that this one extends."""
    try:
        return importlib.import_module("mpi4py.MPI")
    except RuntimeError:
        found = _libmpi_of_package()
        if LIBMPI in os.environ or found is None:
            raise
        os.environ[LIBMPI] = found
        return importlib.import_module("mpi4py.MPI")


def _libmpi_of_package() -> str | None:
    try:
        files = importlib.metadata.files("mpich") or ()
    except importlib.metadata.PackageNotFoundError:
        return None
    paths = [Path(file.locate()) for file in files if re.match(r"libmpi\.(so|dylib)", file.name)]
    kept = [path.resolve() for path in paths if path.exists()]
    # Packages have no links: the names without a version are files of a few bytes.
    return str(max(kept, key=lambda path: path.stat().st_size)) if kept else None


class World:
    """All processes of a job. `node` are those that share this one's memory.

    PICOTRON_RANKS_PER_NODE makes believe that so many share a node, and no more.
    """

    def __init__(self, timeout: float = 600.0) -> None:
        self.mpi = mpi()
        self.comm = self.mpi.COMM_WORLD
        self.rank, self.size = self.comm.Get_rank(), self.comm.Get_size()
        self.node = self.comm.Split_type(self.mpi.COMM_TYPE_SHARED, self.rank)
        if per_node := int(os.environ.get(PER_NODE, "0")):
            self.node = self.node.Split(self.node.Get_rank() // per_node, self.rank)
        self.local_rank = self.node.Get_rank()
        self.nodes: list[int] = self.comm.allgather(self.comm.Get_rank() - self.local_rank)
        self.watchdog = Watchdog(self, timeout)
        self.spent = Spent()

    def abort(self, code: int = 1) -> None:
        """End all processes of the job, now."""
        self.comm.Abort(code)

    def agree(self, what: str, value: Any) -> list[tuple[int, Any]]:
        """The processes that have another `value` than process 0, with theirs."""
        with self.watchdog.waiting(f"agreement on {what}"):
            values = self.comm.allgather(value)
        return [(rank, other) for rank, other in enumerate(values) if other != values[0]]


@dataclass
class Spent:
    """What collectives have cost the host: how many there were, seconds of telling, once the device
    had computed what is told, and of these those for which the device had other work."""

    count: int = 0
    telling_s: float = 0.0
    covered_s: float = 0.0

    def add(self, telling_s: float, behind: bool) -> None:
        self.count += 1
        self.telling_s += telling_s
        self.covered_s += telling_s if behind else 0.0


class Channel:
    """The processes of one group, in the order of its members."""

    def __init__(self, world: World, members: Sequence[int]) -> None:
        self.world, self.members = world, tuple(members)
        self.count, self.number = len(members), self.members.index(world.rank)
        group = world.comm.Get_group().Incl(self.members)
        self.comm = world.comm.Create_group(group)
        by_node: dict[int, list[int]] = {}
        for n, rank in enumerate(self.members):
            by_node.setdefault(world.nodes[rank], []).append(n)
        self.near = by_node[world.nodes[world.rank]]  # members on this node
        self.place = self.near.index(self.number)
        self.sides = len(by_node)
        color = list(by_node).index(world.nodes[world.rank])
        self.here = self.comm.Split(color, self.number)
        even = len({len(n) for n in by_node.values()}) == 1
        # Members at the same place of their nodes: each sums up its own share between nodes.
        self.across = self.comm.Split(self.place, color) if even and self.sides > 1 else None
        self._windows: list[Any] = [None, None]
        self._capacity = [0, 0]
        self._turn = 0

    # --- shared memory ---

    def stage(self, nbytes: int) -> Slab:
        """Room for `nbytes` of each member of this node. All of them must ask."""
        self._turn = 1 - self._turn
        wanted = pad(nbytes, 64) * len(self.near)
        if self._capacity[self._turn] < wanted:
            self._grow(wanted)
        memory = np.frombuffer(self._windows[self._turn].Shared_query(0)[0], np.uint8)
        return Slab(memory, nbytes, len(self.near), self.place)

    def _grow(self, wanted: int) -> None:
        if self._windows[self._turn] is not None:
            self._windows[self._turn].Free()
        size = pad(wanted, GROW)
        own = size if self.place == 0 else 0
        window = self.world.mpi.Win.Allocate_shared(own, 1, comm=self.here)
        self._windows[self._turn], self._capacity[self._turn] = window, size

    def meet(self) -> None:
        """Wait for the members on this node."""
        if len(self.near) > 1:
            self.here.Barrier()

    # --- collectives: from what is staged to the result ---

    def reduced(self, slab: Slab, kind: np.dtype, combine: np.ufunc) -> np.ndarray:
        """Everyone's arrays combined, in memory that all of this node see."""
        if self.sides > 1 and self.across is None:
            return self._reduced_flat(slab.mine.view(kind), combine)
        self.meet()
        parts = [part.view(kind) for part in slab.parts]
        low, high = _share(parts[0].size, len(parts), self.place)
        total = parts[0][low:high]
        for at in range(low, high, BLOCK):  # what is summed stays in the cache
            end = min(at + BLOCK, high)
            _combine(combine, parts[0][at:end], [part[at:end] for part in parts[1:]])
        if self.across is not None and high > low:
            total[:] = self._between_nodes(total, combine)
        self.meet()
        return parts[0]

    def _between_nodes(self, total: np.ndarray, combine: np.ufunc) -> np.ndarray:
        everyone = np.empty((self.sides, total.size), total.dtype)
        self.across.Allgather(_bytes(total), _bytes(everyone))
        return _combined(combine, everyone)

    def _reduced_flat(self, mine: np.ndarray, combine: np.ufunc) -> np.ndarray:
        return _combined(combine, self._everyone(mine))

    def _everyone(self, mine: np.ndarray) -> np.ndarray:
        """[members, ...] by messages."""
        out = np.empty((self.count, mine.size), mine.dtype)
        self.comm.Allgather(_bytes(mine), _bytes(out))
        return out

    def gathered(self, slab: Slab) -> np.ndarray:
        """The members' bytes, one after another."""
        if self.sides > 1:
            return self._everyone(slab.mine).reshape(-1)
        self.meet()
        return slab.all

    def scattered(self, slab: Slab, kind: np.dtype, combine: np.ufunc) -> np.ndarray:
        """This member's chunk of the sum."""
        if self.sides > 1:
            return _combined(combine, self.exchanged(slab).view(kind).reshape(self.count, -1))
        self.meet()
        chunks = [part.view(kind).reshape(self.count, -1)[self.number] for part in slab.parts]
        total = chunks[0].copy()
        _combine(combine, total, chunks[1:])
        return total

    def exchanged(self, slab: Slab) -> np.ndarray:
        """The chunk of this member's number from every member."""
        if self.sides > 1:
            out = np.empty_like(slab.mine)
            self.comm.Alltoall(slab.mine, out)
            return out
        self.meet()
        return np.concatenate([p.reshape(self.count, -1)[self.number] for p in slab.parts])

    def permuted(self, slab: Slab, perm: Sequence[tuple[int, int]]) -> np.ndarray | None:
        """The bytes of the member that sends to this one; None if nobody does."""
        of = next((source for source, to in perm if to == self.number), None)
        if self.sides == 1:
            self.meet()
            return None if of is None else slab.parts[of]
        targets = [to for source, to in perm if source == self.number]
        sends = [self.comm.Isend(slab.mine, dest=to) for to in targets]
        out = None if of is None else np.empty_like(slab.mine)
        if out is not None:
            self.comm.Recv(out, source=of)
        self.world.mpi.Request.Waitall(sends)
        return out


class Slab:
    """Equal parts of shared memory, one for each member on this node, one after another."""

    def __init__(self, memory: np.ndarray, nbytes: int, count: int, place: int) -> None:
        self.all = memory[: nbytes * count]
        self.parts = list(self.all.reshape(count, nbytes)) if nbytes else []
        self.mine = self.parts[place]


def _share(size: int, count: int, place: int) -> tuple[int, int]:
    """Elements that one of `count` processes works on, in whole cache lines."""
    step = pad(-(-size // count), 16)
    return min(size, place * step), min(size, (place + 1) * step)


def _combine(combine: np.ufunc, total: np.ndarray, parts: Sequence[np.ndarray]) -> None:
    """In place; sums of 16-bit floats are rounded once."""
    wide = total.astype(np.float32) if total.dtype.itemsize == 2 else total
    for part in parts:
        combine(wide, part.astype(wide.dtype, copy=False), out=wide)
    if wide is not total:
        total[:] = wide.astype(total.dtype)


def _combined(combine: np.ufunc, rows: np.ndarray) -> np.ndarray:
    total = rows[0].copy()
    _combine(combine, total, rows[1:])
    return total


def _bytes(x: np.ndarray) -> np.ndarray:
    return x.view(np.uint8).reshape(-1)


__all__ = ["Channel", "Slab", "Spent", "World", "mpi"]
