"""Singular values and eigenvalues against numpy, at once, compiled, batched and differentiated."""

import numpy as np
import pytest

from tracer import grad, jit, use_backend, vmap
from tracer import numpy as jnp

from .arrays import floats, same

pytestmark = pytest.mark.usefixtures("oracle")

SHAPES = [(1, 1), (3, 3), (5, 3), (3, 5), (1, 4), (2, 3, 4, 4), (7, 6)]
LOW = np.outer(np.arange(5), np.arange(4)).astype(np.float32)  # of rank one
CLOSE = {"rtol": 1e-5, "atol": 5e-6}


def symmetric(*shape):
    x = floats(*shape)
    return (x + x.swapaxes(-1, -2)) / 2


def orthonormal(x):
    x = np.asarray(x)
    same(
        x.swapaxes(-1, -2) @ x,
        np.broadcast_to(np.eye(x.shape[-1]), (*x.shape[:-2], *x.shape[-1:] * 2)),
        **CLOSE,
    )


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_singular_value_decomposition(shape, full):
    x = floats(*shape)
    u, s, vh = map(np.asarray, jnp.linalg.svd(x, full_matrices=full))
    want = np.linalg.svd(x, full_matrices=full)
    assert [v.shape for v in (u, s, vh)] == [v.shape for v in want]
    same(s, want[1], **CLOSE)
    k = s.shape[-1]
    same((u[..., :k] * s[..., None, :]) @ vh[..., :k, :], x, **CLOSE)
    orthonormal(u)
    orthonormal(vh.swapaxes(-1, -2))


@pytest.mark.parametrize("size", [1, 2, 3, 6, 17])
def test_eigenvalues_of_symmetric_matrices(size):
    x = symmetric(2, size, size)
    values, vectors = map(np.asarray, jnp.linalg.eigh(x))
    same(values, np.linalg.eigvalsh(x), rtol=1e-5, atol=1e-5)
    same(vectors * values[:, None, :] @ vectors.swapaxes(-1, -2), x, rtol=1e-5, atol=1e-5)
    orthonormal(vectors)


def test_equal_values_and_missing_directions():
    u, s, vh = jnp.linalg.svd(LOW)
    same(s, np.linalg.svd(LOW)[1], rtol=1e-5, atol=1e-4)
    orthonormal(u)
    orthonormal(vh)
    for x in (np.zeros((4, 3), np.float32), np.eye(4, 3, dtype=np.float32)):
        u, s, vh = jnp.linalg.svd(x)
        same(s, np.linalg.svd(x)[1])
        orthonormal(u)
    values, vectors = jnp.linalg.eigh(np.eye(3, dtype=np.float32) * 2)
    same(values, np.full(3, 2, np.float32))
    orthonormal(vectors)


def test_large_and_small_entries():
    x = floats(4, 4)
    for scale in (1e-12, 1e12):
        same(jnp.linalg.svdvals(x * np.float32(scale)) / scale, np.linalg.svd(x)[1], **CLOSE)


def test_halves_and_parts():
    x = floats(4, 4)
    for uplo in "LU":
        got = jnp.linalg.eigvalsh(x, uplo, symmetrize_input=False)
        same(got, np.linalg.eigvalsh(x, uplo), **CLOSE)
    u, s, vh = jnp.linalg.svd(x, full_matrices=False, subset_by_index=(1, 3))
    assert u.shape == (4, 2) and s.shape == (2,) and vh.shape == (2, 4)
    same(s, np.linalg.svd(x)[1][1:3], **CLOSE)


