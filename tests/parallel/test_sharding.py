"""Every mesh equals one device: loss and every gradient of a small LLaMA, in float64 on numpy.

Invariant: what is compared is the program of one device, all of them in lockstep, against the
whole program; counts of collectives are those of the per-device program.
"""

from __future__ import annotations

import time
from collections import Counter
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from ir import MeshShape, ShardedGraph, check, evaluate, evaluate_spmd
from ir.passes.messages import (
    PASSES,
    arranged,
    bucketed,
    hidden,
    overlapped,
    regathered,
    traffic,
)
from ir.passes.shard import Options, shard
from ir.sharding import Spec, whole
from picotron import model, reference
from picotron.config import ModelConfig
from picotron.sharding import Layout
from picotron.step import mean_gradient
from tracer import jit, nn, tree, value_and_grad
from tracer import numpy as jnp
from tracer.sharding import named_values

CONFIG = ModelConfig(
    vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=16,
    initializer_range=0.5,
)  # fmt: skip
ROWS, LENGTH = 4, 8


def sizes_of(kinds: tuple[str, ...]) -> dict[str, int]:
    """Two members along each axis that some kinds of parallelism need."""
    axes = {"dp": ("dp", "fsdp"), "cp": ("cp",), "tp": ("tp", "sp")}
    return {a: 2 if set(needs) & set(kinds) else 1 for a, needs in axes.items()}


def layout_of(kinds: tuple[str, ...]) -> Layout:
    return Layout(sizes_of(kinds), sp="sp" in kinds, fsdp="fsdp" in kinds)


def mesh_of(layout: Layout, zigzag: bool = False) -> MeshShape:
    axes = frozenset({"cp"} if zigzag else ())
    return MeshShape(tuple(layout.sizes), tuple(layout.sizes.values()), axes)


@cache
def arguments(parts: int, config: ModelConfig = CONFIG) -> tuple[Any, Any]:
    ids = np.random.default_rng(0).integers(0, config.vocab_size, (2, parts, ROWS, LENGTH))
    batch = dict(zip(("inputs", "targets"), ids.astype(np.int32), strict=True))
    return model.init(config, 0), batch


@cache
def traced(kinds: tuple[str, ...], parts: int, config: ModelConfig = CONFIG) -> tuple:
    """(graph of loss and gradients, its arguments, specs of inputs and of outputs)."""
    layout, given = layout_of(kinds), arguments(parts, config)

    def step(params: Any, batch: Any) -> Any:
        return mean_gradient(params, batch, config, layout=layout)

    with named_values(layout.names()):
        lowered = jit(step).lower(*given)
    graph, constants = lowered.graph, [np.asarray(c) for c in lowered._traced.constants]
    weights = [s.spec(w.ndim) for s, w in zip(tree.leaves(layout.specs(config)),
                                              tree.leaves(given[0]), strict=True)]  # fmt: skip
    ids = [layout.batch(3).spec(3)] * 2
    fixed = [whole(c.ndim) for c in constants]
    return graph, [*constants, *tree.leaves(given)], [*fixed, *weights, *ids], [whole(0), *weights]


@cache
def alone(parts: int, config: ModelConfig = CONFIG) -> list[np.ndarray]:
    graph, args, _, _ = traced((), parts, config)
    return evaluate(graph, *args, wide=True)


@cache
def program(kinds: tuple[str, ...], parts: int = 1, context: str = "gather",
            zigzag: bool = False, config: ModelConfig = CONFIG) -> ShardedGraph:  # fmt: skip
    graph, _, ins, outs = traced(kinds, parts, config)
    return shard(graph, mesh_of(layout_of(kinds), zigzag), ins, outs, Options(context))


def worst(found: list[np.ndarray], wanted: list[np.ndarray]) -> float:
    """The largest relative error of any loss or gradient."""
    pairs = zip(found, wanted, strict=True)
    return max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in pairs)


