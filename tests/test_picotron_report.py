"""What a run shows and records: its line, panel, plots and sinks."""

import io
import json
import math
import re
import sys
import types
from dataclasses import replace

import pytest
from rich.console import Console

import tracer
from picotron import cli, sinks
from picotron.config import Config, ModelConfig
from picotron.dashboard import BARS, WIDTH, Dashboard, sparkline
from picotron.errors import ConfigError, DataError
from picotron.peak import Peak, flops_per_token, peak, utilisation
from picotron.plots import plot_runs, read_log
from picotron.report import Reporter, step_line
from picotron.words import duration, gigabytes, readable

RECORD = {
    "step": 10,
    "loss": 3.21987,
    "grad_norm": 1.25,
    "tokens_per_step": 1024,
    "tokens": 10240,
    "tokens_per_second": 51234.5,
    "tokens_per_second_per_gpu": 51234.5,
    "mfu": 12.345,
    "memory_usage": 1.5,
    "learning_rate": 3e-4,
}


def with_logging(**changes):
    return replace(Config(), logging=replace(Config().logging, **changes))


def test_the_line_has_picotron_s_columns_in_its_order():
    line = step_line(RECORD, eta=75)
    assert re.match(r"\[rank \d+\] Step: 10 ", line)
    names = [column.split(":")[0].removeprefix("[rank 0] ") for column in line.split(" | ")]
    assert names[:8] == [
        "Step",
        "Loss",
        "Global batch size",
        "Tokens/s",
        "Tokens/s/GPU",
        "Tokens",
        "MFU",
        "Memory usage",
    ]
    for name, pattern, wanted in (
        ("Tokens/s/GPU", r"[\d.]+[KMBT]?", "51.23K"),
        ("MFU", r"[\d.]+%", "12.35%"),
        ("Memory usage", r"[\d.]+GB", "1.50GB"),
        ("Loss", r"[\d.]+", "3.2199"),
    ):
        assert re.search(rf"{name}:\s+({pattern}) \|", line)[1] == wanted
    assert "MFU: - |" in step_line({**RECORD, "mfu": math.nan}, eta=math.nan)


def test_numbers_as_people_read_them():
    assert [readable(n) for n in (7, 1234, 1.5e6, 2e9, math.nan)] == [
        "7",
        "1.23K",
        "1.50M",
        "2.00B",
        "-",
    ]
    assert [duration(s) for s in (9, 75, 3700, math.inf)] == ["9s", "1m15s", "1h01m", "-"]
    assert [gigabytes(n) for n in (1.234, 0.00314)] == ["1.23GB", "0.0031GB"]


def test_utilisation_counts_as_picotron_does():
    """6 N + 12 L H S a token; tokens a second times that, over the peak."""
    config = ModelConfig(vocab_size=100, hidden_size=64, intermediate_size=176)
    count = 2 * 100 * 64 + 2 * (64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 176 + 2 * 64) + 64
    assert flops_per_token(config, 128) == 6 * count + 12 * 2 * 64 * 128
    assert utilisation(1000, 1e9, Peak(1e13, "x")) == pytest.approx(10.0)
    assert math.isnan(utilisation(1000, 1e9, None))


@pytest.mark.device
@pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")
def test_a_peak_says_where_it_is_from():
    found = peak()
    assert found.flops > 1e8
    assert re.search(r"GFLOP/s \((measured, a product of|float32 of)", str(found))
    tracer.use_backend("oracle")
    try:
        assert peak() is None
    finally:
        tracer.use_backend(None)


# The panel


def test_a_curve_of_bars():
    assert sparkline([], 8) == ""
    assert sparkline([math.nan, 1.0], 8) == BARS[0]
    assert sparkline([8, 7, 6, 5, 4, 3, 2, 1], 8) == BARS[::-1]
    assert len(sparkline(list(range(1000)), 64)) == 64


def test_the_panel_holds_a_bounded_number_of_losses():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    board = Dashboard(console, 0, 10_000)
    for step in range(1, 10_001):
        board.step({**RECORD, "step": step, "loss": 5.0 - step / 2500}, eta=10)
    assert len(board.losses) <= 2 * WIDTH
    board.validation = 1.25
    console.print(board)
    shown = console.file.getvalue()
    for part in ("step 10000 of 10000", "loss 1.0000", "validation 1.2500", "51.23K tokens/s"):
        assert part in shown
    assert "ETA 10s" in shown and "1.50GB on the device" in shown
    assert BARS[-1] in shown and BARS[0] in shown


def test_a_terminal_gets_the_panel_and_other_places_lines(tmp_path):
    for terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=terminal, width=200)
        with Reporter(console, 0, 20, 1) as reporter:
            reporter.step(RECORD, 5.0)
        assert ("Tokens/s/GPU" in console.file.getvalue()) is not terminal
        assert ("step 10 of 20" in console.file.getvalue()) is terminal


