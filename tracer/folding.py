"""Combining the elements of an axis by any associative function, in halves.

Invariant: neighbours are combined in their order, so the function need not commute; what a scalar
function of two trees does to elements is done to whole arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.graph import Aval
from ir.prim import PRIMITIVES, Primitive

from . import shaping, tree
from .array import aval_of
from .batching import vmap
from .staging import bind, spread, trace

Combine = Callable[[list, list], list]
MONOIDS = ("add", "mul", "max", "min", "and_", "or_", "xor_")


def monoid_of(computation: Callable, kinds: Sequence[Any]) -> Primitive | None:
    """The primitive of two scalars that `computation` is, if it is just that."""
    if len(kinds) != 1:
        return None
    graph = trace(computation, [Aval((), kinds[0])] * 2).graph
    if len(graph.eqns) != 1 or graph.outs != graph.eqns[0].outs:
        return None
    (eqn,) = graph.eqns
    plain = eqn.prim.name in MONOIDS and set(eqn.ins) == set(graph.ins) and len(graph.ins) == 2
    return PRIMITIVES[eqn.prim.name] if plain else None


def elementwise(computation: Callable, structure: tree.Structure) -> Combine:
    """A scalar function of two trees as one of two lists of arrays of equal shapes."""

    def one(left: list, right: list) -> list:
        pair = (tree.unflatten(structure, side) for side in (left, right))
        return tree.leaves(computation(*pair))

    def combine(left: list, right: list) -> list:
        shape = aval_of(left[0]).shape
        flat = [[shaping.ravel(x) for x in side] for side in (left, right)]
        return [shaping.reshape(x, shape) for x in vmap(one)(*flat)]

    return combine


def combiner(computation: Callable, leaves: Sequence[Any], structure: tree.Structure) -> Combine:
    """How whole arrays are combined: by one primitive where that is all the function is."""
    kinds = [aval_of(x).dtype for x in leaves]
    single = structure == tree.structure(leaves[0]) if len(leaves) == 1 else False
    prim = monoid_of(computation, kinds) if single else None
    if prim is None:
        return elementwise(computation, structure)
    return lambda left, right: [bind(prim, left[0], right[0])]


def fold(combine: Combine, xs: list, empty: Sequence[Any], axis: int) -> list:
    """All elements along `axis`, which stays with size 1; `empty` scalars where there are none."""
    n = aval_of(xs[0]).shape[axis]
    if n == 0:
        shape = tuple(1 if d == axis else m for d, m in enumerate(aval_of(xs[0]).shape))
        return [spread(e, shape) for e in empty]
    while n > 1:
        half = n // 2
        odd = n % 2
        even, uneven = (
            [_every_second(x, axis, start, start + 2 * half) for x in xs] for start in (0, 1)
        )
        pairs = combine(even, uneven)
        if odd:
            last = [shaping.slice_axis(x, axis, n - 1, n) for x in xs]
            pairs = [shaping.concatenate(p, axis) for p in zip(pairs, last, strict=True)]
        xs, n = pairs, half + odd
    return xs


def _every_second(x: Any, axis: int, start: int, stop: int) -> Any:
    shape = aval_of(x).shape
    low, high, step = [0] * len(shape), list(shape), [1] * len(shape)
    low[axis], high[axis], step[axis] = start, min(stop, shape[axis]), 2
    return bind("slice", x, start=tuple(low), limit=tuple(high), stride=tuple(step))
