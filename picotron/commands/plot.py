"""`picotron plot`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Plot:
    """Draw loss, learning rate and speed of runs, over each other."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, or log.jsonl files."""
    out: Path = Path("plot.png")
    """The picture; its suffix says the format."""

    def run(self) -> int:
        from picotron.errors import ConfigError, DataError
        from picotron.plots import plot_runs

        if not self.runs:
            raise ConfigError("name one run folder or more")
        try:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            plot_runs(self.runs, self.out)
        except (OSError, ValueError) as error:
            raise DataError(f"cannot draw {self.out}: {error}") from error
        print(f"wrote {self.out}")
        return 0
