"""The train step of a run whose layers are spread over the stages of a pipeline.

Invariant: loss and gradients are those of one device: sums over the micro-batches come from the
pipeline and are divided here, once. Each stage updates its own weights; of the others it needs no
more than the norm of their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from picotron import launch, model, optim
from picotron.checkpoint import by_path
from picotron.config import Config
from picotron.schedules import order, schedule, split_layers, stages_of
from picotron.sharding import DATA, Layout
from picotron.step import State
from tracer import Array, ShapeDtypeStruct, eval_shape, tree
from tracer import numpy as jnp
from tracer.pipelining import Pipelined
from tracer.sharding import P, named_values
from tracer.spmd import MeshShape, own_piece, spmd

Flat = dict[str, Any]  # path of a weight -> what belongs to it
# Optimizer, learning rate, and the largest norm of a gradient or 0.
Recipe = tuple[optim.GradientTransformation, optim.Schedule | None, float]


def stage_of_weight(path: str, layers: list[range]) -> int:
    """Embedding first, head and last norm last, and the layers as they are spread."""
    found = re.search(r"layers\.(\d+)\.", path)
    if found:
        return next(s for s, own in enumerate(layers) if int(found[1]) in own)
    return 0 if "embed_tokens" in path else len(layers) - 1


def weight_of(name: str, weights: Iterable[str]) -> str | None:
    """The weight that a part of a state, by its dotted name, belongs to."""
    return next((w for w in weights if name == w or name.endswith(f".{w}")), None)


class PipelineStep:
    """`train_step(state, batch)`: batch int32 [A, B, S] twice, A micro-batches; state donated."""

    def __init__(self, config: Config, recipe: Recipe, layout: Layout, mesh: MeshShape) -> None:
        training, depth = config.training, config.distributed.pp_size
        self.config, self.layout, self.mesh = config, layout, mesh
        self.micros = training.gradient_accumulation_steps
        engine = config.distributed.pp_engine
        self.actions = [a for _, a in order(schedule(engine, depth, self.micros))]
        layers = split_layers(config.model.num_hidden_layers, stages_of(engine, depth))
        self.count = len(layers)
        shapes = model.parameter_shapes(config.model)
        self.stage = {path: stage_of_weight(path, layers) for path in shapes}
        self.optimizer, self.schedule, self.max_grad_norm = recipe
        self.gradients = self._pipelined(shapes, split=engine == "zb-h1")
        self.finish = [self._finish(s) for s in range(self.count)]
        self.update = [self._update(s) for s in range(self.count)]

    def own(self, flat: Flat, stage: int) -> Flat:
        """What belongs to the weights of one stage."""
        return {path: flat[path] for path, s in self.stage.items() if s == stage}

    # --- programs ---

    def _pipelined(self, shapes: dict[str, tuple[int, ...]], split: bool) -> Pipelined:
        layout, training = self.layout, self.config.training
        params = model.unflatten({n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()})
        rows = training.micro_batch_size * self.config.distributed.dp_size
        tokens = ShapeDtypeStruct((rows, training.seq_length), np.int32)
        batch = {"inputs": tokens, "targets": tokens}
        self._sums = {n: self._pending(n, s) for n, s in shapes.items()}
        specs = layout.specs(self.config.model), layout.batch(2), model.unflatten(self._sums)
        owners = tree.leaves(model.unflatten(self.stage))

        def loss(params: Any, part: Any) -> Any:
            with named_values(layout.names()):
                return model.loss(layout.in_use(params), part, self.config.model)

        return Pipelined(loss, (params, batch), owners, self.mesh, specs, split)

    def _pending(self, path: str, shape: tuple[int, ...]) -> P:
        """Where a gradient lies: sums over data wait for the last micro-batch, unless the weight
        itself is cut along it."""
        if self.layout.fsdp:
            return self.layout.at_rest(path, shape)
        spec = self.layout.used(path, len(shape))
        return P(*spec, unreduced={a for a in DATA if self.layout.size(a) > 1})

    def _finish(self, stage: int) -> Callable:
        """(sums, losses) -> (mean gradients, sum of their squares, mean losses)."""
        shapes = self.own(model.parameter_shapes(self.config.model), stage)
        rest = {n: self.layout.moments(n, s) for n, s in shapes.items()}
        share = 1.0 / self.micros

        def finish(sums: Flat, losses: list) -> tuple[Flat, Any, list]:
            grads = {path: g * share for path, g in sums.items()}
            square = sum(jnp.sum(g * g) for g in grads.values())
            return grads, square, [x * share for x in losses]

        losses = [P()] if stage == self.count - 1 else []
        ins, outs = (self.own(self._sums, stage), losses), (rest, P(), losses)
        return spmd(finish, self.mesh, ins, outs, donate_argnums=(0,))

    def _update(self, stage: int) -> Callable:
        """(weights, moments, gradients, rest, squares) -> (weights, moments, rest, metrics); the
        rest of the optimizer's state is common to all weights."""
        layout, shapes = self.layout, self.own(model.parameter_shapes(self.config.model), stage)
        used = {n: layout.at_rest(n, s) for n, s in shapes.items()}
        rest = {n: layout.moments(n, s) for n, s in shapes.items()}
        flat = {n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()}
        state = eval_shape(self.optimizer.init, flat)
        names, structure = list(by_path(state)), tree.structure(state)
        kept = {n: rest[w] for n in names if (w := weight_of(n, shapes))}
        fixed = {n: P() for n in names if n not in kept}

        def update(params: Flat, moments: Flat, grads: Flat, common: Flat, squares: list) -> tuple:
            norm = jnp.sqrt(sum(squares))
            if self.max_grad_norm:
                grads = optim.clipped_to(grads, norm, self.max_grad_norm)
            values = {**moments, **common}
            before = tree.unflatten(structure, [values[n] for n in names])
            updates, after = self.optimizer.update(grads, before, params)
            metrics = {"grad_norm": norm}
            if self.schedule is not None:
                metrics["learning_rate"] = self.schedule(before["count"])
            new = by_path(after)
            parts = [{n: new[n] for n in group} for group in (kept, fixed)]
            return optim.apply_updates(params, updates), *parts, metrics

        ins = (used, kept, rest, fixed, [P()] * self.count)
        outs = (used, kept, fixed, P())
        return spmd(update, self.mesh, ins, outs, donate_argnums=(0, 1, 2))

    # --- a step ---

    def __call__(self, state: State, batch: Any) -> tuple[State, dict[str, Any]]:
        parts = [{name: rows[m] for name, rows in batch.items()} for m in range(self.micros)]
        total, sums = self.gradients(state["params"], parts, self.actions)
        flat, here = model.flatten(sums), self._here()
        grads, squares, loss = {}, {}, None
        for s in here:
            losses = [total] if s == self.count - 1 else []
            grads[s], squares[s], losses = self.finish[s](self.own(flat, s), losses)
            loss = losses[0] if losses else loss
        squares, loss = self._agreed(squares, loss)
        return self._updated(state, grads, squares, loss)

    def _here(self) -> list[int]:
        return [s for s in range(self.count) if self.gradients.is_here(s)]

    def _agreed(self, squares: dict[int, Any], loss: Any) -> tuple[list, Any]:
        """The squares of all stages and the loss, from whoever has them."""
        world = launch.world()
        if world is None:
            return [squares[s] for s in range(self.count)], loss
        mine = {s: np.float32(own_piece(x)) for s, x in squares.items()}
        told = world.comm.allgather((mine, None if loss is None else np.float32(own_piece(loss))))
        every = {s: x for part, _ in told for s, x in part.items()}
        found = next(x for _, x in told if x is not None)
        return [every[s] for s in range(self.count)], Array.from_host(found)

    def _updated(self, state: State, grads: dict, squares: list, loss: Any) -> tuple[State, dict]:
        params, kept = model.flatten(state["params"]), by_path(state["optimizer"])
        owner = {n: self.stage[w] for n in kept if (w := weight_of(n, self.stage))}
        common, after, metrics = {n: x for n, x in kept.items() if n not in owner}, {}, {}
        for s in range(self.count):
            own = {n: kept[n] for n, of in owner.items() if of == s}
            if s in grads:
                new, mine, after, metrics = self.update[s](
                    self.own(params, s), own, grads[s], common, squares
                )
            else:
                new = self._elsewhere(self.own(params, s), self.layout.at_rest, s)
                mine = self._elsewhere(own, self.layout.moments, s)
            params.update(new)
            kept.update(mine)
        kept.update(after)
        leaves = [kept[n] for n in by_path(state["optimizer"])]
        optimizer = tree.unflatten(tree.structure(state["optimizer"]), leaves)
        changed = {"params": model.unflatten(params), "optimizer": optimizer}
        return {**state, **changed}, {"loss": loss, **metrics}

    def _elsewhere(self, flat: Flat, where: Callable, stage: int) -> Flat:
        """What the processes of another stage have now."""
        found = {}
        for name, x in flat.items():
            weight = weight_of(name, self.stage)
            found[name] = self.gradients.elsewhere(x, where(weight, tuple(x.shape)), stage)
        return found

    def traffic(self) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of the collectives of one step by axes and kind; what stages hand on is
        under "pp"."""
        found = self.gradients.runner.traffic(self.micros)
        for made in (*self.finish, *self.update):
            for axes, kinds in (made.traffic() if made.called else {}).items():
                for kind, (count, nbytes) in kinds.items():
                    one = found.setdefault(axes, {}).setdefault(kind, [0, 0])
                    one[:] = one[0] + count, one[1] + nbytes
        handed = self.gradients.runner.record.handed_on
        return {**found, "pp": {"send": [sum(n) for n in zip(*handed.values(), strict=True)]}}

    def stats(self) -> dict[str, Any]:
        """Counts and times of what the busiest of the devices runs: kernels of one step, distinct
        ones and bytes of all programs of a stage."""
        found = [self._stats(s) for s in self._here()]
        most = {name: max(one[name] for one in found) for name in found[0]}
        return {**most, "trace_s": self.gradients.trace_s, "compile_s": self.gradients.compile_s}

    def _stats(self, stage: int) -> dict[str, int]:
        made = self.gradients.runner.executables
        passes = [made[a.kind, s].program for a in self.actions if (s := a.stage) == stage]
        rest = [f[stage].program for f in (self.finish, self.update)]
        programs = {id(p): p for p in (*passes, *rest)}.values()
        return {
            "kernels_per_step": sum(p.dispatch_count for p in (*passes, *rest)),
            "distinct_kernels": len({k.wgsl for p in programs for k in p.kernels}),
            "peak_bytes": sum(p.peak_bytes for p in programs),
        }
