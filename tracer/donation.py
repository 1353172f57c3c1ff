"""Which output takes over which donated input's memory.

Invariant: a pair has equal types, an input and an output are in at most one pair, and no input that
is itself returned gives its memory to another output.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from ir.graph import Aval

from .tree import Path


def pair(
    donors: Sequence[tuple[int, Path, Aval]], results: Sequence[tuple[int, Path, Aval]]
) -> list[tuple[int, int]]:
    """(input, output) pairs for (index, path, type) records.

    Places that agree pair first, whatever argument or result they are in; the rest by type, in
    order. An input's path starts with args-or-kwargs and the argument.
    """
    views: list[tuple[Callable[[Path], object], Callable[[Path], object]]] = [
        (lambda p: p[1:], lambda p: p),  # f(a, b) -> (a', b')
        (lambda p: p[2:], lambda p: p),  # f(state, batch) -> state'
        (lambda p: p[2:], lambda p: p[1:]),  # f(state, batch) -> (loss, state')
        (lambda p: None, lambda p: None),
    ]
    found: dict[int, int] = {}
    taken: set[int] = set()  # outputs
    for of_input, of_output in views:
        waiting: dict[object, deque[int]] = {}
        for index, path, aval in donors:
            if index not in found:
                waiting.setdefault((of_input(path), aval), deque()).append(index)
        for index, path, aval in results:
            if index not in taken and (match := waiting.get((of_output(path), aval))):
                found[match.popleft()] = index
                taken.add(index)
    return sorted(found.items())
