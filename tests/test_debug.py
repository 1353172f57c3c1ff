"""Callbacks from traced functions: once for each time the function says so, in program order."""

from __future__ import annotations

import numpy as np
import pytest

import tracer
from ir import check, show
from ir.passes.effects import KEPT
from ir.passes.simplify import cse, dce, simplify
from tracer import checkpoint, debug, grad, jit, lax, vmap
from tracer import numpy as jnp


@pytest.fixture(autouse=True, params=["oracle", "device"])
def backend(request):
    tracer.use_backend(request.param)
    yield
    tracer.use_backend(None)


@pytest.fixture
def told(capsys):
    """The lines printed so far, once all programs are done."""

    def lines() -> list[str]:
        tracer.effects_barrier()
        return capsys.readouterr().out.splitlines()

    lines()
    return lines


def test_at_once_and_under_jit(told):
    debug.print("x={x:.1f} {}", "text", x=jnp.array(2.0))
    assert told() == ["x=2.0 text"]

    @jit
    def f(x, name="n"):
        debug.print("{name}: {} {}", x, x.sum(), name=name)
        return x * 2

    f(jnp.arange(3.0))
    f(jnp.arange(2.0))
    assert told() == ["n: [0. 1. 2.] 3.0", "n: [0. 1.] 1.0"]


def test_nothing_is_dropped_or_merged(told):
    def f(x):
        debug.print("a {}", jnp.sin(x) * 0)
        debug.print("a {}", jnp.sin(x) * 0)
        debug.print("none")
        return 1.0

    graph = tracer.graph_of(f)(1.0)
    assert check(graph).effectful
    for rewrite in (dce, cse, simplify):
        assert len([e for e in rewrite(graph).eqns if e.prim.name == "debug_callback"]) == 3
    assert "\n  debug_callback[callback=<print 'none'>, members=()]\n" in show(graph)
    jit(f)(1.0)
    assert told() == ["a 0.0", "a 0.0", "none"]


def test_a_scan_tells_each_iteration(told):
    def step(c, x):
        debug.print("c={} x={}", c, x)
        return c + x, c

    run = jit(lambda xs: lax.scan(step, 0.0, xs))
    carry, ys = run(jnp.arange(3.0))
    assert float(carry) == 3 and ys.shape == (3,)
    assert told() == ["c=0.0 x=0.0", "c=0.0 x=1.0", "c=1.0 x=2.0"]
    lax.scan(step, 0.0, jnp.arange(2.0), reverse=True)
    assert told() == ["c=0.0 x=1.0", "c=1.0 x=0.0"]


def test_loops_in_loops(told):
    def outer(c, i):
        def inner(j, v):
            debug.print("{} {}", i, j)
            return v + j

        return lax.fori_loop(0, 2, inner, c), None

    jit(lambda: lax.scan(outer, 0, jnp.arange(2)))()
    assert told() == ["0 0", "0 1", "1 0", "1 1"]


def test_a_while_loop_tells_its_condition_too(told):
    def going(x):
        debug.print("cond {}", x)
        return x < 2

    def body(x):
        debug.print("body {}", x)
        return x + 1

    assert int(jit(lambda n: lax.while_loop(going, body, n))(0)) == 2
    assert told() == ["cond 0", "body 0", "cond 1", "body 1", "cond 2"]


def test_of_a_long_while_loop_the_end_is_told(told):
    count = KEPT + 20

    def body(x):
        debug.print("{}", x)
        return x + 1

    with pytest.warns(UserWarning, match=f"ran {count} iterations; its callbacks see the last"):
        jit(lambda n: lax.while_loop(lambda x: x < count, body, n))(0)
        lines = told()
    assert lines == [str(i) for i in range(20, count)]


