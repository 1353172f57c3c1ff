"""LLaMAs of transformers, read from their folders, against transformers itself.

Invariant: both sides read the same files; what differs is who computes.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from picotron.pretrained import open_folder
from picotron.scoring import Scorer

from . import llamas

EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7}


def ours(folder, tokens, dtype="float32"):
    found = open_folder(folder)
    pieces = Scorer(found.model, found.read(dtype)).logits(tokens)
    return np.concatenate(list(pieces)).reshape(*tokens.shape, -1)


@pytest.mark.parametrize("name", llamas.CASES)
def test_logits(name, tmp_path):
    llamas.save(name, tmp_path)
    tokens = llamas.token_ids(2, 40)
    want = llamas.logits(llamas.loaded(tmp_path), tokens)
    assert np.abs(want).max() > 1
    np.testing.assert_allclose(ours(tmp_path, tokens), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("stored", EPSILON)
@pytest.mark.parametrize("name", ["grouped", "both biases, tied", "llama3"])
def test_logits_of_half_width_weights(name, stored, tmp_path):
    """Exact in the weights' values; transformers rounds every step, so it is off by more."""
    llamas.save(name, tmp_path, stored)
    tokens = llamas.token_ids(2, 40)
    found = ours(tmp_path, tokens, stored)
    rounded = llamas.logits(llamas.loaded(tmp_path, stored), tokens)
    exact = llamas.logits(llamas.loaded(tmp_path), tokens)
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-4)
    scale = np.abs(exact).max()
    assert np.abs(found - rounded).max() < 8 * EPSILON[stored] * scale
    np.testing.assert_array_equal(found, ours(tmp_path, tokens, "float32"))


def test_files_of_bounded_size(tmp_path):
    llamas.save("tied", tmp_path, limit="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    tokens = llamas.token_ids(1, 9)
    want = llamas.logits(llamas.loaded(tmp_path), tokens)
    np.testing.assert_allclose(ours(tmp_path, tokens), want, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["theta", "linear", "dynamic, beyond", "llama3", "yarn"])
def test_the_dialect_of_transformers_4(name, tmp_path):
    llamas.save(name, tmp_path)
    tokens = llamas.token_ids(1, 30)
    want = llamas.logits(llamas.loaded(tmp_path), tokens)
    path = tmp_path / "config.json"
    data = json.loads(path.read_text())
    rope = data.pop("rope_parameters")
    data["torch_dtype"], data["rope_theta"] = data.pop("dtype"), rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    old = {"type": kind} if kind == "linear" else {"rope_type": kind}
    data["rope_scaling"] = None if kind == "default" else {**rope, **old}
    path.write_text(json.dumps(data))
    np.testing.assert_allclose(ours(tmp_path, tokens), want, rtol=0, atol=1e-4)
