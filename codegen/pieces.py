"""Operands of products that are joined along the summed axis, and sums of products as one.

Invariant: a joined operand is never stored: its kernel reads each piece where it lies. Pieces are
whole quads of the summed axis, so that four neighbours come from one tensor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from math import prod
from typing import NamedTuple

from ir.build import attributed, building, emit, read
from ir.dtypes import f32
from ir.graph import Eqn, Graph, Value, Var
from ir.prims.contract import dot, parse, roles
from ir.prims.elementwise import add
from ir.prims.views import concat

from .matvec import is_matvec
from .profile import Profile
from .reductions import addition_trees

TILE = 64 * 64  # results of a workgroup
WAVES = 8  # of workgroups on every compute unit


class Piece(NamedTuple):
    """`value` stands at start .. end - 1 of the summed axis."""

    start: int
    end: int
    value: Value


def pieces(definitions: Mapping[Var, Eqn], v: Value, letters: str, summed: str) -> list[Piece]:
    """The pieces of an operand of a product, in order: itself where it is not joined.

    `letters` are the operand's in the einsum, `summed` those of the sum.
    """
    made = definitions.get(v) if isinstance(v, Var) else None
    if made is not None and made.prim is concat and letters[made.params["axis"]] == summed:
        sizes = [x.aval.shape[made.params["axis"]] for x in made.ins]
        if all(n > 0 and n % 4 == 0 for n in sizes):
            ends = [sum(sizes[: n + 1]) for n in range(len(sizes))]
            return [Piece(e - n, e, x) for e, n, x in zip(ends, sizes, made.ins, strict=True)]
    whole = prod(n for c, n in zip(letters, v.aval.shape, strict=True) if c in summed)
    return [Piece(0, whole, v)]


# --- sums of products -----------------------------------------------------------------------------


def join_products(graph: Graph, profile: Profile) -> Graph:
    """x @ a + y @ b as one product with sums over both, on a GPU.

    The gradient of what several weights multiply is such a sum. One kernel keeps it in registers,
    where several would store it, and read it again.
    """
    found = {} if profile.kind == "cpu" else dict(_sums(graph, profile))
    if not found:
        return graph
    with building() as builder:
        env: dict[Var, Value] = {v: builder.input(v.aval, v.hint) for v in graph.ins}
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope):
                ins = [read(env, v) for v in eqn.ins]
                joined = found.get(eqn.outs[0]) if eqn.outs else None
                outs = (
                    (_joined(env, *joined),) if joined else builder.emit(eqn.prim, ins, eqn.params)
                )
            env.update(zip(eqn.outs, outs, strict=True))
        return builder.close([read(env, v) for v in graph.outs])


def _sums(graph: Graph, profile: Profile) -> Iterator[tuple[Var, tuple[list[Eqn], list[Value]]]]:
    """(result, (products of one kind, other terms)) of sums with several products."""
    made, users = {v: e for e in graph.eqns for v in e.outs}, graph.users()
    results, most = set(graph.outs), (profile.storage_buffers - 2) // 2
    for eqn, terms in addition_trees(graph):
        kinds: dict[tuple, list[Eqn]] = {}
        for v in terms:
            own = v in made and len(users[v]) == 1 and v not in results
            if own and _fills(made[v], profile) and (kind := _kind(made[v])):
                kinds.setdefault(kind, []).append(made[v])
        products = max(kinds.values(), key=len, default=[])[:most]
        if len(products) > 1:
            joined = {e.out for e in products}
            yield eqn.out, (products, [v for v in terms if v not in joined])


def _fills(eqn: Eqn, profile: Profile) -> bool:
    """Whether a product keeps all compute units busy to the end. Where it does not, several shorter
    ones side by side take less time than a long one, whose last tiles run alone."""
    rows_and_columns = eqn.out.aval.size if eqn.outs else 0
    return rows_and_columns >= WAVES * TILE * profile.units and not is_matvec(eqn, profile)


def _kind(eqn: Eqn) -> tuple | None:
    """What products must agree in; None if they cannot be joined."""
    if eqn.prim is not dot or eqn.out.aval.dtype is not f32:
        return None
    a, b, _ = parse(eqn.params["spec"])
    summed = roles(eqn.params["spec"])[3]
    if len(summed) != 1 or eqn.ins[0].aval.shape[a.index(summed)] % 4 or not eqn.out.aval.size:
        return None
    free = [
        tuple(n for c, n in zip(letters, v.aval.shape, strict=True) if c != summed)
        for letters, v in zip((a, b), eqn.ins, strict=True)
    ]
    return eqn.params["spec"], *free


def _joined(env: dict, products: Sequence[Eqn], others: Sequence[Value]) -> Value:
    spec = products[0].params["spec"]
    summed = roles(spec)[3]
    sides = []
    for n, letters in enumerate(parse(spec)[:2]):
        parts = [read(env, e.ins[n]) for e in products]
        sides.append(emit(concat, *parts, axis=letters.index(summed)))
    whole = emit(dot, *sides, spec=spec)
    return reduce(lambda x, y: emit(add, x, y), [whole, *(read(env, v) for v in others)])
