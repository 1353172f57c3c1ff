"""What a terminal shows while a run is under way: the loss so far, speed, time left, memory.

Invariant: it is drawn from the records that the log gets, and holds a bounded number of losses.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from picotron.words import duration, gigabytes, readable

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 64


class Dashboard:
    """A live panel on a console; what is printed meanwhile scrolls above it."""

    def __init__(self, console: Console, start: int, total: int) -> None:
        self.start, self.total = start, total
        self.losses: list[float] = []
        self.stride = 1
        self.last: dict[str, Any] = {}
        self.validation: float | None = None
        self.eta = math.nan
        self._live = Live(self, console=console, refresh_per_second=4)

    def open(self) -> None:
        self._live.start()

    def close(self) -> None:
        self._live.stop()

    def step(self, record: dict[str, Any], eta: float) -> None:
        self.last, self.eta = record, eta
        if record["step"] % self.stride == 0:
            self.losses.append(record["loss"])
        if len(self.losses) > 2 * WIDTH:  # the curve keeps its width, each bar stands for more
            self.losses, self.stride = self.losses[::2], 2 * self.stride

    def __rich__(self) -> Panel:
        done = self.last.get("step", self.start)
        lines, rows = Table.grid(), Table.grid(padding=(0, 3))
        rows.add_row(*self._numbers())
        rows.add_row(*self._speeds())
        lines.add_row(Text(sparkline(self.losses, WIDTH), style="cyan"))
        lines.add_row(ProgressBar(total=self.total, completed=done, width=WIDTH))
        return Panel(Group(lines, rows), title=f"step {done} of {self.total}", width=WIDTH + 24)

    def _numbers(self) -> Sequence[str]:
        if not self.last:
            return ("compiling",)
        known = f"validation {self.validation:.4f}" if self.validation is not None else ""
        return (f"loss {self.last['loss']:.4f}", known, f"norm {self.last['grad_norm']:.3f}")

    def _speeds(self) -> Sequence[str]:
        if not self.last:
            return ("",)
        return (
            f"{readable(self.last['tokens_per_second'])} tokens/s",
            f"ETA {duration(self.eta)}",
            f"{gigabytes(self.last['memory_usage'])} on the device",
        )


def sparkline(values: Sequence[float], width: int) -> str:
    """A row of at most `width` bars, each the mean of its share of the values."""
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    count = min(width, len(finite))
    edges = [len(finite) * i // count for i in range(count + 1)]
    means = [sum(finite[a:b]) / (b - a) for a, b in itertools.pairwise(edges)]
    low, span = min(means), (max(means) - min(means)) or 1.0
    return "".join(BARS[round((mean - low) / span * (len(BARS) - 1))] for mean in means)
