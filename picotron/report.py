"""What a run shows and records: a live panel on a terminal, lines elsewhere, and its sinks.

Invariant: reporting never ends a run; a file that cannot be written costs one printed note.
"""

from __future__ import annotations

import math
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.console import Console

from picotron.dashboard import Dashboard
from picotron.sinks import Record, Sink
from picotron.words import duration, gigabytes, readable

if TYPE_CHECKING:
    from picotron.prepare import Run


class TrainingConsole(Console):
    """A console whose reader may leave (`picotron train | head`) without ending the run."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Reporter:
    """Takes one record per settled step and notes in between; a context manager."""

    def __init__(self, console: Console, start: int, total: int, frequency: int) -> None:
        self.console, self.total, self.frequency = console, total, frequency
        self._sinks: list[Sink] = []
        self._board = Dashboard(console, start, total) if console.is_terminal else None

    @classmethod
    def of(cls, run: Run, console: Console) -> Reporter:
        """That of a run that is about to start."""
        total = run.config.training.total_train_steps
        return cls(console, run.step, total, run.config.logging.log_frequency)

    def __enter__(self) -> Reporter:
        if self._board:
            self._board.open()
        return self

    def __exit__(self, *_: object) -> None:
        if self._board:
            self._board.close()
        for sink in self._sinks:
            with suppress(OSError):
                sink.close()

    def log_to(self, *sinks: Sink) -> None:
        self._sinks += sinks

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def step(self, record: Record, eta: float) -> None:
        """Show one step; every `frequency`-th is written down as well."""
        if self._board:
            self._board.step(record, eta)
        if "learning_rate" in record:
            self.log(record)
            if not self._board:
                self.note(step_line(record, eta))

    def validation(self, step: int, loss: float) -> None:
        if self._board:
            self._board.validation = loss
        self.log({"step": step, "validation_loss": loss})
        self.note(f"[rank 0] Step: {step:<5d} | Validation loss: {loss:.4f}")

    def log(self, record: Record) -> None:
        """Write a record to every sink; one that fails, on a full disk say, costs a note."""
        for sink in list(self._sinks):
            try:
                sink.log(record)
            except OSError as error:
                self.note(f"cannot write {sink}: {error.strerror}; going on without it")
                self._sinks.remove(sink)


def step_line(record: Record, eta: float) -> str:
    """One line per logged step, as picotron prints it and its extract_metrics.py reads it."""
    return (
        f"[rank 0] Step: {record['step']:<5d} | "
        f"Loss: {record['loss']:6.4f} | "
        f"Global batch size: {readable(record['tokens_per_step'])} | "
        f"Tokens/s: {readable(record['tokens_per_second'])} | "
        f"Tokens/s/GPU: {readable(record['tokens_per_second_per_gpu'])} | "
        f"Tokens: {readable(record['tokens'])} | "
        f"MFU: {_percent(record['mfu'])} | "
        f"Memory usage: {gigabytes(record['memory_usage'])} | "
        f"Grad norm: {record['grad_norm']:.3f} | "
        f"Learning rate: {record['learning_rate']:.2e} | "
        f"ETA: {duration(eta)}"
    )


def _percent(number: float) -> str:
    return f"{number:.2f}%" if math.isfinite(number) else "-"


class Clock:
    """Speed and remaining time from a moving average over the last settled steps."""

    def __init__(self, keep: float = 0.9) -> None:
        self._keep = keep
        self._last: float | None = None
        self._paused = False
        self.seconds_per_step = math.nan

    def tick(self) -> None:
        """A step has settled."""
        if self._paused:
            return
        now = time.perf_counter()
        if self._last is not None:
            passed = now - self._last
            old = passed if math.isnan(self.seconds_per_step) else self.seconds_per_step
            self.seconds_per_step = self._keep * old + (1 - self._keep) * passed
        self._last = now

    def pause(self) -> None:
        """The ticks until `skip` are of steps that may long be done: they tell nothing of speed."""
        self._paused = True

    def skip(self) -> None:
        """What follows until the next tick (validation, saving) is no training time."""
        self._last, self._paused = None, False
