"""nn against numpy in float64: sums of exponentials, attention under masks, initial values."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from tracer import grad, graph_of, jit, nn, random, vmap
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


def floats(*shape, seed=0, scale=1.0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(np.float32)


X = floats(3, 4, 5, scale=3)
THERE = floats(3, 4, 5, seed=1) > -0.3
WIDE = X.astype(np.float64)


def close(got, want, rtol=2e-5, atol=1e-6):
    np.testing.assert_allclose(np.asarray(got), want, rtol=rtol, atol=atol)


def shares(x, axis, where=None):
    e = np.exp(x - x.max(axis, keepdims=True))
    e = e if where is None else np.where(where, e, 0)
    total = e.sum(axis, keepdims=True)
    return e / np.where(total == 0, 1, total)


@pytest.mark.parametrize("axis", [-1, 0, (0, 2), (2, 1), None])
@pytest.mark.parametrize("where", [None, THERE], ids=["everything", "where"])
def test_softmax_and_its_logarithm(axis, where):
    want = shares(WIDE, axis, where)
    close(nn.softmax(X, axis, where=where), want)
    with np.errstate(divide="ignore"):
        close(nn.log_softmax(X, axis, where=where), np.log(want), atol=1e-5)
    ct = floats(3, 4, 5, seed=2)
    found = grad(lambda x: jnp.sum(nn.softmax(x, axis, where=where) * ct))(X)
    close(found, want * (ct - (want * ct).sum(axis, keepdims=True)), rtol=1e-4, atol=1e-5)


def test_softmax_of_nothing():
    assert nn.softmax(X[:0]).shape == (0, 4, 5)
    assert nn.softmax(X[..., :0]).shape == (3, 4, 0)
    assert nn.log_softmax(X[..., :0]).shape == (3, 4, 0)
    assert not np.any(np.asarray(nn.softmax(X, where=np.zeros(5, bool))))


def test_what_where_excludes_reaches_no_gradient():
    x = np.array([1.0, np.inf, 2.0, np.nan], np.float32)
    there = np.array([True, False, True, False])
    for fun in (nn.softmax, nn.logsumexp, nn.log_softmax):
        found = grad(lambda v, f=fun: jnp.sum(jnp.where(there, f(v, where=there), 0.0)))(x)
        assert np.all(np.isfinite(np.asarray(found)))


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp(axis, keepdims):
    weights = floats(3, 4, 5, seed=3)
    kept = {"axis": axis, "keepdims": keepdims}
    close(nn.logsumexp(X, **kept), np.log(np.exp(WIDE).sum(**kept)))
    masked = np.log((np.exp(WIDE) * THERE).sum(**kept))
    close(nn.logsumexp(X, **kept, where=THERE), masked)
    total = (np.exp(WIDE) * weights).sum(**kept)
    size, sign = nn.logsumexp(X, **kept, b=weights, return_sign=True)
    close(size, np.log(np.abs(total)), rtol=1e-4)
    close(sign, np.sign(total))
    with np.errstate(invalid="ignore"):
        close(nn.logsumexp(X, **kept, b=weights), np.log(total), rtol=1e-4)
    close(nn.logmeanexp(X, **kept), np.log(np.exp(WIDE).mean(**kept)))
    close(nn.logmeanexp(X, **kept, where=THERE), masked - np.log(THERE.sum(**kept)))


def test_logsumexp_at_the_ends():
    assert nn.logsumexp(X[:0]) == -np.inf
    assert nn.logsumexp(np.array([-np.inf, -np.inf], np.float32)) == -np.inf
    assert nn.logsumexp(np.array([np.inf, 0], np.float32)) == np.inf
    assert nn.logsumexp(np.array([500.0, 500.0], np.float32)) == np.float32(500 + np.log(2))


def test_standardize():
    over = {"axis": (0, 2), "keepdims": True}
    want = (WIDE - WIDE.mean(**over)) / np.sqrt(WIDE.var(**over) + 1e-3)
    close(nn.standardize(X, (0, 2), epsilon=1e-3), want, rtol=1e-4)
    mean = WIDE.mean(where=THERE, **over)
    spread = ((WIDE - mean) ** 2).mean(where=THERE, **over)
    close(nn.standardize(X, (0, 2), where=THERE), (WIDE - mean) / np.sqrt(spread + 1e-5), 1e-4)
    close(nn.standardize(X, mean=1.0, variance=4.0, epsilon=0.0), (WIDE - 1) / 2)


def test_more_activations():
    close(nn.sparse_sigmoid(X), np.clip(0.5 * (WIDE + 1), 0, 1))
    close(vmap(vmap(vmap(grad(nn.sparse_plus))))(X), np.clip(0.5 * (WIDE + 1), 0, 1))
    far = np.array([1e-6, 0.1, 0.69, 0.7, 1, 30], np.float32)
    close(nn.log1mexp(far), np.log(-np.expm1(-far.astype(np.float64))))
    assert nn.relu6(np.int32([9])).dtype == np.float32
    assert nn.hard_tanh(np.int32([9])).dtype == np.int32


# --- attention ------------------------------------------------------------------------------------

B, T, S, N, K, H = 2, 5, 7, 4, 2, 8
Q, KEY, VALUE = floats(B, T, N, H), floats(B, S, K, H), floats(B, S, K, H, seed=1)
MASK = floats(B, 1, T, S) > -0.5
BIAS = floats(1, N, T, S)
ROW, COLUMN = np.arange(T)[:, None], np.arange(S)
LENGTHS = np.array([3, 5], np.int32), np.array([4, 7], np.int32)
EVERY = np.ones((1, 1, T, S), bool)
SEGMENTS = np.array([[0, 0, 1, 1, 1], [3] * 5]), np.array([[0, 1, 1, 1, 1, 2, 2], [3] * 7])
ALIKE = SEGMENTS[0][:, None, :, None] == SEGMENTS[1][:, None, None]
OF_SEGMENTS = {"query_segment_ids": SEGMENTS[0], "key_value_segment_ids": SEGMENTS[1]}


def attended(q, k, v, seen=None, bias=0.0, scale=None):
    """(out, residual) in float64."""
    q, k, v = (x.astype(np.float64) for x in (q, k, v))
    k, v = (np.repeat(x, q.shape[2] // k.shape[2], axis=2) for x in (k, v))
    scores = np.einsum("btnh,bsnh->bnts", q, k) * (scale or q.shape[-1] ** -0.5) + bias
    scores = scores if seen is None else np.where(seen, scores, 0.7 * np.finfo(np.float32).min)
    top = scores.max(-1, keepdims=True)
    residual = (top[..., 0] + np.log(np.exp(scores - top).sum(-1))).transpose(0, 2, 1)
    return np.einsum("bnts,bsnh->btnh", shares(scores, -1), v), residual


OPTIONS = {
    "plain": ({}, {}),
    "scaled": ({"scale": 0.2}, {"scale": 0.2}),
    "causal": ({"is_causal": True}, {"seen": COLUMN <= ROW}),
    "mask": ({"mask": MASK}, {"seen": MASK}),
    "bias": ({"bias": BIAS}, {"bias": BIAS}),
    "causal mask": ({"mask": MASK, "is_causal": True}, {"seen": MASK & (COLUMN <= ROW)}),
    "window": ({"local_window_size": 1}, {"seen": np.abs(COLUMN - ROW) <= 1}),
    "left window": (
        {"local_window_size": (2, 0)}, {"seen": (COLUMN <= ROW) & (COLUMN >= ROW - 2)},
    ),
    "lengths": (
        {"key_value_seq_lengths": LENGTHS[1]},
        {"seen": LENGTHS[1][:, None, None, None] > COLUMN},
    ),
    "segments": (OF_SEGMENTS | {"segments_are_sorted": True}, {"seen": ALIKE}),
    "causal segments": (OF_SEGMENTS | {"is_causal": True}, {"seen": ALIKE & (COLUMN <= ROW)}),
    "segments and a bias": (OF_SEGMENTS | {"bias": BIAS}, {"seen": ALIKE, "bias": BIAS}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_attention(name):
    asked, meant = OPTIONS[name]
    want, sums = attended(Q, KEY, VALUE, **meant)

    def call(q, k, v):
        return nn.dot_product_attention(q, k, v, return_residual=True, **asked)

    for fun in (call, jit(call)):
        out, residual = fun(Q, KEY, VALUE)
        close(out, want, rtol=1e-4, atol=1e-5)
        close(residual, sums, rtol=1e-4, atol=1e-5)
    firsts = ("mask", "bias", *OF_SEGMENTS)
    alone = {k: v[0] if k in firsts else v for k, v in asked.items()}
    if "key_value_seq_lengths" not in asked:
        out = nn.dot_product_attention(Q[0], KEY[0], VALUE[0], **alone)
        close(out, want[0], rtol=1e-4, atol=1e-5)


def test_attention_of_more_queries_than_keys():
    q = floats(B, 9, N, H)
    want = attended(q, KEY, VALUE, np.arange(9)[:, None] >= COLUMN)[0]
    close(nn.dot_product_attention(q, KEY, VALUE, is_causal=True), want, rtol=1e-4, atol=1e-5)


def test_queries_behind_their_length_are_zero():
    seen = (LENGTHS[0][:, None, None, None] > ROW) & (LENGTHS[1][:, None, None, None] > COLUMN)
    want = attended(Q, KEY, VALUE, seen)[0] * (np.arange(T) < LENGTHS[0][:, None])[..., None, None]
    lengths = {"query_seq_lengths": LENGTHS[0], "key_value_seq_lengths": LENGTHS[1]}
    close(nn.dot_product_attention(Q, KEY, VALUE, **lengths), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["causal", "causal mask", "bias", "window", "causal segments"])
def test_gradients_of_attention(name):
    asked, meant = OPTIONS[name]
    ct, step = floats(B, T, N, H, seed=5), 1e-5

    def total(q, k, v):
        return jnp.sum(nn.dot_product_attention(q, k, v, **asked) * ct)

    found = grad(total, (0, 1, 2))(Q, KEY, VALUE)
    for i, g in enumerate(found):
        d = floats(*g.shape, seed=6).astype(np.float64)
        ends = []
        for sign in (1, -1):
            args = [x.astype(np.float64) for x in (Q, KEY, VALUE)]
            args[i] = args[i] + sign * step * d
            ends.append(np.sum(attended(*args, **meant)[0] * ct))
        slope = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(np.sum(np.asarray(g) * d), slope, rtol=1e-3, atol=1e-3)


def test_causal_attention_stays_one_equation():
    graph = graph_of(lambda q: nn.dot_product_attention(q, q, q, is_causal=True))(Q)
    assert [e.prim.name for e in graph.eqns] == ["attention"]
    ids = SEGMENTS[0].astype(np.int32)
    within = partial(nn.dot_product_attention, is_causal=True)
    graph = graph_of(lambda q, ids: within(q, q, q, query_segment_ids=ids))(Q, ids)
    assert [e.prim.name for e in graph.eqns] == ["attention"]


@pytest.mark.parametrize("more", [{}, {"bias": BIAS}])
def test_a_query_without_a_key_of_its_segment_gives_zeros(more):
    alone = np.array([[7, 0, 1, 1, 9], [3] * 5])
    asked = OF_SEGMENTS | {"query_segment_ids": alone} | more
    out = np.asarray(nn.dot_product_attention(Q, KEY, VALUE, **asked))
    unseen = np.isin(alone, [7, 9])
    assert not out[unseen].any() and out[~unseen].any(-1).all()


def test_segments_of_more_queries_than_keys():
    q, ids = floats(B, 9, N, H), np.repeat([[0, 1, 2]], [3, 2, 4], axis=1).repeat(B, 0)
    keys = ids[:, :S]
    seen = (np.arange(9)[:, None] >= COLUMN) & (ids[:, None, :, None] == keys[:, None, None])
    asked = {"query_segment_ids": ids, "key_value_segment_ids": keys, "is_causal": True}
    close(nn.dot_product_attention(q, KEY, VALUE, **asked), attended(q, KEY, VALUE, seen)[0], 1e-4)


def test_half_precision_attention_sums_in_single():
    half = [x.astype(np.float16) for x in (Q, KEY, VALUE)]
    out = nn.dot_product_attention(*half)
    assert out.dtype == np.float16
    close(out, attended(*half)[0], rtol=2e-3, atol=1e-3)


REFUSED = {
    "query heads must be a multiple": lambda: nn.dot_product_attention(Q[:, :, :3], KEY, VALUE),
    "value shape should be": lambda: nn.dot_product_attention(Q, KEY, VALUE[:, :3]),
    "value dtype should be float32": lambda: nn.dot_product_attention(
        Q, KEY, VALUE.astype(np.float16)
    ),
    "mask dtype should be bool": lambda: nn.dot_product_attention(Q, KEY, VALUE, mask=BIAS),
    "query_segment_ids shape should be": lambda: nn.dot_product_attention(
        Q, KEY, VALUE, query_segment_ids=SEGMENTS[1], key_value_segment_ids=SEGMENTS[1]
    ),
    "key_value_segment_ids should be integers": lambda: nn.dot_product_attention(
        Q, KEY, VALUE, query_segment_ids=SEGMENTS[0], key_value_segment_ids=SEGMENTS[1] * 1.0
    ),
    "key_value_segment_ids need query_segment_ids": lambda: nn.dot_product_attention(
        Q, KEY, VALUE, key_value_segment_ids=SEGMENTS[1]
    ),
    "Unsupported implementation": lambda: nn.dot_product_attention(
        Q, KEY, VALUE, implementation="mine"
    ),
    "invalid mode": lambda: nn.initializers.variance_scaling(1, "fan", "normal")(KEY0, (2, 3)),
    "invalid distribution": lambda: nn.initializers.variance_scaling(1, "fan_in", "x")(
        KEY0, (2, 3)
    ),
    "Can't compute input and output sizes of a 1-": lambda: nn.initializers.he_normal()(KEY0, (3,)),
}
KEY0 = random.key(42)


@pytest.mark.parametrize("says", REFUSED)
def test_refusals(says):
    with pytest.raises(ValueError, match=says):
        REFUSED[says]()


# --- initial values -------------------------------------------------------------------------------

FIRST = {
    "glorot_uniform": [
        [-0.02473609521985054, 0.39391589164733887, 0.25473809242248535],
        [0.13367953896522522, -0.1081322431564331, 0.1881226748228073],
    ],
    "he_normal": [
        [-0.030713632702827454, 0.5051931142807007, 0.32045117020606995],
        [0.16655728220939636, -0.13455985486507416, 0.2352222055196762],
    ],
    "lecun_uniform": [
        [-0.027655795216560364, 0.44041135907173157, 0.2848058342933655],
        [0.14945827424526215, -0.12089551985263824, 0.21032753586769104],
    ],
    "truncated_normal": [
        [-0.0002701649791561067, 0.004443807993084192, 0.002818770706653595],
        [0.001465080538764596, -0.001183622982352972, 0.002069074660539627],
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FIRST)
def test_initial_values_are_jaxs(name):
    close(getattr(nn.initializers, name)()(KEY0, (2, 3)), FIRST[name], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out", "fan_avg", "fan_geo_avg"])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_variance_scaling(mode, distribution):
    shape = (3, 2, 40, 90)
    fans = 3 * 2 * 40, 3 * 2 * 90
    n = {"fan_in": fans[0], "fan_out": fans[1], "fan_avg": sum(fans) / 2}
    n["fan_geo_avg"] = (fans[0] * fans[1]) ** 0.5
    found = np.asarray(nn.initializers.variance_scaling(2.0, mode, distribution)(KEY0, shape))
    assert found.dtype == np.float32 and abs(found.mean()) < 1e-3
    np.testing.assert_allclose(found.var(), 2 / n[mode], rtol=0.05)


def test_axes_of_an_initializer():
    along = nn.initializers.lecun_uniform(in_axis=(0, 1), out_axis=2, batch_axis=3)
    found = np.asarray(along(KEY0, (4, 5, 6, 7)))
    assert np.abs(found).max() <= np.sqrt(3 / 20) and np.abs(found).max() > 0.95 * np.sqrt(3 / 20)


def test_simple_initial_values():
    init = nn.initializers
    assert init.zeros(KEY0, (2,), np.float16).dtype == np.float16
    close(init.ones(KEY0, (2, 2)), np.ones((2, 2)))
    close(init.constant([1.0, 2.0])(KEY0, (2, 2)), [[1, 2], [1, 2]])
    close(init.constant(3)(KEY0, (2,), np.int32), [3, 3])
    cut = np.asarray(init.truncated_normal(0.5, lower=-1, upper=3)(KEY0, (500,)))
    assert -0.5 < cut.min() < -0.45 and 1.0 < cut.max() < 1.5
