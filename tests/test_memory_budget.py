"""Memory budgets: the peak that a compile promises, and what is computed again for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from codegen.compile import CompileError, compile_graph, fitted, foreseen
from codegen.profile import PROFILES
from codegen.program import NESTED, Dispatch, walk
from ir import evaluate
from ir.passes.recompute import candidates, is_backward, recompute
from tracer import ShapeDtypeStruct, graph_of, jit, lax, nn, tree, value_and_grad
from tracer import numpy as jnp

LAYERS, WIDTH = 6, 32


def loss(params, x):
    for weights in params:
        x = x + nn.silu(nn.rms_norm(x, weights["norm"]) @ weights["up"]) @ weights["down"]
    return jnp.mean(x * x)


def arguments(rows):
    rng = np.random.default_rng(9)

    def normal(*shape):
        return (rng.standard_normal(shape) * 0.2).astype(np.float32)

    layer = {"norm": (WIDTH,), "up": (WIDTH, 2 * WIDTH), "down": (2 * WIDTH, WIDTH)}
    params = [{name: normal(*shape) for name, shape in layer.items()} for _ in range(LAYERS)]
    return params, normal(rows, WIDTH)


def traced(rows):
    shapes = tree.map(lambda a: ShapeDtypeStruct(a.shape, "float32"), arguments(rows))
    return graph_of(value_and_grad(loss))(*shapes)


def test_second_computations_change_no_value():
    graph, args = traced(64), tree.leaves(arguments(64))
    options = candidates(graph)
    assert len(options) >= 3 * LAYERS
    for count in (1, len(options) // 2, len(options)):
        again = recompute(graph, options[:count])
        assert len(again.eqns) > len(graph.eqns)
        pairs = zip(evaluate(again, *args), evaluate(graph, *args), strict=True)
        assert all(np.array_equal(got, want) for got, want in pairs)


def test_what_is_chosen_is_not_kept():
    graph = traced(64)
    options = candidates(graph)
    again = recompute(graph, options)
    first = {v for e in again.eqns if not is_backward(e) for v in e.outs}
    late = {v for e in again.eqns if is_backward(e) for v in e.ins if v in first}
    kept = {v for e in graph.eqns if is_backward(e) for v in e.ins}
    assert sum(v.aval.nbytes for v in late) < 0.6 * sum(
        v.aval.nbytes for e in graph.eqns if not is_backward(e) for v in e.outs if v in kept
    )


@pytest.mark.parametrize("profile", ["h100", "lavapipe"])
def test_the_peak_falls_to_the_budget_and_not_far_below(profile):
    graph, limits = traced(2048), PROFILES[profile]
    free = compile_graph(graph, limits).peak_bytes
    sizes = [
        compile_graph(graph, limits, memory_budget=int(share * free)).peak_bytes
        for share in (0.9, 0.7)
    ]
    assert free > sizes[0] > sizes[1]
    assert sizes[0] <= 0.9 * free and sizes[1] <= 0.7 * free


def test_a_budget_that_is_kept_already_changes_nothing():
    graph, limits = traced(64), PROFILES["h100"]
    free = compile_graph(graph, limits)
    assert compile_graph(graph, limits, memory_budget=free.peak_bytes) == free


def test_an_impossible_budget_is_refused_with_the_least_peak():
    with pytest.raises(CompileError, match=r"needs [\d.]+ MiB even if all .* memory_budget is 0.1"):
        compile_graph(traced(2048), PROFILES["h100"], memory_budget=100_000)


def test_on_the_adapter():
    args = arguments(512)
    plain = jit(value_and_grad(loss))
    want = plain(*args)
    free = plain.stats()["peak_bytes"]
    small = jit(value_and_grad(loss), memory_budget=int(0.8 * free))
    got = small(*args)
    assert small.stats()["peak_bytes"] <= 0.8 * free
    for a, b in zip(tree.leaves(got), tree.leaves(want), strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=2e-5, atol=1e-6)


def with_loops(x, w):
    def layer(x, w):
        return lax.cond(x[0, 0] > 0, lambda x: nn.softmax(x @ w) @ w.T, lambda x: x - w.sum(), x), x

    return lax.scan(layer, x, w)


@pytest.mark.parametrize("profile", ["webgpu-default", "lavapipe", "h100"])
def test_a_program_is_foreseen_without_its_kernels_text(profile):
    shapes = ShapeDtypeStruct((8, 16), "float32"), ShapeDtypeStruct((3, 16, 16), "float32")
    for graph in (traced(64), graph_of(with_loops)(*shapes)):
        written = compile_graph(graph, PROFILES[profile], [(0, 0)])
        early = foreseen(graph, PROFILES[profile], [(0, 0)])
        assert early.slots == written.slots and len(written.kernels) > len(early.kernels)
        assert [blank(s) for s in walk(early.steps)] == [blank(s) for s in walk(written.steps)]


def blank(step):
    """A step without its kernel, or what it holds, which `walk` shows too."""
    if isinstance(step, NESTED):
        return type(step), getattr(step, "count", 0), len(step.steps)
    if not isinstance(step, Dispatch):
        return step
    return replace(step, kernel=0, grid=(1, 1, 1), slots=tuple(sorted(step.slots)))


def test_unlike_adapters_choose_the_same():
    """Of a mesh whose processes have them: what is computed again is what all of them need."""
    graph, both = traced(8192), (PROFILES["lavapipe"], PROFILES["h100"])
    peaks = [foreseen(graph, p).peak_bytes for p in both]
    budget = min(peaks)  # enough for one of them as it is
    alone = {fitted(graph, (p,), (), budget).key() for p in both}
    together, turned = (fitted(graph, ps, (), budget) for ps in (both, both[::-1]))
    assert max(peaks) > budget and len(alone) == 2 and together.key() == turned.key()
    assert all(foreseen(together, p).peak_bytes <= budget for p in both)
