"""The loss of a linear layer in parts is that of the whole, and stores the logits of one part."""

from __future__ import annotations

import numpy as np
import pytest

import tracer
from codegen.compile import compile_graph
from codegen.profile import PROFILES
from ir import evaluate
from tracer import ShapeDtypeStruct, graph_of, nn, value_and_grad
from tracer import numpy as jnp

V, H = 24, 8


def given(*shape):
    rng = np.random.default_rng(3)
    hidden = rng.standard_normal((*shape, H)).astype(np.float32)
    weight = rng.standard_normal((H, V)).astype(np.float32)
    return hidden, weight, rng.integers(0, V, shape).astype(np.int32)


def whole(hidden, weight, labels):
    return jnp.mean(nn.cross_entropy(hidden @ weight, labels))


def parted(parts):
    def loss(hidden, weight, labels):
        logits = 4 * labels.size * V
        return nn.linear_cross_entropy(hidden, weight, labels, chunk_bytes=-(-logits // parts))

    return loss


def scans(graph):
    return [e for e in graph.eqns if e.prim.name == "scan"]


@pytest.mark.parametrize("shape", [(12,), (2, 12), (3, 1, 18)])
@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_value_and_gradients(shape, parts):
    args = given(*shape)
    wanted = value_and_grad(whole, argnums=(0, 1))
    found = graph_of(value_and_grad(parted(parts), argnums=(0, 1)))(*args)
    assert len(scans(found)) == (parts > 1)
    results = zip(evaluate(found, *args), evaluate(graph_of(wanted)(*args), *args), strict=True)
    for got, want in results:
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-7)


def test_the_loss_alone_takes_no_gradient():
    args = given(2, 12)
    found = graph_of(parted(4))(*args)
    call = found.eqns[-1]
    (scan,) = scans(next(call.subgraphs()))
    assert len(scan.outs) == 1
    np.testing.assert_allclose(
        evaluate(found, *args), evaluate(graph_of(whole)(*args), *args), 1e-6
    )


def test_cotangents_scale_the_gradient():
    args = given(4, 6)

    def scaled(loss):
        return lambda *xs: jnp.sin(3.0 * loss(*xs))

    graphs = [
        graph_of(value_and_grad(scaled(f), argnums=(0, 1)))(*args) for f in (parted(3), whole)
    ]
    for got, want in zip(*(evaluate(g, *args) for g in graphs), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=5e-6)


def test_positions_that_cannot_be_cut_are_taken_as_a_whole():
    args = given(2, 7)
    assert not scans(graph_of(parted(2))(*args))


def test_no_buffer_holds_all_logits():
    rows, vocabulary = 512, 4096
    hidden = ShapeDtypeStruct((rows, 16), "float32")
    weight = ShapeDtypeStruct((16, vocabulary), "float32")
    labels = ShapeDtypeStruct((rows,), "int32")
    logits, peaks = 4 * rows * vocabulary, {}
    for parts in (1, 8):

        def loss(*xs, parts=parts):
            return nn.linear_cross_entropy(*xs, chunk_bytes=logits // parts)

        graph = graph_of(value_and_grad(loss, argnums=(0, 1)))(hidden, weight, labels)
        program = compile_graph(graph, PROFILES["h100"])
        peaks[parts] = program.bytes_by_kind()["temp"]
    assert peaks[1] > 1.9 * logits and peaks[8] < 0.4 * logits, peaks


def test_on_the_adapter():
    args = given(2, 12)
    got = tracer.jit(value_and_grad(parted(3), argnums=(0, 1)))(*args)
    want = tracer.jit(value_and_grad(whole, argnums=(0, 1)))(*args)
    for a, b in zip(tracer.tree.leaves(got), tracer.tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)
