"""Attention over whole sequences, forward and backward, whose kernels never store the scores.

Invariant: `expand` is the definition, as of all composites, and the only place where scores
[B, K, N/K, S, T] are values; the rules for differentiation, batching and meshes keep the family.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..build import emit, lit_like
from ..dtypes import i32, lowest
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import register
from .contract import dot
from .elementwise import and_, eq, le, select
from .fused import Composite, need_float
from .lead import lead_all, merge, split
from .reduce import reduce_max, spread, sum
from .unary import exp, log
from .views import broadcast_to, iota, reshape_to, transpose_to

Ids = Sequence[Value]


class Attention(Composite):
    """The family that has kernels: q, o [B, S, N, D]; k, v [B, T, K, D]; lse, delta [B, N, S].

    Query head n reads key head n // (N / K). `causal`: key t is visible to query s iff
    t <= s + (T - S). Two operands may follow, the segments of queries i32 [B, S] and of keys
    i32 [B, T]: then a key is visible only where its segment is the query's. `ordered` promises that
    segments never fall along a sequence, so that a kernel may pass over the blocks between which
    none is shared. A query that sees no key yields zeros, a log-sum-exp below -1e29 and no
    gradient. Dao et al., 2022 for the recomputation from the log-sum-exp.
    """

    has_kernel = True
    arrays = 6
    """How many operands there are before the segments."""

    def ids(self, ins: Sequence) -> Sequence:
        """Those operands (or types) that are segments: of queries and of keys, or none."""
        return ins[self.arrays :]

    def factors(self, *avals, causal, scale, ordered=False):
        """Sequences and heads; queries too if they see all keys, whose gradients sum over them."""
        s = None if causal else "s"
        q, k, rows = ("b", s, "n", None), ("b", None, "n", None), ("b", "n", s)
        ids = ("b", s), ("b", None)
        ins = *(q, k, k, q, rows, rows)[: self.arrays], *ids[: len(self.ids(avals))]
        outs = {"attention": (q, rows), "attention_dq": (q,), "attention_dkv": (k, k)}
        return Factors(ins, outs[self.name])

    def batch(self, ins, mask, size, **params):
        ins = lead_all(ins, mask, size)
        members = ins[0].aval.shape[:2]
        outs = emit(self, *map(merge, ins), **params)
        return tuple(split(o, *members) for o in outs) if self.multi else split(outs, *members)

    def check(self, q: Aval, k: Aval, v: Aval, *ids: Aval) -> None:
        need_float("attention", q, k, v)
        fits = q.ndim == k.ndim == v.ndim == 4 and k.shape == v.shape
        fits = fits and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
        if not fits or k.shape[2] == 0 or q.shape[2] % k.shape[2]:
            raise TypeError(
                "attention needs q[B, S, N, D] and k, v[B, T, K, D] with N a multiple of K, "
                f"got {q}, {k} and {v}"
            )
        wanted = Aval(q.shape[:2], i32), Aval(k.shape[:2], i32)
        if ids and ids != wanted:
            raise TypeError(
                f"{self.name} of {q} and {k} needs segments of types {wanted[0]} and {wanted[1]}, "
                f"got {' and '.join(map(str, ids))}"
            )

    def check_saved(
        self, q: Aval, k: Aval, v: Aval, do: Aval, lse: Aval, delta: Aval, *ids: Aval
    ) -> None:
        self.check(q, k, v, *ids)
        b, s, n, _ = q.shape
        rows = Aval((b, n, s), q.dtype)
        if do != q or lse != rows or delta != rows:
            raise TypeError(
                f"{self.name} needs do of type {q} and lse, delta of type {rows}, "
                f"got {do}, {lse} and {delta}"
            )

    def _grouped(self, q: Value, heads: int) -> Value:
        b, s, n, d = q.aval.shape
        return reshape_to(q, (b, s, heads, n // heads, d))

    def _scores(self, q: Value, k: Value, causal: bool, ids: Ids, scale: float) -> Value:
        """[B, K, N/K, S, T] scaled, masked scores."""
        grouped = self._grouped(q, k.aval.shape[2])
        s = emit(dot, grouped, k, spec="bskgd,btkd->bkgst") * scale
        return self._masked(s, lowest(s.aval.dtype), causal, ids)

    def _masked(self, s: Value, blank: float, causal: bool, ids: Ids) -> Value:
        """`blank` where a query does not see the key."""
        shape = s.aval.shape
        seen = []
        if causal:
            row = emit(iota, shape=shape, dtype=i32, axis=3) + (shape[4] - shape[3])
            seen.append(emit(le, emit(iota, shape=shape, dtype=i32, axis=4), row))
        if ids:
            of = (broadcast_to(x, shape, (0, axis)) for x, axis in zip(ids, (3, 4), strict=True))
            seen.append(emit(eq, *of))
        if not seen:
            return s
        both = seen[0] if len(seen) == 1 else emit(and_, *seen)
        return emit(select, both, s, lit_like(blank, s))

    def _exp(self, s: Value, rows: Value, causal: bool, ids: Ids) -> Value:
        """exp(s - rows), and 0 in rows of which every score is masked."""
        e = emit(exp, s - spread(rows, (4,), s.aval.shape))
        return self._masked(e, 0, causal, ids) if _blind(s, causal, ids) else e

    def _dscores(self, ins: Sequence[Value], causal: bool, scale: float) -> tuple[Value, Value]:
        """The weights of all pairs, and the gradients of their scores over the scale."""
        q, k, v, do, lse, delta, *ids = ins
        s = self._scores(q, k, causal, ids, scale)
        p = self._exp(s, reshape_to(lse, s.aval.shape[:4]), causal, ids)
        dp = emit(dot, self._grouped(do, k.aval.shape[2]), v, spec="bskgd,btkd->bkgst")
        rows = spread(reshape_to(delta, p.aval.shape[:4]), (4,), p.aval.shape)
        return p, p * (dp - rows)


def _blind(s: Value, causal: bool, ids: Ids) -> bool:
    """Whether there may be queries that see no key, for scores [..., S, T]."""
    queries, keys = s.aval.shape[3:]
    return bool(ids) or (causal and keys < queries)


@register
class attention(Attention):
    """(o, lse): softmax(q k^T * scale) v and the log-sum-exp of the scores."""

    name = "attention"
    multi = True
    arrays = 3

    def typeof(self, q, k, v, *ids, causal, scale, ordered=False):
        self.check(q, k, v, *ids)
        b, s, n, _ = q.shape
        return q, Aval((b, n, s), q.dtype)

    def expand(self, q, k, v, *ids, causal, scale, ordered=False):
        s = self._scores(q, k, causal, ids, scale)
        top = emit(reduce_max, s, axes=(4,))
        e = self._exp(s, top, causal, ids)
        total = emit(sum, e, axes=(4,))
        if k.aval.shape[1] == 0 or _blind(s, causal, ids):
            unseen = emit(eq, total, lit_like(0, total))
            total = emit(select, unseen, lit_like(1, total), total)
        o = emit(dot, e / spread(total, (4,), e.aval.shape), v, spec="bkgst,btkd->bskgd")
        b, n, h, _ = q.aval.shape
        return reshape_to(o, q.aval.shape), reshape_to(top + emit(log, total), (b, h, n))

    def vjp(self, ct, out, q, k, v, *ids, **params):
        do, dlse = ct
        do = lit_like(0, q) if do is None else do
        delta = transpose_to(emit(sum, do * out[0], axes=(3,)), (0, 2, 1))
        delta = delta if dlse is None else delta - dlse
        ins = q, k, v, do, out[1], delta, *ids
        dq, found = emit(attention_dq, *ins, **params), emit(attention_dkv, *ins, **params)
        return dq, *found, *(None for _ in ids)


@register
class attention_dq(Attention):
    """dq from the saved log-sum-exp and delta = rowsum(do * o)."""

    name = "attention_dq"

    def typeof(self, q, *rest, causal, scale, ordered=False):
        self.check_saved(q, *rest)
        return q

    def expand(self, q, k, *rest, causal, scale, ordered=False):
        _, ds = self._dscores((q, k, *rest), causal, scale)
        return reshape_to(emit(dot, ds, k, spec="bkgst,btkd->bskgd") * scale, q.aval.shape)


@register
class attention_dkv(Attention):
    """(dk, dv), summed over the query heads that share a key head."""

    name = "attention_dkv"
    multi = True

    def typeof(self, q, k, v, *rest, causal, scale, ordered=False):
        self.check_saved(q, k, v, *rest)
        return k, v

    def expand(self, q, k, v, do, *rest, causal, scale, ordered=False):
        p, ds = self._dscores((q, k, v, do, *rest), causal, scale)
        h = k.aval.shape[2]
        dk = _group_sum(emit(dot, ds, self._grouped(q, h), spec="bkgst,bskgd->bktgd")) * scale
        dv = _group_sum(emit(dot, p, self._grouped(do, h), spec="bkgst,bskgd->bktgd"))
        return dk, dv


def _group_sum(x: Value) -> Value:
    """[B, K, T, G, D] -> [B, T, K, D]."""
    return transpose_to(emit(sum, x, axes=(3,)), (0, 2, 1, 3))
