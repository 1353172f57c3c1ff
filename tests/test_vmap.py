"""`vmap`: equal to a loop over the members, in any company."""

import numpy as np
import pytest

from tracer import (
    checkpoint,
    custom_vjp,
    grad,
    graph_of,
    jit,
    jvp,
    lax,
    nn,
    value_and_grad,
    vjp,
    vmap,
)
from tracer import numpy as jnp

from .arrays import close

pytestmark = pytest.mark.usefixtures("oracle")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4)).astype(np.float32)
Y = RNG.standard_normal((4, 3)).astype(np.float32)
W = RNG.standard_normal((4, 5)).astype(np.float32)


def loop(fun, *stacks):
    """`fun` of each member, stacked."""
    rows = (map(jnp.asarray, members) for members in zip(*stacks, strict=True))
    return np.stack([np.asarray(fun(*row)) for row in rows])


def silu_layer(w, x):
    return nn.silu(x @ w) * 2 - jnp.max(x)


# --- axes -----------------------------------------------------------------------------------------


def test_one_argument():
    close(vmap(jnp.sum)(X), X.sum(1))
    close(vmap(lambda x: x * 2 + 1)(X), X * 2 + 1)
    close(vmap(lambda w, x: silu_layer(w, x), (None, 0))(W, X), loop(lambda x: silu_layer(W, x), X))


@pytest.mark.parametrize("axis", [0, 1, -1, -2])
def test_in_axes(axis):
    rows = np.moveaxis(X, axis, 0)
    close(vmap(lambda x: x / jnp.sum(x), axis)(X), loop(lambda x: x / x.sum(), rows))


@pytest.mark.parametrize("axis", [0, 1, 2, -1, -2, -3])
def test_out_axes(axis):
    got = vmap(lambda x: jnp.outer(x, x), out_axes=axis)(X)
    close(got, np.moveaxis(loop(np.outer, X, X), 0, axis))


def test_unmapped_results_repeat_or_stay():
    close(vmap(lambda x: jnp.arange(3))(X), np.tile(np.arange(3), (3, 1)))
    shared, own = vmap(lambda x: (jnp.ones(2), x), out_axes=(None, 0))(X)
    assert shared.shape == (2,) and own.shape == (3, 4)
    assert vmap(lambda: jnp.zeros(2), axis_size=4)().shape == (4, 2)


def test_pytrees_of_axes():
    params = {"w": W, "scale": np.float32([1, 2, 3]), "none": None}

    def fun(p, batch, *, bias):
        x, twice = batch
        return {"y": x @ p["w"] * p["scale"], "both": (twice, bias)}

    axes = ({"w": None, "scale": 0, "none": None}, 0)
    got = vmap(fun, axes, {"y": 1, "both": 0})(params, [X, X * 2], bias=X[:, 0])
    close(got["y"], (X @ W * params["scale"][:, None]).T)
    close(got["both"][0], X * 2)
    close(got["both"][1], X[:, 0])


def test_settings_pass_through_unmapped():
    def fun(x, how, n):
        assert isinstance(how, str) and isinstance(n, int)
        return x**n

    close(vmap(fun, (0, None, None))(X, "any", 2), X**2)


def test_nested():
    outer = vmap(vmap(lambda a, b: a * b + a, (None, 0)), (0, None))
    close(outer(X[0], Y[:, 0]), np.outer(X[0], Y[:, 0]) + X[0][:, None])
    close(vmap(vmap(jnp.sum, 1), 2, 1)(np.ones((2, 3, 4), np.float32)), np.full((3, 4), 2.0))
    three = vmap(vmap(vmap(lambda x: x + 1)))(np.zeros((2, 3, 4), np.float32))
    close(three, np.ones((2, 3, 4)))


def test_closed_over_arrays_are_shared():
    def fun(x):
        return vmap(lambda row: row @ W + jnp.sum(x))(x)

    close(jit(fun)(X), X @ W + X.sum())
    close(fun(X), X @ W + X.sum())


def test_members_of_no_elements_and_no_members():
    assert vmap(lambda x: x * 2)(np.zeros((3, 0), np.float32)).shape == (3, 0)
    assert vmap(lambda x: jnp.sum(x @ W))(np.zeros((0, 4), np.float32)).shape == (0,)


