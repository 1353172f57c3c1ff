"""`picotron tune`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from picotron.commands.options import OnAdapter
from picotron.device import tuning_path, use_adapter
from picotron.errors import ConfigError


@dataclass(frozen=True)
class Tune(OnAdapter):
    """Measure the tile configurations of kernels on this adapter and write down which are faster
    than those that the rules choose; every later run on it uses them."""

    what: tyro.conf.Positional[Literal["train", "step", "decode", "gemm", "attention", "rows"]] = (
        "train"
    )
    """train: the train step of a run. step, decode, gemm, attention, rows: what `picotron bench` of
    that name runs."""
    config: Path | None = None
    """Of train: the JSON or TOML file that `picotron train` takes. Of step: a JSON file with V, H,
    NH, NKV, L, I, S and B. By default their defaults."""
    seconds: float = 120.0
    """How long kernels are measured, the dearest first."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Of decode and kernels: what weights and arrays are stored as."""
    batch: int = 1
    """Of decode: how many prompts at a time."""
    out: Path | None = None
    """The table to write; by default that of this adapter and driver in the user's cache, which is
    the one that runs read."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        """Measure, and write the table."""
        if self.seconds <= 0 or self.batch < 1:
            raise ConfigError("--seconds and --batch must be greater than 0")
        from picotron.tune import run_tune

        use_adapter(self.adapter)
        say = (lambda text: None) if self.json else (lambda text: print(text, flush=True))
        result = run_tune(self._programs(), self.seconds, tuning_path(self.out), say)
        print(json.dumps(result) if self.json else f"wrote {result['table']}")
        return 0

    def _programs(self) -> Iterator[Any]:
        from picotron import reference, tune
        from picotron.bench import read_shapes

        if self.what == "train":
            return tune.training_run(self.config)
        if self.what == "step":
            return tune.reference_step(read_shapes(self.config) if self.config else reference.SMALL)
        if self.config:
            raise ConfigError(f"--config is of train and step, not of {self.what}")
        if self.what == "decode":
            return tune.decoding(self.dtype, self.batch)
        return tune.kernels(self.what, self.dtype)
