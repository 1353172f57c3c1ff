"""Control flow: values and gradients against Python loops, on the oracle and on the device."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import WEBGPU_DEFAULT
from codegen.program import Loop, Program
from ir import check
from ir.passes.simplify import dce
from tracer import grad, graph_of, jit, lax, value_and_grad
from tracer import numpy as jnp

RANDOM = np.random.default_rng(7)
W = (RANDOM.standard_normal((6, 6)) * 0.3).astype(np.float32)
START = RANDOM.standard_normal(6).astype(np.float32)
XS = RANDOM.standard_normal((9, 6)).astype(np.float32)

pytestmark = pytest.mark.usefixtures("backend")


def step(w):
    def body(carry, x):
        carry = jnp.tanh(w @ carry + x)
        return carry, {"twice": 2 * carry, "sum": carry.sum()}

    return body


def scanned(w, start, xs, reverse=False):
    carry, ys = lax.scan(step(w), start, xs, reverse=reverse)
    return jnp.sum(carry * carry) + jnp.sum(ys["twice"] ** 2) + jnp.sum(ys["sum"] ** 3)


def unrolled(w, start, xs, reverse=False):
    carry, total = start, 0.0
    for i in reversed(range(len(XS))) if reverse else range(len(XS)):
        carry, y = step(w)(carry, xs[i])
        total = total + jnp.sum(y["twice"] ** 2) + y["sum"] ** 3
    return jnp.sum(carry * carry) + total


@pytest.mark.parametrize("reverse", [False, True])
def test_scan_is_the_loop_and_so_is_its_gradient(reverse):
    both = jit(value_and_grad(lambda *a: scanned(*a, reverse=reverse), argnums=(0, 1, 2)))
    loop = jit(value_and_grad(lambda *a: unrolled(*a, reverse=reverse), argnums=(0, 1, 2)))
    value, grads = both(W, START, XS)
    wanted, wanted_grads = loop(W, START, XS)
    np.testing.assert_allclose(value, wanted, rtol=1e-5)
    for got, want in zip(grads, wanted_grads, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=1e-5)


def test_scan_stacks_in_the_place_of_its_x():
    _, ys = lax.scan(lambda c, x: (c + x, c), jnp.zeros(()), np.arange(5, dtype="f"), reverse=True)
    np.testing.assert_array_equal(ys, [10, 9, 7, 4, 0])


def test_scan_without_xs_and_without_iterations():
    carry, ys = lax.scan(lambda c, _: (c * 2, c), jnp.ones(3), None, length=4)
    np.testing.assert_array_equal(carry, [16] * 3)
    assert ys.shape == (4, 3)
    carry, ys = lax.scan(lambda c, x: (c + x, x), jnp.ones(3), np.zeros((0, 3), np.float32))
    np.testing.assert_array_equal(carry, [1] * 3)
    assert ys.shape == (0, 3)


def test_scan_swaps_its_carry():
    pair, _ = lax.scan(lambda c, _: ((c[1], c[0]), None), (jnp.zeros(2), jnp.ones(2)), None, 3)
    np.testing.assert_array_equal(pair, [[1, 1], [0, 0]])


def test_nested_scan_and_second_order():
    def power(x):
        return lax.scan(lambda c, _: (c * x, None), jnp.ones(()), None, 3)[0]

    def total(x):
        return lax.scan(lambda c, _: (c + power(x), None), jnp.zeros(()), None, 2)[0]

    assert float(jit(total)(2.0)) == 16.0
    np.testing.assert_allclose(jit(grad(total))(2.0), 24.0)
    np.testing.assert_allclose(jit(grad(grad(total)))(2.0), 24.0)


def test_fori_map_cond_switch():
    assert int(lax.fori_loop(2, 6, lambda i, x: x + i, jnp.asarray(0, "int32"))) == 14
    np.testing.assert_allclose(lax.map(lambda x: x.sum(), XS), XS.sum(1), rtol=1e-5)
    assert float(lax.cond(True, lambda x: x + 1, lambda x: x - 1, 3.0)) == 4
    branches = [lambda x: x, lambda x: 2 * x, lambda x: 3 * x]
    assert [float(lax.switch(i, branches, 1.0)) for i in (-1, 1, 7)] == [1, 2, 3]
    np.testing.assert_allclose(
        lax.associative_scan(jnp.add, XS), XS.cumsum(0), rtol=1e-5, atol=1e-6
    )


def test_while_loop_depends_on_data_and_nests():
    def steps(n):
        def body(s):
            n, k = s
            return jnp.where(n % 2 == 0, n // 2, 3 * n + 1), k + 1

        return lax.while_loop(lambda s: s[0] != 1, body, (n, jnp.asarray(0, "int32")))[1]

    found = [int(jit(steps)(jnp.asarray(n, "int32"))) for n in (1, 6, 27)]
    assert found == [0, 8, 111]
    _, each = lax.scan(lambda c, n: (c, steps(n)), jnp.zeros(()), np.asarray([1, 6, 27], np.int32))
    np.testing.assert_array_equal(each, [0, 8, 111])


def test_errors_name_the_types_and_the_line():
    with pytest.raises(
        TypeError,
        match=r"must have equal types, but they differ:\n\nThe input carry c has type float32\[3\]"
        r".*has type int32\[3\], so the dtypes do not match[\s\S]*test_control",
    ):
        lax.scan(lambda c, _: (c.astype("int32"), None), jnp.ones(3), None, 2)
    with pytest.raises(ValueError, match="different leading axis sizes"):
        lax.scan(lambda c, x: (c, x), 0.0, (np.zeros(3), np.zeros(4)))
    with pytest.raises(TypeError, match="must be a pair"):
        lax.scan(lambda c, x: c, 0.0, np.zeros(3))
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        grad(lambda x: lax.while_loop(lambda v: v < 9, lambda v: v * 2, x))(1.0)
    with pytest.raises(TypeError, match="cond branches must have equal output types"):
        lax.cond(True, lambda x: x, lambda x: x.astype("int32"), 1.0)


def test_a_loop_is_compiled_once_whatever_its_length():
    def program(length):
        run = lambda x: lax.fori_loop(0, length, lambda i, v: v * 0.5 + 1, x)  # noqa: E731
        return compile_graph(graph_of(run)(np.ones(8, np.float32)), WEBGPU_DEFAULT)

    short, long = program(3), program(3000)
    assert len(short.kernels) == len(long.kernels)
    loops = [s for s in long.steps if isinstance(s, Loop)]
    assert [s.count for s in loops] == [3000]
    assert long.dispatch_count - short.dispatch_count == 2997 * len(loops[0].steps)
    assert Program.from_json(long.to_json()) == long


def test_loops_compute_no_gradients_that_nobody_reads():
    def loss(w, start, xs):
        def body(c, x):
            h, n = c
            return (jnp.tanh(w @ h + x), n + 1), (h, jnp.sin(x))

        (h, _), (hs, _) = lax.scan(body, (start, 0), xs)
        return jnp.sum(hs) + jnp.sum(h)

    def loops(argnums):
        graph = dce(graph_of(grad(loss, argnums))(W, START, XS))
        return [e for e in graph.eqns if e.prim.name == "scan"]

    for argnums, results in ((0, 2), (1, 1), ((0, 1, 2), 3)):
        forward, backward = loops(argnums)
        assert len(forward.outs) == 2  # h, and h before each iteration
        assert len(backward.outs) == results
        assert all("sin" not in str(e.params["body"]) for e in (forward, backward))


def test_dead_results_of_branches_and_while_loops_go():
    def fun(x):
        a, b = lax.cond(x[0] > 0, lambda v: (v, jnp.sin(v)), lambda v: (v + 1, jnp.exp(v)), x)
        c, d = lax.while_loop(lambda s: s[0].sum() < 9, lambda s: (s[0] + 1, s[1] * x), (a, b))
        return c

    graph = dce(graph_of(fun)(START))
    (branch,) = (e for e in graph.eqns if e.prim.name == "cond")
    (loop,) = (e for e in graph.eqns if e.prim.name == "while_loop")
    assert len(branch.outs) == 1 and "exp" not in str(branch.params["branches"])
    assert len(loop.outs) == 1 and "mul" not in str(loop.params["step"])
    assert loop.params["consts"] == 0
    check(graph)
    np.testing.assert_allclose(jit(fun)(START), fun(START), rtol=1e-6)


@pytest.mark.parametrize("unroll", [2, 3, 4, 9, 20, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_unrolled_scans_do_the_same(unroll, reverse):
    def run(w, start, xs, unroll):
        carry, ys = lax.scan(step(w), start, xs, reverse=reverse, unroll=unroll)
        return carry, ys["twice"], ys["sum"]

    want = run(W, START, XS, 1)
    for got, ref in zip(run(W, START, XS, unroll), want, strict=True):
        np.testing.assert_allclose(got, ref, rtol=1e-4, atol=1e-6)
    loss = lambda w, n: sum(jnp.sum(y * y) for y in run(w, START, XS, n))  # noqa: E731
    got, ref = (jit(grad(lambda w, n=n: loss(w, n)))(W) for n in (unroll, 1))
    np.testing.assert_allclose(got, ref, rtol=1e-3, atol=1e-4)
    graph = graph_of(lambda w: loss(w, unroll))(W)
    lengths = [e.params["length"] for e in graph.eqns if e.prim.name == "scan"]
    assert lengths == ([] if unroll > 4 or unroll is True else [9 // unroll])


def test_fori_loop_unrolls_only_what_it_can_count():
    assert float(lax.fori_loop(0, 5, lambda i, c: c * 2, 1.0, unroll=3)) == 32
    with pytest.raises(ValueError, match="if the loop bounds are statically known"):
        jit(lambda n: lax.fori_loop(0, n, lambda i, c: c, 1.0, unroll=2))(3)
