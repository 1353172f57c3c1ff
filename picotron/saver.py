"""Saving while training goes on: copies on the device's queue, files in a thread.

Invariant: `start` waits for nothing; what it saves is the state at that moment, though the next
step overwrites its buffers. One checkpoint is under way at a time, and only the thread of the
caller is ever told of a failure, by `poll` or `wait`. Of the processes of a job each writes what is
its own (`joint`); they call all of this at the same steps, and are told the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, joint, launch
from picotron.checkpoint import Snapshot, TrainingState
from picotron.config import Config
from picotron.diverge import NotFinite
from picotron.errors import CheckpointError
from picotron.tokenizer import Tokenizer
from tracer import Array, tree

UNDER_WAY = "under way"


@dataclass
class Saver:
    """Writes the checkpoints of one run to `folder`, prunes them, and keeps the best."""

    folder: Path
    config: Config
    tokenizer: Tokenizer
    done: int = -1
    """The step of the last checkpoint that is complete."""
    seconds: float = 0.0
    """How long callers were kept by the last checkpoint, from `start` to its end."""
    _reads: tuple[TrainingState, Any] | None = None
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))
    _writing: Future | None = None
    _parts: Snapshot | None = None
    """What is still to be completed of a checkpoint of which each process writes its part."""

    def start(self, state: dict[str, Any], rest: TrainingState) -> None:
        """Begin to save `state`; a checkpoint still under way is waited for first."""
        self.wait()
        begin = time.perf_counter()
        # The copies are queued behind the step that computes the state, before the next one.
        reads = tree.map(_start_read, state) if launch.alone() else joint.start_reads(state)
        self._reads = rest, reads
        self.seconds = time.perf_counter() - begin

    @property
    def reading(self) -> bool:
        """Whether a state is still on its way to the host."""
        return self._reads is not None

    def poll(self, settled: int) -> None:
        """Go on as far as is possible without waiting, once step `settled` is known to have ended.

        Raises CheckpointError or NotFinite if the checkpoint before could not be written.
        """
        if self._reads is not None and self._reads[0].step < settled:
            self._hand_over()
        if self._writing is not None:
            self._go_on(wait=False)

    def wait(self) -> None:
        """Until nothing is under way; raises as `poll` does."""
        if self._reads is not None:
            self._hand_over()
        while self._writing is not None:
            self._go_on(wait=True)

    def drop(self, bad: int) -> None:
        """Finish what was under way when step `bad` went wrong, but save nothing it has touched."""
        if self._reads is not None and self._reads[0].step >= bad:
            self._reads = None
        with suppress(NotFinite):
            self.wait()

    def close(self) -> None:
        """Let the thread end; what it is writing is written."""
        self._reads = None
        self._thread.shutdown()

    def path(self) -> Path:
        """The last complete checkpoint."""
        return self.folder / checkpoint.name_of(self.done)

    def _hand_over(self) -> None:
        begin = time.perf_counter()
        (rest, reads), self._reads = self._reads, None
        state = tree.map(lambda read: read(), reads)
        others = {name: part for name, part in state.items() if name != "params"}
        saved = checkpoint.snapshot(state["params"], self.tokenizer, replace(rest, state=others))
        if launch.alone():
            self._writing = self._thread.submit(self._write, saved)
        else:
            self._parts = joint.without_arrays(saved)
            self._writing = self._thread.submit(self._write_part, saved)
        self.seconds += time.perf_counter() - begin

    def _go_on(self, wait: bool) -> None:
        """See to what the thread has done, once all processes are as far."""
        if launch.alone() and not (wait or self._writing.done()):
            return
        told = launch.told_by_all(_outcome(self._writing, wait))
        if UNDER_WAY in told:
            return
        parts, self._writing, self._parts = self._parts, None, None
        for error in told:
            if isinstance(error, Exception):
                if parts and launch.leads():
                    checkpoint.discard(self.folder, parts.rest.step)
                raise error
        if parts is None:
            self.done = told[0]
        else:
            self._writing = self._thread.submit(self._complete, parts, told)

    # --- in the thread ---

    def _write(self, saved: Snapshot) -> int:
        _check_finite(saved)
        checkpoint.save(self.folder, saved)
        return self._pruned(saved)

    def _write_part(self, saved: Snapshot) -> joint.Written:
        _check_finite(saved)
        return joint.write(self.folder, saved, launch.world().rank)

    def _complete(self, saved: Snapshot, parts: list[joint.Written]) -> int:
        if not launch.leads():
            return saved.rest.step
        joint.complete(self.folder, saved, parts)
        return self._pruned(saved)

    def _pruned(self, saved: Snapshot) -> int:
        limit = self.config.checkpoint.save_total_limit
        checkpoint.prune(self.folder, limit, also=checkpoint.best(self.folder))
        return saved.rest.step


def _check_finite(saved: Snapshot) -> None:
    for name, weight in saved.params.items():
        if not all(np.isfinite(part.data).all() for part in weight.parts):
            what = f"{name} is no longer finite after step {saved.rest.step}"
            raise NotFinite(what, saved.rest.step)


def _outcome(writing: Future, wait: bool) -> Any:
    """What a thread gave, or the failure that all are told of."""
    if not (wait or writing.done()):
        return UNDER_WAY
    try:
        return writing.result()
    except (CheckpointError, NotFinite) as error:
        return error


def _start_read(leaf: Any) -> Callable[[], np.ndarray]:
    return leaf.start_read() if isinstance(leaf, Array) else lambda: np.asarray(leaf)
