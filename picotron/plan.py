"""What a run would need of many devices, without having any: memory, traffic, time.

Invariant: what a step sends is counted in the per-device graphs that the trainer would run, those
of each stage of a pipeline among them. What it computes and keeps is counted in the program that
the compiler makes of one and of two layers, and continued to all layers, in which it is linear.
Nothing is allocated and no device is asked; what cannot be counted is `Machine`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

from codegen.budget import fewest, prices, up_to
from codegen.compile import CompileError, foreseen
from codegen.profile import H100
from codegen.program import Program, sum_over
from picotron import model, schedules
from picotron.config import Config
from picotron.errors import ConfigError
from picotron.machines import Machine, busiest
from picotron.parallel import layout_of, step_of
from picotron.pipeline import Traffic, add_traffic
from picotron.sharding import DATA
from picotron.validate import padded
from tracer.spmd import OneDevice

# Planning is not bound by one adapter.
PROFILE = replace(H100, name="plan", binding_bytes=1 << 40, storage_buffers=1 << 10)
F32 = 4
WORKING = "activations and workspace"


@dataclass(frozen=True)
class Counted:
    """One step of one device: arithmetic, seconds by the roof, temporary bytes."""

    flops: float
    seconds: float
    temporary: float

    def continued(self, more: Counted, steps: float) -> Counted:
        """So many steps on, of which `more` is the first: more layers, or a share of one."""

        def line(name: str) -> float:
            one, two = getattr(self, name), getattr(more, name)
            return one + (two - one) * steps

        return Counted(line("flops"), line("seconds"), line("temporary"))


@dataclass(frozen=True)
class Plan:
    """A run on a mesh: bytes by kind of the busiest device, traffic, seconds of a step.

    `ranks` has what a device of each rank of a pipeline sends, alone of one rank without stages. In
    a search it is of one rank that has the embedding and the head as well, as every rank does.
    `seconds` are those of the busiest rank, each of `ranks` by itself; bubbles come on top.
    """

    config: Config
    machine: Machine
    memory: dict[str, int]
    ranks: tuple[Traffic, ...]
    bubble: float
    seconds: dict[str, float]  # compute, one entry for the axes of each collective, bubble
    step: float
    tokens: int
    parameters: int
    again: float = 0.0
    """Operations that are done a second time to fit a budget, as a share of the others."""

    @property
    def traffic(self) -> Traffic:
        """What a device of each rank sends, added up, as a run reports it."""
        found: Traffic = {}
        for one in self.ranks:
            add_traffic(found, one)
        return found

    @property
    def bytes(self) -> int:
        return sum(self.memory.values())

    @property
    def fits(self) -> bool:
        return self.bytes <= self.machine.memory

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.step

    @property
    def mfu(self) -> float:
        """Model FLOPs utilisation, (6 N + 12 L H S) a token, as picotron counts it."""
        m, devices = self.config.model, self.config.distributed.world_size
        attention = 12 * m.num_hidden_layers * m.hidden_size * self.config.training.seq_length
        rate = self.tokens_per_second * (6 * self.parameters + attention)
        return rate / (devices * self.machine.peak)


def plan(config: Config, machine: Machine, exact: bool = True) -> Plan:
    """What `config` would take on `machine`. Raises ConfigError listing every size at odds, or if
    all that can be computed again does not bring a device within the memory budget of the run.

    Unless `exact`, the traffic too is continued from one and two layers. Only the number of buckets
    is not linear in layers, so that bytes stay right and a few collectives more or less are told.
    """
    parts = config.distributed.tp_size
    config = replace(config, model=padded(config.model, parts))
    problems = list(mismatches(config))
    if problems:
        raise ConfigError("the mesh does not fit the run:\n  " + "\n  ".join(problems))
    d, t = config.distributed, config.training
    layers = _layers(config)
    micros = t.gradient_accumulation_steps
    timeline = schedules.simulate(schedules.schedule(d.pp_engine, d.pp_size, micros))
    traffic, first = _counted(config, layers, machine, exact)

    def memory(counted: Counted) -> dict[str, int]:
        return _memory(config, layers, counted, max(timeline.live), machine)

    counted, gathers = _within(
        config, layers, machine, first, lambda c: sum(memory(c).values()), exact
    )
    ranks = (traffic,)
    if d.pp_size > 1 and exact:
        ranks = tuple(_scaled(one, machine) for one in _of_ranks(_in_f32(config)))
    elif d.pp_size > 1:
        size = t.micro_batch_size * t.seq_length // d.cp_size * config.model.hidden_size
        traffic["pp"] = {"send": [2 * micros, 2 * micros * size * machine.itemsize]}
    for one in ranks:
        add_traffic(one, gathers)
    seconds = {"compute": first.seconds}
    if counted is not first:
        seconds["computed again"] = counted.seconds - first.seconds
    seconds.update(busiest(config.distributed, machine, ranks))
    data = sum(s for axes, s in seconds.items() if set(axes.split(",")) <= set(DATA))
    busy = sum(seconds.values()) - data
    seconds["bubble"] = busy * timeline.bubble
    step = busy + seconds["bubble"] + data * (1 - machine.overlap)
    return Plan(
        config, machine, memory(counted), ranks, timeline.bubble, seconds, step,
        t.tokens_per_step * d.dp_size, model.parameter_count(config.model),
        counted.flops / first.flops - 1,
    )  # fmt: skip


def mismatches(config: Config) -> Iterator[str]:
    """A sentence for each size that the mesh does not divide."""
    d, t = config.distributed, config.training
    yield from layout_of(d).problems(config.model, t.micro_batch_size * d.dp_size, t.seq_length)
    try:
        _layers(config)
        schedules.schedule(d.pp_engine, d.pp_size, t.gradient_accumulation_steps)
    except schedules.ScheduleError as error:
        yield str(error)


def _layers(config: Config) -> int:
    """Layers of the device that has the most."""
    d = config.distributed
    stages = schedules.stages_of(d.pp_engine, d.pp_size) if d.pp_size > 1 else 1
    chunks = schedules.split_layers(config.model.num_hidden_layers, stages)
    return max(sum(map(len, chunks[rank :: d.pp_size])) for rank in range(d.pp_size))


# --- counting -------------------------------------------------------------------------------------


def _counted(config: Config, layers: int, machine: Machine, exact: bool) -> tuple[Traffic, Counted]:
    """What a device with this many layers sends and does, if it has the embedding and the head as
    well, which a pipeline has on its first and last."""
    of = partial(_of_layers, config)

    def counted(count: int) -> Counted:
        return _read(_program(of(count)), machine)

    if layers < 3:
        return _scaled(_one_device(of(layers)).traffic, machine), counted(layers)
    if exact:
        sent = _one_device(of(layers)).traffic
    else:
        sent = _continued(*(_one_device(of(n)).traffic for n in (1, 2)), layers)
    return _scaled(sent, machine), counted(1).continued(counted(2), layers - 1)


def _of_layers(config: Config, count: int) -> Config:
    """The run without stages, of so many layers."""
    mesh = replace(config.distributed, pp_size=1, pp_engine="1f1b")
    shape = replace(config.model, num_hidden_layers=count)
    training = replace(config.training, precision="f32", memory_budget=None)
    return replace(config, distributed=mesh, model=shape, training=training)


def _in_f32(config: Config) -> Config:
    return replace(config, training=replace(config.training, precision="f32"))


@lru_cache(maxsize=64)
def _of_ranks(config: Config) -> tuple[Traffic, ...]:
    """What a device of each rank of a pipeline sends, for all of its stages."""
    step, depth = step_of(config), config.distributed.pp_size
    found: tuple[Traffic, ...] = tuple({} for _ in range(depth))
    for stage in range(step.count):
        add_traffic(found[stage % depth], step.sent(stage))
    return found


def _within(
    config: Config, layers: int, machine: Machine, first: Counted,
    size: Callable[[Counted], int], exact: bool,
) -> tuple[Counted, Traffic]:  # fmt: skip
    """What a device does to keep to the memory budget of a run, and what it gathers again; `first`
    without one. Raises ConfigError if it cannot.

    As the compiler does, the cheapest is computed again; of what costs the same in all layers, in
    as many of them as it takes, which two and three layers tell of the others. Unless `exact`, all
    costs the same.
    """
    budget = config.training.budget
    if not budget or size(first) <= budget:
        return first, {}
    runs = [_of_layers(config, n) for n in ((layers,) if layers < 4 else (2, 3))]
    steps = prices(_one_device(runs[0]).sharded.graph)[0 if exact else -1 :]

    def at(count: int) -> Counted:
        if not count:
            return first
        found = [_read(_program(run, steps[count - 1]), machine) for run in runs]
        return found[0].continued(found[-1], layers - 2) if len(found) > 1 else found[0]

    best = fewest(len(steps), budget, lambda n: size(at(n)))
    if best.peak > budget:
        raise ConfigError(
            f"each device needs {best.peak / 1e9:.3g} GB even if all that can be is computed "
            f"again, and the memory budget is {budget / 1e9:.3g} GB; take a smaller --mbs, or more "
            "--tp or --pp"
        )
    less = at(best.count - 1)
    over = max(size(less) - budget, 0)
    counted = less.continued(at(best.count), over / max(size(less) - best.peak, 1))
    return counted, _gathered_again(runs, steps[best.count - 1], layers, machine)


def _gathered_again(runs: Sequence[Config], price: float, layers: int, machine: Machine) -> Traffic:
    """What is sent beside the traffic of a step if all up to a price is computed again."""
    sides = [[_one_device(run, p).traffic for run in runs] for p in (None, price)]
    if len(runs) > 1:
        sides = [[_continued(*side, layers - 1)] for side in sides]
    (less,), (more,) = sides
    found: Traffic = {}
    for axes, kinds in more.items():
        for kind, all_ in kinds.items():
            once = less.get(axes, {}).get(kind, [0, 0])
            extra = [a - b for a, b in zip(all_, once, strict=True)]
            if extra[0]:
                found.setdefault(axes, {})[kind] = extra
    return _scaled(found, machine)


def _continued(one: Traffic, two: Traffic, layers: int) -> Traffic:
    """The traffic at `layers` layers from that at one and at two."""
    found: Traffic = {}
    for axes, kinds in two.items():
        for kind, more in kinds.items():
            less = one.get(axes, {}).get(kind, [0, 0])
            line = [a + (b - a) * (layers - 1) for a, b in zip(less, more, strict=True)]
            found.setdefault(axes, {})[kind] = line
    return found


@lru_cache(maxsize=64)
def _traced(config: Config) -> OneDevice:
    """What a device of the trainer runs."""
    return step_of(config).one_device()


@lru_cache(maxsize=64)
def _one_device(config: Config, price: float | None = None) -> OneDevice:
    """That, if all that costs so much at most is computed again."""
    one = _traced(config)
    if price is None:
        return one
    graph = up_to(one.sharded.graph, price)
    return replace(one, sharded=replace(one.sharded, graph=graph))


@lru_cache(maxsize=64)
def _program(config: Config, price: float | None = None) -> Program:
    one = _one_device(config, price)
    try:
        return foreseen(one.sharded.graph, PROFILE, one.donate)
    except CompileError as error:
        raise ConfigError(f"this run cannot be compiled for any adapter: {error}") from error


def _read(program: Program, machine: Machine) -> Counted:
    scale, peak = machine.itemsize / F32, machine.peak * machine.efficiency

    def roof(step: Any) -> float:
        return max(step.flops / peak, step.nbytes * scale / machine.bandwidth)

    temporary = program.bytes_by_kind().get("temp", 0) * scale
    return Counted(program.flops, sum_over(program.steps, roof), temporary)


def _scaled(traffic: Traffic, machine: Machine) -> Traffic:
    """Counted in float32, sent in what the machine computes in."""
    scale = machine.itemsize / F32
    return {
        axes: {kind: [n, int(size * scale)] for kind, (n, size) in kinds.items()}
        for axes, kinds in traffic.items()
    }


# --- memory ---------------------------------------------------------------------------------------


def _memory(
    config: Config, layers: int, counted: Counted, live: int, machine: Machine
) -> dict[str, int]:
    """Bytes by kind on the device that has the most. Pipelines hold the activations of `live`
    micro-batches in their first stage."""
    lay, shape = layout_of(config.distributed), replace(config.model, num_hidden_layers=layers)
    shapes = model.parameter_shapes(shape)
    at_rest = sum(lay.local_size(s, lay.at_rest(p, s)) for p, s in shapes.items())
    moments = sum(lay.local_size(s, lay.moments(p, s)) for p, s in shapes.items())
    small = machine.itemsize < F32
    activations = max(counted.temporary - at_rest * machine.itemsize, 0.0)
    return {
        "parameters": at_rest * machine.itemsize,
        "gradients": at_rest * machine.itemsize,
        "optimizer": moments * F32 * (2 + small),
        WORKING: int(activations * live),
    }


# --- searching ------------------------------------------------------------------------------------


def search(config: Config, machine: Machine, devices: int) -> list[Plan]:
    """Plans of every mesh of `devices` that the run divides over and that fit in memory, the
    fastest first; their traffic is not `exact`. cp stays as configured. Micro-batches are shared
    out so that the tokens of a step stay those of `config` on one device. A mesh that does not fit
    as it is keeps to the machine's memory, or the budget of the run, by computing again."""
    room = int(machine.memory)
    room = min(room, config.training.budget or room)
    plans = (_fitting(one, machine, room) for one in _meshes(config, machine, devices))
    return sorted((p for p in plans if p is not None), key=lambda p: p.step)


