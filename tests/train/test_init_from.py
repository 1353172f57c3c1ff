"""Fine-tuning a folder of Hugging Face's: in, ten steps, out and in again."""

from __future__ import annotations

import json

import numpy as np
import pytest

from picotron import checkpoint, cli, model
from picotron.pretrained import open_folder
from picotron.tokenizer import CharTokenizer
from tests.test_picotron_hf import write

pytestmark = pytest.mark.device
FLAGS = (
    *("--mbs", "2", "--seq-len", "16", "--logging.eval-batches", "1", "--training.learning-rate"),
    *("1e-3", "--logging.log-frequency", "1", "--logging.no-plot", "--logging.sample-tokens", "0"),
)


@pytest.fixture
def source(tmp_path):
    """A LLaMA with tied embeddings, biases and scaled positions, and a tokenizer of its own."""
    folder = tmp_path / "source"
    folder.mkdir()
    write(folder, "llama3, tied, biased")
    CharTokenizer().save(folder / "tokenizer.json")
    (tmp_path / "text.txt").write_text("the cat sat on the mat. " * 60)
    return folder


def train(source, *more):
    out = source.parent / "out"
    given = "--init-from", source, "--data", source.parent / "text.txt", "--out", out, *FLAGS
    code = cli.main(["train", *map(str, (*given, *more))])
    return code, out / "novel"


def test_in_ten_steps_out_and_in_again(source):
    code, run = train(source, "--steps", "10")
    assert code == 0
    first = open_folder(source).read(place=np.asarray)
    saved = checkpoint.load(run)
    assert saved.model == open_folder(source).model
    exported = source.parent / "exported"
    assert cli.main(["export", str(exported), "--ckpt", str(run)]) == 0
    again = model.flatten(open_folder(exported).read(place=np.asarray))
    moved = []
    for name, weight in model.flatten(saved.params).items():
        np.testing.assert_array_equal(again[name], weight)
        moved.append(np.abs(weight - model.flatten(first)[name]).max())
    assert 1e-4 < max(moved) < 0.05  # ten steps of at most 1e-3 from where they began
    assert open_folder(exported).tokenizer() == CharTokenizer()
    data = json.loads((exported / "config.json").read_text())
    assert (data["bos_token_id"], data["eos_token_id"], data["pad_token_id"]) == (2, 3, 0)
    assert json.loads((exported / "tokenizer_config.json").read_text())["eos_token"] == "</s>"


@pytest.mark.parametrize("tokenizer", [CharTokenizer(), CharTokenizer(characters="tamsenohc. ")])
def test_a_run_that_starts_from_weights_is_resumed_without_them(source, tokenizer):
    tokenizer.save(source / "tokenizer.json")
    assert train(source, "--steps", "2")[0] == 0
    run = source.parent / "out" / "novel"
    for path in source.iterdir():
        path.unlink()
    assert cli.main(["train", "--resume", str(run), "--steps", "3"]) == 0
    assert checkpoint.load_training(run).step == 3


def test_another_shape_than_that_of_the_weights_is_refused(source, capsys):
    assert train(source, "--model.num-hidden-layers", "3", "--steps", "2")[0] == 2
    assert "model.num_hidden_layers is 2 in the checkpoint, not 3" in capsys.readouterr().err
    assert cli.main(["train", "--init-from", str(source.parent / "none")]) == 1
    assert "there is no checkpoint folder" in capsys.readouterr().err
