"""The train step of a run on many devices.

Invariant: a step is called like that of one device and gives the same numbers; the model and the
loop around it do not know. What lies where is `sharding.Layout`'s, which stage has what is said
here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from picotron import model, optim
from picotron.config import Config, DistributedConfig
from picotron.optim.transform import dotted
from picotron.pipeline import PipelineStep, Recipe, stage_of_weight, weight_of
from picotron.precision import policy_of
from picotron.schedules import split_layers, stages_of
from picotron.sharding import Layout
from picotron.step import State, batch_shapes, make_train_step, skipping, state_shapes
from picotron.tensors import Slices
from tracer import ShapeDtypeStruct, tree
from tracer import numpy as jnp
from tracer.sharding import P, named_values
from tracer.spmd import MeshShape, OneDevice, from_blocks, spmd

AXES = ("dp", "cp", "tp")  # of a stage; the whole mesh has pp between dp and cp, as picotron's


def layout_of(distributed: DistributedConfig) -> Layout:
    """What is cut on the mesh of a stage."""
    sizes = {a: getattr(distributed, f"{a}_size") for a in AXES}
    return Layout(sizes, distributed.sp, distributed.fsdp, distributed.zero1)


def mesh_of(layout: Layout) -> MeshShape:
    return MeshShape(AXES, tuple(layout.size(a) for a in AXES))


def state_specs(config: Config, layout: Layout, optimizer: optim.GradientTransformation) -> Any:
    """Where each part of a state lies: weights and averages at rest, what the optimizer keeps of a
    weight with its moments, and the rest everywhere."""
    shapes = model.parameter_shapes(config.model)

    def spec(path: Any, leaf: Any) -> P:
        return _spec_of(dotted(path), tuple(leaf.shape), layout, shapes) or P()

    return tree.map_with_path(spec, state_shapes(config, optimizer))


def _spec_of(
    name: str, shape: tuple[int, ...], layout: Layout, shapes: dict[str, tuple[int, ...]]
) -> P | None:
    """Where a part of a state lies that belongs to a weight and has its shape; None of others."""
    weight = weight_of(name, shapes)
    if weight is None or shape != shapes[weight]:
        return None
    return (layout.moments if name.startswith("optimizer.") else layout.at_rest)(weight, shape)


def weights_in_pieces(config: Config, read: Callable[[str, Slices], np.ndarray]) -> model.Params:
    """The weights as a run on several devices starts with them, each device with its own piece:
    `read(path, slices)` gives a block of one, and is asked for no other."""
    shapes = model.parameter_shapes(config.model).items()
    return model.unflatten(
        {path: part_in_pieces(config, path, shape, partial(read, path)) for path, shape in shapes}
    )


def part_in_pieces(
    config: Config, name: str, shape: tuple[int, ...], read: Callable[[Slices], np.ndarray]
) -> Any:
    """A part of a state, by its dotted name, float32 if it belongs to a weight, as a run on several
    devices starts with it; all have all of what belongs to none."""
    d, layout = config.distributed, layout_of(config.distributed)
    shapes = model.parameter_shapes(config.model)
    lies = _spec_of(name, shape, layout, shapes)
    if lies is None:
        return jnp.asarray(read(()))
    count = stages_of(d.pp_engine, d.pp_size)
    layers = split_layers(config.model.num_hidden_layers, count)
    stage = stage_of_weight(weight_of(name, shapes), layers), count
    like = ShapeDtypeStruct(shape, np.float32)
    return from_blocks(mesh_of(layout), like, lies, read, stage)


class MeshStep:
    """`train_step(state, batch)` on every device of a mesh, the state donated."""

    def __init__(self, config: Config, recipe: Recipe) -> None:
        training, self.layout = config.training, layout_of(config.distributed)
        self.config, (optimizer, schedule_of, norm) = config, recipe
        self.optimizer = optimizer
        state = state_specs(config, self.layout, optimizer)
        data = dict.fromkeys(batch_shapes(config), self.layout.batch(3))
        step = make_train_step(
            config.model,
            optimizer,
            schedule_of,
            norm,
            self.layout,
            policy_of(training.precision),
            training.ema_decay,
        )
        step = skipping(step) if training.nan_policy == "skip" else step
        self.compiled = spmd(
            self._annotated(step), mesh_of(self.layout), (state, data), (state, P()),
            donate_argnums=(0,), memory_budget=training.budget,
        )  # fmt: skip

    def _annotated(self, step: Callable) -> Callable:
        def train_step(state: State, batch: Any) -> tuple[State, Any]:
            with named_values(self.layout.names()):
                return step(state, batch)

        return train_step

    def __call__(self, state: State, batch: Any) -> tuple[State, dict[str, Any]]:
        return self.compiled(state, batch)

    def lower(self, state: State, batch: Any) -> Any:
        return self.compiled.lower(state, batch)

    def one_device(self) -> OneDevice:
        """What each device would run; nothing is allocated or compiled."""
        state = state_shapes(self.config, self.optimizer)
        return self.compiled.one_device(state, batch_shapes(self.config))

    def traffic(self) -> dict[str, dict[str, list[int]]]:
        """[count, bytes] of the collectives of one step by axes and kind."""
        return self.compiled.traffic()

    def stats(self) -> dict[str, Any]:
        """Counts and times of the program of one device."""
        return self.compiled.stats()


def step_of(config: Config, recipe: Recipe | None = None) -> MeshStep | PipelineStep:
    """The train step of a run on several devices, with the optimizer of its configuration or of a
    `recipe`: (optimizer, schedule or None, largest norm or 0)."""
    recipe = recipe or (*optim.from_config(config.training), config.training.max_grad_norm)
    if config.distributed.pp_size == 1:
        return MeshStep(config, recipe)
    layout = layout_of(config.distributed)
    return PipelineStep(config, recipe, layout, mesh_of(layout))
