"""Named axes: collectives under vmap against numpy, on the oracle and on the device.

Invariant: member i of an axis sees row i; what a collective tells all members does not depend on
which of them asks.
"""

from __future__ import annotations

import numpy as np
import pytest

from ir import PRIMITIVES, Aval, GraphError, build, check, emit, evaluate, f32, i32
from ir.passes.batch import batch_graph
from ir.passes.grad import vjp_graph
from tracer import grad, graph_of, jit, jvp, lax, vmap
from tracer import numpy as jnp
from tracer.test_util import check_grads

from .arrays import close

RNG = np.random.default_rng(5)
X = RNG.standard_normal((4, 3)).astype(np.float32)
Y = RNG.standard_normal((4, 8)).astype(np.float32)
NAMED = {"axis_name": "i"}

pytestmark = pytest.mark.usefixtures("backend")


def everyone(row):
    return np.broadcast_to(row, (4, *np.shape(row)))


def number(name):
    return lax.axis_index(name).astype("float32")


CASES = {
    "psum": (lambda v: lax.psum(v, "i"), X, everyone(X.sum(0))),
    "pmean": (lambda v: lax.pmean(v, "i"), X, everyone(X.mean(0))),
    "pmax": (lambda v: lax.pmax(v, "i"), X, everyone(X.max(0))),
    "pmin": (lambda v: lax.pmin(v, "i"), X, everyone(X.min(0))),
    "psum of what is shared": (lambda v: lax.psum(jnp.ones(2), "i") * v[0], X, 4 * X[:, [0, 0]]),
    "psum of a number": (lambda v: v * lax.psum(1, "i"), X, 4 * X),
    "psum of bools": (lambda v: lax.psum(v > 0, "i"), X, everyone((X > 0).sum(0))),
    "psum along an axis too": (lambda v: lax.psum(v, ("i", 0)), X, everyone(X.sum())),
    "all_gather": (lambda v: lax.all_gather(v, "i"), X, everyone(X)),
    "all_gather at 1": (lambda v: lax.all_gather(v, "i", axis=-1), X, everyone(X.T)),
    "all_gather tiled": (lambda v: lax.all_gather(v, "i", tiled=True), X, everyone(X.ravel())),
    "psum_scatter": (
        lambda v: lax.psum_scatter(v.reshape(2, 4), "i", scatter_dimension=1),
        Y,
        Y.sum(0).reshape(2, 4).T,
    ),
    "psum_scatter tiled": (
        lambda v: lax.psum_scatter(v, "i", tiled=True),
        Y,
        Y.sum(0).reshape(4, 2),
    ),
    "ppermute": (
        lambda v: lax.ppermute(v, "i", [(0, 1), (1, 2), (3, 0)]),
        X,
        np.stack([X[3], X[0], X[1], 0 * X[0]]),
    ),
    "pshuffle": (lambda v: lax.pshuffle(v, "i", [2, 0, 3, 1]), X, X[[2, 0, 3, 1]]),
    "all_to_all": (
        lambda v: lax.all_to_all(v.reshape(4, 2), "i", 0, 1),
        Y,
        Y.reshape(4, 4, 2).transpose(1, 2, 0),
    ),
    "all_to_all tiled": (
        lambda v: lax.all_to_all(v.reshape(4, 2), "i", 0, 1, tiled=True),
        Y,
        Y.reshape(4, 4, 1, 2).transpose(1, 2, 0, 3).reshape(4, 1, 8),
    ),
    "pswapaxes": (
        lambda v: lax.pswapaxes(v.reshape(4, 2), "i", 0),
        Y,
        Y.reshape(4, 4, 2).swapaxes(0, 1),
    ),
    "axis_index": (lambda v: number("i") + 0 * v, X, np.arange(4)[:, None] + 0 * X),
}


