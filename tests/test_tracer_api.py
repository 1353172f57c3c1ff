"""Gradients, pullbacks, graphs and shapes of functions."""

import numpy as np
import pytest

from ir import Graph, show
from tracer import (
    ShapeDtypeStruct,
    block_until_ready,
    device_get,
    device_put,
    eval_shape,
    grad,
    graph_of,
    jit,
    lax,
    named_scope,
    nn,
    stop_gradient,
    value_and_grad,
    vjp,
)
from tracer import numpy as jnp

pytestmark = pytest.mark.usefixtures("oracle")


def close(got, want):
    np.testing.assert_allclose(np.asarray(got), want, rtol=1e-5, atol=1e-6)


def test_gradients_of_a_pytree():
    params = {"w": np.float32([[1, 2], [3, 4]]), "b": [np.float32(0.5), None]}

    def loss(p, x):
        return jnp.sum((x @ p["w"] + p["b"][0]) ** 2)

    x = np.float32([1, -1])
    value, found = value_and_grad(loss)(params, x)
    out = x @ params["w"] + 0.5
    close(value, (out**2).sum())
    close(found["w"], 2 * np.outer(x, out))
    close(found["b"][0], 2 * out.sum())
    assert found["b"][1] is None


def test_argnums():
    def f(x, y):
        return x * y**2

    assert float(grad(f, 1)(3.0, 2.0)) == 12
    assert [float(g) for g in grad(f, (1, 0))(3.0, 2.0)] == [12, 4]
    assert float(grad(f, argnums=-1)(3.0, 2.0)) == 12
    value, (one,) = value_and_grad(f, argnums=(0,))(3.0, 2.0)
    assert float(value) == 12 and float(one) == 4


def test_aux_is_handed_through():
    def f(x):
        return jnp.sum(x**2), {"twice": x * 2, "count": 3}

    (value, aux), found = value_and_grad(f, has_aux=True)(np.float32([1, 2]))
    assert float(value) == 5 and aux["twice"].tolist() == [2, 4] and int(aux["count"]) == 3
    assert found.tolist() == [2, 4]
    found, aux = jit(grad(f, has_aux=True))(np.float32([1, 2]))
    assert found.tolist() == [2, 4] and aux["twice"].tolist() == [2, 4]


def test_settings_and_python_numbers_stay_python():
    def f(x, config, n):
        assert isinstance(config, str) and isinstance(n, int)
        return x**n

    assert float(grad(f)(2.0, "any", 3)) == 12
    assert float(jit(lambda x: grad(f)(x, "any", 3))(2.0)) == 12


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: grad(lambda x: x * 2)(jnp.ones(3)),
            "Gradient only defined for scalar-output functions. Output had shape: (3,)",
        ),
        (
            lambda: grad(lambda x: x * 2)(3),
            "grad requires real- or complex-valued inputs (input dtype that is a sub-dtype of "
            "np.inexact), but got int32.",
        ),
        (
            lambda: grad(lambda x: jnp.argmax(x))(jnp.ones(3)),
            "grad requires real-valued outputs (output dtype that is a sub-dtype of "
            "np.floating), but got int32",
        ),
        (
            lambda: grad(lambda x: (x, x))(1.0),
            "Gradient only defined for scalar-output functions. Output was (",
        ),
        (lambda: grad(lambda x: x, 1)(1.0), "requires at least 2 positional arguments"),
        (lambda: grad(lambda x: x, has_aux=True)(1.0), "return a two-element tuple"),
        (lambda: vjp(jnp.sin, 1.0)[1](jnp.ones(2)), "got float32[2], but expected float32[]"),
        (lambda: vjp(jnp.sin, 1.0)[1]([1.0]), "unexpected tree structure."),
        (lambda: grad(lambda x: x)("text"), "Argument 'text' of type <class 'str'>"),
    ],
)
def test_errors_are_jaxs_and_name_the_line(call, message):
    with pytest.raises((TypeError, ValueError)) as caught:
        call()
    assert message in str(caught.value) and "test_tracer_api.py:" in str(caught.value)


