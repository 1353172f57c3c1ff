"""`cond` and `switch`: values, derivatives and batches, on the oracle and on the device."""

from __future__ import annotations

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import H100, LAVAPIPE, WEBGPU_DEFAULT
from codegen.program import Case, Program, Switch, While, walk
from codegen.table import plan_text
from ir import check, parse, show
from tracer import grad, graph_of, hessian, jit, jvp, lax, vmap
from tracer import numpy as jnp

from .arrays import close

X = np.float32([0.5, -1.0, 2.0])

pytestmark = pytest.mark.usefixtures("backend")


def guarded(x):
    """sqrt, whose derivative at 0 is infinite, where it is defined."""
    return lax.cond(x > 0, jnp.sqrt, lambda v: v * 3, x)


def test_only_the_branch_taken_has_a_gradient():
    for x, want in ((4.0, 0.25), (0.0, 3.0), (-1.0, 3.0)):
        close(grad(guarded)(x), want)
        close(jit(grad(guarded))(x), want)
        close(jvp(guarded, (x,), (2.0,))[1], 2 * want)
    close(grad(grad(guarded))(0.0), 0.0)
    close(hessian(guarded)(4.0), -0.25 * 4.0**-1.5)


def test_each_member_takes_its_own_branch():
    xs = np.float32([4.0, 0.0, 1.0])
    close(vmap(guarded)(xs), [2, 0, 1])
    close(vmap(grad(guarded))(xs), [0.25, 3, 0.5])
    close(vmap(lambda p, v: lax.cond(p, jnp.sin, jnp.cos, v), (None, 0))(True, X), np.sin(X))


def test_a_scan_may_branch():
    def step(c, x):
        return lax.cond(x > 0, lambda c: c * x, lambda c: c + jnp.log(x - 1), c), c

    def last(xs):
        return lax.scan(step, jnp.ones(()), xs)[0]

    xs = np.float32([0.5, 2.0, 3.0])
    close(last(xs), 3.0)
    close(jit(grad(last))(xs), [6.0, 1.5, 1.0])


def test_switch_clamps_and_captures():
    w = jnp.asarray(X)
    branches = [lambda v: v + w, lambda v: v * w, lambda v: v.sum() * w]
    for index, at in ((-5, 0), (1, 1), (2, 2), (99, 2)):
        want = [X + X, X * X, X.sum() * X][at]
        close(lax.switch(index, branches, X), want)
        close(jit(lambda i, x: lax.switch(i, branches, x))(index, X), want)


def collatz(n):
    def step(s):
        return jnp.where(s[0] % 2 == 0, s[0] // 2, 3 * s[0] + 1), s[1] + 1

    return lax.while_loop(lambda s: s[0] != 1, step, (n, 0))[1]


def test_a_branch_that_would_not_end_is_not_run():
    def steps(n):
        return lax.cond(n > 0, collatz, lambda n: n - 1, n)

    run = jit(steps)
    assert [int(run(jnp.asarray(n, "int32"))) for n in (6, 0, 27)] == [8, -1, 111]
    each = jit(lambda ns: lax.scan(lambda c, n: (c + steps(n), steps(n)), 0, ns))
    total, counts = each(np.int32([6, 0, 27]))
    assert int(total) == 118 and counts.tolist() == [8, -1, 111]


def programs(fun, *args):
    return [compile_graph(graph_of(fun)(*args), p, verify=True) for p in (LAVAPIPE, WEBGPU_DEFAULT)]


def test_cheap_branches_are_selected_and_endless_ones_are_steps():
    for program in programs(guarded, 1.0):
        assert not [s for s in walk(program.steps) if isinstance(s, Switch)]
        assert len(program.kernels) == 1
    for program in programs(lambda n: lax.cond(n > 0, collatz, lambda n: n - 1, n), 3):
        (switch,) = (s for s in program.steps if isinstance(s, Switch))
        assert len(switch.steps) == 2 and all(isinstance(c, Case) for c in switch.steps)
        assert any(isinstance(s, While) for s in walk(switch.steps))
        assert Program.from_json(program.to_json()) == program
        assert "one case of" in plan_text(program)


def test_costly_branches_are_steps_where_waiting_is_cheaper():
    w = np.zeros((256, 256), np.float32)

    def power(w, flag):
        return lax.cond(flag, lambda w: w @ w, lambda w: w, w)

    graph = graph_of(power)(w, True)

    def switches(profile):
        steps = compile_graph(graph, profile).steps
        return sum(isinstance(s, Switch) for s in walk(steps))

    assert switches(LAVAPIPE) == 1 and switches(H100) == 0
    eye = 2 * np.eye(256, dtype=np.float32)
    close(jit(power)(eye, True), 4 * np.eye(256))
    close(jit(power)(eye, False), eye)
    close(jit(grad(lambda w: power(w, True).sum()))(eye), np.full((256, 256), 4.0))
    close(jit(grad(lambda w: power(w, False).sum()))(eye), np.ones((256, 256)))


def test_branches_print_and_parse():
    graph = check(graph_of(lambda x: lax.switch(1, [jnp.sin, jnp.cos, jnp.exp], x))(X))
    assert parse(show(graph)).key() == graph.key()
    assert "branches=(graph(" in show(graph)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: lax.cond(X > 0, jnp.sin, jnp.cos, X), TypeError, "Pred must be a scalar, got"),
        (lambda: lax.cond("yes", jnp.sin, jnp.cos, X), TypeError, "of type <class 'str'>"),
        (lambda: lax.switch(0, [], X), ValueError, "Empty branch sequence"),
        (lambda: lax.switch(0.5, [jnp.sin, jnp.cos], X), TypeError, "Index type must be an int"),
        (
            lambda: lax.cond(True, lambda x: {"a": x, "b": x}, lambda x: {"a": x, "b": x[:2]}, X),
            TypeError,
            "The output of true_fun at path ['b'] has type float32[3] but the corresponding output "
            "of false_fun has type float32[2], so the shapes do not match.",
        ),
        (
            lambda: lax.cond(True, lambda x: (x,), lambda x: x, X),
            TypeError,
            "true_fun output is a <class 'tuple'> but false_fun output is a pytree leaf, so their "
            "Python types differ.",
        ),
        (
            lambda: lax.switch(0, [lambda x: x, lambda x: -x, lambda x: x > 0], X),
            TypeError,
            "The output of branch 0 has type float32[3] but the corresponding output of branch2",
        ),
    ],
)
def test_misuse(call, kind, message):
    with pytest.raises(kind) as error:
        call()
    assert message in str(error.value)
    assert "test_branches.py" in str(error.value)
