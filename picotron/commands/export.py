"""`picotron export`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from picotron.commands.options import ModelFolder, newest_run
from picotron.hf_config import Dtype
from picotron.words import size_in_bytes


@dataclass(frozen=True)
class Export:
    """Write a model as a folder that Hugging Face's transformers loads."""

    folder: tyro.conf.Positional[Path]
    """The new folder."""
    model: ModelFolder = None
    """A checkpoint, run or Hugging Face folder; by default the newest run under outputs/."""
    dtype: Dtype | None = None
    """How weights are stored; by default as they are."""
    max_shard_size: str = "5GB"
    """The most bytes in one file of weights; more make several, with an index."""

    def run(self) -> int:
        from picotron.export import export
        from picotron.pretrained import open_folder

        limit = size_in_bytes(self.max_shard_size, "--max-shard-size")
        for path in export(open_folder(self.model or newest_run()), self.folder, self.dtype, limit):
            print(f"wrote {path} ({path.stat().st_size:,} bytes)")
        return 0
