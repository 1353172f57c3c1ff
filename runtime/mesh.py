"""Running the program of one device on every device of a mesh.

Invariant: all devices run the same steps and meet in every collective. A `Team` is the one small
interface to how they are driven: which devices this process has, how a program becomes runnable on
them, and how pieces reach a process that does not hold them. Counts and bytes of collectives are
those of the steps that were run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from codegen.compile import CompileError, Donations, compile_graph, fitted
from codegen.profile import Profile
from codegen.program import Program
from codegen.spread import spread
from ir.graph import Graph
from ir.sharding import MeshShape

from .buffer import Buffer
from .device import Device, default_device
from .errors import ProgramError
from .executable import Executable
from .programs import program_of
from .shards import Layout, Shards
from .timing import KernelTime

Traffic = dict[str, dict[str, list[int]]]  # axes -> kind -> [count, bytes]


class Team(Protocol):
    """The devices of a mesh as this process sees them."""

    mesh: MeshShape
    device: Device
    here: tuple[int, ...]  # the devices that this process drives
    everyone: bool  # whether all processes of the job drive some of them
    profiles: tuple[Profile, ...]  # those of all its adapters, each once

    def executable(self, program: Program) -> Executable:
        """`program` for the devices here: takes and gives their buffers, device by device."""

    def gather(self, pieces: dict[int, bytes], layout: Layout) -> dict[int, bytes]:
        """One copy of every piece of an array, from whoever holds it."""


class VirtualTeam:
    """All devices of a mesh, on one adapter: collectives are kernels and copies on it."""

    def __init__(self, mesh: MeshShape, device: Device) -> None:
        self.mesh, self.device = mesh, device
        self.here, self.everyone = tuple(range(mesh.count)), True
        self.profiles = (device.profile,)

    def __repr__(self) -> str:
        return f"{self.mesh.count} virtual devices on {self.device.info.name}"

    def executable(self, program: Program) -> Executable:
        return Executable(self.device, spread(program, self.mesh, self.device.profile))

    def gather(self, pieces: dict[int, bytes], layout: Layout) -> dict[int, bytes]:
        return pieces  # every piece is here


class Drivers(Protocol):
    """Who drives the devices of a job: the team of a mesh, and those of a pipeline's stages."""

    def team(self, mesh: MeshShape) -> Team:
        """The team that this process belongs to."""

    def stages(self, mesh: MeshShape, count: int) -> tuple[list[Team], Any]:
        """The team of each stage, and the links between them."""


class Alone:
    """This process drives all devices: virtual ones of the default adapter."""

    def __init__(self) -> None:
        self.teams: dict[MeshShape, Team] = {}

    def team(self, mesh: MeshShape) -> Team:
        if mesh not in self.teams:
            self.teams[mesh] = VirtualTeam(mesh, default_device())
        return self.teams[mesh]

    def stages(self, mesh: MeshShape, count: int) -> tuple[list[Team], Any]:
        return [self.team(mesh)] * count, None  # what is handed on stays where it is


_drivers: Drivers = Alone()


def use_drivers(drivers: Drivers | None) -> None:
    """Let others drive the devices from now on; None: this process alone."""
    global _drivers
    _drivers = drivers or Alone()


def team_of(mesh: MeshShape) -> Team:
    """The team of a mesh, the same one every time."""
    return _drivers.team(mesh)


def stage_teams(mesh: MeshShape, count: int) -> tuple[list[Team], Any]:
    """The teams of the stages of a pipeline, each a mesh of its own, and the links between them."""
    return _drivers.stages(mesh, count)


def program_of_each(
    team: Team, graph: Graph, donate: Donations, name: str, memory_budget: int = 0
) -> Program:
    """The program of one device of a team, within a budget of bytes for each; 0: there is none.

    Raises CompileError, which names the devices where a budget is too small.
    """
    profile = team.device.profile
    if not memory_budget:
        return compile_graph(graph, profile, donate, name)
    try:
        if len(team.profiles) > 1:  # all must send the same, so all compute the same again
            graph, memory_budget = fitted(graph, team.profiles, tuple(donate), memory_budget), 0
        return program_of(graph, profile, donate, name, memory_budget)
    except CompileError as error:
        raise CompileError(f"on each of {team.mesh.count} devices ({team.mesh}) {error}") from None


