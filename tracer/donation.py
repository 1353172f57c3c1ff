"""Which output takes over which donated input's memory.

Invariant: a pair has equal types, an input and an output are in at most one pair, and no input that
is itself returned gives its memory to another output.
"""

from __future__ import annotations

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
    found: list[tuple[int, int]] = []
    inputs, outputs = list(donors), list(results)
    for of_input, of_output in views:
        waiting: dict[object, list] = {}
        for donor in inputs:
            waiting.setdefault((of_input(donor[1]), donor[2]), []).append(donor)
        for result in list(outputs):
            match = waiting.get((of_output(result[1]), result[2]))
            if match:
                donor = match.pop(0)
                found.append((donor[0], result[0]))
                inputs.remove(donor)
                outputs.remove(result)
    return sorted(found)
