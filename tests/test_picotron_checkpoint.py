"""Checkpoints: bit-equal, complete or absent, and damage is named."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import safetensors.numpy

from picotron import checkpoint, hf, hf_config, model
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig
from picotron.errors import CheckpointError
from picotron.tensors import Arrays, index_of
from picotron.tokenizer import CharTokenizer

TOKENIZER = CharTokenizer.train("\n")
SHAPE = ModelConfig(
    vocab_size=TOKENIZER.vocab_size,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
)


def save(folder, step=1, shape=SHAPE, seed=0, loss=None, limit=checkpoint.SHARD_BYTES):
    params = model.init(shape, seed)
    moments = {"count": np.array(step, np.int32), "mu": params}
    rest = TrainingState(step, Config(model=shape), {"optimizer": moments}, step, loss)
    return params, checkpoint.save(folder, checkpoint.snapshot(params, TOKENIZER, rest), limit)


def assert_equal(first, second):
    first, second = model.flatten(first), model.flatten(second)
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert value.dtype == second[name].dtype, name
        np.testing.assert_array_equal(value, second[name], name)


@pytest.mark.parametrize("tied", [False, True])
def test_round_trip_is_exact(tmp_path, tied):
    shape = ModelConfig(**{**vars(SHAPE), "tie_word_embeddings": tied})
    params, path = save(tmp_path, step=7, shape=shape)
    loaded, rest = checkpoint.load(path), checkpoint.load_training(path)
    assert_equal(loaded.params, params)
    assert (loaded.model, loaded.tokenizer, rest.step) == (shape, TOKENIZER, 7)
    assert_equal(rest.optimizer, {"count": np.array(7, np.int32), "mu": params})
    assert rest.config == Config(model=shape)


def test_tensors_have_huggingface_names_and_orientation(tmp_path):
    _, path = save(tmp_path)
    tensors = safetensors.numpy.load_file(path / "model.safetensors")
    assert len(tensors) == 2 * 9 + 3
    assert tensors["model.layers.1.self_attn.k_proj.weight"].shape == (8, 16)
    assert tensors["model.layers.0.mlp.down_proj.weight"].shape == (16, 24)
    assert tensors["model.embed_tokens.weight"].shape == (SHAPE.vocab_size, 16)
    assert tensors["lm_head.weight"].shape == (SHAPE.vocab_size, 16)
    config = json.loads((path / "config.json").read_text())
    assert config["architectures"] == ["LlamaForCausalLM"]
    assert config["vocab_size"] == SHAPE.vocab_size


@pytest.mark.parametrize(
    "rope",
    [{"rope_theta": 500.0}, {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}],
)
def test_both_dialects_of_config_json(tmp_path, rope):
    data = hf_config.to_config(SHAPE)
    del data["rope_theta"], data["rope_parameters"], data["head_dim"]
    config = hf_config.from_config({**data, **rope}, tmp_path)
    assert config.rope_theta == 500.0
    assert config.hidden_size == SHAPE.hidden_size


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not supported"),
        ({"rope_scaling": {"type": "linear"}}, "rope_type 'linear' needs a factor"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope_type 'longrope' is not supported"),
        ({"head_dim": 3}, "head_dim = 3 must be even"),
        ({"hidden_size": "x"}, "does not describe a LLaMA"),
        ({"num_attention_heads": 0}, "does not describe a LLaMA"),
    ],
)
def test_models_that_are_not_ours(tmp_path, change, message):
    with pytest.raises(CheckpointError, match=message):
        hf_config.from_config({**hf_config.to_config(SHAPE), **change}, tmp_path)


def test_half_precision_is_widened(tmp_path):
    params, path = save(tmp_path)
    tensors = hf.to_tensors(params)
    header, blob = {}, b""
    for name, value in tensors.items():
        half = (value.view(np.uint32) >> 16).astype(np.uint16).tobytes()
        header[name] = {
            "dtype": "BF16",
            "shape": list(value.shape),
            "data_offsets": [len(blob), len(blob) + len(half)],
        }
        blob += half
    text = json.dumps(header).encode()
    (path / "manifest.json").unlink()
    (path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + blob)
    loaded = model.flatten(checkpoint.load(path).params)
    for name, value in model.flatten(params).items():
        assert loaded[name].dtype == np.float32
        np.testing.assert_allclose(loaded[name], value, rtol=2**-7)


@pytest.mark.parametrize("name", ["model.safetensors", "state.safetensors", "config.json"])
def test_damage_is_named(tmp_path, name):
    _, path = save(tmp_path)
    data = bytearray((path / name).read_bytes())
    data[-3] ^= 4
    (path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=f"{name} is damaged"):
        checkpoint.load(path)
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=r"is missing|holds no checkpoint"):
        checkpoint.load(path)


def test_foreign_folders_without_a_manifest(tmp_path):
    _, path = save(tmp_path)
    (path / "manifest.json").unlink()
    checkpoint.load(path)
    (path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(CheckpointError, match=r"model.safetensors is damaged"):
        checkpoint.load(path)


def test_weights_that_do_not_fit(tmp_path):
    tensors = hf.to_tensors(model.init(SHAPE, 0))

    def message(config, change):
        kept = {**tensors, **change}
        safetensors.numpy.save_file(
            {n: a for n, a in kept.items() if a is not None}, tmp_path / "model.safetensors"
        )
        arrays = Arrays(tmp_path, index_of(tmp_path, "model"))
        with pytest.raises(CheckpointError) as caught:
            hf.read(arrays, config, tmp_path)
        return str(caught.value)

    other = dataclasses.replace(SHAPE, intermediate_size=32)
    ids = np.zeros((16,), np.int32)
    found = message(other, {"lm_head.weight": None, "x": ids, "model.norm.weight": ids})
    for part in (
        "model.layers.1.mlp.gate_proj.weight is [24, 16], config.json asks for [32, 16]",
        "lm_head.weight is missing",
        "x is no weight of this model",
        "model.norm.weight is int32, weights are float32, float16 or bfloat16",
    ):
        assert f"\n  - {part}" in found
    head = tensors["lm_head.weight"].copy()
    head[0, 0] = np.nan
    assert "lm_head.weight holds values that are not finite" in message(
        SHAPE, {"lm_head.weight": head}
    )


def test_the_newest_is_found_and_old_ones_go(tmp_path):
    folder = tmp_path / "checkpoints"
    for step in (9, 10, 100):
        save(folder, step)
    assert checkpoint.resolve(tmp_path).name == "step-000100"
    checkpoint.prune(folder, keep=1, also=folder / "step-000009")
    assert sorted(p.name for p in folder.iterdir()) == ["step-000009", "step-000100"]


def test_what_a_killed_save_left_is_swept(tmp_path):
    """Half a checkpoint goes; one that had stepped aside for a new one comes back."""
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / "step-000003").rename(tmp_path / ".old-step-000003")
    (tmp_path / ".saving-step-000003").mkdir()
    (tmp_path / ".old-step-000001").mkdir()
    (tmp_path / ".removing-step-000000").mkdir()
    checkpoint.sweep(tmp_path)
    kept = sorted(p.name for p in tmp_path.iterdir())
    assert kept == ["step-000001", "step-000002", "step-000003"]
    assert checkpoint.load_training(tmp_path).step == 3


def test_the_best_is_the_lowest_known_validation_loss(tmp_path):
    for step, loss in ((1, 2.0), (2, 1.5), (3, None), (4, 1.7)):
        save(tmp_path, step, loss=loss)
    assert checkpoint.best(tmp_path).name == "step-000002"
    assert checkpoint.lowest_validation(tmp_path) == 1.5
    assert checkpoint.lowest_validation(tmp_path / "none") == float("inf")


def test_the_newest_that_is_intact(tmp_path):
    for step in (1, 2, 3):
        save(tmp_path, step)
    (tmp_path / "step-000003" / "manifest.json").unlink()
    (tmp_path / "step-000002" / "state.safetensors").write_bytes(b"x")
    with pytest.warns(UserWarning, match=r"manifest|state.safetensors is damaged.*an earlier"):
        assert checkpoint.newest_valid(tmp_path).name == "step-000001"
    checkpoint.set_damaged_aside(tmp_path, after=1)
    names = ["damaged-step-000002", "damaged-step-000003", "step-000001"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    (tmp_path / "step-000001" / "config.json").unlink()
    with (
        pytest.warns(UserWarning),
        pytest.raises(CheckpointError, match=r"config.json is missing"),
    ):
        checkpoint.newest_valid(tmp_path)


def test_every_damaged_file_is_named(tmp_path):
    _, path = save(tmp_path)
    assert checkpoint.problems(path) == []
    for name in ("model.safetensors", "config.json"):
        (path / name).write_bytes(b"")
    (path / "state.safetensors").unlink()
    missing, *damaged = checkpoint.problems(path)
    assert missing.endswith("state.safetensors is missing")
    assert [line.split(" is ")[0] for line in damaged] == [
        str(path / "config.json"),
        str(path / "model.safetensors"),
    ]


def test_shards_of_bounded_size(tmp_path):
    """Hugging Face's layout: numbered files and an index; ours says the same in the manifest."""
    params, path = save(tmp_path, limit=4000)
    shards = sorted(p.name for p in path.glob("model-*.safetensors"))
    assert len(shards) > 2
    assert shards[0] == f"model-00001-of-{len(shards):05d}.safetensors"
    listed = json.loads((path / "model.safetensors.index.json").read_text())
    assert set(listed["weight_map"].values()) == set(shards)
    assert listed["metadata"]["total_size"] == 4 * model.parameter_count(SHAPE)
    assert all((path / name).stat().st_size < 6000 for name in shards)
    assert_equal(checkpoint.load(path).params, params)
    (path / "manifest.json").unlink()  # as in a folder of transformers
    assert_equal(checkpoint.load(path).params, params)
    (path / shards[1]).unlink()
    with pytest.raises(CheckpointError, match=shards[1]):
        checkpoint.load(path)


