"""Several processes over MPI: the same collectives, and what happens when one of them fails."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from picotron import checkpoint, cli, hf, hf_config, launch, model, tokenizer
from picotron.config import ModelConfig
from picotron.errors import ConfigError

from .ranks import MODEL, weights

ROOT = Path(__file__).resolve().parents[2]


def without_mpi() -> str:
    """What there is to do if these tests cannot run; "" if they can. Asked in another process,
    since one that has initialised MPI cannot start jobs."""
    if launch.mpirun() is None:
        return (
            "no mpirun beside this interpreter or on the path: pip install 'picotron-webgpu[mpi]'"
        )
    code = "from runtime.mpi import mpi; mpi()"
    asked = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return asked.stderr.strip().rpartition("\n")[2] if asked.returncode else ""


LACKING = without_mpi()
needs_mpi = pytest.mark.skipif(bool(LACKING), reason=LACKING)


def ranks(case: str, count: int, **env: str) -> subprocess.CompletedProcess:
    command = [launch.mpirun(), "-n", str(count), sys.executable, "-W", "ignore"]
    command += ["-m", "tests.parallel.ranks", case]
    variables = {**launch.environment(count), **env}
    return subprocess.run(
        command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=120
    )


def picotron(arguments: str, mpirun: int = 0, code: int = 0) -> subprocess.CompletedProcess:
    """`picotron arguments`, started by `mpirun -n` if that is not 0; must end with `code`."""
    command = [launch.mpirun(), "-n", str(mpirun)] if mpirun else []
    command += [sys.executable, "-W", "ignore", "-m", "picotron", *arguments.split()]
    env = launch.environment(max(1, mpirun))
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done


@needs_mpi
@pytest.mark.parametrize(("count", "per_node"), [(2, 0), (4, 2), (4, 3)])
def test_collectives(count, per_node):
    """On one node, on two, and on nodes of unequal size."""
    done = ranks("collectives", count, PICOTRON_RANKS_PER_NODE=str(per_node))
    assert done.returncode == 0, done.stderr


@needs_mpi
def test_each_process_takes_what_was_foreseen_and_keeps_to_its_budget():
    done = ranks("keeps_a_budget", 2)
    assert done.returncode == 0, done.stderr


@needs_mpi
def test_a_process_that_raises_ends_the_job_with_its_traceback():
    start = time.monotonic()
    done = ranks("raises", 2)
    assert done.returncode != 0 and time.monotonic() - start < 20
    assert "rank 1 failed" in done.stderr and "ValueError: a defect of rank 1" in done.stderr


@needs_mpi
def test_a_process_that_hangs_ends_the_job_and_is_named():
    done = ranks("hangs", 2, WATCHDOG="1")
    assert done.returncode != 0
    assert "rank 0 has waited for others for more than 1 s" in done.stderr
    assert "rank 1:" in done.stderr and "in a nap" in done.stderr


@needs_mpi
def test_another_configuration_is_refused():
    done = ranks("differs", 4)
    assert done.returncode != 0
    assert "rank 2, 3 has another configuration than rank 0" in done.stderr


@needs_mpi
def test_processes_write_their_own_parts_of_a_checkpoint(tmp_path):
    """Each what it has, nobody all of it; one that dies while it saves leaves what was there."""
    tokenizer.train("char", ["ab"], 2).save(tmp_path / "tokenizer.json")
    done = ranks("saves", 2, FOLDER=str(tmp_path))
    assert done.returncode != 0 and [p.name for p in checkpoint.saved(tmp_path)] == ["step-000001"]
    assert (tmp_path / ".saving-step-000002").is_dir()
    checkpoint.sweep(tmp_path)
    saved = tmp_path / "step-000001"
    assert not checkpoint.problems(saved) and not list(tmp_path.glob(".saving-*"))
    sizes = [(saved / f"model-rank{rank:05d}.safetensors").stat().st_size for rank in (0, 1)]
    assert max(sizes) < 1.05 * min(sizes)
    loaded, rest = checkpoint.load_run(saved)
    wanted = model.flatten(weights(loaded.model))
    for name, found in model.flatten(loaded.params).items():
        np.testing.assert_array_equal(found, 2 * wanted[name])
    assert rest.state["optimizer.count"] == 7


@needs_mpi
@pytest.mark.parametrize("count", [2, 4])
def test_processes_read_their_own_parts_of_a_folder(tmp_path, count):
    """Columns and rows of two, and the stages of a pipeline with weights in parts."""
    config = ModelConfig(**MODEL)
    tensors = hf.to_tensors(weights(config))
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(hf_config.to_config(config)))
    done = ranks("loads", count, FOLDER=str(tmp_path))
    assert done.returncode == 0, done.stderr


@needs_mpi
def test_the_operation_at_fault_is_found_in_a_pipeline_of_processes():
    done = ranks("blames", 2)
    assert done.returncode == 0, done.stderr


@needs_mpi
def test_two_processes_train_as_one_device(tmp_path):
    """A pipeline of two processes, and two that share the batch and go on from a checkpoint of the
    pipeline, started by the command itself."""
    small = "--preset tiny --steps 3 --grad-acc-steps 2 --seq-len 16 --max-restarts 0"
    small += " --logging.log-frequency 1 --logging.sample-tokens 0 --logging.no-plot"
    small += " --logging.eval-batches 1 --model.hidden-size 16 --model.intermediate-size 32"
    small += " --model.tie-word-embeddings --model.hidden-dropout 0.1 --training.ema-decay 0.9"
    small += " --checkpoint.save-frequency 2"
    losses, saved = {}, tmp_path / "pp" / "tiny" / "checkpoints" / "step-000002"
    two = "--distributed.launcher mpi"
    meshes = {"one": "--mbs 2", "pp": f"--mbs 2 --pp 2 {two}", "dp": f"--mbs 1 --dp 2 {two}"}
    meshes["dp"] += f" --pp 1 --fsdp True --resume {saved}"
    for name, flags in meshes.items():
        command = [sys.executable, "-m", "picotron", "train", "--out", str(tmp_path / name)]
        done = subprocess.run(
            [*command, *small.split(), *flags.split()], cwd=ROOT, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        # Counted from the times that came with the messages: (p - 1) / m.
        told = "waits for 50.0 % of the time that it works; activations held: 2, 1 micro-batches"
        assert (told in done.stdout + done.stderr) == (name == "pp")
        log = (tmp_path / name / "tiny" / "log.jsonl").read_text().splitlines()
        records = [json.loads(line) for line in log]
        losses[name] = [r["loss"] for r in records if "grad_norm" in r]
    assert len(losses["one"]) == 3
    assert losses["pp"] == pytest.approx(losses["one"], rel=1e-4)
    assert losses["dp"] == pytest.approx(losses["one"][2:], rel=1e-4)
    assert {path.name for path in saved.glob("*-rank*")} == {
        f"{stem}-rank{rank:05d}.safetensors" for stem in ("model", "state") for rank in (0, 1)
    }
    # What each stage wrote of the weights is one model, in files that Hugging Face can read.
    listed = json.loads((saved / "model.safetensors.index.json").read_text())["weight_map"]
    assert set(listed) == set(checkpoint.arrays_of(saved, "model"))


@needs_mpi
def test_what_two_processes_gain_is_measured(tmp_path):
    shapes = tmp_path / "shapes.json"
    shapes.write_text('{"V": 32, "H": 16, "NH": 2, "NKV": 1, "L": 1, "I": 24, "S": 8, "B": 2}')
    command = f"bench mpi --ranks 2 --rounds 1 --steps 1 --json --config {shapes}"
    found = json.loads(picotron(command).stdout)
    assert found["ranks"] == 2 and found["ratio"] > 0 and found["alone_tok_s"] > 0
    assert 0 < found["all_reduce_least_ms"] <= found["all_reduce_ms"]
    assert found["collectives"]["dp"]["psum"][1] > 0
    assert found["messages"] == 1 and 0 < found["telling_share"] < 1 == 1 + found["covered_share"]


def test_as_many_processes_as_devices(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "3")
    with pytest.raises(ConfigError, match=r"started 3 processes, but .* is 4; start it with -n 4"):
        launch.launch(4, [])
    monkeypatch.setenv("PMI_SIZE", "4")
    assert launch.launch(4, []) is None


def test_without_mpi_devices_are_virtual(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE"):
        monkeypatch.delenv(name, raising=False)
    said = []
    monkeypatch.setattr(launch, "mpirun", lambda: None)
    assert launch.launch(4, ["train"], said.append) is None
    assert "the 4 devices are virtual ones of this process" in said[0]
    assert launch.launch(1, []) is None


@pytest.mark.parametrize("lacking", ["mpi4py", "mpirun"])
def test_processes_that_cannot_be_started_are_refused(lacking, monkeypatch, tmp_path, capsys):
    """In one sentence, before anything is read or written."""
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE"):
        monkeypatch.delenv(name, raising=False)
    installed = importlib.machinery.ModuleSpec("mpi4py", None) if lacking == "mpirun" else None
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: installed)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))  # no mpirun beside it
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    flags = ["--preset", "tiny", "--dp", "2", "--tp", "2", "--distributed.launcher", "mpi"]
    assert cli.main(["train", *flags]) == 2
    told = f"distributed.launcher mpi starts 4 processes, and there is no {lacking}; "
    told += "pip install 'picotron-webgpu[mpi]', or --distributed.launcher virtual"
    assert " ".join(capsys.readouterr().err.split()) == f"picotron: {told}"
    assert not list(tmp_path.iterdir())


def test_the_launcher_runs_this_interpreter(monkeypatch):
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "PMIX_SIZE"):
        monkeypatch.delenv(name, raising=False)
    calls = []

    def run(command, env, check):
        calls.append((command, env))
        return subprocess.CompletedProcess(command, 7)

    monkeypatch.setattr(launch, "mpirun", lambda: "mpirun")
    monkeypatch.setattr(subprocess, "run", run)
    assert launch.launch(2, ["train", "--dp", "2"]) == 7
    command, env = calls[0]
    assert command == ["mpirun", "-n", "2", sys.executable, "-m", "picotron", "train", "--dp", "2"]
    assert int(env["LP_NUM_THREADS"]) >= 1 and env["PATH"] == os.environ["PATH"]


def test_packages_are_told_apart():
    assert launch.package_digest() == launch.package_digest() and len(launch.package_digest()) == 16
