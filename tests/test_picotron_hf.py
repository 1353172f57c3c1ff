"""Folders of Hugging Face: what is read, what is refused, and logits that transformers gave.

Invariant: runs without transformers; `tests/data/llamas.npz` holds what it computed from the same
weights (`python -m tests.conformance.llamas` records it), and tests/conformance compares more.
"""

from __future__ import annotations

import json
import os
import tracemalloc

import numpy as np
import pytest
import safetensors.numpy

from picotron import hf, hf_config, model
from picotron.config import ModelConfig
from picotron.errors import CheckpointError
from picotron.pretrained import open_folder
from picotron.rope import RopeScaling
from picotron.scoring import Scorer

from .conformance import llamas

RECORDED = np.load(llamas.RECORDED)


def write(folder, name, change=None, dtype=np.float32):
    """The folder of a case; `change` is laid over its config.json."""
    config = hf_config.from_config(llamas.config_of(name), folder)
    tensors = {
        path: llamas.weight(name, path, shape[::-1] if is_turned(path, shape) else shape)
        for path, shape in model.parameter_shapes(config).items()
    }
    safetensors.numpy.save_file(
        {n: a.astype(dtype) for n, a in tensors.items()}, folder / "model.safetensors"
    )
    data = {**llamas.config_of(name), **(change or {})}
    (folder / "config.json").write_text(json.dumps(data))
    return tensors


def is_turned(path, shape):
    return len(shape) == 2 and "embed" not in path


@pytest.mark.device
@pytest.mark.parametrize("name", llamas.RECORDED_CASES)
def test_recorded_logits(name, tmp_path):
    write(tmp_path, name)
    found = open_folder(tmp_path)
    pieces = Scorer(found.model, found.read()).logits(llamas.token_ids(1, llamas.RECORDED_LENGTH))
    np.testing.assert_allclose(np.concatenate(list(pieces)), RECORDED[name], rtol=0, atol=1e-4)