def test_saving_a_step_again_replaces_it(tmp_path):
    save(tmp_path, 5, seed=1)
    params, path = save(tmp_path, 5, seed=2)
    assert_equal(checkpoint.load(path).params, params)
    assert [p.name for p in tmp_path.iterdir()] == ["step-000005"]


def test_absent_checkpoints(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint folder"):
        checkpoint.load(tmp_path / "none")
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        checkpoint.load(tmp_path)


SAVER = """
import resource, sys
from pathlib import Path
from picotron.errors import CheckpointError
from tests.test_picotron_checkpoint import save
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
for step in range(1, 1000):
    save(folder, step, seed=step)
    print(step, flush=True)
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
"""


def run_saver(folder, limit):
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SAVER), str(folder), str(limit)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(not hasattr(os, "fork"), reason="POSIX file size limits")
@pytest.mark.parametrize("limit", [1000, 20_000])
def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, limit):
    """Files may not grow beyond the limit, as on a full disk."""
    process = run_saver(tmp_path, limit)
    _, errors = process.communicate(timeout=120)
    message = errors.strip().splitlines()[-1]
    assert "CheckpointError: cannot save checkpoint" in message
    assert "earlier checkpoints are intact" in message
    assert [path.name for path in tmp_path.iterdir()] == ["step-000001"]
    assert_equal(checkpoint.load(tmp_path).params, model.init(SHAPE, 1))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
@pytest.mark.parametrize("delay", [0.0, 0.007, 0.019])
def test_a_kill_leaves_a_complete_checkpoint(tmp_path, delay):
    process = run_saver(tmp_path, 0)
    for _ in range(3):
        seen = int(process.stdout.readline())
    time.sleep(delay)
    process.kill()
    process.communicate()
    found = checkpoint.load_training(tmp_path)
    assert found.step >= seen
    assert_equal(checkpoint.load(tmp_path).params, model.init(SHAPE, found.step))
