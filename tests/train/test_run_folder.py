"""A run folder is one trainer's at a time, its log is strict JSON, and failures leave no debris."""

from __future__ import annotations

import io
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from picotron import checkpoint, cli
from picotron.config import Config
from picotron.errors import CheckpointError, DivergedError
from picotron.folder import LOCK, RunInUseError, claimed, locked
from picotron.prepare import prepare
from picotron.presets import PRESETS
from picotron.report import Reporter
from picotron.sinks import JsonLines
from picotron.train import Trainer
from tracer import tree

ROOT = Path(__file__).resolve().parents[2]
HOLDER = """
import sys, time
from pathlib import Path
from picotron.folder import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""
device = pytest.mark.device
pytestmark = pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text("the cat sat on the mat. the dog saw the cat.\n" * 60)
    return tmp_path


def small(steps: int = 4) -> Config:
    """A run of few and quick steps that saves at every second one."""
    base = PRESETS["tiny"]
    model = {"hidden_size": 32, "intermediate_size": 48, "max_position_embeddings": 16}
    training = {"seq_length": 16, "total_train_steps": steps, "warmup_steps": 1}
    return replace(
        base,
        model=replace(base.model, num_hidden_layers=1, **model),
        training=replace(base.training, **training),
        dataset=replace(base.dataset, path="text.txt"),
        checkpoint=replace(base.checkpoint, save_frequency=2),
        logging=replace(base.logging, log_frequency=1),
    )


def resumed(config: Config, path: Path | str) -> Config:
    return replace(config, checkpoint=replace(config.checkpoint, load_path=str(path)))


def trainer_of(config: Config) -> Trainer:
    run = prepare(config)
    console = Console(file=io.StringIO())
    return Trainer(run, Reporter(console, run.step, config.training.total_train_steps, 1))


def spoil(trainer: Trainer, value: float) -> None:
    """Every weight becomes `value`."""
    params = trainer.state["params"]
    trainer.state["params"] = tree.map(lambda w: np.full(w.shape, value, np.float32), params)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def strict_records(log: Path) -> list[dict]:
    return [json.loads(line, parse_constant=refuse) for line in log.read_text().splitlines()]


@pytest.fixture
def holder(place):
    """A function that starts a process which holds the lock of a folder."""
    started = []

    def start(path: Path) -> subprocess.Popen:
        command = [sys.executable, "-c", HOLDER, str(path)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment))
        assert started[-1].stdout.readline() == b"held\n"
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


# The log


def test_what_is_not_a_number_is_left_out_of_the_log(tmp_path):
    with Reporter(Console(file=io.StringIO()), 0, 2, 1) as reporter:
        reporter.log_to(JsonLines(tmp_path / "log.jsonl"))
        reporter.log({"step": 1, "loss": 4.5, "tokens_per_second": math.nan})
        reporter.log({"step": 2, "loss": 4.0, "tokens_per_second": 100.0})
        reporter.validation(2, math.inf)
    assert strict_records(tmp_path / "log.jsonl") == [
        {"step": 1, "loss": 4.5},
        {"step": 2, "loss": 4.0, "tokens_per_second": 100.0},
        {"step": 2},
    ]


@device
def test_every_line_of_a_run_is_strict_json(place):
    trainer = trainer_of(small())
    assert trainer.run() == 0
    records = strict_records(trainer.folder / "log.jsonl")
    assert [r["step"] for r in records if "loss" in r] == [1, 2, 3, 4]
    assert "tokens_per_second" not in records[0], "one step has no duration yet"
    assert records[1]["tokens_per_second"] > 0
    assert records[-1]["validation_loss"] > 0
    assert not (trainer.folder / LOCK).exists()


# The lock


def test_a_folder_has_one_trainer_at_a_time(tmp_path):
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().split()[0] == str(os.getpid())
        with pytest.raises(RunInUseError, match=f"being trained by process {os.getpid()} on "):
            locked(tmp_path).__enter__()
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path):
        assert (tmp_path / LOCK).exists()


def test_the_file_of_a_dead_trainer_is_taken_over(tmp_path, holder):
    process = holder(tmp_path)
    with pytest.raises(RunInUseError, match=f"process {process.pid} on "):
        locked(tmp_path).__enter__()
    process.kill()
    process.wait()
    assert (tmp_path / LOCK).read_text().split()[0] == str(process.pid)
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().split()[0] == str(os.getpid())
    assert not (tmp_path / LOCK).exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / LOCK).mkdir()
    with pytest.raises(CheckpointError, match=r"cannot write .*trainer\.lock: Is a directory"):
        locked(tmp_path).__enter__()


@device
def test_a_second_trainer_is_refused_in_one_sentence(place, holder, capsys):
    assert trainer_of(small(steps=2)).run() == 0
    before = (place / "outputs" / "tiny" / "log.jsonl").read_bytes()
    process = holder(place / "outputs" / "tiny")
    again = ["train", "--resume", "outputs/tiny", "--steps", "4", "--logging.no-plot"]
    again += ["--logging.sample-tokens", "0"]
    assert cli.main(again) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if "warning:" not in line]
    (message,) = lines
    assert message.startswith(f"picotron: outputs/tiny is being trained by process {process.pid} ")
    assert message.endswith("--resume outputs/tiny/checkpoints/step-000002")
    assert (place / "outputs" / "tiny" / "log.jsonl").read_bytes() == before
    process.kill()
    process.wait()
    assert cli.main(again) == 0
    assert checkpoint.load_training(place / "outputs" / "tiny").step == 4


@device
def test_a_trainer_that_was_overtaken_while_it_started_is_refused(place):
    assert trainer_of(small(steps=2)).run() == 0
    late = trainer_of(resumed(small(steps=6), "outputs/tiny"))
    assert trainer_of(resumed(small(steps=4), "outputs/tiny")).run() == 0
    with pytest.raises(CheckpointError, match=r"went on to outputs/tiny/checkpoints/step-000004"):
        late.run()
    records = strict_records(Path("outputs/tiny/log.jsonl"))
    assert [r["step"] for r in records if "loss" in r] == [1, 2, 3, 4]


# Failures


def test_a_new_folder_goes_again_only_if_it_is_empty(place):
    def fail_with(file: str | None) -> None:
        with claimed(None, small()) as folder:
            if file:
                (folder / file).touch()
            raise MemoryError

    with pytest.raises(MemoryError):
        fail_with(None)
    assert not Path("outputs").exists()
    with pytest.raises(MemoryError):
        fail_with("log.jsonl")
    assert Path("outputs/tiny/log.jsonl").exists()
    with pytest.raises(MemoryError):
        fail_with(None)
    assert [path.name for path in Path("outputs").iterdir()] == ["tiny"]


@device
def test_a_run_that_fails_at_its_first_step_leaves_no_folder(place):
    trainer = trainer_of(small())
    spoil(trainer, math.nan)
    with pytest.raises(DivergedError, match=r"is nan at step 1; no checkpoint was saved before"):
        trainer.run()
    assert [path.name for path in place.iterdir()] == ["text.txt"]


@device
def test_a_step_that_diverges_by_itself_names_the_operation(place):
    wild = small(steps=6)
    wild = replace(wild, training=replace(wild.training, learning_rate=1e30, max_grad_norm=0.0))
    with pytest.raises(DivergedError) as caught:
        trainer_of(wild).run()
    first, second, *rest = str(caught.value).splitlines()
    assert re.match(r"the (loss|gradient norm) is \S+ at step \d; no checkpoint was saved", first)
    assert re.match(r"invalid value \((nan|inf)\) encountered in \w+", second)
    assert re.search(r"  at .*picotron/\w+\.py:\d+: \S", rest[-1])


@device
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_weights_that_turn_bad_are_told_with_step_and_last_good_checkpoint(place, bad):
    trainer = trainer_of(small(steps=6))
    batches = trainer.batches

    def poisoning(step: int) -> dict:
        if step == 2 and trainer.state:  # not when the step is repeated
            spoil(trainer, bad)
        return batches(step)

    poisoning.close = batches.close
    trainer.batches = poisoning
    good = "outputs/tiny/checkpoints/step-000002"
    expected = f"the loss is nan at step 3; the last good checkpoint is {good}; try a smaller "
    with pytest.raises(DivergedError, match=expected):
        trainer.run()
    assert [path.name for path in Path(good).parent.iterdir()] == ["step-000002"]
    assert [r["step"] for r in strict_records(Path("outputs/tiny/log.jsonl"))] == [1, 2]
    assert trainer_of(resumed(small(steps=6), "outputs/tiny")).run() == 0