def test_higher_order():
    def f(x):
        return jnp.sin(x) * x**3

    first = grad(f)
    close(
        grad(first)(1.2), -np.sin(1.2) * 1.2**3 + 6 * 1.2**2 * np.cos(1.2) + 6 * 1.2 * np.sin(1.2)
    )
    close(jit(grad(grad(grad(lambda x: x**4))))(2.0), 48.0)
    x = np.float32([0.3, -1.2, 2.0])
    hessian_times = grad(lambda x: jnp.sum(grad(lambda y: jnp.sum(nn.softmax(y) ** 2))(x) * x))
    step = 1e-3
    inner = grad(lambda y: jnp.sum(nn.softmax(y) ** 2))
    numeric = [
        float(
            jnp.sum(inner(x + step * e) * (x + step * e))
            - jnp.sum(inner(x - step * e) * (x - step * e))
        )
        / (2 * step)
        for e in np.eye(3, dtype=np.float32)
    ]
    np.testing.assert_allclose(np.asarray(hessian_times(x)), numeric, rtol=2e-2, atol=1e-4)


def test_closures_over_outer_traces_and_arrays():
    scale = jnp.array(3.0)

    def f(x, y):
        inner = grad(lambda z: z**2 * y * scale)
        return inner(x) + jit(lambda z: z * y)(x)

    close(jit(f)(2.0, 5.0), 2 * 2 * 5 * 3 + 10)
    close(grad(f, 1)(2.0, 5.0), 2 * 2 * 3 + 2)


def test_vjp():
    x, y = np.float32([1, 2]), np.float32([3, 4])
    out, pullback = vjp(lambda a, b: {"product": a * b, "sum": a + b}, x, y)
    close(out["product"], x * y)
    ga, gb = pullback({"product": np.float32([1, 10]), "sum": jnp.ones(2)})
    close(ga, [4, 41])
    close(gb, [2, 21])


def test_vjp_while_tracing_and_with_aux():
    @jit
    def f(x):
        out, pullback, aux = vjp(lambda v: (jnp.exp(v), v.sum()), x, has_aux=True)
        return out, pullback(out)[0], aux

    x = np.float32([0.5, 1])
    out, ct, aux = f(x)
    close(out, np.exp(x))
    close(ct, np.exp(x) ** 2)
    close(aux, 1.5)
    out, pullback, aux = vjp(lambda v: (jnp.exp(v), v.sum()), x, has_aux=True)
    close(pullback(jnp.ones(2))[0], np.exp(x))
    close(grad(lambda t: vjp(jnp.sin, t)[1](t)[0])(0.7), np.cos(0.7) - 0.7 * np.sin(0.7))


def test_stop_gradient_and_unused_arguments():
    close(grad(lambda x: stop_gradient(x) * x)(3.0), 3.0)
    found = grad(lambda t: t["a"] * 2)({"a": 1.0, "b": np.ones(2, np.float32)})
    close(found["b"], [0, 0])
    tree_of = stop_gradient({"a": jnp.ones(2)})
    close(tree_of["a"], [1, 1])


def test_graphs_print_and_name_their_inputs():
    params = {"layers": [{"wq": np.ones((3, 2), np.float32)}]}
    graph = graph_of(lambda p, x: x @ p["layers"][0]["wq"])(
        params, ShapeDtypeStruct((4, 3), "float32")
    )
    assert isinstance(graph, Graph)
    assert [v.hint for v in graph.ins] == ["layers_0_wq", "x"]
    assert show(graph) == (
        "graph(a: f32[3, 2], b: f32[4, 3]) {\n"
        "  c: f32[4, 2] = dot[spec='mk,kn->mn'] b a\n"
        "  return c\n}"
    )
    assert graph.eqns[0].src.file.endswith("test_tracer_api.py")
    pair = graph_of(lambda p, q: p["w"] + q["w"])({"w": 1.0}, {"w": 2.0})
    assert [v.hint for v in pair.ins] == ["p_w", "q_w"]


def test_the_backward_pass_of_a_product_needs_no_transpose():
    shapes = [ShapeDtypeStruct(s, np.float32) for s in ((4, 3), (3, 2))]
    graph = graph_of(grad(lambda x, w: jnp.sum((x @ w) ** 2), (0, 1)))(*shapes)
    names = [e.prim.name for e in graph.eqns]
    assert names.count("dot") == 3 and "transpose" not in names


