"""Flags that several verbs share, and what they stand for when they are left out.

Invariant: a flag of one name means the same in every verb that has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from picotron.errors import ConfigError
from picotron.hf_config import Dtype


@dataclass(frozen=True)
class OnAdapter:
    """A command that uses a device."""

    adapter: str | None = None
    """Part of the adapter's name, its backend, or its number in `picotron doctor`."""


ModelFolder = Annotated[Path | None, tyro.conf.arg(aliases=("--ckpt",))]
"""Both names mean the same in every verb: a checkpoint is a model, and a model's folder is one."""


@dataclass(frozen=True)
class WithWeights(OnAdapter):
    """A command that uses a model and leaves it as it is."""

    dtype: Dtype = "float32"
    """How weights are stored on the device; computing is in float32."""


def newest_run(folder: Path = Path("outputs")) -> Path:
    """The run folder under `folder` that was written to last; raises ConfigError."""
    runs = [path.parent for path in folder.glob("*/checkpoints")]
    if not runs:
        raise ConfigError(f"there is no run under {folder}/; name a checkpoint with --ckpt DIR")
    return max(runs, key=lambda run: run.stat().st_mtime)
