"""The devices of a mesh, one in each process of a job, and the stages of a pipeline over them.

Invariant: all processes of a mesh begin and end the same collectives in the same order. What
processes tell each other comes from the device by way of the host, which it leaves in time for
whoever reads it next; whole arrays are put together only where they are asked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from codegen.profile import Profile
from codegen.program import Collective, Program
from codegen.spread import placed
from ir.dtypes import dtype
from ir.sharding import MeshShape

from .buffer import Buffer, PendingRead, pad
from .device import Device
from .errors import ProgramError
from .executable import Executable
from .mpi import Channel, Slab, World
from .pipeline import Held
from .shards import Layout, Shards

COMBINE = {"psum": np.add, "pmax": np.maximum, "pmin": np.minimum, "reduce_scatter": np.add}


class RankTeam:
    """The devices of a mesh, one in each of the processes `ranks`, by default all there are, whose
    adapters have these `profiles`, by default that of `device`."""

    def __init__(
        self,
        mesh: MeshShape,
        device: Device,
        world: World,
        ranks: Sequence[int] | None = None,
        profiles: Sequence[Profile] = (),
    ) -> None:
        self.ranks = tuple(range(world.size) if ranks is None else ranks)
        if mesh.count != len(self.ranks):
            text = f"a mesh {mesh} has {mesh.count} devices, and there are {len(self.ranks)}"
            raise ProgramError(f"{text} processes; start one for each device")
        self.mesh, self.device, self.world = mesh, device, world
        self.here = tuple(d for d, rank in enumerate(self.ranks) if rank == world.rank)
        self.everyone = len(self.ranks) == world.size
        self.profiles = tuple(dict.fromkeys(profiles)) or (device.profile,)
        self._channels: dict[tuple[str, ...], Channel] = {}

    def __repr__(self) -> str:
        return f"process {self.world.rank} of {self.world.size} on {self.device.info.name}"

    def executable(self, program: Program) -> Executable:
        own = placed(program, self.mesh, self.here[0])
        return Executable(self.device, own, self.begin)

    def channel(self, axes: Sequence[str]) -> Channel:
        """The group of this process along some axes. All its members must ask in the same order."""
        if tuple(axes) not in self._channels:
            groups = self.mesh.groups(axes)
            mine = next(group for group in groups if self.here[0] in group)
            ranks = [self.ranks[device] for device in mine]
            self._channels[tuple(axes)] = Channel(self.world, ranks)
        return self._channels[tuple(axes)]

    def gather(self, pieces: dict[int, bytes], layout: Layout) -> dict[int, bytes]:
        with self.world.watchdog.waiting(f"a read of {layout.aval} as {layout.spec}"):
            found = self.world.comm.allgather({d: bytes(raw) for d, raw in pieces.items()})
        return {device: raw for part in found for device, raw in part.items()}

    def begin(self, step: Collective, source: Buffer) -> Callable[[Buffer, bool], None]:
        """Begin one collective: what is to be told is on its way to the host. What is returned
        carries it out, through the host and back, into a buffer; it is told whether the device has
        work in the meantime."""
        size = pad(step.count * dtype(step.dtype).itemsize)
        return partial(self._end, step, size, source.start_read(size))

    def _end(
        self, step: Collective, size: int, read: PendingRead, target: Buffer, behind: bool = False
    ) -> None:
        kind, spent = dtype(step.dtype), self.world.spent
        what = f"{step.kind} over {','.join(step.axes)} of {kind}[{step.count}]"
        with self.world.watchdog.waiting(what):
            channel = self.channel(step.axes)
            slab = channel.stage(size)
            read.copy_to(memoryview(slab.mine))
            start = time.perf_counter()
            result = self._result(channel, step, slab)
        if result is None:
            result = np.zeros(size, np.uint8)
        self.device.write(target, result)
        spent.add(time.perf_counter() - start, behind)

    def _result(self, channel: Channel, step: Collective, slab: Slab) -> np.ndarray | None:
        kind = np.dtype(np.uint32) if step.dtype == "bool" else dtype(step.dtype).np
        match step.kind:
            case "all_gather":
                return channel.gathered(slab)
            case "reduce_scatter":
                return channel.scattered(slab, kind, np.add)
            case "all_to_all":
                return channel.exchanged(slab)
            case "ppermute":
                return channel.permuted(slab, step.perm)
        return channel.reduced(slab, kind, COMBINE[step.kind])


class RankDrivers:
    """Each process of a job drives one device of `mesh`, the whole one; along its axis `pp` are the
    stages of a pipeline."""

    def __init__(self, world: World, device: Device, mesh: MeshShape, pp: str = "pp") -> None:
        self.world, self.device, self.mesh, self.pp = world, device, mesh, pp
        self.teams: dict[tuple[MeshShape, int], RankTeam] = {}
        with world.watchdog.waiting("what adapters the others have"):
            self.profiles = world.comm.allgather(device.profile)

    def team(self, mesh: MeshShape) -> RankTeam:
        return self._team(mesh, self.mesh.coords[self.world.rank].get(self.pp, 0))

    def stages(self, mesh: MeshShape, count: int) -> tuple[list[RankTeam], Any]:
        depth = self.mesh.size_of.get(self.pp, 1)
        teams = [self._team(mesh, stage % depth) for stage in range(count)]
        return teams, RankLinks(self.world, teams)

    def _team(self, mesh: MeshShape, place: int) -> RankTeam:
        if (mesh, place) not in self.teams:
            every = enumerate(self.mesh.coords)
            ranks = [rank for rank, at in every if at.get(self.pp, 0) == place]
            profiles = [self.profiles[rank] for rank in ranks]
            self.teams[mesh, place] = RankTeam(mesh, self.device, self.world, ranks, profiles)
        return self.teams[mesh, place]


READY = np.dtype(np.float64)  # behind each value that is handed on: when it was ready


class RankLinks:
    """How the stages of a pipeline hand values on: `teams[stage]` has the processes of each, which
    talk to their own kind. Sends never wait; what was sent is kept until the step is over."""

    def __init__(self, world: World, teams: Sequence[RankTeam]) -> None:
        self.world, self.teams = world, teams
        self._under_way: list[tuple[Any, np.ndarray]] = []

    def send(self, held: Held, stage: int, key: int) -> None:
        ((device, buffer),) = held.value.parts.items()
        size = held.value.layout.local_nbytes
        data = np.empty(size + READY.itemsize, np.uint8)
        buffer.start_read(size).copy_to(memoryview(data)[:size])
        data[size:] = np.frombuffer(READY.type(held.ready).tobytes(), np.uint8)
        to = self.teams[stage].ranks[device]
        self._under_way.append((self.world.comm.Isend(data, dest=to, tag=key), data))

    def receive(self, layout: Layout, of: int, team: RankTeam, key: int) -> Held:
        (device,) = team.here
        size = layout.local_nbytes
        data = np.empty(size + READY.itemsize, np.uint8)
        with self.world.watchdog.waiting(f"a value of {layout.aval} from stage {of}"):
            self.world.comm.Recv(data, source=self.teams[of].ranks[device], tag=key)
        (ready,) = np.frombuffer(data[size:].tobytes(), READY)
        value = Shards(layout, {device: team.device.upload(data[:size])}, team)
        return Held(value, float(ready))

    def finish(self) -> None:
        with self.world.watchdog.waiting("the end of a step"):
            self.world.mpi.Request.Waitall([request for request, _ in self._under_way])
        self._under_way.clear()


__all__ = ["RankDrivers", "RankLinks", "RankTeam"]
