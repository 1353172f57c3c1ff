"""What makes a configuration one that can run.

Invariant: a `Config` that passed `check` describes a run that can start, as far as that can be told
without its data; `check` reports all problems at once.
"""

from __future__ import annotations

from picotron.config import Config, DistributedConfig, ModelConfig
from picotron.errors import ConfigError

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
    ),
    "checkpoint": ("save_total_limit",),
    "logging": ("log_frequency", "eval_batches"),
}
_NOT_NEGATIVE = {
    "training": ("seed", "warmup_steps", "weight_decay", "min_learning_rate", "max_grad_norm"),
    "checkpoint": ("save_frequency",),
    "logging": ("eval_frequency", "sample_tokens"),
}
_FRACTION = {
    "model": ("attention_dropout", "hidden_dropout"),
    "training": ("adam_beta1", "adam_beta2", "momentum"),
}


def check(config: Config) -> Config:
    """The same config; raises ConfigError naming every problem it has."""
    raise_problems(
        [
            *_range_problems(config),
            *_distributed_problems(config.distributed),
            *_model_problems(config.model),
            *_run_problems(config),
        ]
    )
    return config


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
            wrong = (key for key in keys if not holds(values[key]))
            found += [f"{section}.{key} must be {text}, not {values[key]}" for key in wrong]
    return found


def _distributed_problems(distributed: DistributedConfig) -> list[str]:
    sizes = ("tp_size", "cp_size", "pp_size", "dp_size")
    asked = [f"{name} {getattr(distributed, name)}" for name in sizes]
    asked = [text for text in asked if not text.endswith(" 1")]
    asked += [name for name in ("fsdp", "zero1", "sp") if getattr(distributed, name)]
    if not asked:
        return []
    return [f"distributed: the trainer uses one device; leave out {', '.join(asked)}"]


def _model_problems(model: ModelConfig) -> list[str]:
    found = []
    hidden, heads, groups = (
        model.hidden_size,
        model.num_attention_heads,
        model.num_key_value_heads,
    )
    if model.vocab_size is not None and model.vocab_size < 1:
        found.append(f"model.vocab_size must be greater than 0, not {model.vocab_size}")
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


def _run_problems(config: Config) -> list[str]:
    training, found = config.training, []
    if training.seq_length > config.model.max_position_embeddings:
        found.append(
            f"training.seq_length {training.seq_length} exceeds model.max_position_embeddings "
            f"{config.model.max_position_embeddings}"
        )
    if training.min_learning_rate > training.learning_rate:
        found.append(
            f"training.min_learning_rate {training.min_learning_rate} exceeds "
            f"training.learning_rate {training.learning_rate}"
        )
    if training.optimizer not in ("adamw", "sgd"):
        found.append(f"training.optimizer must be adamw or sgd, not {training.optimizer!r}")
    if not 0 < config.dataset.validation_fraction < 1:
        found.append(
            "dataset.validation_fraction must be between 0 and 1, "
            f"not {config.dataset.validation_fraction}"
        )
    name = config.logging.run_name
    if not name or name in (".", "..") or "/" in name or "\\" in name:
        found.append(f"logging.run_name must be a plain folder name, not {name!r}")
    return found
