"""`picotron profile`: the trace is what Perfetto reads, the table adds up."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from picotron import cli, profiling
from picotron.measure import Roof


def kernel(name, seconds, flops=10, nbytes=100):
    return SimpleNamespace(
        kernel=name, template="map", scope="", grid=(1, 1, 1), seconds=seconds, clock="gpu",
        flops=flops, nbytes=nbytes,
    )  # fmt: skip


KERNELS = [kernel("a", 1e-3), kernel("b", 5e-3), kernel("a", 2e-3)]


def test_lines_add_up_and_are_sorted():
    b, a = profiling.lines(KERNELS)
    assert (b.kernel, b.count, a.kernel, a.count) == ("b", 1, "a", 2)
    assert (a.seconds, a.flops, a.nbytes) == (pytest.approx(3e-3), 20, 200)
    assert b.share_of(Roof(1e6, 4e4, "")) == pytest.approx(100 / 4e4 / 5e-3)
    assert b.share_of(Roof(None, None, "")) is None


@pytest.mark.device
def test_the_trace_has_a_track_of_the_host_and_one_of_the_device():
    recording = profiling.Recording("step")
    with recording.stage("one"):
        pass
    recording.kernels = KERNELS
    events = profiling.trace(recording)["traceEvents"]
    spans = [e for e in events if e["ph"] == "X"]
    assert [e["name"] for e in spans] == ["one", "a", "b", "a"]
    device = [e for e in spans if e["pid"] == profiling.DEVICE]
    assert [e["dur"] for e in device] == pytest.approx([1e3, 5e3, 2e3])
    ends = [e["ts"] + e["dur"] for e in device]
    assert [e["ts"] for e in device[1:]] == pytest.approx(ends[:-1])


@pytest.mark.device
def test_the_verb_writes_a_trace_and_a_table(tmp_path, capsys):
    sizes = tmp_path / "sizes.json"
    sizes.write_text(json.dumps(dict(V=256, H=32, NH=4, NKV=2, L=1, I=48, S=16, B=2)))
    out = tmp_path / "trace.json"
    words = ["profile", "step", "--config", str(sizes), "--steps", "1", "--top", "3"]
    assert cli.main([*words, "--out", str(out)]) == 0
    found = json.loads(out.read_text())["traceEvents"]
    names = {e["name"] for e in found}
    assert {"trace", "compile", "step 0, submit", "step by kernels"} <= names
    assert any(e.get("args", {}).get("template") for e in found)
    text = capsys.readouterr().out
    assert "train step on" in text and f"wrote {out}" in text
    assert cli.main([*words, "--out", str(tmp_path / "no" / "trace.json")]) == 2
