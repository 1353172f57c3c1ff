"""Pipeline schedules: which stage does what, in which order, as data.

Invariant: a schedule is a tuple of actions for each rank; nothing here knows of devices or arrays,
so the same lists drive the virtual devices, the processes and the simulator, and the same clocks
tell the time of all of them. Stage s of S lives on rank s % ranks; with more stages than ranks a
rank has several chunks of layers. An action is ("F", stage, micro-batch) or ("B", ...), the whole
backward pass; where that is split, ("I", ...) computes the gradients of a stage's inputs and
("W", ...) those of its weights.

GPipe: Huang et al. 2018. 1F1B: Narayanan et al. 2019. Interleaved: Narayanan et al. 2021. Zero
bubble H1: Qi et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple


class Action(NamedTuple):
    """One pass of one micro-batch through one stage."""

    kind: str  # "F" | "B" | "I" | "W"
    stage: int
    micro: int

    def __str__(self) -> str:
        return f"{self.kind}{self.micro}" + (f"@{self.stage}" if self.stage else "")


Schedule = tuple[tuple[Action, ...], ...]  # for each rank


class ScheduleError(ValueError):
    """A schedule that cannot be made, or that would never end; the message says why."""


def afab(ranks: int, micros: int) -> Schedule:
    """All forward, all backward; as many live activations as there are micro-batches."""
    return tuple(
        tuple(Action(kind, rank, m) for kind in "FB" for m in range(micros))
        for rank in range(ranks)
    )


def one_forward_one_backward(ranks: int, micros: int) -> Schedule:
    """1F1B: a rank runs at most `ranks - rank` micro-batches ahead."""
    return tuple(
        _steady([Action("F", rank, m) for m in range(micros)],
                [Action("B", rank, m) for m in range(micros)],
                min(ranks - rank - 1, micros))
        for rank in range(ranks)
    )  # fmt: skip


def _steady(
    forward: Sequence[Action], backward: Sequence[Action], warm_up: int
) -> tuple[Action, ...]:
    """`warm_up` forward actions, then one forward and one backward by turns, then the rest."""
    done = list(forward[:warm_up])
    for f, b in zip(forward[warm_up:], backward, strict=False):
        done += [f, b]
    return (*done, *backward[len(forward) - warm_up :])


def interleaved(ranks: int, micros: int, chunks: int = 2) -> Schedule:
    """1F1B over `chunks` stages on each rank: a bubble `chunks` times as small.

    Micro-batches go through the chunks in rounds of `ranks`. Raises ScheduleError unless these
    divide the micro-batches.
    """
    if chunks == 1:
        return one_forward_one_backward(ranks, micros)
    if micros % ranks:
        raise ScheduleError(
            f"the interleaved schedule takes micro-batches in rounds of {ranks}, the number of "
            f"pipeline ranks, which does not divide {micros}; "
            f"{micros // ranks * ranks or ranks} or {-(-micros // ranks) * ranks} would do"
        )
    total = micros * chunks

    def action(kind: str, rank: int, n: int) -> Action:
        rounds, within = divmod(n, ranks * chunks)
        chunk, place = divmod(within, ranks)
        chunk = chunk if kind == "F" else chunks - 1 - chunk
        return Action(kind, chunk * ranks + rank, rounds * ranks + place)

    return tuple(
        _steady([action("F", rank, n) for n in range(total)],
                [action("B", rank, n) for n in range(total)],
                min((ranks - rank - 1) * 2 + (chunks - 1) * ranks, total))
        for rank in range(ranks)
    )  # fmt: skip


def zero_bubble(ranks: int, micros: int) -> Schedule:
    """ZB-H1: 1F1B whose backward passes are split; gradients of weights fill the bubbles.

    Rank r puts off as many of them as it needs to keep the memory of 1F1B: `rank` of them.
    """
    found = []
    for rank in range(ranks):
        warm_up, put_off = min(ranks - rank - 1, micros), min(rank, micros)
        actions = [Action("F", rank, m) for m in range(warm_up)]
        weights = 0
        for m in range(micros):
            if warm_up + m < micros:
                actions.append(Action("F", rank, warm_up + m))
            actions.append(Action("I", rank, m))
            if m >= put_off:
                actions.append(Action("W", rank, weights))
                weights += 1
        actions += [Action("W", rank, m) for m in range(weights, micros)]
        found.append(tuple(actions))
    return tuple(found)


SCHEDULES: Mapping[str, Callable[[int, int], Schedule]] = {
    "afab": afab,
    "1f1b": one_forward_one_backward,
    "interleaved": interleaved,
    "zb-h1": zero_bubble,
}
CHUNKS = {"interleaved": 2}  # stages on each rank; elsewhere one


def schedule(name: str, ranks: int, micros: int) -> Schedule:
    """The schedule of this name. Raises ScheduleError for names and sizes that do not exist."""
    if name not in SCHEDULES:
        raise ScheduleError(f"there is no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    if ranks < 1 or micros < 1:
        raise ScheduleError(f"a pipeline of {ranks} ranks and {micros} micro-batches")
    return SCHEDULES[name](ranks, micros)


def stages_of(name: str, ranks: int) -> int:
    """How many stages the layers are cut into."""
    return ranks * CHUNKS.get(name, 1)


# --- what an action waits for ---------------------------------------------------------------------


def needs(action: Action, stages: int) -> list[tuple[str, int, int]]:
    """(kind, stage, micro-batch) that must be done before, on whatever rank; where backward passes
    are split, "B" stands for "I"."""
    kind, stage, m = action
    if kind == "F":
        return [("F", stage - 1, m)] if stage else []
    if kind == "W":
        return [("B", stage, m)]
    return [("F", stage, m), *([("B", stage + 1, m)] if stage + 1 < stages else [])]


# --- time -----------------------------------------------------------------------------------------


Span = tuple[Action, float, float]  # what a rank did, its start and its end


@dataclass(frozen=True)
class Timeline:
    """`spans[rank]` are (action, start, end); `live[rank]` is the most activations held at once."""

    spans: tuple[tuple[Span, ...], ...]
    live: tuple[int, ...]

    @property
    def end(self) -> float:
        return max((span[-1][2] for span in self.spans if span), default=0.0)

    def idle(self, rank: int) -> float:
        """Time that a rank waits, from the start of the step to the end."""
        return self.end - sum(end - start for _, start, end in self.spans[rank])

    @property
    def bubble(self) -> float:
        """Idle time as a share of busy time, averaged over the ranks."""
        busy = sum(end - start for span in self.spans for _, start, end in span)
        return len(self.spans) * self.end / busy - 1.0 if busy else 0.0


# A backward pass takes as long as two forward passes; each of its halves as long as one.
COSTS: Mapping[str, float] = {"F": 1.0, "B": 2.0, "I": 1.0, "W": 1.0}


class Clocks:
    """A logical clock for each rank: it stands still while the rank waits for what an action reads,
    and goes on by what the action takes. They know nothing of schedules: whoever carries actions
    out, or pretends to, says what was done and when what it read was ready.

    With several stages on each rank an action takes its share of a rank's whole forward or
    backward pass.
    """

    def __init__(self, ranks: int, stages: int, costs: Mapping[str, float] = COSTS) -> None:
        self.ranks, self._costs, self._share = ranks, costs, ranks / stages
        self._spans: list[list[Span]] = [[] for _ in range(ranks)]

    def passed(self, kind: str, stage: int, micro: int, ready: Iterable[float]) -> float:
        """An action was carried out on what was ready at these times; when its results are."""
        spans = self._spans[stage % self.ranks]
        start = max([spans[-1][2] if spans else 0.0, *ready])
        end = start + self._costs[kind] * self._share
        spans.append((Action(kind, stage, micro), start, end))
        return end

    def timeline(self) -> Timeline:
        """What has been done so far."""
        return timeline(self._spans)


def timeline(spans: Sequence[Sequence[Span]]) -> Timeline:
    """The timeline of what each rank did."""
    return Timeline(tuple(map(tuple, spans)), tuple(map(_most_held, spans)))


def _most_held(spans: Sequence[Span]) -> int:
    held = most = 0
    for action, _, _ in spans:
        held += (action.kind == "F") - (action.kind in "BW")
        most = max(most, held)
    return most


def simulate(made: Schedule, costs: Mapping[str, float] = COSTS) -> Timeline:
    """Run a schedule without running anything: every action as soon as its rank and what it needs
    allow. Transfers take no time. Raises ScheduleError if ranks wait for each other for ever.
    """
    stages = 1 + max((a.stage for actions in made for a in actions), default=0)
    clocks = Clocks(len(made), stages, costs)
    ends: dict[tuple[str, int, int], float] = {}
    for _, action in order(made):
        ready = [ends[n] for n in needs(action, stages)]
        ends[_done(action)] = clocks.passed(*action, ready)
    return clocks.timeline()


def _done(action: Action) -> tuple[str, int, int]:
    """What others call it when this has been done."""
    return ("B" if action.kind == "I" else action.kind), action.stage, action.micro


def order(made: Schedule) -> list[tuple[int, Action]]:
    """All actions as (rank, action) in an order in which one thread can run them: each rank keeps
    its own order, and nothing comes before what it needs. Raises ScheduleError on a deadlock."""
    stages = 1 + max((a.stage for actions in made for a in actions), default=0)
    done: set[tuple[str, int, int]] = set()
    at, out = [0] * len(made), []
    while any(n < len(actions) for n, actions in zip(at, made, strict=True)):
        ready = [r for r, actions in enumerate(made)
                 if at[r] < len(actions) and _ready(actions[at[r]], stages, done)]  # fmt: skip
        if not ready:
            waiting = [f"rank {r} for {actions[at[r]]}" for r, actions in enumerate(made)
                       if at[r] < len(actions)]  # fmt: skip
            raise ScheduleError(f"the pipeline would wait for ever: {', '.join(waiting)}")
        for rank in ready:
            action = made[rank][at[rank]]
            at[rank] += 1
            done.add(_done(action))
            out.append((rank, action))
    return out


def _ready(action: Action, stages: int, done: set[tuple[str, int, int]]) -> bool:
    return all(one in done for one in needs(action, stages))


# --- which layers a stage has ---------------------------------------------------------------------


def split_layers(layers: int, stages: int) -> list[range]:
    """The layers of each stage; what does not divide goes to the first stages, as in picotron.

    Raises ScheduleError if a stage would have none.
    """
    if stages > layers:
        raise ScheduleError(f"{layers} layers cannot be spread over {stages} pipeline stages")
    base, rest = divmod(layers, stages)
    starts = [s * base + min(s, rest) for s in range(stages + 1)]
    return [range(a, b) for a, b in pairwise(starts)]