def counts(graph: Any) -> Counter:
    """How often a per-device program does each collective, over which axes, loops counted once."""
    found: Counter = Counter()
    for eqn in graph.eqns:
        if eqn.prim.kind == "collective" and eqn.prim.name != "axis_index":
            found[eqn.prim.message, "*".join(eqn.params["axes"])] += 1
        for inner in eqn.subgraphs():
            found += counts(inner)
    return found


KINDS = ("dp", "tp", "cp", "fsdp", "sp")
MESHES = [(k,) for k in KINDS] + list(combinations(KINDS, 2)) + [("dp", "tp", "cp"), KINDS]


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("kinds", MESHES, ids="+".join)
def test_a_mesh_equals_one_device(kinds, parts):
    done = program(kinds, parts)
    check(done.graph)
    _, args, _, _ = traced(kinds, parts)
    assert worst(evaluate_spmd(done, *args, wide=True), alone(parts)) <= 1e-12


@pytest.mark.parametrize("zigzag", [False, True])
@pytest.mark.parametrize("context", ["gather", "ring", "ulysses"])
@pytest.mark.parametrize("kinds", [("cp",), ("dp", "cp"), ("cp", "sp")], ids="+".join)
def test_attention_meets_keys_that_lie_elsewhere(kinds, context, zigzag):
    config = CONFIG if "sp" not in kinds else ModelConfig(**{**vars(CONFIG),
                                                             "num_key_value_heads": 4})  # fmt: skip
    if context == "ulysses" and zigzag:
        with pytest.raises(ValueError, match="use the ring, or no zigzag"):
            program(kinds, 1, context, zigzag, CONFIG)
        return
    done = program(kinds, 1, context, zigzag, config)
    _, args, _, _ = traced(kinds, 1, config)
    assert worst(evaluate_spmd(done, *args, wide=True), alone(1, config)) <= 1e-12


@pytest.mark.parametrize("zigzag", [False, True])
def test_a_longer_ring(zigzag):
    """Four devices in a ring: attention and its gradients, with heads that share keys."""
    mesh = MeshShape(("cp",), (4,), frozenset({"cp"} if zigzag else ()))
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((2, 16, n, 4)).astype(np.float32) for n in (4, 2, 2))

    def fun(q, k, v):
        out = nn.dot_product_attention(q, k, v, is_causal=True)
        return jnp.sum(jnp.sin(out))

    graph = jit(value_and_grad(fun, (0, 1, 2))).lower(q, k, v).graph
    specs = [Spec(((), ("cp",), (), ()))] * 3
    done = shard(graph, mesh, specs, [whole(0), *specs], Options("ring"))
    wanted = evaluate(graph, q, k, v, wide=True)
    assert worst(evaluate_spmd(done, q, k, v, wide=True), wanted) <= 1e-12
    hops = [e for e in done.graph.eqns if e.prim.name == "ppermute"]
    forward = [e for e in hops if not e.scope.startswith("grad")]
    assert len(forward) == 3 and len(hops) == 3 + 3 + 4  # and the gradients go all the way round


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("context", "zigzag"), [("gather", False), ("ring", False), ("ring", True), ("ulysses", False)]
)
def test_segments_that_lie_elsewhere(context, zigzag, causal):
    """Documents across four devices that cut positions, in rows that two cut: values, gradients."""
    mesh = MeshShape(("dp", "cp"), (2, 4), frozenset({"cp"} if zigzag else ()))
    rng = np.random.default_rng(1)
    q, k, v = (rng.standard_normal((2, 16, n, 4)).astype(np.float32) for n in (8, 4, 4))
    ids = np.sort(rng.integers(0, 4, (2, 16))).astype(np.int32)

    def fun(q, k, v, ids):
        out = nn.dot_product_attention(
            q, k, v, is_causal=causal, query_segment_ids=ids, segments_are_sorted=True
        )
        return jnp.sum(jnp.sin(out))

    graph = jit(value_and_grad(fun, (0, 1, 2))).lower(q, k, v, ids).graph
    specs = [Spec((("dp",), ("cp",), (), ()))] * 3
    ins = [*specs, Spec((("dp",), ("cp",)))]
    done = shard(graph, mesh, ins, [whole(0), *specs], Options(context))
    check(done.graph)
    wanted = evaluate(graph, q, k, v, ids, wide=True)
    assert worst(evaluate_spmd(done, q, k, v, ids, wide=True), wanted) <= 1e-12