def _fitting(config: Config, machine: Machine, room: int) -> Plan | None:
    """The plan of a mesh whose devices take no more than `room`; None if there is none."""
    free = replace(config, training=replace(config.training, memory_budget=None))
    found = plan(free, machine, exact=False)
    if found.bytes <= room:
        return found
    if found.bytes - found.memory[WORKING] > room:
        return None
    within = replace(config.training, memory_budget=str(room))
    try:
        return plan(replace(config, training=within), machine, exact=False)
    except ConfigError:
        return None


def _meshes(config: Config, machine: Machine, devices: int) -> Iterator[Config]:
    d, t = config.distributed, config.training
    sequences = t.micro_batch_size * t.gradient_accumulation_steps * d.dp_size
    for tp in _divisors(min(machine.devices_per_node, devices)):
        for pp in _divisors(devices // tp // d.cp_size):
            dp, rest = divmod(devices, tp * pp * d.cp_size)
            if rest or sequences % (dp * t.micro_batch_size):
                continue
            micros = sequences // (dp * t.micro_batch_size)
            mesh = replace(d, tp_size=tp, pp_size=pp, dp_size=dp, sp=tp > 1, zero1=False)
            run = replace(t, gradient_accumulation_steps=micros)
            for fsdp in (False, True)[: 1 + (dp > 1 and pp == 1)]:
                one = replace(config, distributed=replace(mesh, fsdp=fsdp), training=run)
                rows = replace(one, model=padded(one.model, tp))
                if not any(mismatches(rows)):
                    yield one


def _divisors(number: int) -> list[int]:
    return [n for n in range(1, number + 1) if number % n == 0]
