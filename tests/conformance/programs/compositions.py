"""Transformations of transformations, through loops, branches and rules written by hand."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import floats, ints, positive, program


def safe_log(j, v):
    """log where it is defined; its derivative at 0 is infinite."""
    return j.lax.cond(v > 0.5, j.numpy.log, lambda u: u * 3.0, v)


def log1pexp(j):
    @j.custom_jvp
    def f(v):
        return j.numpy.log(1.0 + j.numpy.exp(v))

    @f.defjvp
    def rule(primals, tangents):
        (v,), (t,) = primals, tangents
        return f(v), t * (1 - 1 / (1 + j.numpy.exp(v)))

    return f


def clipped(j):
    @j.custom_vjp
    def f(v):
        return j.numpy.sin(v) * v

    def bwd(v, ct):
        return (j.numpy.clip(ct * (j.numpy.sin(v) + v * j.numpy.cos(v)), -0.5, 0.5),)

    f.defvjp(lambda v: (j.numpy.sin(v) * v, v), bwd)
    return f


# --- branches -------------------------------------------------------------------------------------


@program(floats(3, 4))
def grad_of_vmap_of_scan_of_cond(j, x):
    def step(c, u):
        return j.lax.cond(u > 0, lambda c: c * u, lambda c: c + j.numpy.sin(u), c), c

    def loss(v):
        return j.vmap(lambda row: j.lax.scan(step, 1.0, row)[0])(v).sum()

    return j.grad(loss)(x)


@program(positive(4))
def vmap_of_grad_of_cond(j, x):
    return j.vmap(j.grad(lambda v: safe_log(j, v)))(x - 0.5)


@program(positive())
def second_derivative_of_cond(j, x):
    return j.grad(j.grad(lambda v: safe_log(j, v)))(x + 1), j.grad(lambda v: safe_log(j, v))(x * 0)


@program(floats(3), ints())
def jacobians_of_switch(j, x, i):
    branches = [j.numpy.sin, lambda v: v[::-1] * v, lambda v: j.numpy.cumsum(v**2)]
    f = lambda v: j.lax.switch(i, branches, v)
    return j.jacfwd(f)(x), j.jacrev(f)(x)


@program(floats(3))
def jvp_of_cond_with_captures(j, x):
    w = x * 2
    f = lambda v: j.lax.cond(v.sum() > 0, lambda: v * w, lambda: v - w)
    return j.jvp(f, (x,), (j.numpy.ones_like(x),))


@program(floats(4, 3), ints(4, high=3))
def grad_of_vmap_of_switch(j, x, i):
    branches = [j.numpy.sin, lambda v: v * v, lambda v: v * v.sum()]
    f = lambda v: j.vmap(lambda at, row: j.lax.switch(at, branches, row))(i, v).sum()
    return j.grad(f)(x)


@program(floats(3), grad=False)
def cond_of_while_in_a_branch(j, x):
    halve = lambda v: j.lax.while_loop(lambda u: j.numpy.abs(u).max() > 0.2, lambda u: u * 0.5, v)
    return j.lax.cond(x[0] > 0, halve, lambda v: -v, x)


@program(floats(5), grad=False)
def scan_of_cond_of_while(j, x):
    halve = lambda u: j.lax.while_loop(lambda u: u > 0.3, lambda u: u * 0.5, u)
    return j.lax.scan(lambda c, u: (j.lax.cond(u > 0, halve, lambda u: u, u) + c, c), 0.0, x)


@program(floats(4))
def cond_in_cond_under_grad(j, x):
    def f(v):
        inner = lambda u: j.lax.cond(u[1] > 0, j.numpy.sin, j.numpy.exp, u)
        return j.lax.cond(v[0] > 0, inner, lambda u: u**2, v).sum()

    return j.grad(f)(x)


@program(floats(3))
def cond_with_integer_results(j, x):
    f = lambda v: j.lax.cond(v[0] > 0, lambda u: (u, 1), lambda u: (-u, 2), v)
    return f(x), j.grad(lambda v: f(v)[0].sum())(x)


@program(floats(3))
def cond_of_what_is_not_differentiated(j, x):
    f = lambda v, n: j.lax.cond(n > 2, lambda u, k: u * k, lambda u, k: u + k, v, n).sum()
    return j.grad(f)(x, 3), j.grad(f)(x, 1)


# --- loops ----------------------------------------------------------------------------------------


@program(floats(3), grad=False)
def jacfwd_of_while_loop(j, x):
    f = lambda v: j.lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * v), (0, v))[1]
    return j.jacfwd(f)(x)


@program(floats(3, 2), ints(3, low=1, high=5), grad=False)
def jvp_of_vmap_of_while(j, x, n):
    def power(v, k):
        return j.lax.fori_loop(0, k, lambda i, c: c * v, v)

    f = lambda v: j.vmap(power)(v, n)
    return j.jvp(f, (x,), (j.numpy.ones_like(x),))


@program(floats(3), grad=False)
def vmap_of_jvp_of_while(j, x):
    root = lambda v: j.lax.while_loop(lambda u: u > 0.5, lambda u: u / (1 + v * v), v + 3)
    return j.vmap(lambda v: j.jvp(root, (v,), (1.0,)))(x)


@program(floats(4, 3))
def remat_inside_scan_under_vmap(j, x):
    body = j.checkpoint(lambda c, u: (j.numpy.tanh(c * u) + u, j.numpy.sin(c)))
    run = lambda row: j.lax.scan(body, row[0], row)[1].sum()
    return j.vmap(j.grad(run))(x)


@program(floats(4, 3))
def scan_of_a_scan_under_remat(j, x):
    inner = lambda c, u: (c * 0.5 + u, c * u)

    def loss(v):
        run = j.checkpoint(lambda m: j.lax.scan(lambda c, row: j.lax.scan(inner, c, row), 1.0, m))
        return (run(v)[1] ** 2).sum()

    return j.grad(loss)(x)


@program(floats(5))
def hessian_of_fori_loop(j, x):
    return j.hessian(lambda v: j.lax.fori_loop(0, 3, lambda i, c: c * v[i] + v.sum(), v[4]))(x)


@program(floats(4))
def grad_of_jvp_of_scan(j, x):
    run = lambda v: j.lax.scan(lambda c, u: (j.numpy.sin(c * u), None), 1.0, v)[0]
    return j.grad(lambda v: j.jvp(run, (v,), (v * v,))[1])(x)


@program(floats(4))
def jvp_of_grad_of_reverse_scan(j, x):
    run = lambda v: j.lax.scan(lambda c, u: (c * u + c, c), 1.0, v, reverse=True)[1].sum()
    return j.jvp(j.grad(run), (x,), (j.numpy.ones_like(x),))


@program(floats(6, 2))
def grad_of_map_in_batches(j, x):
    return j.grad(lambda v: j.lax.map(lambda r: j.numpy.prod(r), v, batch_size=4).sum())(x)


@program(floats(3))
def scan_with_mixed_carries(j, x):
    def step(c, u):
        n, flag, v = c
        return (n + 1, j.numpy.logical_not(flag), j.numpy.where(flag, v * u, v + u)), (n, flag)

    return j.lax.scan(step, (0, True, 1.0), x)


@program(floats(3, 5))
def grad_of_associative_scan(j, x):
    f = lambda v: (j.lax.associative_scan(lambda a, b: a * b, v, axis=1) ** 2).sum()
    return j.grad(f)(x)


@program(floats(2, 3), floats(3, 3))
def vmap_of_grad_of_rnn_by_weights(j, x, w):
    def loss(m, row):
        return j.lax.scan(lambda h, u: (j.numpy.tanh(m @ h + u), h), row, row)[0].sum()

    return j.vmap(j.grad(loss), (None, 0))(w, x)


@program(floats(3), floats(2), grad=False)
def while_with_a_batched_predicate_and_captures(j, x, w):
    f = lambda v: j.lax.while_loop(lambda s: s.sum() < 4, lambda s: s + w.sum() ** 2 + 0.5, v * w)
    return j.vmap(f)(x)


# --- rules by hand --------------------------------------------------------------------------------


@program(floats(3))
def hessian_of_custom_jvp(j, x):
    f = log1pexp(j)
    return j.hessian(lambda v: f(v).sum())(x)


@program(floats(3))
def custom_jvp_differentiated_four_ways(j, x):
    f = lambda v: log1pexp(j)(v).sum()
    one = j.numpy.ones_like(x)
    return (
        j.grad(lambda v: j.jvp(f, (v,), (one,))[1])(x),
        j.jvp(j.grad(f), (x,), (one,)),
        j.jvp(lambda v: j.jvp(f, (v,), (one,)), (x,), (one,)),
        j.value_and_grad(lambda v: j.value_and_grad(f)(v)[0])(x),
    )


@program(floats(3))
def primal_of_a_rule_keeps_its_derivative(j, x):
    """The rule says that the derivative is 3 times what it is, at every order."""

    @j.custom_jvp
    def f(v):
        return j.numpy.exp(v)

    f.defjvps(lambda t, out, v: 3.0 * t * out)
    value_of_jvp = lambda v: j.jvp(f, (v,), (j.numpy.ones_like(v),))[0].sum()
    return j.grad(value_of_jvp)(x), j.grad(j.grad(lambda v: f(v)))(x[0])


@program(floats(4, 3))
def custom_jvp_in_scan_under_vmap_and_grad(j, x):
    f = log1pexp(j)
    run = lambda row: j.lax.scan(lambda c, u: (f(c * u), c), 1.0, row)[0]
    return j.vmap(j.grad(run))(x), j.grad(lambda v: j.vmap(run)(v).sum())(x)


@program(floats(3))
def custom_vjp_in_cond_in_scan(j, x):
    f = clipped(j)
    step = lambda c, u: (j.lax.cond(u > 0, f, lambda v: v * 2, c) + u, c)
    return j.grad(lambda v: j.lax.scan(step, v[0], v)[0])(x)


@program(floats(3), grad=False)
def custom_jvp_in_while_under_jvp(j, x):
    f = log1pexp(j)
    g = lambda v: j.lax.while_loop(lambda s: s.sum() < 9, lambda s: f(s) + 1, v)
    return j.jvp(g, (x,), (j.numpy.ones_like(x),))


@program(floats(3))
def jacfwd_of_jacrev_of_custom_vjp(j, x):
    f = clipped(j)
    return j.jacfwd(j.jacrev(lambda v: f(v) * v.sum()))(x)


@program(floats(3), floats(3))
def custom_jvp_of_a_pytree_with_integers(j, x, y):
    @j.custom_jvp
    def f(p, n):
        return {"out": p["a"] * p["b"] * n, "n": n + 1}

    @f.defjvp
    def rule(primals, tangents):
        (p, n), (t, none) = primals, tangents
        along = t["a"] * p["b"] + 2 * p["a"] * t["b"]
        return f(p, n), {"out": along * n, "n": none}

    return j.grad(lambda p: f(p, 3)["out"].sum())({"a": x, "b": y})


@program(floats(3))
def custom_vjp_calls_custom_jvp(j, x):
    inner = log1pexp(j)

    @j.custom_vjp
    def f(v):
        return inner(v) ** 2

    f.defvjp(lambda v: (f(v), v), lambda v, ct: (ct * 2 * inner(v) * j.grad(inner)(v[0]),))
    return j.value_and_grad(lambda v: f(v).sum())(x)


@program(floats(3))
def custom_gradient_scales(j, x):
    @j.custom_gradient
    def f(v):
        return j.numpy.sum(v**2), lambda ct: (ct * 10.0 * v,)

    return f(x), j.grad(f)(x), j.vmap(j.grad(f))(j.numpy.stack([x, x * 2]))


@program(floats(3))
def closure_converted_under_grad(j, x):
    def f(v):
        g, consts = j.closure_convert(lambda u: u * v.sum(), v)
        return g(v * 2, *consts).sum()

    return j.grad(f)(x)


@program(floats(3))
def nondiff_arguments_of_a_rule(j, x):
    power = j.custom_jvp(lambda v, n: v**n, nondiff_argnums=(1,))
    power.defjvp(lambda n, p, t: (p[0] ** n, 5.0 * t[0] * p[0] ** (n - 1)))
    return j.grad(lambda v: power(v, 3).sum())(x), j.jvp(lambda v: power(v, 2), (x,), (x,))


# --- functions that derivatives return ------------------------------------------------------------


@program(floats(3))
def pullback_crosses_a_jit(j, x):
    y, pull = j.vjp(lambda v: j.numpy.sin(v) * v[0], x)
    return j.jit(lambda p, ct: p(ct))(pull, y), pull(y * 2)


@program(floats(3))
def pushforward_crosses_a_jit_and_a_vmap(j, x):
    _, push = j.linearize(lambda v: j.numpy.cumsum(v**2), x)
    return j.jit(lambda p, t: p(t))(push, x), j.vmap(push)(j.numpy.eye(3))


@program(floats(3))
def pullback_returned_from_a_jit(j, x):
    y, pull = j.jit(lambda v: j.vjp(lambda u: j.numpy.tanh(u) * u.sum(), v))(x)
    return y, pull(y)


@program(floats(3))
def pullback_of_a_pullback(j, x):
    def gradient(v):
        y, pull = j.vjp(lambda u: (u**3).sum(), v)
        return pull(y * 0 + 1.0)[0]

    y, pull = j.vjp(gradient, x)
    return y, pull(x)


@program(floats(3), ints(3))
def vjp_with_integers(j, x, n):
    y, pull = j.vjp(lambda v, k: (v * k, k + 1), x, n)
    return y, pull((y[0], n))[0]


@program(floats(2, 3), floats(4, 3))
def transpose_of_a_product(j, x, y):
    f = lambda v: v @ y.T
    return j.linear_transpose(f, x)(f(x))


@program(floats(3), ints(3))
def grad_that_allows_integers(j, x, n):
    g, k = j.grad(lambda v, m: (v * m).sum(), argnums=(0, 1), allow_int=True)(x, n)
    return g, k.shape, k.dtype.names


@program(floats(3), floats(2))
def jacobians_by_two_arguments_with_aux(j, x, y):
    f = lambda a, b: ({"p": a[:2] * b, "s": a.sum()}, b * 2)
    return j.jacrev(f, argnums=(0, 1), has_aux=True)(x, y), j.jacfwd(f, (1, 0), has_aux=True)(x, y)


@program(floats(2))
def hessian_of_a_pytree(j, x):
    f = lambda p: (p["a"] ** 2 * p["b"][0]).sum() + p["b"][0] ** 3
    return j.hessian(f)({"a": x, "b": [x[0]]})


# --- jit everywhere -------------------------------------------------------------------------------


@program(floats(3, 4))
def jit_between_every_transformation(j, x):
    f = j.jit(lambda v: j.numpy.tanh(v) @ v)
    return j.jit(j.vmap(j.jit(j.grad(j.jit(lambda v: f(v) ** 2)))))(x)


@program(floats(4))
def eval_shape_inside_jit_and_grad(j, x):
    def f(v):
        shape = j.eval_shape(lambda u: j.numpy.stack([u, u]), v).shape
        return (v * shape[0]).sum()

    return j.jit(f)(x), j.grad(f)(x)


@program(floats(3))
def jit_of_a_static_argument_under_grad(j, x):
    from functools import partial

    @partial(j.jit, static_argnums=1)
    def f(v, n):
        return (v**n).sum() if n > 1 else v.sum()

    return j.grad(f)(x, 3), j.vmap(j.grad(f), (0, None))(j.numpy.stack([x, x]), 2)


@program(floats(3))
def donated_argument_under_grad(j, x):
    f = j.jit(lambda v: (v * v).sum(), donate_argnums=0)
    return j.grad(f)(x), j.vmap(f)(j.numpy.stack([x, x]))


@program(floats(4, 3))
def make_jaxpr_of_a_composition(j, x):
    jaxpr = j.make_jaxpr(j.vmap(j.grad(lambda v: j.numpy.sin(v).sum())))(x)
    return [tuple(a.shape) for a in jaxpr.out_avals]


@program(floats(3))
def named_call_keeps_values(j, x):
    return j.grad(lambda v: j.named_call(lambda u: (u * u).sum(), name="square")(v))(x)


@program(floats(3, 2))
def checkpoint_with_static_arguments_under_vmap(j, x):
    f = j.checkpoint(lambda v, flag: j.numpy.sin(v) if flag else v, static_argnums=(1,))
    return j.vmap(j.grad(lambda v: f(v, True).sum()))(x)


# --- named axes -----------------------------------------------------------------------------------


@program(floats(4, 3))
def batch_normalisation_by_a_named_axis(j, x):
    def norm(v):
        mean = j.lax.pmean(v, "i")
        return (v - mean) * j.lax.rsqrt(j.lax.pmean((v - mean) ** 2, "i") + 1e-5)

    return j.vmap(norm, axis_name="i")(x)


@program(floats(4, 3))
def gradients_inside_a_named_axis(j, x):
    loss = lambda v: (j.lax.psum(v, "i") * j.lax.all_gather(v, "i")).sum()
    return j.vmap(j.grad(loss), axis_name="i")(x)


@program(floats(4, 8))
def scatter_gather_and_exchange(j, x):
    def f(v):
        part = j.lax.psum_scatter(v, "i", tiled=True)
        mixed = j.lax.all_to_all(v.reshape(4, 2), "i", 0, 1, tiled=True)
        return part, mixed, j.lax.all_gather(part, "i", axis=0, tiled=True)

    return j.vmap(f, axis_name="i")(x)


@program(floats(4, 3))
def ring_in_a_scan(j, x):
    shift = [(i, (i + 1) % 4) for i in range(4)]

    def f(v):
        step = lambda c, _: ((j.lax.ppermute(c[0], "i", shift), c[1] + c[0] * v), None)
        return j.lax.scan(step, (v, v * 0), None, length=4)[0][1]

    return j.vmap(f, axis_name="i")(x)


@program(floats(2, 3, 2), grad=False)
def two_named_axes(j, x):
    def f(v):
        n = j.lax.axis_index("i") * j.lax.axis_size("k") + j.lax.axis_index("k")
        return j.lax.psum(v, ("i", "k")), j.lax.pmax(v, "k") * n, j.lax.pmin(v, "i")

    return j.vmap(j.vmap(f, axis_name="k"), axis_name="i")(x)


@program(floats(4, 3))
def named_axis_inside_jit_and_cond(j, x):
    def f(v):
        total = j.lax.cond(j.lax.psum(v.sum(), "i") > 0, lambda u: u * 2, lambda u: -u, v)
        return j.jit(lambda u: u / j.lax.psum(1.0, "i"))(total)

    return j.vmap(f, axis_name="i")(x)


@program(says="unbound axis name: nowhere")
def axis_index_of_an_unbound_name(j):
    return j.vmap(lambda v: v + j.lax.axis_index("nowhere"), axis_name="i")(j.numpy.ones(3))


@program(says="Reverse-mode differentiation does not work for lax.while_loop")
def grad_of_a_loop_with_a_traced_bound(j):
    f = lambda v, n: j.lax.fori_loop(0, n, lambda i, c: c * v, 1.0)
    return j.jit(j.grad(f))(2.0, 3)


@program(says="branches must have equal output types but they differ")
def cond_of_unequal_shapes(j):
    return j.lax.cond(True, lambda v: v, lambda v: v[:1], j.numpy.ones(3))


@program(says="at vmap out_axes, got axis spec None but output was batched on axis 0")
def vmap_without_an_axis_for_its_result(j):
    return j.vmap(lambda v: v, out_axes=None)(j.numpy.ones(3))


@program(says="unexpected JAX type (e.g. shape/dtype) for argument to VJP function")
def cotangent_of_another_shape(j):
    return j.vjp(lambda v: v * 2, j.numpy.ones(3))[1](j.numpy.ones(2))


@program(says="linearized function called on tangent values inconsistent with the original")
def tangent_of_another_shape(j):
    return j.linearize(lambda v: v * 2, j.numpy.ones(3))[1](j.numpy.ones(2))


@program(says="lower and upper arguments to fori_loop must have equal types")
def fori_loop_with_a_float_bound(j):
    return j.lax.fori_loop(0.0, 3, lambda i, c: c, 1.0)
