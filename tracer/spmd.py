"""Functions of whole arrays, run by every device of a mesh on its parts.

Invariant: what such a function computes is what it computes on one device; where arguments and
results lie is said once, by Specs over the trees of arguments and results. Results stay in pieces
on their devices until somebody reads them, and pieces that lie as the next call wants them are
handed on untouched.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.dtypes import dtype
from ir.graph import Aval, Graph
from ir.passes.messages import arranged, sent
from ir.passes.shard import Options, shard
from ir.passes.stages import Cut, Stages
from ir.sharding import MeshShape, Spec
from ir.spmd import ShardedGraph, evaluate_spmd

from . import settings, tree
from .array import Array
from .backend import shared
from .calls import ShapeDtypeStruct, Signature, checked_avals
from .compiled import Compiled, as_stored, plan_results
from .inspection import tell_on_mesh
from .jit import Jitted
from .meshes import Mesh
from .oracle import _on_host
from .roles import Nums, Roles, roles
from .sharding import PartitionSpec, ambient
from .staging import Traced, lifted
from .typed import interned

DEFAULT = Options()


def spmd(
    fun: Callable,
    mesh: MeshShape,
    in_specs: Any,
    out_specs: Any,
    donate_argnums: Nums = None,
    options: Options = DEFAULT,
    memory_budget: int = 0,
) -> SpmdFunction:
    """`fun` compiled for every device of `mesh`; called with whole arrays, or with results.

    `in_specs` is a tuple with a Spec, or a tree of Specs that leads the argument's, for each
    argument; `out_specs` leads the tree of results. `memory_budget` are the bytes of each device,
    see `jit`; 0: there is none. Raises ValueError listing what does not fit.
    """
    return SpmdFunction(fun, roles(fun, None, None, donate_argnums, None), mesh,
                        (in_specs, out_specs), options, memory_budget)  # fmt: skip


class SpmdFunction(Jitted):
    """A function compiled once for each signature of its arguments, for all devices."""

    def __init__(
        self, fun: Callable, of: Roles, mesh: MeshShape, specs: tuple[Any, Any], options: Options,
        budget: int,
    ) -> None:  # fmt: skip
        super().__init__(fun, of, budget=budget)
        self.mesh, self.options = mesh, options
        self._in_specs, self._out_specs = specs

    @property
    def called(self) -> bool:
        """Whether there is an executable."""
        return self._last is not None

    @property
    def program(self) -> Any:
        """The program of one device of the latest executable; None on the oracle."""
        return self._last.call.executable.program

    def traffic(self) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of the collectives of one call of the latest executable, by axes and kind.

        Raises RuntimeError before the first call.
        """
        if self._last is None:
            raise RuntimeError(f"{self._name} has not been compiled yet: call it first")
        return self._last.call.executable.traffic

    def one_device(self, *args: Any, **kwargs: Any) -> OneDevice:
        """What a device would run for these arguments (arrays or ShapeDtypeStructs); nothing is
        compiled."""
        leaves, in_tree, statics = self._roles.split(args, kwargs)
        avals = checked_avals(self._roles, in_tree, leaves)
        signature = Signature(in_tree, avals, statics, settings.now().tracing, ambient())
        return self._cut(signature, lifted(self._trace(signature)))

    def _compile(self, signature: Signature, traced: Traced) -> Compiled:
        traced = lifted(traced)
        one = self._cut(signature, traced)
        tell_on_mesh(
            one.sharded, Mesh(np.arange(self.mesh.count).reshape(self.mesh.sizes), self.mesh.names)
        )
        executable = executable_for(one.sharded, one.donate, self._name, self._why, self._budget)
        donated = self._donated(signature)
        return Compiled(traced, plan_results(traced.graph), executable, donated, self._name)

    def _donated(self, signature: Signature) -> list[int]:
        paths = enumerate(tree.paths(signature.in_tree))
        return [i for i, path in paths if self._roles.donates(path)]

    def _cut(self, signature: Signature, traced: Traced) -> OneDevice:
        """The program of one device; memory passes from arguments to results that lie alike."""
        start = time.process_time()
        sharded = self._sharded(signature, traced)
        spent = time.process_time() - start
        pairs = self._pairs(traced, tree.paths(signature.in_tree), self._donated(signature))
        ins, outs = sharded.in_specs, sharded.out_specs
        return OneDevice(sharded, tuple((i, j) for i, j in pairs if ins[i] == outs[j]), spent)

    def on_one_device(self, signature: Signature, traced: Traced) -> Graph:
        return self._cut(signature, lifted(traced)).sharded.graph

    def _sharded(self, signature: Signature, traced: Traced) -> ShardedGraph:
        plan = plan_results(traced.graph)
        args = tree.unflatten(signature.in_tree, range(signature.in_tree.num_leaves))[0]
        ins = [Spec(())] * len(traced.constants) + specs_of(self._in_specs, args)
        found: dict[int, Spec] = {}
        count = traced.out_tree.num_leaves
        told = specs_of(self._out_specs, tree.unflatten(traced.out_tree, range(count)))
        for (made, at), spec in zip(plan.results, told, strict=False):
            if made:
                found.setdefault(at, spec)
        outs = [found.get(k) for k in range(len(plan.graph.outs))]
        ins, outs = fitted(ins, plan.graph.in_avals), fitted(outs, plan.graph.out_avals)
        return arranged(shard(plan.graph, self.mesh, ins, outs, self.options))


