"""Short flags of `picotron train`: this project's own, and those of picotron's create_config.py.

Invariant: a short flag is another spelling of the one field of the schema that `PLACES` names; it
goes over what files and presets say.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from picotron.config import Config

PLACES = {
    "data": "dataset.path",
    "steps": "training.total_train_steps",
    "resume": "checkpoint.load_path",
    "out": "checkpoint.save_dir",
    "init_from": "checkpoint.init_from",
    "dp": "distributed.dp_size",
    "tp": "distributed.tp_size",
    "pp": "distributed.pp_size",
    "cp": "distributed.cp_size",
    "pp_engine": "distributed.pp_engine",
    "fsdp": "distributed.fsdp",
    "sp": "distributed.sp",
    "mbs": "training.micro_batch_size",
    "seq_len": "training.seq_length",
    "grad_acc_steps": "training.gradient_accumulation_steps",
    "num_hidden_layers": "model.num_hidden_layers",
    "num_attention_heads": "model.num_attention_heads",
    "num_key_value_heads": "model.num_key_value_heads",
    "subset_name": "dataset.subset_name",
    "exp_name": "logging.run_name",
}


@dataclass(frozen=True)
class Shortcuts:
    """Flags that are short for others."""

    data: str | None = None
    """Short for --dataset.path: the text to train on."""
    steps: int | None = None
    """Short for --training.total-train-steps."""
    resume: str | None = None
    """Short for --checkpoint.load-path: the run or checkpoint folder to continue, or auto."""
    out: str | None = None
    """Short for --checkpoint.save-dir: where run folders go."""
    init_from: str | None = None
    """Short for --checkpoint.init-from: the Hugging Face folder to fine-tune."""
    dp: int | None = None
    """Short for --distributed.dp-size."""
    tp: int | None = None
    """Short for --distributed.tp-size."""
    pp: int | None = None
    """Short for --distributed.pp-size."""
    cp: int | None = None
    """Short for --distributed.cp-size."""
    pp_engine: Literal["1f1b", "afab", "interleaved", "zb-h1"] | None = None
    """Short for --distributed.pp-engine."""
    fsdp: bool | None = None
    """Short for --distributed.fsdp."""
    sp: bool | None = None
    """Short for --distributed.sp."""
    mbs: int | None = None
    """Short for --training.micro-batch-size."""
    seq_len: int | None = None
    """Short for --training.seq-length; the model's context grows to it."""
    grad_acc_steps: int | None = None
    """Short for --training.gradient-accumulation-steps."""
    num_hidden_layers: int | None = None
    """Short for --model.num-hidden-layers."""
    num_attention_heads: int | None = None
    """Short for --model.num-attention-heads."""
    num_key_value_heads: int | None = None
    """Short for --model.num-key-value-heads."""
    subset_name: str | None = None
    """Short for --dataset.subset-name."""
    exp_name: str | None = None
    """Short for --logging.run-name."""

    def over(self, config: Config) -> Config:
        """The configuration with the flags that were given laid over it."""
        given = {f.name: getattr(self, f.name) for f in fields(Shortcuts)}
        for name, value in given.items():
            if value is not None:
                config = put(config, PLACES[name], value)
        if self.steps is not None:
            config = put(config, "training.num_train_epochs", None)
        if self.seq_len is not None:
            longest = max(self.seq_len, config.model.max_position_embeddings)
            config = put(config, "model.max_position_embeddings", longest)
        return config


def put(config: Config, place: str, value: object) -> Config:
    """The configuration with another value at a dotted path of two names."""
    section, key = place.split(".")
    return replace(config, **{section: replace(getattr(config, section), **{key: value})})
