"""`picotron viz`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from picotron.commands.plan import OnMesh
from picotron.errors import ConfigError


@dataclass(frozen=True)
class Viz(OnMesh):
    """Draw a run on a mesh: parts of weights, collectives of a step, the pipeline's timeline."""

    out: Path = Path("mesh.svg")
    """Where to: an .svg, or an .html page."""

    def run(self) -> int:
        """Write the picture; no device is needed."""
        from picotron import plan, viz
        from picotron.machines import machine

        if self.out.suffix not in (".svg", ".html"):
            raise ConfigError(f"--out must end with .svg or .html, not {self.out.name!r}")
        found = plan.plan(self.run_config(), machine(self.machine))
        text = viz.page(found) if self.out.suffix == ".html" else viz.picture(found)
        try:
            self.out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"cannot write {self.out}: {error.strerror}") from error
        print(f"wrote {self.out}")
        return 0
