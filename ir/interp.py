"""The oracle: evaluate a graph with numpy, one equation at a time.

Invariant: every value has exactly the dtype its type says; with `wide=True` floats are float64
throughout, which is what finite differences need.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .build import build
from .dtypes import dtype
from .graph import Aval, Eqn, Graph, Lit, Value, Var


def evaluate(graph: Graph, *args: Any, wide: bool = False) -> list[np.ndarray]:
    """The graph's outputs for numpy `args` (shapes and dtypes as `graph.ins`)."""
    if len(args) != len(graph.ins):
        raise TypeError(f"the graph takes {len(graph.ins)} arguments, got {len(args)}")
    env: dict[Var, np.ndarray] = {}
    for var, arg in zip(graph.ins, args, strict=True):
        env[var] = _as(arg, var.aval, wide)
    with np.errstate(all="ignore"):
        for eqn in graph.eqns:
            outs = run_equation(eqn, [_read(env, v, wide) for v in eqn.ins], wide)
            env.update(zip(eqn.outs, outs, strict=True))
    return [_read(env, v, wide) for v in graph.outs]


def run_equation(eqn: Eqn, ins: Sequence[Any], wide: bool = False) -> list[np.ndarray]:
    """The results of one equation."""
    outs = apply(eqn, ins)
    outs = outs if eqn.prim.multi else (outs,)
    return [_as(x, v.aval, wide) for x, v in zip(outs, eqn.outs, strict=True)]


def apply(eqn: Eqn, xs: Sequence[np.ndarray]) -> Any:
    """One equation on arrays. 16-bit floats are computed with in float32, so that what is made of
    several operations here is rounded once, as on devices."""
    if eqn.prim.kind == "elementwise":
        pairs = zip(eqn.ins, xs, strict=True)
        xs = [x.astype(np.float32) if _short(v, x) else x for v, x in pairs]
    return eqn.prim.eval(*xs, **eqn.params)


def _short(v: Value, x: np.ndarray) -> bool:
    kind = v.aval.dtype
    return kind.is_float and kind.itemsize == 2 and x.dtype == kind.np


def evaluate_traced(fun: Callable, xs: Sequence[np.ndarray], multi: bool) -> Any:
    """Evaluate a function of Vars on arrays, at the float precision the arrays have."""
    wide = any(np.asarray(x).dtype == np.float64 for x in xs)
    graph = build(fun, *(Aval(np.shape(x), dtype(np.asarray(x).dtype)) for x in xs))
    outs = evaluate(graph, *xs, wide=wide)
    return tuple(outs) if multi else outs[0]


def host_dtype(aval: Aval, wide: bool) -> np.dtype:
    """The numpy dtype of a value in the oracle: float64 for any float if `wide`."""
    return np.dtype(np.float64) if wide and aval.dtype.is_float else aval.dtype.np


def _as(x: Any, aval: Aval, wide: bool) -> np.ndarray:
    x = np.asarray(x)
    if x.shape != aval.shape:
        raise TypeError(f"expected an array of type {aval}, got shape {x.shape}")
    return x.astype(host_dtype(aval, wide), copy=False)


def _read(env: dict[Var, np.ndarray], v: Value, wide: bool) -> np.ndarray:
    if isinstance(v, Lit):
        return np.full(v.aval.shape, v.value, host_dtype(v.aval, wide))
    return env[v]