# Sinks


class Full:
    def log(self, record):
        raise OSError(28, "No space left on device")

    def close(self):
        raise OSError(28, "No space left on device")

    def __str__(self):
        return "the disk"


def test_a_sink_that_fails_costs_a_note(tmp_path):
    console = Console(file=io.StringIO())
    log = sinks.JsonLines(tmp_path / "log.jsonl")
    with Reporter(console, 0, 20, 1) as reporter:
        reporter.log_to(Full(), log)
        reporter.log({"step": 1, "loss": 2.0})
        reporter.log({"step": 2, "loss": math.nan})
    assert console.file.getvalue().count("cannot write the disk: No space left on device") == 1
    assert [json.loads(line) for line in log.path.read_text().splitlines()] == [
        {"step": 1, "loss": 2.0},
        {"step": 2},
    ]


def test_tensorboard_gets_every_number(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    _, board = sinks.sinks_of(with_logging(use_tensorboard=True), tmp_path)
    board.log(RECORD)
    board.log({"step": 20, "validation_loss": 1.5, "loss": math.nan})
    board.close()
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(found.Tags()["scalars"]) == set(RECORD) - {"step"} | {"validation_loss"}
    (event,) = found.Scalars("validation_loss")
    assert (event.step, event.value) == (20, 1.5)


def test_wandb_gets_picotron_s_names(tmp_path, monkeypatch):
    calls = []
    run = types.SimpleNamespace(
        log=lambda numbers, step: calls.append((step, numbers)),
        finish=lambda: calls.append("finished"),
    )
    stand_in = types.ModuleType("wandb")
    stand_in.__spec__ = types.SimpleNamespace(name="wandb")
    stand_in.init = lambda **options: calls.append(options) or run
    monkeypatch.setitem(sys.modules, "wandb", stand_in)
    config = with_logging(use_wandb=True, project_name="novels")
    sinks.check_installed(config)
    _, wandb = sinks.sinks_of(config, tmp_path)
    wandb.log(RECORD)
    wandb.close()
    options, (step, numbers), end = calls
    assert options["project"] == "novels" and options["config"]["training"]["seed"] == 42
    assert step == 10 and end == "finished"
    assert {
        "loss",
        "tokens_per_step",
        "tokens_per_second",
        "mfu",
        "tokens_per_second_per_gpu",
        "memory_usage",
        "trained_tokens",
    } <= set(numbers)


@pytest.mark.parametrize("package", ["wandb", "tensorboard"])
def test_a_missing_package_is_told_before_anything_starts(monkeypatch, package):
    monkeypatch.setattr(sinks.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=f"logging.use_{package} needs .* pip install {package}"):
        sinks.check_installed(with_logging(**{f"use_{package}": True}))
    sinks.check_installed(Config())


# Plots


def write_log(folder, losses, *rest):
    folder.mkdir()
    records = [{**RECORD, "step": step, "loss": loss} for step, loss in losses]
    (folder / "log.jsonl").write_text("".join(json.dumps(r) + "\n" for r in (*records, *rest)))
    return folder


def test_a_log_counts_each_step_as_it_was_done_last(tmp_path):
    run = write_log(tmp_path / "a", [(1, 5.0), (2, 4.0), (3, 9.0), (2, 4.5)])
    with (run / "log.jsonl").open("a") as file:
        file.write('{"step": 3, "validation_loss": 4.25}\n{"step": 4, "lo')
    found = [
        (r["step"], r.get("loss") or r["validation_loss"]) for r in read_log(run / "log.jsonl")
    ]
    assert found == [(1, 5.0), (2, 4.5), (3, 9.0), (3, 4.25)]


def test_runs_over_each_other(tmp_path, capsys, monkeypatch):
    runs = [
        write_log(tmp_path / n, [(s, 5.0 - s * k) for s in range(1, 4)])
        for n, k in (("a", 1), ("b", 0.5))
    ]
    monkeypatch.chdir(tmp_path)
    assert cli.main(["plot", *map(str, runs)]) == 0
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    assert cli.main(["plot", str(runs[0] / "log.jsonl"), "--out", "one.svg"]) == 0
    assert "<svg" in (tmp_path / "one.svg").read_text()
    capsys.readouterr()
    for arguments, code, message in (
        (["none"], 1, "cannot read none: No such file"),
        (["a", "--out", "x.doc"], 1, "cannot draw x.doc: Format 'doc' is not supported"),
        ([], 2, "RUNS is missing; --help tells what it is"),
    ):
        assert cli.main(["plot", *arguments]) == code
        assert message in capsys.readouterr().err
    (tmp_path / "a" / "log.jsonl").write_text("text\n{}\n")
    with pytest.raises(DataError, match="line 1 is no record of a step"):
        plot_runs([tmp_path / "a"], tmp_path / "x.png")
