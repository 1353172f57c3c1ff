"""Hugging Face's config.json of a LLaMA, read and written in the dialects of transformers 4 and 5.

Invariant: `from_config(to_config(model)) == model`; a field that is left out has the value that
transformers gives it, and a field that could change the result and is not computed here is
refused by name, so what is read is what transformers would run.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Literal

from picotron import config_file
from picotron.config import Config, ModelConfig, TrainingConfig
from picotron.errors import CheckpointError, ConfigError
from picotron.rope import FIELDS, RopeScaling
from picotron.tokenizer import END, PAD, START, Tokenizer
from picotron.validate import check

Dtype = Literal["float32", "bfloat16", "float16"]
MOST_LAYERS = 4096

_MODEL_FIELDS = tuple(
    f.name for f in fields(ModelConfig) if f.name not in ("rope_theta", "rope_scaling")
)
_OURS = ("hidden_dropout", "unused_rows")  # told where they say something
_DEFAULTS = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 2048,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
}
"""Where transformers' LlamaConfig has other defaults than a run of ours."""

SPECIAL = ("bos_token_id", "eos_token_id", "pad_token_id")

HARMLESS = frozenset(
    """
    architectures auto_map_used bad_words_ids begin_suppress_tokens bos_token_id
    chunk_size_feed_forward decoder_start_token_id diversity_penalty do_sample dtype early_stopping
    encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty finetuning_task
    forced_bos_token_id forced_eos_token_id id2label is_decoder is_llama_config label2id
    length_penalty max_length min_length model_max_length model_type name_or_path
    no_repeat_ngram_size num_beam_groups num_beams num_return_sequences output_attentions
    output_hidden_states output_scores pad_token_id prefix pretraining_tp problem_type
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id
    suppress_tokens task_specific_params temperature tf_legacy_loss tie_encoder_decoder
    tokenizer_class top_k top_p torch_dtype torchscript transformers_version typical_p
    unsloth_fixed unsloth_version use_bfloat16 use_cache
    """.split()
)
"""Fields that say how a model was made, is stored or samples, and not what it computes."""

_ONLY: dict[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "hidden_act": ("silu", "swish"),
    "layer_types": (),
    "partial_rotary_factor": (1.0,),
    "quantization_config": (),
    "rope_interleaved": (False,),
    "sliding_window": (),
}
"""Fields with the values that are computed here; left out or null, they are as in a LLaMA."""


def special_of(tokenizer: Tokenizer) -> dict[str, Any]:
    """The ids of a tokenizer's special tokens, by transformers' names."""
    ours = (tokenizer.start, tokenizer.end) == (START, END)
    ids = zip(SPECIAL, (tokenizer.start, tokenizer.end, PAD if ours else None), strict=True)
    return {name: index for name, index in ids if index is not None}


def to_config(
    config: ModelConfig, special: dict[str, Any] | None = None, dtype: Dtype = "float32"
) -> dict[str, Any]:
    """What transformers' LlamaConfig writes, with the names of both dialects side by side.

    `special` has the ids of tokens by transformers' names.
    """
    shared = {name: getattr(config, name) for name in _MODEL_FIELDS if name not in _OURS}
    shared |= {name: getattr(config, name) for name in _OURS if getattr(config, name)}
    rope = _rope_record(config.rope_scaling)
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **shared,
        "head_dim": config.head_size,
        "hidden_act": "silu",
        "rope_theta": config.rope_theta,
        "rope_scaling": None if config.rope_scaling == RopeScaling() else rope,
        "rope_parameters": {"rope_theta": config.rope_theta, **rope},
        "torch_dtype": dtype,
        "dtype": dtype,
        **(special or {}),
    }


def _rope_record(scaling: RopeScaling) -> dict[str, Any]:
    """The fields of the kind in use; None says the same as a field that is left out."""
    values = {name: getattr(scaling, name) for name in ("rope_type", *FIELDS[scaling.rope_type])}
    return {name: value for name, value in values.items() if value is not None}


def from_config(data: dict[str, Any], source: Path) -> ModelConfig:
    """The model of a config.json; raises CheckpointError with everything that speaks against it."""
    rope = data.get("rope_scaling") or data.get("rope_parameters") or {}
    if not isinstance(rope, dict):
        raise CheckpointError(f"{source}: rope_parameters must be an object, not {rope!r}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    problems = [*_unsupported(data), *_unsupported_rope(rope, kind)]
    if problems:
        raise CheckpointError(f"{source} is not a LLaMA that can be run: {'; '.join(problems)}")
    found = {name: data[name] for name in _MODEL_FIELDS if data.get(name) is not None}
    found = {**_DEFAULTS, "num_key_value_heads": data.get("num_attention_heads", 32), **found}
    found["rope_theta"] = rope.get("rope_theta") or data.get("rope_theta") or 10000.0
    first = {"original_max_position_embeddings": found["max_position_embeddings"]}
    given = {name: value for name, value in {**first, **rope}.items() if value is not None}
    read = {name: given[name] for name in FIELDS[kind] if name in given}
    found["rope_scaling"] = {"rope_type": kind, **read}
    try:
        return _checked(found)
    except ConfigError as error:
        raise CheckpointError(f"{source} does not describe a LLaMA: {error}") from error


def _checked(found: dict[str, Any]) -> ModelConfig:
    run = Config(training=TrainingConfig(seq_length=1))
    model = check(config_file.from_dict({"model": found}, run, "config.json")).model
    for name, value in vars(model).items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"model.{name} must be finite, not {value}")
    if model.num_hidden_layers > MOST_LAYERS:
        raise ConfigError(f"{model.num_hidden_layers} layers are more than {MOST_LAYERS}")
    # What the default says is not repeated, so that a model equals the one it was written from.
    is_default = model.head_dim == model.hidden_size / model.num_attention_heads
    return replace(model, head_dim=None) if is_default else model


def _unsupported(data: dict[str, Any]) -> Iterator[str]:
    known = {*_MODEL_FIELDS, *HARMLESS, "rope_theta", "rope_scaling", "rope_parameters"}
    for name, value in data.items():
        if name in _ONLY:
            if value is not None and value not in _ONLY[name]:
                yield f"{name} {value!r} is not supported"
        elif value and name not in known and not name.startswith("_"):
            yield f"the field {name} is not known and could change what the model computes"


def _unsupported_rope(rope: dict[str, Any], kind: Any) -> Iterator[str]:
    if kind not in tuple(FIELDS):
        yield f"rope_type {kind!r} is not supported"
        return
    if "factor" in FIELDS[kind] and rope.get("factor") is None:
        yield f"rope_type {kind!r} needs a factor"
    known = {"type", "rope_type", "rope_theta", *(f.name for f in fields(RopeScaling))}
    for name, value in rope.items():
        if value is not None and name not in known and value not in _ONLY.get(name, ()):
            yield f"the rope field {name} is not known"
