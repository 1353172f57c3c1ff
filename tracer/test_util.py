"""Are derivatives right? Comparison with finite differences.

Invariant: differences are taken in float64 by the numpy oracle, whatever backend computes the
derivative under test; a check that passes says that both agree along random directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ir.interp import evaluate

from . import tree
from .array import aval_of, host_value
from .forward import jvp
from .linear import vjp
from .staging import operand, trace

TOLERANCE = {"bfloat16": 2e-1, "float16": 5e-2, "float32": 2e-3}
EPS = 1e-5


def check_jvp(
    f: Callable,
    f_jvp: Callable,
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = EPS,
    err_msg: str = "",
) -> None:
    """Compare f_jvp(args, tangents) -> (out, tangent) with f and its finite differences.

    Raises AssertionError, with `err_msg`, where they differ by more than `atol` + `rtol` * value.
    """
    tangents = tree.map(_random_like(np.random.default_rng(0)), tuple(args))
    out, pushed = f_jvp(tuple(args), tangents)
    _agree(out, f(*args), atol, rtol, f"{err_msg} JVP primal")
    _agree(pushed, _difference(f, args, tangents, eps), atol, rtol, f"{err_msg} JVP tangent")


def check_vjp(
    f: Callable,
    f_vjp: Callable,
    args: Sequence[Any],
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = EPS,
    err_msg: str = "",
) -> None:
    """Compare f_vjp(*args) -> (out, pullback) with f and its finite differences.

    The cotangents of a random ct, along random tangents, are ct along the differences. Raises as
    `check_jvp`.
    """
    draw = _random_like(np.random.default_rng(0))
    tangents = tree.map(draw, tuple(args))
    out, pullback = f_vjp(*args)
    _agree(out, f(*args), atol, rtol, f"{err_msg} VJP primal")
    ct = tree.map(draw, out)
    pulled = pullback(ct)
    got = _inner(tangents, pulled)
    want = _inner(_difference(f, args, tangents, eps), ct)
    scale = max(1.0, _size(tangents) * _size(pulled))
    kinds = {str(np.dtype(aval_of(x).dtype.np)) for x in tree.leaves(args)}
    rtol = rtol or max(TOLERANCE.get(k, 0.0) for k in kinds) or TOLERANCE["float32"]
    bound = (rtol if atol is None else atol) * scale + rtol * abs(want)
    if not abs(got - want) <= bound:
        raise AssertionError(
            f"{err_msg} VJP cotangent projection: {got} is not the {want} of finite differences "
            f"within {bound}"
        )


def check_grads(
    f: Callable,
    args: Sequence[Any],
    order: int,
    modes: Sequence[str] = ("fwd", "rev"),
    atol: float | None = None,
    rtol: float | None = None,
    eps: float = EPS,
) -> None:
    """Check the derivatives of `f` at `args` up to `order`, by each of `modes` ("fwd", "rev").

    Raises AssertionError naming the derivative that is wrong; ValueError for other modes.
    """
    if unknown := set(modes) - {"fwd", "rev"}:
        raise ValueError(f"modes are 'fwd' and 'rev', got {sorted(unknown)}")
    _check(f, tuple(args), order, tuple(modes), atol, rtol, eps, "")


def _check(f, args, order, modes, atol, rtol, eps, path: str) -> None:
    if "fwd" in modes:
        name = f"{path}fwd"
        check_jvp(f, partial(jvp, f), args, atol, rtol, eps, name)
        if order > 1:
            _check(partial(jvp, f), (args, args), order - 1, modes, atol, rtol, eps, f"{name} of ")
    if "rev" in modes:
        name = f"{path}rev"
        check_vjp(f, partial(vjp, f), args, atol, rtol, eps, name)
        if order > 1:
            out, _ = vjp(f, *args)
            _check(_pulled(f), (out, *args), order - 1, modes, atol, rtol, eps, f"{name} of ")


def _pulled(f: Callable) -> Callable:
    """(cotangents, *args) -> (value, cotangents of args)."""

    def both(ct: Any, *args: Any) -> tuple:
        out, pullback = vjp(f, *args)
        return out, pullback(ct)

    return both


# --- numbers --------------------------------------------------------------------------------------


def _difference(f: Callable, args: Sequence[Any], tangents: Any, eps: float) -> Any:
    """The central difference of f along `tangents`, in float64."""
    leaves, in_tree = tree.flatten(tuple(args))
    traced = trace(lambda *xs: f(*tree.unflatten(in_tree, xs)), [aval_of(x) for x in leaves])
    held = [host_value(c) for c in traced.constants]
    along = tree.leaves(tangents)

    def at(step: float) -> list[np.ndarray]:
        moved = (np.asarray(host_value(operand(x)), np.float64) + step * t
                 for x, t in zip(leaves, along, strict=True))  # fmt: skip
        return evaluate(traced.graph, *held, *moved, wide=True)

    pairs = zip(at(eps), at(-eps), strict=True)
    return tree.unflatten(traced.out_tree, [(high - low) / (2 * eps) for high, low in pairs])


def _random_like(rng: np.random.Generator) -> Callable:
    def draw(x: Any) -> np.ndarray:
        aval = aval_of(x)
        return np.asarray(rng.standard_normal(aval.shape)).astype(aval.dtype.np)

    return draw


def _inner(a: Any, b: Any) -> float:
    pairs = zip(tree.leaves(a), tree.leaves(b), strict=True)
    return sum(float(np.vdot(np.float64(host_value(x)), np.float64(host_value(y))))
               for x, y in pairs)  # fmt: skip


def _size(tree_of: Any) -> float:
    return float(np.sqrt(_inner(tree_of, tree_of)))


def _agree(got: Any, want: Any, atol: float | None, rtol: float | None, what: str) -> None:
    for x, y in zip(tree.leaves(got), tree.leaves(want), strict=True):
        limit = TOLERANCE.get(aval_of(x).dtype.np.name, 0.0)
        x, y = (np.float64(host_value(operand(v))) for v in (x, y))
        np.testing.assert_allclose(
            x, y, limit if rtol is None else rtol, limit if atol is None else atol, err_msg=what
        )


__all__ = ["check_grads", "check_jvp", "check_vjp"]
