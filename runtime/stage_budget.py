"""What the stages of a pipeline compute again, so that each of its devices keeps to a budget.

Invariant: what passes between stages, and in which order, stays as it was, so that a process need
know nothing of what is chosen for stages that others have; the bytes that a choice is made by are
those that `Pipeline.foreseen` tells of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from codegen.budget import fewest, refusal
from codegen.compile import CompileError
from ir.graph import Graph, Var
from ir.passes.recompute import candidates, recompute
from ir.passes.stages import Cut

from .pipeline import Pipeline


@dataclass(frozen=True)
class StageBudget:
    """`limit` bytes of each device for a step whose passes run as `actions` say.

    `rank[s]` has stage s; each of its devices holds `held[rank]` bytes besides what the passes
    take.
    """

    limit: int
    rank: tuple[int, ...]
    held: tuple[int, ...]
    actions: tuple[tuple[str, int, int], ...]

    def stages(self, rank: int) -> list[int]:
        return [s for s, of in enumerate(self.rank) if of == rank]

    def peak(self, pipeline: Pipeline, rank: int) -> int:
        """Bytes of a device of a rank, nothing being run."""
        devices = dict.fromkeys(self.stages(rank), 1)
        return self.held[rank] + sum(pipeline.foreseen(self.actions, devices))

    def name(self, rank: int) -> str:
        own = self.stages(rank)
        numbers = f"stage{'s' if len(own) > 1 else ''} {' and '.join(map(str, own))}"
        return f"each device of {numbers} of the {len(self.rank)} stages"


def within(
    budget: StageBudget, graph: Graph, cut: Cut, made: Callable[[Graph], Pipeline]
) -> Pipeline:
    """The pipeline that is made of a joint graph, or of one that computes as little as possible
    again in the backward passes of each rank that this process has.

    Raises CompileError, which names the stages, where that does not suffice.
    """
    first = made(graph)
    passing, own = cut.places(graph)
    options = [v for v in candidates(graph, passing) if v in own]

    def chosen(rank: int) -> list[Var]:
        mine = [v for v in options if budget.rank[own[v]] == rank]

        def peak(count: int) -> int:
            return budget.peak(made(recompute(graph, mine[:count], passing)), rank)

        found = fewest(len(mine), budget.limit, peak)
        if found.peak > budget.limit:
            raise CompileError(refusal(budget.name(rank), found.peak, budget.limit))
        return mine[: found.count]

    again = [v for r in _short(budget, first) for v in chosen(r)]
    return made(recompute(graph, again, passing)) if again else first


def _short(budget: StageBudget, pipeline: Pipeline) -> Iterator[int]:
    """The ranks of this process that have too little."""
    here = {budget.rank[s] for s, team in enumerate(pipeline.teams) if team.here}
    return (r for r in sorted(here) if budget.peak(pipeline, r) > budget.limit)


__all__ = ["StageBudget", "within"]
