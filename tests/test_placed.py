"""Arrays on a mesh as users of JAX make, use and look at them."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import tracer as t
from tracer import debug, lax
from tracer import numpy as jnp
from tracer.backend import cached_programs
from tracer.sharding import NamedSharding, P, ShardingTypeError, SingleDeviceSharding

X = np.arange(32, dtype=np.float32).reshape(8, 4) / 8
W = np.cos(np.arange(24, dtype=np.float32)).reshape(4, 6)


@pytest.fixture(params=["oracle", pytest.param(None, marks=pytest.mark.device)], autouse=True)
def four(request):
    t.use_backend(request.param)
    with t.settings.virtual(4):
        yield request.param
    t.use_backend(None)


def mesh():
    return t.make_mesh((2, 2), ("a", "b"))


def on(*axes):
    return NamedSharding(mesh(), P(*axes))


def test_an_array_is_put_on_a_mesh_and_looked_at():
    x = t.device_put(X, on("a", "b"))
    assert x.sharding == on("a", "b") and x.devices() == set(t.devices())
    assert not x.is_fully_replicated and x.is_fully_addressable
    shards = x.addressable_shards
    assert [s.device for s in shards] == t.devices()
    assert shards[1].index == (slice(0, 4), slice(2, 4)) and shards[1].data.shape == (4, 2)
    for s in shards:
        assert np.array_equal(s.data, X[s.index])
    assert np.array_equal(x, X)
    rows = t.device_put(X, on(("b", "a")))
    assert [s.index[0].start for s in rows.addressable_shards] == [0, 4, 2, 6]
    same = t.device_put(X, on("a"))
    assert [s.replica_id for s in same.addressable_shards] == [0, 1, 0, 1]
    alone = jnp.asarray(X)
    assert alone.sharding == SingleDeviceSharding(t.devices()[0])
    assert np.array_equal(alone.addressable_shards[0].data, X) and alone.device == t.devices()[0]


def test_jit_runs_on_the_mesh_of_its_shardings(four):
    f = t.jit(lambda x, w: jnp.tanh(x @ w), in_shardings=(on("a", "b"), on("b")),
              out_shardings=on("a"))  # fmt: skip
    y = f(X, W)
    assert y.sharding.spec == P("a", None)
    assert np.allclose(y, np.tanh(X @ W), atol=1e-6)
    assert f.executable.traffic == {"b": {"psum": [1, 4 * 6 * 4]}}
    if four is None:
        kernel = f.executable.program
        assert kernel.slots[kernel.in_slots[0]].nbytes == 4 * 2 * 4  # a device's part


def test_computation_follows_its_data():
    x, w = t.device_put(X, on("a")), t.device_put(W, on(None, "b"))
    f = t.jit(lambda x, w: x @ w)
    y = f(x, w)
    assert y.sharding.spec == P("a", "b") and np.allclose(y, X @ W, atol=1e-5)
    assert f(X, W).sharding == SingleDeviceSharding(t.devices()[0])
    z = t.jit(lambda y: (y * 2, y))(y)
    assert z[0].sharding == y.sharding == z[1].sharding and np.allclose(z[0], 2 * X @ W, atol=1e-5)
    assert np.allclose(y + 1, X @ W + 1, atol=1e-5)  # one operation alone is done on one device


def test_a_repeated_call_finds_its_program_by_where_arguments_lie(monkeypatch):
    f = t.jit(lambda x: x * 2)
    rows, columns = t.device_put(X, on("a", None)), t.device_put(X, on(None, "a"))
    for x in (rows, columns, X, rows, columns, jnp.asarray(X)):
        assert f(x).sharding == getattr(x, "sharding", jnp.asarray(X).sharding)
    assert len(f._entries) == 3
    f(rows), f(rows)
    monkeypatch.setattr(f, "_entry", lambda *a: pytest.fail("the call went the long way"))
    assert f(rows).sharding == rows.sharding


def test_the_mesh_of_the_context_and_constraints():
    def f(x):
        return lax.with_sharding_constraint(x * 2, P("b"))

    with t.set_mesh(mesh()):
        y = t.jit(f)(X)
        z = t.jit(lambda x: x + 1, in_shardings=P("a"))(X)
    assert y.sharding.spec == P("b", None) and z.sharding.spec == P("a", None)
    assert np.array_equal(y, 2 * X) and np.array_equal(z, X + 1)


def test_donated_memory_passes_on():
    x = t.device_put(X, on("a"))
    y = t.jit(lambda x: x + 1, donate_argnums=0)(x)
    assert x.is_deleted() and y.sharding.spec == P("a", None) and np.array_equal(y, X + 1)


@t.custom_vjp
def squashed(h):
    return jnp.tanh(h)


squashed.defvjp(lambda h: (jnp.tanh(h), h), lambda h, ct: (ct * (1 - jnp.tanh(h) ** 2),))
BODIES = {
    "grad": lambda x, w: jnp.tanh(x @ w),
    "remat": lambda x, w: t.checkpoint(lambda x, w: jnp.tanh(x @ w))(x, w),
    "custom_vjp": lambda x, w: squashed(x @ w),
    "scan": lambda x, w: lax.scan(lambda c, _: (jnp.tanh(c @ w @ w.T), None), x, None, length=2)[0],
}


@pytest.mark.parametrize("name", BODIES)
def test_specs_survive(name):
    """The gradient of a weight that lies in columns lies in columns."""

    def loss(x, w):
        return jnp.sum(BODIES[name](x, w) ** 2)

    places = on("a"), on(None, "b")
    step = t.jit(t.value_and_grad(loss, (0, 1)), in_shardings=places, out_shardings=(None, places))
    value, grads = step(X, W)
    wanted = t.jit(t.value_and_grad(loss, (0, 1)))(X, W)
    assert np.allclose(value, wanted[0], rtol=1e-5)
    for got, want, place in zip(grads, wanted[1], places, strict=True):
        assert got.sharding.shard_shape(got.shape) == place.shard_shape(got.shape)
        assert np.allclose(got, want, rtol=1e-4, atol=1e-5)


def test_ambiguity_is_told_with_its_cure_and_the_cure_works():
    row, column = on("a"), on(None, "a")
    f = t.jit(lambda x, w: x @ w, in_shardings=(row, column))
    with pytest.raises(ShardingTypeError) as caught:
        f(X, W)
    for part in ("f32[8@a, 4]", "f32[4, 6@a]", "with_sharding_constraint", "x @ w"):
        assert part in str(caught.value)
    with t.set_mesh(mesh()):
        g = t.jit(lambda x, w: x @ lax.with_sharding_constraint(w, P(None, None)),
                  in_shardings=(row, column))  # fmt: skip
        y = g(X, W)
    assert np.allclose(y, X @ W, atol=1e-5) and y.sharding.spec == P("a", None)


def test_two_meshes_do_not_meet():
    line = NamedSharding(t.make_mesh((4,), ("c",)), P("c"))
    with pytest.raises(ValueError, match="incompatible devices"):
        t.jit(lambda x, y: x + y)(t.device_put(X, on("a")), t.device_put(X, line))


def test_shardings_are_told_once_a_compile():
    told = []
    mesh = t.make_mesh((2, 2), ("a", "b"))
    x = t.device_put(X, NamedSharding(mesh, P("a", "b")))

    @t.jit
    def f(x):
        y = jnp.tanh(x)
        debug.inspect_array_sharding({"y": y, "of": y.T}, callback=told.append)
        return y.sum()

    f(x), f(x)
    lies = NamedSharding(mesh, P("a", "b")), NamedSharding(mesh, P("b", "a"))
    assert told == [lies[1], lies[0]]
    f(X), f(X)  # on one device
    assert [type(s) for s in told[2:]] == [SingleDeviceSharding] * 2
    debug.inspect_array_sharding([x, 1.0], callback=told.append)  # at once
    assert told[4] == lies[0] and isinstance(told[5], SingleDeviceSharding)


def test_shardings_are_told_of_what_holds_graphs():
    told = []
    x = t.device_put(X, NamedSharding(t.make_mesh((2, 2), ("a", "b")), P("a", "b")))

    def ask(x):
        debug.inspect_array_sharding(x, callback=lambda s: told.append(s.spec))
        return jnp.sin(x)

    def scan(x):
        return lax.scan(lambda c, _: (ask(c), None), x, None, length=3)[0]

    def cond(x):
        return lax.cond(x.sum() > 0, ask, lambda x: x, x)

    def loop(x):
        return lax.while_loop(lambda c: c.sum() > 1e3, ask, x)

    by_rows = t.shard_map(ask, mesh=x.sharding.mesh, in_specs=P("a"), out_specs=P("a"))
    for fun in (scan, cond, loop, t.vmap(ask), t.grad(lambda x: ask(x).sum()), by_rows):
        told.clear()
        t.jit(fun)(x)
        assert told == ([P(None, None)] if fun is by_rows else [P("a", "b")]), fun


def test_asking_moves_nothing():
    told, mesh = [], t.make_mesh((4,), ("a",))
    x, w = (t.device_put(v, NamedSharding(mesh, s)) for v, s in ((X, P(None, "a")), (W, P("a"))))

    def product(x, w, ask=False):
        y = x @ w  # a sum over the devices, which the next line carries out
        if ask:
            debug.inspect_array_sharding(y, callback=told.append)
        return jnp.tanh(y)

    asked = t.jit(lambda x, w: product(x, w, True))
    np.testing.assert_array_equal(asked(x, w), t.jit(product)(x, w))
    assert told == [NamedSharding(mesh, P(None, None, unreduced={"a"}))]
    assert asked._last.call.executable is t.jit(product).lower(x, w).compile()._call.executable


def test_a_shard_map_prints_on_every_device(capsys):
    mesh = t.make_mesh((2, 2), ("a", "b"))

    def body(x):
        debug.print("{} {}", lax.axis_index("a"), x.sum())
        return x

    x = t.device_put(X, NamedSharding(mesh, P("a", "b")))
    t.jit(t.shard_map(body, mesh=mesh, in_specs=P("a", "b"), out_specs=P("a", "b")))(x)
    t.effects_barrier()
    parts = [(n, X[4 * n : 4 * n + 4, 2 * m : 2 * m + 2].sum()) for n in (0, 1) for m in (0, 1)]
    assert capsys.readouterr().out.splitlines() == [f"{n} {s}" for n, s in parts]


def test_clear_caches_forgets_the_programs_of_meshes():
    x = t.device_put(X, NamedSharding(t.make_mesh((4,), ("dp",)), P("dp")))
    t.clear_caches()
    first = t.jit(lambda x: jnp.tanh(x) * 2)
    first(x)
    kept = weakref.ref(first._last.call.executable)
    again = t.jit(lambda x: jnp.tanh(x) * 2)
    again(x)
    assert cached_programs() == 1 and again._last.call.executable is kept()
    del first, again
    gc.collect()
    assert kept() is not None
    t.clear_caches()
    gc.collect()
    assert cached_programs() == 0 and kept() is None
