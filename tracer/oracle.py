"""The numpy backend: programs are graphs, buffers are numpy arrays.

Invariant: obeys the contract of `jit.DeviceExecutable`, so everything above it runs unchanged on a
machine without an adapter; slow, and the reference for what is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ir import evaluate
from ir.graph import Aval, Graph


class OracleExecutable:
    """Runs a graph by `ir.evaluate`."""

    program = None

    def __init__(self, graph: Graph, donate: Sequence[tuple[int, int]], name: str) -> None:
        self.graph, self.donate, self.name = graph, tuple(donate), name

    def upload(self, aval: Aval, host: np.ndarray) -> Any:
        return host

    def run(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [np.array(x, order="C") for x in evaluate(self.graph, *inputs)]

    def profile(self, inputs: Sequence[np.ndarray]) -> list:
        raise RuntimeError("the oracle has no kernels to time; unset PICO_BACKEND=oracle")
