"""Sorting, in operations that run everywhere: comparisons, selections and views.

Invariant: every key is paired with its position, so that no two pairs are equal and the order is
the one stable order, whatever network finds it.
"""

from __future__ import annotations

import numpy as np

from ..build import emit, lit_like
from ..dtypes import highest, i32
from ..factors import alike
from ..graph import Aval, Value
from ..prim import Primitive, register
from .views import broadcast_to, iota, pad, reshape_to, rev
from .views import slice as slice_

BLOCK = 512  # up to here counting smaller elements costs less than merging
Pair = tuple[Value, Value]  # i32 keys and i32 positions, of one shape


@register
class sort(Primitive):
    """i32 keys in order along the last axis, and the i32 positions that they had.

    Equal keys keep their order.
    """

    name = "sort"
    kind = "composite"
    multi = True

    def typeof(self, keys: Aval) -> tuple[Aval, Aval]:
        if not keys.ndim or keys.dtype is not i32:
            raise TypeError(f"sort needs i32 keys along an axis, got {keys}")
        return keys, keys

    def eval(self, keys):
        order = np.argsort(keys, axis=-1, kind="stable").astype(np.int32)
        return np.take_along_axis(keys, order, -1), order

    def factors(self, keys):
        return alike(1, keys.ndim, results=2, but=(keys.ndim - 1,))

    def batch(self, ins, mask, size):
        return emit(sort, *ins)

    def vjp(self, cts, outs, keys):
        return (None,)

    def flops(self, keys: Aval) -> int:
        return keys.size * max(1, keys.shape[-1] - 1).bit_length()

    def expand(self, keys):
        """Blocks are sorted by counting, then merged in pairs (Batcher's bitonic merge, 1968)."""
        shape = keys.aval.shape
        n, last = shape[-1], len(shape) - 1
        if n <= 1 or not keys.aval.size:
            return keys, lit_like(0, keys)
        (keys,) = _stored(keys)  # each is read n times
        if n <= BLOCK:
            return _ordered_by_counting((keys, _places(shape, last)))
        size = 1 << (n - 1).bit_length()
        # The highest value, later in position than any other, stays behind all others.
        keys = _padded(keys, size)
        pair = keys, _places(keys.aval.shape, last)
        blocks = (*shape[:-1], size // BLOCK, BLOCK)
        pair = _ordered_by_counting(tuple(reshape_to(x, blocks) for x in pair))
        pair = tuple(reshape_to(x, keys.aval.shape) for x in pair)
        width = BLOCK
        while width < size:
            width *= 2
            pair = _merged(pair, width)
        none = (0,) * len(shape)
        ones = (1,) * len(shape)
        return tuple(emit(slice_, x, start=none, limit=shape, stride=ones) for x in pair)


def _places(shape: tuple[int, ...], axis: int) -> Value:
    return emit(iota, shape=shape, dtype=i32, axis=axis)


def _stored(*values: Value) -> tuple[Value, ...]:
    """`values` behind a barrier, so that what follows reads them instead of computing them."""
    from .call import optimization_barrier

    return emit(optimization_barrier, *values)


def _padded(keys: Value, size: int) -> Value:
    shape = keys.aval.shape
    none = (0,) * len(shape)
    high = (*none[1:], size - shape[-1])
    return emit(pad, keys, low=none, high=high, interior=none, value=highest(i32))


def _before(a: Pair, b: Pair) -> Value:
    """Whether pair a comes before pair b."""
    from .elementwise import and_, eq, lt, or_

    tie = emit(and_, emit(eq, a[0], b[0]), emit(lt, a[1], b[1]))
    return emit(or_, emit(lt, a[0], b[0]), tie)


def _ordered_by_counting(pair: Pair) -> Pair:
    """Sort the last axis: the place of a pair is the number of pairs before it."""
    from .elementwise import eq, select
    from .reduce import sum as reduce_sum
    from .unary import cast

    shape = pair[0].aval.shape
    rank = len(shape)
    square = (*shape, shape[-1])
    down, along = tuple(range(rank)), (*range(rank - 1), rank)
    this = tuple(broadcast_to(x, square, down) for x in pair)
    others = tuple(broadcast_to(x, square, along) for x in pair)
    before = emit(cast, _before(others, this), dtype=i32)
    places = emit(reduce_sum, before, axes=(rank,))
    here = emit(eq, broadcast_to(places, square, along), _places(square, rank - 1))
    kept = (emit(select, here, x, lit_like(0, x)) for x in others)
    return tuple(emit(reduce_sum, x, axes=(rank,)) for x in kept)


def _merged(pair: Pair, width: int) -> Pair:
    """Blocks of `width`, whose halves are in order, in order.

    The first step compares mirror images, so that every step puts the smaller pair first.
    """
    pair = _exchanged(pair, width, mirrored=True)
    half = width // 4
    while half:
        pair = _exchanged(pair, 2 * half, mirrored=False)
        half //= 2
    return pair


def _exchanged(pair: Pair, width: int, mirrored: bool) -> Pair:
    """Each element meets its partner in the other half of its block; the lower keeps the less."""
    from .elementwise import eq, select

    shape = pair[0].aval.shape
    blocks = (*shape[:-1], shape[-1] // width, 2, width // 2)
    half = len(blocks) - 2
    axes = (half, half + 1) if mirrored else (half,)
    mine = tuple(reshape_to(x, blocks) for x in pair)
    theirs = tuple(emit(rev, x, axes=axes) for x in mine)
    place = _places(blocks, half)
    keep = emit(eq, _before(mine, theirs), emit(eq, place, lit_like(0, place)))
    kept = (emit(select, keep, a, b) for a, b in zip(mine, theirs, strict=True))
    # Without a barrier the steps would be fused, each computing the one before it twice.
    return _stored(*(reshape_to(x, shape) for x in kept))


__all__ = ["BLOCK", "sort"]
