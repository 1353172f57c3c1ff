"""Pictures of runs from their logs: loss, learning rate and speed, several runs over each other.

Invariant: a log is read as far as it goes. A step that was done twice, because a run went back to a
checkpoint, counts as it was done last, and half a line at the end is ignored.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from picotron.errors import DataError

PANELS = (
    ("loss (nats per token)", (("loss", "-"), ("validation_loss", "o--"))),
    ("learning rate", (("learning_rate", "-"),)),
    ("tokens per second", (("tokens_per_second", "-"),)),
)


def read_log(log: Path) -> list[dict[str, Any]]:
    """The records of a log.jsonl by step; raises DataError."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise DataError(f"cannot read {log}: {error.strerror}") from error
    kept: dict[tuple[int, bool], dict[str, Any]] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            key = record["step"], "validation_loss" in record
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise DataError(f"{log}: line {number} is no record of a step") from error
        kept.pop(key, None)
        kept[key] = record
    return sorted(kept.values(), key=lambda record: record["step"])


def log_of(run: Path) -> Path:
    """The log of a run folder, or the file itself."""
    return run / "log.jsonl" if run.is_dir() else run


def plot_runs(runs: Sequence[Path], picture: Path) -> None:
    """Write a PNG (or what the suffix says) of one or more run folders; raises DataError."""
    records = {run.name or str(run): read_log(log_of(run)) for run in runs}
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(PANELS), figsize=(15, 4.5))
    for panel, (title, curves) in zip(axes, PANELS, strict=True):
        for color, (name, found) in enumerate(records.items()):
            _draw(panel, name, found, curves, f"C{color}")
        panel.set(xlabel="step", title=title)
        panel.grid(alpha=0.3)
    axes[0].legend()
    figure.tight_layout()
    figure.savefig(picture, dpi=120)
    pyplot.close(figure)


def _draw(panel: Any, name: str, records: list[dict], curves: Sequence, color: str) -> None:
    for key, style in curves:
        points = [(r["step"], r[key]) for r in records if key in r]
        if points:
            label = f"{name} {key.replace('_', ' ')}"
            panel.plot(*zip(*points, strict=True), style, label=label, color=color, markersize=4)
