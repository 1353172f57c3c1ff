"""Configuration files of other trainers, read as they are: picotron's and mlsquare/picotron-wgpu's.

Invariant: `FIELDS` has one row for each field of theirs that the schema lacks or calls otherwise. A
row either says where the value goes, or says of each value why it is refused and what to do
instead; nothing is dropped in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from picotron.models import MODELS, model_named

Data = dict[str, Any]
SEED, PICOTRON = "picotron-wgpu", "picotron"


class Refused(Exception):
    """A value that cannot be honoured; the message has the reason and the cure."""


@dataclass(frozen=True)
class Foreign:
    """One field. `to` is a dotted path of the schema, or several; `read` converts the value.

    `read` returns LEAVE where the value asks for what happens anyway, and raises Refused.
    """

    dialect: str
    key: str
    to: str | None
    meaning: str
    read: Callable[[Any], Any] = lambda value: value


LEAVE = object()


def only(*accepted: Any, cure: str) -> Callable[[Any], Any]:
    """A reader that takes these values for what happens anyway, and refuses others."""

    def read(value: Any) -> Any:
        if value in accepted and type(value) in {type(a) for a in accepted}:
            return LEAVE
        raise Refused(cure)

    return read


def given(value: Any) -> Any:
    """The value; null leaves the schema's default."""
    return LEAVE if value is None or value == "" else value


def or_zero(value: Any) -> Any:
    """0, which means never, for null."""
    return 0 if value is None else value


