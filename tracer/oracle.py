"""The numpy backend: programs are graphs, buffers are numpy arrays.

Invariant: obeys the contract of `backend.DeviceExecutable`, so everything above it runs unchanged
on a machine without an adapter; slow, and the reference for what is right. Arrays made on the
device, before the backend was changed, are read back.
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

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        hosts = map(_on_host, inputs, self.graph.in_avals)
        return [np.array(x, order="C") for x in evaluate(self.graph, *hosts)]

    def profile(self, inputs: Sequence[np.ndarray]) -> list:
        raise RuntimeError("the oracle has no kernels to time; unset PICO_BACKEND=oracle")


def _on_host(held: Any, aval: Aval) -> np.ndarray:
    from .backend import start_read

    return held if isinstance(held, np.ndarray) else start_read(held, aval)()
