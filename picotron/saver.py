"""Saving while training goes on: copies on the device's queue, files in a thread.

Invariant: `start` waits for nothing; what it saves is the state at that moment, though the next
step overwrites its buffers. One checkpoint is under way at a time, and only the thread of the
caller is ever told of a failure, by `poll` or `wait`.
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

from picotron import checkpoint
from picotron.checkpoint import TrainingState
from picotron.config import Config
from picotron.diverge import NotFinite
from picotron.launch import leads
from picotron.model import flatten
from picotron.tokenizer import Tokenizer
from tracer import Array, tree


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

    def start(self, state: dict[str, Any], rest: TrainingState) -> None:
        """Begin to save `state`; a checkpoint still under way is waited for first."""
        self.wait()
        begin = time.perf_counter()
        # The copies are queued behind the step that computes the state, before the next one.
        self._reads = rest, tree.map(_start_read, state)
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
        if self._writing is not None and self._writing.done():
            self._finish()

    def wait(self) -> None:
        """Until nothing is under way; raises as `poll` does."""
        if self._reads is not None:
            self._hand_over()
        if self._writing is not None:
            self._finish()

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
        self._writing = self._thread.submit(self._write, state, rest)
        self.seconds += time.perf_counter() - begin

    def _finish(self) -> None:
        writing, self._writing = self._writing, None
        self.done = writing.result()

    def _write(self, state: dict[str, Any], rest: TrainingState) -> int:
        if not leads():
            return rest.step  # one process of a job writes for all
        for name, weight in flatten(state["params"]).items():
            if not np.isfinite(weight).all():
                what = f"{name} is no longer finite after step {rest.step}"
                raise NotFinite(what, rest.step)
        others = {name: part for name, part in state.items() if name != "params"}
        rest = replace(rest, state=others)
        saved = checkpoint.snapshot(state["params"], self.tokenizer, rest)
        checkpoint.save(self.folder, saved)
        limit = self.config.checkpoint.save_total_limit
        checkpoint.prune(self.folder, limit, also=checkpoint.best(self.folder))
        return rest.step


def _start_read(leaf: Any) -> Callable[[], np.ndarray]:
    return leaf.start_read() if isinstance(leaf, Array) else lambda: np.asarray(leaf)
