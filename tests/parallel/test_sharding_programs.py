"""Programs other than the model, cut on a mesh: calls, loops, branches, and what does not fit."""

from __future__ import annotations

import numpy as np
import pytest

import tracer as t
from ir import MeshShape, Spec, check, evaluate, evaluate_spmd
from ir.passes.shard import shard
from ir.sharding import whole
from tracer import lax
from tracer import numpy as jnp

MESH = MeshShape(("dp", "tp"), (2, 2))
RNG = np.random.default_rng(0)
X, W, V = (RNG.standard_normal(s).astype(np.float32) for s in ((4, 6), (6, 8), (8, 6)))
PLACES = (Spec((("dp",), ())), Spec(((), ("tp",))), Spec((("tp",), ())))


@t.custom_vjp
def squashed(h):
    return jnp.tanh(h)


squashed.defvjp(lambda h: (jnp.tanh(h), h), lambda h, ct: (ct * (1 - jnp.tanh(h) ** 2),))


@t.custom_jvp
def bent(h):
    return jnp.sin(h)


bent.defjvp(lambda primals, tangents: (bent(*primals), jnp.cos(primals[0]) * tangents[0]))


def block(x, w, v):
    return x + jnp.tanh(x @ w) @ v


PROGRAMS = {
    "remat": lambda x, w, v: t.checkpoint(block)(x, w, v),
    "remat that keeps products": lambda x, w, v: t.checkpoint(
        block, policy=t.checkpoint_policies.dots_saveable)(x, w, v),
    "custom_vjp": lambda x, w, v: squashed(x @ w) @ v,
    "custom_jvp": lambda x, w, v: bent(x @ w) @ v,
    "scan": lambda x, w, v: lax.scan(lambda c, _: (block(c, w, v), None), x, None, length=3)[0],
    "scan of remat": lambda x, w, v: lax.scan(
        t.checkpoint(lambda c, _: (block(c, w, v), c.sum())), x, None, length=3)[0],
    "scan that stacks": lambda x, w, v: lax.scan(
        lambda c, _: (c, jnp.sin(c @ w) @ v), x, None, length=2)[1].sum(0),
    "cond": lambda x, w, v: lax.cond(
        w[0, 0] > 0, lambda: block(x, w, v), lambda: x * 2),
    "cond of sums": lambda x, w, v: lax.cond(
        w[0, 0] > 0, lambda: (x @ w) @ v, lambda: x * 2),
    "fori_loop": lambda x, w, v: lax.fori_loop(0, 2, lambda i, c: block(c, w, v), x),
    "grad of grad": lambda x, w, v: t.grad(lambda a: jnp.sum(block(a, w, v) ** 3))(x),
    "reduced": lambda x, w, v: jnp.max(x @ w, axis=1, keepdims=True) * v[0],
    "argmax": lambda x, w, v: jnp.argmax(x @ w, axis=1)[:, None] * v[0],
    "sorted": lambda x, w, v: jnp.sort(x @ w, axis=1) @ v,
    "softmax over a cut axis": lambda x, w, v: t.nn.softmax(x @ w) @ v,
    "norm over a cut axis": lambda x, w, v: t.nn.rms_norm(x @ w, v[:, 0]) @ v,
    "mask": lambda x, w, v: jnp.tril(x @ w) @ v,
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_and_its_gradients_equal_those_of_one_device(name):
    def loss(x, w, v):
        return jnp.sum(PROGRAMS[name](x, w, v) ** 2)

    graph = t.jit(t.value_and_grad(loss, (0, 1, 2))).lower(X, W, V).graph
    constants = len(graph.ins) - 3
    assert not constants
    done = shard(graph, MESH, PLACES, [whole(0), *PLACES])
    check(done.graph)
    wanted = evaluate(graph, X, W, V, wide=True)
    for f, e in zip(evaluate_spmd(done, X, W, V, wide=True), wanted, strict=True):
        assert np.allclose(f, e, rtol=1e-12, atol=1e-12)


def test_while_loops_stop_together():
    def count(x):
        return lax.while_loop(lambda c: c.sum() < 50, lambda c: c * 2, x)

    graph = t.jit(count).lower(np.ones((4, 2), np.float32)).graph
    done = shard(graph, MESH, [PLACES[0]])
    (found,) = evaluate_spmd(done, np.ones((4, 2), np.float32))
    assert np.array_equal(found, np.full((4, 2), 8.0))


def test_everything_that_is_wrong_with_the_specs_is_told_at_once():
    graph = t.jit(lambda x, w: x @ w).lower(X[:3], W).graph
    bad = Spec((("dp", "ep"), ())), Spec((("tp",), ("tp",)))
    with pytest.raises(ValueError) as caught:
        shard(graph, MESH, bad, [Spec((("dp",), ()))])
    told = str(caught.value)
    for part in ("the mesh dp=2,tp=2", "x: ", "names the axis 'ep'", "uses the axis 'tp' 2 times",
                 "output 0: axis 0 of 3 is cut by dp into 2", "2 or 4 would do"):  # fmt: skip
        assert part in told


def test_random_bits_are_those_of_one_device():
    def draw(key):
        return t.random.bits(t.random.wrap_key_data(key), (4, 6, 8))

    key = np.asarray(t.random.key_data(t.random.key(5)))
    graph = t.jit(draw).lower(key).graph
    spec = Spec((("dp",), (), ("tp",)))
    done = shard(graph, MESH, [whole(1)], [spec])
    assert not [e for e in done.graph.eqns if e.prim.name == "dynamic_slice"]
    assert {v.aval.shape for v in done.graph.outs} == {(2, 6, 4)}
    assert np.array_equal(evaluate_spmd(done, key)[0], evaluate(graph, key)[0])