def test_constants_enter_a_graph_once():
    table, host = jnp.arange(3.0), np.ones(3, np.float32)
    graph = graph_of(lambda x: x * table + table * host - host)(np.ones(3, np.float32))
    assert len(graph.ins) == 3
    assert len(graph_of(lambda x: jnp.where(x > 0, x, -jnp.inf))(1.0).ins) == 2


def test_no_constant_of_a_graph_is_infinite():
    graph = graph_of(lambda x: jnp.maximum(x, -jnp.inf) + jnp.full(2, jnp.nan))(jnp.ones(2))
    literals = [v.value for e in graph.eqns for v in e.ins if hasattr(v, "value")]
    assert all(np.isfinite(v) for v in literals)


def test_eval_shape_computes_nothing():
    big = ShapeDtypeStruct((1 << 20, 1 << 12), np.float32)
    out = eval_shape(lambda x: {"s": x.sum(1), "h": (x @ x.T)[0] > 0}, big)
    assert out["s"] == ShapeDtypeStruct((1 << 20,), np.float32)
    assert out["h"].dtype == np.bool_ and out["h"].shape == (1 << 20,)
    assert repr(out["s"]) == "ShapeDtypeStruct(float32[1048576])"
    zeros = eval_shape(jnp.zeros_like, big)
    assert zeros == big


def test_named_scopes_reach_equations_and_their_gradients():
    def f(x):
        with named_scope("layer"), named_scope("mlp"):
            x = jnp.sin(x)
        return x * 2

    scopes = {e.prim.name: e.scope for e in graph_of(grad(f))(1.0).eqns}
    assert scopes["cos"] == "grad(layer/mlp)"
    assert {e.prim.name: e.scope for e in graph_of(f)(1.0).eqns} == {"sin": "layer/mlp", "mul": ""}
    with named_scope("outside"):
        assert float(jnp.sin(0.0)) == 0


def test_moving_trees():
    tree_of = {"a": np.ones(2, np.float32), "b": [np.int32(3)]}
    there = block_until_ready(device_put(tree_of))
    back = device_get({"x": there, "y": there["a"] * 2})
    assert back["x"]["b"][0] == 3 and back["y"].tolist() == [2, 2]
    assert isinstance(back["y"], np.ndarray)


def test_lax():
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    close(lax.dynamic_slice(x, (1, 9), (2, 2)), x[1:3, 2:4])
    close(jit(lambda i: lax.dynamic_slice(x, (i, 0), (1, 4)))(np.int32(2)), x[2:])
    want = x.copy()
    want[1:, 2:] = 0
    close(lax.dynamic_update_slice(x, jnp.zeros((2, 2)), (jnp.array(1), 5)), want)
    close(lax.dynamic_slice(x, (-1, np.int32(-4)), (1, 4)), x[2:])
    with pytest.raises(TypeError, match="a start for each axis"):
        lax.dynamic_slice(x, (0,), (1, 4))
    close(lax.select(x > 5, x, -x), np.where(x > 5, x, -x))
    close(lax.rsqrt(np.float32([4.0])), [0.5])
    close(lax.broadcasted_iota(np.int32, (2, 3), 1), [[0, 1, 2]] * 2)
    assert lax.bitcast_convert_type(1.0, np.uint32).item() == 0x3F800000
    assert lax.convert_element_type(1.7, np.int32).item() == 1
    found = grad(lambda v: jnp.sum(lax.dynamic_slice(v, (1, 1), (2, 2)) ** 2))(x)
    want = np.zeros_like(x)
    want[1:, 1:3] = 2 * x[1:, 1:3]
    close(found, want)
    with pytest.raises(TypeError, match=r"does not fit.*\n.*test_tracer_api"):
        lax.dynamic_slice(x, (0, 0), (4, 1))
    with pytest.raises(ValueError, match="iota dimension must be between"):
        lax.broadcasted_iota(np.int32, (2, 3), 2)
