"""Loops and branches as the Python they say: what `disable_jit` runs.

Invariant: outside of any trace each function here gives what its namesake in `control` does, and
calls the user's functions with concrete arrays, one iteration after another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.build import current

from . import settings, tree


def stepwise() -> bool:
    """Whether control flow is to be run in Python now."""
    return settings.now().disable_jit and current() is None


def scan(f: Callable, init: Any, xs: Any, length: int, reverse: bool) -> tuple[Any, Any]:
    """`lax.scan` over `length` elements of xs."""
    from .shaping import stack

    carry, rows = init, [None] * length
    for i in reversed(range(length)) if reverse else range(length):
        carry, rows[i] = f(carry, _element(xs, i))
    if not length:
        return carry, None
    return carry, tree.map(lambda *leaves: stack([_array(x) for x in leaves]), *rows)


def _element(xs: Any, i: int) -> Any:
    return tree.map(lambda x: _array(x)[i], xs)


def _array(x: Any) -> Any:
    from .creation import asarray

    return asarray(x)


def while_loop(cond_fun: Callable, body_fun: Callable, init_val: Any) -> Any:
    """`lax.while_loop`."""
    value = init_val
    while bool(cond_fun(value)):
        value = body_fun(value)
    return value


def fori_loop(lower: Any, upper: Any, body_fun: Callable, init_val: Any) -> Any:
    """`lax.fori_loop`."""
    value = init_val
    for i in range(int(lower), int(upper)):
        value = body_fun(i, value)
    return value


def switch(index: Any, branches: Sequence[Callable], operands: Sequence[Any]) -> Any:
    """`lax.switch`: one branch runs, and need not agree with the others."""
    return branches[min(max(int(index), 0), len(branches) - 1)](*operands)
