"""Meshes, specs and shardings as users of JAX know them; all of it on numpy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import tracer as t
from ir import evaluate_spmd
from tracer import lax
from tracer import numpy as jnp
from tracer.sharding import Mesh, NamedSharding, P, ShardingTypeError, named_values


@pytest.fixture(autouse=True)
def eight():
    t.use_backend("oracle")
    with t.settings.virtual(8):
        yield
    t.use_backend(None)


def mesh(*sizes, names="ab"):
    return t.make_mesh(sizes, tuple(names))


X = np.arange(32, dtype=np.float32).reshape(8, 4)


def test_a_mesh_has_names_sizes_and_devices():
    m = t.make_mesh((2, 1, 2, 2), ("dp", "pp", "cp", "tp"))
    assert dict(m.shape) == {"dp": 2, "pp": 1, "cp": 2, "tp": 2}
    assert (m.size, m.axis_names, m.devices.shape) == (8, ("dp", "pp", "cp", "tp"), (2, 1, 2, 2))
    assert str(mesh(2, 4)) == "Mesh('a': 2, 'b': 4, axis_types=(Explicit, Explicit))"
    assert mesh(2, 4) == mesh(2, 4) != mesh(4, 2)


def test_specs_are_tuples_that_print_and_pickle():
    spec = P("a", ("b", "c"), None, unreduced={"d"})
    assert repr(spec) == "P('a', ('b', 'c'), None, unreduced={'d'})"
    assert repr(P("a")) == "P('a',)"
    assert P("a") + P("b") == P("a", "b") and len(P("a", None)) == 2
    assert pickle.loads(pickle.dumps(spec)) == spec != P("a", ("b", "c"), None)


BAD = {
    "unknown": (lambda m: NamedSharding(m, P("x")), "Resource axis: x of P('x',) is not found"),
    "twice": (lambda m: NamedSharding(m, P("a", "a")), "has duplicate entries for `a`"),
    "devices": (lambda m: mesh(8, 2), "Number of devices 8 must be >= the product of mesh_shape"),
    "names": (lambda m: Mesh(t.devices()[:1], ("x", "y")), "devices.ndim == 1"),
    "size": (
        lambda m: t.jit(lambda x: x, in_shardings=NamedSharding(m, P("a")))(X[:7]),
        "array axis 0 is partitioned 2 times, but the dimension size is 7",
    ),
    "rank": (
        lambda m: t.device_put(X[0], NamedSharding(m, P("a", "b"))),
        "only valid for values of rank at least 2",
    ),
    "prefix": (
        lambda m: t.jit(lambda x, y: x, in_shardings=(NamedSharding(m, P("a")),))(X, X),
        "must be a tree prefix",
    ),
    "long": (
        lambda m: t.shard_map(lambda x: x, mesh=m, in_specs=P("a", "b"), out_specs=P("a"))(X[0]),
        "too long to be compatible",
    ),
    "axis": (
        lambda m: t.shard_map(lambda x: x, mesh=m, in_specs=P("q"), out_specs=P())(X),
        "must refer to an axis marked as manual",
    ),
    "parts": (
        lambda m: t.shard_map(lambda x: x, mesh=m, in_specs=P("a"), out_specs=P("a"))(X[:7]),
        "not evenly divisible",
    ),
    "differ": (
        lambda m: t.shard_map(lambda x: x, mesh=m, in_specs=P("a"), out_specs=P())(X),
        "require replication which can't be statically inferred",
    ),
    "no mesh": (
        lambda m: t.shard_map(lambda x: x, in_specs=P("a"), out_specs=P())(X),
        "The context mesh cannot be empty",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_told_as_jax_tells_it(name):
    call, says = BAD[name]
    with pytest.raises(ValueError) as caught:
        call(mesh(2, 4))
    assert says in str(caught.value)


def test_a_bare_spec_needs_a_mesh_in_context():
    with pytest.raises(RuntimeError, match="requires a non-empty mesh in context"):
        lax.with_sharding_constraint(jnp.asarray(X), P("a"))
    with t.set_mesh(mesh(2, 4)):
        assert np.array_equal(lax.with_sharding_constraint(jnp.asarray(X), P("a", "b")), X)
        assert t.sharding.get_mesh() == mesh(2, 4)
    assert t.sharding.get_mesh() is None


# --- shard_map ------------------------------------------------------------------------------------

MAPPED = {
    "psum": (lambda v: lax.psum(v.sum(0), "a"), P("a", "b"), P("b"), lambda x: x.sum(0)),
    "gather": (
        lambda v: lax.all_gather(v, "b", axis=1, tiled=True), P("a", "b"), P("a"), lambda x: x),
    "index": (
        lambda v: v[:1] * 0 + lax.axis_index("a"), P(), P("a"),
        lambda x: np.array([[0] * 4, [1] * 4])),
    "scatter": (
        lambda v: lax.psum_scatter(v, "b", scatter_dimension=1, tiled=True), P("a"), P("a", "b"),
        lambda x: 4 * x),
    "two axes": (lambda v: v * 2, P(("a", "b")), P(("a", "b")), lambda x: 2 * x),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPPED)
def test_a_mapped_function_does_what_its_devices_do_together(name):
    fun, ins, outs, wanted = MAPPED[name]
    m = mesh(2, 4)
    mapped = t.shard_map(fun, mesh=m, in_specs=ins, out_specs=outs)
    assert np.array_equal(mapped(jnp.asarray(X)), wanted(X))
    sharded = t.jit(mapped, in_shardings=NamedSharding(m, ins)).lower(X).sharded()
    assert np.array_equal(evaluate_spmd(sharded, X)[0], wanted(X))


def test_gradients_go_through_a_mapped_function():
    mapped = t.shard_map(
        lambda v, w: lax.psum(v @ w, "b"), mesh=mesh(2, 4), in_specs=(P("a", "b"), P("b")),
        out_specs=P("a"),
    )  # fmt: skip
    w = jnp.asarray(X[:4, :3])

    def through(f):
        return t.grad(lambda x, w: jnp.sum(jnp.sin(f(x, w))), (0, 1))(jnp.asarray(X), w)

    for found, wanted in zip(through(mapped), through(lambda x, w: x @ w), strict=True):
        assert np.allclose(found, wanted, rtol=1e-5, atol=1e-4)


# --- annotations and the pass ---------------------------------------------------------------------


def test_jit_with_shardings_gives_the_program_of_one_device():
    m = mesh(2, 4)
    f = t.jit(
        lambda x, w: jnp.tanh(x @ w),
        in_shardings=(NamedSharding(m, P("a")), NamedSharding(m, P(None, "b"))),
        out_shardings=NamedSharding(m, P("a", "b")),
    )
    w = np.ones((4, 8), np.float32)
    text = str(f.lower(X, w).sharded().graph)
    assert "dot" in text and "c: f32[4@a, 2@b] = dot" in text
    assert np.allclose(f(X, w), np.tanh(X @ w))


def test_ambiguity_names_both_operands_the_line_and_the_cure():
    m = mesh(2, 4)
    row, column = NamedSharding(m, P("a")), NamedSharding(m, P(None, "a"))
    lowered = t.jit(lambda x, w: x @ w, in_shardings=(row, column)).lower(X, X.T)
    with pytest.raises(ShardingTypeError) as caught:
        lowered.sharded()
    told = str(caught.value)
    for part in ("f32[8@a, 4]", "f32[4, 8@a]", "with_sharding_constraint", "x @ w", __file__):
        assert part in told


def test_cotangents_lie_where_their_values_do():
    """Named values: a sum scattered on the way out is gathered on the way back."""
    m = mesh(2, 2)
    whole, cut = P(None, None), P("b", None)
    rules = {"normed": (cut, whole), "added": (P(None, None, unreduced={"b"}), cut)}

    def loss(w, v, x):
        y = t.checkpoint_name(jnp.tanh(x), "normed")
        z = t.checkpoint_name((y @ w) @ v, "added")
        return jnp.sum(z * z)

    w, v = X[:4] / 32, X[:4].T / 32
    places = tuple(NamedSharding(m, s) for s in (P(None, "b"), P("b"), P("b")))
    with t.set_mesh(m), named_values(rules):
        step = t.jit(t.grad(loss, (0, 1, 2)), in_shardings=places, out_shardings=places)
        sharded = step.lower(w, v, X).sharded()
    text = str(sharded.graph)
    assert (text.count("all_gather"), text.count("reduce_scatter")) == (2, 2)
    wanted = t.grad(loss, (0, 1, 2))(*map(jnp.asarray, (w, v, X)))
    for a, b in zip(evaluate_spmd(sharded, w, v, X, wide=True), wanted, strict=True):
        assert np.allclose(a, b, rtol=1e-5, atol=1e-5)
