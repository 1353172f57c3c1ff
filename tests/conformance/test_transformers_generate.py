"""Greedy generation against transformers' `generate`: the same 100 tokens.

Invariant: both sides read the same folder and start from the same prompts.
"""

from __future__ import annotations

import numpy as np
import pytest

from picotron.generator import Generator
from picotron.pretrained import open_folder
from picotron.sampling import Sampling

from . import llamas

COUNT = 100


def their_tokens(folder, prompt):
    import torch

    theirs = llamas.loaded(folder)
    theirs.generation_config.eos_token_id = None
    given = torch.from_numpy(prompt.astype(np.int64))[None]
    mask = torch.ones_like(given)
    with torch.no_grad():
        out = theirs.generate(
            given, attention_mask=mask, max_new_tokens=COUNT, do_sample=False, pad_token_id=0
        )
    return out[0, len(prompt) :].tolist()


@pytest.mark.parametrize("name", ["grouped", "both biases, tied", "llama3, tied, biased", "yarn"])
def test_greedy_tokens(name, tmp_path):
    llamas.save(name, tmp_path, max_position_embeddings=256)
    found = open_folder(tmp_path)
    generator = Generator(found.model, found.read())
    prompts = [llamas.token_ids(1, length, seed=length)[0] for length in (5, 17)]
    ours = generator.lists([p.tolist() for p in prompts], COUNT, Sampling(temperature=0.0))
    for prompt, tokens in zip(prompts, ours, strict=True):
        assert len(set(tokens)) > 1
        assert tokens == their_tokens(tmp_path, prompt)