@dataclass(frozen=True)
class OneDevice:
    """What each device of a mesh runs, with its messages arranged, which of its results take the
    memory of which arguments, and what the passes took: seconds of the processor."""

    sharded: ShardedGraph
    donate: tuple[tuple[int, int], ...]
    passes_s: float

    @property
    def traffic(self) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of the collectives of one call, by axes and kind."""
        return sent(self.sharded.graph)


def specs_of(prefix: Any, full: Any) -> list[Any]:
    """What a tree of specs says of each leaf of another tree, which it leads."""
    structure = tree.structure(full)
    return [s for p, below in _beside(prefix, full) for s in [p] * tree.structure(below).num_leaves
            ] if structure.num_leaves else []  # fmt: skip


def _beside(prefix: Any, full: Any) -> list[tuple[Any, Any]]:
    """(spec, the part of the tree that it is said of)."""
    if isinstance(prefix, (Spec, PartitionSpec)):
        return [(prefix, full)]
    if isinstance(prefix, dict):
        return [pair for key in sorted(full) for pair in _beside(prefix[key], full[key])]
    pairs = zip(prefix, full, strict=True)
    return [pair for p, part in pairs for pair in _beside(p, part)]


def fitted(specs: Sequence[Any], avals: Sequence[Aval]) -> list[Spec | None]:
    """Specs with an entry for each axis; those of no entries mean values that are whole."""
    found = []
    for spec, aval in zip(specs, avals, strict=True):
        spec = spec.spec(aval.ndim) if isinstance(spec, PartitionSpec) else spec
        if spec is not None and not spec.dims:
            spec = Spec(((),) * aval.ndim, spec.unreduced)
        found.append(spec)
    return found


# --- executables ----------------------------------------------------------------------------------


def executable_for(
    sharded: ShardedGraph, donate: Sequence[tuple[int, int]], name: str, why: str, budget: int = 0
) -> Any:
    """The executable, once for all equal programs."""

    def make() -> Any:
        kind = OracleMesh if settings.backend() == "oracle" else DeviceMesh
        return kind(sharded, donate, name, budget)

    of = tuple(donate), budget, sharded.mesh, sharded.in_specs, sharded.out_specs
    return shared(of, sharded.graph, make, name, why)


def in_pieces(x: Array, mesh: MeshShape, spec: Spec) -> Any:
    """An array's pieces on the devices of a mesh."""
    from runtime.mesh import team_of
    from runtime.shards import Layout, Shards

    layout, team = Layout(mesh, x.aval, spec), team_of(mesh)
    pieces = layout.cut(as_stored(x.aval, x.numpy()), team.here)
    return Shards(layout, {d: team.device.upload(piece) for d, piece in pieces.items()}, team)


def from_blocks(
    mesh: MeshShape,
    like: ShapeDtypeStruct,
    spec: Any,
    read: Callable[[tuple], np.ndarray],
    stage: tuple[int, int] = (0, 1),
) -> Array:
    """An array of which `read(slices)` gives blocks: those that devices of this process hold, each
    once. `stage` is (s, n) of an array that stage s of n has."""
    from runtime.mesh import stage_teams
    from runtime.shards import Layout, Shards

    aval = Aval(tuple(like.shape), dtype(like.dtype))
    (lies,) = fitted([spec], [aval])
    layout, team = Layout(mesh, aval, lies), stage_teams(mesh, stage[1])[0][stage[0]]
    blocks: dict[tuple, np.ndarray] = {}
    for start in dict.fromkeys(map(layout.start, team.here)):
        at = tuple(slice(a, a + n) for a, n in zip(start, layout.local, strict=True))
        blocks[start] = np.ascontiguousarray(as_stored(aval, read(at)))
    parts = {d: team.device.upload(blocks[layout.start(d)]) for d in team.here}
    return Array(interned(aval), Shards(layout, parts, team))


class DeviceMesh:
    """A `ShardedGraph` compiled for the devices of its mesh; see `backend.DeviceExecutable`."""

    def __init__(
        self, sharded: ShardedGraph, donate: Sequence[tuple[int, int]], name: str, budget: int
    ) -> None:
        from runtime.mesh import MeshExecutable, program_of_each, team_of

        self.team = team_of(sharded.mesh)
        self.program = program_of_each(self.team, sharded.graph, tuple(donate), name, budget)
        ins, outs = layouts(sharded)
        self._inner = MeshExecutable(self.team, self.program, ins, outs)
        self.run, self.profile = self._inner.run, self._inner.profile
        self.traffic = self._inner.traffic

    def upload(self, aval: Aval, host: np.ndarray) -> np.ndarray:
        """Stays on the host: a call cuts it."""
        return as_stored(aval, host).view()  # arrays given twice are two arguments


