"""The program of one device of a mesh, for the tools: which pass made it, and what it tells.

Invariant: meshes and passes are named in text, as on the command line; the target itself says where
its values lie, either as a jitted function with shardings or by taking the mesh.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass

from ir.graph import Graph
from ir.passes.messages import PASSES, arranged, hidden, messages, traffic
from ir.passes.shard import Options
from ir.spmd import ShardedGraph

from .target import REFERENCE, TRACER, UsageError, built, choose

CONTEXTS = ("gather", "ring", "ulysses")
STAGES = {
    "shard": "the program of one device of --mesh: types say how its values are parts of whole",
    "regather": "with weights gathered again on the way back (with --fsdp)",
    "bucket": "with gradients summed in buckets",
    "overlap": "with work behind the collectives that does not need them",
}


@dataclass(frozen=True)
class Asked:
    """What the command line says about a mesh."""

    sizes: dict[str, int]
    cuts: tuple[str, ...] = ()  # of "sp", "fsdp" and "zero1", for a target that takes them
    context: str = "gather"
    zigzag: bool = False
    without: tuple[str, ...] = ()  # passes to leave out


def mesh_sizes(text: str) -> dict[str, int]:
    """{"dp": 2, "tp": 2} of "dp=2,tp=2". Raises UsageError."""
    found: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition("=")
        if not name.isidentifier() or not size.isdigit() or int(size) < 1 or name in found:
            raise UsageError(f"--mesh is a list such as dp=2,tp=2, not {text!r}")
        found[name] = int(size)
    return found


def load(spec: str, asked: Asked) -> ShardedGraph:
    """The program of one device, before any pass over its messages.

    The builder `spec` takes the sizes of the mesh as `mesh`, or it returns a jitted function with
    in_shardings on a mesh of these sizes. Raises UsageError, and ValueError for what does not fit.
    """
    options = {"mesh": asked.sizes, **dict.fromkeys(asked.cuts, True)}
    function, args = built(spec, options)
    jit = importlib.import_module(TRACER)
    if not isinstance(function, jit.Jitted) or function.placement.empty:
        raise UsageError(f"{spec} does not say where its values lie: let it return a function that "
                         "is jitted with in_shardings, or take `mesh`")  # fmt: skip
    done = function.lower(*args).sharded(Options(choose("context", asked.context, CONTEXTS)),
                                         ("cp",) if asked.zigzag else ())  # fmt: skip
    if _large(done.mesh.size_of) != _large(asked.sizes):
        raise UsageError(f"--mesh says {asked.sizes}, and {spec} is cut for {done.mesh}")
    return done


def _large(sizes: dict[str, int]) -> dict[str, int]:
    return {axis: n for axis, n in sizes.items() if n > 1}


def stage(sharded: ShardedGraph, name: str, without: Sequence[str] = ()) -> Graph:
    """The graph after the pass `name` and those before it, but for those left out."""
    order = list(PASSES)
    wanted = order[: order.index(name) + 1] if name in order else []
    left_out = {choose("pass", n, PASSES) for n in without}
    kept = [n for n in wanted if n not in left_out and (n != "regather" or name == "regather")]
    return arranged(sharded, kept).graph


def collectives_text(sharded: ShardedGraph, without: Sequence[str] = ()) -> str:
    """A table of the collectives of a step: count and bytes by axes, forward and backward."""
    graph = stage(sharded, "overlap", without)
    rows = [("axes", "collective", "forward", "bytes", "backward", "bytes")]
    found = traffic(graph)
    for axes, kind in sorted({(a, k) for a, k, _ in found}):
        ways = [found.get((axes, kind, back), (0, 0)) for back in (False, True)]
        rows.append(("*".join(axes), kind, *(f"{n:,}" for way in ways for n in way)))
    widths = [max(len(row[i]) for row in rows) for i in range(6)]
    lines = ["  ".join(_cells(row, widths)).rstrip() for row in rows]
    every, covered = list(messages(graph)), hidden(graph)
    count, nbytes = sum(m.times for m in every), sum(m.times * m.nbytes for m in every)
    mesh = ",".join(f"{axis}={n}" for axis, n in _large(sharded.mesh.size_of).items())
    lines.append(f"a step of a device of {mesh}: {count:,} collectives, {nbytes:,} bytes")
    busy = sum(1 for flops in covered if flops)
    lines.append(f"{busy} of {len(covered)} have work behind them that does not need them")
    return "\n".join(lines) + "\n"


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Two names to the left, numbers to the right."""
    pairs = list(zip(row, widths, strict=True))
    return [f"{c:<{w}}" for c, w in pairs[:2]] + [f"{c:>{w}}" for c, w in pairs[2:]]


__all__ = ["REFERENCE", "STAGES", "Asked", "collectives_text", "load", "mesh_sizes", "stage"]
