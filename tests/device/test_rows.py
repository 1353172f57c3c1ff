"""Row kernels as a GPU runs them: a maximum and sums of exponentials that share a walk, and what is
kept in registers between walks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import H100
from codegen.target import traced_target
from ir import evaluate
from tracer import ShapeDtypeStruct, nn
from tracer import numpy as jnp

from ..oracle.numeric import agree
from .harness import run
from .test_profiles import webgpu


def guarded(x):
    return nn.logsumexp(x, -1)


def unguarded(x):
    top = x.max(-1, keepdims=True)
    return jnp.exp(x - top).sum(-1), top, nn.softmax(-x) * x


def graph_of(function, shape):
    return traced_target(function, (ShapeDtypeStruct(shape, "float32"),), ()).graph


@pytest.mark.parametrize("shape", [(3, 500), (5, 129), (2, 1024), (1, 33)], ids=str)
@pytest.mark.parametrize("function", [guarded, unguarded])
def test_sums_below_a_running_maximum(function, shape):
    graph = graph_of(function, shape)
    x = 30 * np.random.default_rng(shape[1]).standard_normal(shape, np.float32)
    for got, want, v in zip(
        run(graph, x, profile=webgpu()), evaluate(graph, x), graph.outs, strict=True
    ):
        agree(got, want, v.aval, 30.0)


def test_infinities_are_summed_as_elsewhere():
    x = np.zeros((4, 400), np.float32)
    x[0, 7], x[1, :], x[2, 9] = np.inf, -np.inf, -np.inf
    (got,) = run(graph_of(guarded, x.shape), x, profile=webgpu())
    np.testing.assert_allclose(got, [np.inf, -np.inf, np.log(399), np.log(400)], rtol=1e-6)


def test_a_row_is_read_once():
    kernel = compile_graph(graph_of(guarded, (64, 32_000)), H100).kernels[0]
    assert kernel.wgsl.count("= x[") == 1


def normed(x):
    return nn.rms_norm(x, jnp.arange(x.shape[-1], dtype=x.dtype)), x.max(-1)


def centred(x):
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("function", [nn.softmax, normed, centred, unguarded])
@pytest.mark.parametrize(
    ("shape", "held"), [((3, 2048), 2), ((2, 8192), 4), ((4, 768), 3), ((3, 1028), 0)], ids=str
)
def test_what_is_read_again_stays_in_registers(function, shape, held, dtype):
    wide = replace(webgpu(), units=1, invocations=64 if shape[1] == 768 else 512)
    graph = traced_target(function, (ShapeDtypeStruct(shape, dtype),), ()).graph
    wgsl = compile_graph(graph, wide).kernels[0].wgsl
    assert wgsl.count("= x[") + wgsl.count("x4(x[") == 1 if held else "_held" not in wgsl
    x = (
        np.random.default_rng(1)
        .standard_normal(shape, np.float32)
        .astype(graph.ins[0].aval.dtype.np)
    )
    for got, want, v in zip(
        run(graph, x, profile=wide), evaluate(graph, x), graph.outs, strict=True
    ):
        agree(got, want, v.aval, 30.0)


def test_too_much_for_registers_is_read_again():
    kernel = compile_graph(graph_of(nn.softmax, (64, 32_768)), H100).kernels[0]
    assert "_held" not in kernel.wgsl and kernel.wgsl.count("= x[") == 2
