"""Why a loss is no longer a number: the failing step again, from the last state that was good.

Invariant: a step depends on the state and its number alone, so running the steps since a checkpoint
(or since the start) again leads to the very same failure, this time with every result checked.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from picotron import checkpoint
from picotron.config import Config
from picotron.prepare import new_state, state_of
from picotron.step import State
from tracer import debug_infs, debug_nans

REPLAYED = 200  # steps that are run again at most


def first_bad_operation(
    config: Config, checkpoints: Path, step: int, train_step: Callable, batches: Callable
) -> str | None:
    """What made step number `step` (from 1) bad, with its line; None if that cannot be found."""
    start = _start(config, checkpoints, step)
    if start is None:
        return None
    done, state = start
    for number in range(done, step - 1):
        state, _ = train_step(state, batches(number))
    with debug_nans(True), debug_infs(True):
        try:
            train_step(state, batches(step - 1))
        except FloatingPointError as error:
            return str(error)
    return None


def _start(config: Config, checkpoints: Path, step: int) -> tuple[int, State] | None:
    """(steps done, state) before the failing step; None if it lies too far back."""
    known = checkpoint.newest(checkpoints) or config.checkpoint.load_path
    if known is None:
        return (0, new_state(config)) if step <= REPLAYED else None
    previous = checkpoint.load_training(Path(known))
    if not 0 <= step - 1 - previous.step < REPLAYED:
        return None
    return previous.step, state_of(checkpoint.load(Path(known)), previous, config)
