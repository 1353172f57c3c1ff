"""Control flow: scan, loops, branches, and their derivatives and batches."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import floats, ints, program


@program(floats(6))
def scan_cumulative_sum(j, x):
    return j.lax.scan(lambda c, v: (c + v, c + v), j.numpy.zeros(()), x)


@program(floats(5, 3), floats(3, 3))
def scan_rnn(j, x, w):
    def step(h, v):
        h = j.numpy.tanh(h @ w + v)
        return h, h.sum()

    return j.lax.scan(step, j.numpy.zeros(3), x)


@program(floats(5, 3), floats(3, 3))
def grad_through_scan(j, x, w):
    def loss(m):
        return j.lax.scan(lambda h, v: (j.numpy.sin(h @ m + v), None), x[0], x)[0].sum()

    return j.grad(loss)(w)


@program(floats(5))
def scan_in_reverse(j, x):
    return j.lax.scan(lambda c, v: (c * 0.5 + v, c), 1.0 * x[0], x, reverse=True)


@program(floats(3))
def scan_with_length_only(j, x):
    return j.lax.scan(lambda c, _: (c * 1.5, c), x, None, length=4)


@program(floats(4, 2), floats(4))
def scan_over_a_tree(j, x, y):
    def step(c, v):
        return {"n": c["n"] + 1, "s": c["s"] + v["x"] * v["y"]}, (v["x"], c["n"])

    start = {"n": j.numpy.zeros((), "int32"), "s": j.numpy.zeros(2)}
    return j.lax.scan(step, start, {"x": x, "y": y})


@program(floats(4, 3))
def scan_inside_scan(j, x):
    inner = lambda c, v: (c + v, c * v)
    return j.lax.scan(lambda c, row: j.lax.scan(inner, c, row), x[0, 0], x)


@program(floats(3, 6))
def vmap_of_scan(j, x):
    run = lambda row: j.lax.scan(lambda c, v: (0.9 * c + v, c), row[0], row)
    return j.vmap(run)(x)


@program(floats(3, 5))
def vmap_of_grad_of_scan(j, x):
    last = lambda row: j.lax.scan(lambda c, v: (j.numpy.sin(c + v), None), row[0], row)[0]
    return j.vmap(j.grad(last))(x)


@program(floats(5))
def jvp_of_scan(j, x):
    run = lambda v: j.lax.scan(lambda c, u: (c * u, c), v[0], v)
    return j.jvp(run, (x,), (j.numpy.ones_like(x),))


@program(floats(4))
def hessian_of_scan(j, x):
    f = lambda v: j.lax.scan(lambda c, u: (c + u * u * c, None), v[0], v)[0]
    return j.hessian(f)(x)


@program(floats(4, 3))
def scan_with_checkpointed_body(j, x):
    body = j.checkpoint(lambda c, v: (j.numpy.tanh(c + v), c))
    return j.grad(lambda v: j.lax.scan(body, v[0], v)[0].sum())(x)


@program(floats(6, 2, 3), floats(3, 2))
def gradient_accumulation_by_scan(j, batches, w):
    loss = lambda p, b: j.numpy.mean((b @ p) ** 2)

    def step(total, b):
        value, g = j.value_and_grad(loss)(w, b)
        return total + g, value

    return j.lax.scan(step, j.numpy.zeros_like(w), batches)


@program(floats(3))
def fori_loop_sums(j, x):
    return j.lax.fori_loop(0, 5, lambda i, c: c + i * x, j.numpy.zeros(3))


@program(floats(4))
def fori_loop_writes_each_place(j, x):
    return j.lax.fori_loop(0, 4, lambda i, a: a.at[i].set(a[i] * i), x)


@program(floats(2))
def grad_through_fori_loop(j, x):
    return j.grad(lambda v: j.lax.fori_loop(0, 3, lambda i, c: c * v + i, v).sum())(x)


@program(floats(2), ints(), grad=False)
def fori_loop_with_a_traced_bound(j, x, n):
    return j.lax.fori_loop(0, n + 2, lambda i, c: c * 2, x)


@program()
def while_loop_collatz(j):
    def step(s):
        n, count = s
        return j.numpy.where(n % 2 == 0, n // 2, 3 * n + 1), count + 1

    start = (j.numpy.asarray(27, "int32"), j.numpy.asarray(0, "int32"))
    return j.lax.while_loop(lambda s: s[0] != 1, step, start)


@program(floats(3), grad=False)
def while_loop_until_small(j, x):
    return j.lax.while_loop(lambda v: j.numpy.abs(v).max() > 0.1, lambda v: v * 0.5, x)


@program(floats(3), grad=False)
def jvp_of_while_loop(j, x):
    f = lambda v: j.lax.while_loop(lambda s: s[0] < 4, lambda s: (s[0] + 1, s[1] * v), (0, v))[1]
    return j.jvp(f, (x,), (j.numpy.ones_like(x),))


@program(ints(4, low=1, high=9), grad=False)
def vmap_of_while_loop(j, n):
    count = lambda k: j.lax.while_loop(lambda s: s[1] > 0, lambda s: (s[0] + 2, s[1] - 1), (0, k))
    return j.vmap(count)(n)


@program(floats(3))
def cond_on_a_sum(j, x):
    return j.lax.cond(x.sum() > 0, lambda v: v * 2, lambda v: -v, x)


@program(floats(3))
def cond_without_operands(j, x):
    return j.lax.cond(x[0] > x[1], lambda: x + 1, lambda: x - 1)


@program(floats(3))
def cond_with_trees(j, x):
    return j.lax.cond(
        x.max() > 1,
        lambda t: {"a": t["a"], "b": t["a"] + 1},
        lambda t: {"a": -t["a"], "b": t["a"]},
        {"a": x},
    )


@program(floats(3))
def grad_of_cond(j, x):
    return j.grad(lambda v: j.lax.cond(v.sum() > 0, j.numpy.sin, j.numpy.exp, v).sum())(x)


@program(floats(5, 3))
def vmap_of_cond(j, x):
    return j.vmap(lambda v: j.lax.cond(v[0] > 0, lambda u: u * 2, lambda u: u - 1, v))(x)


@program(floats())
def cond_guards_the_gradient(j, x):
    safe = lambda v: j.lax.cond(v > 100.0, lambda u: j.numpy.log(u), lambda u: u * 2.0, v)
    return j.grad(safe)(j.numpy.abs(x) * 0.0)


@program(floats(3), ints())
def switch_of_four(j, x, i):
    branches = [lambda v: v, lambda v: v**2, j.numpy.sin, lambda v: v * 0]
    return j.lax.switch(i, branches, x)


@program(floats(3))
def switch_clamps_the_index(j, x):
    branches = [lambda v: v, lambda v: v + 10]
    return j.lax.switch(7, branches, x), j.lax.switch(-3, branches, x)


@program(floats(4, 2), ints(4, high=3))
def vmap_of_switch(j, x, i):
    branches = [lambda v: v, lambda v: -v, lambda v: v * v]
    return j.vmap(lambda at, v: j.lax.switch(at, branches, v))(i, x)


@program(floats(5, 3))
def map_over_rows(j, x):
    return j.lax.map(lambda row: (row.sum(), j.numpy.sort(row)), x)


@program(floats(6, 2))
def map_in_batches(j, x):
    return j.lax.map(lambda row: row * row.sum(), x, batch_size=3)


@program(floats(5, 3))
def grad_of_map(j, x):
    return j.grad(lambda v: j.lax.map(lambda r: j.numpy.prod(r), v).sum())(x)


@program(floats(7))
def associative_scan_of_products(j, x):
    return j.lax.associative_scan(lambda a, b: a * b, x)


@program(floats(3, 5))
def associative_scan_along_an_axis_in_reverse(j, x):
    return j.lax.associative_scan(j.numpy.maximum, x, reverse=True, axis=1)


@program(floats(6), floats(6))
def associative_scan_of_a_linear_recurrence(j, a, b):
    join = lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1])
    return j.lax.associative_scan(join, (a, b))


@program(floats(5, 2, 2))
def associative_scan_of_matrices(j, x):
    return j.lax.associative_scan(j.numpy.matmul, x)


@program(floats(4))
def euler_method_by_scan(j, x):
    def step(state, _):
        q, p = state
        p = p - 0.1 * q
        q = q + 0.1 * p
        return (q, p), (q**2 + p**2).sum()

    return j.lax.scan(step, (x, x * 0), None, length=8)


@program(floats(3, 2), ints(3, high=2))
def scan_with_dynamic_index(j, x, i):
    def step(c, at):
        return c.at[at].add(1.0), c[at]

    return j.lax.scan(step, x[0], i)


@program(floats(4))
def scan_unrolled(j, x):
    return j.lax.scan(lambda c, v: (c + v**2, c), x[0], x, unroll=2)


@program(floats(3), grad=False)
def scan_of_no_steps(j, x):
    return j.lax.scan(lambda c, v: (c + v, c), x, j.numpy.zeros((0, 3)))


@program(floats(3), grad=False)
def cond_inside_while(j, x):
    def step(s):
        i, v = s
        return i + 1, j.lax.cond(i % 2 == 0, lambda u: u * 2, lambda u: u + 1, v)

    return j.lax.while_loop(lambda s: s[0] < 5, step, (0, x))


@program(floats(4, 3))
def scan_inside_jit_inside_vmap(j, x):
    f = j.jit(lambda v: j.lax.scan(lambda c, u: (c + u, c * u), 0.0 * v[0], v)[1])
    return j.vmap(f)(x)
