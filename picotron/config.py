"""Everything a run depends on, as frozen records with Hugging Face and picotron field names.

Invariant: records only, each field with its meaning below it. What values make sense together is
`validate`'s, reading and writing files `config_file`'s, ready-made configurations `presets`'.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from picotron.rope import RopeScaling
from picotron.words import size_in_bytes


@dataclass(frozen=True)
class DistributedConfig:
    """How a run is spread over devices: a mesh (dp, pp, cp, tp), tp innermost, as picotron's."""

    tp_size: int = 1
    """Tensor parallel: parts of each matrix."""
    cp_size: int = 1
    """Context parallel: parts of each sequence."""
    pp_size: int = 1
    """Pipeline parallel: stages of layers."""
    dp_size: int = 1
    """Data parallel: copies of the model, each with batches of its own."""
    pp_engine: Literal["1f1b", "afab", "interleaved", "zb-h1"] = "1f1b"
    """Order of a pipeline's passes: one forward, one backward; all forward, all backward; two
    chunks of layers on each stage; or with split backward passes that fill the gaps."""
    launcher: Literal["auto", "mpi", "virtual"] = "auto"
    """Where devices are: a process each over MPI, virtual ones of this process, or the first that
    is possible."""
    fsdp: bool = False
    """Shard weights, gradients and optimizer state over dp."""
    zero1: bool = False
    """Shard the optimizer state alone over dp."""
    sp: bool = False
    """Sequence parallel: shard activations between tensor parallel regions over tp."""

    @property
    def world_size(self) -> int:
        return self.tp_size * self.cp_size * self.pp_size * self.dp_size


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
    unused_rows: int = 0
    """Last rows of the vocabulary, which stand for no token and have no share in the softmax."""

    @property
    def head_size(self) -> int:
        """head_dim, or what it is by default."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def drops(self) -> bool:
        """Whether a train step draws random numbers."""
        return self.attention_dropout > 0 or self.hidden_dropout > 0


@dataclass(frozen=True)
class ParamGroup:
    """Weights whose dotted names match a shell pattern, such as `*.embed_tokens.*`."""

    pattern: str = "*"
    lr_scale: float = 1.0
    """Times the learning rate; 0 leaves the weights as they are."""
    weight_decay: float | None = None
    """By default that of the run for matrices, and 0 for vectors."""


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation: how many steps of how many tokens, and what is done with each gradient."""

    seed: int = 42
    total_train_steps: int = 1200
    num_train_epochs: int | None = None
    """Passes over the text, in place of total_train_steps."""
    max_tokens: int | None = None
    """Ends the run, and the schedule, after this many tokens at the latest."""
    seq_length: int = 128
    micro_batch_size: int = 8
    gradient_accumulation_steps: int = 1
    optimizer: Literal["adamw", "sgd", "lion", "muon"] = "adamw"
    """Muon is for the matrices of the blocks; what is left takes AdamW."""
    learning_rate: float = 3e-3
    """Peak, reached after the warm-up."""
    lr_schedule: Literal["cosine", "linear", "constant", "wsd"] = "cosine"
    """What follows the warm-up; wsd stays at the peak and decays at the end."""
    min_learning_rate: float | None = None
    """Where the decay ends; by default a tenth of learning_rate."""
    warmup_steps: int = 50
    decay_ratio: float = 0.2
    """Share of the steps in which wsd decays, linearly."""
    weight_decay: float = 0.1
    adam_beta1: float = 0.9
    adam_beta2: float = 0.95
    adam_epsilon: float = 1e-8
    lion_beta2: float = 0.99
    momentum: float = 0.9
    """Of sgd; muon's is 0.95, lion's is adam_beta1."""
    nesterov: bool = False
    """Of sgd: look ahead along the momentum."""
    param_groups: tuple[ParamGroup, ...] = ()
    """Weights with a rate or decay of their own; the first pattern that fits counts."""
    ema_decay: float = 0.0
    """Validate and sample an exponential average of the weights; 0 for the weights."""
    precision: Literal["auto", "f32", "f16", "bf16"] = "auto"
    """Of forward and backward passes; the optimizer's weights are f32."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this global norm; 0 leaves them alone."""
    memory_budget: str | None = None
    """Most that a step may take on each device, such as 6GiB: what its backward pass reads is
    computed again instead of kept until the step fits. By default all of it is kept."""
    nan_policy: Literal["stop", "skip", "rollback"] = "stop"
    """If a loss or gradient is no number: end the run, leave the step out, or go back to the last
    checkpoint and leave out the batches since then."""

    @property
    def final_learning_rate(self) -> float:
        """min_learning_rate, or what it is by default."""
        given = self.min_learning_rate
        return 0.1 * self.learning_rate if given is None else given

    @property
    def budget(self) -> int:
        """memory_budget in bytes; 0 where there is none. Raises ConfigError."""
        given = self.memory_budget
        return 0 if given is None else size_in_bytes(given, "training.memory_budget")

    @property
    def tokens_per_step(self) -> int:
        return self.seq_length * self.micro_batch_size * self.gradient_accumulation_steps


