"""What makes a configuration one that can run.

Invariant: a `Config` that passed `check` describes a run that can start, as far as that can be told
without its data; `check` reports all problems at once.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from picotron.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from picotron.errors import ConfigError
from picotron.schedules import ScheduleError, schedule, split_layers
from picotron.words import size_in_bytes

_POSITIVE = {
    "distributed": ("tp_size", "cp_size", "pp_size", "dp_size"),
    "model": (
        "hidden_size",
        "intermediate_size",
        "num_hidden_layers",
        "num_attention_heads",
        "num_key_value_heads",
        "max_position_embeddings",
        "rms_norm_eps",
        "rope_theta",
        "initializer_range",
    ),
    "training": (
        "total_train_steps",
        "seq_length",
        "micro_batch_size",
        "gradient_accumulation_steps",
        "learning_rate",
        "adam_epsilon",
        "num_train_epochs",
        "max_tokens",
    ),
    "dataset": ("vocab_size", "num_samples"),
    "checkpoint": ("save_total_limit",),
    "logging": ("log_frequency", "eval_batches"),
}
_NOT_NEGATIVE = {
    "training": ("seed", "warmup_steps", "weight_decay", "min_learning_rate", "max_grad_norm"),
    "dataset": ("num_workers",),
    "checkpoint": ("save_frequency",),
    "logging": ("eval_frequency", "sample_tokens"),
}
_FRACTION = {
    "model": ("attention_dropout", "hidden_dropout"),
    "training": ("adam_beta1", "adam_beta2", "lion_beta2", "momentum", "ema_decay"),
}


def check(config: Config) -> Config:
    """The same config; raises ConfigError naming every problem it has."""
    raise_problems(problems_of(config))
    return config


def problems_of(config: Config) -> list[str]:
    """One sentence for each thing that makes no sense."""
    return [
        *_range_problems(config),
        *_distributed_problems(config),
        *_model_problems(config.model),
        *_training_problems(config.training),
        *dataset_problems(config.dataset),
        *_run_problems(config),
    ]


def raise_problems(problems: list[str]) -> None:
    """Nothing for an empty list; else ConfigError with one sentence, or one per line."""
    if len(problems) == 1:
        raise ConfigError(problems[0])
    if problems:
        lines = "".join(f"\n  - {problem}" for problem in problems)
        raise ConfigError(f"{len(problems)} problems in the configuration:{lines}")


def _range_problems(config: Config) -> list[str]:
    rules = (
        (_POSITIVE, lambda value: value > 0, "greater than 0"),
        (_NOT_NEGATIVE, lambda value: value >= 0, "0 or more"),
        (_FRACTION, lambda value: 0 <= value < 1, "at least 0 and below 1"),
    )
    found = []
    for sections, holds, text in rules:
        for section, keys in sections.items():
            values = {key: getattr(getattr(config, section), key) for key in keys}
            wrong = (key for key in keys if values[key] is not None and not holds(values[key]))
            found += [f"{section}.{key} must be {text}, not {values[key]}" for key in wrong]
    return found


def _distributed_problems(config: Config) -> list[str]:
    distributed = config.distributed
    sizes = ("tp_size", "cp_size", "pp_size", "dp_size")
    if distributed.world_size == 1 or min(getattr(distributed, n) for n in sizes) < 1:
        return []  # sizes below 1 are told elsewhere
    return [
        # Of the vocabulary `prepare` makes what tp divides.
        *cut_problems(replace(config, model=replace(config.model, vocab_size=None))),
        *(_pipeline_problems(config) if distributed.pp_size > 1 else ()),
    ]


@dataclass(frozen=True)
class Misfit:
    """A size that mesh axes cut into `parts`, which do not divide it; `near` are those that do."""

    name: str
    size: int
    axes: tuple[str, ...]
    parts: int

    @property
    def near(self) -> str:
        low = self.size // self.parts * self.parts
        return f"{low} or {low + self.parts}" if low else str(self.parts)


def misfits(
    model: ModelConfig, sizes: Mapping[str, int], sp: bool, batch: int, length: int
) -> Iterator[Misfit]:
    """The sizes of a run that a mesh does not divide; `batch` are the rows of all dp members."""
    tp, positions = ("tp",), ("cp", "tp") if sp else ("cp",)
    wanted = {
        "micro_batch_size": (batch, ("dp",)),
        "seq_length": (length, positions),
        "num_attention_heads": (model.num_attention_heads, tp),
        "num_key_value_heads": (model.num_key_value_heads, tp),
        "intermediate_size": (model.intermediate_size, tp),
        "vocab_size": (model.vocab_size or 0, tp),
    }
    for name, (size, axes) in wanted.items():
        parts = prod(sizes.get(a, 1) for a in axes)
        if size > 0 and size % parts:
            yield Misfit(name, size, axes, parts)


def padded(model: ModelConfig, parts: int) -> ModelConfig:
    """The model with unused rows of the vocabulary up to the next size that `parts` divide."""
    size = (model.vocab_size or 0) - model.unused_rows
    rows = -(-size // parts) * parts
    return replace(model, vocab_size=rows, unused_rows=rows - size)


def cut_problems(config: Config) -> list[str]:
    """What the mesh does not divide, with the nearest sizes that it does."""
    d, t = config.distributed, config.training
    sizes = {axis: getattr(d, f"{axis}_size") for axis in ("dp", "cp", "tp")}
    found = []
    for m in misfits(config.model, sizes, d.sp, t.micro_batch_size * d.dp_size, t.seq_length):
        section = "model" if hasattr(config.model, m.name) else "training"
        by = " x ".join(f"{axis}_size" for axis in m.axes)
        text = f"{section}.{m.name} {m.size} is not divisible by {by} {m.parts}; {m.near} would do"
        found.append(text)
    return found


def _pipeline_problems(config: Config) -> list[str]:
    d, training = config.distributed, config.training
    found = []
    try:
        made = schedule(d.pp_engine, d.pp_size, max(1, training.gradient_accumulation_steps))
        split_layers(config.model.num_hidden_layers, 1 + max(a.stage for r in made for a in r))
    except ScheduleError as error:
        found.append(f"distributed.pp_size {d.pp_size}: {error}")
    return found


def _model_problems(model: ModelConfig) -> list[str]:
    found = []
    hidden, heads, groups = (
        model.hidden_size,
        model.num_attention_heads,
        model.num_key_value_heads,
    )
    if model.vocab_size is not None and model.vocab_size < 1:
        found.append(f"model.vocab_size must be greater than 0, not {model.vocab_size}")
    if not 0 <= model.unused_rows < (model.vocab_size or model.unused_rows + 1):
        found.append(
            f"model.unused_rows must be 0 or more and less than model.vocab_size "
            f"{model.vocab_size}, not {model.unused_rows}"
        )
    if model.head_dim is not None and model.head_dim < 1:
        found.append(f"model.head_dim must be greater than 0, not {model.head_dim}")
    elif model.head_dim is None and heads > 0 and hidden % heads:
        found.append(
            f"model.hidden_size {hidden} must be divisible by model.num_attention_heads {heads}, "
            "or model.head_dim be given"
        )
    elif heads > 0 and model.head_size % 2:
        what = "hidden_size / num_attention_heads" if model.head_dim is None else "model.head_dim"
        found.append(
            f"{what} = {model.head_size} must be even, because rotary embeddings turn pairs"
        )
    if heads > 0 and groups > 0 and heads % groups:
        found.append(
            f"model.num_attention_heads {heads} must be divisible by "
            f"model.num_key_value_heads {groups}"
        )
    return found + [f"model.rope_scaling.{text}" for text in model.rope_scaling.problems()]


def _training_problems(training: TrainingConfig) -> list[str]:
    found, floor = [], training.min_learning_rate
    if floor is not None and floor > training.learning_rate:
        found.append(
            f"training.min_learning_rate {floor} exceeds training.learning_rate "
            f"{training.learning_rate}"
        )
    if not 0 < training.decay_ratio <= 1:
        found.append(
            f"training.decay_ratio must be above 0 and at most 1, not {training.decay_ratio}"
        )
    if training.memory_budget is not None:
        try:
            size_in_bytes(training.memory_budget, "training.memory_budget")
        except ConfigError as error:
            found.append(str(error))
    if training.nesterov and not training.momentum:
        found.append("training.nesterov needs a training.momentum above 0")
    for index, group in enumerate(training.param_groups):
        for key in ("lr_scale", "weight_decay"):
            value = getattr(group, key)
            if value is not None and value < 0:
                found.append(f"training.param_groups[{index}].{key} must be 0 or more, not {value}")
    return found + _choice_problems("training", training)


def dataset_problems(dataset: DatasetConfig) -> list[str]:
    """What is wrong with where the text comes from, one sentence each."""
    found = []
    if dataset.path and dataset.name:
        found.append("dataset.path and dataset.name are two sources; leave one out")
    if dataset.tokenizer == "bpe" and dataset.vocab_size < 260:
        found.append(
            f"dataset.vocab_size {dataset.vocab_size} is too small for bpe: 256 bytes and 4 "
            "special tokens make 260"
        )
    if not 0 < dataset.validation_fraction < 1:
        found.append(
            "dataset.validation_fraction must be between 0 and 1, "
            f"not {dataset.validation_fraction}"
        )
    return found + _choice_problems("dataset", dataset)


def _choice_problems(section: str, record: Any) -> list[str]:
    """Values that are none of those that the schema lists."""
    found = []
    for name, hint in typing.get_type_hints(type(record)).items():
        choices = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if choices and getattr(record, name) not in choices:
            listed = ", ".join(choices[:-1])
            found.append(
                f"{section}.{name} must be {listed} or {choices[-1]}, not {getattr(record, name)!r}"
            )
    return found


def _run_problems(config: Config) -> list[str]:
    training, found = config.training, []
    if training.seq_length > config.model.max_position_embeddings:
        found.append(
            f"training.seq_length {training.seq_length} exceeds model.max_position_embeddings "
            f"{config.model.max_position_embeddings}"
        )
    name = config.logging.run_name
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        found.append(f"logging.run_name must be a plain folder name, not {name!r}")
    return found
