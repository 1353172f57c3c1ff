"""Primitives that users define: defaults that follow from `expand`, and kernels of their own.

Invariant: nothing here touches what is registered by others; each primitive is gone afterwards.
"""

from __future__ import annotations

import numpy as np
import pytest

from codegen.compile import CompileError, compile_graph
from codegen.handwritten import Handwritten
from codegen.profile import PROFILES
from ir import PRIMITIVES, Aval, f32
from ir.fingerprint import fingerprint
from tests import naga
from tracer import grad, graph_of, jit, jvp, lax, vmap
from tracer import numpy as jnp
from tracer.extend import Operation, register

SOURCE = """
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
  if (at.x < COUNT) {
    above[at.x] = max(left[at.x], right[at.x]);
    below[at.x] = min(left[at.x], right[at.x]);
  }
}
"""
X = np.linspace(-2, 2, 10, dtype=np.float32)
Y = X[::-1].copy()


@pytest.fixture(autouse=True)
def registered():
    before = dict(PRIMITIVES)
    yield
    PRIMITIVES.clear()
    PRIMITIVES.update(before)


def sorted_pair(**change):
    """(max, min) of two arrays, with a kernel; `change` are fields of it."""

    @register
    class pair(Operation):
        name = "pair"
        multi = True

        def typeof(self, x, y):
            if x != y:
                raise TypeError(f"pair needs operands of one type, got {x} and {y}")
            return x, x

        def expand(self, x, y):
            return jnp.maximum(x, y), jnp.minimum(x, y)

        def kernel(self, profile, x, y):
            if x.dtype is not f32:
                return None
            given = dict(
                source=SOURCE,
                operands=("left", "right"),
                results=("above", "below"),
                grid=(-(-x.size // 64), 1, 1),
                constants={"COUNT": x.size, "THREADS": 64},
            )
            return Handwritten(**{**given, **change})

    return pair


def compiled(fun, *args, profile="webgpu-default"):
    return compile_graph(graph_of(fun)(*args), PROFILES[profile], verify=True)


@pytest.mark.device
@pytest.mark.parametrize("profile", PROFILES)
def test_its_kernel_is_used_and_valid(profile):
    pair = sorted_pair()
    program = compiled(pair, X, Y, profile=profile)
    (kernel,) = program.kernels
    assert (kernel.template, kernel.workgroup) == ("handwritten", (64, 1, 1))
    assert "above: f32[10], below: f32[10] = pair left right" in kernel.wgsl
    naga.check(kernel.wgsl)


@pytest.mark.device
def test_values_derivatives_batches_and_loops_follow_from_the_expansion():
    pair = sorted_pair()
    above, below = jit(pair)(X, Y)
    np.testing.assert_array_equal(above, np.maximum(X, Y))
    np.testing.assert_array_equal(below, np.minimum(X, Y))
    assert np.array_equal(pair(X, Y)[0], above)  # at once, and by the oracle
    assert np.array_equal(PRIMITIVES["pair"].eval(X, Y)[1], below)

    slopes = jit(grad(lambda x: jnp.sum(pair(x, Y)[0] * 3)))(X)
    np.testing.assert_array_equal(slopes, 3 * (X > Y))
    _, moved = jvp(lambda x: pair(x, Y)[1], (X,), (np.ones_like(X),))
    np.testing.assert_array_equal(moved, X < Y)
    rows = jit(vmap(lambda x: pair(x, Y)[0]))(np.stack([X, X + 3]))
    np.testing.assert_array_equal(rows, np.maximum(np.stack([X, X + 3]), Y))
    last, _ = jit(lambda x: lax.scan(lambda x, _: (pair(x, Y)[0] - 1, None), x, None, 3))(X)
    np.testing.assert_allclose(last, np.maximum(X - 2, Y) - 1, atol=1e-6)


@pytest.mark.device
def test_operands_that_are_constants_repeated_or_computed():
    pair = sorted_pair()
    one = jnp.float32(1)
    ones, lower = jit(lambda x: pair(jnp.full_like(x, one), jnp.full_like(x, 2.0)))(X)
    assert (np.asarray(ones) == 2).all() and (np.asarray(lower) == 1).all()
    same, _ = jit(lambda x: pair(x, x))(X)
    np.testing.assert_array_equal(same, X)
    high, _ = jit(lambda x: pair(x.reshape(2, 5).T * 2, jnp.zeros((5, 2))))(X)
    np.testing.assert_array_equal(high, np.maximum(X.reshape(2, 5).T * 2, 0))


@pytest.mark.parametrize("x", [X.astype(np.int32), X[:0]], ids=["dtype", "empty"])
def test_what_the_kernel_does_not_take_is_expanded(x):
    pair = sorted_pair()
    assert all(k.template != "handwritten" for k in compiled(pair, x, x).kernels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"operands": ("left",)}, "names 1 operands, and there are 2"),
        ({"grid": (70_000, 1, 1)}, "asks for (70000, 1, 1) workgroups; each must be 1 to 65535"),
        ({"source": "fn main() {}"}, "has no '@compute @workgroup_size(...) fn main(...)'"),
        ({"constants": {"COUNT": 10}}, "a workgroup size 'THREADS' that is none of its constants"),
        ({"loop_iterations": 70_000}, "runs 70000 loop iterations"),
    ],
)
def test_mistakes_are_told_with_the_users_line(change, message):
    pair = sorted_pair(**change)
    with pytest.raises(CompileError) as error:
        compiled(lambda x, y: pair(x, y), X, Y, profile="lavapipe")
    assert message in str(error.value)
    assert "test_extend.py" in str(error.value)


def test_programs_with_it_are_not_kept_on_disk():
    """Its source may be another one tomorrow."""
    pair = sorted_pair()
    assert fingerprint(graph_of(jnp.maximum)(X, Y)) is not None
    assert fingerprint(graph_of(pair)(X, Y)) is None


def test_types_are_told():
    pair = sorted_pair()
    with pytest.raises(TypeError, match="pair needs operands of one type"):
        graph_of(pair)(X, X[:3])
    with pytest.raises(TypeError, match="pair needs operands"):
        PRIMITIVES["pair"].typeof(Aval((2,), f32), Aval((3,), f32))
