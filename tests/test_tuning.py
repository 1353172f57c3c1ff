"""Tables of measured tile configurations: who writes them, who reads them, and what they change."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys

import pytest

import runtime
from codegen.choices import BY_RULE, Choices, choosing
from codegen.profile import H100, LAVAPIPE
from codegen.records import Attention, Matmul
from codegen.subjects import subjects
from codegen.tiles import attention_key, matmul_config, matmul_key, matmul_options
from picotron import cli
from runtime import contest, programs, tuned, tuner
from runtime.contest import Finding
from runtime.tuned import Table
from tracer import ShapeDtypeStruct, graph_of, nn

SQUARE = Matmul(1, 512, 512, 512)
ADAPTER = Table("a card", "driver 1", 2)


def finding(**changed) -> Finding:
    found = Finding("matmul", ("matmul 8x8x8 nn",), "a", "b", 2e-3, 1e-3, 1e-5, 3)
    return dataclasses.replace(found, **changed)


# --- what a table changes -------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [H100, LAVAPIPE], ids=lambda p: p.name)
def test_an_entry_names_the_configuration(profile):
    options = matmul_options(SQUARE, profile)
    rule = matmul_config(SQUARE, profile)
    assert options[rule.name] == rule and len(options) > 3
    for name, config in options.items():
        assert matmul_config(SQUARE, choosing(profile, {matmul_key(SQUARE): name})) == config


def test_an_entry_of_another_version_changes_nothing():
    rule = matmul_config(SQUARE, H100)
    for name in (tuned.BY_RULE, "1x1x1 by 1x1", ""):
        assert matmul_config(SQUARE, choosing(H100, {matmul_key(SQUARE): name})) == rule
    assert matmul_config(SQUARE, choosing(H100, {"matmul 1x1x1 nn": "64x64x8 by 4x8"})) == rule


def test_the_cache_of_programs_tells_tables_apart():
    graph = graph_of(nn.softmax)(ShapeDtypeStruct((8, 64), "float32"))
    profiles = [LAVAPIPE, choosing(LAVAPIPE, {"k": "a"}), choosing(LAVAPIPE, {"k": "b"})]
    keys = {programs._key(graph, p, (), "main", 0) for p in profiles}
    assert len(keys) == 3 and None not in keys


def test_profiles_without_a_table_are_what_they_were():
    assert LAVAPIPE.choices is BY_RULE and choosing(LAVAPIPE, {}) == LAVAPIPE
    assert hash(Choices.of({"k": "a"})) == hash(Choices.of({"k": "a"}))


def test_attention_in_segments_is_another_choice():
    whole = Attention(1, 2, 2, 32, 32, 8, True, 1.0)
    parts = dataclasses.replace(whole, segments=True)
    assert attention_key(whole, "fwd") != attention_key(parts, "fwd")


# --- what is taken --------------------------------------------------------------------------------


def subject():
    graph = graph_of(nn.softmax)(ShapeDtypeStruct((64, 256), "float32"))
    return subjects(graph, LAVAPIPE, (), "t")[0]


RULE = [1.00, 1.04, 0.98, 1.01, 1.02]


@pytest.mark.parametrize(
    "times, taken",
    [
        ([0.50] * 5, True),
        ([0.95] * 5, False),  # the rule's own times vary by more
        ([0.90, 0.90, 0.90, 3.0, 3.0], True),  # what disturbs one round is not the kernel's
        ([2.00] * 5, False),
    ],
)
def test_an_option_must_beat_the_noise(times, taken):
    found = contest.judged(subject(), {"rule": RULE, "other": times})
    assert (found.option == "other") is taken and found.better is taken
    assert found.best_seconds == pytest.approx(min(0.90, times[0]) if taken else 1.01)


def test_a_gain_that_is_steady_but_tiny_is_none():
    found = contest.judged(subject(), {"rule": [1.0] * 5, "other": [0.99] * 5})
    assert not found.better


def test_slow_sides_drop_out_after_a_round():
    runs = {"rule": 3.0, "fast": 1.0, "slow": 2.0}
    made = {name: [] for name in runs}

    def side(name):
        return lambda: made[name].append(0) or runs[name]

    found = contest.in_turns({n: side(n) for n in runs}, 4, hopeless=1.5)
    assert {n: len(x) for n, x in made.items()} == {"rule": 4, "fast": 4, "slow": 1}
    assert set(found) == {"rule", "fast"}


class Steps:
    """A whole program whose runs with a finding take as long as `seconds` says."""

    def __init__(self, seconds):
        self.seconds = seconds

    def against(self, kept):
        spent = sum(self.seconds[f.kernel] for f in kept)
        return (1.0,) * 7, (1.0 + spent,) * 7


def test_what_makes_the_whole_slower_is_dropped():
    good, bad = finding(kernel="good"), finding(kernel="bad", keys=("rows 8x8 of 2, sum",))
    steps = Steps({"good": -0.1, "bad": 0.2})
    report = tuner._confirmed(steps, [good, bad])
    assert report.kept == (good,)
    assert report.entries()[bad.keys[0]] == {"option": tuned.BY_RULE}
    assert report.entries()[good.keys[0]]["option"] == "b"
    assert tuner._confirmed(Steps({"bad": 0.2}), [bad]).kept == ()
    assert tuner._confirmed(steps, [finding(option="a")]).tuned == ()


def test_winning_by_chance_is_not_enough():
    assert tuner.faster([1.0] * 7, [0.9] * 6 + [1.1])
    assert not tuner.faster([1.0] * 7, [0.9] * 5 + [1.1] * 2)


# --- files ----------------------------------------------------------------------------------------


def test_a_table_is_read_as_it_was_written(tmp_path):
    table = dataclasses.replace(ADAPTER, entries={"k": {"option": "a", "times_as_fast": 1.2}})
    tuned.write(tmp_path / "folder" / "t.json", table)
    assert tuned.read(tmp_path / "folder" / "t.json", ADAPTER) == table
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["t.json"]
    assert tuned.read(tmp_path / "none.json", ADAPTER) is None


GOOD = {"format": 1, "adapter": "a card", "driver": "driver 1", "units": 2, "choices": {}}
DAMAGE = {
    "not JSON": ('{"format": 1,', "it is not JSON"),
    "a list": ("[]", "it is no tuning table of format 1"),
    "a later format": (json.dumps(GOOD | {"format": 2}), "it is no tuning table of format 1"),
    "another card": (json.dumps(GOOD | {"adapter": "b"}), "its adapter is 'b'"),
    "another driver": (json.dumps(GOOD | {"driver": "2"}), "its driver is '2'"),
    "more cores": (json.dumps(GOOD | {"units": 8}), "its units is 8"),
    "no choices": (json.dumps(GOOD | {"choices": None}), "it lacks"),
    "odd choices": (json.dumps(GOOD | {"choices": {"k": "a"}}), "it lacks"),
    "binary": (b"\xff\xfe\x00", "it is not JSON"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_table_that_is_not_ours_is_left_out_with_one_sentence(name, tmp_path):
    text, reason = DAMAGE[name]
    path = tmp_path / "t.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.warns(tuned.TuningTableWarning, match="is not used") as seen:
        assert tuned.read(path, ADAPTER) is None
    [warning] = seen
    message = str(warning.message)
    assert reason in message and str(path) in message and "picotron tune" in message
    assert "\n" not in message


def test_shipped_tables_are_whole():
    found = [tuned.table_of(p.read_text()) for p in tuned.SHIPPED.glob("*.json")]
    assert {t.adapter.split()[0] for t in found} == {"NVIDIA", "llvmpipe"}
    for table in found:
        assert table.entries and all(e["option"] for e in table.entries.values())


@pytest.fixture
def info():
    try:
        return runtime.default_device().info
    except runtime.NoAdapterError as error:
        pytest.skip(str(error))


def test_a_users_table_goes_over_the_shipped_one(info, tmp_path, monkeypatch):
    plain = dataclasses.replace(runtime.default_device().profile, choices=BY_RULE)
    shipped = tmp_path / "shipped"
    other = dataclasses.replace(ADAPTER, entries={"k": {"option": "other card"}})
    mine = Table(info.name, "any", plain.units, {"k": {"option": "s"}, "j": {"option": "s"}})
    tuned.write(shipped / "a.json", other)
    tuned.write(shipped / "b.json", mine)
    monkeypatch.setattr(tuned, "SHIPPED", shipped)
    monkeypatch.setattr(tuned, "cache_folder", lambda: tmp_path)
    assert tuned.tuned(plain, info).choices.entries == {"k": "s", "j": "s"}
    own = dataclasses.replace(mine, driver=info.driver, entries={"k": {"option": "mine"}})
    tuned.write(tuned.table_path(info), own)
    assert tuned.tuned(plain, info).choices.entries == {"k": "mine", "j": "s"}
    off = dataclasses.replace(runtime.settings.settings(), tuning="off")
    monkeypatch.setattr(tuned, "settings", lambda: off)
    assert tuned.tuned(plain, info) == plain


# --- the verb -------------------------------------------------------------------------------------

SIZES = {"V": 32, "H": 32, "NH": 2, "NKV": 1, "L": 1, "I": 48, "S": 16, "B": 2}
AGAIN = """
import runtime
from codegen.choices import BY_RULE
profile = runtime.default_device().profile
print(sorted(profile.choices.entries.items()))
"""


def first_option(device, subject, profile) -> Finding:
    """As if the first option were twice as fast, where the rule chose another one."""
    decision = subject.decision
    return finding(
        kernel=subject.kernel.code.name, keys=decision.keys, chosen=decision.chosen,
        option=decision.options[0],
    )  # fmt: skip


def test_the_verb_measures_writes_and_a_second_process_reads(info, tmp_path, monkeypatch, capsys):
    sizes, cache = tmp_path / "sizes.json", tmp_path / "cache"
    sizes.write_text(json.dumps(SIZES))
    monkeypatch.setattr(tuned, "cache_folder", lambda: cache)
    monkeypatch.setattr(tuner, "contest", first_option)
    monkeypatch.setattr(tuner, "faster", lambda by_rule, found: True)
    monkeypatch.setattr(tuner, "ROUND_S", 0)
    assert cli.main(["tune", "step", "--config", str(sizes)]) == 0
    out = capsys.readouterr().out
    assert "times as fast as" in out and f"wrote {tuned.table_path(info)}" in out
    table = tuned.table_of(tuned.table_path(info).read_text())
    assert (table.adapter, table.driver) == (info.name, info.driver)
    changed = {k: e["option"] for k, e in table.entries.items() if "rule" in e}
    assert {key.split()[0] for key in changed} >= {"matmul", "attention"}
    given = os.environ | {"PICOTRON_CACHE": str(cache)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", AGAIN], env=given, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    assert set(changed.items()) <= set(eval(done.stdout))


def test_measuring_takes_nothing_that_is_wrong(info, tmp_path, monkeypatch, capsys):
    """A real contest of a real kernel, one of whose options computes something else."""
    device = runtime.default_device()
    profile = dataclasses.replace(device.profile, choices=BY_RULE)
    graph = graph_of(lambda x: nn.softmax(x))(ShapeDtypeStruct((64, 256), "float32"))
    [one] = subjects(graph, profile, (), "t")
    real, seen = contest.variants, []

    def variants(subject, profile, times):
        found = real(subject, profile, times)
        name, program = next(iter(found.items()))
        wrong = tuple(
            dataclasses.replace(k, wgsl=k.wgsl.replace("exp(", "exp2(")) for k in program.kernels
        )
        seen.append(name)
        return found | {name: dataclasses.replace(program, kernels=wrong)}

    def in_turns(sides, rounds, hopeless):
        seen.append(set(sides))
        return {name: [1.0] * rounds for name in sides}

    monkeypatch.setattr(contest, "variants", variants)
    monkeypatch.setattr(contest, "in_turns", in_turns)
    found = contest.contest(device, one, profile)
    spoilt, raced = seen
    assert raced == {*one.decision.options} - {spoilt}
    assert not found.better and found.chosen == one.decision.chosen


def test_tune_refuses_what_it_cannot_do(tmp_path, capsys):
    assert cli.main(["tune", "gemm", "--config", "sizes.json"]) == 2
    assert "--config is of train and step, not of gemm" in capsys.readouterr().err
    assert cli.main(["tune", "--seconds", "0"]) == 2
    assert "--seconds and --batch must be greater than 0" in capsys.readouterr().err
    mesh = tmp_path / "mesh.toml"
    mesh.write_text("[distributed]\ndp_size = 2\n")
    assert cli.main(["tune", "--config", str(mesh), "--out", str(tmp_path / "t.json")]) == 2
    assert "tune measures one device" in capsys.readouterr().err


def test_a_run_is_tuned_from_its_file(info, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        tuner,
        "contest",
        lambda device, s, p: dataclasses.replace(
            first_option(device, s, p), option=s.decision.chosen
        ),
    )
    (tmp_path / "text.txt").write_text("the sea is calm tonight " * 60)
    (tmp_path / "run.toml").write_text(
        f'[dataset]\npath = "{tmp_path / "text.txt"}"\n[model]\nhidden_size = 16\n'
        "intermediate_size = 16\nnum_hidden_layers = 1\nnum_attention_heads = 2\n"
        "num_key_value_heads = 1\nmax_position_embeddings = 16\n"
        "[training]\nseq_length = 16\nmicro_batch_size = 2\ntotal_train_steps = 4\n"
        "warmup_steps = 1\n"
    )
    out = tmp_path / "t.json"
    flags = ["--config", str(tmp_path / "run.toml"), "--out", str(out), "--json"]
    assert cli.main(["tune", *flags]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["table"] == str(out) and result["programs"][0]["program"] == "train step"
    assert result["programs"][0]["kernels"] and result["programs"][0]["kept"] == 0
    assert tuned.table_of(out.read_text()).entries
