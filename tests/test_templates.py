"""The heavy kernel templates against numpy on the adapter, in naga and in Tint."""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from codegen import attention_tiles, matmul_tiles, panels, tiles
from codegen.grid import GROUPS_PER_DIM
from codegen.profile import H100, LAVAPIPE, LAVAPIPE_25, WEBGPU_DEFAULT, Profile
from codegen.records import Attention, Matmul
from codegen.render import is_taken, render
from codegen.roll import keep_rolled
from tests.template_hooks import OUTPUTS, AttentionHooks, MatmulHooks, run
from tests.tint import check as tint

# The gpu templates on the software adapter: its subgroup of 8 serves their shuffles.
GPU = Profile("software-gpu", workgroup_bytes=32 << 10, invocations=1024, subgroup=8, units=1)
PROFILES = (LAVAPIPE, GPU, WEBGPU_DEFAULT)
COMPILED = (*PROFILES, LAVAPIPE_25, H100)
AXES = tuple(itertools.product("km", "nk"))
KERNELS = ("fwd", "dq", "dkv")

profiles = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


def matmul_code(k: Matmul, config, epilogue: str = "") -> str:
    h = MatmulHooks(k, epilogue, not config.transposes)
    named = {"name": "matmul", "header": "// matmul", "bindings": h.bindings()}
    return keep_rolled(render(config.template, k=k, c=config, h=h, **named))


def check_matmul(k: Matmul, config, epilogue: str = "", after=lambda x: x) -> None:
    rng = np.random.default_rng(k.m + k.n + k.k)
    a = rng.standard_normal((k.batch, k.m, k.k)).astype(np.float32)
    b = rng.standard_normal((k.batch, k.k, k.n)).astype(np.float32)
    lhs = a if k.a_axis == "k" else np.ascontiguousarray(a.swapaxes(1, 2))
    rhs = b if k.b_axis == "n" else np.ascontiguousarray(b.swapaxes(1, 2))
    grid, shape = config.grid(k), (k.batch, k.m, k.n)
    (out,) = run(matmul_code(k, config, epilogue), grid, [lhs, rhs], [shape])
    expected = after(a.astype(np.float64) @ b.astype(np.float64))
    np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6 * 8 * math.sqrt(k.k))


@profiles
@pytest.mark.parametrize("axes", AXES, ids="".join)
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 37, 41, 45), (1, 64, 96, 40)], ids=str)
def test_matmul_is_numpys_for_every_layout(profile, axes, shape):
    k = Matmul(*shape, *axes)
    check_matmul(k, tiles.matmul_config(k, profile))


@profiles
def test_matmul_sums_70000_products(profile):
    k = Matmul(1, 8, 12, 70_000)
    config = tiles.matmul_config(k, profile)
    assert config.iterations(k) < 60_000
    check_matmul(k, config)


@pytest.mark.parametrize("config", [tile[0] for tile in matmul_tiles.TILES], ids=str)
def test_every_tile_covers_ragged_edges(config):
    k = Matmul(1, config.bm + 3, config.bn + 5, 2 * config.bk + 3, "k", "k")
    check_matmul(k, config)


