"""Tangents, Jacobians, derivatives by hand, rematerialisation, and graphs under JAX's names."""

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import LAVAPIPE
from ir import Graph, check, parse, show
from tracer import (
    checkpoint,
    checkpoint_name,
    checkpoint_policies,
    custom_jvp,
    custom_vjp,
    float0,
    grad,
    graph_of,
    hessian,
    jacfwd,
    jacrev,
    jit,
    jvp,
    lax,
    linearize,
    make_jaxpr,
    nn,
    remat,
    value_and_grad,
    vjp,
    vmap,
)
from tracer import numpy as jnp

from .arrays import close

pytestmark = pytest.mark.usefixtures("oracle")

X = np.float32([0.3, -1.2, 2.0])


# --- tangents -------------------------------------------------------------------------------------


def test_jvp_of_a_function():
    out, tangent = jvp(lambda x, y: jnp.sin(x) * y, (X, 2.0), (X * 0 + 1, 3.0))
    close(out, np.sin(X) * 2)
    close(tangent, np.cos(X) * 2 + np.sin(X) * 3)


def test_jvp_in_a_trace_with_trees_and_captures():
    def fun(c, p, t):
        out, tangent, aux = jvp(
            lambda q: ({"s": jnp.sum(q["a"] * c) ** 2}, q["a"] + 1), (p,), (t,), has_aux=True
        )
        return out["s"], tangent["s"], aux

    p = {"a": X}
    s, tangent, aux = jit(fun)(X, p, {"a": X * 2})
    close(s, (X @ X) ** 2, 1e-4)
    close(tangent, 2 * (X @ X) * (X @ X) * 2, 1e-4)
    close(aux, X + 1)


def test_tangents_of_integers_are_float0():
    n = np.array([1, 2], np.int32)
    zero = np.zeros(2, float0)
    out, tangent = jvp(lambda n, x: (n + 1, x * n.astype("float32")), (n, X[:2]), (zero, X[:2]))
    assert out[0].tolist() == [2, 3] and tangent[0].dtype == float0
    close(tangent[1], X[:2] * n)


@pytest.mark.parametrize(
    "fun",
    [
        lambda x: nn.softmax(x),
        lambda x: nn.rms_norm(x, x + 1),
        lambda x: jnp.max(x) * nn.logsumexp(x),
        lambda x: jnp.take(x, jnp.argmax(x)) * x,
        lambda x: lax.scan(lambda c, v: (c * v, c + v), 1.0, x),
        lambda x: checkpoint(jnp.sin)(x) * x,
        lambda x: jnp.einsum("i,j->ij", x, x) / (1 + x @ x),
    ],
)
def test_jvp_agrees_with_vjp(fun):
    """t . J applied from either side."""
    rng = np.random.default_rng(2)
    t = rng.standard_normal(3).astype(np.float32)
    out, pull = vjp(fun, X)
    flat = [out] if not isinstance(out, tuple) else list(out)
    cts = [rng.standard_normal(o.shape).astype(np.float32) for o in flat]
    (back,) = pull(tuple(cts) if isinstance(out, tuple) else cts[0])
    tangents = jvp(fun, (X,), (t,))[1]
    tangents = tangents if isinstance(out, tuple) else (tangents,)
    forward = sum(float(np.sum(c * np.asarray(v))) for c, v in zip(cts, tangents, strict=True))
    close(forward, float(np.asarray(back) @ t), 1e-4)


def test_the_tangent_graph_computes_no_gradients():
    graph = graph_of(lambda x, t: jvp(lambda x: jnp.exp(x) * 2.0, (x,), (t,))[1])(X, X)
    assert sum(e.prim.name == "exp" for e in graph.eqns) == 1
    assert len(graph.eqns) <= 5


