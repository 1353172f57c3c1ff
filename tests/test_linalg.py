"""Factorizations and solutions against numpy, at once, compiled, batched and differentiated."""

import numpy as np
import pytest

from tracer import grad, jit, use_backend, vmap
from tracer import numpy as jnp

from .test_numpy_more import floats, same

pytestmark = pytest.mark.usefixtures("oracle")

A = floats(4, 4)
STACK = floats(2, 3, 5, 5, seed=1)
DEFINITE = STACK @ STACK.swapaxes(-1, -2) + np.eye(5, dtype=np.float32)
# The first pivot is zero, and rows must be exchanged.
SWAPPED = np.float32([[0, 2, 1], [1, 1, 1], [2, 1, 3]])
TALL, FLAT = floats(2, 5, 3), floats(3, 5)
RIGHT = floats(2, 3, 5, 2, seed=2)

CALLS = {
    "cholesky": lambda m: m.linalg.cholesky(DEFINITE),
    "det": lambda m: [m.linalg.det(STACK), m.linalg.det(SWAPPED), m.linalg.det(A)],
    "det of a singular": lambda m: m.linalg.det(np.ones((3, 3), np.float32)),
    "det of nothing": lambda m: m.linalg.det(np.zeros((2, 0, 0), np.float32)),
    "slogdet": lambda m: tuple(m.linalg.slogdet(STACK)),
    "slogdet of zeros": lambda m: tuple(m.linalg.slogdet(np.zeros((2, 2), np.float32))),
    "inv": lambda m: [m.linalg.inv(STACK), m.linalg.inv(SWAPPED)],
    "solve": lambda m: m.linalg.solve(STACK, RIGHT),
    "solve vector": lambda m: m.linalg.solve(SWAPPED, np.float32([1, 2, 3])),
    "solve broadcast": lambda m: m.linalg.solve(STACK, RIGHT[0, 0]),
    "qr tall": lambda m: tuple(m.linalg.qr(TALL)),
    "qr flat": lambda m: tuple(m.linalg.qr(FLAT)),
    "qr complete": lambda m: tuple(m.linalg.qr(TALL, "complete")),
    "qr r": lambda m: m.linalg.qr(A, "r"),
    "tensorinv": lambda m: m.linalg.tensorinv(floats(2, 3, 6), ind=2),
    "tensorsolve": lambda m: m.linalg.tensorsolve(floats(2, 3, 6), floats(2, 3)),
    "tensorsolve axes": lambda m: m.linalg.tensorsolve(floats(2, 6, 3), floats(2, 3), axes=(1,)),
    "matrix_power": lambda m: m.linalg.matrix_power(SWAPPED, -3),
}


@pytest.mark.parametrize("name", CALLS)
def test_call_is_numpys(name):
    with np.errstate(all="ignore"):
        want = CALLS[name](np)
    loose = {"rtol": 2e-4, "atol": 2e-4}
    same(CALLS[name](jnp), want, **loose)
    same(jit(lambda: CALLS[name](jnp))(), want, **loose)


def test_triangles_and_halves():
    lower = np.linalg.cholesky(DEFINITE)
    same(jnp.linalg.cholesky(DEFINITE, upper=True), lower.swapaxes(-1, -2), rtol=1e-4, atol=1e-5)
    half = np.triu(DEFINITE)
    found = jnp.linalg.cholesky(half, upper=True, symmetrize_input=False)
    same(found, lower.swapaxes(-1, -2), rtol=1e-4, atol=1e-5)
    assert np.isnan(np.asarray(jnp.linalg.cholesky(-np.eye(3, dtype=np.float32)))).any()
    assert jnp.linalg.cholesky(DEFINITE.astype(np.float16)).dtype == np.float16


def test_factors_multiply_to_the_matrix():
    for x in (A, TALL, FLAT, np.zeros((3, 2), np.float32)):
        q, r = jnp.linalg.qr(x)
        same(q @ r, x, atol=1e-5)
        same(
            jnp.matrix_transpose(q) @ q,
            np.broadcast_to(np.eye(q.shape[-1]), (*q.shape[:-2], *[q.shape[-1]] * 2)).astype(
                np.float32
            ),
            atol=1e-5,
        )


def test_batching_is_a_loop():
    flat = DEFINITE.reshape(6, 5, 5)
    same(vmap(jnp.linalg.cholesky)(flat), np.linalg.cholesky(flat), rtol=1e-4, atol=1e-5)
    same(vmap(jnp.linalg.det)(flat), np.linalg.det(flat), rtol=1e-4)


def test_derivatives_have_closed_forms():
    slope = grad(lambda x: jnp.linalg.slogdet(x)[1])(A)
    same(slope, np.linalg.inv(A).T, rtol=1e-3, atol=1e-4)
    slope = grad(lambda x: jnp.linalg.det(x))(SWAPPED)
    same(slope, np.linalg.det(SWAPPED) * np.linalg.inv(SWAPPED).T, rtol=1e-4, atol=1e-4)
    singular = np.float32([[1, 2], [2, 4]])
    same(grad(jnp.linalg.det)(singular), np.float32([[4, -2], [-2, 1]]), atol=1e-5)


ERRORS = {
    "square": (
        lambda: jnp.linalg.inv(TALL),
        ValueError,
        "inv must have shape [..., n, n], got (2, 5",
    ),
    "sizes": (lambda: jnp.linalg.solve(A, np.ones(3, np.float32)), ValueError, "must be 4"),
    "mode": (lambda: jnp.linalg.qr(A, "best"), ValueError, "Unsupported QR decomposition mode"),
    "rank": (lambda: jnp.linalg.qr(A[0]), TypeError, "must have rank at least 2"),
    "method": (lambda: jnp.linalg.slogdet(A, method="qr"), ValueError, "'lu'"),
    "ind": (lambda: jnp.linalg.tensorinv(A, 0), ValueError, "positive integer"),
    "power": (lambda: jnp.linalg.matrix_power(A, 1.5), TypeError, "exponent must be an integer"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_name_the_cause_and_the_line(name):
    call, kind, words = ERRORS[name]
    with pytest.raises(kind) as info:
        call()
    assert words in str(info.value) and "test_linalg.py:" in str(info.value)


@pytest.mark.device
@pytest.mark.parametrize("name", ["cholesky", "solve", "qr tall", "det"])
def test_on_the_device(name):
    pytest.importorskip("wgpu")
    use_backend("device")
    same(jit(lambda: CALLS[name](jnp))(), CALLS[name](np), rtol=2e-3, atol=2e-3)


@pytest.mark.device
def test_the_gradient_on_the_device():
    pytest.importorskip("wgpu")
    use_backend("device")
    slope = jit(grad(lambda x: jnp.linalg.slogdet(x)[1]))(A)
    same(slope, np.linalg.inv(A).T, rtol=2e-3, atol=1e-3)
