"""Gradients of every exported name, orders 1 and 2, forward and reverse, by finite differences.

Invariant: a name that is exported is either differentiated here or listed with the reason why it
cannot be; differences are taken in float64 on the program that the name traces to.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ir import Aval, evaluate, f32
from tracer import jvp, tree, vjp
from tracer.staging import trace

from ..conformance import features
from . import differentiable
from .differentiable import CALLS, MODULES, REASONS, Entry, entries

STEP = 1e-5
ALL = entries()


class Program:
    """A function of float arrays, traced once for arguments like `args`; it runs in float64."""

    def __init__(self, fun: Callable, args: Sequence[np.ndarray]) -> None:
        self.fun = fun
        traced = trace(fun, [Aval(np.shape(a), f32) for a in args])
        self._graph, self._constants = traced.graph, [c.numpy() for c in traced.constants]

    def __call__(self, *args: np.ndarray) -> list[np.ndarray]:
        return evaluate(self._graph, *self._constants, *args, wide=True)


def smooth_results(entry: Entry) -> Callable:
    """The entry's function with a list of its float results."""

    def fun(*args):
        return [leaf for leaf in tree.leaves(entry.fun(*args)) if leaf.dtype.kind == "f"]

    return fun


def pushed(fun: Callable, count: int) -> Callable:
    """(args..., tangents...) -> tangents of the results."""
    return lambda *both: jvp(fun, both[:count], both[count:])[1]


def pulled(fun: Callable, count: int) -> Callable:
    """(args..., cotangents...) -> cotangents of the arguments."""
    return lambda *both: list(vjp(fun, *both[:count])[1](list(both[count:])))


def slope(program: Program, args: list, directions: list) -> list[np.ndarray]:
    """The derivative along a direction, by central differences."""
    ahead, behind = (
        program(*(a + s * STEP * d for a, d in zip(args, directions, strict=True))) for s in (1, -1)
    )
    return [(a - b) / (2 * STEP) for a, b in zip(ahead, behind, strict=True)]


def check(program: Program, args: list, order: int, rng: np.random.Generator) -> float:
    """Both modes against differences, and so on for what each mode computes; the slope's size."""
    count, outs = len(args), program(*args)
    directions = [rng.standard_normal(a.shape) for a in args]
    weights = [rng.standard_normal(o.shape) for o in outs]
    wanted = slope(program, args, directions)
    pushing, pulling = [*args, *directions], [*args, *weights]
    forward = Program(pushed(program.fun, count), pushing)
    reverse = Program(pulled(program.fun, count), pulling)
    size = max(1.0, *(float(np.max(np.abs(w), initial=0)) for w in wanted))
    for got, want in zip(forward(*pushing), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5 * size, err_msg="forward")
    gradients = reverse(*pulling)
    along = sum(float(np.sum(g * d)) for g, d in zip(gradients, directions, strict=True))
    across = sum(float(np.sum(s * w)) for s, w in zip(wanted, weights, strict=True))
    np.testing.assert_allclose(along, across, rtol=1e-4, atol=1e-4 * size, err_msg="reverse")
    if order > 1:
        check(forward, pushing, order - 1, rng)
        check(reverse, pulling, order - 1, rng)
    return sum(float(np.sum(np.abs(g))) for g in gradients)


@pytest.mark.parametrize("entry", ALL, ids=str)
def test_gradients_are_finite_differences(entry):
    hint = f"{entry.path} as {entry.call}; give it a line in {differentiable.__name__}"
    try:
        program = Program(smooth_results(entry), entry.operands)
        outs = program(*entry.operands)
    except (TypeError, ValueError, AttributeError) as error:
        pytest.fail(f"cannot differentiate {hint}: {error}")
    assert outs, f"no float results: {hint}"
    moved = check(program, entry.operands, 2, np.random.default_rng(1))
    assert moved > 0, f"the gradient is zero: {hint}"


def test_names_without_a_gradient_are_names():
    known = {n for path in features.names() for n in features.names()[path]}
    exported = {n for module in MODULES.values() for n in module.__all__}
    listed = set(REASONS).union(*CALLS.values())
    assert listed <= known | exported


def test_no_name_is_listed_twice():
    named = [n for names in differentiable.WITHOUT.values() for n in names.split()]
    assert len(named) == len(set(named))
    assert not set(named) & set().union(*CALLS.values())


def test_most_names_have_a_gradient():
    assert len(ALL) > 200