def test_the_batched_graph_has_one_product():
    graph = graph_of(vmap(lambda x, w: x @ w, (0, None)))(X, W)
    assert [e.prim.name for e in graph.eqns].count("dot") == 1
    assert graph.out_avals[0].shape == (3, 5)


# --- what is inside -------------------------------------------------------------------------------

FUNCTIONS = {
    "where": lambda x: jnp.where(x > 0, x, -2.0 * x),
    "argmax": lambda x: jnp.argmax(x),
    "sort of": lambda x: jnp.max(x) - jnp.min(x),
    "softmax": lambda x: nn.softmax(x),
    "log_softmax": lambda x: nn.log_softmax(x),
    "rms_norm": lambda x: nn.rms_norm(x, x * 2),
    "layer_norm": lambda x: nn.layer_norm(x, x, x + 1),
    "take": lambda x: jnp.take(x, jnp.argmax(x)),
    "indexing": lambda x: x[1:3] + x[::2],
    "at": lambda x: x.at[jnp.argmin(x)].add(10.0),
    "set": lambda x: x.at[1].set(5.0),
    "dynamic_slice": lambda x: lax.dynamic_slice(x, (jnp.argmax(x),), (2,)),
    "dynamic_update": lambda x: lax.dynamic_update_slice(x, x[:2] * 9, (jnp.argmax(x),)),
    "concatenate": lambda x: jnp.concatenate([x, jnp.ones(2), x[:1]]),
    "pad": lambda x: jnp.pad(x, (1, 2)),
    "flip": lambda x: jnp.flip(x) + jnp.roll(x, 1),
    "reshape": lambda x: x.reshape(2, 2).T,
    "one_hot": lambda x: nn.one_hot(jnp.argmax(x), 4),
    "outer": lambda x: jnp.einsum("i,j->ji", x, x),
    "variance": lambda x: jnp.var(x),
    "scan": lambda x: lax.scan(lambda c, v: (c + v, c * v), 0.5, x)[1],
    "while": lambda x: lax.while_loop(lambda v: jnp.sum(v) < 9.0, lambda v: v * v + 1, x),
    "cond": lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.cos, x),
    "checkpoint": checkpoint(lambda x: jnp.sin(jnp.cos(x))),
    "jit": jit(lambda x: jnp.exp(x) * 2),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_a_row(name):
    fun = FUNCTIONS[name]
    close(vmap(fun)(X), loop(fun, X))
    close(jit(vmap(fun, 1, -1))(Y), np.moveaxis(loop(fun, Y.T), 0, -1))


@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("argmax", "one_hot", "while")])
def test_gradients_of_rows(name):
    fun = FUNCTIONS[name]

    def loss(x):
        y = fun(x)
        return jnp.sum(y * y)

    want = loop(grad(loss), X)
    close(vmap(grad(loss))(X), want, 1e-4)
    close(grad(lambda x: jnp.sum(vmap(loss)(x)))(X), want, 1e-4)


def test_attention_and_rope_of_a_batch_of_batches():
    q, k, v = (RNG.standard_normal((2, 1, 5, 2, 4)).astype(np.float32) for _ in range(3))
    angles = RNG.standard_normal((2, 5, 2)).astype(np.float32)

    def fun(q, k, v, t):
        q = nn.rope(q, jnp.cos(t), jnp.sin(t))
        return nn.dot_product_attention(q, k, v, is_causal=True)

    close(vmap(fun)(q, k, v, angles), loop(fun, q, k, v, angles))
    shared = vmap(fun, (0, None, None, None))(q, k[0], v[0], angles[0])
    close(shared, loop(lambda one: fun(one, k[0], v[0], angles[0]), q))


def test_gather_of_shared_and_own_rows():
    ids = np.array([[0, 2, 9], [1, 1, -3], [3, 0, 0]], np.int32)
    take = lambda x, i: jnp.take(x, i, axis=0)  # noqa: E731
    close(vmap(take, (None, 0))(W, ids), loop(lambda i: take(W, i), ids))
    tables = RNG.standard_normal((3, 4, 2)).astype(np.float32)
    close(vmap(take)(tables, ids), loop(take, tables, ids))
    close(vmap(take, (0, None))(tables, ids[0]), loop(lambda t: take(t, ids[0]), tables))


# --- with other transformations -------------------------------------------------------------------


