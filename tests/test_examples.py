"""The examples run as they are, and the training one learns more than pairs of characters."""

import json
import re
import runpy
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "examples"
pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    def run_example(name):
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(FOLDER))
        runpy.run_path(str(FOLDER / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_example


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
