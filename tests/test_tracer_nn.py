"""`tracer.nn` against formulas in float64, and gradients against differences."""

import math

import numpy as np
import pytest

from ir import evaluate
from tracer import grad, graph_of, jit, nn
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


def floats(*shape, seed=0, scale=2.0):
    return (np.random.default_rng([seed, *shape]).normal(size=shape) * scale).astype(np.float32)


X = floats(3, 5)
WIDE = X.astype(np.float64)
SIGMOID = 1 / (1 + np.exp(-WIDE))
NORMAL = np.vectorize(lambda v: 0.5 * (1 + math.erf(v / math.sqrt(2))))(WIDE)
POINTWISE = {
    "relu": (nn.relu, np.maximum(WIDE, 0)),
    "sigmoid": (nn.sigmoid, SIGMOID),
    "silu": (nn.silu, WIDE * SIGMOID),
    "swish": (nn.swish, WIDE * SIGMOID),
    "tanh": (nn.tanh, np.tanh(WIDE)),
    "softplus": (nn.softplus, np.log1p(np.exp(WIDE))),
    "erf": (nn.erf, np.vectorize(math.erf)(WIDE)),
    "gelu": (lambda x: nn.gelu(x, approximate=False), WIDE * NORMAL),
    "gelu tanh": (
        nn.gelu,
        0.5 * WIDE * (1 + np.tanh(math.sqrt(2 / math.pi) * (WIDE + 0.044715 * WIDE**3))),
    ),
}


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


@pytest.mark.parametrize("name", POINTWISE)
def test_pointwise(name):
    function, want = POINTWISE[name]
    np.testing.assert_allclose(np.asarray(function(X)), want, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(jit(function)(X)), want, rtol=2e-5, atol=1e-6)
    step = 1e-6
    graph = graph_of(function)(X)
    low, high = (evaluate(graph, WIDE + d, wide=True)[0] for d in (-step, step))
    found = grad(lambda x: jnp.sum(function(x)))(X)
    np.testing.assert_allclose(np.asarray(found), (high - low) / (2 * step), rtol=1e-3, atol=2e-5)


def test_pointwise_at_the_edges():
    far = np.float32([-1e4, -100, 0, 100, 1e4])
    assert np.asarray(nn.relu(np.float32([np.inf, -np.inf]))).tolist() == [np.inf, 0]
    assert float(grad(nn.relu)(0.0)) == 0 and float(grad(nn.softplus)(0.0)) == 0.5
    for function in (nn.softplus, nn.silu, nn.sigmoid, nn.gelu):
        assert np.isfinite(np.asarray(function(far))).all()
        assert np.isfinite(np.asarray(grad(lambda x, f=function: jnp.sum(f(x)))(far))).all()


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_over_an_axis(axis):
    want = softmax(WIDE, axis)
    np.testing.assert_allclose(np.asarray(nn.softmax(X, axis)), want, rtol=1e-5)
    np.testing.assert_allclose(
        np.asarray(nn.log_softmax(X, axis)), np.log(want), rtol=1e-5, atol=1e-6
    )
    total = np.log(np.exp(WIDE).sum(axis))
    np.testing.assert_allclose(np.asarray(nn.logsumexp(X, axis)), total, rtol=1e-5)
    weights = np.cos(X)
    found = grad(lambda x: jnp.sum(nn.log_softmax(x, axis) * weights))(X)
    by_hand = weights - want * weights.sum(axis, keepdims=True)
    np.testing.assert_allclose(np.asarray(found), by_hand, rtol=1e-4, atol=1e-5)


def test_logsumexp_shapes_and_extremes():
    assert nn.logsumexp(X).shape == () and nn.logsumexp(X, (0, 1), keepdims=True).shape == (1, 1)
    big = np.float32([1e5, 1e5])
    np.testing.assert_allclose(float(nn.logsumexp(big)), 1e5 + math.log(2), rtol=1e-6)
    assert float(nn.logsumexp(np.float32([-np.inf, -np.inf]))) == -np.inf
    assert float(nn.logsumexp(np.float32([np.inf, 1]))) == np.inf


def test_one_hot():
    ids = np.int32([[0, 2], [3, -1]])
    want = (np.arange(3) == ids[..., None]).astype(np.float32)
    np.testing.assert_array_equal(np.asarray(nn.one_hot(ids, 3)), want)
    np.testing.assert_array_equal(np.asarray(nn.one_hot(ids, 3, axis=1)), np.moveaxis(want, -1, 1))
    assert nn.one_hot(ids, 3, dtype=jnp.int32).dtype == np.int32


