"""Which axes of an equation's operands and results are one and the same: the rule of sharding.

Invariant: a rule is a table of factors, as an einsum is, and says nothing about meshes. Cutting
every axis that has a factor into n parts, and doing the equation on each part, gives the parts of
its results; over a factor that a result lacks, its parts are still to be combined by `monoid`.
None stands for an axis that the equation needs whole.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import prod

Dims = tuple[Hashable | None, ...]


@dataclass(frozen=True)
class Factors:
    """Names of factors for each axis of each operand and of each result."""

    ins: tuple[Dims, ...]
    outs: tuple[Dims, ...]
    monoid: str = "add"


def alike(count: int, ndim: int, results: int = 1, but: Sequence[int] = ()) -> Factors:
    """Operands and results of one shape that go together element by element, but for some axes."""
    dims = tuple(None if d in but else d for d in range(ndim))
    return Factors((dims,) * count, (dims,) * results)


def regrouped(before: Sequence[int], after: Sequence[int]) -> Factors:
    """Axes of a reshape: of those that are merged or split together, the outermost correspond."""
    ins: list = [None] * len(before)
    outs: list = [None] * len(after)
    for first, last in _groups(before, after) if prod(before) else ():
        i = next((d for d in range(*first) if before[d] > 1), None)
        o = next((d for d in range(*last) if after[d] > 1), None)
        if i is not None and o is not None:
            ins[i] = outs[o] = i
    return Factors((tuple(ins),), (tuple(outs),))


def _groups(before: Sequence[int], after: Sequence[int]):
    """Shortest runs of axes on both sides with equal products: ((first, end), (first, end))."""
    i = o = 0
    while i < len(before) or o < len(after):
        first, last = (i, o)
        i, o = min(i + 1, len(before)), min(o + 1, len(after))
        while (a := prod(before[first:i])) != (b := prod(after[last:o])):
            if a < b:
                i += 1
            else:
                o += 1
        yield (first, i), (last, o)
