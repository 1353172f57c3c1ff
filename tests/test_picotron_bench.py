"""`picotron bench host`: the figures are there, and calls leave nothing behind."""

from __future__ import annotations

import json

import pytest

from picotron import bench, bench_host, cli, measure


@pytest.mark.device
def test_figures_of_the_host(capsys, monkeypatch):
    monkeypatch.setattr(bench_host, "REPEATS", 1)
    assert cli.main(["bench", "host", "--calls", "300", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    times = {
        n: f["value"] for n, f in found.items() if n != "adapter" and f["unit"] in ("us", "ms")
    }
    assert len(times) == 6 and all(v > 0 for v in times.values())
    left = {f["unit"]: f["value"] for n, f in found.items() if n.startswith("growth")}
    assert left["programs"] == left["device bytes"] == 0
    assert left["Python blocks"] < 100  # far fewer than calls


def test_the_summary_says_which_goals_are_missed():
    result = {"adapter": "one", "fast": {"value": 1.0, "unit": "us", "goal": 10}}
    result["slow"] = {"value": 11.5, "unit": "us", "goal": 10}
    one, fast, slow = bench_host.summary(result).splitlines()
    assert one.split() == ["adapter", "one"]
    assert fast.split() == "fast 1 us (goal: 10)".split()
    assert slow.split() == "slow 11.5 us (goal: 10, missed)".split()


@pytest.mark.parametrize("flag", ["--steps", "--calls"])
def test_counts_are_checked(flag, capsys):
    assert cli.main(["bench", "host", flag, "0"]) == 2
    assert f"{flag} must be greater than 0" in capsys.readouterr().err


def test_what_takes_long_says_how_far_it_is(capsys, monkeypatch):
    """On stderr, each step of both sides; a quick run says nothing."""
    steps = {"ours": lambda: lambda: 1.5, "peer": lambda: lambda: 1.5}
    bench._one_by_one(steps, 2)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(measure, "QUIET", 0.0)
    found = bench._one_by_one(steps, 2)
    assert [len(side) for side in found.values()] == [2, 2]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4 and lines[3] == "bench step: step 2 of 2, peer: 0.0 s, loss 1.500"
