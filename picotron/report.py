"""What a run shows and records: progress on a terminal, lines elsewhere, log.jsonl, loss.png.

Invariant: reporting never ends a run; a file that cannot be written costs one printed note.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

Record = dict[str, Any]


class TrainingConsole(Console):
    """A console whose reader may leave (`picotron train | head`) without ending the run."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Reporter:
    """Takes one record per settled step and notes in between; a context manager."""

    def __init__(self, console: Console, start: int, total: int, frequency: int) -> None:
        self.console, self.total, self.frequency = console, total, frequency
        self._log: Path | None = None
        self._bar = _progress(console) if console.is_terminal else None
        if self._bar:
            fields = {"loss": "", "speed": "", "eta": "compiling"}
            self._task = self._bar.add_task("train", total=total, completed=start, **fields)

    def __enter__(self) -> Reporter:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def log_to(self, path: Path) -> None:
        self._log = path

    def note(self, text: str) -> None:
        """A line that stays."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def step(self, record: Record, eta: float) -> None:
        """Show one step; every `frequency`-th is written down as well."""
        if self._bar:
            self._bar.update(
                self._task,
                completed=record["step"],
                loss=f"loss {record['loss']:.4f}",
                speed=f"{readable(record['tokens_per_second'])} tokens/s",
                eta=f"ETA {duration(eta)}",
            )
        if "learning_rate" in record:
            self.log(record)
            if not self._bar:
                self.note(step_line(record, eta))

    def validation(self, step: int, loss: float) -> None:
        self.log({"step": step, "validation_loss": loss})
        self.note(f"Step: {step:<5d} | Validation loss: {loss:.4f}")

    def log(self, record: Record) -> None:
        """Append to log.jsonl; a full disk turns the log off instead of ending the run.

        JSON has no NaN: what is not a number, such as the speed after one step, is left out.
        """
        if self._log is None:
            return
        known = {key: value for key, value in record.items() if not _is_odd(value)}
        try:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(known, allow_nan=False) + "\n")
        except OSError as error:
            self.note(f"cannot write {self._log}: {error.strerror}; going on without a log")
            self._log = None


def _is_odd(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("step"),
        MofNCompleteColumn(),
        BarColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[speed]}"),
        TextColumn("{task.fields[eta]}"),
        console=console,
    )


def step_line(record: Record, eta: float) -> str:
    """One line per logged step, its first columns in picotron's order."""
    return (
        f"Step: {record['step']:<5d} | "
        f"Loss: {record['loss']:6.4f} | "
        f"Global batch size: {readable(record['tokens_per_step'])} | "
        f"Tokens/s: {readable(record['tokens_per_second'])} | "
        f"Tokens: {readable(record['tokens'])} | "
        f"Grad norm: {record['grad_norm']:.3f} | "
        f"Learning rate: {record['learning_rate']:.2e} | "
        f"ETA: {duration(eta)}"
    )


class Clock:
    """Speed and remaining time from a moving average over the last settled steps."""

    def __init__(self, keep: float = 0.9) -> None:
        self._keep = keep
        self._last: float | None = None
        self.seconds_per_step = math.nan

    def tick(self) -> None:
        """A step has settled."""
        now = time.perf_counter()
        if self._last is not None:
            passed = now - self._last
            old = passed if math.isnan(self.seconds_per_step) else self.seconds_per_step
            self.seconds_per_step = self._keep * old + (1 - self._keep) * passed
        self._last = now

    def skip(self) -> None:
        """What follows until the next tick (validation, saving) is no training time."""
        self._last = None


def readable(number: float) -> str:
    """1234567 -> 1.23M."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.2f}{unit}"
    return "-" if math.isnan(number) else f"{number:.0f}"


def duration(seconds: float) -> str:
    """75 -> 1m15s; a dash while unknown."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
    )


def plot_losses(log: Path, picture: Path) -> None:
    """Draw training and validation loss of a log.jsonl."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    records = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axes = pyplot.subplots(figsize=(8, 5))
    for key, label, style in (
        ("loss", "training", "-"),
        ("validation_loss", "validation", "o-"),
    ):
        points = [(r["step"], r[key]) for r in records if key in r]
        if points:
            axes.plot(*zip(*points, strict=True), style, label=label, markersize=4)
    axes.set(xlabel="step", ylabel="loss (nats per token)", title="LLaMA training")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)
