"""Loops whose length depends on data, and counted loops.

Invariant: a body is traced once, whatever the number of iterations; what it captures becomes a
constant operand of the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ir.build import current
from ir.dtypes import dtype

from . import stepwise, tree
from .agreement import operands, parameter, same_carry
from .array import Tracer, aval_of
from .carries import results, settled
from .control import scan
from .errors import located
from .staging import bind, filled, operand, run_now
from .typed import user_type


def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any) -> Any:
    """val = body_fun(val) while cond_fun(val); the number of iterations may depend on data.

    The host reads one flag every few iterations. It has tangents (`jvp`) and no gradient: reverse
    mode raises ValueError. Raises TypeError unless `cond_fun` gives a bool and `body_fun` keeps
    the structure and types of the value.
    """
    if not (callable(cond_fun) and callable(body_fun)):
        text = "lax.while_loop: body_fun and cond_fun arguments should be callable."
        raise located(TypeError, text)
    if stepwise.stepwise():
        return stepwise.while_loop(cond_fun, body_fun, init_val)
    if current() is None:
        return run_now(lambda: while_loop(cond_fun, body_fun, init_val))
    leaves, structure = operands(init_val, "while_loop")
    name = parameter(body_fun, 0, "val")

    def step(*flat: Any) -> Any:
        new = body_fun(tree.unflatten(structure, flat))
        new = same_carry("while_loop body function", name, init_val, leaves, new)
        return [_flag(cond_fun(tree.unflatten(structure, new))), *new]

    traced = settled(step, leaves, first=1)
    captured = [Tracer(v) for v in traced.captured]
    outs = bind(
        "while_loop", _flag(cond_fun(tree.unflatten(structure, leaves))), *captured, *leaves,
        step=traced.graph, consts=len(captured), carry=len(leaves),
    )  # fmt: skip
    return tree.unflatten(structure, results(outs, traced, leaves, first=1))


def _flag(value: Any) -> Any:
    text = "cond_fun must return a boolean scalar, but got"
    if tree.structure(value) != tree.structure(0):
        raise located(TypeError, f"{text} pytree {tree.structure(value)}.")
    x = operand(value, "while_loop")
    if aval_of(x).shape or aval_of(x).dtype.name != "bool":
        raise located(TypeError, f"{text} output type(s) [{user_type(aval_of(x))}].")
    return x


def fori_loop(
    lower: Any, upper: Any, body_fun: Callable, init_val: Any, *, unroll: int | bool | None = None
) -> Any:
    """x = body_fun(i, x) for i in lower..upper - 1.

    Bounds that are known when the loop is traced make it a `scan`, which has a gradient; others
    make it a `while_loop`, which has none. `unroll` is that of `scan`. Raises TypeError for bounds
    that are no integers, or of unlike types, and ValueError to unroll a loop of unknown length.
    """
    if not callable(body_fun):
        raise located(TypeError, "lax.fori_loop: body_fun argument should be callable.")
    kind = _common_type(lower, upper)
    if stepwise.stepwise():
        return stepwise.fori_loop(lower, upper, body_fun, init_val)
    fixed = [_known(bound) for bound in (lower, upper)]
    if None in fixed:
        if unroll not in (None, 1, False):
            text = "Can only use `unroll` in `fori_loop` if the loop bounds are statically known."
            raise located(ValueError, text)
        return _while_below(lower, upper, kind, body_fun, init_val)
    low, high = fixed

    def step(loop_carry: Any, _: Any) -> Any:
        i, value = loop_carry
        return (i + 1, body_fun(i, value)), None

    start = filled(low, dtype(kind), weak=True)
    count = max(0, high - low)
    return scan(step, (start, init_val), None, count, unroll=1 if unroll is None else unroll)[0][1]


def _known(bound: Any) -> int | None:
    """A loop bound if tracing knows it, else None."""
    return None if isinstance(bound, Tracer) else int(np.asarray(bound))


def _common_type(lower: Any, upper: Any) -> np.dtype:
    """The integer dtype of two bounds; a Python int takes that of the other one."""
    avals = [aval_of(operand(x, "fori_loop")) for x in (lower, upper)]
    kinds = [a.dtype.np for a in avals]
    if all(k.kind in "iu" for k in kinds):
        typed = [k for k, x in zip(kinds, (lower, upper), strict=True) if not isinstance(x, int)]
        kinds = typed or kinds
    if len(set(kinds)) > 1 or kinds[0].kind not in "iu":
        names = " and ".join(a.dtype.np.name for a in avals)
        text = "lower and upper arguments to fori_loop must have equal types, got"
        raise located(TypeError, f"{text} {names}")
    for aval in avals:
        if aval.shape:
            text = "fori_loop bounds must be scalars, got an array of type"
            raise located(TypeError, f"{text} {user_type(aval)}")
    return kinds[0]


def _while_below(lower: Any, upper: Any, kind: np.dtype, body_fun: Callable, init_val: Any) -> Any:
    from .operands import astype

    start, stop = (astype(operand(x, "fori_loop"), kind) for x in (lower, upper))

    def step(loop_carry: Any) -> Any:
        i, value = loop_carry
        return i + 1, body_fun(i, value)

    return while_loop(lambda c: c[0] < stop, step, (start, init_val))[1]


__all__ = ["fori_loop", "while_loop"]
