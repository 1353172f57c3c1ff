"""Greedy generation against Hugging Face's `generate` on random weights.

Invariant: the whole test is skipped where torch or transformers are missing.
"""

from __future__ import annotations

import numpy as np
import pytest

from picotron import model
from picotron.config import ModelConfig
from picotron.generator import Generator
from picotron.sampling import Sampling
from tracer import numpy as jnp
from tracer import tree

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

TOKENS = 100


def theirs(config: ModelConfig, seed: int):
    """A LlamaForCausalLM with random weights."""
    torch.manual_seed(seed)
    names = (
        "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads "
        "num_key_value_heads max_position_embeddings rms_norm_eps tie_word_embeddings"
    ).split()
    same = {name: getattr(config, name) for name in names}
    ends = dict(bos_token_id=None, eos_token_id=None, pad_token_id=0)
    found = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**same, **ends, initializer_range=0.3)
    )
    return found.eval()


def ours(config: ModelConfig, their):
    """The same weights as we store them: matrices [in, out]."""
    state = {name: value.detach().numpy() for name, value in their.state_dict().items()}
    flat = {}
    for name in model.parameter_shapes(config):
        value = state[name]
        across = value.ndim == 2 and "embed_tokens" not in name
        flat[name] = np.ascontiguousarray(value.T) if across else value
    return tree.map(jnp.asarray, model.unflatten(flat))


@pytest.mark.device
@pytest.mark.parametrize("tied", [False, True])
def test_100_greedy_tokens_are_theirs(tied):
    config = ModelConfig(
        vocab_size=120,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
    )
    their = theirs(config, 3)
    prompt = np.random.default_rng(1).integers(0, 120, 9).tolist()
    with torch.no_grad():
        found = their.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones((1, 9), dtype=torch.long),
            max_new_tokens=TOKENS,
            do_sample=False,
        )
    want = found[0, len(prompt) :].tolist()
    assert len(want) == TOKENS
    generator = Generator(config, ours(config, their))
    assert generator.lists([prompt], TOKENS, Sampling(0.0)) == [want]
