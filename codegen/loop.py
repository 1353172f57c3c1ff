"""Loops: one iteration of a `scan` as a graph over whole buffers.

Invariant: an iteration reads its position from a counter in memory and leaves everything in place:
the counter counts, the carry is overwritten, row `position` of each stacked result is written. The
same commands can therefore be replayed any number of times without the host.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.build import building, emit, inline, lit
from ir.dtypes import bool_, i32
from ir.graph import Aval, Eqn, Graph, Value
from ir.prims.elementwise import and_, select
from ir.prims.index import row_at, with_row
from ir.prims.views import broadcast_to


@dataclass(frozen=True, eq=False)
class Iteration:
    """`graph` takes counter, consts, carry, xs and ys, and returns counter, carry and ys.

    `donate` pairs each result with the input it overwrites; `fixed` counts the consts, and `lead`
    the loop's operands before them. A loop that runs until its flag drops has `count` 0, and the
    flag in place of the counter.
    """

    graph: Graph
    donate: tuple[tuple[int, int], ...]
    count: int
    fixed: int
    carry: int
    lead: int = 0


def iteration(eqn: Eqn) -> Iteration:
    """One iteration of a scan or while_loop equation."""
    return _scan(eqn) if eqn.prim.name == "scan" else _while(eqn)


def _while(eqn: Eqn) -> Iteration:
    """Iterations after the flag has dropped change nothing, so the host may look late."""
    consts, carry = eqn.params["consts"], eqn.params["carry"]
    with building() as builder:
        flag = builder.input(Aval((), bool_), "flag")
        given = [builder.input(v.aval, getattr(v, "hint", "")) for v in eqn.ins[1:]]
        more, *new = inline(eqn.params["step"], given)
        kept = [_if(flag, a, b) for a, b in zip(new, given[consts:], strict=True)]
        graph = builder.close([emit(and_, flag, more), *kept])
    targets = [0, *range(1 + consts, 1 + consts + carry)]
    donate = tuple((i, j) for j, i in enumerate(targets))
    return Iteration(graph, donate, 0, consts, carry, lead=1)


def _if(flag: Value, a: Value, b: Value) -> Value:
    return emit(select, broadcast_to(flag, a.aval.shape, ()), a, b)


def _scan(eqn: Eqn) -> Iteration:
    p = eqn.params
    consts, carry = p["consts"], p["carry"]
    with building() as builder:
        counter = builder.input(Aval((), i32), "iteration")
        given = [builder.input(v.aval, getattr(v, "hint", "")) for v in eqn.ins]
        stacked = [builder.input(v.aval, "stacked") for v in eqn.outs[carry:]]
        last = lit(p["length"] - 1, i32)
        at = last - counter if p["reverse"] else counter
        rows = [row_at(x, at) for x in given[consts + carry :]]
        outs = inline(p["body"], [*given[: consts + carry], *rows])
        written = [with_row(ys, y, at) for ys, y in zip(stacked, outs[carry:], strict=True)]
        graph = builder.close([counter + 1, *outs[:carry], *written])
    targets = [0, *range(1 + consts, 1 + consts + carry)]
    targets += range(1 + len(given), 1 + len(given) + len(stacked))
    donate = tuple((i, j) for j, i in enumerate(targets))
    return Iteration(graph, donate, p["length"], consts, carry)
