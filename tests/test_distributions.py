"""Samples by rejection and those made of others, against JAX's; moments of what has no table."""

import json

import numpy as np
import pytest

from tests.distributions import CALLS, TABLE, sample
from tracer import grad, jit, nn, random, vmap
from tracer import numpy as jnp

WANTED = json.loads(TABLE.read_text())

pytestmark = pytest.mark.usefixtures("oracle")


@pytest.mark.parametrize("name", CALLS)
def test_samples_are_those_of_jax(name):
    made = sample(random, name)
    np.testing.assert_allclose(made, np.asarray(WANTED[name], made.dtype), rtol=2e-5, atol=1e-6)


def test_every_distribution_has_a_call():
    from tracer import distributions

    assert set(CALLS) == set(distributions.__all__)


def test_moments_of_gamma():
    a = np.float32([0.2, 1.0, 9.0])
    drawn = np.asarray(random.gamma(random.key(0), a, (4000, 3)))
    np.testing.assert_allclose(drawn.mean(0), a, rtol=0.1)
    np.testing.assert_allclose(drawn.var(0), a, rtol=0.25)


def test_batches_and_compiled_calls_are_single_calls():
    keys = random.split(random.key(3), 4)
    draw = jit(lambda key: random.beta(key, 0.5, 2.0, (2,)))
    singles = np.stack([np.asarray(draw(keys[i])) for i in range(4)])
    np.testing.assert_allclose(np.asarray(vmap(draw)(keys)), singles, rtol=1e-5)


def test_gradients_pass_through_what_is_no_rejection():
    def loss(scale):
        return jnp.sum(random.rayleigh(random.key(5), scale, (4,)))

    np.testing.assert_allclose(grad(loss)(2.0), loss(1.0), rtol=1e-6)
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        grad(lambda a: jnp.sum(random.gamma(random.key(5), a, (2,))))(2.0)


ERRORS = {
    "shape": (lambda k: random.gamma(k, jnp.ones(3), (2,)), ValueError, "broadcast"),
    "scalar alpha": (lambda k: random.dirichlet(k, 1.0), ValueError, "alpha.ndim >= 1"),
    "square": (
        lambda k: random.multivariate_normal(k, jnp.ones(2), jnp.ones((2, 3))),
        ValueError,
        r"cov.shape == \(..., n, n\)",
    ),
    "method": (
        lambda k: random.multivariate_normal(k, jnp.ones(2), jnp.eye(2), method="svd"),
        ValueError,
        "'cholesky'",
    ),
    "dtype": (lambda k: random.pareto(k, 1.0, (2,), jnp.int32), ValueError, "float"),
    "generator": (lambda k: random.key(0, impl="rbg"), ValueError, "unrecognized PRNG"),
    "both": (lambda k: random.key(0, impl="rbg", dtype=k.dtype), ValueError, "both `impl`"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause(name):
    wrong, kind, message = ERRORS[name]
    with pytest.raises(kind, match=message):
        wrong(random.key(0))


def test_keys_tell_their_generator():
    key = random.key(1)
    assert random.key_impl(key) == random.key_impl(random.PRNGKey(1)) == "threefry2x32"
    same = random.key(1, dtype=key.dtype), random.key(1, impl="threefry2x32")
    assert all((random.key_data(k) == random.key_data(key)).all() for k in same)


def test_orthogonal_initializers():
    made = np.asarray(nn.initializers.orthogonal(2.0)(random.key(0), (2, 3, 4)))
    rows = made.reshape(6, 4)
    np.testing.assert_allclose(rows.T @ rows, 4 * np.eye(4), atol=1e-5)
    made = np.asarray(nn.initializers.delta_orthogonal()(random.key(0), (3, 3, 2, 4)))
    np.testing.assert_allclose(made[1, 1] @ made[1, 1].T, np.eye(2), atol=1e-5)
    assert not made[0].any() and not made[2].any()
    with pytest.raises(ValueError, match="at least a 2D shape"):
        nn.initializers.orthogonal()(random.key(0), (3,))
    with pytest.raises(ValueError, match="less or equal"):
        nn.initializers.delta_orthogonal()(random.key(0), (3, 4, 2))
