"""Small LLaMAs of transformers with random weights: what the trainer's models are compared with.

Invariant: every parameter, norms and biases too, is away from its initial value, so that one that
is forgotten shows; the same name gives the same weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from picotron import model

RECORDED = Path(__file__).resolve().parent.parent / "data" / "llamas.npz"
RECORDED_CASES = ("tied", "wide heads", "dynamic, beyond", "llama3, tied, biased", "yarn")
RECORDED_LENGTH = 20
BASE = {
    "vocab_size": 97,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 16}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
CASES: dict[str, dict[str, Any]] = {
    "grouped": {},
    "one head each": {"num_key_value_heads": 4},
    "one group": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "wide heads": {"head_dim": 16},
    "narrow heads": {"head_dim": 4, "num_key_value_heads": 1},
    "attention bias": {"attention_bias": True},
    "mlp bias": {"mlp_bias": True},
    "both biases, tied": {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    "theta": {"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}},
    "linear": {"rope_parameters": {"rope_type": "linear", "factor": 4.0}},
    "dynamic": {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0}},
    "dynamic, beyond": {
        "rope_parameters": {"rope_type": "dynamic", "factor": 2.0},
        "max_position_embeddings": 12,
    },
    "llama3": {"rope_parameters": {**LLAMA3, "low_freq_factor": 1.0, "high_freq_factor": 4.0}},
    "llama3, tied, biased": {
        "rope_parameters": {**LLAMA3, "low_freq_factor": 0.5, "high_freq_factor": 2.0},
        "tie_word_embeddings": True,
        "attention_bias": True,
        "head_dim": 10,
    },
    "yarn": {"rope_parameters": YARN},
    "yarn, all fields": {
        "rope_parameters": {
            **YARN,
            "beta_fast": 16.0,
            "beta_slow": 0.5,
            "mscale": 0.7,
            "mscale_all_dim": 0.4,
            "truncate": False,
        }
    },
    "deep": {"num_hidden_layers": 5, "rms_norm_eps": 1e-3},
}


def config_of(name: str) -> dict[str, Any]:
    """The fields of a config.json."""
    return {"model_type": "llama", **BASE, **CASES[name]}


def weight(case: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor by Hugging Face's name: normal, around 1 for norms and 0 for all else."""
    noise = model.normal(list(CASES).index(case), name, shape, 0.2)
    return noise + np.float32(name.endswith("norm.weight"))


def llama(name: str, **change: Any) -> Any:
    """transformers' model of a case, in evaluation mode; `change` goes over its config."""
    import torch
    import transformers

    made = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**{**config_of(name), **change})
    ).eval()
    with torch.no_grad():
        for path, parameter in made.named_parameters():
            parameter.copy_(torch.from_numpy(weight(name, path, tuple(parameter.shape))))
    return made


def save(
    name: str, folder: Path, dtype: str = "float32", limit: str = "1GB", **change: Any
) -> None:
    """The model of a case, saved by transformers in `dtype`, in files of at most `limit`."""
    import torch

    made = llama(name, **change).to(getattr(torch, dtype))
    made.save_pretrained(folder, max_shard_size=limit)


def loaded(folder: Path, dtype: str = "float32") -> Any:
    """What transformers makes of a folder."""
    import torch
    import transformers

    cls = transformers.LlamaForCausalLM
    return cls.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()


def token_ids(rows: int, length: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.integers(0, BASE["vocab_size"], (rows, length)).astype(np.int32)


def logits(theirs: Any, tokens: np.ndarray) -> np.ndarray:
    """float32 [B, S, V] of transformers."""
    import torch

    with torch.no_grad():
        return theirs(torch.from_numpy(tokens.astype(np.int64))).logits.float().numpy()


def record() -> None:
    """Write transformers' logits of a few cases for tests that run without it."""
    RECORDED.parent.mkdir(exist_ok=True)
    tokens = token_ids(1, RECORDED_LENGTH)
    np.savez_compressed(RECORDED, **{n: logits(llama(n), tokens)[0] for n in RECORDED_CASES})


if __name__ == "__main__":
    record()