def test_only_the_branch_that_is_taken_tells(told):
    def positive(x):
        debug.print("positive {}", x)
        return x

    def negative(x):
        debug.print("negative {}", x)
        debug.print("its square {}", x * x)
        return -x

    f = jit(lambda x: lax.cond(x > 0, positive, negative, x))
    assert (float(f(2.0)), float(f(-2.0))) == (2, 2)
    assert told() == ["positive 2.0", "negative -2.0", "its square 4.0"]
    h = jit(lambda i: lax.switch(i, [lambda: 0, lambda: debug.print("one") or 1, lambda: 2]))
    assert [int(h(i)) for i in (-1, 1, 7)] == [0, 1, 2]
    assert told() == ["one"]


def test_each_member_of_a_batch(told):
    def f(x, y):
        debug.print("{} {}", x, y)
        return x * y

    jit(vmap(f, (0, None)))(jnp.arange(2.0), 3.0)
    assert told() == ["0.0 3.0", "1.0 3.0"]
    vmap(lambda x: vmap(lambda y: f(x, y))(jnp.arange(2.0)))(jnp.arange(2.0))
    assert told() == ["0.0 0.0", "0.0 1.0", "1.0 0.0", "1.0 1.0"]


def test_gradients_tell_the_forward_pass_once(told):
    def f(x):
        debug.print("x={}", x)
        return x**3

    assert float(grad(f)(2.0)) == 12 and told() == ["x=2.0"]
    assert float(grad(grad(f))(2.0)) == 12 and told() == ["x=2.0"]
    value, pull = tracer.vjp(f, 2.0)
    pull(value)
    assert told() == ["x=2.0"]
    _, push = tracer.linearize(f, 2.0)
    push(1.0)
    assert told() == ["x=2.0"]
    tracer.jvp(f, (2.0,), (1.0,))
    assert told() == ["x=2.0"]
    grad(checkpoint(f))(2.0)
    assert told() == ["x=2.0", "x=2.0"], "rematerialised once more in the backward pass"

    def total(a):
        return lax.scan(lambda c, x: (debug.print("c={}", c), (c * x, None))[1], a, jnp.ones(2))[0]

    grad(total)(2.0)
    assert told() == ["c=2.0", "c=2.0"]
    choose = jit(grad(lambda x: lax.cond(x > 0, f, lambda v: v, x)))
    assert float(choose(2.0)) == 12 and told() == ["x=2.0"]


def test_a_callback_gets_arrays_and_may_fail():
    seen = []
    f = jit(lambda x: debug.callback(lambda a, k: seen.append((a, k)), x, k={"y": [x + 1, 7]}))
    f(1.0)
    tracer.effects_barrier()
    ((a, k),) = seen
    assert isinstance(a, tracer.Array) and float(a) == 1
    assert float(k["y"][0]) == 2 and k["y"][1] == 7
    with pytest.raises(ZeroDivisionError):
        jit(lambda x: debug.callback(lambda a: 1 / 0, x))(1.0)
        tracer.effects_barrier()


def test_what_is_printed_may_be_donated(told):
    @jit
    def f(x):
        debug.print("{}", x)
        return x + 1

    step = jit(lambda x: f(x), donate_argnums=0)
    x = jnp.zeros(2)
    for _ in range(4):
        x = step(x)
    assert told() == [f"[{i}. {i}.]" for i in range(4)]


def test_reading_a_result_makes_the_calls_that_are_due(capsys):
    x = jit(lambda v: (debug.print("{}", v), v + 1)[1])(1.0)
    assert float(x) == 2
    assert capsys.readouterr().out == "1.0\n"


def test_formats_are_checked_when_they_are_traced():
    with pytest.raises(ValueError, match=r"Unused keyword arguments to `debug.print`: .'y'"):
        jit(lambda x: debug.print("{}", x, y=x))(1.0)
    with pytest.raises(ValueError, match="Unused arguments"):
        debug.print("text", jnp.ones(2))
    with pytest.raises(IndexError):
        jit(lambda x: debug.print("{} {}", x))(1.0)
    with pytest.raises(KeyError):
        jit(lambda x: debug.print("{y}", x=x))(1.0)


def test_a_program_without_callbacks_is_as_it_was():
    f = jit(lambda x: x + 1)
    f(np.ones(2, np.float32))
    assert not f._last.call.effects and len(f._last.call.plan.results) == 1
