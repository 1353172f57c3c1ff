"""A vocabulary that tp does not divide: unused rows change nothing that a model computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from picotron import export, hf, hf_config, model, prepare
from picotron.checkpoint import by_path
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.prepare import new_state, train_step_of, with_vocabulary
from picotron.pretrained import open_folder
from picotron.step import batch_shapes
from picotron.tokenizer import ByteTokenizer

pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]
SHAPE = ModelConfig(
    vocab_size=37, hidden_size=16, intermediate_size=32, num_hidden_layers=1,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=16,
)  # fmt: skip


def run_of(shape: ModelConfig = SHAPE, tp: int = 1) -> Config:
    training = TrainingConfig(
        seq_length=16, micro_batch_size=4, precision="f32", weight_decay=0.1, learning_rate=0.1
    )
    return Config(model=shape, training=training, distributed=DistributedConfig(tp_size=tp))


def stepped(config: Config) -> tuple[float, dict[str, np.ndarray]]:
    """The loss of a second step, and the weights and moments before it."""
    step, rng, state = train_step_of(config), np.random.default_rng(0), new_state(config)
    shapes = batch_shapes(config).items()
    batch = {n: rng.integers(0, 37, x.shape).astype(np.int32) for n, x in shapes}
    state, _ = step(state, batch)
    parts = {"params": state["params"], "mu": state["optimizer"]["mu"]}
    found = {n: np.asarray(x) for n, x in by_path(parts).items()}
    return float(step(state, batch)[1]["loss"]), found


@pytest.mark.parametrize("tied", [False, True])
def test_an_odd_vocabulary_on_two_devices_equals_one_device_without_unused_rows(tied):
    shape = replace(SHAPE, tie_word_embeddings=tied)
    loss, want = stepped(run_of(shape))
    with pytest.warns(UserWarning, match="gets 38 rows, of which the last 1 go unused"):
        two = with_vocabulary(run_of(shape, tp=2), 30)
    assert (two.model.vocab_size, two.model.unused_rows) == (38, 1)
    padded, got = stepped(two)
    assert padded == pytest.approx(loss, abs=1e-6)
    for name, x in want.items():
        inside = tuple(map(slice, x.shape))
        np.testing.assert_allclose(got[name][inside], x, rtol=1e-5, atol=1e-6, err_msg=name)
        if got[name].shape != x.shape:
            left = got[name].copy()
            left[inside] = 0
            assert not left.any(), f"{name}: an unused row was trained"


def test_a_folder_with_an_odd_vocabulary_comes_in_and_goes_out_as_it_was(tmp_path):
    shape = replace(SHAPE, vocab_size=301)
    tensors = hf.to_tensors(model.init(shape, seed=0))
    source = tmp_path / "source"
    write(source, tensors, shape)
    config = with_vocabulary(run_of(replace(shape, vocab_size=301), tp=2), 300)
    folder = open_folder(source)
    params = model.flatten(prepare.new_state(config, folder)["params"])
    assert params["lm_head.weight"].shape == (16, 302)
    wide = {name: np.asarray(x) for name, x in params.items()}
    write(tmp_path / "wide", hf.to_tensors(model.unflatten(wide)), config.model)
    read = open_folder(tmp_path / "wide")
    assert read.model == config.model
    export.export(read, tmp_path / "out", None, 1 << 30)
    out = safetensors.numpy.load_file(tmp_path / "out" / "model.safetensors")
    assert out.keys() == tensors.keys()
    for name, x in tensors.items():
        np.testing.assert_array_equal(out[name], x, name)
    said = json.loads((tmp_path / "out" / "config.json").read_text())
    assert said["vocab_size"] == 301 and "unused_rows" not in said


def write(path: Path, tensors: dict, shape: ModelConfig) -> None:
    path.mkdir()
    safetensors.numpy.save_file(tensors, path / "model.safetensors")
    (path / "config.json").write_text(json.dumps(hf_config.to_config(shape)))
    ByteTokenizer().save(path / "tokenizer.json")
