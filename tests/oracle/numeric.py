"""How closely two results must agree, and derivatives by finite differences.

Invariant: differences are taken in float64 (`evaluate(..., wide=True)`), where a central difference
is good to about nine digits, so a wrong rule cannot hide behind rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ir import Aval, Graph, evaluate
from ir.passes.grad import vjp_graph

TOLERANCE = {"f32": 2e-6, "f16": 4e-3, "bf16": 3e-2}
STEP = 1e-5


def as_type(x: np.ndarray, aval: Aval) -> np.ndarray:
    """A reference result in the type under test: integers wrap, floats round."""
    if aval.dtype.is_integer and x.dtype.kind in "iuO":
        unit = 1 << 32
        flat = [int(v) % unit for v in np.reshape(x, -1).tolist()]
        return np.array(flat, np.uint32).view(aval.dtype.np).reshape(x.shape)
    return x.astype(aval.dtype.np)


def agree(got: np.ndarray, want: np.ndarray, aval: Aval, factor: float = 1.0) -> None:
    """Raise AssertionError unless `got` is an array of type `aval` that equals `want`.

    Floats may differ by the dtype's tolerance times `factor`, relative to the element and to the
    typical element; integers and bools must be equal.
    """
    assert (got.shape, got.dtype) == (aval.shape, aval.dtype.np)
    assert want.shape == aval.shape
    if not aval.dtype.is_float:
        np.testing.assert_array_equal(got, as_type(want, aval))
        return
    bound = TOLERANCE[aval.dtype.name] * factor
    want = want.astype(np.float64)
    finite = np.abs(want[np.isfinite(want) & (np.abs(want) < 1e30)])
    typical = float(np.sqrt(np.mean(finite**2))) if finite.size else 0.0
    np.testing.assert_allclose(got.astype(np.float64), want, rtol=bound, atol=bound * typical)


def _like(rng: np.random.Generator, aval: Aval) -> np.ndarray:
    """A random cotangent; that of an integer is never read."""
    return rng.standard_normal(aval.shape) if aval.dtype.is_float else np.zeros(aval.shape)


def check_vjp(graph: Graph, args: Sequence[np.ndarray], wrt: Sequence[int], seed: int = 1) -> None:
    """Compare `vjp_graph` with central differences along two random directions an argument."""
    rng = np.random.default_rng(seed)
    args = [
        a.astype(np.float64) if v.aval.dtype.is_float else a
        for a, v in zip(args, graph.ins, strict=True)
    ]
    cts = [_like(rng, a) for a in graph.out_avals]
    results = evaluate(vjp_graph(graph, wrt), *args, *cts, wide=True)
    grads = results[len(graph.outs) :]
    for place, grad in zip(wrt, grads, strict=True):
        assert grad.shape == graph.ins[place].aval.shape
        for _ in range(2):
            _check_direction(graph, args, place, cts, grad, rng)


def _check_direction(graph, args, place, cts, grad, rng) -> None:
    direction = rng.standard_normal(grad.shape)

    def along(t: float) -> list[np.ndarray]:
        moved = [a + t * direction if i == place else a for i, a in enumerate(args)]
        return evaluate(graph, *moved, wide=True)

    # Differences come before the sum: results may be of very different magnitudes.
    pairs = zip(along(STEP), along(-STEP), cts, strict=True)
    numeric = sum(float(np.sum((p - m) * c)) for p, m, c in pairs if p.dtype.kind == "f")
    numeric /= 2 * STEP
    analytic = float(np.sum(grad * direction))
    scale = float(np.sum(np.abs(grad * direction))) + 1e-3
    assert abs(numeric - analytic) <= 2e-6 * scale + 1e-7 * abs(numeric), (
        f"operand {place}: finite differences give {numeric}, the rule gives {analytic}\n{graph}"
    )