def layouts(sharded: ShardedGraph) -> tuple[list, list]:
    """How the whole inputs and outputs lie."""
    from runtime.shards import Layout

    def side(avals: Sequence[Aval], specs: Sequence[Spec]) -> list[Layout]:
        pairs = zip(avals, specs, strict=True)
        return [Layout(sharded.mesh, _whole(a, s, sharded.mesh), s) for a, s in pairs]

    graph = sharded.graph
    return side(graph.in_avals, sharded.in_specs), side(graph.out_avals, sharded.out_specs)


def _whole(local: Aval, spec: Spec, mesh: MeshShape) -> Aval:
    sizes = (n * mesh.along(axes or ()) for n, axes in zip(local.shape, spec.dims, strict=True))
    return Aval(tuple(sizes), local.dtype)


class OracleMesh:
    """A `ShardedGraph` evaluated by numpy, device by device."""

    program = None

    def __init__(
        self, sharded: ShardedGraph, donate: Sequence[tuple[int, int]], name: str, budget: int
    ) -> None:
        self.sharded, self.graph = sharded, sharded.graph
        self.traffic = sent(sharded.graph)

    def upload(self, aval: Aval, host: np.ndarray) -> np.ndarray:
        return host

    def run(self, inputs: Sequence[Any]) -> list[np.ndarray]:
        """Results as whole arrays."""
        pairs = zip(inputs, self.sharded.in_specs, self.graph.in_avals, strict=True)
        mesh = self.sharded.mesh
        hosts = [_on_host(x, _whole(a, s, mesh)) for x, s, a in pairs]
        return [np.array(x, order="C") for x in evaluate_spmd(self.sharded, *hosts)]

    def profile(self, inputs: Sequence[np.ndarray]) -> list:
        raise RuntimeError("the oracle has no kernels to time; unset PICO_BACKEND=oracle")


# --- pipelines ------------------------------------------------------------------------------------


def elsewhere(mesh: MeshShape, aval: Aval, spec: Spec, team: Any) -> Any:
    """An array of which this process has no piece."""
    from runtime.shards import Layout, Shards

    return Shards(Layout(mesh, aval, spec), {}, team)


def own_piece(array: Any) -> np.ndarray:
    """The first of the pieces that this process has of an array; nobody else is asked."""
    shards = array._buffer
    read = next(iter(shards.parts.values())).start_read(shards.layout.local_nbytes)
    return np.frombuffer(read.result(), shards.layout.stored).reshape(shards.layout.local)


def pieces_to_keep(array: Any, turn: int) -> list[Piece] | None:
    """The pieces of an array that this process answers for, each of which one process has, on their
    way to the host; None of an array that does not lie in pieces. Processes that have the same
    take turns. Nobody else is asked."""
    from runtime.shards import Shards

    shards = array._buffer if isinstance(array, Array) else None
    if not isinstance(shards, Shards):
        return None
    layout = shards.layout
    own = [d for d in layout.owners(turn) if d in shards.parts]
    reads = [shards.parts[d].start_read(layout.local_nbytes) for d in own]
    return [Piece(layout, d, read) for d, read in zip(own, reads, strict=True)]


@dataclass(frozen=True)
class Piece:
    """A block of a whole array that is being read, as `layout` cuts it for `device`."""

    layout: Any
    device: int
    read: Any

    @property
    def start(self) -> tuple[int, ...]:
        return self.layout.start(self.device)

    def numpy(self) -> np.ndarray:
        """Its values, waiting for them."""
        raw = np.frombuffer(self.read.result(), self.layout.stored).reshape(self.layout.local)
        return raw.astype(self.layout.aval.dtype.np, copy=False)


def runner(
    sharded: ShardedGraph, stages_of: Callable[[Graph], Stages], cut: Cut, each: Sequence[int],
    budget: Any = None,
) -> Any:  # fmt: skip
    """The stages of a joint graph, compiled for their teams; within a `stage_budget`, if there is
    one, those of another that computes the same. Raises CompileError if none keeps to it."""
    from runtime.mesh import stage_teams
    from runtime.pipeline import Pipeline
    from runtime.stage_budget import within

    teams, links = stage_teams(sharded.mesh, stages_of(sharded.graph).count)

    def made(graph: Graph) -> Pipeline:
        return Pipeline(graph, stages_of(graph), teams, layouts(sharded), each, links)

    return made(sharded.graph) if budget is None else within(budget, sharded.graph, cut, made)


def stage_budget(limit: int, rank: Sequence[int], held: Sequence[int], actions: Sequence) -> Any:
    """A `StageBudget`: bytes of each device, the rank of each stage, what ranks hold beside."""
    from runtime.stage_budget import StageBudget

    plain = tuple((a.kind, a.stage, a.micro) for a in actions)
    return StageBudget(limit, tuple(rank), tuple(held), plain)


__all__ = [
    "DEFAULT",
    "MeshShape",
    "OneDevice",
    "Piece",
    "SpmdFunction",
    "elsewhere",
    "executable_for",
    "fitted",
    "from_blocks",
    "in_pieces",
    "layouts",
    "own_piece",
    "pieces_to_keep",
    "runner",
    "specs_of",
    "spmd",
    "stage_budget",
]