def test_gradients_for_each_example():
    def loss(w, x, label):
        return nn.cross_entropy(silu_layer(w, x), label)

    labels = np.array([0, 4, 2], np.int32)
    each = vmap(grad(loss), (None, 0, 0))(W, X, labels)
    close(each, loop(lambda x, n: grad(loss)(W, x, n), X, labels))
    mean = grad(lambda w: jnp.mean(vmap(loss, (None, 0, 0))(w, X, labels)))(W)
    close(mean, np.asarray(each).mean(0))
    values, grads = jit(vmap(value_and_grad(loss), in_axes=(None, 0, 0)))(W, X, labels)
    assert values.shape == (3,)
    close(grads, each)


def test_vjp_and_jvp_inside_and_outside():
    def fun(x):
        return jnp.sin(x) * jnp.sum(x)

    tangents = vmap(lambda x, t: jvp(fun, (x,), (t,))[1])(X, X * 2)
    close(tangents, loop(lambda x: jvp(fun, (x,), (x * 2,))[1], X))
    value, pushed = jvp(vmap(fun), (X,), (X * 2,))
    close(pushed, tangents)
    out, pull = vjp(vmap(fun), X)
    close(out, value)
    close(pull(jnp.ones_like(out))[0], loop(lambda x: vjp(fun, x)[1](jnp.ones(4))[0], X))


def test_shared_arguments_of_custom_derivatives_collect_all_cotangents():
    @custom_vjp
    def scale(a, b):
        return a * b

    scale.defvjp(lambda a, b: (scale(a, b), (a, b)), lambda r, g: (g * r[1] * 10, g * r[0] * 10))
    a = np.float32([1, 2, 3])

    def total(a, b):
        return jnp.sum(vmap(scale, (0, None))(a, b))

    close(grad(total, 1)(a, 2.0), 60.0)
    close(grad(total, 0)(a, 2.0), [20.0] * 3)
    close(vmap(grad(scale, (0, 1)), (None, 0))(2.0, a)[0], a * 10)


# --- misuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda: vmap(lambda a, b: a)(np.ones(3, np.float32), np.ones((4, 2), np.float32)),
            ValueError,
            "vmap got inconsistent sizes for array axes to be mapped:\n"
            "  * one axis had size 3: axis 0 of argument a of type float32[3];\n"
            "  * one axis had size 4: axis 0 of argument b of type float32[4,2]",
        ),
        (
            lambda: vmap(lambda a, b, c: a, (1, 0, 0))(X, Y, X),
            ValueError,
            "  * most axes (2 of them) had size 4, e.g. axis 1 of argument a of type float32[3,4];",
        ),
        (lambda: vmap(jnp.sum, "0"), TypeError, "vmap in_axes must be an int, None, or a tuple"),
        (lambda: vmap(jnp.sum, (0.5,)), TypeError, "with those types as leaves, but got (0.5,)"),
        (lambda: vmap(jnp.sum, 0, "x"), TypeError, "vmap out_axes must be an int, None"),
        (
            lambda: vmap(lambda a, b: a, (0, 0, 0))(X, X),
            ValueError,
            "but got len(in_axes)=3, len(args)=2",
        ),
        (lambda: vmap(lambda a: a, ((0, 1),))(X), ValueError, "must be a tree prefix"),
        (lambda: vmap(lambda a: a, None)(X), ValueError, "at least one non-None value in in_axes"),
        (
            lambda: vmap(lambda a: a, 2)(X),
            ValueError,
            "along axis 2, which implies that its rank should be at least 3, but is only 2",
        ),
        (lambda: vmap(lambda a: a)(1.0), ValueError, "but is only 0 (its shape is ())"),
        (lambda: vmap(lambda a: a, axis_size=5)(X), ValueError, "axis_size=5, and axis 0 of"),
        (
            lambda: vmap(lambda a: a, out_axes=None)(X),
            ValueError,
            "at vmap out_axes, got axis spec None but output was batched on axis 0",
        ),
        (lambda: vmap(lambda a: a, out_axes=3)(X), ValueError, "out_axes=3 is out of bounds"),
        (lambda: vmap(lambda a: (a, a), out_axes=(0, 0, 0))(X), ValueError, "out_axes specific"),
        (lambda: vmap(lambda a: a)("text"), TypeError, "requires array or scalar arguments"),
    ],
)
def test_misuse(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
    assert "test_vmap.py" in str(error.value)
