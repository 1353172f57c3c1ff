"""Derivatives as functions, of integers, through loops, and checked by differences."""

from __future__ import annotations

import numpy as np
import pytest

from ir.passes.simplify import dce
from tracer import (
    ShapeDtypeStruct,
    checkpoint,
    closure_convert,
    custom_gradient,
    custom_jvp,
    eval_shape,
    float0,
    grad,
    graph_of,
    jacfwd,
    jacrev,
    jit,
    jvp,
    lax,
    linear_transpose,
    linearize,
    named_call,
    vjp,
    vmap,
)
from tracer import numpy as jnp
from tracer.test_util import check_grads, check_jvp, check_vjp
from tracer.tree import leaves

from .arrays import close

X = np.float32([0.3, -1.2, 2.0])

pytestmark = pytest.mark.usefixtures("oracle")


def guarded(v):
    return lax.cond(v.sum() > 0.2, lambda u: u * u, jnp.sin, v)


def halved(v):
    return lax.while_loop(lambda s: s.sum() > 0.3, lambda s: s * 0.4 * v[2], v)


CONTROL = {
    "cond": guarded,
    "scan": lambda v: lax.scan(lambda c, u: (c * u, jnp.sin(c)), 1.0, v),
    "while": halved,
    "checkpoint": checkpoint(lambda v: jnp.sin(jnp.sin(v))),
    "nested": lambda v: checkpoint(
        lambda u: lax.scan(lambda c, w: (guarded(c) * w.sum(), c), u, jnp.stack([u, u]))
    )(v),
}


@pytest.mark.parametrize("name", CONTROL)
def test_linearised_control_flow_is_its_tangent(name):
    fun = CONTROL[name]
    out, push = linearize(fun, X)
    want, tangent = jvp(fun, (X,), (X * X,))
    for got, ref in zip(leaves((out, push(X * X))), leaves((want, tangent)), strict=True):
        close(got, ref)
    tangent_of_push = jvp(lambda v: linearize(fun, v)[1](v), (X,), (X,))[1]
    again = jvp(lambda v: jvp(fun, (v,), (v,))[1], (X,), (X,))[1]
    for got, ref in zip(leaves(tangent_of_push), leaves(again), strict=True):
        close(got, ref, 1e-4)


def test_a_pullback_computes_the_forward_values_once():
    def fun(w, x):
        return jnp.tanh(jnp.tanh(x @ w) @ w)

    w, x = np.eye(3, dtype=np.float32), X[None]
    out, pull = vjp(fun, w, x)
    ct = np.ones_like(out)
    both = dce(graph_of(pull)(ct))
    assert not [e for e in both.eqns if e.prim.name == "tanh"]
    assert sum(e.prim.name == "dot" for e in both.eqns) == 4
    again = dce(graph_of(vjp(checkpoint(fun), w, x)[1])(ct))
    assert sum(e.prim.name == "tanh" for e in again.eqns) == 2  # as it was asked for
    for got, want in zip(pull(ct), jit(lambda w, x: vjp(fun, w, x)[1](ct))(w, x), strict=True):
        close(got, want)


def test_derivatives_are_pytrees_of_their_residuals():
    _, pull = vjp(lambda v: jnp.sin(v) * v[0], X)
    _, other = vjp(lambda v: jnp.sin(v) * v[0], X * 2)
    calls = []

    @jit
    def apply(pull, ct):
        calls.append(1)
        return pull(ct)

    close(apply(pull, X)[0], pull(X)[0])
    close(apply(other, X)[0], other(X)[0])
    assert len(calls) == 1 and leaves(pull)
    out, pull = jit(lambda v: vjp(lambda u: u * u.sum(), v))(X)
    close(pull(out)[0], vjp(lambda u: u * u.sum(), X)[1](out)[0])
    _, push = linearize(jnp.cumsum, X)
    close(vmap(push)(jnp.eye(3)), np.triu(np.ones((3, 3))))


def test_integers_have_derivatives_of_nothing():
    n = np.int32([1, 2, 3])
    g, none = grad(lambda v, k: (v * k).sum(), (0, 1), allow_int=True)(X, n)
    close(g, n)
    assert none.dtype == float0 and none.shape == (3,)
    out, pull = vjp(lambda v, k: (v * k, k + 1), X, n)
    ct_x, ct_n = pull((out[0], np.zeros(3, float0)))
    close(ct_x, X * n * n)
    assert ct_n.dtype == float0
    assert linearize(lambda v, k: k, X, n)[1](X, np.zeros(3, float0)).dtype == float0
    close(jacrev(lambda k: k * 2.0, allow_int=True)(n), np.zeros((3, 3)))
    with pytest.raises(TypeError, match="use vjp or set allow_int to True"):
        grad(lambda k: k * 1.0)(3)
    with pytest.raises(TypeError, match="requires inputs with complex dtype"):
        grad(jnp.sum, holomorphic=True)(X)


