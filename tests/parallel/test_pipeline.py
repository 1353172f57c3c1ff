"""Pipelines against one device: the same loss and the same gradients, whatever the schedule."""

from __future__ import annotations

import numpy as np
import pytest

import runtime
from ir import evaluate, f32
from ir.graph import Aval
from ir.passes.grad import grad_graph
from ir.passes.stages import StageError, assign, cut
from ir.sharding import MeshShape, whole
from picotron import model, reference
from picotron.schedules import Clocks, order, schedule, simulate, split_layers, stages_of
from runtime.mesh import VirtualTeam
from runtime.pipeline import Pipeline
from runtime.shards import Layout
from tracer import debug_nans, graph_of, nn, tree, value_and_grad
from tracer import numpy as jnp
from tracer.api import closed
from tracer.pipelining import Pipelined, stage
from tracer.sharding import P

ONE = MeshShape((), ())
MICROS = 4
LAYERS = 4
SHAPES = reference.Shapes(V=37, H=16, NH=2, NKV=1, L=LAYERS, I=24, S=8, B=2)


def joint(config, params, batch, stages):
    """(joint graph, stage of each weight, constants): a micro-batch's loss and gradients."""
    traced = closed(lambda p, b: model.loss(p, b, config))(params, batch)
    names = tree.leaves(model.unflatten({name: name for name in model.flatten(params)}))
    first = len(traced.constants)
    ranges = split_layers(config.num_hidden_layers, stages)
    owners = [home(name, ranges) for name in names]
    tags = [*(None for _ in range(first)), *owners, *(None for _ in batch)]
    graph = grad_graph(assign(traced.graph, tags), range(first, first + len(names)))
    return graph, owners, [np.asarray(c) for c in traced.constants]


def home(name, ranges):
    if "layers." in name:
        layer = int(name.split("layers.")[1].split(".")[0])
        return next(s for s, r in enumerate(ranges) if layer in r)
    return 0 if "embed" in name else len(ranges) - 1


def setup(stages, tied=False):
    import dataclasses

    config = dataclasses.replace(SHAPES.model, tie_word_embeddings=tied)
    params = model.init(config, 1)
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, SHAPES.V, (MICROS, SHAPES.B, SHAPES.S + 1)).astype(np.int32)
    batches = [{"inputs": t[:, :-1], "targets": t[:, 1:]} for t in tokens]
    graph, owners, constants = joint(config, params, batches[0], stages)
    weights = [*constants, *tree.leaves(params)]
    return graph, owners, weights, [tree.leaves(b) for b in batches]


def pipeline(graph, owners, name):
    device = runtime.default_device()
    parts = cut(graph, 1, owners, split=name == "zb-h1")
    teams = [VirtualTeam(ONE, device) for _ in range(parts.count)]
    ins = [Layout(ONE, a, whole(a.ndim)) for a in graph.in_avals]
    outs = [Layout(ONE, a, whole(a.ndim)) for a in graph.out_avals]
    each = range(len(graph.ins) - 2, len(graph.ins))
    return Pipeline(graph, parts, teams, (ins, outs), each)


def run(made, weights, batches, actions):
    device, first = made.teams[0].device, made.ins
    team = made.teams[0]
    held = [
        runtime.Shards(first[n], {0: device.upload(np.asarray(w))}, team)
        for n, w in enumerate(weights)
    ]
    columns = [list(column) for column in zip(*batches, strict=True)]
    sums = made.run([*held, *columns], actions)
    return [s.numpy() for s in sums]


def expected(graph, weights, batches):
    each = [evaluate(graph, *weights, *b) for b in batches]
    return [sum(np.asarray(x, np.float64) for x in column) for column in zip(*each, strict=True)]


