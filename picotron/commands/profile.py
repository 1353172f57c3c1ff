"""`picotron profile`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from picotron.commands.options import OnAdapter
from picotron.device import use_adapter
from picotron.errors import ConfigError


@dataclass(frozen=True)
class Profile(OnAdapter):
    """Show where the time of a train step or of decoding goes, and write a trace of it."""

    what: tyro.conf.Positional[Literal["step", "decode"]] = "step"
    """step: the reference train step. decode: a chunk of tokens from the cache."""
    config: Path | None = None
    """Of step: a JSON file with V, H, NH, NKV, L, I, S and B; by default the small reference."""
    steps: int = 3
    """How many to run before the one that is timed kernel by kernel."""
    top: int = 20
    """How many kernels to list."""
    out: Path = Path("profile.json")
    """Where the trace goes; https://ui.perfetto.dev opens it."""

    def run(self) -> int:
        """Run, write the trace and print the table."""
        for name in ("steps", "top"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be greater than 0, not {getattr(self, name)}")
        from picotron import profiling, reference
        from picotron.bench import read_shapes

        shapes = read_shapes(self.config) if self.config else reference.SMALL
        use_adapter(self.adapter)
        if self.what == "step":
            recording = profiling.profile_step(shapes, self.steps)
        else:
            recording = profiling.profile_decode(self.steps)
        try:
            profiling.write_trace(recording, self.out)
        except OSError as error:
            raise ConfigError(f"cannot write {self.out}: {error.strerror}") from error
        profiling.show(recording, self.top)
        print(f"wrote {self.out}")
        return 0
