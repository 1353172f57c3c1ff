"""Ring attention: keys and values travel round, and each device attends to one part at a time.

Invariant: results equal those of attention over all keys. Partial results are merged by their
log-sum-exp, in float32 (Liu, Zaharia and Abbeel, 2023, Ring Attention). Heads that share keys are
repeated after the journey, in the kernel. On a zigzag axis every hop costs each device the same:
its late queries meet the early half of the part, and either its early queries do too or its late
ones meet the late half as well (Zhu, 2024, ring-flash-attention). The segments of keys travel with
them; a part that shares none with a query adds nothing to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..build import emit, lit, lit_like
from ..dtypes import i32
from ..graph import Eqn, Value
from ..prim import PRIMITIVES
from ..prims.attention import attention, attention_dkv, attention_dq
from ..prims.call import optimization_barrier
from ..prims.elementwise import le, max, select
from ..prims.unary import exp, log
from ..prims.views import broadcast_to, concat, transpose_to
from ..sharding import Axes, Spec
from .layout import Held

if TYPE_CHECKING:
    from .shard import Walk

UNSEEN = -1e30  # a log-sum-exp that adds nothing
Halves = list[Value]  # one part of a value, or on a zigzag axis its early and its late chunk
Pick = int | Value  # which of them: a number, or bool[]: the early one if it holds


def ringed(walk: Walk, eqn: Eqn, helds: Sequence[Held], axes: Axes) -> list[Held]:
    """`attention` or a backward partner of it, of which `axes` cuts queries and keys."""
    batch, heads = helds[0].spec.dims[0], helds[0].spec.dims[2]
    near, rows = (batch, axes, heads, ()), (batch, heads, axes)
    layouts = *(near, near, near, near, rows, rows)[: eqn.prim.arrays], near[:2], near[:2]
    given = [walk.move(h, d).value for h, d in zip(helds, layouts, strict=False)]
    if eqn.prim is not attention:  # the backward pass sends them round again instead of keeping all
        given[1:3] = _anew(walk, given[1], given[2])
    ring = _Ring(walk, eqn, axes)
    outs = {"attention": ring.forward, "attention_dq": ring.dq, "attention_dkv": ring.dkv}
    found = outs[eqn.prim.name](*given)
    dims = [rows if v.aval.ndim == 3 else near for v in eqn.outs]
    return [Held(v.aval, x, Spec(d)) for v, x, d in zip(eqn.outs, found, dims, strict=True)]


def _anew(walk: Walk, k: Value, v: Value) -> tuple[Value, Value]:
    """Keys and values that no pass takes for those of the forward pass."""
    if (k, v) not in walk.anew:
        walk.anew[k, v] = emit(optimization_barrier, k, v)
    return walk.anew[k, v]


class _Ring:
    """One equation, on a device's own parts."""

    def __init__(self, walk: Walk, eqn: Eqn, axes: Axes) -> None:
        self.params = eqn.params
        self.axis = {"axes": axes, "sizes": tuple(walk.mesh.size_of[a] for a in axes)}
        self.count = walk.mesh.along(axes)
        self.causal = eqn.params["causal"]
        self.zigzag = self.causal and bool(walk.mesh.zigzag & set(axes))

    # --- the three equations ---

    def forward(self, q: Value, k: Value, v: Value, *ids: Value) -> tuple[Value, Value]:
        o, lse = emit(attention, q, k, v, *ids, **self.params)
        outs = list(zip(self._halves(o, 1), self._halves(lse, 2), strict=True))
        queries = [self._halves(x, 1) for x in (q, *ids[:1])]
        for hop, part in self._travelling(k, v, *ids[1:]):
            keys = [self._halves(x, 1) for x in part]
            for row, column, seen in self._blocks(hop):
                query, *own_ids = (_get(x, row) for x in queries)
                key, value, *their_ids = (_get(x, column) for x in keys)
                found = self._whole(attention, query, key, value, *own_ids, *their_ids)
                for half, own in _places(row, len(outs)):
                    part = _masked(found[1], _both(seen, own), UNSEEN)
                    outs[half] = _merged(*outs[half], found[0], part)
        return self._joined([o for o, _ in outs], 1), self._joined([s for _, s in outs], 2)

    def dq(self, *ins: Value) -> tuple[Value]:
        total = self._halves(emit(attention_dq, *ins, **self.params), 1)
        for found, row, _ in self._backward(attention_dq, *ins):
            _add(total, row, found)
        return (self._joined(total, 1),)

    def dkv(self, *ins: Value) -> tuple[Value, Value]:
        pair = emit(attention_dkv, *ins, **self.params)
        heads = ins[1].aval.shape[2]
        total, last = emit(concat, *pair, axis=2), 0
        for found, column, hop in self._backward(attention_dkv, *ins):
            if hop > last:  # gradients travel with what they are of
                total, last = self._hop(total), hop
            halves = self._halves(total, 1)
            _add(halves, column, emit(concat, *found, axis=2))
            total = self._joined(halves, 1)
        return _parts(self._hop(total), heads)

    def _backward(self, prim, q, k, v, do, lse, delta, *ids):
        """(result, where it belongs, hop) of each block."""
        rows = [self._halves(x, 1) for x in (q, do, *ids[:1])]
        saved = [self._halves(x, 2) for x in (lse, delta)]
        for hop, part in self._travelling(k, v, *ids[1:]):
            keys = [self._halves(x, 1) for x in part]
            for row, column, seen in self._blocks(hop):
                query, out, *own_ids = (_get(x, row) for x in rows)
                sums, sides = (_get(x, row) for x in saved)
                sums = _masked(sums, seen, -UNSEEN)  # exp(score - sums) is 0
                key, value, *their_ids = (_get(x, column) for x in keys)
                ins = query, key, value, out, sums, sides, *own_ids, *their_ids
                found = self._whole(prim, *ins)
                yield found, row if prim is attention_dq else column, hop

    def _whole(self, prim, *ins):
        """A block of which every query sees every key of its segment."""
        return emit(prim, *ins, **{**self.params, "causal": False})

    # --- who meets whom ---

    def _travelling(self, k: Value, v: Value, *ids: Value):
        """(hop, keys, values, segments) of the parts of the devices before, the nearest first."""
        heads, both = k.aval.shape[2], emit(concat, k, v, axis=2)
        for hop in range(1, self.count):
            both, *ids = (self._hop(x) for x in (both, *ids))
            yield hop, (*_parts(both, heads), *ids)

    def _hop(self, x: Value) -> Value:
        perm = tuple((i, (i + 1) % self.count) for i in range(self.count))
        return emit(PRIMITIVES["ppermute"], x, perm=perm, **self.axis)

    def _blocks(self, hop: int) -> list[tuple[Pick, Pick, Value | None]]:
        """(queries, keys, whether they see them) of the part that came `hop` devices far."""
        if not self.causal:
            return [(0, 0, None)]
        member = emit(PRIMITIVES["axis_index"], **self.axis)
        earlier = emit(le, lit(hop, i32), member)  # the part lies before the device's own
        if self.zigzag:
            return [(1, 0, None), (earlier, earlier, None)]
        return [(0, 0, earlier)]

    def _halves(self, x: Value, axis: int) -> Halves:
        if not self.zigzag:
            return [x]
        n = x.aval.shape[axis] // 2
        return [_slice(x, axis, 0, n), _slice(x, axis, n, 2 * n)]

    def _joined(self, halves: Halves, axis: int) -> Value:
        return halves[0] if len(halves) == 1 else emit(concat, *halves, axis=axis)


