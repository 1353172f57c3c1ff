"""Hugging Face's LLaMA on disk: names, orientation and config.json in both dialects.

Invariant: `from_tensors(to_tensors(params)) == params` bit for bit; projections are [out, in] on
disk and [in, out] in memory, the embedding is [vocab, hidden] in both.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from picotron.config import ModelConfig
from picotron.errors import CheckpointError
from picotron.model import Params, flatten, parameter_shapes, unflatten
from picotron.tokenizer import END, PAD, START

_SHARED_NAMES = tuple(f.name for f in fields(ModelConfig) if f.name != "rope_theta")


def to_tensors(params: Params) -> dict[str, np.ndarray]:
    """Tensors by Hugging Face name, float32, contiguous."""
    flat = flatten(params)
    return {n: np.ascontiguousarray(_turn(n, np.asarray(w))) for n, w in flat.items()}


def from_tensors(tensors: dict[str, np.ndarray], config: ModelConfig, source: Path) -> Params:
    """Weights for `config`; raises CheckpointError naming what is missing, odd or not finite."""
    shapes = parameter_shapes(config)
    missing, unknown = sorted(shapes.keys() - tensors), sorted(tensors.keys() - shapes)
    if missing or unknown:
        problems = [f"lacks {missing[0]}"] * bool(missing) + [f"has {unknown[:1]}"] * bool(unknown)
        raise CheckpointError(f"{source} does not fit its config.json: it {' and '.join(problems)}")
    flat = {name: _turn(name, tensors[name]) for name in shapes}
    for name, shape in shapes.items():
        if flat[name].shape != shape:
            found, wanted = tensors[name].shape, _turn(name, np.empty(shape)).shape
            raise CheckpointError(f"{source}: {name} is {found}, config.json asks for {wanted}")
        if not np.isfinite(flat[name]).all():
            raise CheckpointError(f"{source}: {name} holds values that are not finite")
    return unflatten({n: np.ascontiguousarray(w, np.float32) for n, w in flat.items()})


def _turn(name: str, weight: np.ndarray) -> np.ndarray:
    is_projection = weight.ndim == 2 and not name.endswith("embed_tokens.weight")
    return weight.T if is_projection else weight


def to_config(config: ModelConfig) -> dict[str, Any]:
    """config.json as transformers' LlamaConfig writes it (v4 names and the v5 rope record)."""
    shared = {name: getattr(config, name) for name in _SHARED_NAMES}
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        **shared,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "rope_theta": config.rope_theta,
        "rope_parameters": {"rope_theta": config.rope_theta, "rope_type": "default"},
        "torch_dtype": "float32",
        "dtype": "float32",
        "bos_token_id": START,
        "eos_token_id": END,
        "pad_token_id": PAD,
    }


def from_config(data: dict[str, Any], source: Path) -> ModelConfig:
    """A ModelConfig from a LLaMA config.json; raises CheckpointError for what we do not compute."""
    _refuse_variants(data, source)
    rope = data.get("rope_parameters") or {}
    found = {name: data[name] for name in _SHARED_NAMES if data.get(name) is not None}
    found.setdefault("num_key_value_heads", data.get("num_attention_heads"))
    found["rope_theta"] = float(rope.get("rope_theta", data.get("rope_theta", 10000.0)))
    try:
        config = ModelConfig(**found)
        head_dim = config.head_dim
        parameter_shapes(config)
    except (TypeError, ZeroDivisionError) as error:
        raise CheckpointError(f"{source} does not describe a LLaMA: {error}") from error
    if data.get("head_dim") not in (None, head_dim):
        raise CheckpointError(f"{source}: head_dim must be hidden_size / num_attention_heads")
    return config


def _refuse_variants(data: dict[str, Any], source: Path) -> None:
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    wrong = (
        (data.get("model_type", "llama") != "llama", f"model_type {data.get('model_type')!r}"),
        (data.get("hidden_act", "silu") != "silu", f"hidden_act {data.get('hidden_act')!r}"),
        (bool(data.get("attention_bias")), "attention_bias"),
        (bool(data.get("mlp_bias")), "mlp_bias"),
        (rope.get("rope_type", rope.get("type", "default")) != "default", "scaled rope"),
    )
    for is_wrong, what in wrong:
        if is_wrong:
            raise CheckpointError(f"{source}: {what} is not supported")