class MeshExecutable:
    """`program`, made for one device, on all devices of a team.

    `ins` and `outs` are the layouts of its arguments and results as whole arrays; the program has
    their pieces. `traffic` are the collectives of one run, `runs` how many there were.
    Raises KernelCompileError, ProgramError.
    """

    def __init__(
        self, team: Team, program: Program, ins: Sequence[Layout], outs: Sequence[Layout]
    ) -> None:
        self.team, self.program = team, program
        self.ins, self.outs = tuple(ins), tuple(outs)
        self.traffic: Traffic = program.traffic()
        _check_pieces(program, self.ins, program.in_slots, "argument")
        _check_pieces(program, self.outs, program.out_slots, "result")
        donated = set(program.in_slots) & set(program.out_slots)
        self._given = [slot in donated for slot in program.in_slots]
        self._inner = team.executable(program)

    def __repr__(self) -> str:
        return f"MeshExecutable({self.program.name} on {self.team})"

    def run(self, inputs: Sequence[Shards | Buffer | np.ndarray]) -> list[Shards]:
        """Run once, without waiting. Arguments that are not cut as the program wants them are cut
        on the host; donated ones give their memory to results.

        Raises ProgramError on arguments that do not fit, OutOfMemoryError, DeviceLostError.
        """
        outs = self._inner.run(self._flat(inputs))
        here, count = self.team.here, len(self.outs)
        return [
            Shards(layout, {d: outs[n * count + j] for n, d in enumerate(here)}, self.team)
            for j, layout in enumerate(self.outs)
        ]

    def profile(self, inputs: Sequence[Shards | Buffer | np.ndarray]) -> list[KernelTime]:
        """Time each dispatch of one run, those of all devices here."""
        return self._inner.profile(self._flat(inputs))

    def upload(self, array: np.ndarray, layout: Layout) -> Shards:
        """A host array in pieces on the devices here."""
        device = self.team.device
        pieces = layout.cut(array, self.team.here)
        return Shards(layout, {d: device.upload(x) for d, x in pieces.items()}, self.team)

    def _flat(self, inputs: Sequence[Shards | Buffer | np.ndarray]) -> list[Buffer | np.ndarray]:
        """The pieces of all arguments, device by device."""
        if len(inputs) != len(self.ins):
            text = f"{self.program.name} takes {len(self.ins)} arrays, {len(inputs)} were given"
            raise ProgramError(text)
        pieces = [
            value.parts
            if type(value) is Shards and value.layout is layout
            else self._pieces(value, layout, given)
            for value, layout, given in zip(inputs, self.ins, self._given, strict=True)
        ]
        return [piece[d] for d in self.team.here for piece in pieces]

    def _pieces(
        self, value: Shards | Buffer | np.ndarray, layout: Layout, given: bool
    ) -> dict[int, Buffer] | dict[int, np.ndarray]:
        if isinstance(value, Shards) and value.layout == layout and value.team is self.team:
            return value.parts
        host = on_host(value, layout)
        if given:  # the result keeps the memory, so it must not be one that is used again
            return self.upload(host, layout).parts
        return layout.cut(host, self.team.here)


def on_host(value: Shards | Buffer | np.ndarray, layout: Layout) -> np.ndarray:
    """The whole array on the host, waiting for it if it is not there."""
    if isinstance(value, np.ndarray):
        return value
    if value.nbytes < layout.nbytes:
        raise ProgramError(f"an array of {value.nbytes} bytes was given for {layout.aval}")
    raw = value.start_read(layout.nbytes).result()
    return np.frombuffer(raw, layout.stored).reshape(layout.aval.shape)


def _check_pieces(
    program: Program, layouts: Sequence[Layout], slots: Sequence[int], what: str
) -> None:
    if len(layouts) != len(slots):
        raise ProgramError(f"{program.name} has {len(slots)} {what}s, not {len(layouts)}")
    for place, (layout, slot) in enumerate(zip(layouts, slots, strict=True)):
        size = program.slots[slot].nbytes
        if max(4, -(-layout.local_nbytes // 4) * 4) != size:
            text = f"{what} {place} of {program.name}: a piece has {layout.local_nbytes} bytes"
            raise ProgramError(f"{text}, the program has {size}")


__all__ = [
    "MeshExecutable",
    "Team",
    "Traffic",
    "VirtualTeam",
    "on_host",
    "program_of_each",
    "stage_teams",
    "team_of",
    "use_drivers",
]
