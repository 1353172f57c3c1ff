"""The memory of a pipeline's step on the devices of one process, by kind, before there is any.

Invariant: nothing is run or allocated. Values under way are counted as the step will hold them,
part by part in the order of its schedule; weights and what is kept of them as they lie between
steps.
"""

from __future__ import annotations

from math import prod

import numpy as np

from picotron.device import free_memory, text_of_free
from picotron.memory import OTHER, Need, bytes_of
from picotron.pipeline import PipelineStep
from tracer import ShapeDtypeStruct, eval_shape, tree

F32 = 4


def need_of_pipeline(step: PipelineStep, processes: int = 1) -> Need:
    """What a step needs where `processes` like this one share the memory."""
    sums, passing = step.gradients.runner.foreseen(step.actions)
    rest = _held(step, "at_rest")
    parts = {
        "parameters": F32 * rest,
        "optimizer": int(F32 * _moments(step) * _held(step, "moments")),
        "average of the weights": F32 * rest * bool(step.config.training.ema_decay),
        "gradients": sums,
        "copies of the weights": np.dtype(step.policy.storage).itemsize * _held(step, "used"),
        OTHER: passing,
    }
    free = free_memory()
    total, room = sum(parts.values()), None if free is None else free // processes
    lacking = None
    if room is not None and total > room:
        shared = f", for each of {processes} processes" if processes > 1 else ""
        lacking = f"{text_of_free(room)}{shared}"
    return Need(parts, lacking)


def _held(step: PipelineStep, lies: str) -> int:
    """Elements of the weights of the stages here, on all of their devices, as they lie."""
    found, layout = 0, step.layout
    for stage, team in enumerate(step.gradients.runner.teams):
        if not team.here or (lies == "used" and step.copies[stage] is None):
            continue
        for path, shape in step.own(step.shapes, stage).items():
            spec = layout.used(path, len(shape)) if lies == "used" else None
            spec = spec or getattr(layout, lies)(path, shape)
            found += len(team.here) * layout.local_size(shape, spec)
    return found


def _moments(step: PipelineStep) -> float:
    """Numbers that the optimizer keeps of one weight, on average."""
    flat = {path: ShapeDtypeStruct(shape, np.float32) for path, shape in step.shapes.items()}
    kept = tree.leaves(eval_shape(step.optimizer.init, flat))
    return F32 * sum(prod(x.shape) for x in kept) / bytes_of(step.shapes.values())