@pytest.mark.parametrize("name", CASES)
def test_members_get_what_numpy_says(name):
    fun, x, want = CASES[name]
    close(vmap(fun, **NAMED)(x), want)
    close(jit(vmap(jit(fun), **NAMED))(x), want)


@pytest.mark.parametrize("name", [n for n in CASES if n != "psum of bools"])
def test_gradients_through_a_mapped_collective(name, backend):
    fun, x, _ = CASES[name]
    if backend == "oracle":
        check_grads(lambda v: vmap(fun, **NAMED)(v), (x,), 2)


def test_cotangents_inside_go_to_all_members():
    """As in JAX: a psum's cotangent is a psum, so each member sees the losses of all."""
    weights = jnp.arange(3.0)
    inside = vmap(grad(lambda v: (lax.psum(v, "i") * weights).sum()), **NAMED)(X)
    close(inside, everyone(4 * np.arange(3)))
    close(vmap(grad(lambda v: lax.pmean(v, "i").sum()), **NAMED)(X), np.ones((4, 3)))
    close(vmap(grad(lambda v: (lax.all_gather(v, "i") ** 2).sum()), **NAMED)(X), 8 * X)
    sent = vmap(grad(lambda v: (lax.ppermute(v, "i", [(0, 1)]) ** 2).sum()), **NAMED)(X)
    close(sent, np.stack([2 * X[0], *np.zeros((3, 3))]))
    pushed = vmap(lambda v: jvp(lambda u: lax.psum(u * u, "i"), (v,), (v,))[1], **NAMED)(X)
    close(pushed, everyone(2 * (X * X).sum(0)))


def test_several_names():
    x = RNG.standard_normal((2, 3, 4)).astype(np.float32)

    def both(f):
        return vmap(vmap(f, axis_name="j"), **NAMED)(x)

    close(both(lambda v: lax.psum(v, ("i", "j"))), np.broadcast_to(x.sum((0, 1)), x.shape))
    close(both(lambda v: lax.psum(v, "i")), np.broadcast_to(x.sum(0), x.shape))
    close(both(lambda v: number(("i", "j")) + 0 * v)[:, :, 0], np.arange(6).reshape(2, 3))
    assert both(lambda v: v * lax.axis_size(("i", "j"))).shape == x.shape
    rows = x.reshape(6, 4)
    for names, order in ((("i", "j"), rows), (("j", "i"), x.swapaxes(0, 1).reshape(6, 4))):
        found = both(lambda v, n=names: lax.all_gather(v, n))
        close(found, np.broadcast_to(order, (2, 3, 6, 4)))
    shift = [(i, (i + 1) % 6) for i in range(6)]
    moved = both(lambda v: lax.ppermute(v, ("i", "j"), shift))
    close(moved, np.roll(rows, 1, 0).reshape(2, 3, 4))
    wide = RNG.standard_normal((2, 3, 6)).astype(np.float32)
    scatter = vmap(vmap(lambda v: lax.psum_scatter(v, ("i", "j")), axis_name="j"), **NAMED)
    close(scatter(wide), wide.sum((0, 1)).reshape(2, 3))
    swap = vmap(vmap(lambda v: lax.all_to_all(v, ("i", "j"), 0, 0), axis_name="j"), **NAMED)
    close(swap(wide), wide.reshape(6, 6).T.reshape(2, 3, 6))
    inner = vmap(lambda v: vmap(lambda u: lax.psum(u, "i"), **NAMED)(v), **NAMED)
    close(inner(X), np.broadcast_to(X.sum(1, keepdims=True), X.shape))  # the inner name hides


def test_inside_control_flow_and_calls():
    def step(c, u):
        c = lax.cond(u > 10, lambda c: c, lambda c: lax.psum(c + u, "i"), c)
        return c, number("i") * c

    last, _ = vmap(lambda v: lax.scan(step, 0.0, v), **NAMED)(X)
    want = np.zeros(4, np.float32)
    for t in range(3):
        want = everyone((want + X[:, t]).sum())
    close(last, want, 1e-4)
    loop = vmap(
        lambda v: lax.while_loop(lambda c: c.sum() < 9, lambda c: lax.psum(c, "i") + 1, v * 0),
        **NAMED,
    )
    close(loop(X), np.full((4, 3), 5.0))  # 0 -> 1 -> 5


