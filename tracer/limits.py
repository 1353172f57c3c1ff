"""What no device can hold, found before anything is allocated.

Invariant: kernels index with 32 bits; a program that goes beyond is refused by the user's line.
"""

from __future__ import annotations

from math import prod

from ir.build import describe_src
from ir.graph import Graph

from .errors import located

MAX_ELEMENTS = 2**32 - 1


def check_count(shape: tuple[int, ...]) -> None:
    """Raises ValueError, by the user's line, for a shape beyond 32-bit indices."""
    if (count := prod(shape)) > MAX_ELEMENTS:
        raise located(ValueError, _too_large(f"an array of shape {shape}", count))


def _too_large(what: str, count: int) -> str:
    """The message for something of so many elements."""
    return (
        f"{what} has {count} elements, and indices have 32 bits: arrays have at most "
        f"{MAX_ELEMENTS} elements; split it, or reduce it in parts"
    )


def check_sizes(graph: Graph) -> None:
    """Raises ValueError at the first equation whose result is beyond 32-bit indices."""
    for eqn in graph.eqns:
        for v in eqn.outs:
            if v.aval.size > MAX_ELEMENTS:
                what = f"{eqn.prim.name} makes a {v.aval}, which"
                raise ValueError(_too_large(what, v.aval.size) + describe_src(eqn.src))
    for inner in graph.subgraphs():
        check_sizes(inner)
