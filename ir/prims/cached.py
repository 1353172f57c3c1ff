"""Attention of one new token to the keys and values kept of those before it.

Invariant: `expand` is the definition, as of all composites; where `codegen` has a kernel, only the
slots that are seen are read.
"""

from __future__ import annotations

from ..build import emit, lit_like
from ..dtypes import i32, lowest
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import register
from .contract import dot
from .elementwise import and_, eq, exp, le, lt, select
from .fused import Composite
from .reduce import reduce_max, spread, sum
from .views import broadcast_to, iota, reshape_to


@register
class cached_attention(Composite):
    """softmax(q k^T * scale) v for q [B, 1, N, D] and k, v [B, T, K, D].

    Slot t is seen by row b iff first[b] <= t < stop, for first i32 [B] and stop i32 []. Query head
    n reads key head n // (N / K). A row that sees nothing gives zeros.
    """

    name = "cached_attention"
    has_kernel = True

    def typeof(self, q: Aval, k: Aval, v: Aval, first: Aval, stop: Aval, *, scale: float) -> Aval:
        fits = q.ndim == k.ndim == 4 and k == v and q.dtype is k.dtype and q.dtype.is_float
        fits = fits and q.shape[1] == 1 and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
        fits = fits and 0 not in k.shape[1:] and q.shape[2] % k.shape[2] == 0
        if not fits or first != Aval(q.shape[:1], i32) or stop != Aval((), i32):
            raise TypeError(
                "cached_attention needs q[B, 1, N, D], k, v[B, T, K, D] with N a multiple of K, "
                f"first i32[B] and stop i32[], got {q}, {k}, {v}, {first} and {stop}"
            )
        return q

    def factors(self, *avals, scale):
        """Rows and heads; the slots are met one after the other."""
        rows = ("b", None, "n", None)
        return Factors((rows, rows, rows, ("b",), ()), (rows,))

    def expand(self, q: Value, k: Value, v: Value, first: Value, stop: Value, *, scale: float):
        b, _, n, d = q.aval.shape
        heads = k.aval.shape[2]
        grouped = reshape_to(q, (b, heads, n // heads, d))
        s = emit(dot, grouped, k, spec="bkgd,btkd->bkgt") * scale
        slot = emit(iota, shape=s.aval.shape, dtype=i32, axis=3)
        seen = emit(
            and_,
            emit(le, broadcast_to(first, s.aval.shape, (0,)), slot),
            emit(lt, slot, broadcast_to(stop, s.aval.shape, ())),
        )
        s = emit(select, seen, s, lit_like(lowest(s.aval.dtype), s))
        e = emit(exp, s - spread(emit(reduce_max, s, axes=(3,)), (3,), s.aval.shape))
        e = emit(select, seen, e, lit_like(0, e))
        total = emit(sum, e, axes=(3,))
        total = emit(select, emit(eq, total, lit_like(0, total)), lit_like(1, total), total)
        shares = e / spread(total, (3,), e.aval.shape)
        return reshape_to(emit(dot, shares, v, spec="bkgt,btkd->bkgd"), (b, 1, n, d))