@pytest.mark.parametrize("name", ["afab", "1f1b", "interleaved", "zb-h1"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_equals_one_device(name, tied):
    ranks = 2
    stages = stages_of(name, ranks)
    graph, owners, weights, batches = setup(stages, tied)
    made = pipeline(graph, owners, name)
    actions = [a for _, a in order(schedule(name, ranks, MICROS))]
    got = run(made, weights, batches, actions)
    for x, want in zip(got, expected(graph, weights, batches), strict=True):
        scale = max(1e-3, np.abs(want).max())
        np.testing.assert_allclose(x / scale, want / scale, atol=1e-5)
    forward, backward = made.record.handed_on["F"], made.record.handed_on["B"]
    boundary = SHAPES.B * SHAPES.S * SHAPES.H * 4
    assert forward == [MICROS * (stages - 1), MICROS * (stages - 1) * boundary]
    weight = SHAPES.V * SHAPES.H * 4 if tied else 0
    assert backward[1] == MICROS * ((stages - 1) * boundary + weight)


def test_peak_live_activations():
    graph, owners, weights, batches = setup(4)
    made = pipeline(graph, owners, "1f1b")
    many = batches + batches
    sums = run(made, weights, many, [a for _, a in order(schedule("1f1b", 4, 8))])
    assert made.record.live == [4, 3, 2, 1]
    assert np.isfinite(sums[0])
    run(made, weights, many, [a for _, a in order(schedule("afab", 4, 8))])
    assert made.record.live == [8, 8, 8, 8]
    split = pipeline(graph, owners, "zb-h1")
    plan = schedule("zb-h1", 4, 8)
    run(split, weights, many, [a for _, a in order(plan)])
    assert tuple(split.record.live) == simulate(plan).live == (4, 4, 4, 4)


def chain(stages):
    """A loss over as many layers as there are stages, a weight of each, and a micro-batch."""

    def loss(params, batch):
        h = batch["x"]
        for s in range(stages):
            h = nn.silu(h @ params[f"w{s}"])
        return jnp.sum(h * h)

    rng = np.random.default_rng(2)
    weights = {f"w{s}": rng.standard_normal((4, 4)).astype(np.float32) for s in range(stages)}
    return loss, weights, {"x": rng.standard_normal((2, 4)).astype(np.float32)}


def counted(made, weights, batch, plan, stages):
    """The timeline of a step, by what its ranks waited for."""
    clocks = Clocks(len(plan), stages)
    micros = 1 + max(a.micro for a in plan[0])
    made(weights, [batch] * micros, [a for _, a in order(plan)], clocks)
    return clocks.timeline()


@pytest.mark.parametrize("name", ["1f1b", "afab", "interleaved", "zb-h1"])
def test_bubbles_counted_in_a_run(name):
    """Of 4 ranks and 8 micro-batches: (p-1)/m of the busy time, half of it with two stages on each
    rank (Narayanan et al. 2021), a third with ZB-H1 (Qi et al. 2023); as the simulator says, and
    each action when it says so. Activations: as Megatron-LM's for interleaved stages."""
    ranks, micros, stages = 4, 8, stages_of(name, 4)
    loss, weights, batch = chain(stages)
    specs = (P(), {"x": P()}, P())
    made = Pipelined(loss, (weights, batch), range(stages), ONE, specs, name == "zb-h1")
    plan = schedule(name, ranks, micros)
    found = counted(made, weights, batch, plan, stages)
    part = {"interleaved": 1 / 2, "zb-h1": 1 / 3}.get(name, 1)
    assert found.bubble == pytest.approx((ranks - 1) / micros * part)
    assert [found.idle(r) for r in range(ranks)] == [3 * (ranks - 1) * part] * ranks
    # Nobody wants gradients of the data, so of a single layer the first stage has nothing but those
    # of its weight: where passes are split, it is they that wait for the second stage.
    first = name == "zb-h1"
    assert found.spans[first:] == simulate(plan).spans[first:] and found.live == simulate(plan).live
    if name == "interleaved":
        assert found.live == tuple(2 * (ranks - r - 1) + ranks + 1 for r in range(ranks))
        assert sum(made.runner.record.live) >= sum(found.live)  # each stage at its own worst
    else:
        assert tuple(made.runner.record.live) == found.live


def test_a_count_knows_what_was_not_waited_for():
    """Stages whose passes back read nothing of one another: a rank of the first goes on where the
    simulator, which takes every pipeline for a chain, has it wait."""

    def loss(params, batch):
        mine = jnp.sum(nn.silu(batch["x"] @ params["w0"]))
        return mine + jnp.sum(nn.silu(batch["x"] @ params["w1"]))

    _, weights, batch = chain(2)
    made = Pipelined(loss, (weights, batch), range(2), ONE, (P(), {"x": P()}, P()))
    plan = schedule("1f1b", 2, 2)
    found = counted(made, weights, batch, plan, 2)
    assert (found.end, simulate(plan).end) == (7.0, 9.0)
    starts = [(str(action), start) for action, start, _ in found.spans[0]]
    assert starts == [("F0", 0.0), ("F1", 1.0), ("B0", 2.0), ("B1", 4.0)]


@pytest.mark.parametrize("mesh", [ONE, MeshShape(("dp",), (2,))], ids=["one", "dp"])
def test_the_operation_at_fault_has_a_stage_and_a_micro_batch(mesh):
    """Whatever the mesh of a stage and the schedule; a good step raises nothing."""

    def loss(params, batch):
        h = nn.silu(batch["x"] @ params["w0"])
        h = jnp.log(jnp.abs(h @ params["w1"]) + batch["x"])
        return jnp.sum(nn.silu(h @ params["w2"]))

    _, weights, batch = chain(3)
    parts = [{"x": np.abs(batch["x"])} for _ in range(4)]
    specs = P(), {"x": P(*mesh.names)}, P()
    made = Pipelined(loss, (weights, batch), range(3), mesh, specs, split=True)
    actions = [a for _, a in order(schedule("zb-h1", 3, 4))]
    with debug_nans(True):
        made(weights, parts, actions)
        parts[2]["x"] = np.full_like(batch["x"], -1e3)
        with pytest.raises(FloatingPointError) as error:
            made(weights, parts, actions)
    first, _, where, *_, line = str(error.value).splitlines()
    assert first == "invalid value (nan) encountered in log"
    assert where == "in stage 1, micro-batch 2 (counted from 0)"
    assert line.endswith('h = jnp.log(jnp.abs(h @ params["w1"]) + batch["x"])')


def test_stages_that_a_function_names():
    """`with stage(k)` says where an equation runs, whatever its weights say: here the norm of the
    first stage's result, which has none."""

    def loss(params, batch):
        h = nn.silu(batch["x"] @ params["a"])
        with stage(1):
            h = h / (1.0 + jnp.sum(h * h, axis=-1, keepdims=True))
        return jnp.sum((h @ params["b"]) ** 2)

    rng = np.random.default_rng(3)
    a, b, x = (rng.standard_normal(s).astype(np.float32) for s in ((4, 6), (6, 5), (2, 3, 4)))
    params, parts = {"a": a, "b": b}, [{"x": part} for part in x]
    made = Pipelined(loss, (params, parts[0]), [0, 1], ONE, (P(), {"x": P()}, P()))
    names = [[e.prim.name for e in made.stages.parts["F", s].graph.eqns] for s in (0, 1)]
    assert "div" not in names[0] and "div" in names[1]
    actions = [a for _, a in order(schedule("1f1b", 2, 2))]
    total, sums = made(params, parts, actions)
    each = [value_and_grad(loss)(params, part) for part in parts]
    np.testing.assert_allclose(float(total), sum(float(value) for value, _ in each), rtol=1e-5)
    for name in params:
        want = sum(np.asarray(grads[name]) for _, grads in each)
        np.testing.assert_allclose(np.asarray(sums[name]), want, rtol=1e-4, atol=1e-5)


def test_what_may_pass_between_stages():
    def skips(a, b, c, x):
        h = nn.silu(x @ a)
        g = nn.silu(h @ b)
        return jnp.sum(g @ c + h)

    w = Aval((4, 4), f32)
    zeros = [np.zeros(w.shape, np.float32)] * 4
    graph = assign(graph_of(skips)(*zeros), [0, 1, 2, None])
    with pytest.raises(StageError, match=r"stage 2 reads a value of type f32.* of stage 0"):
        cut(grad_graph(graph, range(3)), 1, [0, 1, 2])


def test_parts_hold_every_equation_once():
    graph, owners, *_ = setup(2)
    parts = cut(graph, 1, owners).parts
    both = cut(graph, 1, owners, split=True).parts
    assert set(both) == {(k, s) for k in "FIW" for s in range(2)}
    counted = [e for e in graph.eqns if any(True for _ in e.ins)]
    assert sum(len(p.graph.eqns) for p in parts.values()) >= len(counted)
    for s in range(2):
        results = both["I", s].results + both["W", s].results
        assert sorted(results) == sorted(parts["B", s].results)
        assert both["I", 0].outs
