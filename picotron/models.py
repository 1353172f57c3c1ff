"""Shapes of published models, by their names on the Hugging Face hub.

Invariant: each is what the model's own `config.json` says, in the fields of `ModelConfig`.
"""

from __future__ import annotations

from typing import Any

Shape = dict[str, Any]


def _llama(hidden: int, inner: int, layers: int, heads: int, groups: int, **rest: Any) -> Shape:
    return {
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "initializer_range": 0.02,
        **rest,
    }


_SMOL = {"vocab_size": 49152, "max_position_embeddings": 2048, "tie_word_embeddings": True}
_LLAMA_3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

MODELS: dict[str, Shape] = {
    "HuggingFaceTB/SmolLM-135M": _llama(576, 1536, 30, 9, 3, **_SMOL),
    "HuggingFaceTB/SmolLM-360M": _llama(960, 2560, 32, 15, 5, **_SMOL),
    "HuggingFaceTB/SmolLM-1.7B": _llama(2048, 8192, 24, 32, 32, **_SMOL),
    "meta-llama/Llama-2-7b-hf": _llama(
        4096, 11008, 32, 32, 32, vocab_size=32000, max_position_embeddings=4096
    ),
    "meta-llama/Llama-3.2-1B": _llama(
        2048,
        8192,
        16,
        32,
        8,
        head_dim=64,
        vocab_size=128256,
        max_position_embeddings=131072,
        rope_theta=500000.0,
        rope_scaling=_LLAMA_3,
        tie_word_embeddings=True,
    ),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": _llama(
        2048, 5632, 22, 32, 4, vocab_size=32000, max_position_embeddings=2048
    ),
}


def model_named(name: str) -> Shape | None:
    """The shape of a model by its full or short name, in any case; Instruct variants are alike."""
    wanted = name.lower().removesuffix("-instruct")
    for known, shape in MODELS.items():
        if wanted in (known.lower(), known.lower().split("/")[1]):
            return dict(shape)
    return None
