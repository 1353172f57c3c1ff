"""Transformations and their compositions."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import floats, ints, positive, program


def mlp(j, params, x):
    for w, b in params[:-1]:
        x = j.numpy.tanh(x @ w + b)
    w, b = params[-1]
    return x @ w + b


@program(floats(3, 4))
def grad_of_sum_of_squares(j, x):
    return j.grad(lambda v: j.numpy.sum(v**2))(x)


@program(floats(3))
def grad_of_grad_of_grad(j, x):
    f = lambda v: j.numpy.sin(v) * v**3
    return j.vmap(j.grad(j.grad(j.grad(f))))(x)


@program(floats(4), floats(4))
def grad_with_two_argnums(j, x, y):
    return j.grad(lambda a, b: j.numpy.sum(a * j.numpy.exp(b)), argnums=(0, 1))(x, y)


@program(floats(4), floats(4))
def value_and_grad_of_the_second(j, x, y):
    return j.value_and_grad(lambda a, b: j.numpy.dot(a, b), argnums=1)(x, y)


@program(floats(4))
def value_and_grad_with_aux(j, x):
    def loss(v):
        y = j.numpy.tanh(v)
        return j.numpy.mean(y**2), {"y": y, "n": v.shape[0] * j.numpy.ones(())}

    return j.value_and_grad(loss, has_aux=True)(x)


@program(floats(3, 4), floats(4, 2), floats(2))
def grad_of_a_pytree(j, x, w, b):
    params = {"w": w, "b": b, "nested": [w * 2, (b,)]}

    def loss(p):
        return j.numpy.sum((x @ p["w"] + p["b"] + x @ p["nested"][0] + p["nested"][1][0]) ** 2)

    return j.grad(loss)(params)


@program(floats(3), floats(3))
def jvp_of_a_product(j, x, t):
    return j.jvp(lambda v: j.numpy.sin(v) * v, (x,), (t,))


@program(floats(3), floats(3))
def jvp_of_two_arguments(j, x, t):
    return j.jvp(lambda a, b: (a * b, a + b), (x, x * 2), (t, t * 3))


@program(floats(3), floats(3))
def jvp_of_grad(j, x, t):
    grad = j.grad(lambda v: j.numpy.sum(j.numpy.exp(v) * v**2))
    return j.jvp(grad, (x,), (t,))


@program(floats(3), floats(3))
def grad_of_jvp(j, x, t):
    f = lambda v: j.numpy.sum(j.jvp(lambda u: j.numpy.sin(u) * u, (v,), (t,))[1])
    return j.grad(f)(x)


@program(floats(4))
def hessian_of_rosenbrock(j, x):
    f = lambda v: j.numpy.sum(100.0 * (v[1:] - v[:-1] ** 2) ** 2 + (1 - v[:-1]) ** 2)
    return j.hessian(f)(x)


@program(floats(3))
def jacfwd_and_jacrev_agree(j, x):
    f = lambda v: j.numpy.stack([v[0] * v[1], j.numpy.sin(v[2]), v[0] ** 2, v.sum()])
    return j.jacfwd(f)(x), j.jacrev(f)(x)


@program(floats(3))
def jacfwd_of_jacrev(j, x):
    return j.jacfwd(j.jacrev(lambda v: j.numpy.prod(v) + j.numpy.sum(v**3)))(x)


@program(floats(2, 3))
def jacrev_of_a_pytree_result(j, x):
    return j.jacrev(lambda v: {"s": v.sum(0), "p": j.numpy.tanh(v)})(x)


@program(floats(3, 4))
def hessian_vector_product(j, x):
    f = lambda v: j.numpy.sum(j.numpy.tanh(v) ** 2)
    return j.grad(lambda v: j.numpy.vdot(j.grad(f)(v), j.numpy.ones_like(v)))(x)


@program(floats(5, 3), floats(3, 2))
def vmap_over_rows(j, x, w):
    return j.vmap(lambda row: row @ w)(x)


@program(floats(5, 3), floats(5))
def vmap_with_in_axes_none(j, x, s):
    return j.vmap(lambda v, w: v * w.sum(), in_axes=(0, None))(x, s)


@program(floats(3, 5), floats(5, 2))
def vmap_with_other_axes(j, x, y):
    return j.vmap(lambda a, b: (a[:, None] * b, a.sum()), in_axes=(1, 0), out_axes=(2, 0))(x, y)


@program(floats(4, 3), floats(2, 3))
def vmap_nested_makes_a_table(j, x, y):
    distance = lambda a, b: j.numpy.sum((a - b) ** 2)
    return j.vmap(j.vmap(distance, (None, 0)), (0, None))(x, y)


@program(floats(4, 3), floats(4))
def vmap_over_a_pytree(j, x, s):
    tree = {"x": x, "s": (s,)}
    return j.vmap(lambda t: {"y": t["x"] * t["s"][0], "s": t["s"][0]})(tree)


@program(floats(4, 3), floats(4))
def vmap_with_a_tree_of_axes(j, x, s):
    axes = ({"x": 0, "s": None},)
    return j.vmap(lambda t: t["x"].sum() * t["s"], in_axes=axes)({"x": x, "s": s})


@program(floats(4, 3))
def vmap_with_negative_axes(j, x):
    return j.vmap(lambda v: j.numpy.cumsum(v), in_axes=-1, out_axes=-1)(x)


@program(floats(4, 3))
def vmap_with_axis_size_and_no_mapped_result(j, x):
    return j.vmap(lambda v: j.numpy.ones(2))(x)


@program(floats(4, 3))
def vmap_with_a_named_axis(j, x):
    return j.vmap(lambda v: v - j.lax.pmean(v, "batch"), axis_name="batch")(x)


@program(floats(6, 3), floats(3))
def per_example_gradients(j, x, w):
    loss = lambda p, v: j.numpy.tanh(v @ p) ** 2
    return j.vmap(j.grad(loss), in_axes=(None, 0))(w, x)


@program(floats(6, 3), floats(3))
def grad_of_a_vmapped_loss(j, x, w):
    loss = lambda p: j.vmap(lambda v: j.nn.softplus(v @ p))(x).mean()
    return j.grad(loss)(w)


@program(floats(4, 3))
def vmap_of_jvp(j, x):
    f = lambda v: j.jvp(j.numpy.exp, (v,), (j.numpy.ones_like(v),))[1]
    return j.vmap(f)(x)


@program(floats(4, 3))
def jvp_of_vmap(j, x):
    return j.jvp(j.vmap(lambda v: v * v.sum()), (x,), (j.numpy.ones_like(x),))


@program(floats(3, 4))
def vmap_of_softmax_over_columns(j, x):
    return j.vmap(j.nn.softmax, in_axes=1, out_axes=1)(x)


@program(floats(5, 4), ints(5, high=4))
def vmap_of_an_index(j, x, i):
    return j.vmap(lambda row, at: row[at])(x, i)


@program(floats(5, 4), ints(5, high=4))
def vmap_of_a_scatter(j, x, i):
    return j.vmap(lambda row, at: row.at[at].add(10.0))(x, i)


@program(floats(5, 4), ints(5, high=3))
def vmap_of_dynamic_slice(j, x, i):
    return j.vmap(lambda row, at: j.lax.dynamic_slice(row, (at,), (2,)))(x, i)


@program(floats(3, 4, 4))
def vmap_of_matmul_chain(j, x):
    return j.vmap(lambda m: m @ m.T @ m)(x)


@program(floats(2, 3, 4), floats(2, 4, 5))
def vmap_of_einsum(j, x, y):
    return j.vmap(lambda a, b: j.numpy.einsum("ij,jk->ki", a, b))(x, y)


@program(floats(3, 5))
def vmap_of_jit_of_vmap(j, x):
    return j.vmap(j.jit(j.vmap(lambda s: j.numpy.sin(s) + 1)))(x)


@program(floats(3))
def jit_of_jit_of_grad(j, x):
    return j.jit(j.jit(j.grad(j.jit(lambda v: j.numpy.sum(j.numpy.cos(v))))))(x)


@program(floats(3))
def vjp_pulls_back(j, x):
    y, pull = j.vjp(lambda v: (j.numpy.sin(v), v.sum()), x)
    return y, pull((j.numpy.ones_like(x), 2.0 * j.numpy.ones(())))


@program(floats(3))
def vjp_with_aux(j, x):
    y, pull, aux = j.vjp(lambda v: (v**2, v.sum()), x, has_aux=True)
    return y, pull(y), aux


@program(floats(3))
def vmap_of_a_pullback(j, x):
    y, pull = j.vjp(lambda v: j.numpy.tanh(v) * v[0], x)
    return j.vmap(pull)(j.numpy.eye(3))


@program(floats(3))
def linearize_then_apply(j, x):
    y, push = j.linearize(lambda v: j.numpy.exp(v) * v, x)
    return y, push(j.numpy.ones_like(x)), push(x)


@program(floats(4))
def stop_gradient_inside(j, x):
    return j.grad(lambda v: j.numpy.sum(v * j.lax.stop_gradient(v**2)))(x)


@program(floats(4))
def straight_through_estimator(j, x):
    hard = lambda v: v + j.lax.stop_gradient(j.numpy.round(v) - v)
    return j.grad(lambda v: j.numpy.sum(hard(v) ** 2))(x)


@program(floats(4))
def checkpoint_keeps_the_gradient(j, x):
    f = j.checkpoint(lambda v: j.numpy.sin(j.numpy.sin(v)))
    return j.grad(lambda v: f(v).sum())(x)


@program(floats(4, 4))
def remat_with_a_policy(j, x):
    f = j.remat(lambda v: j.numpy.tanh(v @ v) @ v, policy=j.checkpoint_policies.dots_saveable)
    return j.grad(lambda v: f(v).sum())(x)


@program(positive(3))
def custom_vjp_clips_the_cotangent(j, x):
    @j.custom_vjp
    def f(v):
        return j.numpy.log(v)

    f.defvjp(lambda v: (f(v), v), lambda v, ct: (j.numpy.clip(ct / v, -1.0, 1.0),))
    return f(x), j.grad(lambda v: f(v).sum())(x)


@program(floats(3), floats(3))
def custom_vjp_with_nondiff_argnums(j, x, y):
    def scaled(k, a, b):
        return k * a * b

    f = j.custom_vjp(scaled, nondiff_argnums=(0,))
    f.defvjp(
        lambda k, a, b: (scaled(k, a, b), (a, b)),
        lambda k, res, ct: (ct * res[1] * k, -ct * res[0]),
    )
    return j.grad(lambda a, b: f(2.0, a, b).sum(), (0, 1))(x, y)


@program(floats(3, 2))
def custom_vjp_under_vmap(j, x):
    @j.custom_vjp
    def f(v):
        return v**2

    f.defvjp(lambda v: (v**2, v), lambda v, ct: (ct * 100.0 * v,))
    return j.vmap(j.grad(lambda v: f(v).sum()))(x)


@program(floats(3))
def custom_jvp_with_its_own_rule(j, x):
    @j.custom_jvp
    def f(v):
        return j.numpy.exp(v)

    @f.defjvp
    def rule(primals, tangents):
        (v,), (t,) = primals, tangents
        return f(v), 3.0 * t * f(v)

    return j.jvp(f, (x,), (j.numpy.ones_like(x),)), j.grad(lambda v: f(v).sum())(x)


@program(floats(3))
def custom_jvp_with_defjvps(j, x):
    f = j.custom_jvp(lambda a, b: a * b)
    f.defjvps(lambda t, out, a, b: 7.0 * t * b, lambda t, out, a, b: t * a)
    return j.grad(lambda a, b: f(a, b).sum(), (0, 1))(x, x + 1)


@program(floats(3, 4))
def eval_shape_of_a_tree(j, x):
    found = j.eval_shape(lambda v: {"a": v @ v.T, "b": (v.sum(), v > 0)}, x)
    return {"a": found["a"].shape, "b": [(s.shape, str(s.dtype)) for s in found["b"]]}


@program()
def eval_shape_of_a_struct(j):
    struct = j.ShapeDtypeStruct((2, 5), j.numpy.float32)
    out = j.eval_shape(lambda v: j.numpy.argmax(v, axis=1), struct)
    return out.shape, str(out.dtype)


@program()
def jit_with_a_static_argument(j):
    f = j.jit(lambda x, n: x * n if n > 2 else x, static_argnums=1)
    return f(j.numpy.arange(3.0), 5), f(j.numpy.arange(3.0), 1)


@program()
def jit_with_a_static_name(j):
    @j.jit
    def inner(x):
        return x + 1

    f = j.jit(lambda x, mode="a": inner(x) if mode == "a" else x, static_argnames=("mode",))
    return f(j.numpy.arange(3.0)), f(j.numpy.arange(3.0), mode="b")


@program()
def jit_decorator_with_partial(j):
    from functools import partial

    @partial(j.jit, static_argnames="n")
    def power(x, n):
        return x**n

    return power(j.numpy.arange(4.0), n=3)


@program()
def jit_donates(j):
    step = j.jit(lambda s, g: {k: s[k] - 0.1 * g[k] for k in s}, donate_argnums=0)
    state = {"a": j.numpy.ones(3), "b": j.numpy.zeros((2, 2))}
    for _ in range(3):
        state = step(state, {"a": j.numpy.ones(3), "b": j.numpy.full((2, 2), 2.0)})
    return state


@program()
def jit_keeps_python_side_effects_at_trace_time(j):
    calls = []

    @j.jit
    def f(x):
        calls.append(x.shape)
        return x * 2

    f(j.numpy.ones(3)), f(j.numpy.zeros(3)), f(j.numpy.ones((2, 2)))
    return calls


@program()
def lower_compile_and_call(j):
    x = j.numpy.arange(4.0)
    compiled = j.jit(lambda v: j.numpy.sin(v) * 2).lower(x).compile()
    return compiled(x), isinstance(compiled.as_text(), str)


@program()
def lowered_text_names_the_shape(j):
    text = j.jit(lambda v: v + 1).lower(j.ShapeDtypeStruct((7,), j.numpy.float32)).as_text()
    return isinstance(text, str), "7" in text


@program()
def make_jaxpr_lists_the_results(j):
    jaxpr = j.make_jaxpr(lambda x: (x * 2, x.sum()))(j.numpy.ones((3, 2)))
    return [tuple(a.shape) for a in jaxpr.out_avals], [tuple(a.shape) for a in jaxpr.in_avals]


@program(floats(3, 4), floats(4, 5), floats(5), floats(5, 1), floats(1))
def mlp_training_step(j, x, w1, b1, w2, b2):
    params = [(w1, b1), (w2, b2)]
    loss = lambda p: j.numpy.mean(mlp(j, p, x) ** 2)
    value, grads = j.value_and_grad(loss)(params)
    return value, j.tree.map(lambda p, g: p - 0.1 * g, params, grads)


@program(floats(2, 3), grad=False)
def disable_jit_runs_eagerly(j, x):
    with j.disable_jit():
        return j.jit(lambda v: v * 2 + 1)(x)


@program(floats(3, 3))
def grad_through_a_python_loop(j, x):
    def power(v):
        out = v
        for _ in range(3):
            out = out @ v
        return j.numpy.trace(out)

    return j.grad(power)(x)


@program()
def device_put_and_get(j):
    import numpy as np

    x = j.device_put({"a": np.arange(3, dtype=np.float32), "b": np.int32(4)})
    return j.device_get(x), j.block_until_ready(x)["a"] * 2


@program(floats(3))
def named_scope_changes_nothing(j, x):
    with j.named_scope("block"):
        return x * 2


@program()
def jit_of_a_method(j):
    class Scale:
        def __init__(self, k):
            self.k = k

        @j.jit
        def plain(x):
            return x * 3

        def apply(self, x):
            return j.jit(lambda v: v * self.k)(x)

    return Scale(2.0).apply(j.numpy.ones(3)), Scale.plain(j.numpy.ones(2))


@program(floats(4))
def linear_transpose_of_a_slice(j, x):
    transpose = j.linear_transpose(lambda v: 2.0 * v[1:3], x)
    return transpose(j.numpy.ones(2))


@program(floats(3, 3))
def newton_step_by_hessian(j, x):
    f = lambda v: j.numpy.sum(j.numpy.log1p(j.numpy.exp(v)) + v**2)
    gradient = j.vmap(j.grad(f))(x)
    curvature = j.vmap(lambda v: j.numpy.diagonal(j.hessian(f)(v)))(x)
    return x - gradient / curvature
