"""`picotron bench mesh`: the figures are there, of the work that they are said to be of."""

from __future__ import annotations

import json

import pytest

from picotron import bench_mesh, cli, reference
from picotron.config import DistributedConfig


def test_the_passes_are_timed_on_sixteen_devices():
    found = bench_mesh.passes(layers=1)
    assert (found["devices"], found["micro_batches"], found["layers"]) == (16, 4, 1)
    assert 0 < found["seconds"] < 5


@pytest.mark.device
def test_both_sides_do_the_same_work():
    tiny = reference.Shapes(V=32, H=16, NH=2, NKV=2, L=1, I=32, S=8, B=4)
    found = bench_mesh._overhead(tiny, DistributedConfig(dp_size=2), 1)
    assert found["times"] == pytest.approx(found["mesh_ms"] / found["one_ms"])
    result = {"passes": bench_mesh.passes(1), "overhead": {"dp=2": found}, "adapter": "this"}
    assert "dp=2: " in bench_mesh.summary(result).splitlines()[2]


@pytest.mark.device
def test_the_bubble_of_a_pipeline(monkeypatch, capsys):
    """Four ranks and eight micro-batches, without a file of sizes: a layer for each stage."""
    tiny = reference.Shapes(V=32, H=16, NH=2, NKV=2, L=2, I=32, S=8, B=8)
    monkeypatch.setattr(reference, "SMALL", tiny)
    flags = ["--mesh", "pp=4", "--pp-schedule", "zb-h1", "--micro-batches", "8", "--steps", "1"]
    assert cli.main(["bench", "step", "--json", *flags]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["pp_schedule"] == "zb-h1" and found["micro_batches"] == 8
    assert found["bubble"] == 1 / 8 == found["bubble_simulated"] and found["idle"] == [3.0] * 4
    assert found["live_activations"] == [4] * 4


def test_micro_batches_that_cannot_be(capsys):
    command = ["bench", "step", "--micro-batches"]
    assert cli.main([*command, "0"]) == 2
    assert "--micro-batches must be greater than 0, not 0" in capsys.readouterr().err
    assert cli.main([*command, "2"]) == 2
    assert "--micro-batches, --fsdp and --sp are of a --mesh" in capsys.readouterr().err
    assert cli.main([*command, "3", "--mesh", "pp=2"]) == 2
    assert "B must be divisible by dp x micro-batches = 3" in capsys.readouterr().err
