"""Compiles that fit a memory budget: as little as possible is computed a second time.

Invariant: the peak that a compile is chosen by is that of its plan, the bytes of all buffers, which
is what a run allocates.
"""

from __future__ import annotations

from collections.abc import Callable

from ir.graph import Graph
from ir.passes.recompute import candidates, recompute


def within_budget(graph: Graph, budget: int, peak: Callable[[Graph], int]) -> Graph:
    """The graph, or one that computes the cheapest values again until its peak fits.

    Values are taken in the order of what each operation frees; how many are needed is found by
    bisection. Raises ValueError with the least peak if all of them do not suffice. After Chen et
    al., 2016, with the order of a knapsack instead of its optimum.
    """
    if peak(graph) <= budget:
        return graph
    options = candidates(graph)
    best = recompute(graph, options)
    least = peak(best)
    low, high = 0, len(options)  # `low` are too few, `high` may do
    while high - low > 1:
        middle = (low + high) // 2
        tried = recompute(graph, options[:middle])
        size = peak(tried)
        least = min(least, size)
        if size <= budget:
            best, high = tried, middle
        else:
            low = middle
    if peak(best) > budget:
        raise ValueError(
            f"the program needs {least / 2**20:.1f} MiB even if all that can be is computed again, "
            f"and memory_budget is {budget / 2**20:.1f} MiB; use a smaller batch or sequence"
        )
    return best
