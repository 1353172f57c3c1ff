"""The memory of a pipeline's step, by kind, before there is any.

Invariant: nothing is run or allocated. Values under way are counted as the step will hold them,
part by part in the order of its schedule; weights and what is kept of them as they lie between
steps.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np

from picotron.device import free_memory, text_of_free
from picotron.memory import OTHER, Need, bytes_of
from tracer import ShapeDtypeStruct, eval_shape, tree

if TYPE_CHECKING:
    from picotron.pipeline import PipelineStep

F32 = 4


def need_of_pipeline(step: PipelineStep, processes: int = 1) -> Need:
    """What a step needs where `processes` like this one share the memory. Raises CompileError if a
    device cannot keep to the budget of the run."""
    runner = step.gradients.runner
    sums, passing = runner.foreseen(step.actions)
    parts = dict.fromkeys(_held(step, 0), 0)
    for stage, team in enumerate(runner.teams):
        for kind, size in _held(step, stage).items():
            parts[kind] += len(team.here) * size
    parts |= {"gradients": sums, OTHER: passing}
    free = free_memory()
    total, room = sum(parts.values()), None if free is None else free // processes
    lacking = None
    if room is not None and total > room:
        shared = f", for each of {processes} processes" if processes > 1 else ""
        lacking = f"{text_of_free(room)}{shared}"
    return Need(parts, lacking)


def held_by_ranks(step: PipelineStep) -> list[int]:
    """Bytes that a device of each rank holds of its stages' weights throughout a step."""
    found = [0] * (1 + max(step.rank))
    for stage, rank in enumerate(step.rank):
        found[rank] += sum(_held(step, stage).values())
    return found


def peak_of_rank(step: PipelineStep, rank: int) -> int:
    """The most bytes that a device of a rank takes in a step. Raises CompileError."""
    return step.budget(1).peak(step.gradients.runner, rank)


def _held(step: PipelineStep, stage: int) -> dict[str, int]:
    """Bytes of the weights of a stage on one of its devices, and of what is kept of them."""
    layout, shapes = step.layout, step.own(step.shapes, stage)
    rest = sum(layout.local_size(s, layout.at_rest(p, s)) for p, s in shapes.items())
    moments = sum(layout.local_size(s, layout.moments(p, s)) for p, s in shapes.items())
    used = sum(layout.local_size(s, layout.used(p, len(s))) for p, s in shapes.items())
    copied = 0 if step.copies[stage] is None else np.dtype(step.policy.storage).itemsize
    return {
        "parameters": F32 * rest,
        "optimizer": int(F32 * _moments(step) * moments),
        "average of the weights": F32 * rest * bool(step.config.training.ema_decay),
        "gradients": 0,
        "copies of the weights": copied * used,
    }


def _moments(step: PipelineStep) -> float:
    """Numbers that the optimizer keeps of one weight, on average."""
    flat = {path: ShapeDtypeStruct(shape, np.float32) for path, shape in step.shapes.items()}
    kept = tree.leaves(eval_shape(step.optimizer.init, flat))
    return F32 * sum(prod(x.shape) for x in kept) / bytes_of(step.shapes.values())
