"""The bench verbs that compare: sides take turns, results are right, tables say what JSON says."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from rich.console import Console

from picotron import bench_kernels, bench_table, cli, measure, reference
from picotron.bench import run_step
from picotron.bench_decode import SMALL, run_decode
from picotron.bench_kernels import FAMILIES, run_family
from picotron.bench_scaling import exponent, run_scaling
from picotron.errors import ConfigError
from picotron.measure import Side, interleaved, ratios, roof
from picotron.peak import VENDOR

TINY = {"GEMM_SOFTWARE": ((32, 48, 16), (20, 24, 28)), "ATTENTION_SOFTWARE": ((1, 2, 32, 16),)}
TINY |= {"ROWS_SOFTWARE": dict.fromkeys(("rms_norm", "softmax", "logsumexp"), (24, 32))}
TINY["ROWS_SOFTWARE"] |= {"adamw": (1024,), "negate": (1024,)}


@pytest.fixture
def tiny(monkeypatch):
    for name, value in TINY.items():
        monkeypatch.setattr(bench_kernels, name, value)
    monkeypatch.setattr(measure, "WARM_S", 1e-4)


@pytest.mark.device
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_right_and_compared(family, tiny):
    result = run_family(family, "float32", "numpy", 2)
    assert [c["case"] for c in result["cases"]] == [
        case.name for case in FAMILIES[family]("float32", True)
    ]
    for case in result["cases"]:
        assert case["ms"] > 0 and 0 <= case["error"] < 1e-5
        if "ratio" in case:
            assert case["ratio_least"] <= case["ratio"] <= case["ratio_most"]
    compared = sum("ratio" in case for case in result["cases"])
    assert compared == len(result["cases"]) - (family == "attention")  # numpy has no gradients
    assert result["peer"]["name"] == "numpy" and result["roof"]["source"].startswith("numpy")


@pytest.mark.device
def test_errors_of_halves_are_those_of_halves(tiny):
    errors = [c["error"] for c in run_family("gemm", "bfloat16", None, 1)["cases"]]
    assert all(1e-5 < e < 1e-2 for e in errors)


def test_every_family_has_a_case_for_the_gpu():
    assert len(list(FAMILIES["gemm"]("float32", False))) == 11
    attention = list(FAMILIES["attention"]("float32", False))
    assert attention[0].flops == 4 * 4 * 16 * (2048 * 2049 // 2) * 64
    assert {c.bound for c in FAMILIES["rows"]("float32", False)} == {"bytes"}


def test_a_side_rests_after_its_turn():
    start = time.perf_counter()
    timed = measure._seconds(Side(lambda: None, lambda: None, rest=0.05), 1)
    assert time.perf_counter() - start - timed >= 0.05


def test_sides_take_turns():
    order = []
    sides = {n: Side(lambda n=n: order.append(n), lambda: None) for n in ("a", "b")}
    found = interleaved(sides, 3)
    assert {name: len(times) for name, times in found.items()} == {"a": 3, "b": 3}
    changes = "".join(x for x, y in zip(order, [*order[1:], ""], strict=True) if x != y)
    assert changes == "ab" * 4  # one turn to warm up


def test_a_ratio_above_one_is_faster():
    found = ratios([1.0, 2.0, 1.0], [2.0, 2.0, 3.0])
    assert (found.least, found.median, found.most) == (1.0, 2.0, 3.0)


def test_roofs():
    assert roof("NVIDIA H100 80GB HBM3", False).nbytes == 3.35e12
    assert roof("NVIDIA H200", False).nbytes == 4.8e12
    assert roof("something else", False).flops is None
    measured = roof("llvmpipe", True)
    assert measured.flops > 1e8 and measured.nbytes > 1e7


CASE = {"case": "one", "ms": 1.5, "device_ms": None, "tflops": 0.25, "gbytes_s": 12.0}
CASE |= {"share_of_roof": 0.5, "error": 1e-7, "peer_ms": 3.0}
CASE |= {"ratio": 2.0, "ratio_least": 1.9, "ratio_most": 2.2}
RESULT = {"family": "rows", "dtype": "float32", "adapter": "chip", "cases": [CASE]}
RESULT |= {"peer": {"name": "torch", "version": "2", "device": "card"}}
RESULT |= {"roof": {"flops": 1e12, "nbytes": 2e11, "source": "its label"}}


def test_the_table():
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    bench_table.show(RESULT, console)
    text = console.export_text()
    assert "rows, float32, chip against torch 2 on card; roof 1 TF/s, 200 GB/s" in text
    assert "2.00 (1.90-2.20)" in text and "on the device" not in text


@pytest.mark.device
def test_the_verb_prints_json_or_a_table(tiny, capsys):
    assert cli.main(["bench", "rows", "--rounds", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["family"] == "rows" and found["peer"] is None
    assert cli.main(["bench", "gemm", "--rounds", "1"]) == 0
    assert "32x48x16" in capsys.readouterr().out


@pytest.mark.device
def test_decode_counts_tokens_and_kernels(monkeypatch):
    monkeypatch.setattr(measure, "WARM_S", 1e-4)
    found = run_decode(SMALL, "float32", 1, 5, 6, None, 1)
    assert found["tok_s"] > 0 and found["tokens"] == 6
    assert 5 * SMALL.num_hidden_layers < found["kernels_per_token"] < 20 * SMALL.num_hidden_layers


@pytest.mark.device
def test_what_a_peer_cannot_do_is_refused(capsys):
    assert cli.main(["bench", "step", "--vs", "numpy"]) == 2
    assert "compares with torch, torch.compile, jax, tinygrad, not numpy" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="not jax"):
        run_decode(SMALL, "float32", 1, 5, 6, "jax", 1)


@pytest.mark.device
@pytest.mark.parametrize("peer", ["torch", "jax", "tinygrad"])
def test_peers_make_the_reference_step(peer):
    pytest.importorskip(peer)
    shapes = reference.Shapes(V=256, H=32, NH=4, NKV=2, L=2, I=48, S=16, B=2)
    found = run_step(shapes, 4, vs=peer)
    np.testing.assert_allclose(found["losses"], found["peer_losses"], rtol=1e-4)
    assert found["peer"].startswith(peer) and found["ratio_least"] <= found["ratio"]


def test_every_card_has_both_roofs():
    assert set(measure.BANDWIDTH) == set(VENDOR)


@pytest.mark.device
def test_a_step_grows_linearly_with_layers_and_batch():
    grown = run_scaling({"L": (2, 4), "B": (2, 4)})["axes"]
    for rows in grown.values():
        for key in ("flops", "nbytes"):
            assert 0.6 < exponent(rows, key) <= 1.05
    layers, batch = grown["L"], grown["B"]
    assert abs(layers[0]["kernels"] - layers[1]["kernels"]) <= 2  # the same ones for every layer
    assert abs(batch[0]["dispatches"] - batch[1]["dispatches"]) <= 2
