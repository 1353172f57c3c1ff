"""Packed floats on the adapter: bfloat16, and float16 as where the adapter lacks it.

Invariant: results are those of the oracle bit for bit where the operations in float32 are exact,
whatever was fused, at every shape: words are shared by two elements and written by one invocation.
"""

from __future__ import annotations

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import runtime
from codegen.compile import compile_graph
from ir import evaluate
from tracer import grad, graph_of, jit, lax, nn, random, use_backend, vmap
from tracer import numpy as jnp

from .harness import run

KINDS = {"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}
RNG = np.random.default_rng(0)


def a(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def both(f):
    return lambda x, w: grad(lambda x, w: f(x, w).sum().astype("float32"), (0, 1))(x, w)


def products(x, w, c):
    h = x @ w + c
    return h, h * 2, h.astype("float32").sum(1)


I4, KEEP = np.int32([3, 1, 3, 0]), np.array([True, False, True])
CASES = {
    "quads": (lambda x, y: x * y + 1, a(8, 8), a(8, 8)),
    "odd": (lambda x, y: x * y + 1, a(5), a(5)),
    "rows of six": (lambda x: x * 2, a(2, 6)),
    "one": (lambda x: x * 2.5, a()),
    "none": (lambda x: x * 2.5, a(0, 4)),
    "several results": (lambda x: (x * 2.5, x - 1, x > 0, x.astype("float32")), a(7)),
    "transposed": (lambda x: x.T * 2, a(6, 5)),
    "slices": (lambda x: (x[1:, 1:6], x[::-1, 1::2]), a(6, 8)),
    "concatenated": (lambda x, y: jnp.concatenate([x, y]), a(3), a(4)),
    "padded": (lambda x: jnp.pad(x, 2, constant_values=1.3), a(5)),
    "broadcast": (lambda x: jnp.broadcast_to(x[:, None], (3, 5)) * 2, a(3)),
    "where": (jnp.where, KEEP, a(3), a(3)),
    "sums": (lambda x: (x.sum(), x.sum(1), x.sum(0), x.max(1)), a(33, 7)),
    "long sum": (lambda x: x.sum(0), a(2048, 8)),
    "softmax of quads": (nn.softmax, a(9, 32)),
    "softmax of odd rows": (nn.softmax, a(9, 7)),
    "product": (lambda x, y: x @ y, a(16, 24), a(24, 32)),
    "odd product": (lambda x, y: x @ y, a(5, 7), a(7, 3)),
    "epilogue": (lambda x, y, b: nn.relu(x @ y + b) * 2, a(16, 24), a(24, 32), a(32)),
    "odd epilogue": (lambda x, y, b: nn.relu(x @ y + b) * 2, a(16, 24), a(24, 31), a(31)),
    "shared epilogue": (products, a(16, 24), a(24, 32), a(16, 32)),
    "gradients": (both(lambda x, w: nn.relu(x @ w) ** 2), a(8, 16), a(16, 12)),
    "rows by index": (lambda x, i: (x[i], x[:, 1][i]), a(9, 5), I4),
    "scattered": (lambda x, i, u: x.at[i].add(u), a(9, 6), I4, a(4, 6)),
    "written": (lambda x: x.at[1].set(0.5), a(5)),
    "scan of quads": (lambda c, x: lax.scan(lambda c, x: (c / 2 + x, c * 2), c, x), a(4), a(6, 4)),
    "scan of odd rows": (
        lambda c, x: lax.scan(lambda c, x: (c / 2 + x, c * 2), c, x, reverse=True),
        a(3),
        a(6, 3),
    ),
    "scan of scalars": (lambda c, x: lax.scan(lambda c, x: (c + x, c), c, x), a(), a(7)),
    "while": (
        lambda x: lax.while_loop(lambda v: v[0] < 9, lambda v: (v[0] + 1, v[1] * 0.5), (0, x)),
        a(3),
    ),
    "counted": (lambda x: lax.fori_loop(0, 4, lambda i, v: v * 0.5 + i, x), a(5)),
    "casts from": (lambda x: (x.astype("int32"), x.astype(bool), x.astype("float32")), a(5)),
    "sorted": (lambda x: (jnp.sort(x), jnp.argmax(x)), a(13)),
    "batched": (vmap(lambda x, y: x @ y), a(3, 4, 5), a(3, 5, 6)),
    "tests": (lambda x: (jnp.isfinite(x), jnp.isnan(x)), np.float32([0, np.inf, np.nan])),
    "overflow": (lambda x: x * x * x * x, np.float32([3e38, -9e4, 1e-4, 7.0, 0.0])),
}


def narrow(kind, profile):
    return dataclasses.replace(profile, f16=profile.f16 and kind != "float16")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_results_are_the_oracles(name, kind):
    fun, *arrays = CASES[name]
    with np.errstate(over="ignore"):
        args = [x.astype(KINDS[kind]) if x.dtype == np.float32 else x for x in arrays]
    graph = graph_of(fun)(*args)
    profile = narrow(kind, runtime.default_device().profile)
    for got, want in zip(run(graph, *args, profile=profile), evaluate(graph, *args), strict=True):
        assert got.dtype == want.dtype
        # Devices may round a half float either way.
        rtol = 2.0**-10 if kind == "float16" else 0.0
        np.testing.assert_allclose(got.astype(np.float32), want.astype(np.float32), rtol)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stored_tensor_takes_two_bytes_an_element(kind):
    x = jnp.zeros((64, 64), KINDS[kind])
    graph = graph_of(lambda x, w: (nn.relu(x @ w) @ w).sum())(x, x)
    profile = narrow(kind, runtime.default_device().profile)
    program = compile_graph(graph, profile)
    assert program.bytes_by_kind()["input"] == 2 * 2 * 64 * 64
    assert max(s.nbytes for s in program.slots if s.kind == "temp") <= 2 * 64 * 64 + 256


def test_a_jitted_step_on_bfloat16_arrays():
    step = jit(lambda w, x: w - 0.1 * grad(lambda w: (x @ w).sum())(w), donate_argnums=0)
    w, x = jnp.ones((6, 3), jnp.bfloat16), jnp.ones((5, 6), jnp.bfloat16)
    for _ in range(3):
        w = step(w, x)
    assert w.dtype == jnp.bfloat16 and repr(w).endswith("dtype=bfloat16)")
    at = np.float32(1)
    for _ in range(3):
        at = np.float32(ml_dtypes.bfloat16(at - np.float32(ml_dtypes.bfloat16(0.5))))
    np.testing.assert_array_equal(np.asarray(w, np.float32), np.full((6, 3), at))


def test_random_bits_are_the_same_on_both_backends():
    draw = jit(lambda key: random.uniform(key, (13,), jnp.bfloat16))
    got = np.asarray(draw(random.key(3)), np.float32)
    use_backend("oracle")
    want = np.asarray(jit(lambda key: draw(key))(random.key(3)), np.float32)
    use_backend(None)
    np.testing.assert_array_equal(got, want)
