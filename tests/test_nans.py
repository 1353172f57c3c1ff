"""`debug_nans` and `debug_infs`: the first operation at fault, where it is, and what led there."""

from __future__ import annotations

import numpy as np
import pytest

import tracer
from ir.blame import blame
from tracer import checkpoint, custom_vjp, debug_infs, debug_nans, grad, graph_of, jit, lax
from tracer import numpy as jnp

NAN = r"^invalid value \(nan\) encountered in "


@pytest.fixture(autouse=True, params=["oracle", "device"])
def backend(request):
    tracer.use_backend(request.param)
    with debug_nans(True):
        yield
    tracer.use_backend(None)


def test_the_first_operation_its_types_and_line():
    @jit
    def f(x, y):
        fine = x * 2
        ratio = x / y
        return fine + jnp.log(ratio)

    assert f(jnp.ones(2), jnp.ones(2)).tolist() == [2, 2]
    with pytest.raises(FloatingPointError, match=rf"{NAN}div") as caught:
        f(jnp.zeros(2), jnp.zeros(2))
    lines = str(caught.value).splitlines()
    assert lines[1] == "f32[2] = div f32[2], f32[2]"
    assert __file__ in lines[-1] and lines[-1].endswith("ratio = x / y")


def test_at_once():
    with pytest.raises(FloatingPointError, match=rf"(?s){NAN}div.*zeros / zeros"):
        zeros = jnp.zeros(2)
        zeros / zeros


def test_what_no_result_depends_on_is_not_blamed():
    @jit
    def f(x):
        hidden = jnp.log(x)
        return jnp.where(x > 0, hidden, 0.0), jnp.sqrt(x)

    with pytest.raises(FloatingPointError, match=rf"{NAN}sqrt"):
        f(-1.0)
    assert float(jit(lambda x: jnp.where(x > 0, jnp.log(x), 0.0))(-1.0)) == 0


def test_an_argument_that_came_with_it():
    told = rf"(?s){NAN}add.*the argument w of <lambda> came with it"
    with pytest.raises(FloatingPointError, match=told):
        jit(lambda w: w + 1)(np.float32(np.nan))


def test_the_iteration_of_a_scan():
    def step(c, x):
        y = c - x
        return jnp.sqrt(y), c

    told = rf"(?s){NAN}sqrt\nf32\[\] = sqrt f32\[\]\nin iteration 2 of scan\n.*jnp.sqrt\(y\)"
    with pytest.raises(FloatingPointError, match=told):
        jit(lambda a: lax.scan(step, a, jnp.ones(5)))(2.0)
    with pytest.raises(FloatingPointError, match="in iteration 4 of scan"):
        lax.scan(step, 0.5, jnp.ones(5), reverse=True)


def test_loops_branches_and_calls_are_entered():
    down = jit(lambda a: lax.while_loop(lambda c: c < 5, jnp.log, a))
    with pytest.raises(FloatingPointError, match=r"in iteration 2 of while_loop"):
        down(2.0)
    choose = jit(lambda a: lax.cond(a > 0, lambda v: jnp.log(-v), lambda v: v, a))
    with pytest.raises(FloatingPointError, match=r"log\n.*\nin branch 1 of cond"):
        choose(2.0)
    own = custom_vjp(lambda x: jnp.sqrt(x - 5))
    own.defvjp(lambda x: (own(x), x), lambda x, ct: (ct,))
    with pytest.raises(FloatingPointError, match=rf"(?s){NAN}sqrt.*own = custom_vjp"):
        jit(own)(1.0)
    with pytest.raises(FloatingPointError, match=rf"{NAN}log"):
        jit(grad(checkpoint(lambda x: jnp.log(x) * x)))(-1.0)


def test_donated_arguments_can_still_be_examined():
    f = jit(lambda s, x: s + jnp.log(x), donate_argnums=0)
    s = f(jnp.ones(2), 1.0)
    with pytest.raises(FloatingPointError, match=rf"{NAN}log"):
        f(s, -1.0)


def test_infinities_have_a_switch_of_their_own():
    f = jit(jnp.exp)
    assert float(f(1000.0)) == np.inf
    with debug_infs(True), pytest.raises(FloatingPointError, match=r"value \(inf\) .* in exp"):
        f(1000.0)
    with debug_nans(False):
        assert np.isnan(float(jit(jnp.log)(-1.0)))


def test_blame_of_a_result_that_is_fine_or_an_input():
    graph = graph_of(lambda x: (x, x * 2))(1.0)
    bad = np.float32(np.nan)
    assert blame(graph, [np.float32(1)], lambda x: bool(np.isnan(x).any())) is None
    found = blame(graph, [bad], lambda x: bool(np.isnan(x).any()))
    assert found.input == 0 and found.eqn.prim.name == "mul"


def test_a_value_that_only_the_device_gives_is_looked_for_there(monkeypatch):
    from tracer import nans

    ran = []

    def spoiled(eqn, ins):
        ran.append(eqn.prim.name)
        return [np.full(v.aval.shape, np.nan, v.aval.dtype.np) for v in eqn.outs]

    monkeypatch.setattr(nans, "run_on_device", spoiled)
    graph = graph_of(lambda x: jnp.sin(x) + 1)(1.0)
    error = nans.error(graph, [[np.float32(1)]], "nan", "f")
    assert str(error).startswith("invalid value (nan) encountered in sin") and ran == ["sin", "add"]


def test_one_equation_runs_on_the_device():
    from tracer.nans import run_on_device

    (eqn,) = graph_of(lambda x: jnp.maximum(x, 2.0))(jnp.ones(3)).eqns[-1:]
    ins = [np.float32([1, 2, 3]), np.full(3, 2, np.float32)]
    assert run_on_device(eqn, ins)[0].tolist() == [2, 2, 3]
