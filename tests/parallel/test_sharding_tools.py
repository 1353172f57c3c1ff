"""`python -m codegen` on a mesh: what one device does, and what it tells the others."""

from __future__ import annotations

import re

import numpy as np
import pytest

import tracer as t
from codegen.__main__ import main
from ir import parse
from tracer import numpy as jnp
from tracer.sharding import Mesh, NamedSharding, P

from . import equality


def mlp():
    """A target of a user: an MLP in columns and rows over two devices, and an example."""
    mesh = Mesh(np.arange(2), ("tp",))
    places = (P(), P(None, "tp"), P("tp"))
    f = t.jit(lambda x, w, v: jnp.tanh(x @ w) @ v,
              in_shardings=tuple(NamedSharding(mesh, p) for p in places))  # fmt: skip
    return f, tuple(np.ones(s, np.float32) for s in ((4, 8), (8, 16), (16, 8)))


MLP = f"{__name__}:mlp"


def run(capsys, *words: str) -> tuple[int, str, str]:
    code = main(words)
    return code, *capsys.readouterr()


def test_the_program_of_one_device_prints_and_parses(capsys):
    code, out, _ = run(capsys, "dump", MLP, "--stage", "shard", "--mesh", "tp=2")
    assert code == 0 and "d: f32[4, 8@tp] = dot" in out and "f: f32[4, 8]{+tp} = dot" in out
    assert out.count("psum") == 1
    assert parse(out).outs[0].aval.shape == (4, 8)


def test_collectives_are_counted_by_axes_and_direction(capsys):
    code, out, _ = run(capsys, "collectives", MLP, "--mesh", "tp=2")
    assert code == 0
    assert re.search(r"^tp +psum +1 +128 +0 +0$", out, re.M)
    assert "a step of a device of tp=2: 1 collectives, 128 bytes" in out


def test_the_reference_step_tells_what_the_field_tells(capsys):
    _, out, _ = run(capsys, "collectives", "--mesh", "dp=2,cp=2,tp=2", "--sp")
    rows = {tuple(line.split()[:2]): line.split()[2:] for line in out.splitlines()}
    assert rows["cp", "all_gather"][0] == rows["cp", "reduce_scatter"][2] == "4"  # two a layer
    assert rows["tp", "all_gather"][::2] == rows["tp", "reduce_scatter"][::2] == ["5", "5"]
    assert rows["dp*cp", "psum"][2] == "1"


def test_stages_and_passes_can_be_left_out(capsys):
    words = ("--mesh", "dp=2")
    counts = {}
    for stage in ("shard", "bucket"):
        _, out, _ = run(capsys, "dump", "--stage", stage, *words)
        counts[stage] = out.count("psum")
    _, out, _ = run(capsys, "dump", "--stage", "bucket", *words, "--without", "bucket")
    assert counts["shard"] == out.count("psum") > 20 > counts["bucket"]


BAD = {
    ("--mesh", "dp2"): "--mesh is a list such as dp=2,tp=2",
    ("--mesh", "dp=3,tp=3"): "vocab_size=256: tp cuts it into 3, which does not divide it; 255 or",
    ("--mesh", "tp=2", "--context", "star"): "there is no context 'star'",
    ("--mesh", "tp=2", "--without", "buckets"): "did you mean 'bucket'",
}


@pytest.mark.parametrize("words", BAD)
def test_what_does_not_fit_is_one_message(words, capsys):
    code, _, err = run(capsys, "collectives", *words)
    assert code == 2 and BAD[words] in err
    if "dp=3,tp=3" in words:
        assert err.count("does not divide") == 6 - 1 and "micro_batch_size=8" in err


def test_a_target_without_shardings_is_told_how(capsys):
    code, _, err = run(capsys, "collectives", "picotron.bench_host:main", "--mesh", "tp=2")
    assert code == 2 and err


def test_the_page_of_equal_meshes_has_every_row_within_its_bounds():
    lines = equality.PAGE.read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:1] == "|"]
    told = {(mesh, parts): errors for mesh, parts, *errors in rows[2:]}
    assert list(told) == [("+".join(kinds), str(parts)) for kinds, parts in equality.rows()]
    assert all(0 < float(single) <= equality.F32 for single, _ in told.values())
    wide = {mesh: float(double) for (mesh, _), (_, double) in told.items() if double}
    assert all(0 < x <= equality.F64 for x in wide.values())
    assert {mesh for mesh, _ in told} - set(wide) == {m for m, _ in told if m.startswith("pp")}