_DTYPES = {"float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def _precision(value: Any) -> Any:
    if value not in _DTYPES:
        raise Refused(f"use one of {', '.join(_DTYPES)}")
    return _DTYPES[value]


def _metric(value: Any) -> Any:
    if value in ("loss", "eval_loss", "validation_loss"):
        return LEAVE
    raise Refused("runs measure the validation loss alone; use 'loss'")


FIELDS: tuple[Foreign, ...] = (
    # -- mlsquare/picotron-wgpu: model, training, parallelism, data, output
    Foreign(SEED, "model.name", "logging.model_name", "a label, shown as a run starts"),
    Foreign(SEED, "model.hidden_dropout_prob", "model.hidden_dropout", "the same"),
    Foreign(SEED, "model.attention_probs_dropout_prob", "model.attention_dropout", "the same"),
    Foreign(SEED, "model.layer_norm_eps", "model.rms_norm_eps", "of the RMS norms"),
    Foreign(SEED, "training.per_device_train_batch_size", "training.micro_batch_size", "the same"),
    Foreign(
        SEED,
        "training.max_steps",
        "training.total_train_steps",
        "in place of num_train_epochs; null leaves those",
        given,
    ),
    Foreign(SEED, "training.logging_steps", "logging.log_frequency", "the same"),
    Foreign(SEED, "training.save_steps", "checkpoint.save_frequency", "the same"),
    Foreign(
        SEED, "training.eval_steps", "logging.eval_frequency", "null validates at the end", or_zero
    ),
    Foreign(SEED, "parallelism.data_parallel_size", "distributed.dp_size", "the same"),
    Foreign(SEED, "parallelism.tensor_parallel_size", "distributed.tp_size", "the same"),
    Foreign(SEED, "parallelism.pipeline_parallel_size", "distributed.pp_size", "the same"),
    Foreign(SEED, "parallelism.context_parallel_size", "distributed.cp_size", "the same"),
    Foreign(SEED, "parallelism.pipeline_engine", "distributed.pp_engine", "the same"),
    Foreign(SEED, "data.train_data_path", "dataset.path", "a file or a glob"),
    Foreign(SEED, "data.eval_data_path", "dataset.eval_path", "null splits the text", given),
    Foreign(SEED, "data.num_workers", "dataset.num_workers", "batches prepared ahead"),
    Foreign(SEED, "data.cache_dir", "dataset.cache_dir", "where tokens are kept", given),
    Foreign(SEED, "output.output_dir", "checkpoint.save_dir", "the same"),
    Foreign(SEED, "output.experiment_name", "logging.run_name", "the run folder's name"),
    Foreign(SEED, "output.save_total_limit", "checkpoint.save_total_limit", "the same"),
    Foreign(SEED, "output.load_best_model_at_end", "checkpoint.load_best_model_at_end", "the same"),
    Foreign(
        SEED,
        "output.metric_for_best_model",
        None,
        "the validation loss; others are refused, because runs measure no other",
        _metric,
    ),
    # -- huggingface/picotron: template/base_config.json
    Foreign(
        PICOTRON,
        "distributed.backend",
        None,
        "nccl and gloo mean the same here: collectives run through WebGPU or MPI",
        only("nccl", "gloo", cure="leave it out; collectives run through WebGPU or MPI"),
    ),
    Foreign(
        PICOTRON,
        "distributed.use_cpu",
        None,
        "true is refused, because the adapter decides: `--adapter llvmpipe`",
        only(False, cure="leave it out and choose a software adapter: --adapter llvmpipe"),
    ),
    Foreign(PICOTRON, "model.name", "model", "a known model, whose shape is the default"),
    Foreign(
        PICOTRON,
        "model.dtype",
        "training.precision",
        "float32, float16 or bfloat16; the optimizer's weights stay float32",
        _precision,
    ),
    Foreign(
        PICOTRON,
        "model.use_flash_attention",
        None,
        "attention is one fused kernel; false is refused, because there is no other",
        only(True, cure="leave it out; attention is always one fused kernel"),
    ),
    Foreign(
        PICOTRON,
        "model.use_fused_adam",
        None,
        "the optimizer is part of the compiled step; false is refused, because it always is",
        only(True, cure="leave it out; the optimizer is always part of the compiled step"),
    ),
    Foreign(PICOTRON, "training.num_samples", "dataset.num_samples", "documents read at most"),
    Foreign(
        PICOTRON,
        "dataset.num_proc",
        None,
        "1; more is refused, because tokenizers use all cores by themselves",
        only(1, cure="leave it out; the tokenizers library uses all cores by itself"),
    ),
    Foreign(PICOTRON, "checkpoint.load_path", "checkpoint.load_path", "'' is none", given),
    Foreign(PICOTRON, "logging.run_name", "logging.run_name", "null keeps the default", given),
    Foreign(
        PICOTRON,
        "environment.FLASH_ATTEN",
        None,
        "as model.use_flash_attention",
        only("1", None, cure="leave it out; attention is always one fused kernel"),
    ),
    Foreign(
        PICOTRON,
        "environment.HF_TOKEN",
        None,
        "null; a token is refused, because configurations are written into checkpoints",
        only(None, cure="remove it, since checkpoints keep the file, and export HF_TOKEN instead"),
    ),
)

_SEED_SECTIONS = {"parallelism", "data", "output"}
# Keys that only picotron's own files have: its trainer has a constant rate and torch's AdamW.
_PICOTRON_ONLY = {
    ("distributed", "backend"),
    ("distributed", "use_cpu"),
    ("model", "use_flash_attention"),
    ("model", "use_fused_adam"),
    ("training", "num_samples"),
}
_PICOTRON_DEFAULTS = {
    "lr_schedule": "constant",
    "warmup_steps": 0,
    "weight_decay": 0.01,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "max_grad_norm": 0.0,
}


def table(dialect: str) -> str:
    """What becomes of each field that the schema lacks or calls otherwise, for people."""
    rows = [row for row in FIELDS if row.dialect == dialect]
    return "\n".join(f"{row.key:44} {row.to or '-':34} {row.meaning}" for row in rows)


def dialect_of(data: Data) -> str:
    """Whose file it is, from its sections and keys; our own files pass as picotron's."""
    return SEED if _SEED_SECTIONS & set(data) else PICOTRON


def translate(data: Data, source: str, problems: list[str]) -> Data:
    """The file in terms of the schema; problems are added to the list, keys nobody knows stay."""
    dialect = dialect_of(data)
    sections = {name: values for name, values in data.items() if isinstance(values, dict)}
    rows = {row.key: row for row in FIELDS if row.dialect == dialect}
    done: Data = {name: values for name, values in data.items() if name not in sections}
    for section, values in sections.items():
        for key, value in values.items():
            row = rows.get(f"{section}.{key}")
            if row is None:
                _put(done, f"{section}.{key}", value)
            else:
                _take(done, row, value, source, problems)
        if not values:
            done.setdefault(section, {})
    return _with_defaults(done, sections, dialect)


def _take(done: Data, row: Foreign, value: Any, source: str, problems: list[str]) -> None:
    try:
        value = row.read(value)
    except Refused as why:
        problems.append(f"{source}: {row.key} {value!r} is refused; {why}")
        return
    if value is LEAVE or row.to is None:
        return
    if row.to == "model":
        known = model_named(str(value))
        if known is None:
            problems.append(
                f"{source}: model.name {value!r} is no known model ({', '.join(MODELS)}); "
                "leave it out and give the shape, or train with --init-from FOLDER"
            )
            return
        done["model"] = {**known, **done.get("model", {})}
        return
    _put(done, row.to, value)


def _put(done: Data, path: str, value: Any) -> None:
    section, _, key = path.partition(".")
    done.setdefault(section, {})[key] = value


def _with_defaults(done: Data, sections: Data, dialect: str) -> Data:
    """What goes without saying in a file of this dialect."""
    model, training = (done.get(name, {}) for name in ("model", "training"))
    if not isinstance(model, dict) or not isinstance(training, dict):
        return done
    if dialect == SEED:
        if "num_attention_heads" in model:
            model.setdefault("num_key_value_heads", model["num_attention_heads"])
        if "max_position_embeddings" in model:
            training.setdefault("seq_length", model["max_position_embeddings"])
        if "total_train_steps" in training:
            training.pop("num_train_epochs", None)
    elif any(key in sections.get(section, ()) for section, key in _PICOTRON_ONLY):
        training = {**_PICOTRON_DEFAULTS, **training}
        if "seq_length" in training:  # as picotron's own trainer has it
            model.setdefault("max_position_embeddings", training["seq_length"])
    for name, section in (("model", model), ("training", training)):
        if section:
            done[name] = section
    return done
