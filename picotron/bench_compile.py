"""`picotron bench compile`: the way to the first train step, in one process and in the next.

Invariant: both processes start with an empty memory and share a cache folder that was empty before
the first, so the second finds what the first has put there and nothing else. Times are by the wall
clock and add up to the life of a process until the loss of its first step is known, less the time
that making the state takes. It is made as the trainer makes it, of weights on the host, whose way
to the device is in the first step, and of an optimizer's zeros.
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
    """Seconds of each stage, cold and from the cache.

    With `profile` no device is needed: the stages end with the kernels' text. Raises ConfigError
    with what a process said that failed.
    """
    with tempfile.TemporaryDirectory(prefix="picotron-") as folder:
        order = {"shapes": asdict(shapes), "adapter": adapter, "profile": profile}
        return {name: _child(order, folder) for name in GOALS}


def _child(order: dict[str, Any], folder: str) -> dict[str, float]:
    environment = {**os.environ, "PICOTRON_CACHE": folder}
    text = json.dumps({**order, "started": time.time()})
    command = [sys.executable, "-m", "picotron.bench_compile", text]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        told = done.stderr.strip().splitlines()
        raise ConfigError(f"the process that was to be timed failed: {told[-1] if told else ''}")
    return json.loads(done.stdout.splitlines()[-1])


def stages(order: dict[str, Any]) -> dict[str, float]:
    """What one process does and how long each part takes."""
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
        skipped = time.time()  # making the state is no part of it
        _, metrics = compiled(state, batch)
        float(metrics["loss"])
        marks.append(marks[-1] + time.time() - skipped)
    pairs = zip(marks[1:], marks, strict=False)
    return dict(zip(STAGES, [round(b - a, 4) for b, a in pairs], strict=False))


def summary(result: dict[str, dict[str, float]]) -> str:
    """A line for each process: its stages and their sum, in seconds."""
    lines = []
    for name, found in result.items():
        told = "  ".join(f"{stage} {seconds:.2f}" for stage, seconds in found.items())
        total = sum(found.values())
        lines.append(f"{name:>12}  {told}  together {total:.2f} s (goal: {GOALS[name]:g})")
    return "\n".join(lines)


if __name__ == "__main__":
    print(json.dumps(stages(json.loads(sys.argv[1]))))
