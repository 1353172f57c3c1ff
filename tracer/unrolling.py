"""Loops written out: several iterations of a scan as one.

Invariant: the results are those of the scan; the user's function is not traced again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .array import Tracer, aval_of, type_of
from .shaping import concatenate, reshape, stack
from .staging import Traced, bind, inline_traced, trace, type_like


def bind_scan(traced: Traced, carry: list, xs: list, count: int, reverse: bool, times: int) -> list:
    """The carry and the stacked results of a scan whose body is `traced`, `times` at once."""
    times = max(1, min(times, count))
    if times > 1:
        return _in_parts(traced, carry, xs, count, reverse, times)
    captured = [Tracer(v) for v in traced.captured]
    return bind(
        "scan", *captured, *carry, *xs, body=traced.graph, consts=len(captured),
        carry=len(carry), length=count, reverse=bool(reverse),
    )  # fmt: skip


def _in_parts(traced: Traced, carry: list, xs: list, count: int, reverse: bool, times: int) -> list:
    """A scan over stretches of `times` elements, and what is left at the end of the array."""
    whole, k = count // times * times, len(carry)
    rest = [x[whole:] for x in xs]

    def stretch(*flat: Any) -> list:
        return _written_out(traced, flat[:k], flat[k:], times, reverse)

    tails: list = []
    if reverse and whole < count:
        carry, tails = _split(_written_out(traced, carry, rest, count - whole, reverse), k)
    rows = [reshape(x[:whole], (whole // times, times, *aval_of(x).shape[1:])) for x in xs]
    if whole == times:
        carry, ys = _split(stretch(*carry, *(r[0] for r in rows)), k)
    else:
        elements = [type_like(r, aval_of(r).shape[1:]) for r in rows]
        wide = trace(stretch, [*(type_of(c) for c in carry), *elements])
        carry, ys = _split(bind_scan(wide, carry, rows, whole // times, reverse, 1), k)
        ys = [reshape(y, (whole, *aval_of(y).shape[2:])) for y in ys]
    if not reverse and whole < count:
        carry, tails = _split(_written_out(traced, carry, rest, count - whole, reverse), k)
    if tails:
        ys = [concatenate([y, tail], 0) for y, tail in zip(ys, tails, strict=True)]
    return [*carry, *ys]


def _split(outs: Sequence[Any], at: int) -> tuple[list, list]:
    return list(outs[:at]), list(outs[at:])


def _written_out(
    traced: Traced, carry: Sequence, rows: Sequence, times: int, reverse: bool
) -> list:
    """One equation after another for each of the `times` elements."""
    made: list[Sequence] = [()] * times
    for i in reversed(range(times)) if reverse else range(times):
        outs = inline_traced(traced, traced.graph, [*carry, *(r[i] for r in rows)])
        carry, made[i] = _split(outs, len(carry))
    return [*carry, *(stack(ys) for ys in zip(*made, strict=True))]


__all__ = ["bind_scan"]
