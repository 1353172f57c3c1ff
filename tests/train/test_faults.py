"""Faults that a run survives: kills at any moment, lost devices, numbers that are none.

Runs are on numpy where the device makes no difference, because a process then starts in a second.
PICOTRON_KILLS=20 kills as often as that.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tracer
from picotron import checkpoint, cli, faults, supervisor
from picotron.errors import ConfigError, DivergedError
from picotron.folder import RunInUseError, locked
from picotron.model import flatten
from picotron.step import skipping
from tests.train.test_run_folder import small, trainer_of
from tracer import numpy as jnp

ROOT = Path(__file__).resolve().parents[2]
STEPS = 24
TEXT = "the cat sat on the mat. the dog saw the cat.\n" * 60
FLAGS = f"""
    --preset tiny --model.hidden-size 16 --model.intermediate-size 24 --model.num-hidden-layers 1
    --model.max-position-embeddings 16 --training.seq-length 16 --training.micro-batch-size 2
    --training.warmup-steps 5 --logging.eval-frequency 0 --logging.eval-batches 1
    --logging.log-frequency 1 --logging.no-plot --logging.sample-tokens 0 --data text.txt
    --checkpoint.save-frequency 2 --steps {STEPS}
""".split()
pytestmark = pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "text.txt").write_text(TEXT)
    process = start("--out", str(folder), "--max-restarts", "0", cwd=folder)
    assert process.communicate(timeout=240) and process.returncode == 0
    return folder


@pytest.fixture
def on_numpy():
    tracer.use_backend("oracle")
    yield
    tracer.use_backend(None)


def start(*options, backend="oracle", fault=None, cwd=None):
    paths = filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))
    environment = {**os.environ, "PICO_BACKEND": backend, "PYTHONPATH": os.pathsep.join(paths)}
    if fault:
        environment[faults.VARIABLE] = fault
    return subprocess.Popen(
        [sys.executable, "-m", "picotron", "train", *FLAGS, *options],
        env=environment,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(*options, **how):
    process = start(*options, **how)
    output, errors = process.communicate(timeout=240)
    lines = [line for line in errors.splitlines() if "warning:" not in line]
    return process.returncode, output, lines


def run_folder(out):
    return Path(out) / "tiny" / "checkpoints"


def assert_same_run(one, other):
    """Bit-equal weights, moments and positions at the end of two runs."""
    (first, rest), (second, other_rest) = (checkpoint.load_run(run_folder(n)) for n in (one, other))
    assert (rest.step, rest.batches) == (other_rest.step, other_rest.batches) == (STEPS, STEPS)
    pairs = (flatten(first.params), flatten(second.params)), (rest.state, other_rest.state)
    for expected, found in pairs:
        assert expected.keys() == found.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(value, found[name], name)


# Kills


def test_kills_at_random_moments_lose_nothing(place, whole):
    """Killed during steps and saves; each restart goes on from the newest checkpoint."""
    chance = random.Random(int(os.environ.get("PICOTRON_SEED", "0")))
    reached = 0
    for _ in range(int(os.environ.get("PICOTRON_KILLS", "2"))):
        process = start("--out", "killed", "--resume", "auto", "--max-restarts", "0")
        _kill_after_lines(process, chance.randrange(4, 12), chance.uniform(0.0, 0.03))
        found = checkpoint.saved(run_folder("killed"))
        assert [path for path in found if checkpoint.problems(path)] == []
        step = int(found[-1].name[5:]) if found else 0
        assert step >= reached, "a checkpoint was lost"
        reached = step
    code, _, errors = finished("--out", "killed", "--resume", "auto", "--max-restarts", "0")
    assert code == 0, errors
    assert [path.name for path in Path("killed").iterdir()] == ["tiny"], "one run, continued"
    assert_same_run(whole, "killed")
    assert not [path for path in run_folder("killed").iterdir() if path.name[0] == "."]


def _kill_after_lines(process, lines, seconds):
    """SIGKILL some time after so many lines of output, or at the end of the run."""
    for _ in range(lines):
        if not process.stdout.readline():
            break
    time.sleep(seconds)
    process.kill()
    process.communicate()


def test_a_trainer_does_not_outlive_its_supervisor(place):
    process = start("--steps", "100000")
    while not process.stdout.readline().startswith("[rank 0] Step: 3 "):
        assert process.poll() is None
    with pytest.raises(RunInUseError), locked(Path("outputs/tiny")):
        pass
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while True:
        try:
            with locked(Path("outputs/tiny")):
                break
        except RunInUseError:
            assert time.monotonic() < deadline, "the trainer is still at work"
            time.sleep(0.05)
    process.communicate()


# The supervisor


@pytest.mark.device
def test_a_lost_device_is_survived(place):
    code, output, errors = finished(backend="device", fault="lost@13")
    assert code == 0, errors
    assert errors[-1] == "picotron: the device was lost; starting again from step 10 (1 of 3)"
    assert "14 steps on" in output
    log = [json.loads(line) for line in Path("outputs/tiny/log.jsonl").read_text().splitlines()]
    pairs = [(record["step"], record["loss"]) for record in log if "loss" in record]
    assert len(set(pairs)) == STEPS, "a step that is repeated has the same loss"
    assert checkpoint.load_training(Path("outputs/tiny")).step == STEPS


def test_an_aborted_process_is_started_again(place, whole):
    code, _, (told,) = finished("--out", "cut", fault="abort@9")
    assert code == 0
    assert told == "picotron: the trainer was ended by SIGABRT; starting again from step 6 (1 of 3)"
    assert_same_run(whole, "cut")


def test_never_again_without_progress(place):
    code, _, (first, second) = finished(fault="abort@5!")
    assert code == 128 + signal.SIGABRT
    assert "starting again from step 2 (1 of 3)" in first
    assert second.endswith("SIGABRT before it saved a checkpoint of its own; not started again")


def test_mistakes_pass_through(place):
    code, _, (told,) = finished("--training.micro-batch-size", "0")
    assert code == 2 and told.startswith("picotron: training.micro_batch_size must be greater")


def test_faults_strike_once(monkeypatch):
    state = {"params": {"w": np.ones(2, np.float32)}}
    assert faults.strike(3, state) is state
    monkeypatch.setenv(faults.VARIABLE, "nan@3")
    assert faults.strike(2, state) is state
    assert np.isnan(faults.strike(3, state)["params"]["w"]).all()
    assert faults.strike(3, state) is state
    monkeypatch.setenv(faults.VARIABLE, "fire@3")
    with pytest.raises(ConfigError, match="PICOTRON_FAULT must be one of kill, abort, lost"):
        faults.strike(1, state)


@pytest.mark.parametrize(
    ("arguments", "limit"),
    [
        ("train", 3),
        ("train --max-restarts 5", 5),
        ("train --max_restarts=0", 0),
        ("train --help", 0),
        ("train --print-config", 0),
        ("generate --prompt train", 0),
        ("", 0),
    ],
)
def test_which_commands_are_watched(monkeypatch, arguments, limit):
    assert supervisor.restarts(arguments.split()) == limit
    monkeypatch.setenv("PMI_RANK", "1")
    assert supervisor.restarts(arguments.split()) == 0, "a rank is its launcher's"


# Damage


def test_auto_takes_the_newest_that_is_intact(place, on_numpy, capsys):
    assert cli.main(["train", *FLAGS, "--steps", "6", "--resume", "auto"]) == 0
    newest = checkpoint.newest(run_folder("outputs"))
    data = bytearray((newest / "state.safetensors").read_bytes())
    data[-5] ^= 1
    (newest / "state.safetensors").write_bytes(data)
    assert cli.main(["verify-checkpoint", "outputs/tiny"]) == 1
    shown = capsys.readouterr().out.splitlines()
    assert (
        shown[-1]
        == f"{newest}/state.safetensors is damaged: its contents changed since it was saved"
    )
    assert f"{newest.with_name('step-000004')} is intact" in shown
    assert cli.main(["train", *FLAGS, "--steps", "8", "--resume", "auto"]) == 0
    assert "state.safetensors is damaged" in capsys.readouterr().err
    assert checkpoint.load_training(Path("outputs/tiny")).step == 8
    assert cli.main(["verify-checkpoint", "outputs/tiny"]) == 0
    assert (run_folder("outputs") / "damaged-step-000006").exists()
    assert cli.main(["verify-checkpoint", "text.txt"]) == 1


# Saving beside training


def test_steps_go_on_while_a_checkpoint_is_written(place, on_numpy, monkeypatch):
    """The file is written only once two later steps have begun: waiting would never end."""
    trainer = trainer_of(small(steps=8))
    later, write = threading.Event(), checkpoint.save
    seen = []

    def slow(folder, saved):
        if saved.rest.step == 2:
            assert later.wait(30), "training waited for the disk"
        return write(folder, saved)

    def watching(step, batches=trainer.batches):
        seen.append((step, trainer.saver.done))
        if step == 6:
            later.set()
        return batches(step)

    watching.close = trainer.batches.close
    monkeypatch.setattr(checkpoint, "save", slow)
    trainer.batches = watching
    trainer.config = replace(
        trainer.config, checkpoint=replace(trainer.config.checkpoint, save_frequency=7)
    )
    begin = trainer._on_schedule
    monkeypatch.setattr(trainer, "_on_schedule", lambda: _save_at_two(trainer, begin))
    assert trainer.run() == 0
    assert dict(seen)[6] == -1, "step 7 began before the checkpoint of step 2 was there"
    assert [path.name for path in checkpoint.saved(trainer.folder / "checkpoints")] == [
        "step-000002",
        "step-000007",
        "step-000008",
    ]


def _save_at_two(trainer, otherwise):
    if trainer.step == 2:
        trainer.saver.start(trainer.state, trainer._rest())
    else:
        otherwise()


# Numbers that are none


def with_policy(policy, steps=8):
    config = small(steps=steps)
    return replace(config, training=replace(config.training, nan_policy=policy))


def notes_of(trainer):
    return trainer.reporter.console.file.getvalue()


def test_rolling_back_leaves_out_the_batches(place, on_numpy, monkeypatch):
    monkeypatch.setenv(faults.VARIABLE, "nan@6")
    trainer = trainer_of(with_policy("rollback"))
    assert trainer.run() == 0
    assert "went back to step 4, leaving out the batches since then" in notes_of(trainer)
    rest = checkpoint.load_training(trainer.folder)
    assert (rest.step, rest.batches) == (8, 10)
    steps = [json.loads(line) for line in (trainer.folder / "log.jsonl").read_text().splitlines()]
    assert [record["step"] for record in steps if "loss" in record] == [1, 2, 3, 4, 5, 5, 6, 7, 8]


def test_rolling_back_for_nothing_ends(place, on_numpy):
    trainer = trainer_of(with_policy("rollback"))
    draw = trainer.batches

    def spoiling(step):
        if trainer.step == 4:
            params = tracer.tree.map(
                lambda w: np.full(w.shape, np.nan, "f"), trainer.state["params"]
            )
            trainer.state["params"] = params
        return draw(step)

    spoiling.close = draw.close
    trainer.batches = spoiling
    with pytest.raises(DivergedError, match=r"at step 5; 3 times nothing but this followed step 4"):
        trainer.run()


def test_a_step_with_bad_numbers_leaves_the_state_alone(on_numpy):
    def train_step(state, batch):
        loss = (state["w"] * batch).sum()
        return {"w": state["w"] - 1.0}, {"loss": loss, "grad_norm": loss}

    step = tracer.jit(skipping(train_step), donate_argnums=(0,))
    state = {"w": jnp.ones(3)}
    for batch, left in ((1.0, 0.0), (np.inf, 0.0), (np.nan, 0.0), (2.0, -1.0)):
        state, metrics = step(state, np.full(3, batch, np.float32))
        np.testing.assert_array_equal(state["w"], np.full(3, left, np.float32))
    assert float(metrics["loss"]) == 0.0


@pytest.mark.parametrize("bad", [{3}, set(range(3, 100))])
def test_skipping_is_told_and_has_an_end(place, on_numpy, bad):
    trainer = trainer_of(with_policy("skip", steps=20))
    step = trainer.train_step

    def spoiling(state, batch):
        state, metrics = step(state, batch)
        trouble = {"loss": jnp.asarray(np.float32(np.inf))} if trainer.step in bad else {}
        return state, {**metrics, **trouble}

    trainer.train_step = spoiling
    if len(bad) == 1:
        assert trainer.run() == 0
        assert "the loss is inf at step 4; the step was left out" in notes_of(trainer)
        log = (trainer.folder / "log.jsonl").read_text().splitlines()
        steps = [record["step"] for line in log if "loss" in (record := json.loads(line))]
        assert steps == [1, 2, 3, *range(5, 21)]
    else:
        with pytest.raises(DivergedError, match="10 times nothing but this followed step 3"):
            trainer.run()
