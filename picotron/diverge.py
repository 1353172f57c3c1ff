"""Losses that are no numbers: what to do about them, and which operation is at fault.

Invariant: a step depends on the state, its batch and nothing else, so running the steps since a
checkpoint (or since the start) again leads to the very same failure, with every result checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from picotron import checkpoint
from picotron.config import Config
from picotron.errors import DivergedError
from picotron.prepare import new_state, state_of
from picotron.step import State
from tracer import debug_infs, debug_nans

REPLAYED = 200  # steps that are run again at most
SKIPPED_IN_A_ROW = 10
ROLLED_BACK_IN_A_ROW = 3


class NotFinite(Exception):
    """A loss, gradient or weight of step `step` is no number; `Trainer` decides what follows."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(what, step)
        self.what, self.step = what, step

    def __str__(self) -> str:
        return self.what


def check_finite(step: int, loss: float, norm: float) -> None:
    """Raises NotFinite."""
    for what, value in (("loss", loss), ("gradient norm", norm)):
        if not math.isfinite(value):
            raise NotFinite(f"the {what} is {value} at step {step}", step)


class Patience:
    """How often a policy may act without progress before a run is given up."""

    def __init__(self, policy: str) -> None:
        self.limit = SKIPPED_IN_A_ROW if policy == "skip" else ROLLED_BACK_IN_A_ROW
        self.acted, self.since = 0, -1

    def act(self, found: NotFinite, since: int) -> None:
        """The policy acts, `since` steps being good; raises DivergedError if it was too often."""
        self.acted = self.acted + 1 if since == self.since else 1
        self.since = since
        if self.acted > self.limit:
            text = f"{found}; {self.limit} times nothing but this followed step {since}"
            raise DivergedError(f"{text}; try a smaller --training.learning-rate")


def first_bad_operation(
    config: Config,
    checkpoints: Path,
    step: int,
    train_step: Callable[[State, Any], tuple[State, Any]],
    batches: Callable[[int], Any],
) -> str | None:
    """What made step number `step` (from 1) bad, with its line; None if that cannot be found."""
    start = _start(config, checkpoints, step)
    if start is None:
        return None
    done, state = start
    for number in range(done, step - 1):
        state, _ = train_step(state, batches(number))
    return bad_operation(train_step, state, batches(step - 1))


def bad_operation(train_step: Callable, state: State, batch: Any) -> str | None:
    """The first operation of a step whose result is no number, with its line, if there is one."""
    with debug_nans(True), debug_infs(True):
        try:
            train_step(state, batch)
        except FloatingPointError as error:
            return str(error)
    return None


def _start(config: Config, checkpoints: Path, step: int) -> tuple[int, State] | None:
    """(steps done, state) before the failing step; None if it lies too far back."""
    known = checkpoint.newest(checkpoints) or config.checkpoint.load_path
    if known is None:
        return (0, new_state(config)) if step <= REPLAYED else None
    found, rest = checkpoint.load_run(Path(known))
    if not 0 <= step - 1 - rest.step < REPLAYED:
        return None
    return rest.step, state_of(found, rest, config)
