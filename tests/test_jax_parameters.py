"""Names and parameters that few programs use and that JAX has all the same."""

import numpy as np
import pytest

import tracer
from tracer import checkpoint, checkpoint_name, checkpoint_policies, grad, graph_of, jit, lax
from tracer import numpy as jnp
from tracer.errors import UnexpectedTracerError

pytestmark = pytest.mark.usefixtures("oracle")

X = np.float32([[3, 1, 2, 5, 4], [0, 2, 2, 1, 2]])


@pytest.mark.parametrize("kth", [0, 2, 4, -2])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_partitions_divide_where_numpy_does(kth, axis):
    if axis == 0:
        kth = kth % 2
    places = np.asarray(jnp.argpartition(X, kth, axis))
    wanted = np.moveaxis(np.partition(X, kth, axis), axis, -1)
    k = kth % wanted.shape[-1]
    for made in (jnp.partition(X, kth, axis), np.take_along_axis(X, places, axis)):
        for row, like in zip(np.moveaxis(np.asarray(made), axis, -1), wanted, strict=True):
            assert row[k] == like[k]
            assert sorted(row[:k]) == sorted(like[:k])
            assert sorted(row[k:]) == sorted(like[k:])


def test_options_of_sorting_and_searching():
    assert jnp.argsort(X[0], dtype=jnp.uint32).dtype == np.uint32
    with pytest.raises(TypeError, match="'kind' argument to sort is not supported"):
        jnp.sort(X, kind="mergesort")
    for method in ("scan", "scan_unrolled", "sort", "compare_all"):
        assert jnp.searchsorted(jnp.arange(4.0), 2.0, method=method) == 2
    assert jnp.digitize(2.5, jnp.arange(4.0), method="sort") == 3
    with pytest.raises(ValueError, match="expected one of scan"):
        jnp.searchsorted(jnp.arange(4.0), 2.0, method="binary")


def test_what_is_known_is_computed_while_tracing():
    seen = []

    def f(x):
        with tracer.ensure_compile_time_eval():
            seen.append(float(jnp.sum(jnp.arange(4.0))))
        return x * seen[-1]

    assert jit(f)(2.0) == 12.0 and seen == [6.0]
    assert "iota" not in str(graph_of(f)(2.0))

    def leaks(x):
        with tracer.ensure_compile_time_eval():
            return x + 1.0

    with pytest.raises(UnexpectedTracerError):
        jit(leaks)(2.0)
    assert jit(lambda x: x + 1.0)(1.0) == 2.0  # the graphs that were open are open again


def test_make_jaxpr_knows_the_axes_it_is_told():
    graph = tracer.make_jaxpr(lambda x: lax.psum(x, "i"), axis_env=[("i", 4)])(1.0)
    assert "psum[axes=('i',), sizes=(4,)]" in str(graph)
    with pytest.raises(NameError, match="i"):
        tracer.make_jaxpr(lambda x: lax.psum(x, "i"))(1.0)


def test_checkpoint_takes_static_names_and_joined_policies():
    @checkpoint(static_argnames="power")
    def f(x, power):
        return x**power if power > 1 else x

    assert grad(lambda x: f(x, power=3))(2.0) == 12.0
    policies = checkpoint_policies
    both = policies.save_from_both_policies(
        policies.dots_saveable, policies.save_only_these_names("y")
    )

    def g(x):
        y = checkpoint_name(jnp.sin(x @ x), "y")
        return jnp.sum(jnp.cos(y) @ y)

    def kept(policy):
        text = str(graph_of(grad(checkpoint(g, policy=policy)))(jnp.eye(3)))
        return text.count("dot["), text.count("sin ")

    alone = kept(policies.dots_saveable), kept(policies.save_only_these_names("y"))
    assert kept(both) == tuple(map(min, *alone)) < max(alone)


def test_hints_change_nothing():
    f = jit(lambda x, unused: x + 1.0, keep_unused=True, inline=True)
    assert f(1.0, 2.0) == 2.0
    assert tracer.local_devices(host_id=0) == tracer.devices()
    with pytest.raises(ValueError, match="Unknown process_index 3"):
        tracer.local_devices(host_id=3)
    x = jnp.ones(2)
    assert tracer.device_put(x, src=tracer.devices()[0]) is x
