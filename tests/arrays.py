"""What the tests of array functions share: operands, comparisons, gradients by differences.

Invariant: operands depend on their shape and seed alone, so no test changes another's.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ir import evaluate
from ir.passes.grad import grad_graph
from tracer import numpy as jnp
from tracer.array import aval_of
from tracer.staging import trace


def floats(*shape: int, low: float = -2.0, high: float = 2.0, seed: int = 0) -> np.ndarray:
    """f32 between `low` and `high`."""
    return np.random.default_rng([seed, *shape]).uniform(low, high, shape).astype(np.float32)


def ints(*shape: int, low: int = -5, high: int = 6, kind: type = np.int32) -> np.ndarray:
    """Integers of type `kind`, at least `low` and below `high`."""
    return np.random.default_rng(shape).integers(low, high, shape).astype(kind)


def close(got: object, want: object, tolerance: float = 1e-5) -> None:
    np.testing.assert_allclose(np.asarray(got), want, rtol=tolerance, atol=tolerance)


def same(got: object, want: object, **tolerance: float) -> None:
    """Equal shapes, kinds of dtype and values, of sequences member by member."""
    if isinstance(want, (list, tuple)):
        assert len(got) == len(want)
        for a, b in zip(got, want, strict=True):
            same(a, b, **tolerance)
        return
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape and (got.dtype.kind == want.dtype.kind or want.dtype.kind == "O")
    np.testing.assert_allclose(got, want, **({"rtol": 2e-6, "atol": 1e-7} | tolerance))


def check_gradient(function: Callable, x: np.ndarray, step: float = 1e-6) -> None:
    """d sum(w * f(x)) / dx in float64 against central differences."""

    def weighted(x):
        out = function(x)
        weights = np.cos(np.arange(out.size, dtype=np.float32)).reshape(out.shape)
        return jnp.sum(out * weights)

    traced = trace(weighted, [aval_of(x)])
    graph, given = traced.graph, [c.numpy() for c in traced.constants]
    analytic = evaluate(grad_graph(graph, [len(given)]), *given, x, wide=True)[1]
    numeric = np.zeros(x.shape)
    for at in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.astype(np.float64)
            moved[at] += sign * step
            ends.append(evaluate(graph, *given, moved, wide=True)[0])
        numeric[at] = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(analytic, numeric, rtol=2e-4, atol=2e-6)
