"""The train step of a run whose layers are spread over the stages of a pipeline.

Invariant: loss and gradients are those of one device: sums over the micro-batches come from the
pipeline and are divided here, once. Each stage updates its own weights; of the others it needs no
more than the norm of their gradients.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from picotron import dropout, launch, model, optim
from picotron.checkpoint import by_path
from picotron.config import Config
from picotron.pipeline_memory import held_by_ranks
from picotron.precision import copies, policy_of
from picotron.schedules import (
    Clocks,
    Timeline,
    order,
    schedule,
    split_layers,
    stages_of,
    timeline,
)
from picotron.sharding import DATA, Layout
from picotron.step import (
    State,
    batch_shapes,
    initial_state,
    make_update,
    skipping,
    step_key,
)
from tracer import Array, ShapeDtypeStruct, debug_infs, debug_nans, eval_shape, random, tree
from tracer import numpy as jnp
from tracer.pipelining import Pipelined
from tracer.sharding import P, constrained, named_values
from tracer.spmd import MeshShape, own_piece, spmd, stage_budget

Flat = dict[str, Any]  # path of a weight -> what belongs to it
Traffic = dict[str, dict[str, list[int]]]  # axes -> kind -> [count, bytes]
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


def _of(flat: Flat, prefix: str) -> Flat:
    return {name: x for name, x in flat.items() if name.startswith(prefix)}


def add_traffic(found: Traffic, more: Traffic) -> None:
    """Add the counts and bytes of `more` to those of `found`."""
    for axes, kinds in more.items():
        for kind, (count, nbytes) in kinds.items():
            one = found.setdefault(axes, {}).setdefault(kind, [0, 0])
            one[:] = one[0] + count, one[1] + nbytes


@contextmanager
def _not_watched() -> Iterator[None]:
    """For programs around the passes, which the processes of one stage run alone: under
    `debug_nans` nobody could read what they give, since all must read, so passes are checked."""
    if launch.alone():
        yield
        return
    with debug_nans(False), debug_infs(False):
        yield


class PipelineStep:
    """`train_step(state, batch)`: batch int32 [A, B, S] twice, A micro-batches; state donated."""

    def __init__(self, config: Config, recipe: Recipe, layout: Layout, mesh: MeshShape) -> None:
        training, depth = config.training, config.distributed.pp_size
        self.config, self.layout, self.mesh = config, layout, mesh
        self.policy = policy_of(training.precision)
        self.micros = training.gradient_accumulation_steps
        engine = config.distributed.pp_engine
        ordered = order(schedule(engine, depth, self.micros))
        self.actions = [a for _, a in ordered]
        layers = split_layers(config.model.num_hidden_layers, stages_of(engine, depth))
        self.count, self.depth = len(layers), depth
        self._clocks = Clocks(depth, self.count)
        ranks = {action.stage: rank for rank, action in ordered}
        self.rank = [ranks[s] for s in range(self.count)]
        self.shapes = model.parameter_shapes(config.model)
        self.stage = {path: stage_of_weight(path, layers) for path in self.shapes}
        self.optimizer, self.schedule, self.max_grad_norm = recipe
        self.gradients = self._pipelined(split=engine == "zb-h1")
        self.copies = [self._copied(s) for s in range(self.count)]
        self.finish = [self._finish(s) for s in range(self.count)]
        self.update = [self._update(s) for s in range(self.count)]
        self.gradients.budget = self.budget() if training.budget else None

    def budget(self, limit: int = 0) -> Any:
        """What the passes must keep to: `limit` bytes of each device, by default those of the
        configuration. Of a rank's devices it knows the peak as well."""
        limit = limit or self.config.training.budget
        return stage_budget(limit, self.rank, held_by_ranks(self), self.actions)

    def own(self, flat: Flat, stage: int) -> Flat:
        """What belongs to the weights of one stage."""
        return {path: flat[path] for path, s in self.stage.items() if s == stage}

    # --- programs ---

    def _pipelined(self, split: bool) -> Pipelined:
        layout, config, policy = self.layout, self.config, self.policy
        flat = {n: ShapeDtypeStruct(s, policy.storage) for n, s in self.shapes.items()}
        text = {n: ShapeDtypeStruct(x.shape[1:], x.dtype) for n, x in batch_shapes(config).items()}
        batch = {**text, **self._step_shapes()}
        lies = {**dict.fromkeys(text, layout.batch(2)), **dict.fromkeys(self._step_shapes(), P())}
        sums = {n: self._pending(n, s) for n, s in self.shapes.items()}
        used = {n: self._used(n, s) for n, s in self.shapes.items()}
        specs = model.unflatten(used), lies, model.unflatten(sums)
        owners = tree.leaves(model.unflatten(self.stage))

        def loss(params: Any, part: Any) -> Any:
            with named_values(layout.names()):
                value = model.loss(
                    layout.in_use(params, gathered=True), part, self.config.model,
                    self._drops(part), policy.compute,
                )  # fmt: skip
            return value * part["scale"] if policy.scales else value

        params = model.unflatten(flat)
        return Pipelined(
            loss, (params, batch), owners, self.mesh, specs, split, compute=policy.compute
        )

    def _step_shapes(self) -> dict[str, ShapeDtypeStruct]:
        """What a micro-batch is told beside its tokens: the key of what it drops, as the run's
        key, steps done and its own number; and the scale of its loss."""
        drops = {
            "rng": ShapeDtypeStruct((2,), np.uint32),
            "count": ShapeDtypeStruct((), np.int32),
            "number": ShapeDtypeStruct((), np.int32),
        }
        scales = {"scale": ShapeDtypeStruct((), np.float32)}
        return {
            **(drops if self.config.model.drops else {}),
            **(scales if self.policy.scales else {}),
        }

    def _drops(self, part: Any) -> dropout.Drops:
        if not self.config.model.drops:
            return dropout.KEEP
        key = random.fold_in(step_key(part["rng"], part["count"]), part["number"])
        return dropout.drops(self.config.model, key)

    def _pending(self, path: str, shape: tuple[int, ...]) -> P:
        """Where a gradient lies: sums wait for the last micro-batch, but along axes that cut the
        weight itself."""
        spec = self.layout.at_rest(path, shape)
        return P(*spec, unreduced={*DATA, "tp"} - spec.spec(len(shape)).axes)

    def _used(self, path: str, shape: tuple[int, ...]) -> P:
        """Where a weight lies during a step."""
        return self.layout.used(path, len(shape))

    def _copied(self, stage: int) -> Callable | None:
        """weights -> what the passes of a step read, made once for all micro-batches: in the dtype
        of the policy and, if cut at rest, gathered; None where they read the weights."""
        layout, policy = self.layout, self.policy
        if policy.storage == np.float32 and not layout.fsdp:
            return None
        shapes = self.own(self.shapes, stage)
        rest = {n: layout.at_rest(n, s) for n, s in shapes.items()}
        used = {n: self._used(n, s) for n, s in shapes.items()}

        def read(flat: Flat) -> Flat:
            return {n: constrained(w, used[n]) for n, w in copies(flat, policy).items()}

        return spmd(read, self.mesh, (rest,), used)

    def _finish(self, stage: int) -> Callable:
        """(sums, losses, scales) -> (mean gradients, sum of their squares, mean losses)."""
        shapes = self.own(self.shapes, stage)
        rest = {n: self.layout.moments(n, s) for n, s in shapes.items()}

        def finish(sums: Flat, losses: list, scales: list) -> tuple[Flat, Any, list]:
            share = 1.0 / self.micros
            for scale in scales:
                share = 1.0 / (self.micros * scale)
            grads = {path: g * share for path, g in sums.items()}
            square = sum(jnp.sum(g * g) for g in grads.values())
            return grads, square, [x * share for x in losses]

        lies, *sums = self.gradients.lie
        names = tree.leaves(model.unflatten({n: n for n in self.shapes}))
        summed = self.own(dict(zip(names, sums, strict=True)), stage)
        losses, scales = [P()] * (stage == self.count - 1), [P()] * self.policy.scales
        ins, outs = (summed, [lies] * len(losses), scales), (rest, P(), losses)
        return spmd(finish, self.mesh, ins, outs, donate_argnums=(0,))

    def _update(self, stage: int) -> Callable:
        """(weights, what is kept of them, gradients, rest of the state, squares, loss) ->
        (weights, what is kept, rest, metrics); the rest of the state is common to all weights."""
        layout, shapes, training = self.layout, self.own(self.shapes, stage), self.config.training
        used = {n: layout.at_rest(n, s) for n, s in shapes.items()}
        rest = {n: layout.moments(n, s) for n, s in shapes.items()}
        flat = {n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()}
        whole = initial_state(flat, eval_shape(self.optimizer.init, flat), self.config)
        state = {name: part for name, part in whole.items() if name != "params"}
        names, structure = list(by_path(state)), tree.structure(state)
        owned = {n: w for n in names if (w := weight_of(n, shapes))}
        kept = {n: rest[w] if n.startswith("optimizer.") else used[w] for n, w in owned.items()}
        fixed = {n: P() for n in names if n not in kept}
        step = make_update(
            self.optimizer, self.schedule, self.max_grad_norm, self.policy, training.ema_decay
        )
        step = skipping(step) if training.nan_policy == "skip" else step

        def update(
            params: Flat, own: Flat, grads: Flat, common: Flat, squares: list, loss: Any
        ) -> tuple:
            values = {**own, **common}
            before = tree.unflatten(structure, [values[n] for n in names])
            found = loss, grads, jnp.sqrt(sum(squares))
            after, metrics = step({**before, "params": params}, found)
            params = after.pop("params")
            new = by_path(after)
            return params, *({n: new[n] for n in group} for group in (kept, fixed)), metrics

        ins = (used, kept, rest, fixed, [P()] * self.count, P())
        outs = (used, kept, fixed, P())
        return spmd(update, self.mesh, ins, outs, donate_argnums=(0, 1, 2))

    # --- a step ---

    def __call__(self, state: State, batch: Any) -> tuple[State, dict[str, Any]]:
        parts = [self._told(state, batch, m) for m in range(self.micros)]
        self._clocks = Clocks(self.depth, self.count)
        with _not_watched():
            read = self._read(state["params"])
        total, sums = self.gradients(read, parts, self.actions, self._clocks)
        with _not_watched():
            return self._finished(state, total, sums)

    def _finished(self, state: State, total: Any, sums: Any) -> tuple[State, dict[str, Any]]:
        """The step from the sums of the losses and of the gradients on."""
        flat, here = model.flatten(sums), self._here()
        scales = [state["loss_scale"]["scale"]] if self.policy.scales else []
        grads, squares, loss = {}, {}, None
        for s in here:
            losses = [total] if s == self.count - 1 else []
            grads[s], squares[s], losses = self.finish[s](self.own(flat, s), losses, scales)
            loss = losses[0] if losses else loss
        squares, loss = self._agreed(squares, loss)
        return self._updated(state, grads, squares, loss)

    def _told(self, state: State, batch: Any, micro: int) -> dict[str, Any]:
        """What the passes of one micro-batch read beside weights."""
        told = {name: rows[micro] for name, rows in batch.items()}
        if self.config.model.drops:
            told |= {"rng": state["rng"], "count": state["optimizer"]["count"]}
            told["number"] = np.asarray(micro, np.int32)
        if self.policy.scales:
            told["scale"] = state["loss_scale"]["scale"]
        return told

    def _read(self, params: Any) -> Any:
        """The weights as the passes read them."""
        flat, read = model.flatten(params), {}
        for s in range(self.count):
            own, copy = self.own(flat, s), self.copies[s]
            if copy is None:
                read.update(own)
            elif self.gradients.is_here(s):
                read.update(copy(own))
            else:
                read.update(self._elsewhere(own, self._used, s, self.policy.storage))
        return model.unflatten({path: read[path] for path in flat})

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
        others = {name: part for name, part in state.items() if name != "params"}
        params, kept = model.flatten(state["params"]), by_path(others)
        owner = {n: self.stage[w] for n in kept if (w := weight_of(n, self.stage))}
        common, after, metrics = {n: x for n, x in kept.items() if n not in owner}, {}, {}
        for s in range(self.count):
            own = {n: kept[n] for n, of in owner.items() if of == s}
            if s in grads:
                new, mine, after, metrics = self.update[s](
                    self.own(params, s), own, grads[s], common, squares, loss
                )
            else:
                new = self._elsewhere(self.own(params, s), self.layout.at_rest, s)
                mine = {
                    **self._elsewhere(_of(own, "optimizer."), self.layout.moments, s),
                    **self._elsewhere(_of(own, "ema."), self.layout.at_rest, s),
                }
            params.update(new)
            kept.update(mine)
        leaves = [{**kept, **after}[n] for n in by_path(others)]
        changed = tree.unflatten(tree.structure(others), leaves)
        return {**changed, "params": model.unflatten(params)}, metrics

    def _elsewhere(self, flat: Flat, where: Callable, stage: int, dtype: Any = None) -> Flat:
        """What the processes of another stage have now."""
        found = {}
        for name, x in flat.items():
            shape = tuple(x.shape)
            lies = where(weight_of(name, self.stage), shape)
            like = ShapeDtypeStruct(shape, dtype or x.dtype)
            found[name] = self.gradients.elsewhere(like, lies, stage)
        return found

    def traffic(self) -> Traffic:
        """[count, bytes] of the collectives of one step by axes and kind; what stages hand on is
        under "pp"."""
        found = self.gradients.runner.traffic(self.micros)
        for made in filter(None, (*self.copies, *self.finish, *self.update)):
            add_traffic(found, made.traffic() if made.called else {})
        handed = self.gradients.runner.record.handed_on
        return {**found, "pp": {"send": [sum(n) for n in zip(*handed.values(), strict=True)]}}

    def counted(self) -> Timeline:
        """The passes of the latest step as its ranks carried them out, each begun when what it read
        had been made; time is that of `schedules.COSTS`. All processes of a job must ask."""
        own, world = self._clocks.timeline().spans, launch.world()
        if world is None:
            return timeline(own)
        every = world.comm.allgather(own)
        return timeline([next(filter(None, of_rank), ()) for of_rank in zip(*every, strict=True)])

    def sent(self, stage: int) -> Traffic:
        """What a device of a stage would tell in a step, as `traffic`; nothing is compiled."""
        found = self.gradients.sent(stage, self.micros)
        for made, args in self._around(stage):
            add_traffic(found, made.one_device(*args).traffic)
        return found

    def _around(self, stage: int) -> Iterator[tuple[Any, tuple]]:
        """The programs before and after the passes, and what they are called with, as shapes."""
        shapes = self.own(self.shapes, stage)
        flat = {n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()}
        one = ShapeDtypeStruct((), np.float32)
        if self.copies[stage] is not None:
            yield self.copies[stage], (flat,)
        losses = [one] * (stage == self.count - 1)
        yield self.finish[stage], (flat, losses, [one] * self.policy.scales)
        state = initial_state(flat, eval_shape(self.optimizer.init, flat), self.config)
        rest = by_path({name: part for name, part in state.items() if name != "params"})
        kept = {n: x for n, x in rest.items() if weight_of(n, shapes)}
        common = {n: x for n, x in rest.items() if n not in kept}
        yield self.update[stage], (flat, kept, flat, common, [one] * self.count, one)

    def stats(self) -> dict[str, Any]:
        """Counts and times of what the busiest of the devices runs: kernels of one step, distinct
        ones and bytes of all programs of a stage."""
        found = [self._stats(s) for s in self._here()]
        most = {name: max(one[name] for one in found) for name in found[0]}
        return {**most, "trace_s": self.gradients.trace_s, "compile_s": self.gradients.compile_s}

    def _stats(self, stage: int) -> dict[str, int]:
        made = self.gradients.runner.executables
        passes = [made[a.kind, s].program for a in self.actions if (s := a.stage) == stage]
        around = (self.copies[stage], self.finish[stage], self.update[stage])
        rest = [made.program for made in around if made is not None]
        programs = {id(p): p for p in (*passes, *rest)}.values()
        return {
            "kernels_per_step": sum(p.dispatch_count for p in (*passes, *rest)),
            "distinct_kernels": len({k.wgsl for p in programs for k in p.kernels}),
            "peak_bytes": sum(p.peak_bytes for p in programs),
        }