# --- collectives, counted -------------------------------------------------------------------------

WEIGHTS = len(model.parameter_shapes(CONFIG))
LAYERS = CONFIG.num_hidden_layers
PINNED = {
    # Two sums a layer each way; the embedding; the head's loss in parts (max, sum, target) and the
    # sum on the way back.
    ("tp",): {("psum", "tp"): 4 * LAYERS + 1 + 2 + 1, ("pmax", "tp"): 1},
    # In place of each sum a gather and a scatter: on the way in and out of each half of a layer,
    # and of the norm before the head; weights of norms are summed.
    ("sp",): {
        ("all_gather", "tp"): 4 * LAYERS + 2,
        ("reduce_scatter", "tp"): 4 * LAYERS + 2,
        ("psum", "tp"): 2 + 2 * LAYERS + 1,
        ("pmax", "tp"): 1,
    },
    ("dp",): {("psum", "dp"): WEIGHTS + 1},
    # Keys and values gathered, their gradients scattered.
    ("cp",): {
        ("all_gather", "cp"): 2 * LAYERS,
        ("reduce_scatter", "cp"): 2 * LAYERS,
        ("psum", "cp"): WEIGHTS + 1,
    },
    ("dp", "cp"): {
        ("all_gather", "cp"): 2 * LAYERS,
        ("reduce_scatter", "cp"): 2 * LAYERS,
        ("psum", "dp*cp"): WEIGHTS + 1,
    },
    ("fsdp",): {
        ("all_gather", "dp"): WEIGHTS, ("reduce_scatter", "dp"): WEIGHTS, ("psum", "dp"): 1,
    },
}  # fmt: skip


@pytest.mark.parametrize("kinds", PINNED, ids="+".join)
def test_collectives_are_those_of_the_field(kinds):
    assert counts(program(kinds).graph) == PINNED[kinds]


def test_gradients_are_summed_once_a_step_whatever_the_accumulation():
    """Within the loop over parts nothing is said; after it each weight's gradient is summed."""
    graph = program(("dp", "cp"), 4).graph
    assert counts(graph)["psum", "dp*cp"] == WEIGHTS + 1
    (loop,) = [e for e in graph.eqns if e.prim.name == "scan"]
    assert not [k for k in counts(loop.params["body"]) if k[0] == "psum"]


def test_dropout_drops_the_same_elements_whatever_the_mesh():
    from tracer import random

    config = ModelConfig(**{**vars(CONFIG), "hidden_dropout": 0.2, "attention_dropout": 0.1})
    layout, (params, batch) = layout_of(("dp", "tp", "cp")), arguments(1)
    key = np.asarray(random.key_data(random.key(3)))

    def step(params, batch, key):
        return mean_gradient(params, batch, config, random.wrap_key_data(key))

    with named_values(layout.names()):
        lowered = jit(step).lower(params, batch, key)
    graph, constants = lowered.graph, [np.asarray(c) for c in lowered._traced.constants]
    args = [*constants, *tree.leaves((params, batch)), key]
    _, _, ins, outs = traced(("dp", "tp", "cp"), 1)
    ins = [*(whole(c.ndim) for c in constants), *ins[len(ins) - WEIGHTS - 2 :], whole(1)]
    done = shard(graph, mesh_of(layout), ins, outs)
    assert worst(evaluate_spmd(done, *args, wide=True), evaluate(graph, *args, wide=True)) <= 1e-12


# --- fewer messages, and earlier ------------------------------------------------------------------


