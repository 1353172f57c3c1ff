"""`picotron verify-checkpoint`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class VerifyCheckpoint:
    """Compare the files of checkpoints with what was saved; names every one that is damaged."""

    path: tyro.conf.Positional[Path]
    """A checkpoint, or a run folder for all of its checkpoints."""

    def run(self) -> int:
        from picotron import checkpoint
        from picotron.errors import CheckpointError

        folders = checkpoint.saved(self.path / "checkpoints") or checkpoint.saved(self.path)
        if not folders:
            folders = [self.path]
        if not any((folder / checkpoint.MANIFEST).exists() for folder in folders):
            raise CheckpointError(f"{self.path} holds no checkpoint with a {checkpoint.MANIFEST}")
        found = {folder: checkpoint.problems(folder) for folder in folders}
        for folder, problems in found.items():
            for line in problems or [f"{folder} is intact"]:
                print(line)
        return 1 if any(found.values()) else 0
