"""The examples run as they are, and the training one learns more than pairs of characters."""

import json
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from ir import PRIMITIVES
from picotron.pretrained import open_folder

FOLDER = Path(__file__).resolve().parent.parent / "examples"
pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    def run_example(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(FOLDER))
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    before = dict(PRIMITIVES)
    yield run_example
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def test_basic(run):
    shown = run("basic").splitlines()
    assert [line.split(":")[0] for line in shown[:4]] == [
        "PicoTron WebGPU Version",
        "GPU Device",
        "Backend",
        "Device Type",
    ]
    assert shown[-1] == "Configuration saved to config.json"
    assert json.loads(Path("config.json").read_text())["model"]["hidden_size"] == 128


def test_inference(run):
    shown = run("inference")
    assert len(re.findall(r"^📝 Prompt \d: ", shown, re.MULTILINE)) == 5
    assert "🎯 Output logits shape: 100" in shown
    assert len(re.findall(r"^  \d\. Token \d+ ", shown, re.MULTILINE)) == 5
    assert all(0 <= int(n) <= 20 for n in re.findall(r"Generated (\d+) new", shown))


def test_training_beats_what_pairs_of_characters_can_tell(run):
    shown = run("training")
    assert "✅ Created 372 training examples" in shown
    evaluated = [float(loss) for loss in re.findall(r"Eval Loss: ([\d.]+)", shown)]
    assert len(evaluated) == 10
    assert evaluated[-1] < 1.9 < 4 < float(re.search(r"Initial Loss: ([\d.]+)", shown)[1])
    assert f"📊 Final Loss: {evaluated[-1]:.4f}" in shown


def test_a_character_model_learns_and_writes(run, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat, and the dog sat on the cat. " * 200)
    small = "--layers 1 --width 32 --heads 2 --context 32 --batch 8 --sample 50 --rate 1e-2"
    shown = run("char_model", "--data", str(text), "--steps", "60", *small.split())
    losses = [float(x) for x in re.findall(r"^step +\d+  loss ([\d.]+)", shown, re.MULTILINE)]
    assert losses[-1] < 1.0 < 4.2 < losses[0] < 5  # at first the logarithm of 82 characters, about
    assert float(re.search(r"validation loss ([\d.]+)", shown)[1]) < 1.0
    written = shown.split("---\n", 1)[1].strip()
    assert 0 < len(written) <= 50
    assert sum(word in ("the", "cat", "sat", "on", "mat", "and", "dog") for word in written.split())


def test_a_hugging_face_folder_is_fine_tuned(run):
    shown = run("finetune", "--out", "out", "--steps", "20")
    validations = [float(x) for x in re.findall(r"Validation loss: ([\d.]+)", shown)]
    assert validations[-1] < 2 < 4 < validations[0]
    assert "after: 'the cat " in shown
    first, last = open_folder(Path("out/random")), open_folder(Path("out/exported"))
    assert first.model == last.model
    name = "model.embed_tokens.weight"
    assert np.abs(first.block(name) - last.block(name)).max() > 1e-3


def test_four_axes_give_the_losses_of_one_device(run):
    shown = run("four_d", "--steps", "2")
    assert "16 virtual devices" in shown
    pairs = re.findall(r"one device ([\d.]+)  mesh ([\d.]+)", shown)
    assert len(pairs) == 2
    assert all(abs(float(one) - float(many)) < 2e-6 for one, many in pairs)
    assert float(re.search(r"differ by at most (\S+)", shown)[1]) < 1e-5
    axes = re.findall(r"^  (\S+) +\w+ +\d+ x", shown, re.MULTILINE)
    assert {"tp", "cp", "dp,cp", "pp"} <= set(axes)


def test_a_primitive_and_a_kernel_of_ones_own(run):
    shown = run("own_kernel")
    assert "// linear_recurrence: handwritten, 6 workgroups of 64" in shown
    assert shown.count("@compute") == 1
    assert float(re.search(r"kernel against numpy: (\S+)", shown)[1]) < 1e-5
    by_grad, by_jvp = re.search(r"direction: (\S+) by grad, (\S+) by jvp", shown).groups()
    assert abs(float(by_grad) - float(by_jvp)) < 1e-4
    three, one = re.search(r"three devices (\S+), one (\S+)", shown).groups()
    assert abs(float(three) / float(one) - 1) < 1e-4