def test_linearize():
    out, push = linearize(lambda x: jnp.sin(x) * x[0], X)
    close(out, np.sin(X) * X[0])
    close(push(X), np.cos(X) * X * X[0] + np.sin(X) * X[0])
    twice = jit(lambda x, t: linearize(lambda y: y**3, x)[1](t))
    close(twice(X, X), 3 * X**3)
    _, push, aux = linearize(lambda x: (x * 2, x + 1), X, has_aux=True)
    close(aux, X + 1)
    close(push(X), X * 2)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: jvp(jnp.sin, X, X), TypeError, "must be tuples or lists; found ndarray and"),
        (lambda: jvp(jnp.sin, (X,), (X, X)), TypeError, "must have the same tree structure"),
        (
            lambda: jvp(jnp.sin, (X,), (X[:2],)),
            ValueError,
            "jvp called with different primal and tangent shapes;Got primal shape (3,) and "
            "tangent shape as (2,)",
        ),
        (
            lambda: jvp(jnp.sin, (X,), (X.astype(np.float16),)),
            TypeError,
            "Got primal dtype float32 and so expected tangent dtype float32, but got tangent "
            "dtype float16 instead.",
        ),
        (
            lambda: jvp(lambda n: n, (3,), (1,)),
            TypeError,
            "Got primal dtype int32 and so expected tangent dtype float0, but got tangent dtype "
            "int32 instead.",
        ),
        (lambda: jacfwd(jnp.sin)(3), TypeError, "jacfwd requires real-valued inputs"),
        (lambda: jacrev(jnp.argmax)(X), TypeError, "jacrev requires real-valued outputs"),
        (lambda: jacrev(jnp.sin, 1)(X), TypeError, "requires at least 2 positional arguments"),
        (
            lambda: grad(lambda x: lax.while_loop(lambda v: v < 9, lambda v: v * 2, x))(1.0),
            ValueError,
            "does not work for lax.while_loop",
        ),
    ],
)
def test_misuse(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
    assert "test_transforms.py" in str(error.value)


# --- Jacobians ------------------------------------------------------------------------------------


def rotated(x):
    return jnp.stack([x[0] * x[1], jnp.sin(x[2]), x @ x, x[0]])


ROTATED = np.float32(
    [[X[1], X[0], 0], [0, 0, np.cos(X[2])], [2 * X[0], 2 * X[1], 2 * X[2]], [1, 0, 0]]
)


@pytest.mark.parametrize("jacobian", [jacfwd, jacrev])
def test_jacobians(jacobian):
    close(jacobian(rotated)(X), ROTATED)
    close(jit(jacobian(rotated))(X), ROTATED)
    close(vmap(jacobian(rotated))(np.stack([X, X])), np.stack([ROTATED] * 2))
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    got = jacobian(lambda m: m @ X)(matrix)
    assert got.shape == (2, 2, 3)
    close(got, np.einsum("ij,k->ijk", np.eye(2), X))


@pytest.mark.parametrize("jacobian", [jacfwd, jacrev])
def test_jacobians_of_trees(jacobian):
    def fun(p, y):
        return {"sum": p["a"] * y, "aux": jnp.sum(p["b"])}, y + 1

    p = {"a": X, "b": np.ones((2, 2), np.float32)}
    found, aux = jacobian(fun, has_aux=True)(p, 3.0)
    close(found["sum"]["a"], np.eye(3) * 3)
    close(found["sum"]["b"], np.zeros((3, 2, 2)))
    close(found["aux"]["b"], np.ones((2, 2)))
    assert float(aux) == 4
    both = jacobian(lambda p, y: p["a"] * y, argnums=(1, 0))(p, 3.0)
    close(both[0], X)
    close(both[1]["a"], np.eye(3) * 3)


def test_hessian():
    def fun(x):
        return jnp.sum(x**3) + x[0] * x[1]

    want = np.diag(6 * X)
    want[0, 1] = want[1, 0] = 1
    close(hessian(fun)(X), want)
    close(jacrev(jacrev(fun))(X), want)
    close(jacrev(jacfwd(fun))(X), want)
    tree = hessian(lambda p: jnp.sum(p["a"] ** 2) * p["b"])({"a": X, "b": 2.0})
    close(tree["a"]["a"], 4 * np.eye(3))
    close(tree["b"]["a"], 2 * X)
    assert float(tree["b"]["b"]) == 0


# --- derivatives by hand --------------------------------------------------------------------------


def clipped():
    """The identity whose gradient is clipped to [-limit, limit]."""

    @custom_vjp
    def clip_gradient(x, limit):
        return x

    def bwd(limit, ct):
        return jnp.clip(ct, -limit, limit), None

    clip_gradient.defvjp(lambda x, limit: (x, limit), bwd)
    return clip_gradient


def test_custom_vjp_replaces_the_derivative():
    clip = clipped()
    close(clip(X, 0.5), X)
    close(jit(clip)(X, 0.5), X)
    close(grad(lambda x: jnp.sum(clip(x, 0.5) ** 2))(X), np.clip(2 * X, -0.5, 0.5))
    close(jit(grad(lambda x: jnp.sum(clip(x, limit=0.5) ** 2)))(X), np.clip(2 * X, -0.5, 0.5))
    close(jacrev(lambda x: clip(x, 0.25))(X), np.eye(3) * 0.25)


def test_rules_may_call_their_function():
    @custom_vjp
    def cube(x):
        return x**3

    cube.defvjp(lambda x: (cube(x), x), lambda x, ct: (ct * 3 * x * x,))
    f = cube
    for want in (3 * 4.0, 6 * 2.0, 6.0):
        f = grad(f)
        assert float(f(2.0)) == pytest.approx(want)

    @custom_jvp
    def double(x):
        return x * 2

    double.defjvp(lambda p, t: (double(p[0]), double(t[0])))
    assert float(grad(grad(lambda x: double(x) ** 2))(1.0)) == 8


def test_a_function_that_differentiates_itself_without_end_is_told():
    @custom_vjp
    def loop(x):
        return x * x

    loop.defvjp(lambda x: (loop(x), x), lambda x, ct: (ct * loop(x),))
    f = loop
    for _ in range(3):
        f = grad(f)
    assert np.isfinite(float(f(1.0)))
    with pytest.raises(TypeError, match="differentiated too many times"):
        grad(f)(1.0)


def test_custom_vjp_over_trees_statics_and_captures():
    def body(kind, p, x):
        return {"y": p["w"] * x, "kind": jnp.float32(len(kind))}

    fun = custom_vjp(body, nondiff_argnums=0)

    def fwd(kind, p, x):
        assert kind == "abc"
        return body(kind, p, x), (p["w"], x, None)

    def bwd(kind, saved, ct):
        w, x, _ = saved
        return {"w": ct["y"] * x * 100, "n": None}, jnp.sum(ct["y"] * w)

    fun.defvjp(fwd, bwd)
    p = {"w": X, "n": np.int32(3)}
    gw, gx = grad(lambda w, x: jnp.sum(fun("abc", {"w": w, "n": 3}, x)["y"]), (0, 1))(X, 2.0)
    close(gw, [200.0] * 3)
    close(gx, X.sum())

    def outer(scale, x):
        inner = custom_vjp(lambda x: x * scale)
        inner.defvjp(lambda x: (x * scale, ()), lambda _, ct: (ct * scale * 7,))
        return inner(x)

    close(jit(grad(outer, 1))(3.0, 2.0), 21.0)
    assert float(fun("abc", p, 1.0)["kind"]) == 3


def test_closed_over_values_are_not_silently_constant():
    def outer(scale, x):
        inner = custom_vjp(lambda x: x * scale)
        inner.defvjp(lambda x: (x * scale, ()), lambda _, ct: (ct,))
        return inner(x)

    with pytest.raises(TypeError) as error:
        grad(outer, 0)(3.0, 2.0)
    assert "with respect to a closed-over value" in str(error.value)
    assert "test_transforms.py" in str(error.value)


def test_methods_can_have_custom_derivatives():
    class Layer:
        def __init__(self, w):
            self.w = w

        @custom_vjp
        def __call__(self, x):
            return x * self.w

    Layer.__call__.nondiff = (0,)
    Layer.__call__.defvjp(lambda self, x: (x * self.w, ()), lambda self, _, ct: (ct * 5,))
    assert float(grad(Layer(2.0).__call__)(1.0)) == 5


def test_custom_jvp_serves_forward_and_reverse():
    @custom_jvp
    def log1pexp(x):
        return jnp.log(1 + jnp.exp(x))

    @log1pexp.defjvp
    def rule(primals, tangents):
        (x,), (t,) = primals, tangents
        return log1pexp(x), t * (1 - 1 / (1 + jnp.exp(x)))

    sigmoid = 1 / (1 + np.exp(-X))
    close(grad(lambda x: jnp.sum(log1pexp(x)))(X), sigmoid)
    close(jvp(log1pexp, (X,), (X,))[1], sigmoid * X)
    close(jacfwd(log1pexp)(X), np.diag(sigmoid))
    assert float(grad(log1pexp)(100.0)) == 1.0  # where the derived rule overflows
    close(vmap(grad(log1pexp))(X), sigmoid)
    assert np.isfinite(float(grad(grad(log1pexp))(1.0)))


def test_defjvps_and_nondiff_arguments():
    @custom_jvp
    def product(x, y):
        return x * y

    product.defjvps(lambda t, out, x, y: t * y * 2, None)
    assert [float(g) for g in grad(product, (0, 1))(3.0, 5.0)] == [10, 0]
    assert float(jvp(product, (3.0, 5.0), (1.0, 1.0))[1]) == 10

    def power(n, x):
        return x**n

    fun = custom_jvp(power, nondiff_argnums=(0,))
    fun.defjvp(lambda n, p, t: (p[0] ** n, t[0] * n * 100))
    assert float(grad(fun, 1)(3, 2.0)) == 300


def _with_rules(fwd, bwd):
    fun = custom_vjp(lambda x, y: x * y)
    fun.defvjp(fwd, bwd)
    return lambda: grad(fun)(1.0, 2.0)


def _with_rule(rule):
    fun = custom_jvp(lambda x: x * 2)
    fun.defjvp(rule)
    return lambda: grad(fun)(1.0)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: custom_vjp(jnp.sin)(1.0),
            AttributeError,
            "No VJP defined for custom_vjp function",
        ),
        (
            lambda: custom_jvp(jnp.sin)(1.0),
            AttributeError,
            "No JVP defined for custom_jvp function",
        ),
        (_with_rules(lambda x, y: x, None), TypeError, "must produce a pair"),
        (_with_rules(lambda x, y: ((x, y), ()), None), TypeError, "same container (pytree)"),
        (
            _with_rules(lambda x, y: (jnp.ones(2), ()), None),
            TypeError,
            "must produce primal outputs of the function's types: f32[], got f32[2]",
        ),
        (
            _with_rules(lambda x, y: (x, ()), lambda r, ct: ct),
            TypeError,
            "must produce a tuple with one entry for each of its 2 differentiated arguments",
        ),
        (
            _with_rules(lambda x, y: (x, ()), lambda r, ct: (ct,)),
            TypeError,
            "got tuple of length 1",
        ),
        (
            _with_rules(lambda x, y: (x, ()), lambda r, ct: ([ct], ct)),
            TypeError,
            "must produce a pytree of structure",
        ),
        (
            _with_rules(lambda x, y: (x, ()), lambda r, ct: (jnp.ones(3), ct)),
            TypeError,
            "one is of type f32[3], corresponding to an input of type f32[]",
        ),
        (_with_rule(lambda p, t: t[0]), TypeError, "must produce a pair"),
        (_with_rule(lambda p, t: (p[0], t)), TypeError, "same container (pytree)"),
        (_with_rule(lambda p, t: (p[0], jnp.ones(2))), TypeError, "one is of type f32[2]"),
    ],
)
def test_rules_that_do_not_fit(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
    assert "test_transforms.py" in str(error.value)


# --- rematerialisation ----------------------------------------------------------------------------

LAYERS, BATCH, WIDTH = 6, 64, 32
POLICIES = {
    "nothing": checkpoint_policies.nothing_saveable,
    "dots": checkpoint_policies.dots_saveable,
    "unbatched dots": checkpoint_policies.dots_with_no_batch_dims_saveable,
    "everything": checkpoint_policies.everything_saveable,
    "names": checkpoint_policies.save_only_these_names("hidden"),
    "names but": checkpoint_policies.save_any_names_but_these("hidden"),
    "all but": checkpoint_policies.save_anything_except_these_names("hidden"),
}


def block(w1, w2, x):
    h = checkpoint_name(x @ w1, "hidden")
    return x + jnp.tanh(nn.silu(h)) @ w2


def loss_of(layer):
    def loss(weights, x):
        for w1, w2 in weights:
            x = layer(w1, w2, x)
        return jnp.sum(x * x)

    return loss


def deep():
    rng = np.random.default_rng(0)
    shapes = [((WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH))] * LAYERS
    weights = [[(rng.standard_normal(s) * 0.1).astype(np.float32) for s in pair] for pair in shapes]
    return weights, rng.standard_normal((BATCH, WIDTH)).astype(np.float32)


def program(layer):
    weights, x = deep()
    graph = check(graph_of(grad(loss_of(layer)))(weights, x))
    return compile_graph(graph, LAVAPIPE, verify=True)


@pytest.mark.parametrize("name", POLICIES)
def test_gradients_do_not_depend_on_the_policy(name):
    weights, x = deep()
    want = value_and_grad(loss_of(block))(weights[:2], x)
    layer = checkpoint(block, policy=POLICIES[name])
    for fun in (value_and_grad(loss_of(layer)), jit(value_and_grad(loss_of(layer)))):
        value, found = fun(weights[:2], x)
        close(value, want[0], 1e-4)
        for got, ref in zip(found, want[1], strict=True):
            close(got[0], ref[0], 1e-4)
            close(got[1], ref[1], 1e-4)


def test_memory_really_drops():
    temp = {
        n: program(checkpoint(block, policy=p)).bytes_by_kind()["temp"] for n, p in POLICIES.items()
    }
    plain = program(block).bytes_by_kind()["temp"]
    hidden = BATCH * 4 * WIDTH * 4
    assert temp["nothing"] < 0.5 * plain
    # A policy costs what it keeps: one [BATCH, 4 * WIDTH] tensor a layer.
    for kept in ("dots", "unbatched dots", "names"):
        extra = temp[kept] - temp["nothing"]
        assert 0.5 * (LAYERS - 1) * hidden <= extra <= 1.5 * LAYERS * hidden, kept
    assert temp["names but"] == temp["nothing"]
    assert temp["everything"] > temp["dots"]


@pytest.mark.parametrize(
    "layer",
    [
        lambda w, x, t: x + jnp.tanh(nn.rms_norm(x, t[0])) @ w,
        lambda w, x, t: x + jnp.tanh(jnp.sin(x * t) * jnp.cos(t) + jnp.exp(t)) @ w,
        lambda w, x, t: x + (nn.softmax(x * t) @ w) * nn.softmax(t + x),
    ],
)
def test_first_and_second_computation_share_no_kernel(layer):
    """Both read the same tensors at the same places, as do the layers among each other."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((WIDTH, WIDTH)).astype(np.float32) for _ in range(LAYERS)]
    x, table = (rng.standard_normal((BATCH, WIDTH)).astype(np.float32) for _ in range(2))

    def temp(wrapped):
        def loss(weights, x, table):
            for w in weights:
                x = wrapped(w, x, table)
            return jnp.sum(x * x)

        graph = graph_of(grad(loss))(weights, x, table)
        return compile_graph(graph, LAVAPIPE, verify=True).bytes_by_kind()["temp"]

    assert temp(checkpoint(layer)) < 0.7 * temp(layer)


def test_recomputation_is_kept_apart_only_on_request():
    weights, x = deep()

    def sines(layer):
        graph = graph_of(grad(loss_of(layer)))(weights[:1], x)
        from ir.passes.simplify import expand, simplify

        graph = simplify(expand(graph))
        return sum(e.prim.name == "tanh" for e in graph.eqns)

    assert sines(block) == 1
    assert sines(checkpoint(block)) == 2
    assert sines(checkpoint(block, prevent_cse=False)) == 1


def test_only_recomputed_programs_have_more_kernels():
    plain, again = program(block), program(checkpoint(block))
    assert len(plain.dispatches) < len(again.dispatches) <= len(plain.dispatches) + 2 * LAYERS


def test_kept_values_are_not_computed_again():
    def dots(policy):
        graph = graph_of(grad(loss_of(checkpoint(block, policy=policy))))(*deep())
        from ir.passes.simplify import expand, simplify

        return sum(e.prim.name == "dot" for e in simplify(expand(graph)).eqns)

    assert dots(checkpoint_policies.nothing_saveable) == dots(POLICIES["dots"]) + LAYERS


def test_checkpoint_is_a_decorator_with_statics_and_captures():
    @checkpoint
    def plain(x):
        return jnp.sin(x)

    @remat(static_argnums=(1,), policy=POLICIES["dots"])
    def powered(x, n, *, scale):
        assert isinstance(n, int)
        return jnp.sin(x**n) * scale

    close(grad(lambda x: jnp.sum(plain(x)))(X), np.cos(X))
    want = np.cos(X**2) * 2 * X * 3
    close(grad(lambda x: jnp.sum(powered(x, 2, scale=3.0)))(X), want)
    close(powered(X, 2, scale=3.0), np.sin(X**2) * 3)

    def captured(w):
        return jnp.sum(checkpoint(lambda x: jnp.sin(x * w))(X))

    close(grad(captured)(2.0), np.sum(np.cos(2 * X) * X))
    close(hessian(lambda x: jnp.sum(plain(plain(x))))(X).sum(), hessian(
        lambda x: jnp.sum(jnp.sin(jnp.sin(x))))(X).sum())  # fmt: skip
    nested = checkpoint(lambda x: checkpoint(lambda y: jnp.sin(y) * y)(jnp.exp(x)))
    close(grad(lambda x: jnp.sum(nested(x)))(X), grad(
        lambda x: jnp.sum(jnp.sin(jnp.exp(x)) * jnp.exp(x)))(X))  # fmt: skip


def test_unknown_policies_are_refused():
    with pytest.raises(TypeError, match="use one of checkpoint_policies: nothing_saveable"):
        checkpoint(jnp.sin, policy=lambda *args: True)


# --- graphs ---------------------------------------------------------------------------------------


def test_make_jaxpr():
    def fun(x, n):
        return {"y": x * n}

    graph, types = make_jaxpr(fun, static_argnums=1, return_shape=True)(X, 3)
    assert isinstance(graph, Graph) and "mul" in str(graph)
    assert types["y"].shape == (3,)
    assert str(make_jaxpr(jnp.sin)(X)) == str(graph_of(jnp.sin)(X))


def test_graphs_in_graphs_print_and_parse():
    clip = clipped()
    graph = graph_of(lambda x: checkpoint(lambda y: clip(y, 1.0) * 2)(x))(X)
    text = show(graph)
    assert "remat[apart=True, body=graph(a: f32[3]) {\n    b: f32[3] = custom_vjp[" in text
    again = parse(text)
    assert again.key() == graph.key() and show(again) == text
    assert show(check(again)) == str(graph)
