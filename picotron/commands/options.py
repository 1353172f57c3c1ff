"""Flags that several verbs share, and what they stand for when they are left out.

Invariant: a flag of one name means the same in every verb that has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from picotron.config import DistributedConfig
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


def read_mesh(text: str, **options: Any) -> DistributedConfig:
    """`dp=2,pp=2,cp=2,tp=2`, any of them; raises ConfigError for anything else."""
    sizes: dict[str, int] = {}
    for part in text.replace(" ", "").split(","):
        axis, _, size = part.partition("=")
        if axis not in ("dp", "pp", "cp", "tp") or not size.isdecimal() or axis in sizes:
            raise ConfigError(f"--mesh takes sizes such as dp=2,pp=2,cp=2,tp=2, not {text!r}")
        sizes[axis] = int(size)
    named = {f"{axis}_size": size for axis, size in sizes.items()}
    return DistributedConfig(**named, **{n: v for n, v in options.items() if v is not None})
