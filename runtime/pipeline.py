"""Running the parts of a pipeline as a schedule says, on the teams of its stages.

Invariant: what is run, and in which order, is data; a value is handed to another stage once for
each micro-batch and dropped after its last use. Losses and gradients are sums over the
micro-batches, unscaled: whoever asked divides them, once. The time at which a value was ready goes
with it from stage to stage, so that clocks tell what was waited for and not what was planned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from codegen.compile import compile_graph, foreseen
from codegen.program import Fill, Program, Slot
from ir.build import build, inline
from ir.graph import Aval, Graph, Var
from ir.passes.stages import Part, Stages
from ir.sharding import MeshShape, Spec

from .mesh import MeshExecutable, Team, Traffic
from .shards import Layout, Shards

Actions = Iterable[tuple[str, int, int]]  # (kind, stage, micro-batch), see picotron.schedules


class Clocks(Protocol):
    """Who tells the time of a step, in units of its own."""

    def passed(self, kind: str, stage: int, micro: int, ready: Iterable[float]) -> float:
        """An action was carried out on what was ready at these times; when its results are."""


class Held(NamedTuple):
    """A value, and when it was ready by the clock of the rank that made it."""

    value: Shards
    ready: float


class Links(Protocol):
    """How stages hand values on. The parts of a value keep their places in the team."""

    def send(self, held: Held, stage: int, key: int) -> None:
        """Give a value to another stage; `key` names it within the step."""

    def receive(self, layout: Layout, of: int, team: Team, key: int) -> Held:
        """A value that stage `of` sent."""

    def finish(self) -> None:
        """The step is over: everything has been received."""


@dataclass
class Record:
    """What a step did: the most micro-batches whose activations each stage held at once, and what
    went from stage to stage."""

    live: list[int]
    handed_on: dict[str, list[int]] = field(default_factory=dict)  # "F" | "B" -> [count, bytes]


def rows(mesh: MeshShape, aval: Aval) -> Layout:
    """The layout of a value that each device has one of its own of: a row for each."""
    whole = Aval((mesh.count, *aval.shape), aval.dtype)
    return Layout(mesh, whole, Spec((mesh.names, *((),) * aval.ndim)))


class Pipeline:
    """A joint graph cut into `stages`, compiled for `teams[stage]` where this process has devices
    of it. `graph` is the per-device graph that was cut, with the layouts of its inputs and
    outputs as whole arrays; inputs in `each` differ between micro-batches.
    """

    def __init__(
        self, graph: Graph, stages: Stages, teams: Sequence[Team],
        layouts: tuple[Sequence[Layout], Sequence[Layout]], each: Sequence[int],
        links: Links | None = None,
    ) -> None:  # fmt: skip
        self.graph, self.stages, self.teams, self.links = graph, stages, tuple(teams), links
        self.ins, self.outs = (tuple(side) for side in layouts)
        self.each = frozenset(each)
        self.place = {v: i for i, v in enumerate(graph.ins)}
        self.made = {v: part for part in stages.parts.values() for v in part.outs}
        self.readers: dict[Var, list[Part]] = {}
        for part in stages.parts.values():
            for v in part.ins:
                self.readers.setdefault(v, []).append(part)
        # By what goes between stages alone: what stays in one is another's business.
        handed = (v for v, part in self.made.items()
                  if any(r.stage != part.stage for r in self.readers.get(v, ())))  # fmt: skip
        self.number = {v: n for n, v in enumerate([*graph.ins, *handed])}
        self._programs: dict[tuple[str, int], Program] = {}
        self._workspaces: dict[tuple[str, int], int] = {}
        self.record = Record([])

    def program(self, kind: str, stage: int) -> Program:
        """That of a part whose losses and gradients are added to what earlier micro-batches gave,
        compiled when it is first asked for. Raises CompileError."""
        if (kind, stage) not in self._programs:
            graph, donate = self._given(kind, stage)
            profile, name = self.teams[stage].device.profile, f"{kind}_stage_{stage}"
            self._programs[kind, stage] = compile_graph(graph, profile, donate, name)
        return self._programs[kind, stage]

    def _given(self, kind: str, stage: int) -> tuple[Graph, list[tuple[int, int]]]:
        """What the program of a part is compiled from, with its donations."""
        part = self.stages.parts[kind, stage]
        first_in, first_out = len(part.ins), len(part.outs)
        donate = [(first_in + n, first_out + n) for n in range(len(part.results))]
        return _accumulating(part), donate

    def _workspace(self, kind: str, stage: int) -> int:
        """Bytes that a device keeps for the program of a part, which need not be there yet; of
        unlike adapters the one that keeps most, so that all choose the same by it."""
        if (kind, stage) not in self._workspaces:
            graph, donate = self._given(kind, stage)
            profiles = self.teams[stage].profiles
            kept = max(own_bytes(foreseen(graph, profile, donate)) for profile in profiles)
            self._workspaces[kind, stage] = kept
        return self._workspaces[kind, stage]

    def build(self) -> None:
        """Make everything that a step needs, but for its memory. Raises KernelCompileError."""
        _ = self.executables, self._zeros

    @cached_property
    def executables(self) -> dict[tuple[str, int], MeshExecutable]:
        """The parts of the stages here, ready to run."""
        parts = self.stages.parts.items()
        return {key: self._executable(part) for key, part in parts if self.teams[part.stage].here}

    def _executable(self, part: Part) -> MeshExecutable:
        sums = [self.outs[n] for n in part.results]
        ins, outs = ([*map(self._layout, side), *sums] for side in (part.ins, part.outs))
        program = self.program(part.kind, part.stage)
        return MeshExecutable(self.teams[part.stage], program, ins, outs)

    @cached_property
    def _zeros(self) -> list[MeshExecutable | None]:
        return [self._zeroed(s) if t.here else None for s, t in enumerate(self.teams)]

    def _layout(self, v: Var) -> Layout:
        return self.ins[self.place[v]] if v in self.place else rows(self.ins[0].mesh, v.aval)

    def _zeroed(self, stage: int) -> MeshExecutable:
        """Gives zeros for what a stage sums up."""
        wanted = [self.outs[n] for n in self._summed(stage)]
        slots = tuple(Slot(max(4, -(-x.local_nbytes // 4) * 4), "output") for x in wanted)
        steps = tuple(Fill(n, slot.nbytes) for n, slot in enumerate(slots))
        places = tuple(range(len(slots)))
        program = Program(f"zeros_of_stage_{stage}", (), slots, steps, (), places)
        return MeshExecutable(self.teams[stage], program, (), wanted)

    def _summed(self, stage: int) -> list[int]:
        """The joint outputs that parts of a stage give."""
        return [n for (_, s), part in self.stages.parts.items() if s == stage for n in part.results]

    # --- a step ---

    def run(
        self, inputs: Sequence[Shards | Sequence[Shards | np.ndarray]], actions: Actions,
        clocks: Clocks | None = None,
    ) -> list[Shards]:  # fmt: skip
        """One step: sums of the joint outputs over the micro-batches; those of stages that other
        processes have are without parts. Inputs in `each` are one value a micro-batch. `clocks` are
        told what is done here."""
        step = _Step(self, inputs, clocks)
        for kind, stage, micro in actions:
            if self.teams[stage].here:
                step.act(self.stages.parts[kind, stage], micro)
        if self.links is not None:
            self.links.finish()
        self.record = step.record
        return [step.sums.get(n) or self._elsewhere(n) for n in range(len(self.outs))]

    def foreseen(
        self, actions: Actions, devices: Mapping[int, int] | None = None
    ) -> tuple[int, int]:
        """Bytes that a step takes on so many `devices` of each stage, by default those of this
        process, without running it: the sums that it makes; and the most that values under way take
        at once, with the workspace of all parts, which each keeps from step to step."""
        if devices is None:
            devices = {s: len(team.here) for s, team in enumerate(self.teams)}
        held: dict[tuple[int, Var], int] = {}  # micro-batch, value -> reads to come
        most = 0
        for kind, stage, micro in actions:
            part, count = self.stages.parts[kind, stage], devices.get(stage, 0)
            if not count:
                continue
            read = [(micro, v) for v in part.ins if v not in self.place]
            for key in read:  # what others made arrives now
                held.setdefault(key, self._reads(key[1], devices))
            held.update({(micro, v): n for v in part.outs if (n := self._reads(v, devices))})
            now = sum(self._layout(v).local_nbytes for _, v in held)
            most = max(most, count * now)
            for key in read:
                held[key] -= 1
                if not held[key]:
                    del held[key]
        sums = (count * self.outs[n].local_nbytes
                for s, count in devices.items() for n in self._summed(s))  # fmt: skip
        work = (devices[s] * self._workspace(kind, s)
                for kind, s in self.stages.parts if devices.get(s))  # fmt: skip
        return sum(sums), most + sum(work)

    def _reads(self, v: Var, devices: Mapping[int, int]) -> int:
        """How many parts of stages that have `devices` read a value."""
        return sum(bool(devices.get(r.stage)) for r in self.readers.get(v, ()))

    def shared(self, value: Shards | np.ndarray, place: int, owner: int) -> Shards | np.ndarray:
        """An input, a weight of stage `owner`, where every stage that reads it has it."""
        v = self.graph.ins[place]
        for stage in dict.fromkeys(r.stage for r in self.readers.get(v, ())):
            here, there = self.teams[stage].here, self.teams[owner].here
            if isinstance(value, Shards) and bool(here) != bool(there):
                if there:
                    self.links.send(Held(value, 0.0), stage, self.key(v))
                else:
                    value, _ = self.links.receive(
                        self.ins[place], owner, self.teams[stage], self.key(v)
                    )
        return value

    def key(self, v: Var, micro: int = 0) -> int:
        """What a value is called when it goes to another stage."""
        return micro * len(self.number) + self.number[v]

    def _elsewhere(self, n: int) -> Shards:
        return Shards(self.outs[n], {}, self.teams[self.stages.home[n]])

    def traffic(self, micros: int) -> Traffic:
        """[count, bytes] of the collectives and transfers of one step on the busiest stage."""
        found: Traffic = {}
        for made in self.executables.values():
            for axes, kinds in made.traffic.items():
                for kind, (count, nbytes) in kinds.items():
                    one = found.setdefault(axes, {}).setdefault(kind, [0, 0])
                    one[0] += micros * count
                    one[1] += micros * nbytes
        return found


def own_bytes(program: Program) -> int:
    """What an executable takes beside its arguments and results."""
    return sum(slot.nbytes for slot in program.slots if slot.kind in ("temp", "constant"))


class _Step:
    """The values of one step under way."""

    def __init__(self, pipeline: Pipeline, inputs: Sequence, clocks: Clocks | None) -> None:
        self.pipeline, self.inputs, self.clocks = pipeline, inputs, clocks
        self.values: dict[tuple[int, int, Var], Held] = {}  # micro-batch, stage, value
        self.uses: Counter[tuple[int, int, Var]] = Counter()
        self.sums: dict[int, Shards] = {}
        count = pipeline.stages.count
        self._passed: list[set[int]] = [set() for _ in range(count)]
        self.record = Record([0] * count, {"F": [0, 0], "B": [0, 0]})
        for stage, zeros in enumerate(pipeline._zeros):
            if zeros is not None and zeros.outs:
                places = pipeline._summed(stage)
                self.sums.update(zip(places, zeros.run([]), strict=True))

    def act(self, part: Part, micro: int) -> None:
        """Run one part for one micro-batch."""
        stage = part.stage
        given = [self._value(v, micro, stage) for v in part.ins]
        outs: list[Shards] = []
        if part.outs or part.results:
            made = self.pipeline.executables[part.kind, stage]
            outs = made.run([*(x.value for x in given), *(self.sums[n] for n in part.results)])
            self.sums.update(zip(part.results, outs[len(part.outs) :], strict=True))
        ready = 0.0
        if self.clocks is not None:
            ready = self.clocks.passed(part.kind, stage, micro, [x.ready for x in given])
        for v, value in zip(part.outs, outs, strict=False):
            self._keep(v, Held(value, ready), micro, part)
        for v in part.ins:
            self._used(v, micro, stage)
        if part.kind == "F":
            self._count(stage, micro)

    def _value(self, v: Var, micro: int, stage: int) -> Held:
        """A value that a part reads; inputs are ready from the start."""
        p = self.pipeline
        if v in p.place:
            given = self.inputs[p.place[v]]
            value = given[micro] if p.place[v] in p.each else given
            return Held(_joined(value, p.teams[stage]), 0.0)
        key = micro, stage, v
        if key not in self.values:  # another process made it
            of = p.made[v].stage
            self.values[key] = p.links.receive(p._layout(v), of, p.teams[stage], p.key(v, micro))
        return self.values[key]

    def _keep(self, v: Var, held: Held, micro: int, part: Part) -> None:
        """For each stage that reads it."""
        p = self.pipeline
        for stage in dict.fromkeys(r.stage for r in p.readers.get(v, ())):
            if stage != part.stage:
                one = self.record.handed_on["F" if part.kind == "F" else "B"]
                one[0], one[1] = one[0] + 1, one[1] + held.value.layout.local_nbytes
            if not p.teams[stage].here:
                p.links.send(held, stage, p.key(v, micro))
            else:
                value = _joined(held.value, p.teams[stage])
                self.values[micro, stage, v] = Held(value, held.ready)

    def _used(self, v: Var, micro: int, stage: int) -> None:
        key = micro, stage, v
        if key in self.values:
            self.uses[key] += 1
            if self.uses[key] == sum(r.stage == stage for r in self.pipeline.readers[v]):
                del self.values[key]

    def _count(self, stage: int, micro: int) -> None:
        """The activations that a stage holds after a forward pass: what such passes made or read
        and has not been dropped yet."""
        self._passed[stage].add(micro)
        kept = {m for m, s, v in self.values if s == stage and self.pipeline.made[v].kind == "F"}
        live = self.record.live
        live[stage] = max(live[stage], len(kept & self._passed[stage]))


def _joined(value: Shards | np.ndarray, team: Team) -> Shards | np.ndarray:
    """The value as one of another team on the same adapter: nothing moves."""
    if not isinstance(value, Shards) or value.team is team:
        return value
    return Shards(value.layout, value.parts, team)


def _accumulating(part: Part) -> Graph:
    """The part's graph with a sum for each of its results as further inputs."""
    count, first = len(part.results), len(part.outs)
    sums = part.graph.out_avals[first:]

    def body(*ins: Var) -> list:
        outs = inline(part.graph, ins[: len(ins) - count])
        totals = (a + b for a, b in zip(ins[len(ins) - count :], outs[first:], strict=True))
        return [*outs[:first], *totals]

    return build(body, *part.graph.in_avals, *sums)


__all__ = ["Clocks", "Held", "Links", "Pipeline", "Record", "rows"]