def _slice(x: Value, axis: int, low: int, high: int) -> Value:
    start, limit = [0] * x.aval.ndim, list(x.aval.shape)
    start[axis], limit[axis] = low, high
    ones = (1,) * x.aval.ndim
    return emit(PRIMITIVES["slice"], x, start=tuple(start), limit=tuple(limit), stride=ones)


def _parts(both: Value, heads: int) -> tuple[Value, Value]:
    return _slice(both, 2, 0, heads), _slice(both, 2, heads, 2 * heads)


def _chosen(flag: Value, x: Value, y: Value) -> Value:
    return emit(select, broadcast_to(flag, x.aval.shape, ()), x, y)


def _get(halves: Halves, pick: Pick) -> Value:
    return halves[pick] if isinstance(pick, int) else _chosen(pick, *halves)


def _places(pick: Pick, count: int) -> list[tuple[int, Value | None]]:
    """(half, whether it is the one that was picked)."""
    if isinstance(pick, int):
        return [(pick, None)]
    return [(0, pick), (1, emit(PRIMITIVES["not_"], pick))][:count]


def _both(one: Value | None, two: Value | None) -> Value | None:
    """Of two conditions there is at most one."""
    return two if one is None else one


def _masked(x: Value, seen: Value | None, blank: float) -> Value:
    return x if seen is None else _chosen(seen, x, lit_like(blank, x))


def _add(halves: Halves, pick: Pick, x: Value) -> None:
    for half, own in _places(pick, len(halves)):
        halves[half] = halves[half] + _masked(x, own, 0)


def _merged(o: Value, lse: Value, part: Value, part_lse: Value) -> tuple[Value, Value]:
    """Softmax over two sets of keys from that over each: o, part [B, S, N, D], lse [B, N, S]."""
    top = emit(max, lse, part_lse)
    old, new = emit(exp, lse - top), emit(exp, part_lse - top)
    total = old + new
    mixed = o * _by_row(old / total, o) + part * _by_row(new / total, o)
    return mixed, top + emit(log, total)


def _by_row(weights: Value, like: Value) -> Value:
    """[B, N, S] as [B, S, N, D]."""
    return broadcast_to(transpose_to(weights, (0, 2, 1)), like.aval.shape, (0, 1, 2))


__all__ = ["ringed"]
