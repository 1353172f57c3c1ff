"""The seed's GPU operations against numpy, in its README's argument order."""

import numpy as np
import pytest

import picotron
from picotron.errors import ConfigError

RANDOM = np.random.default_rng(0)


def numbers(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.device
def test_matmul():
    a, b, c = numbers(5, 7), numbers(7, 3), numbers(5, 3)
    out = np.zeros((5, 3), np.float32)
    got = picotron.matmul(a.ravel(), b.ravel(), out, 5, 3, 7)
    np.testing.assert_allclose(np.asarray(got), a @ b, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(out, np.asarray(got))
    np.testing.assert_array_equal(np.asarray(picotron.matmul(a, b, 5, 3, 7)), out)
    want = 0.5 * (a @ b) + 2.0 * c
    got = picotron.matmul(a, b, c.copy(), 5, 3, 7, alpha=0.5, beta=2.0)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-5)


@pytest.mark.device
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention(is_causal):
    query, key, value = (numbers(2, 3, 9, 4) for _ in range(3))
    scores = np.einsum("bhqd,bhkd->bhqk", query, key) * 0.3
    if is_causal:
        scores = np.where(np.tril(np.ones((9, 9), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    want = np.einsum("bhqk,bhkd->bhqd", weights / weights.sum(-1, keepdims=True), value)
    out = np.zeros(want.size, np.float32)
    options = {"scale": 0.3, "is_causal": is_causal}
    got = picotron.attention(query, key, value, out, 2, 3, 9, 4, **options)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, np.asarray(got).ravel())
    again = picotron.attention(query, key, value, 2, 3, 9, 4, **options)
    np.testing.assert_array_equal(np.asarray(again), np.asarray(got))


@pytest.mark.device
def test_layer_norm():
    x, gamma, beta = numbers(2, 3, 16), numbers(16), numbers(16)
    spread = np.sqrt(x.var(-1, keepdims=True) + 1e-3)
    want = (x - x.mean(-1, keepdims=True)) / spread * gamma + beta
    out = np.zeros_like(x)
    got = picotron.layer_norm(x, out, gamma, beta, 2, 3, 16, 1e-3)
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(out, np.asarray(got))
    again = picotron.layer_norm(x, gamma, beta, 2, 3, 16, 1e-3)
    np.testing.assert_array_equal(np.asarray(again), out)


def test_sizes_that_do_not_fit():
    a = np.zeros(6, np.float32)
    with pytest.raises(ConfigError, match=r"b has 6 elements; sizes \[3, 4\] are asked for"):
        picotron.matmul(a, a, None, 2, 4, 3)
    with pytest.raises(ConfigError, match=r"beta is 1.0, but there is no buffer c"):
        picotron.matmul(a, a, 2, 2, 3, beta=1.0)
    with pytest.raises(ConfigError, match="the result has 4 elements, its buffer 6"):
        picotron.matmul(a, a, a.copy(), 2, 2, 3)
