"""The optimizer and the schedule that a configuration asks for.

Invariant: every field of `TrainingConfig` that concerns updates is read here and nowhere else, and
the state of every optimizer has a scalar `count`, the number of updates made.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from picotron.config import ParamGroup, TrainingConfig
from picotron.optim.optimizers import adamw, lion, sgd
from picotron.optim.schedules import (
    Schedule,
    constant_schedule,
    linear_schedule,
    warmup,
    warmup_cosine,
    wsd_schedule,
)
from picotron.optim.spectral import muon
from picotron.optim.transform import GradientTransformation, Mask, zero


def from_config(config: TrainingConfig) -> tuple[GradientTransformation, Schedule]:
    """The optimizer a run asks for and its learning-rate schedule; by default matrices decay."""
    rate = schedule_of(config)
    # The decay is the weight's own, so what it is a share of is 1.
    rest = {"weight_decay": 1.0, "decays": _decays(config), "factor": _factor(config)}
    betas = config.adam_beta1, config.adam_beta2
    adam = adamw(rate, *betas, config.adam_epsilon, **rest)
    match config.optimizer:
        case "sgd":
            return sgd(rate, config.momentum, config.nesterov, **rest), rate
        case "lion":
            return lion(rate, config.adam_beta1, config.lion_beta2, **rest), rate
        case "muon":
            return _with_count(muon(rate, _in_a_block, adam, **rest)), rate
    return adam, rate


def schedule_of(config: TrainingConfig) -> Schedule:
    """The rate of each step: a warm-up, then what `lr_schedule` says, to the last step."""
    peak, floor = config.learning_rate, config.final_learning_rate
    steps = max(config.total_train_steps - config.warmup_steps, 1)
    match config.lr_schedule:
        case "constant":
            following = constant_schedule(peak)
        case "linear":
            following = linear_schedule(peak, floor, steps)
        case "wsd":
            following = wsd_schedule(peak, floor, steps, config.decay_ratio)
        case _:
            return warmup_cosine(peak, floor, config.warmup_steps, config.total_train_steps)
    return warmup(peak, config.warmup_steps, following)


def _decays(config: TrainingConfig) -> Mask:
    """The decay of each weight: its group's, or the run's for matrices."""

    def decay(name: str, weight: Any) -> float:
        group = _group(config.param_groups, name)
        if group is not None and group.weight_decay is not None:
            return group.weight_decay
        return config.weight_decay if _is_matrix(name, weight) else 0.0

    return decay


def _factor(config: TrainingConfig) -> Mask:
    def factor(name: str, weight: Any) -> float:
        group = _group(config.param_groups, name)
        return 1.0 if group is None else group.lr_scale

    return factor


def _group(groups: tuple[ParamGroup, ...], name: str) -> ParamGroup | None:
    return next((group for group in groups if fnmatchcase(name, group.pattern)), None)


def _is_matrix(name: str, weight: Any) -> bool:
    return len(weight.shape) >= 2


def _in_a_block(name: str, weight: Any) -> bool:
    """Matrices between embedding and head, which Muon is meant for."""
    return _is_matrix(name, weight) and ".layers." in name


def _with_count(inner: GradientTransformation) -> GradientTransformation:
    def init(params: Any) -> Any:
        return {"count": zero(), **inner.init(params)}

    def update(grads: Any, state: Any, params: Any) -> tuple[Any, Any]:
        own = {name: part for name, part in state.items() if name != "count"}
        updates, after = inner.update(grads, own, params)
        return updates, {"count": state["count"] + 1, **after}

    return GradientTransformation(init, update)
