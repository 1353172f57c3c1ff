"""The shardings of a jitted function's arguments and results.

Invariant: they are tree prefixes, checked against each trace; they change no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ir.passes.shard import Options, shard
from ir.sharding import Spec, whole
from ir.spmd import ShardedGraph

from . import tree
from .calls import Signature
from .errors import located
from .sharding import NamedSharding, check_divides, get_mesh, named, spread_prefix
from .staging import Traced

Each = list[NamedSharding | None]


@dataclass(frozen=True)
class Placement:
    """`in_shardings` and `out_shardings` of `jit`; None says nothing."""

    ins: Any = None
    outs: Any = None

    @property
    def empty(self) -> bool:
        return self.ins is None and self.outs is None

    def check(self, signature: Signature, traced: Traced, names: list[str]) -> None:
        """Raises ValueError for shardings that do not fit the arguments or the results."""
        if self.empty:
            return
        for sharding, aval, name in zip(
            self.ins_of(signature), signature.avals, names, strict=True
        ):
            _check(sharding, aval.shape, f"One of pjit arguments with pytree key path {name}")
        for sharding, v in zip(self.outs_of(traced), traced.graph.outs, strict=False):
            _check(sharding, v.aval.shape, "One of pjit outputs")

    def sharded(
        self, signature: Signature, traced: Traced, options: Options, zigzag: Sequence[str]
    ) -> ShardedGraph:
        """The program of one device."""
        ins, outs, graph = self.ins_of(signature), self.outs_of(traced), traced.graph
        mesh = next((s.mesh for s in (*ins, *outs) if s is not None), get_mesh())
        if mesh is None:
            text = "give in_shardings or out_shardings, or set_mesh: there is no mesh to cut along"
            raise located(ValueError, text)
        fixed = len(graph.ins) - len(ins)
        in_specs = [whole(v.aval.ndim) for v in graph.ins[:fixed]]
        in_specs += [_spec(s, v.aval.ndim) for s, v in zip(ins, graph.ins[fixed:], strict=True)]
        out_specs = [s and _spec(s, v.aval.ndim) for s, v in zip(outs, graph.outs, strict=False)]
        record = replace(mesh.record(), zigzag=frozenset(zigzag))
        return shard(graph, record, in_specs, out_specs, options)

    def ins_of(self, signature: Signature) -> Each:
        """What is said of each argument."""
        count = signature.in_tree.num_leaves
        args, kwargs = tree.unflatten(signature.in_tree, list(range(count)))
        given = tuple(self.ins) if isinstance(self.ins, list) else self.ins
        below = tree.flatten(tuple(args))[1]
        found = spread_prefix("pjit in_shardings", given, tuple(args), below)
        at = dict(zip(tree.leaves(tuple(args)), found, strict=True))
        return [named("jit", at.get(i)) for i in range(count)]

    def outs_of(self, traced: Traced) -> Each:
        """What is said of each result."""
        count = traced.out_tree.num_leaves
        shown = tree.unflatten(traced.out_tree, list(range(count)))
        found = spread_prefix("pjit out_shardings", self.outs, shown, traced.out_tree)
        return [named("jit", s) for s in found]


def _check(sharding: NamedSharding | None, shape: tuple[int, ...], what: str) -> None:
    if sharding is not None:
        text = f"{what} is incompatible with its sharding annotation {sharding}: "
        check_divides(sharding, shape, text)


def _spec(sharding: NamedSharding | None, ndim: int) -> Spec:
    return whole(ndim) if sharding is None else sharding.spec.spec(ndim)


NOWHERE = Placement()

__all__ = ["NOWHERE", "Placement"]
