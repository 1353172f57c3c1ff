"""Where values of a program lie, told to those who asked inside of it.

Invariant: callbacks are called in program order and once for each compile, before the program runs;
what is computed, and where it lies, is the same without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ir.build import current
from ir.graph import Graph
from ir.passes.effects import inspections
from ir.spmd import ShardedGraph

from . import tree
from .creation import asarray
from .errors import located
from .laid import Laid
from .meshes import Mesh, partition
from .shardings import NamedSharding, SingleDeviceSharding
from .staging import bind, operand


class Question:
    """A host function that wants to know a sharding, by its name in printed graphs."""

    def __init__(self, fun: Callable) -> None:
        self.fun = fun

    def __call__(self, sharding: Any) -> None:
        self.fun(sharding)

    def __repr__(self) -> str:
        return f"<{getattr(self.fun, '__name__', self.fun)}>"


def inspect_array_sharding(value: Any, *, callback: Callable[[Any], None]) -> None:
    """Call `callback` with the sharding of each array of a pytree.

    Inside of `jit` that is where the value lies in the compiled program: the call is made when it
    is compiled, and not when it runs again. Outside of a trace it is made at once. A value that is
    a sum yet to be carried out between devices says so: `P(..., unreduced={...})`. Raises TypeError
    for what is no array.
    """
    if not callable(callback):
        raise located(TypeError, f"callback must be a function of a sharding, got {callback!r}")
    for leaf in tree.leaves(value):
        if current() is None:
            callback(asarray(leaf).sharding)
        else:
            bind("inspect_sharding", operand(leaf), callback=Question(callback), spec=None)


def tell_on_mesh(sharded: ShardedGraph, mesh: Mesh) -> None:
    """Answer what was asked in the program of a mesh."""
    for callback, spec in sharded.inspected:
        callback(NamedSharding(mesh, partition(spec)))


def tell_on_one_device(graph: Graph) -> Graph:
    """Answer what was asked in the program of one device; the graph without the questions."""
    graph, asked = inspections(graph)
    for callback, _ in asked:
        callback(SingleDeviceSharding(Laid._first_device()))
    return graph


__all__ = ["inspect_array_sharding", "tell_on_mesh", "tell_on_one_device"]
