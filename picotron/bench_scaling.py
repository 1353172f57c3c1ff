"""`picotron bench scaling`: what a train step costs as the model and the batch grow.

Invariant: everything is counted on the compiled program, which is made for the adapter in use but
not run; one size grows at a time, from the same small model.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from picotron import reference
from picotron.device import adapter_name
from tracer import jit

BASE = reference.SMALL
GROWN = {
    "L": (1, 2, 4, 8, 16, 32, 64),
    "B": (1, 2, 4, 8, 16, 32, 64),
    "S": (128, 256, 512, 1024, 2048, 4096, 8192),
}
MEANING = {"L": "layers", "B": "batch", "S": "positions"}
COUNTED = ("dispatches", "kernels", "flops", "nbytes", "peak_bytes")


def run_scaling(grown: dict[str, tuple[int, ...]] | None = None) -> dict[str, Any]:
    """Counts for each size of each axis: {"L": [{"size": 1, "dispatches": ...}, ...], ...}."""
    axes = grown or GROWN
    found = {axis: [_counted(axis, size) for size in sizes] for axis, sizes in axes.items()}
    return {"adapter": adapter_name(), "base": vars(BASE), "axes": found}


def _counted(axis: str, size: int) -> dict[str, Any]:
    base = BASE if axis == "L" else replace(BASE, B=BASE.B if axis == "B" else 1)
    shapes = replace(base, **{axis: size})
    step, arguments = reference.abstract_step(shapes)
    start = time.process_time()
    program = jit(step, donate_argnums=(0,)).lower(*arguments).compile().program
    seconds = time.process_time() - start
    dispatches = program.dispatches
    return {
        "size": size,
        "dispatches": program.dispatch_count,
        "kernels": len(program.kernels),
        "flops": sum(d.flops for d in dispatches),
        "nbytes": sum(d.nbytes for d in dispatches),
        "peak_bytes": program.peak_bytes,
        "compile_cpu_s": seconds,
    }


def exponent(rows: list[dict[str, Any]], key: str) -> float:
    """Over the last doubling: 1 is linear, 0 constant."""
    last, before = rows[-1], rows[-2]
    growth = np.log2(last["size"] / before["size"])
    return float(np.log2(last[key] / before[key]) / growth)


def summary(result: dict[str, Any]) -> str:
    """The counts for people, an axis at a time, with how they grow in the end."""
    lines = []
    for axis, rows in result["axes"].items():
        lines.append(f"{MEANING[axis]:>10}" + "".join(f"{name:>14}" for name in COUNTED))
        lines += [
            f"{row['size']:>10}" + "".join(f"{row[name]:>14.4g}" for name in COUNTED)
            for row in rows
        ]
        if len(rows) > 1:
            powers = "".join(f"{exponent(rows, name):>14.2f}" for name in COUNTED)
            lines += [f"{'power':>10}{powers}", ""]
    return "\n".join(lines)
