"""Batched graphs and recomputed ones on the adapter against the oracle.

Invariant: for every primitive, one sample with every operand batched and one with the first alone;
what tracing adds on top (`vmap`, `checkpoint`, tangents) is compared on whole programs.
"""

from __future__ import annotations

import numpy as np
import pytest

from ir import evaluate
from ir.passes.batch import batch_graph
from tracer import (
    checkpoint,
    checkpoint_name,
    checkpoint_policies,
    grad,
    graph_of,
    hessian,
    jvp,
    nn,
    value_and_grad,
    vmap,
)
from tracer import numpy as jnp

from ..oracle.numeric import agree
from ..oracle.test_batching import stacked
from ..strategies import LOCAL, samples
from .harness import run
from .test_primitives import FACTOR

POLICIES = {
    "nothing": checkpoint_policies.nothing_saveable,
    "everything": checkpoint_policies.everything_saveable,
    "dots": checkpoint_policies.dots_saveable,
    "names": checkpoint_policies.save_only_these_names("kept"),
    "all but": checkpoint_policies.save_anything_except_these_names("kept"),
}
RNG = np.random.default_rng(0)
TAKES_BATCHES = [n for n in LOCAL if samples(n)[0].avals]


def compare(graph, arrays, factor: float = 30.0) -> None:
    got = run(graph, *arrays)
    for aval, g, w in zip(graph.out_avals, got, evaluate(graph, *arrays), strict=True):
        agree(g, w, aval, factor)


def of_size(name: str):
    """A sample of a primitive that is neither tiny nor empty."""
    full = [s for s in samples(name) if all(a.size for a in s.avals)]
    return max(full, key=lambda s: sum(a.size for a in s.avals if a.size < 2000))


@pytest.mark.parametrize("name", TAKES_BATCHES)
def test_batched_primitives(name):
    sample = of_size(name)
    count = len(sample.avals)
    for mask in {(True,) * count, (True, *(False,) * (count - 1)), (*(False,) * (count - 1), True)}:
        graph, _ = batch_graph(sample.graph(), mask, 3)
        compare(graph, stacked(sample, mask, 3)[1], max(30.0, FACTOR.get(name, 1.0)))


def layer(w, x):
    return x + jnp.tanh(nn.silu(x @ w[0])) @ w[1]


def loss(weights, x, wrap=lambda f: f):
    for w in weights:
        x = wrap(layer)(w, nn.rms_norm(x, jnp.ones(x.shape[-1])))
    return jnp.sum(x * x)


WEIGHTS = [
    [(RNG.standard_normal(s) * 0.2).astype(np.float32) for s in ((16, 48), (48, 16))]
    for _ in range(3)
]
X = RNG.standard_normal((20, 16)).astype(np.float32)


def test_recomputed_gradients():
    plain = value_and_grad(loss)(WEIGHTS, X)
    again = value_and_grad(lambda w, x: loss(w, x, checkpoint))(WEIGHTS, X)
    np.testing.assert_allclose(float(plain[0]), float(again[0]), rtol=1e-5)
    for a, b in zip(plain[1], again[1], strict=True):
        np.testing.assert_allclose(np.asarray(a[0]), np.asarray(b[0]), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("prevent_cse", [True, False])
def test_policies_keep_products_with_and_without_an_epilogue(policy, prevent_cse):
    """A product kept for the backward pass is read as it is, whatever follows it at first."""

    def body(v):
        kept = checkpoint_name(v @ v, "kept")
        return jnp.tanh(kept) @ v + nn.silu(jnp.sum(kept, 1, keepdims=True)) * v

    wrapped = checkpoint(body, policy=POLICIES[policy], prevent_cse=prevent_cse)
    x = X[:16] / 4
    graph = graph_of(grad(lambda v: jnp.sum(wrapped(v))))(x)
    compare(graph, [x], 400.0)
    np.testing.assert_allclose(
        np.asarray(run(graph, x)[0]),
        np.asarray(grad(lambda v: jnp.sum(body(v)))(x)),
        rtol=1e-3,
        atol=1e-3,
    )


def test_gradients_of_each_example():
    each = vmap(grad(loss), (None, 0))(WEIGHTS, X[:, None])
    total = grad(loss)(WEIGHTS, X)
    assert each[0][0].shape == (20, 16, 48)
    summed = np.asarray(each[0][0]).sum(0)
    np.testing.assert_allclose(summed, np.asarray(total[0][0]), rtol=2e-4, atol=1e-4)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: jvp(lambda y: loss(WEIGHTS, y, checkpoint), (x,), (jnp.flip(x, 0),)),
        lambda x: hessian(lambda row: loss(WEIGHTS[:1], row))(x[:1]),
        lambda x: vmap(lambda row: jnp.take(row, jnp.argmax(row)) * row, 1, 1)(x),
    ],
)
def test_transformed_programs(fun):
    graph = graph_of(fun)(X)
    constants = len(graph.ins) - 1
    arrays = [np.float32(RNG.standard_normal(a.shape)) for a in graph.in_avals[:constants]]
    compare(graph, [*arrays, X], 400.0)