TALL, FLAT, SQUARE = floats(5, 3), floats(3, 5), floats(4, 4)
RIGHT = floats(5, 2, seed=4)
CALLS = {
    "cond": lambda m: [m.linalg.cond(TALL), m.linalg.cond(SQUARE, -2), m.linalg.cond(SQUARE, 1)],
    "matrix_rank": lambda m: [m.linalg.matrix_rank(v) for v in (TALL, LOW, LOW[0], LOW * 0)],
    "pinv": lambda m: [m.linalg.pinv(v) for v in (TALL, FLAT, LOW)],
    "lstsq": lambda m: list(m.linalg.lstsq(TALL, RIGHT, rcond=None)),
    "lstsq of a vector": lambda m: m.linalg.lstsq(FLAT, FLAT[:, 0], rcond=None)[0],
    "lstsq of less rank": lambda m: m.linalg.lstsq(LOW, RIGHT, rcond=1e-4)[0],
    "norms": lambda m: [m.linalg.norm(TALL, p) for p in (2, -2, "nuc")],
    "norms of axes": lambda m: m.linalg.norm(floats(2, 3, 4), 2, (0, 2), True),
    "polyfit": lambda m: m.polyfit(TALL[:, 0], RIGHT, 2),
    "polyfit with weights": lambda m: m.polyfit(TALL[:, 0], RIGHT[:, 0], 1, w=np.arange(5) + 1.0),
    "polyfit, everything": lambda m: list(m.polyfit(TALL[:, 0], RIGHT, 2, full=True)[:4]),
    "polyfit, covariance": lambda m: list(m.polyfit(TALL[:, 0], RIGHT[:, 0], 1, cov=True)),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    want = CALLS[name](np)
    same(CALLS[name](jnp), want, rtol=2e-4, atol=2e-5)
    same(jit(lambda: CALLS[name](jnp))(), want, rtol=2e-4, atol=2e-5)


def test_the_derivatives_of_values_are_the_directions():
    x = symmetric(4, 4)
    got = grad(lambda a: jnp.linalg.eigh(a).eigenvalues[0])(x)
    first = np.linalg.eigh(x)[1][:, :1]
    same(got, first @ first.T, rtol=1e-4, atol=1e-5)
    u, _, vh = np.linalg.svd(TALL, full_matrices=False)
    same(grad(lambda a: jnp.linalg.norm(a, "nuc"))(TALL), u @ vh, rtol=1e-4, atol=1e-5)
    stack = floats(3, 4, 2)
    got = vmap(grad(lambda a: jnp.linalg.norm(a, 2)))(stack)
    for one, a in zip(np.asarray(got), stack, strict=True):
        u, _, vh = np.linalg.svd(a)
        same(one, u[:, :1] @ vh[:1], rtol=1e-4, atol=1e-5)


def test_a_pseudo_inverse_of_less_rank_has_its_derivative():
    """Singular vectors of equal values, as of zeros, have none."""
    a, b, weights = floats(5, 2), floats(2, 4, seed=1), floats(4, 5, seed=2)
    got = grad(lambda a: jnp.sum(weights * jnp.linalg.pinv(a @ b)))(a)
    for at in ((0, 0), (3, 1)):
        step = np.zeros_like(a, np.float64)
        step[at] = 1e-6
        up, down = (np.linalg.pinv((a + d) @ b.astype(np.float64)) for d in (step, -step))
        same(got[at], ((up - down) * weights).sum() / 2e-6, rtol=1e-3, atol=1e-4)


def test_equal_values_have_finite_derivatives():
    for of in (jnp.linalg.svdvals, jnp.linalg.eigvalsh):
        found = grad(lambda a, of=of: jnp.sum(of(a) ** 2))(np.eye(3, dtype=np.float32))
        same(found, 2 * np.eye(3, dtype=np.float32), rtol=1e-5, atol=1e-6)


def test_the_device_finds_what_numpy_finds():
    use_backend("device")
    values, vectors = map(np.asarray, jit(jnp.linalg.eigh)(symmetric(5, 5)))
    same(values, np.linalg.eigvalsh(symmetric(5, 5)), rtol=1e-4, atol=1e-5)
    same(vectors * values @ vectors.T, symmetric(5, 5), rtol=1e-4, atol=1e-5)
    same(jit(jnp.linalg.svdvals)(TALL), np.linalg.svd(TALL)[1], rtol=1e-4, atol=1e-5)


ERRORS = {
    "eigh": (lambda: jnp.linalg.eigh(TALL), "must have shape"),
    "eigh half": (lambda: jnp.linalg.eigh(SQUARE, "M"), "UPLO"),
    "svd": (lambda: jnp.linalg.svd(TALL[0]), "two axes"),
    "svd parts": (lambda: jnp.linalg.svd(TALL, subset_by_index=(0, 1)), "cannot both"),
    "lstsq": (lambda: jnp.linalg.lstsq(TALL, RIGHT[:3]), "right-hand side"),
    "cond": (lambda: jnp.linalg.cond(TALL[0]), "at least 2D"),
    "norm": (lambda: jnp.linalg.norm(TALL, 3), "Invalid order 3"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_error(name):
    call, text = ERRORS[name]
    with pytest.raises(ValueError, match=text):
        call()