def test_tangents_through_loops_of_unknown_length():
    def power(v, n):
        return lax.fori_loop(0, n, lambda i, c: c * v, jnp.ones_like(v))

    close(jit(lambda n: jvp(lambda v: power(v, n), (X,), (X,))[1])(3), 3 * X**3, 1e-4)
    close(jacfwd(lambda v: power(v, jnp.asarray(2)))(X), np.diag(2 * X))
    each = vmap(lambda n: jvp(lambda v: power(v, n), (2.0,), (1.0,))[1])(jnp.arange(4))
    close(each, [0, 1, 4, 12])


def test_transposes_of_linear_functions():
    m = np.float32([[1, 2, 3], [4, 5, 6]])
    close(linear_transpose(lambda v: m @ v, X)(np.float32([1, 2]))[0], m.T @ [1, 2])
    struct = ShapeDtypeStruct((3,), "float32")
    found = linear_transpose(lambda p: {"s": p["a"][1:] * 2}, {"a": struct})({"s": X[1:]})
    close(found[0]["a"], [0, 2 * X[1], 2 * X[2]])
    for fun in (lambda v: v * v, jnp.sin):
        with pytest.raises(TypeError, match="that is not linear"):
            linear_transpose(fun, X)(X)
    with pytest.raises(TypeError, match="does not match function output"):
        linear_transpose(lambda v: v * 2, X)(X[:2])


def test_closures_become_arguments():
    def f(v):
        converted, consts = closure_convert(lambda u: u * v.sum() + v, v)
        assert consts
        return converted(v * 2, *consts).sum()

    want = grad(lambda v: (v * 2 * v.sum() + v).sum())(X)
    close(grad(f)(X), want)
    converted, consts = closure_convert(lambda u: u * X, X)
    assert consts == []
    close(converted(X), X * X)


def test_custom_gradient():
    @custom_gradient
    def f(x, y):
        return x * y, lambda ct: (ct * 10.0, ct * x)

    close(f(2.0, 3.0), 6)
    assert [float(g) for g in grad(f, (0, 1))(2.0, 3.0)] == [10, 2]
    close(vmap(grad(f), (0, None))(X, 1.0), [10, 10, 10])


def test_a_rule_says_what_its_own_results_derive_to():
    @custom_jvp
    def f(v):
        return jnp.exp(v)

    f.defjvps(lambda t, out, v: 3.0 * t * out)
    close(grad(grad(f))(0.0), 9.0)
    close(grad(lambda v: jvp(f, (v,), (1.0,))[0])(0.0), 3.0)
    close(jvp(lambda v: jvp(f, (v,), (1.0,))[1], (0.0,), (1.0,))[1], 9.0)


def test_shapes_inside_a_trace_and_named_calls():
    def f(v):
        assert eval_shape(lambda u: jnp.stack([u, u]), v).shape == (2, 3)
        return named_call(lambda u: (u * u).sum(), name="square")(v)

    close(jit(f)(X), (X * X).sum())
    close(grad(f)(X), 2 * X)
    assert {e.scope for e in graph_of(f)(X).eqns} == {"square"}


def test_checks_pass_and_fail():
    check_grads(lambda x, p: jnp.sin(x) * p["a"] ** 2, (X, {"a": X}), 3)
    check_grads(lambda x: lax.scan(lambda c, u: (c * u, None), 1.0, x)[0], (X,), 2)
    wrong = custom_jvp(jnp.sin)
    wrong.defjvp(lambda p, t: (jnp.sin(p[0]), t[0]))
    with pytest.raises(AssertionError, match="JVP tangent"):
        check_grads(wrong, (X,), 1, modes=("fwd",))
    with pytest.raises(AssertionError, match="VJP cotangent projection"):
        check_grads(wrong, (X,), 1, modes=("rev",))
    with pytest.raises(AssertionError, match="primal"):
        check_jvp(jnp.sin, lambda p, t: (jnp.cos(p[0]), t[0]), (X,))
    check_vjp(jnp.sin, lambda x: vjp(jnp.sin, x), (X,))
    with pytest.raises(ValueError, match="modes are"):
        check_grads(jnp.sin, (X,), 1, modes=("both",))