def test_several_sums_at_once_are_several_sums():
    over = {"axes": ("i",), "sizes": (4,)}
    shapes = Aval((3,), f32), Aval((8,), f32)
    graph = build(lambda x, y: list(emit(PRIMITIVES["psums"], x, y, **over)), *shapes)
    mapped, led = batch_graph(graph, (True, False), 4, "i")
    found = evaluate(mapped, X, Y[0])
    assert led == (False, False)
    close(found[0], X.sum(0))
    close(found[1], 4 * Y[0])
    with pytest.raises(TypeError, match="one dtype"):
        build(lambda x, y: list(emit(PRIMITIVES["psums"], x, y, **over)),
              Aval((3,), f32), Aval((3,), i32))  # fmt: skip
    (joint,) = [vjp_graph(graph, [0, 1])]
    assert [e.prim.name for e in joint.eqns].count("psum") == 2


def test_a_result_that_all_share_needs_no_axis():
    close(vmap(lambda v: lax.psum(v, "i"), out_axes=None, **NAMED)(X), X.sum(0))
    with pytest.raises(ValueError, match="got axis spec None but output was batched"):
        vmap(lambda v: lax.ppermute(v, "i", [(0, 0)]), out_axes=None, **NAMED)(X)


def test_nothing_of_a_collective_is_left():
    graph = check(graph_of(vmap(CASES["all_to_all"][0], **NAMED))(Y))
    assert not graph.axis_names
    assert not any(e.prim.kind == "collective" for e in graph.eqns)


def test_unmapped_collectives_stay_and_are_not_evaluated():
    over = {"axes": ("i", "j"), "sizes": (2, 3)}
    graph = build(lambda x: emit(PRIMITIVES["psum"], x, **over), Aval((4,), f32))
    half, led = batch_graph(graph, (True,), 3, "j")
    assert led == (False,) and half.axis_names == {"i"}
    with pytest.raises(TypeError, match="not mapped"):
        evaluate(half, np.zeros((3, 4), np.float32))
    other, led = batch_graph(graph, (True,), 5)
    assert led == (True,) and other.axis_names == {"i", "j"}
    assert isinstance(check(other), type(graph)) and GraphError


@pytest.mark.parametrize("ask", [lax.psum, lax.pmean, lax.all_gather])
def test_unbound_names(ask):
    with pytest.raises(NameError, match=r"unbound axis name: k[\s\S]*test_collectives"):
        ask(X, "k")
    with pytest.raises(NameError, match="unbound axis name: k"):
        vmap(lambda v: ask(v, "k"), **NAMED)(X)
    vmap(lambda v: v, **NAMED)(X)
    with pytest.raises(NameError):  # bound only while the function is traced
        lax.axis_size("i")


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda v: lax.pshuffle(v, "i", [0, 0, 1, 2]), ValueError, "not represent a permutation"),
        (lambda v: lax.ppermute(v, "i", [(0, 1), (2, 1)]), TypeError, "destinations [1, 1]"),
        (lambda v: lax.psum_scatter(v, "i"), TypeError, "to be equal to 4"),
        (lambda v: lax.all_to_all(v, "i", 3, 0), ValueError, "axis 3 is out of bounds"),
        (lambda v: lax.all_gather(v, 0), TypeError, "takes axis names"),
        (lambda v: lax.all_gather(v, "i", to="all"), ValueError, "'reduced', not 'all'"),
    ],
)
def test_misuse(call, kind, message):
    with pytest.raises(kind) as error:
        vmap(call, **NAMED)(X)
    assert message in str(error.value) and "test_collectives.py" in str(error.value)