@pytest.mark.parametrize("rows", [rows for rows, _ in matmul_tiles.BROADCASTS])
@pytest.mark.parametrize("axis", ["k", "m"])
def test_every_broadcast_height_covers_ragged_edges(rows, axis):
    if axis == "m" and rows < 4:
        pytest.skip("rows come in groups of 4 where A is contiguous along them")
    check_matmul(Matmul(2, rows + 1, 35, 70, axis), tiles.BroadcastConfig(rows, max(4, 64 // rows)))


@pytest.mark.parametrize("size, axes", list(zip(panels.SIZES, ("kn", "kk", "mn"), strict=True)))
def test_every_panel_covers_ragged_edges(size, axes):
    depth, quads = size
    check_matmul(Matmul(2, 19, 37, depth + 13, *axes), tiles.PanelConfig(8, depth, quads))


def test_a_single_panel_needs_no_workgroup_memory():
    k = Matmul(1, 5, 64, 29, "m", "k")
    config = tiles.matmul_config(k, LAVAPIPE_25)
    assert config.rows == 8 and config.shared_bytes(k) == 0
    check_matmul(k, config)


@profiles
def test_epilogue_sees_the_accumulator(profile):
    k = Matmul(1, 20, 24, 16)
    text = "acc = max(acc * 2.0, vec4<f32>(0.5));"
    check_matmul(k, tiles.matmul_config(k, profile), text, lambda x: np.maximum(2 * x, 0.5))


@pytest.mark.parametrize("profile", (LAVAPIPE, WEBGPU_DEFAULT), ids=lambda p: p.name)
def test_a_grid_beyond_a_dispatch_axis_is_folded(profile):
    k = Matmul(66_000, 1, 1, 2)
    config = tiles.matmul_config(k, profile)
    assert max(config.grid(k)) <= GROUPS_PER_DIM < max(config.tiles(k))
    check_matmul(k, config)


def reference(k: Attention, x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Attention and its gradients in f64; x holds q, k, v and do."""
    q, do = (x[n].astype(np.float64).transpose(0, 2, 1, 3) for n in ("q", "do"))
    key, v = (
        np.repeat(x[n].astype(np.float64), k.group, 2).transpose(0, 2, 1, 3) for n in ("k", "v")
    )
    seen = np.ones((k.q_len, k.kv_len), bool)
    if k.causal:
        seen = np.tril(seen, k.kv_len - k.q_len)
    if k.segments:
        alike = x["query_segment"][:, None, :, None] == x["key_segment"][:, None, None]
        seen = seen & alike
    s = np.where(seen, q @ key.swapaxes(2, 3) * k.scale, -np.inf)
    top = np.maximum(s.max(-1, keepdims=True), -1e30)
    e = np.exp(s - top)
    total = np.maximum(e.sum(-1, keepdims=True), 1e-30)
    p, o = e / total, e / total @ v
    delta = (do * o).sum(-1)
    ds = p * (do @ v.swapaxes(2, 3) - delta[..., None])
    flip = (0, 2, 1, 3)

    def grouped(g: np.ndarray) -> np.ndarray:
        shape = (k.batch, k.kv_len, k.kv_heads, k.group, k.head_dim)
        return g.transpose(flip).reshape(shape).sum(3)

    return {
        "o": o.transpose(flip),
        "lse": (top + np.log(total))[..., 0],
        "delta": delta,
        "dq": (ds @ key * k.scale).transpose(flip),
        "dk": grouped(ds.swapaxes(2, 3) @ q * k.scale),
        "dv": grouped(p.swapaxes(2, 3) @ do),
    }


def attention_code(k: Attention, config) -> str:
    h = AttentionHooks(k, config.kernel)
    named = {"name": "attention", "header": "// attention", "bindings": h.bindings()}
    return render(config.template, k=k, c=config, h=h, **named)


def check_attention(k: Attention, config) -> None:
    rng = np.random.default_rng(k.q_len + k.head_dim)
    queries = (k.batch, k.q_len, k.heads, k.head_dim)
    keys = (k.batch, k.kv_len, k.kv_heads, k.head_dim)
    shapes = {"q": queries, "k": keys, "v": keys, "do": queries}
    x = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    for name, length in (("query_segment", k.q_len), ("key_segment", k.kv_len)):
        x[name] = np.sort(rng.integers(0, 4, (k.batch, length)).astype(np.int32))
        if not k.ordered:
            x[name] = rng.permuted(x[name], axis=1)
    expected = reference(k, x)
    hooks = AttentionHooks(k, config.kernel)
    inputs = [x[n] if n in x else expected[n] for n in hooks.inputs()]
    names = OUTPUTS[config.kernel]
    outputs = [expected[n].shape for n in names]
    got = run(attention_code(k, config), tiles.attention_grid(k, config), inputs, outputs)
    for name, value in zip(names, got, strict=True):
        # The log-sum-exp of a query that sees no key is only promised to be far below any other.
        value, wanted = (np.maximum(x, -1e20) for x in (value, expected[name]))
        np.testing.assert_allclose(value, wanted, rtol=2e-5, atol=2e-5, err_msg=name)


CASES = (
    Attention(2, 4, 2, 37, 37, 16, True, 0.25),
    Attention(1, 2, 1, 19, 45, 20, True, 0.3),
    Attention(1, 2, 2, 45, 19, 4, True, 0.5),  # the first 26 queries see no key
    Attention(1, 4, 1, 40, 24, 12, False, 0.25),
    Attention(1, 2, 1, 64, 64, 32, True, 0.2),
    Attention(1, 2, 2, 1, 1, 8, False, 1.0),
    Attention(2, 4, 2, 70, 70, 16, True, 0.25, segments=True, ordered=True),
    Attention(2, 2, 1, 45, 70, 16, False, 0.25, segments=True, ordered=True),
    Attention(1, 4, 2, 37, 45, 12, True, 0.25, segments=True),
)


@profiles
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("k", CASES, ids=str)
def test_attention_is_numpys(profile, kernel, k):
    check_attention(k, tiles.attention_config(k, profile, kernel))


@profiles
@pytest.mark.parametrize("kernel", KERNELS)
def test_attention_of_long_heads_from_one_query(profile, kernel):
    k = Attention(1, 3, 1, 1, 33, 128, False, 0.1)
    check_attention(k, tiles.attention_config(k, profile, kernel))


BLOCKS = (*attention_tiles.BLOCKS, *attention_tiles.RARE_BLOCKS)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_attention_block(block, kernel):
    k = Attention(1, 2, 1, 70, 70, 8, True, 0.35)
    subgroup = 0 if 8 % (2 * block[1] // block[3]) else 8
    check_attention(k, tiles.AttentionConfig(*block, k.head_dim, kernel, subgroup))


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", [(16, 8, 2, 2), (8, 16, 1, 4), (24, 12, 3, 3)], ids=str)
@pytest.mark.parametrize("head_dim", [32, 20, 96])
def test_weights_go_round_a_subgroup(head_dim, block, kernel):
    k = Attention(1, 2, 1, 37, 45, head_dim, True, 0.35, head_dim == 20, head_dim == 20)
    check_attention(k, tiles.AttentionConfig(*block, k.head_dim, kernel, 8))


def test_scores_far_from_zero_do_not_overflow():
    k = Attention(1, 1, 1, 16, 16, 16, True, 40.0)
    for profile in PROFILES:
        config = tiles.attention_config(k, profile, "fwd")
        q, v = np.ones((1, 16, 1, 16), np.float32), np.arange(256, dtype=np.float32)
        v = v.reshape(1, 16, 1, 16)
        shapes = [(1, 16, 1, 16), (1, 1, 16)]
        o, lse = run(attention_code(k, config), tiles.attention_grid(k, config), [q, q, v], shapes)
        means = np.cumsum(v, 1) / np.arange(1, 17).reshape(1, 16, 1, 1)
        np.testing.assert_allclose(o, means, rtol=1e-5)
        np.testing.assert_allclose(lse[0, 0], 640 + np.log(np.arange(1, 17)), rtol=1e-6)


def all_codes():
    """(config, text, declared bytes of workgroup memory) over profiles, layouts and kernels."""
    for profile, axes in itertools.product(COMPILED, AXES):
        for shape in ((1, 70, 36, 45), (2, 512, 512, 512), (1, 4096, 4096, 64)):
            k = Matmul(*shape, *axes)
            c = tiles.matmul_config(k, profile)
            yield c, matmul_code(k, c), c.shared_bytes(k)
        yield c, matmul_code(k, c, "acc = -acc;"), c.shared_bytes(k)
    for profile, kernel in itertools.product(COMPILED, KERNELS):
        for k in (*CASES, Attention(8, 16, 8, 512, 512, 64, True, 0.125)):
            c = tiles.attention_config(k, profile, kernel)
            yield c, attention_code(k, c), tiles.attention_shared_bytes(k, c)


@pytest.fixture(scope="module")
def codes():
    return list(all_codes())


def test_tint_accepts_every_kernel(codes):
    for text in {text for _, text, _ in codes}:
        tint(text)
    with pytest.raises(RuntimeError, match="uniform control flow"):
        tint("@compute @workgroup_size(8) fn main(@builtin(local_invocation_index) t: u32)"
             "{ if (t > 1u) { workgroupBarrier(); } }")  # fmt: skip


def test_declared_workgroup_memory_is_what_the_config_says(codes):
    for config, text, nbytes in codes:
        declared = re.findall(r"var<workgroup> \w+: array<(f32|vec4<f32>), (\d+)>", text)
        sizes = (int(count) * (4 if kind == "f32" else 16) for kind, count in declared)
        assert sum(sizes) == nbytes, config
        assert f"@workgroup_size({config.threads})" in text


def test_text_is_tidy_and_its_names_are_reserved(codes):
    for config, text, _ in codes:
        assert not re.search(r"[ \t]\n|\n\n\n|\n\n\}|\{\n\n|\+ 0u\b", text), config
        assert text.startswith("// ") and text.endswith("}\n") and not text.endswith("\n\n")
        names = re.findall(r"\b(?:let|var|fn|var<workgroup>) (\w+)", text)
        assert [name for name in names if not is_taken(name)] == []
    assert not any(map(is_taken, ("q", "v", "out", "lse", "delta", "weight", "grad_out", "dq")))


SIZES = (1, 3, 17, 64, 128, 352, 1000, 4096, 32_000)


@pytest.mark.parametrize("profile", COMPILED, ids=lambda p: p.name)
def test_matmul_configs_cover_and_fit(profile):
    for m, n, depth in itertools.product(SIZES, SIZES, (*SIZES, 700_000)):
        k = Matmul(2, m, n, depth)
        c = tiles.matmul_config(k, profile)
        columns, rows, batch = c.tiles(k)
        assert rows * c.tile[0] >= m and columns * c.tile[1] >= n and batch == 2
        assert max(c.grid(k)) <= profile.groups_per_dim
        assert c.shared_bytes(k) <= profile.workgroup_bytes
        assert c.threads <= profile.invocations
        assert not profile.loop_limit or c.iterations(k) <= profile.loop_limit
        assert all(p >= s for p, s in zip(c.padded(k), (m, n, depth), strict=True))


@pytest.mark.parametrize(
    ("shape", "tile"),
    [
        ((4096, 4096, 4096), (128, 128)),
        ((8192, 768, 2048), (128, 128)),
        ((8192, 768, 768), (128, 128)),
        ((2048, 2048, 768), (128, 128)),
        ((1024, 1024, 1024), (64, 128)),
        ((512, 512, 512), (64, 32)),
    ],
    ids=str,
)
def test_h100_tiles_are_the_measured_winners(shape, tile):
    c = tiles.matmul_config(Matmul(1, *shape), H100)
    assert (c.bm, c.bn) == tile


def test_attention_configs_fit():
    dims, lengths = (4, 12, 20, 32, 64, 80, 96, 128, 256), (1, 33, 512)
    for profile in COMPILED:
        for dim, length, kernel in itertools.product(dims, lengths, KERNELS):
            if dim == 256 and profile is WEBGPU_DEFAULT:
                continue
            k = Attention(2, 8, 2, length, length, dim, True, 0.1)
            c = tiles.attention_config(k, profile, kernel)
            assert tiles.attention_shared_bytes(k, c) <= profile.workgroup_bytes
            assert tiles.attention_workgroup(k, c)[0] <= profile.invocations
            assert c.tiles(k)[0] * c.block[0] >= length
            assert max(tiles.attention_grid(k, c)) <= profile.groups_per_dim


def test_what_fits_no_kernel_is_refused_with_a_sentence():
    with pytest.raises(ValueError, match="split k"):
        tiles.matmul_config(Matmul(1, 64, 64, 1 << 30), LAVAPIPE)
    long = Attention(1, 1, 1, 400_000, 400_000, 32, True, 0.1)
    with pytest.raises(ValueError, match="60000 loop iterations"):
        tiles.attention_config(long, LAVAPIPE, "fwd")
    wide = Attention(1, 1, 1, 8, 8, 512, True, 0.1)
    with pytest.raises(ValueError, match="head_dim 512 does not fit"):
        tiles.attention_config(wide, WEBGPU_DEFAULT, "dkv")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Matmul(1, 0, 4, 4), "m must be at least 1"),
        (lambda: Matmul(1, 4, 4, 4, "n"), "a_axis"),
        (lambda: Attention(1, 3, 2, 4, 4, 4, True, 1.0), "multiple of the second"),
        (lambda: Attention(1, 2, 2, 4, 4, 6, True, 1.0), "not a multiple of 4"),
    ],
)
def test_records_refuse_sizes_without_meaning(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("lengths", [(5, 5), (3, 7), (7, 3), (4, 4)], ids=str)
def test_flops_count_visible_pairs(lengths):
    k = Attention(2, 4, 2, *lengths, 8, True, 1.0)
    seen = np.tril(np.ones(lengths), lengths[1] - lengths[0])
    assert k.pairs == seen.sum()
    assert k.flops == 4 * 2 * 4 * 8 * seen.sum()
    assert replace(k, causal=False).pairs == lengths[0] * lengths[1]
    assert Matmul(2, 3, 4, 5).flops == 240
