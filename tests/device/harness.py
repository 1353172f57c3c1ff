"""Running a graph on the default adapter as numpy in, numpy out.

Invariant: the path is the one users take (compile for the adapter's profile, then `Executable`);
host arrays have the dtypes of the graph, and bools cross as u32 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import runtime
from codegen.compile import compile_graph
from codegen.profile import Profile
from codegen.program import Program
from ir import Aval, Graph, bool_


def to_device(x: np.ndarray, aval: Aval) -> np.ndarray:
    """The bytes a tensor has on the device, padded to whole words."""
    host = np.ascontiguousarray(x).astype(np.uint32 if aval.dtype is bool_ else aval.dtype.np)
    raw = host.reshape(-1).view(np.uint8)
    missing = max(4, -(-raw.size // 4) * 4) - raw.size
    return np.concatenate([raw, np.zeros(missing, np.uint8)]).view(np.uint32)


def from_device(raw: bytes | bytearray, aval: Aval) -> np.ndarray:
    """The numpy array that the bytes of a tensor stand for; a bool other than 0 or 1 is a fault."""
    kind = np.dtype(np.uint32) if aval.dtype is bool_ else aval.dtype.np
    flat = np.frombuffer(bytes(raw[: aval.size * kind.itemsize]), kind)
    if aval.dtype is bool_:
        assert flat.size == 0 or flat.max() <= 1, "a bool is stored as 0 or 1"
    return flat.astype(aval.dtype.np).reshape(aval.shape)


def execute(program: Program, graph: Graph, args: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Run a compiled program once and read all results back."""
    executable = runtime.Executable(runtime.default_device(), program)
    return fetch(executable, graph, args)


def fetch(
    executable: runtime.Executable, graph: Graph, args: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """One more run of an executable."""
    inputs = [to_device(np.asarray(x), v.aval) for x, v in zip(args, graph.ins, strict=True)]
    buffers = executable.run(inputs)
    pairs = zip(buffers, graph.outs, strict=True)
    return [from_device(b.start_read().result(), v.aval) for b, v in pairs]


def run(graph: Graph, *args: np.ndarray, profile: Profile | None = None) -> list[np.ndarray]:
    """Compile `graph` for the adapter, or for a narrower `profile`, and run it."""
    chosen = profile or runtime.default_device().profile
    return execute(compile_graph(graph, chosen, verify=True), graph, args)
