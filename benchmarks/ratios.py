"""Every ratio to another library that this machine can measure, in one table.

Invariant: each line is one `picotron bench` run, in which both sides take turns; a library that is
not installed leaves its lines out. `python benchmarks/ratios.py` exits with 1 if a ratio is below
its floor. tinygrad runs on WebGPU where Dawn's library is installed (`pip install dawn-python`).
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

LARGE = {"V": 256, "H": 512, "NH": 8, "NKV": 4, "L": 8, "I": 1408, "S": 256, "B": 4}
TORCH, TINYGRAD, JAX = (0.2, 0.4), (10.0, 20.0), (None, None)


@dataclass(frozen=True)
class Line:
    """A run of `picotron bench`, and the floor and goal of its ratio on a software adapter."""

    what: str
    peer: str
    flags: tuple[str, ...]
    floor: float | None
    goal: float | None


def lines(large: Path) -> Iterator[Line]:
    yield Line("product 512x512x512", "numpy", ("gemm", "--rounds", "9"), 0.2, 0.3)
    for peer, (floor, goal) in {"torch": TORCH, "tinygrad": TINYGRAD, "jax": JAX}.items():
        yield Line("step, small", peer, ("step", "--steps", "17"), floor, goal)
        steps = "3" if peer == "tinygrad" else "5"  # one takes a minute and more
        flags = ("step", "--config", str(large), "--steps", steps)
        yield Line("step, large", peer, flags, floor, goal)


def measured(line: Line) -> dict[str, Any]:
    """What the run printed; of a family of kernels the first case."""
    command = [sys.executable, "-W", "ignore", "-m", "picotron", "bench", *line.flags]
    done = subprocess.run(
        [*command, "--vs", line.peer, "--json"], env=os.environ | webgpu(), check=True,
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found = json.loads(done.stdout.splitlines()[-1])
    return found["cases"][0] if "cases" in found else found


def webgpu() -> dict[str, str]:
    """What makes tinygrad use WebGPU, if it can."""
    spec = importlib.util.find_spec("pydawn")
    folder = Path(spec.submodule_search_locations[0]) if spec else Path()
    found = sorted(folder.glob("lib/libwebgpu_dawn_x86_64.so")) if spec else []
    return {"DEV": "WEBGPU", "WEBGPU_PATH": str(found[0])} if found else {}


def main() -> int:
    """Measure and print."""
    table = Table(title="times as fast as the peer, median (least-most)", box=SIMPLE)
    for head in ("what", "peer", "ours, ms", "peer's, ms", "ratio", "floor", "goal"):
        table.add_column(head)
    short = 0
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder, "large.json")
        large.write_text(json.dumps(LARGE))
        for line in lines(large):
            if importlib.util.find_spec(line.peer) is None:
                print(f"{line.peer} is not installed", file=sys.stderr)
                continue
            r = measured(line)
            short += line.floor is not None and r["ratio"] < line.floor
            spread = f"{r['ratio']:.3g} ({r['ratio_least']:.3g}-{r['ratio_most']:.3g})"
            bounds = ["" if x is None else f"{x:g}" for x in (line.floor, line.goal)]
            times = [f"{r[key]:.4g}" for key in ("ms", "peer_ms")]
            table.add_row(line.what, line.peer, *times, spread, *bounds)
    Console(width=110).print(table)
    return int(short > 0)


if __name__ == "__main__":
    sys.exit(main())
