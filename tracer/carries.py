"""The types of a loop's carry: Python numbers in it take the dtypes that the body gives them.

Invariant: what `settled` returns is a body whose new carry has the types of the old one, so a loop
never changes a type; only weak values were converted for that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.graph import Aval

from .array import aval_of, is_weak, type_of
from .promotion import join
from .staging import Traced, bind, marked, trace


def settled(body: Callable, carry: list, others: Sequence[Aval] = (), first: int = 0) -> Traced:
    """The traced body, a function of the carry and `others` whose results from `first` on are
    the new carry. Weak values of `carry` are converted, in place, until the types agree."""
    while True:
        traced = trace(body, [*(type_of(x) for x in carry), *others])
        after = list(zip(traced.graph.outs, traced.weak, strict=True))[first : first + len(carry)]
        moved = [i for i, (v, _) in enumerate(after) if v.aval.dtype is not aval_of(carry[i]).dtype]
        if not moved:
            return traced
        for i in moved:
            value, weak = after[i]
            was = aval_of(carry[i]).dtype, is_weak(carry[i])
            kind, _ = join([was, (value.aval.dtype, weak)])
            carry[i] = bind("cast", carry[i], dtype=kind)


def results(outs: Sequence[Any], traced: Traced, carry: list, first: int = 0) -> list:
    """A loop's results: those of the carry are weak if they were so from the start."""
    weak = traced.weak[first:]
    kept = (w and (i >= len(carry) or is_weak(carry[i])) for i, w in enumerate(weak))
    return [marked(x, w) for x, w in zip(outs, kept, strict=True)]