@pytest.mark.parametrize("passes", [("bucket",), ("overlap",), ("regather",), tuple(PASSES)])
@pytest.mark.parametrize("kinds", [("dp", "tp"), ("cp", "fsdp", "sp")], ids="+".join)
def test_passes_over_messages_change_no_result(kinds, passes):
    done = arranged(program(kinds, 1), passes)
    check(done.graph)
    _, args, _, _ = traced(kinds, 1)
    assert worst(evaluate_spmd(done, *args, wide=True), alone(1)) <= 1e-12


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("kinds", [("dp",), ("cp",), ("dp", "cp", "tp")], ids="+".join)
def test_a_bucket_of_gradients_is_summed_at_once(kinds, parts):
    axes = "*".join(a for a in ("dp", "cp") if a in kinds)
    whole_step = program(kinds, parts)
    assert counts(arranged(whole_step, ("bucket",)).graph)["psum", axes] == 1
    size = sum(4 * w.size for w in tree.leaves(arguments(1)[0])) // (2 if "tp" in kinds else 1)
    small = counts(bucketed(whole_step.graph, size // 3))["psum", axes]
    assert 3 <= small <= 4


def test_work_lies_behind_the_sums_of_the_backward_pass():
    """The sum of a layer's cotangents is under way while weights' gradients are computed."""
    plain = program(("tp",)).graph
    before, after = hidden(plain), hidden(overlapped(plain))
    assert sum(after) > 1.5 * sum(before)
    assert sum(1 for n in after if n) > sum(1 for n in before if n)


def test_weights_are_gathered_again_on_the_way_back():
    graph = regathered(program(("fsdp",)).graph)
    extra = counts(graph)["all_gather", "dp"] - WEIGHTS
    assert extra == WEIGHTS - 1  # all but the embedding, whose rows the gradient does not need


def test_traffic_is_counted_by_axes_kind_and_direction():
    graph = program(("tp",)).graph
    each = 4 * ROWS * LENGTH * CONFIG.hidden_size
    count = 2 * LAYERS + 1
    assert traffic(graph)[("tp",), "psum", True] == (count, count * each)


def test_passes_take_two_seconds_for_32_layers_on_16_devices():
    config = ModelConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=32,
        num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=16,
    )  # fmt: skip
    layout = Layout({"dp": 4, "cp": 2, "tp": 2}, sp=True, fsdp=True)
    params, batch = arguments(4, config)
    with named_values(layout.names()):
        lowered = jit(lambda p, b: mean_gradient(p, b, config, layout=layout)).lower(params, batch)
    specs = [s.spec(w.ndim) for s, w in zip(tree.leaves(layout.specs(config)),
                                            tree.leaves(params), strict=True)]  # fmt: skip
    ids = [layout.batch(3).spec(3)] * 2
    fixed = [whole(v.aval.ndim) for v in lowered.graph.ins[: -len(specs) - 2]]
    start = time.process_time()
    done = shard(lowered.graph, mesh_of(layout, True), [*fixed, *specs, *ids], [whole(0), *specs],
                 Options("ring"))  # fmt: skip
    arranged(done)
    assert time.process_time() - start <= 4.0  # 2 s on a machine that does nothing else


@pytest.mark.parametrize("cuts", [{}, {"zero1": True}, {"fsdp": True, "sp": True}], ids=str)
def test_a_whole_train_step_equals_that_of_one_device(cuts):
    """Weights and moments after AdamW, the norm of the gradient, and the loss."""
    tiny = reference.Shapes(V=32, H=16, NH=4, NKV=2, L=1, I=32, S=8, B=4)
    step, given = reference.train_step(tiny, {"dp": 2, "tp": 2}, **cuts)
    lowered = step.lower(*given)
    constants = [np.asarray(c) for c in lowered._traced.constants]
    args = [*constants, *tree.leaves(given)]
    done = arranged(lowered.sharded())
    found = evaluate_spmd(done, *args, wide=True)
    assert worst(found, evaluate(lowered.graph, *args, wide=True)) <= 1e-10
    moments = [s for s in done.in_specs if s.axes == {"dp", "tp"}]
    assert bool(moments) == bool(cuts)
