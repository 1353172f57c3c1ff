"""A loss and its gradients by the stages of a pipeline.

Invariant: the sums that come out are those of one device, whatever the schedule and the mesh; they
are not divided. Stages are said of the weights: what a weight meets belongs to its stage, and each
equation to the last stage that it reads from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ir.blame import Blame
from ir.build import build, emit, inline
from ir.dtypes import DType, dtype, f32
from ir.graph import Aval, Graph, Var
from ir.passes.grad import grad_graph
from ir.passes.messages import arranged_graph, sent
from ir.passes.shard import Options, shard
from ir.passes.stages import Cut, Stages, assign, stage_of
from ir.prims.unary import cast
from ir.sharding import MeshShape, Spec

from . import nans, tree
from .api import closed, stage
from .array import Array
from .calls import ShapeDtypeStruct
from .spmd import DEFAULT, elsewhere, fitted, runner, specs_of
from .typed import interned

Actions = Iterable[tuple[str, int, int]]  # (kind, stage, micro-batch)


class Pipelined:
    """`loss(params, batch)`, a scalar, and its gradients in `params`, compiled for the stages.

    `owners` has the stage of each leaf of `params`. On a stage's `mesh`, params lie as `specs[0]`,
    a batch as `specs[1]`, and gradients come as `specs[2]`, which may leave sums to be carried out,
    as the loss does: `lie` says what is left of each, the loss first.
    With `split`, backward passes come as "I" and "W". `loss` reads weights as `compute`, whatever
    they are stored as; gradients are those of what it reads, and float32. Raises StageError where
    stages do not follow one another.
    """

    def __init__(
        self,
        loss: Callable,
        shapes: tuple[Any, Any],
        owners: Sequence[int],
        mesh: MeshShape,
        specs: tuple[Any, Any, Any],
        split: bool = False,
        options: Options = DEFAULT,
        compute: Any = np.float32,
    ) -> None:
        start = time.perf_counter()
        params, batch = shapes
        read = tree.map(lambda w: ShapeDtypeStruct(w.shape, compute), params)
        traced = closed(loss)(read, batch)
        self.constants, first = traced.constants, len(traced.constants)
        self.in_tree = tree.structure(params)
        count, data = self.in_tree.num_leaves, tree.structure(batch).num_leaves
        tags = [*(None,) * first, *owners, *(None,) * data]
        joint = grad_graph(assign(traced.graph, tags), range(first, first + count))
        stored = [dtype(w.dtype) for w in tree.leaves(params)]
        joint = _stored_as(joint, first, stored)
        likes = params, batch, params
        told = [specs_of(spec, like) for spec, like in zip(specs, likes, strict=True)]
        ins = fitted([*[Spec(())] * first, *told[0], *told[1]], joint.in_avals)
        outs = fitted([Spec((), frozenset(mesh.names)), *told[2]], joint.out_avals)
        self.joint = joint
        self.sharded = shard(joint, mesh, ins, outs, options)
        self.lie = self.sharded.out_specs
        common = [*range(first), *range(first + count, len(joint.ins))]
        self.cut = Cut(1, tuple(owners), split, tuple(common))
        self.stages = self._arranged(self.sharded.graph)
        self.budget: Any = None
        self.owners = dict(enumerate(owners, first))
        self.trace_s = time.perf_counter() - start
        self._each = range(first + count, len(joint.ins))
        self.compile_s = 0.0

    def _arranged(self, joint: Graph) -> Stages:
        """Messages are arranged part by part: one of two stages would be of neither."""
        if joint is self.sharded.graph and "stages" in vars(self):
            return self.stages
        return self.cut.stages(joint).each(arranged_graph)

    @cached_property
    def runner(self) -> Any:
        """The parts, compiled for the teams of their stages when they are first asked for, within
        `budget`, a `spmd.stage_budget`, unless that is None. Raises CompileError."""
        start = time.perf_counter()
        made = runner(self.sharded, self._arranged, self.cut, self._each, self.budget)
        self.stages = made.stages
        made.build()
        self.compile_s = time.perf_counter() - start
        return made

    def sent(self, stage: int, micros: int) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of what a device of a stage tells in `micros` micro-batches, by axes and
        kind; what it hands on to other stages is under "pp". Nothing is compiled."""
        found: dict[str, dict[str, list[int]]] = {}
        own = [part for part in self.stages.parts.values() if part.stage == stage]
        for part in own:
            for axes, kinds in sent(part.graph).items():
                for kind, (count, nbytes) in kinds.items():
                    one = found.setdefault(axes, {}).setdefault(kind, [0, 0])
                    one[:] = one[0] + micros * count, one[1] + micros * nbytes
        handed = [v.aval.nbytes for part in own for v in part.outs for _ in self._others(v, stage)]
        return {**found, "pp": {"send": [micros * len(handed), micros * sum(handed)]}}

    def _others(self, v: Var, stage: int) -> set[int]:
        """The other stages that read a value."""
        return {part.stage for part in self.stages.parts.values() if v in part.ins} - {stage}

    def is_here(self, stage: int) -> bool:
        """Whether this process has devices of a stage."""
        return bool(self.runner.teams[stage].here)

    def elsewhere(self, like: Any, spec: Any, stage: int) -> Array:
        """An array, of the shape and dtype of `like`, that the processes of another stage have."""
        aval = Aval(tuple(like.shape), dtype(like.dtype))
        (lies,) = fitted([spec], [aval])
        team = self.runner.teams[stage]
        return _array(elsewhere(self.sharded.mesh, aval, lies, team))

    def __call__(
        self, params: Any, batches: Sequence[Any], actions: Actions, clocks: Any = None
    ) -> tuple[Any, Any]:
        """(sum of the losses, sums of the gradients) over the micro-batches, as the schedule says.

        `clocks.passed(kind, stage, micro, ready)` is told of each action that is carried out here,
        with the times at which what it reads was ready, and gives the time of its results. Arrays
        that other processes have can be read here if all processes read them. Raises
        FloatingPointError under `debug_nans` and `debug_infs`.
        """
        fixed = [*(c.numpy() for c in self.constants), *map(_held, tree.leaves(params))]
        for place, owner in self.owners.items():
            fixed[place] = self.runner.shared(fixed[place], place, owner)
        columns = zip(*(map(_held, tree.leaves(b)) for b in batches), strict=True)
        sums = self.runner.run([*fixed, *map(list, columns)], actions, clocks)
        arrays = list(map(_array, sums))
        if nans.watching():
            self._check(arrays, params, batches)
        return arrays[0], tree.unflatten(self.in_tree, arrays[1:])

    def _check(self, sums: Sequence[Array], params: Any, batches: Sequence[Any]) -> None:
        """Raises FloatingPointError, which names the first operation at fault, its stage and
        micro-batch, if a result is no number. All processes read all arrays, in one order."""
        word = nans.found_in([x.numpy() for x in sums])
        if word is None:
            return
        fixed = [*self.constants, *tree.leaves(params)]
        held = [np.asarray(x) for x in fixed]
        runs = ([*held, *map(np.asarray, tree.leaves(b))] for b in batches)
        avals = self.joint.in_avals
        whole = [[x.astype(a.dtype.np) for x, a in zip(run, avals, strict=True)] for run in runs]
        raise nans.error(self.joint, whole, word, "the passes of a pipeline", self._where)

    def _where(self, micro: int, found: Blame) -> str:
        """Where an operation is, and in which micro-batch it went wrong."""
        at = None if found.top is None else stage_of(found.top)
        if found.input is not None:
            at = self.owners.get(found.input, at)
        stage = "" if at is None else f"stage {at}, "
        return f"in {stage}micro-batch {micro} (counted from 0)"


def _stored_as(joint: Graph, first: int, stored: Sequence[DType]) -> Graph:
    """The joint graph with weights, from input `first` on, of these dtypes, and float32 results.

    The casts are of no stage, so that each that reads a weight makes its own.
    """
    avals = list(joint.in_avals)
    for n, kind in enumerate(stored, first):
        avals[n] = Aval(avals[n].shape, kind)
    if tuple(avals) == tuple(joint.in_avals):
        return joint

    def body(*ins: Var) -> list:
        wide = (
            emit(cast, v, dtype=a.dtype) if v.aval.dtype is not a.dtype else v
            for v, a in zip(ins, joint.in_avals, strict=True)
        )
        loss, *grads = inline(joint, list(wide))
        return [loss, *(emit(cast, g, dtype=f32) for g in grads)]

    return build(body, *avals)


def _held(leaf: Any) -> Any:
    """What is in memory of a leaf."""
    if not isinstance(leaf, Array):
        return np.asarray(leaf)
    return leaf.numpy() if leaf._buffer is None else leaf._buffer


def _array(shards: Any) -> Array:
    return Array(interned(shards.layout.aval), shards)


__all__ = ["Pipelined", "stage"]
