"""Where records go besides the terminal: log.jsonl always, TensorBoard and wandb on request.

Invariant: a package that is asked for and missing is told before a run starts; afterwards no sink
ends a run.
"""

from __future__ import annotations

import importlib.util
import json
import math
import time
from pathlib import Path
from typing import Any, Protocol

from picotron.config import Config
from picotron.config_file import to_dict
from picotron.errors import ConfigError

Record = dict[str, Any]


class Sink(Protocol):
    """Takes records of numbers, each with its `step`."""

    def log(self, record: Record) -> None:
        """May raise OSError: the reporter then goes on without the sink."""

    def close(self) -> None: ...


def check_installed(config: Config) -> None:
    """Raises ConfigError for a sink whose package is missing."""
    asked = ("tensorboard", config.logging.use_tensorboard), ("wandb", config.logging.use_wandb)
    for package, wanted in asked:
        if wanted and importlib.util.find_spec(package) is None:
            raise ConfigError(
                f"logging.use_{package} needs the package {package}: pip install {package}"
            )


def sinks_of(config: Config, folder: Path) -> list[Sink]:
    """What a run in this folder logs to; log.jsonl first."""
    found: list[Sink] = [JsonLines(folder / "log.jsonl")]
    if config.logging.use_tensorboard:
        found.append(TensorBoard(folder / "tensorboard"))
    if config.logging.use_wandb:
        found.append(Wandb(config, folder))
    return found


class JsonLines:
    """One object per line. JSON has no NaN: what is not a number is left out."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def log(self, record: Record) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_finite(record), allow_nan=False) + "\n")

    def close(self) -> None:
        """Each line has been flushed."""


class TensorBoard:
    """Scalars in an event file, by the tensorboard package alone."""

    def __init__(self, folder: Path) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        self.folder = folder
        self._writer = EventFileWriter(str(folder))

    def __str__(self) -> str:
        return str(self.folder)

    def log(self, record: Record) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        pairs = _finite(record).items()
        values = [Summary.Value(tag=n, simple_value=v) for n, v in pairs if n != "step"]
        summary = Summary(value=values)
        self._writer.add_event(Event(wall_time=time.time(), step=record["step"], summary=summary))

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """A run of wandb with picotron's metric names."""

    def __init__(self, config: Config, folder: Path) -> None:
        import wandb

        self._run = wandb.init(
            project=config.logging.project_name,
            name=folder.name,
            dir=str(folder),
            config=to_dict(config),
        )

    def __str__(self) -> str:
        return "wandb"

    def log(self, record: Record) -> None:
        numbers = {n: v for n, v in _finite(record).items() if n not in ("step", "tokens")}
        if "tokens" in record:
            numbers["trained_tokens"] = record["tokens"]
        self._run.log(numbers, step=record["step"])

    def close(self) -> None:
        self._run.finish()


def _finite(record: Record) -> Record:
    odd = (key for key, v in record.items() if isinstance(v, float) and not math.isfinite(v))
    left_out = set(odd)
    return {key: value for key, value in record.items() if key not in left_out}