def test_blocks_are_read_by_themselves(tmp_path):
    write(tmp_path, "grouped")
    found = open_folder(tmp_path)
    whole = model.flatten(found.read(place=np.asarray))
    for name, weight in whole.items():
        at = tuple(slice(size // 4, size // 2) for size in weight.shape)
        np.testing.assert_array_equal(found.block(name, at), weight[at])
        np.testing.assert_array_equal(found.block(name, at[:1]), weight[at[0]])


def test_one_tensor_lies_beside_the_result(tmp_path):
    """Of 12 MB of weights, the largest 1.5 MB, in files of half the width."""
    config = ModelConfig(64, 256, 1536, 2, 4, 4)
    shapes = model.parameter_shapes(config)
    zeros = {n: np.zeros(s, np.float16) for n, s in shapes.items()}
    tensors = hf.to_tensors(model.unflatten(zeros))
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(hf_config.to_config(config)))
    del zeros, tensors
    tracemalloc.start()
    read = open_folder(tmp_path).read(place=np.asarray)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    total = sum(weight.nbytes for weight in model.flatten(read).values())
    assert total > 11e6
    assert kept < total + 1e6 and peak < total + 256 * 1536 * 4 + 1e6


def test_a_spare_head_and_old_frequencies_are_ignored(tmp_path):
    tensors = write(tmp_path, "tied")
    spare = {
        "lm_head.weight": np.zeros((97, 32), np.float32),
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.zeros(4, np.float32),
    }
    safetensors.numpy.save_file({**tensors, **spare}, tmp_path / "model.safetensors")
    read = model.flatten(open_folder(tmp_path).read(place=np.asarray))
    assert set(read) == set(tensors)


def test_float16_that_does_not_hold_a_weight(tmp_path):
    tensors = write(tmp_path, "grouped")
    tensors["model.norm.weight"][3] = 1e6
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    found = open_folder(tmp_path)
    found.read("bfloat16")
    with pytest.raises(CheckpointError, match=r"model.norm.weight holds values too large for flo"):
        found.read("float16")


def test_pickles_are_not_read(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin, a pickle that could run"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/passwd", "a/../../b.safetensors", "..", "", 3, None]
)
def test_an_index_cannot_leave_its_folder(tmp_path, file):
    (tmp_path / "x").mkdir()
    write(tmp_path / "x", "grouped")
    index = {"weight_map": {"model.norm.weight": file}}
    (tmp_path / "x" / "model.safetensors").rename(tmp_path / "model.safetensors")
    (tmp_path / "x" / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(CheckpointError):
        open_folder(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    write(tmp_path, "grouped")
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match=r"not a file|is damaged"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "shape", [[2**62, 4], [2**31, 2**31], [-1], [3.5], ["a"], 7, [10**30], [[1]]]
)
def test_sizes_are_not_believed(tmp_path, shape):
    write(tmp_path, "grouped")
    header = {"model.norm.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, 16]}}
    text = json.dumps(header).encode()
    blob = len(text).to_bytes(8, "little") + text + bytes(16)
    (tmp_path / "model.safetensors").write_bytes(blob)
    with pytest.raises(CheckpointError, match="is damaged"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_hidden_layers": 10**9}, "1000000000 layers are more than 4096"),
        ({"rms_norm_eps": float("inf")}, "rms_norm_eps must be finite"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps must be greater than 0, not nan"),
        ({"sliding_window": 4096}, "sliding_window 4096 is not supported"),
        ({"quantization_config": {"bits": 4}}, r"quantization_config .* is not supported"),
        ({"attn_logit_softcapping": 50.0}, "the field attn_logit_softcapping is not known"),
        ({"model_type": "mistral", "hidden_act": "gelu"}, "'mistral' is .*; hidden_act 'gelu'"),
        ({"rope_scaling": "long"}, "rope_parameters must be an object, not 'long'"),
        ({"rope_scaling": {"type": ["yarn"]}}, r"rope_type \['yarn'\] is not supported"),
        ({"rope_scaling": {"type": "yarn", "factor": 0.5}}, "factor must be 1 or more, not 0.5"),
        ({"rope_scaling": {"type": "linear", "factor": 2, "x": 1}}, "the rope field x is not"),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor is not known"),
        ({"attention_bias": "yes"}, "attention_bias must be true or false, not 'yes'"),
        ({"num_attention_heads": 5}, "num_attention_heads 5 must be divisible by"),
    ],
)
def test_configs_that_are_refused(change, message, tmp_path):
    with pytest.raises(CheckpointError, match=message):
        hf_config.from_config({**llamas.config_of("grouped"), **change}, tmp_path)


def test_what_does_not_matter_is_ignored(tmp_path):
    plain = hf_config.from_config(llamas.config_of("grouped"), tmp_path)
    extra = dict.fromkeys(hf_config.HARMLESS - {"model_type"}, "x")
    extra |= {"_attn_implementation": "sdpa", "use_sliding_window": False, "sliding_window": None}
    assert hf_config.from_config({**llamas.config_of("grouped"), **extra}, tmp_path) == plain


def test_what_is_left_out_is_transformers_default(tmp_path):
    found = hf_config.from_config({"model_type": "llama"}, tmp_path)
    assert (found.hidden_size, found.num_hidden_layers, found.vocab_size) == (4096, 32, 32000)
    assert (found.rms_norm_eps, found.num_key_value_heads) == (1e-6, 32)


@pytest.mark.parametrize(
    "scaling",
    [
        RopeScaling(),
        RopeScaling("linear", 2.0),
        RopeScaling("dynamic", 3.0),
        RopeScaling("llama3", 8.0, 8192, 1.0, 4.0),
        RopeScaling("yarn", 4.0, 64, beta_fast=16.0, attention_factor=1.5, truncate=False),
    ],
)
def test_config_json_says_what_the_model_is(scaling, tmp_path):
    for more in ({}, {"head_dim": 48, "mlp_bias": True}, {"tie_word_embeddings": True}):
        config = ModelConfig(vocab_size=9, rope_scaling=scaling, rope_theta=777.0, **more)
        text = json.dumps(hf_config.to_config(config))
        assert hf_config.from_config(json.loads(text), tmp_path) == config
        old = {n: v for n, v in json.loads(text).items() if n != "rope_parameters"}
        new = {n: v for n, v in json.loads(text).items() if n not in ("rope_theta", "rope_scaling")}
        assert hf_config.from_config(old, tmp_path) == config
        assert hf_config.from_config(new, tmp_path) == config


def test_a_scaling_that_reads_other_fields_is_told_so():
    problems = RopeScaling("linear", 2.0, beta_fast=16.0).problems()
    assert problems == ["beta_fast 16.0 has no effect with rope_type linear"]
    assert RopeScaling("llama3", 2.0).problems() == [
        "original_max_position_embeddings must be greater than 0, not None"
    ]
