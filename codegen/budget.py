"""Compiles that fit a memory budget: as little as possible is computed a second time.

Invariant: the peak that a compile is chosen by is that of its plan, the bytes of all buffers, which
is what a run allocates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ir.graph import Graph
from ir.passes.recompute import by_price, candidates, recompute


def within_budget(graph: Graph, budget: int, peak: Callable[[Graph], int]) -> Graph:
    """The graph, or one that computes the cheapest values again until its peak fits.

    Raises ValueError with the least peak if all of them do not suffice.
    """
    if peak(graph) <= budget:
        return graph
    options = candidates(graph)
    found = fewest(len(options), budget, lambda n: peak(recompute(graph, options[:n])))
    if found.peak > budget:
        raise ValueError(refusal("the program", found.peak, budget))
    return recompute(graph, options[: found.count])


@dataclass(frozen=True)
class Choice:
    """How many of the values that could be computed again are, and the peak then."""

    count: int
    peak: int


def fewest(count: int, budget: int, peak: Callable[[int], int]) -> Choice:
    """The fewest of `count` values whose second computation brings the peak to a budget, or the
    choice of the least peak that was seen where none does.

    `peak` is that with the first n values. Values come in the order of what each operation frees;
    how many are needed is found by bisection. After Chen et al., 2016, with the order of a knapsack
    instead of its optimum.
    """
    best = least = Choice(count, peak(count))
    low, high = 0, count  # `low` are too few, `high` may do
    while high - low > 1:
        middle = (low + high) // 2
        tried = Choice(middle, peak(middle))
        least = min(least, tried, key=lambda c: c.peak)
        if tried.peak <= budget:
            best, high = tried, middle
        else:
            low = middle
    return best if best.peak <= budget else least


def prices(graph: Graph) -> list[float]:
    """What a byte of the values that could be computed again costs, in operations, ascending."""
    return list(by_price(graph))


def up_to(graph: Graph, price: float) -> Graph:
    """The graph that computes again all values whose bytes cost `price` operations at most."""
    return recompute(
        graph, [v for p, group in by_price(graph).items() if p <= price for v in group]
    )


def refusal(what: str, least: int, budget: int) -> str:
    """Why a budget cannot be kept."""
    return (
        f"{what} needs {least / 2**20:.1f} MiB even if all that can be is computed again, "
        f"and memory_budget is {budget / 2**20:.1f} MiB; use a smaller batch or sequence"
    )
