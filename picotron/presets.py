"""Ready-made configurations, by name.

Invariant: each passes `validate.check` as it is.
"""

from __future__ import annotations

from typing import Any

from picotron.config import Config, LoggingConfig, ModelConfig, TrainingConfig
from picotron.models import MODELS
from picotron.rope import RopeScaling


def _preset(model: dict[str, Any], training: dict[str, Any], **logging: Any) -> Config:
    model = {"max_position_embeddings": training["seq_length"], **model}
    return Config(
        model=ModelConfig(**model),
        training=TrainingConfig(**training),
        logging=LoggingConfig(**logging),
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
            "warmup_steps": 100,
        },
        run_name="medium",
    ),
}
"""`novel` is the default; `tiny` shows the machinery in seconds; `medium` wants a GPU."""

PUBLISHED = {
    "smollm-135m": "HuggingFaceTB/SmolLM-135M",
    "smollm-360m": "HuggingFaceTB/SmolLM-360M",
    "smollm-1.7b": "HuggingFaceTB/SmolLM-1.7B",
    "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-Chat-v1.0",
    "llama-3.2-1b": "meta-llama/Llama-3.2-1B",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
}
"""Presets with the shape of a published model, and its name on the hub."""


def _published(preset: str) -> Config:
    shape = MODELS[PUBLISHED[preset]]
    scaling = RopeScaling(**shape.get("rope_scaling", {}))
    training = {
        "total_train_steps": 2000,
        "seq_length": 2048,
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 8,
        "learning_rate": 3e-4,
        "warmup_steps": 100,
    }
    return _preset({**shape, "rope_scaling": scaling}, training, run_name=preset)


PRESETS |= {name: _published(name) for name in PUBLISHED}
