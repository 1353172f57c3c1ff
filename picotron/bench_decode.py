"""`picotron bench decode`: tokens a second from the cache, one at a time, greedy.

Invariant: all sides write as many tokens after the same prompt from a model of the same shape, and
every side keeps keys and values; a time includes reading the prompt.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from picotron import model
from picotron.config import ModelConfig
from picotron.device import adapter_name, is_software
from picotron.errors import ConfigError
from picotron.generator import Generator
from picotron.measure import Side, Timing, interleaved, ratios
from picotron.prepare import on_device
from picotron.sampling import Sampling
from tracer import numpy as jnp
from tracer import tree

SMOLLM_135M = ModelConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    max_position_embeddings=2048,
    tie_word_embeddings=True,
)
SMALL = ModelConfig(
    vocab_size=512,
    hidden_size=128,
    intermediate_size=352,
    num_hidden_layers=4,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=512,
    tie_word_embeddings=True,
)
DTYPES = {"float32": "float32", "float16": "float16", "bfloat16": "bfloat16"}


def run_decode(
    config: ModelConfig | None, dtype: str, batch: int, prompt: int, tokens: int,
    vs: str | None, rounds: int, chunk: int | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Tokens a second of all rows together, and what a token costs in kernels.

    Without a config: SmolLM-135M's shape on a GPU, a small one on a software adapter.
    """
    config = config or (SMALL if is_software() else SMOLLM_135M)
    rows = np.random.default_rng(0).integers(0, config.vocab_size, (batch, prompt)).tolist()
    params = on_device(model.init(config, 0))
    if dtype != "float32":
        params = tree.map(lambda x: x.astype(getattr(jnp, dtype)), params)
    generator = Generator(config, params, chunk=chunk)
    sides = {"ours": Side(lambda: generator.lists(rows, tokens, Sampling(0.0)), lambda: None)}
    peer = None
    if vs:
        if vs != "torch":
            raise ConfigError(f"bench decode compares with torch (transformers), not {vs}")
        peer, sides["peer"] = _transformers(config, dtype, rows, tokens)
    times = interleaved(sides, rounds)
    written = batch * tokens
    call, stats = Timing.of(times["ours"]), generator.stats()
    found = {
        "adapter": adapter_name(), "dtype": dtype, "batch": batch, "prompt": prompt,
        "tokens": tokens, "chunk": generator.chunk, "layers": config.num_hidden_layers,
        "parameters": model.parameter_count(config), "tok_s": written / call.median,
        "tok_s_least": written / call.most, "tok_s_most": written / call.least, **stats,
    }  # fmt: skip
    if peer:
        ratio = ratios(times["ours"], times["peer"])
        found |= {"peer": peer, "peer_tok_s": written / Timing.of(times["peer"]).median}
        found |= {"ratio": ratio.median, "ratio_least": ratio.least, "ratio_most": ratio.most}
    return found


def _transformers(
    config: ModelConfig, dtype: str, rows: list, tokens: int
) -> tuple[dict[str, str], Side]:
    """Hugging Face's `generate` with its cache, on random weights of the same shape."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ConfigError(f"--vs torch needs torch and transformers: {error}") from None
    torch.backends.cuda.matmul.allow_tf32 = False
    kind = "cuda" if torch.cuda.is_available() and not is_software() else "cpu"
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads max_position_embeddings tie_word_embeddings"
    ).split()
    theirs = transformers.LlamaConfig(**{name: getattr(config, name) for name in names})
    torch.manual_seed(0)
    llama = transformers.LlamaForCausalLM(theirs).to(kind, getattr(torch, dtype)).eval()
    ids = torch.tensor(rows, device=kind)

    def run() -> None:
        with torch.no_grad():
            llama.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0,
                max_new_tokens=tokens, min_new_tokens=tokens,
            )  # fmt: skip

    wait = torch.cuda.synchronize if kind == "cuda" else (lambda: None)
    name = torch.cuda.get_device_name() if kind == "cuda" else "cpu"
    version = f"{torch.__version__}, transformers {transformers.__version__}"
    return {"name": "torch", "version": version, "device": name}, Side(run, wait)
