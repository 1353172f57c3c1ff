"""Whole training runs through the command line, in a process of their own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import runtime
from picotron import checkpoint, cli
from picotron.model import flatten

pytestmark = pytest.mark.device

TEXT = "".join(
    f"the {n} sat on the mat. the dog saw the {n}.\n" for n in ("cat", "rat", "bat") * 60
)
FLAGS = """
    --preset tiny --model.hidden-size 32 --model.intermediate-size 48 --training.seq-length 32
    --model.max-position-embeddings 32 --training.micro-batch-size 4 --training.warmup-steps 5
    --dataset.validation-fraction 0.1 --logging.eval-frequency 0 --logging.eval-batches 2
    --logging.log-frequency 1 --checkpoint.save-frequency 0
""".split()


@pytest.fixture
def place(tmp_path):
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def command(*arguments):
    return [sys.executable, "-m", "picotron", *map(str, arguments)]


def environment():
    root = str(Path(__file__).resolve().parents[2])
    paths = filter(None, (root, os.environ.get("PYTHONPATH")))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def picotron(place, *arguments, timeout=240):
    return subprocess.run(
        command(*arguments),
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def train(place, *arguments):
    return picotron(place, "train", *FLAGS, "--data", "text.txt", *arguments)


def error_lines(result):
    """stderr without warnings (a software adapter announces itself)."""
    return [line for line in result.stderr.splitlines() if "warning:" not in line]


def records(run):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    lines = (run / "log.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_a_run_learns_and_leaves_everything_behind(place):
    result = train(place, "--steps", 60, "--logging.run-name", "cats")
    assert result.returncode == 0, result.stderr
    run = place / "outputs" / "cats"
    losses = [record["loss"] for record in records(run) if "loss" in record]
    assert len(losses) == 60
    assert losses[-1] < 0.6 * losses[0]
    assert records(run)[-1]["validation_loss"] < 0.7 * losses[0]
    assert (run / "loss.png").read_bytes()[:4] == b"\x89PNG"
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-000060"]
    assert "Step: 60    | Loss:" in result.stdout
    assert "sample" in result.stdout

    options = ("--ckpt", run, "--prompt", "the ", "--max-new-tokens", 40, "--temperature", 0)
    text = picotron(place, "generate", *options).stdout
    assert text.startswith("the ")
    assert len(text) == 4 + 40 + 1
    assert picotron(place, "generate", *options).stdout == text


DROPOUT = ("--model.hidden-dropout", 0.2, "--model.attention-dropout", 0.1)


@pytest.mark.parametrize("options", [(), DROPOUT], ids=["plain", "dropout"])
def test_resuming_is_bit_equal(place, options):
    steps = ("--steps", 8, "--logging.no-plot", "--logging.sample-tokens", 0, *options)
    assert train(place, *steps, "--out", "whole").returncode == 0
    often = ("--checkpoint.save-frequency", 5, "--out", "parts")
    assert train(place, *steps, *often).returncode == 0
    middle = place / "parts" / "tiny" / "checkpoints" / "step-000005"
    result = picotron(place, "train", "--resume", middle, "--out", "rest")
    assert result.returncode == 0, result.stderr
    whole, rest = (checkpoint.load_training(place / name / "tiny") for name in ("whole", "rest"))
    assert (whole.step, rest.step) == (8, 8)
    first, second = flatten(whole.optimizer), flatten(rest.optimizer)
    weights = [flatten(checkpoint.load(place / n / "tiny").params) for n in ("whole", "rest")]
    for one, other in ((first, second), weights):
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name], name)
    losses = {
        name: {r["step"]: r["loss"] for r in records(place / name / "tiny") if "loss" in r}
        for name in ("whole", "rest")
    }
    assert losses["rest"] == {step: losses["whole"][step] for step in (6, 7, 8)}


def test_gradient_accumulation_is_a_larger_batch(place):
    """One step of 4 rows twice, from the same rows as one step of 8."""
    quiet = ("--steps", 1, "--logging.no-plot", "--logging.sample-tokens", 0)
    parts = ("--training.gradient-accumulation-steps", 2, "--out", "parts")
    assert train(place, *quiet, *parts).returncode == 0
    whole = ("--training.micro-batch-size", 8, "--out", "whole")
    assert train(place, *quiet, *whole).returncode == 0
    one, other = (records(place / name / "tiny")[0] for name in ("parts", "whole"))
    assert one["loss"] == pytest.approx(other["loss"], rel=1e-5)
    assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_save_and_leave(place, number, code):
    process = subprocess.Popen(
        command("train", *FLAGS, "--data", "text.txt", "--steps", 100_000),
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("[rank 0] Step: 3 "):
            break
    time.sleep(0.1)
    process.send_signal(number)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    saved = checkpoint.load_training(place / "outputs" / "tiny")
    assert f"stopped and saved at step {saved.step}; go on: " in output
    assert "picotron train --resume outputs/tiny" in output
    assert saved.step >= 3
    result = picotron(place, "train", "--resume", "outputs/tiny", "--steps", saved.step + 2)
    assert result.returncode == 0, result.stderr
    steps = [r["step"] for r in records(place / "outputs" / "tiny") if "loss" in r]
    assert steps == list(range(1, saved.step + 3))


def test_a_lost_reader_does_not_stop_the_run(place):
    process = subprocess.Popen(
        command("train", *FLAGS, "--data", "text.txt", "--steps", 30),
        cwd=place,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=120)
    assert checkpoint.load_training(place / "outputs" / "tiny").step == 30


def test_divergence_names_the_step_and_keeps_the_last_checkpoint(place):
    wild = "--training.optimizer sgd --training.learning-rate 1e30 --training.max-grad-norm 0"
    result = train(place, "--steps", 20, *wild.split(), "--checkpoint.save-frequency", 1)
    assert result.returncode == 1
    message, *where = error_lines(result)
    assert message.startswith("picotron: the ")
    assert " at step " in message or "after step" in message
    assert "smaller --training.learning-rate" in message
    assert "encountered in" in where[0]
    last = checkpoint.newest(place / "outputs" / "tiny" / "checkpoints")
    if last:
        assert str(last.relative_to(place)) in message
        checkpoint.load(last)


def test_a_full_disk_ends_the_run_with_one_sentence(place):
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000));"
        "from picotron.cli import main; sys.exit(main())"
    )
    arguments = ["train", *FLAGS, "--data", "text.txt", "--steps", "40", "--logging.no-plot"]
    arguments += ["--checkpoint.save-frequency", "2"]
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=place,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 1
    assert "training goes on" in result.stdout
    (message,) = error_lines(result)
    assert message.startswith("picotron: cannot save checkpoint outputs/tiny/checkpoints")
    assert list((place / "outputs" / "tiny" / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ("train --data none.txt", 1, "there is no text file none.txt"),
        (
            "train --data .",
            1,
            "cannot read the text file .: Is a directory; name its files: '*.txt'",
        ),
        ("train --data empty.txt", 1, "the text file empty.txt is empty"),
        ("train --data binary.txt", 1, "binary.txt is not UTF-8 text: byte 3 is 0xff"),
        ("train --data short.txt", 1, "short.txt is too short: its training part has"),
        ("train --model.hidden-size 31", 2, "must be divisible by"),
        ("train --steps 0", 2, "total_train_steps must be greater than 0"),
        ("train --training.learnin-rate 1", 2, "there is no flag --training.learnin-rate"),
        ("train --training.learnin-rate 1", 2, "did you mean '--training.learning-rate'?"),
        ("train --training.learning-rate fast", 2, "learning-rate must be a number, not 'fast'"),
        ("train --preset huge", 2, "--preset must be one of 'novel', 'tiny'"),
        ("train --config none.json", 2, "cannot read the config file none.json"),
        ("train --config bad.json", 2, "did you mean 'hidden_size'"),
        ("train --resume none", 1, "there is no checkpoint folder none"),
        ("train --model.vocab-size 10", 2, "less than the tokenizer's"),
        ("train --model.hidden-size 32768", 1, "binding"),
        ("generate", 2, "there is no run under outputs/"),
        ("generate --ckpt .", 1, "holds no checkpoint"),
        ("generate --temperature -1", 2, "--temperature must be 0 or more"),
        ("bench step --steps 0", 2, "--steps must be greater than 0"),
        ("bench step --config none.json", 2, "cannot read the shapes file"),
        ("bench kernel", 2, "kernel"),
        ("trian", 2, "train"),
        ("", 2, "train"),
    ],
)
def test_mistakes_get_one_message_and_an_exit_code(
    place, monkeypatch, capsys, arguments, code, message
):
    (place / "bad.json").write_text('{"model": {"hiden_size": 1}}')
    texts = (
        ("empty", b""),
        ("binary", b"abc\xff"),
        ("short", b"short text"),
        ("odd", b"odd\n" * 999),
    )
    for name, data in texts:
        (place / f"{name}.txt").write_bytes(data)
    monkeypatch.chdir(place)
    try:
        found = cli.main(arguments.split())
    except SystemExit as exit_:  # from tyro, for usage errors
        found = exit_.code
    assert found == code
    assert message in capsys.readouterr().err.replace("\n", " ")
    assert not (place / "outputs").exists()


def test_an_absent_adapter_is_named(place):
    result = train(place, "--adapter", "quantum")
    assert result.returncode == 2
    (message,) = error_lines(result)
    names = [f"{index}: {info}" for index, info in enumerate(runtime.adapters())]
    listed = f"no adapter matches 'quantum'; there are {', '.join(names)}"
    assert message == f"picotron: {listed}"
    assert "Traceback" not in result.stderr
    assert not (place / "outputs").exists()


def test_the_configuration_can_be_printed_and_read_back(place):
    flags = (
        "--preset",
        "tiny",
        "--training.learning-rate",
        "0.5",
        "--steps",
        "7",
        "--print-config",
    )
    printed = picotron(place, "train", *flags)
    data = json.loads(printed.stdout)
    assert data["training"]["learning_rate"] == 0.5
    assert data["training"]["total_train_steps"] == 7
    (place / "same.json").write_text(printed.stdout)
    again = picotron(place, "train", "--config", "same.json", "--print-config")
    assert json.loads(again.stdout) == data


def test_bench_prints_one_json_object(place):
    shapes = {"V": 64, "H": 32, "NH": 4, "NKV": 2, "L": 1, "I": 48, "S": 16, "B": 2}
    (place / "shapes.json").write_text(json.dumps(shapes))
    arguments = ("bench", "step", "--config", "shapes.json", "--steps", 3, "--json")
    result = picotron(place, *arguments)
    assert result.returncode == 0, result.stderr
    (line,) = result.stdout.splitlines()
    data = json.loads(line)
    assert data["losses"][0] > data["losses"][1] > data["losses"][2]
    assert data["tok_s"] == pytest.approx(32 / data["ms"] * 1e3)
    for name in ("grad_norm_step0", "trace_s", "compile_s", "kernels_per_step", "peak_bytes"):
        assert data[name] >= 0
    assert data["distinct_kernels"] <= data["kernels_per_step"]
    assert isinstance(data["adapter"], str)
