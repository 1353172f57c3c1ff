"""Attention of one new token to the keys and values kept of those before it.

Invariant: `expand` is the definition, as of all composites; where `codegen` has a kernel, only the
slots that are seen are read, and of what is kept only the new token's slot is written.
"""

from __future__ import annotations

from ..build import emit, lit, lit_like
from ..dtypes import f32, i32, lowest
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import register
from .contract import dot
from .elementwise import and_, eq, le, lt, select
from .fused import Composite
from .index import dynamic_update
from .reduce import reduce_max, spread, sum
from .unary import cast, exp
from .views import broadcast_to, concat, iota, reshape_to
from .views import slice as slice_


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


@register
class attention_with_cache(Composite):
    """(o, cache): `cached_attention` of q [B, 1, N, D] once k and v [B, 1, K, D] are kept.

    The cache [2, B, T, K, D] holds keys and values of T slots. Those of the new token go to slot
    i32 [], shifted so that it exists; slot t is seen by row b iff first[b] <= t <= slot, for first
    i32 [B].
    """

    name = "attention_with_cache"
    nested = multi = True
    has_kernel = True

    def typeof(self, q, k, v, cache, first, slot, *, scale):
        fits = q.ndim == k.ndim == 4 and k == v and cache.ndim == 5 and cache.shape[0] == 2
        fits = fits and q.dtype is k.dtype is cache.dtype and q.dtype.is_float
        fits = fits and k.shape[:2] == (q.shape[0], 1) == (cache.shape[1], q.shape[1])
        fits = fits and cache.shape[3:] == k.shape[2:] and q.shape[3] == k.shape[3]
        fits = fits and 0 not in cache.shape[2:] and q.shape[2] % k.shape[2] == 0
        if not fits or first != Aval(q.shape[:1], i32) or slot != Aval((), i32):
            raise TypeError(
                "attention_with_cache needs q[B, 1, N, D], k, v[B, 1, K, D] and a cache"
                "[2, B, T, K, D] with N a multiple of K, first i32[B] and slot i32[], got "
                f"{q}, {k}, {v}, {cache}, {first} and {slot}"
            )
        return q, cache

    def factors(self, *avals, scale):
        """Rows and heads; the slots are met one after the other."""
        rows, kept = ("b", None, "n", None), (None, "b", None, "n", None)
        return Factors((rows, rows, rows, kept, ("b",), ()), (rows, kept))

    def expand(self, q, k, v, cache, first, slot, *, scale):
        b, _, heads, d = k.aval.shape
        new = emit(concat, *(reshape_to(x, (1, b, 1, heads, d)) for x in (k, v)), axis=0)
        zero = lit(0, i32)
        cache = emit(dynamic_update, cache, new, zero, zero, slot, zero, zero)
        kept = [_wide(_half(cache, n)) for n in range(2)]
        o = emit(cached_attention, _wide(q), *kept, first, slot + 1, scale=scale)
        return (o if o.aval == q.aval else emit(cast, o, dtype=q.aval.dtype)), cache


def _half(cache: Value, n: int) -> Value:
    """The keys (0) or the values (1) of a cache."""
    shape = cache.aval.shape
    part = emit(slice_, cache, start=(n, 0, 0, 0, 0), limit=(n + 1, *shape[1:]), stride=(1,) * 5)
    return reshape_to(part, shape[1:])


def _wide(x: Value) -> Value:
    return emit(cast, x, dtype=f32) if x.aval.dtype.itemsize < 4 else x