@dataclass(frozen=True)
class DatasetConfig:
    """Where the text comes from, and how it becomes tokens."""

    path: str | None = None
    """Text files or a glob of them, .jsonl, token ids (.npy, .bin), or 'stdlib' for Python's own
    sources; by default the novel that comes with the package."""
    eval_path: str | None = None
    """Validate on this instead of a part of the text."""
    name: str | None = None
    """A data set of the Hugging Face datasets library, in place of a path."""
    subset_name: str | None = None
    split: str = "train"
    text_column: str = "text"
    """The field of .jsonl lines and of data sets that holds the text."""
    num_samples: int | None = None
    """Documents that are read at most."""
    tokenizer: Literal["char", "byte", "bpe"] = "char"
    """Made from the text, unless there is a tokenizer_path."""
    vocab_size: int = 1024
    """Of a bpe tokenizer that is trained on the text."""
    tokenizer_path: str | None = None
    """A tokenizer.json to use instead of one made from the text; needed with token ids."""
    validation_fraction: float = 0.05
    """Share of the text, from its end, that is never trained on."""
    document_mask: bool = False
    """Attention and positions stay within a document."""
    cache_dir: str | None = None
    """Where tokens are kept between runs; by default the user's cache folder."""
    num_workers: int = 1
    """Batches that a thread prepares ahead; 0 prepares each when it is needed."""


@dataclass(frozen=True)
class CheckpointConfig:
    """What is kept on disk."""

    save_dir: str = "outputs"
    save_frequency: int = 500
    """Steps between checkpoints; 0 saves at the end only."""
    save_total_limit: int = 3
    """Older checkpoints beyond this many are removed."""
    load_best_model_at_end: bool = False
    """Sample from the checkpoint that validated best instead of the last."""
    load_path: str | None = None
    """A checkpoint or run folder to continue from."""
    init_from: str | None = None
    """A Hugging Face folder or checkpoint whose model, weights and tokenizer a run starts from."""


@dataclass(frozen=True)
class LoggingConfig:
    """What is shown and how often."""

    run_name: str = "novel"
    model_name: str | None = None
    """A label, shown as a run starts."""
    log_frequency: int = 10
    eval_frequency: int = 250
    """Steps between validations; 0 validates at the end only."""
    eval_batches: int = 8
    sample_prompt: str = "She "
    sample_tokens: int = 240
    """Characters of text generated at the end; 0 for none."""
    plot: bool = True
    """Draw loss.png at the end."""
    use_tensorboard: bool = False
    """Write an event file as well; needs the package tensorboard."""
    use_wandb: bool = False
    """Log to wandb as well; needs the package wandb."""
    project_name: str = "picotron"
    """Of wandb."""


@dataclass(frozen=True)
class EnvironmentConfig:
    """Variables that are set in the process before any library reads them, as picotron does."""

    OMP_NUM_THREADS: str | None = None
    """Threads of numpy's and the tokenizer's own parallel loops."""
    TOKENIZERS_PARALLELISM: str | None = None
    """Whether the tokenizers library may use threads: 'true' or 'false'."""


@dataclass(frozen=True)
class Config:
    """One training run."""

    distributed: DistributedConfig = field(default_factory=DistributedConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    logging: LoggingConfig = field(default_factory=LoggingConfig)
    environment: EnvironmentConfig = field(default_factory=EnvironmentConfig)

    @classmethod
    def default(cls) -> Config:
        """The configuration of a run without flags."""
        return cls()

    @classmethod
    def from_json(cls, path: str | Path) -> Config:
        """Read a file, picotron's and picotron-wgpu's included; raises ConfigError."""
        from picotron import config_file

        return config_file.load(Path(path), cls(), "json")

    @classmethod
    def from_toml(cls, path: str | Path) -> Config:
        """As `from_json`."""
        from picotron import config_file

        return config_file.load(Path(path), cls(), "toml")

    def starting_from(self, folder: str | Path) -> Config:
        """A run of the model in a Hugging Face folder, from its weights; sequences are no longer
        than its context. Raises CheckpointError."""
        from picotron.pretrained import model_of

        model = model_of(Path(folder))
        length = min(self.training.seq_length, model.max_position_embeddings)
        return replace(
            self,
            model=model,
            training=replace(self.training, seq_length=length),
            checkpoint=replace(self.checkpoint, init_from=str(folder)),
        )

    def to_json(self, path: str | Path) -> None:
        from picotron import config_file

        config_file.save(self, Path(path), "json")

    def to_toml(self, path: str | Path) -> None:
        from picotron import config_file

        config_file.save(self, Path(path), "toml")

    def validate(self) -> None:
        """Raises ConfigError, naming every problem."""
        from picotron import validate

        validate.check(self)


PicoTronConfig = Config
"""The name that picotron-wgpu's users know it by."""
