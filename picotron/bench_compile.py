"""`picotron bench compile`: the time to the first train step, in one process and in the next.

Invariant: both processes start with empty memory and share a cache folder that is empty before the
first, so the second finds what the first wrote and nothing else: programs, traces and compiled
modules, wherever the environment has Python keep those. Their stages are consecutive
stretches of wall-clock time, from the start of the process to the loss of its first step; only
making the state on the host is left out. The step is given host weights, as the trainer gives them,
so their upload counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from picotron.errors import ConfigError

if TYPE_CHECKING:
    from picotron import reference

STAGES = ("import", "trace", "compile", "first step")
GOALS = {"cold": 8.0, "from cache": 1.5}


def run_compile(shapes: reference.Shapes, adapter: str | None, profile: str | None) -> dict:
    """{"cold" or "from cache": {stage: seconds}} of the reference step of these shapes.

    With `profile`, the name of a limits profile, no device is opened and the stages end with
    "compile". Raises ConfigError with the last line of a process that failed.
    """
    with tempfile.TemporaryDirectory(prefix="picotron-") as folder:
        order = {"shapes": asdict(shapes), "adapter": adapter, "profile": profile}
        return {name: _child(order, folder) for name in GOALS}


def _child(order: dict[str, Any], folder: str) -> dict[str, float]:
    modules = os.path.join(folder, "modules")
    environment = {**os.environ, "PICOTRON_CACHE": folder, "PYTHONPYCACHEPREFIX": modules}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    text = json.dumps({**order, "started": time.time()})
    command = [sys.executable, "-m", "picotron.bench_compile", text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise ConfigError(f"the process that was to be timed failed: {told[-1] if told else ''}")
    return json.loads(done.stdout.splitlines()[-1])


def stages(order: dict[str, Any]) -> dict[str, float]:
    """Run one process's part; returns the seconds of each stage.

    `order` holds the arguments of `run_compile` and "started", the time at which the parent
    started this process (seconds since the epoch).
    """
    from picotron import reference
    from picotron.device import adapter_name, program_of, use_adapter
    from tracer import jit, tree
    from tracer.numpy import asarray

    shapes, marks = reference.Shapes(**order["shapes"]), [order["started"]]
    use_adapter(order["adapter"])
    if order["profile"] is None:
        adapter_name()  # opens the device
    marks.append(time.time())
    step, arguments = reference.abstract_step(shapes)
    lowered = jit(step, donate_argnums=(0,)).lower(*arguments)
    marks.append(time.time())
    if order["profile"] is not None:
        program_of(lowered.graph, order["profile"])
        marks.append(time.time())
    else:
        compiled = lowered.compile()
        marks.append(time.time())
        weights, batch = (
            tree.map(asarray, made(shapes)) for made in (reference.weights, reference.batch)
        )
        state = {"params": weights, "optimizer": reference.optimizer().init(weights)}
        skipped = time.time()
        _, metrics = compiled(state, batch)
        float(metrics["loss"])
        marks.append(marks[-1] + time.time() - skipped)
    pairs = zip(marks[1:], marks, strict=False)
    return dict(zip(STAGES, [round(b - a, 4) for b, a in pairs], strict=False))


def summary(result: dict[str, dict[str, float]]) -> str:
    """One line for each process of a result of `run_compile`: its stages and their sum."""
    lines = []
    for name, found in result.items():
        told = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.items())
        total = sum(found.values())
        lines.append(f"{name:>12}  {told}  together {total:.2f} s (goal: {GOALS[name]:g})")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(stages(json.loads(sys.argv[1]))))
