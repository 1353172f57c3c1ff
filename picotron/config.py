"""Everything a run depends on, as frozen records with Hugging Face and picotron field names.

Invariant: a `Config` that passed `check` describes a run that can start; `check` reports all
problems at once. Reading and writing files is `config_file`'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from picotron.errors import ConfigError
from picotron.rope import RopeScaling


@dataclass(frozen=True)
class ModelConfig:
    """Shape of a LLaMA; names and meaning follow Hugging Face's `LlamaConfig`."""

    vocab_size: int | None = None
    """Rows of the embedding; by default the tokenizer's size."""
    hidden_size: int = 128
    intermediate_size: int = 352
    num_hidden_layers: int = 2
    num_attention_heads: int = 4
    num_key_value_heads: int = 2
    """Heads of keys and values, shared by groups of query heads."""
    head_dim: int | None = None
    """Size of a head; by default hidden_size / num_attention_heads."""
    max_position_embeddings: int = 128
    """Longest context in tokens."""
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling = field(default_factory=RopeScaling)
    initializer_range: float = 0.05
    """Standard deviation of the initial weights."""
    tie_word_embeddings: bool = False
    """Use the embedding as the output head."""
    attention_bias: bool = False
    """Add a vector to queries, keys, values and what attention gives."""
    mlp_bias: bool = False
    """Add a vector after each matrix of the feed-forward part."""
    attention_dropout: float = 0.0
    """Share of attention weights that a train step sets to zero."""
    hidden_dropout: float = 0.0
    """Share of the embedding's and of each block's outputs that a train step sets to zero."""

    @property
    def head_size(self) -> int:
        """head_dim, or what it is by default."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def drops(self) -> bool:
        """Whether a train step draws random numbers."""
        return self.attention_dropout > 0 or self.hidden_dropout > 0


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation: how many steps of how many tokens, and what is done with each gradient."""

    seed: int = 42
    total_train_steps: int = 1200
    seq_length: int = 128
    micro_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: Literal["adamw", "sgd"] = "adamw"
    learning_rate: float = 3e-3
    """Peak, reached after the warm-up."""
    min_learning_rate: float = 3e-4
    """Where the cosine decay ends."""
    warmup_steps: int = 50
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_epsilon: float = 1e-8
    momentum: float = 0.9
    """Of sgd."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; 0 leaves them alone."""

    @property
    def tokens_per_step(self) -> int:
        return self.seq_length * self.micro_batch_size * self.gradient_accumulation_steps


@dataclass(frozen=True)
class DatasetConfig:
    """Where the text comes from."""

    path: str | None = None
    """A UTF-8 text, or a .npy of token ids; by default the novel that comes with the package."""
    tokenizer_path: str | None = None
    """A tokenizer.json to use instead of one made from the text; needed with a .npy."""
    validation_fraction: float = 0.05
    """Share of the text, from its end, that is never trained on."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What is kept on disk."""

    save_dir: str = "outputs"
    save_frequency: int = 500
    """Steps between checkpoints; 0 saves at the end only."""
    save_total_limit: int = 3
    """Older checkpoints beyond this many are removed."""
    load_path: str | None = None
    """A checkpoint or run folder to continue from."""


@dataclass(frozen=True)
class LoggingConfig:
    """What is shown and how often."""

    run_name: str = "novel"
    log_frequency: int = 10
    eval_frequency: int = 250
    """Steps between validations; 0 validates at the end only."""
    eval_batches: int = 8
    sample_prompt: str = "She "
    sample_tokens: int = 240
    """Characters of text generated at the end; 0 for none."""
    plot: bool = True
    """Draw loss.png at the end."""


@dataclass(frozen=True)
class Config:
    """One training run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)


def _preset(model: dict[str, Any], training: dict[str, Any], **logging: Any) -> Config:
    model = {"max_position_embeddings": training["seq_length"], **model}
    return Config(
        ModelConfig(**model), TrainingConfig(**training), logging=LoggingConfig(**logging)
    )


PRESETS: dict[str, Config] = {
    "novel": Config(),
    "tiny": _preset(
        {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 2},
        {"total_train_steps": 200, "seq_length": 64, "micro_batch_size": 8, "warmup_steps": 20},
        run_name="tiny",
    ),
    "medium": _preset(
        {
            "hidden_size": 384,
            "intermediate_size": 1024,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "num_key_value_heads": 6,
            "initializer_range": 0.03,
        },
        {
            "total_train_steps": 2000,
            "seq_length": 256,
            "micro_batch_size": 32,
            "learning_rate": 1e-3,
            "min_learning_rate": 1e-4,
            "warmup_steps": 100,
        },
        run_name="medium",
    ),
}
"""`novel` is the default; `tiny` shows the machinery in seconds; `medium` wants a GPU."""


# -- validation --------------------------------------------------------------------------------

_POSITIVE = {
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
    problems = [*_range_problems(config), *_model_problems(config.model), *_run_problems(config)]
    raise_problems(problems)
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