def test_norms():
    w, b = floats(5, seed=1), floats(5, seed=2)
    rms = WIDE / np.sqrt((WIDE**2).mean(-1, keepdims=True) + 1e-5) * w
    np.testing.assert_allclose(np.asarray(nn.rms_norm(X, w)), rms, rtol=1e-5, atol=1e-6)
    centred = WIDE - WIDE.mean(-1, keepdims=True)
    want = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 0.1) * w + b
    np.testing.assert_allclose(
        np.asarray(nn.layer_norm(X, w, b, eps=0.1)), want, rtol=1e-5, atol=1e-6
    )
    with pytest.raises(TypeError, match=r"rms_norm of f32\[3, 5\].*f32\[4\].*\n.*test_tracer_nn"):
        nn.rms_norm(X, np.ones(4, np.float32))


def test_rope_turns_pairs():
    x = floats(2, 3, 2, 4)
    angle = np.arange(3)[:, None] * np.float32([1.0, 0.1])
    cos, sin = np.cos(angle).astype(np.float32), np.sin(angle).astype(np.float32)
    a, b = x[..., :2], x[..., 2:]
    c, s = cos[:, None], sin[:, None]
    want = np.concatenate([a * c - b * s, b * c + a * s], -1)
    np.testing.assert_allclose(np.asarray(nn.rope(x, cos, sin)), want, rtol=1e-5, atol=1e-6)


def attention(q, k, v, scale, causal):
    s, t = q.shape[1], k.shape[1]
    k, v = (np.repeat(a, q.shape[2] // a.shape[2], axis=2) for a in (k, v))
    scores = np.einsum("bsnd,btnd->bnst", q, k).astype(np.float64) * scale
    if causal:
        scores = np.where(np.arange(t) <= np.arange(s)[:, None], scores, -np.inf)
    return np.einsum("bnst,btnd->bsnd", softmax(scores), v)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (3, 1)])
def test_dot_product_attention(causal, heads):
    q, k, v = (
        floats(2, 3, heads[0], 4),
        floats(2, 5, heads[1], 4),
        floats(2, 5, heads[1], 4, seed=1),
    )
    want = attention(q, k, v, 0.5, causal)
    got = nn.dot_product_attention(q, k, v, is_causal=causal)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-5)
    single = nn.dot_product_attention(q[0], k[0], v[0], is_causal=causal)
    np.testing.assert_allclose(np.asarray(single), want[0], rtol=1e-4, atol=1e-5)
    got = nn.dot_product_attention(q, k, v, scale=0.1, is_causal=causal)
    np.testing.assert_allclose(
        np.asarray(got), attention(q, k, v, 0.1, causal), rtol=1e-4, atol=1e-5
    )


def test_attention_names_the_shapes_at_odds():
    q, k = np.ones((1, 2, 3, 4), np.float32), np.ones((1, 2, 2, 4), np.float32)
    with pytest.raises(ValueError, match=r"multiple of key/value heads.*\n.*test_tracer_nn"):
        nn.dot_product_attention(q, k, k)


def test_cross_entropy():
    labels = np.int32([4, 0, 2])
    want = -np.log(softmax(WIDE))[np.arange(3), labels]
    np.testing.assert_allclose(np.asarray(nn.cross_entropy(X, labels)), want, rtol=1e-5)
    found = grad(lambda x: jnp.mean(nn.cross_entropy(x, labels)))(X)
    by_hand = (softmax(WIDE) - np.eye(5)[labels]) / 3
    np.testing.assert_allclose(np.asarray(found), by_hand, rtol=1e-4, atol=1e-6)
    gathered = -nn.log_softmax(X)[np.arange(3), labels]
    np.testing.assert_allclose(np.asarray(gathered), want, rtol=1e-5)
    with pytest.raises(TypeError, match=r"integer labels of shape \(3,\)"):
        nn.cross_entropy(X, np.float32([1, 2, 3]))


def test_composites_stay_whole_in_the_graph():
    x = np.ones((2, 4, 2, 4), np.float32)
    graph = graph_of(lambda q: nn.softmax(nn.dot_product_attention(q, q, q)))(x)
    assert [e.prim.name for e in graph.eqns] == ["attention", "softmax"]
