"""Attention as users of JAX call it.

Invariant: what only causality, segments and shared heads ask for goes through the fused primitive;
biases, masks, lengths and windows act on scores that are stored. Scores and sums are in float32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ir.dtypes import bool_, f32, i32, lowest

from .. import contraction, reductions, shaping
from .. import elementwise as ew
from ..array import aval_of
from ..creation import iota
from ..errors import located
from ..operands import astype
from ..staging import bind, operand
from .softmax import logsumexp, softmax

MASKED = 0.7 * lowest(f32)  # a score that loses against all others and stays finite


def dot_product_attention(
    query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, *,
    scale: float | None = None, is_causal: bool = False, query_seq_lengths: Any = None,
    key_value_seq_lengths: Any = None, local_window_size: int | tuple[int, int] | None = None,
    implementation: str | None = None, return_residual: bool = False,
    query_segment_ids: Any = None, key_value_segment_ids: Any = None,
    segments_are_sorted: bool = False,
) -> Any:  # fmt: skip
    """softmax(q k^T * scale + bias) v for q[B, T, N, H] and k, v[B, S, K, H]; B may be missing.

    Query head n reads key head n // (N / K). `bias` and the bool `mask`, which says what is seen,
    broadcast to [B, N, T, S]. Causal: query t sees key s iff s <= t. The lengths [B] of each
    sequence hide what lies behind; `local_window_size` (left, right) hides keys further away.
    `scale` is 1/sqrt(H) by default. With `return_residual` also the log-sum-exp of the scores
    [B, T, N], through which no gradient passes.

    Beyond JAX: with integers `query_segment_ids` [B, T] and `key_value_segment_ids` [B, S], by
    default those of the queries, a query sees only keys of its own segment, and one without any
    gives zeros; no mask is stored. `segments_are_sorted` promises that the ids never fall along a
    sequence, as those of packed documents, and what lies wholly in other segments is left out.
    Raises ValueError.
    """
    q, k, v = (_of_four(operand(t, "dot_product_attention")) for t in (query, key, value))
    extra = [None if t is None else _of_four(operand(t)) for t in (bias, mask)]
    lengths = [
        None if n is None else operand(n) for n in (query_seq_lengths, key_value_seq_lengths)
    ]
    _check(q, k, v, *extra, *lengths)
    segments = _segments(q, k, query_segment_ids, key_value_segment_ids, segments_are_sorted)
    if implementation not in (None, "xla", "cudnn"):
        raise located(ValueError, f"Unsupported implementation option: {implementation}")
    scale = 1 / math.sqrt(aval_of(q).shape[-1]) if scale is None else float(scale)
    plain = all(given is None for given in (*extra, *lengths, local_window_size))
    if plain:
        out, sums = _fused(q, k, v, scale, bool(is_causal), segments)
    else:
        seen = _seen(q, k, extra[1], bool(is_causal), lengths, local_window_size, segments.ids)
        out, scores = _explicit(q, k, v, scale, extra[0], seen)
        out = _blanked(out, lengths[0], seen if segments.ids else None)
    shape = aval_of(operand(query)).shape
    out = shaping.reshape(out, shape)
    if not return_residual:
        return out
    sums = shaping.swapaxes(sums if plain else logsumexp(scores, -1), 1, 2)
    sums = astype(shaping.reshape(sums, shape[:-1]), aval_of(k).dtype)
    return out, bind("stop_gradient", sums)


def _of_four(x: Any) -> Any:
    missing = 4 - aval_of(x).ndim
    return shaping.expand_dims(x, tuple(range(missing))) if missing > 0 else x


def _check(q: Any, k: Any, v: Any, bias: Any, mask: Any, *lengths: Any) -> None:
    if aval_of(k).ndim != 4:
        raise located(ValueError, f"key ndim should be 4, but got {aval_of(k).ndim}")
    b, s, heads, h = aval_of(k).shape
    kind = aval_of(k).dtype
    _fits("value", v, (b, s, heads, h), kind)
    _fits("query", q, (b, -1, -1, h), kind)
    _fits("mask", mask, (-1,) * 4, bool_)
    _fits("bias", bias, (-1,) * 4, None)
    for name, given in zip(("query", "key_value"), lengths, strict=True):
        _fits(f"{name}_seq_lengths", given, (b,), i32)
    if heads == 0 or aval_of(q).shape[2] % heads:
        raise located(
            ValueError,
            "The number of query heads must be a multiple of key/value heads, but got "
            f"{aval_of(q).shape[2]} vs {heads}",
        )


@dataclass(frozen=True)
class _Segments:
    """int32 ids of queries [B, T] and of keys [B, S], or none, and whether they are sorted."""

    ids: tuple[Any, ...] = ()
    ordered: bool = False

    def of(self, queries: tuple[int, int], keys: tuple[int, int]) -> _Segments:
        """Those of some of the queries and of the keys."""
        pairs = zip(self.ids, (queries, keys), strict=False)
        return _Segments(tuple(shaping.slice_axis(x, 1, *at) for x, at in pairs), self.ordered)

    @property
    def params(self) -> dict[str, bool]:
        return {"ordered": self.ordered} if self.ids else {}


def _segments(q: Any, k: Any, of_queries: Any, of_keys: Any, ordered: bool) -> _Segments:
    if of_queries is None and of_keys is None:
        return _Segments()
    if of_queries is None:
        raise located(ValueError, "key_value_segment_ids need query_segment_ids")
    of_keys = of_queries if of_keys is None else of_keys
    found = []
    for name, given, like in (("query", of_queries, q), ("key_value", of_keys, k)):
        ids = operand(given, "dot_product_attention")
        ids = shaping.expand_dims(ids, 0) if aval_of(ids).ndim == 1 else ids
        _fits(f"{name}_segment_ids", ids, aval_of(like).shape[:2], None)
        if not aval_of(ids).dtype.is_integer:
            kind = aval_of(ids).dtype.np.name
            raise located(ValueError, f"{name}_segment_ids should be integers, but got {kind}")
        found.append(astype(ids, i32))
    return _Segments(tuple(found), bool(ordered))


def _fits(name: str, x: Any, shape: Sequence[int], kind: Any) -> None:
    """Raises ValueError unless x has this shape, of which -1 may be anything, and dtype."""
    if x is None:
        return
    found = aval_of(x)
    if found.ndim != len(shape):
        raise located(ValueError, f"{name} ndim should be {len(shape)}, but got {found.ndim}")
    if kind is not None and found.dtype is not kind:
        raise located(
            ValueError, f"{name} dtype should be {kind.np.name}, but got {found.dtype.np.name}"
        )
    if any(n not in (-1, m) for n, m in zip(shape, found.shape, strict=True)):
        raise located(ValueError, f"{name} shape should be {list(shape)}: but got {found.shape}")


# --- fused ------------------------------------------------------------------------------------


def _fused(
    q: Any, k: Any, v: Any, scale: float, causal: bool, segments: _Segments
) -> tuple[Any, Any]:
    """out[B, T, N, H] and sums[B, N, T] by the primitive, whose last query sees the last key."""
    t, s = aval_of(q).shape[1], aval_of(k).shape[1]
    if causal and t > s:  # queries behind the last key see every key
        cuts = [(lo, hi) for lo, hi in ((0, s), (s, t)) if hi > lo]
        queries = [shaping.slice_axis(q, 1, *cut) for cut in cuts]
        parts = [
            _fused(some, k, v, scale, cut[0] < s, segments.of(cut, (0, s)))
            for some, cut in zip(queries, cuts, strict=True)
        ]
        outs, sums = zip(*parts, strict=True)
        return shaping.concatenate(outs, 1), shaping.concatenate(sums, 2)
    if causal and s > t:  # keys behind the last query are seen by none
        k, v = (shaping.slice_axis(x, 1, 0, t) for x in (k, v))
        segments = segments.of((0, t), (0, t))
    kind = aval_of(q).dtype
    wide = (astype(x, f32) for x in (q, k, v))
    out, sums = bind(
        "attention", *wide, *segments.ids, causal=causal, scale=scale, **segments.params
    )
    return astype(out, kind), sums


# --- explicit ---------------------------------------------------------------------------------


def _seen(
    q: Any, k: Any, mask: Any, causal: bool, lengths: Sequence[Any],
    window: int | tuple[int, int] | None, ids: Sequence[Any],
) -> Any:  # fmt: skip
    """bool[B or 1, N or 1, T, S] of what every query sees, or None for everything."""
    t, s = aval_of(q).shape[1], aval_of(k).shape[1]
    found = [] if mask is None else [mask]
    if causal or window is not None:
        row, column = (iota((1, 1, t, s), axis) for axis in (2, 3))
    if causal:
        found.append(ew.less_equal(column, row))
    if window is not None:
        left, right = (window, window) if isinstance(window, int) else window
        found.append(ew.less_equal(row, ew.add(column, int(left))))
        found.append(ew.greater_equal(row, ew.subtract(column, int(right))))
    if ids:
        of_queries, of_keys = (
            shaping.expand_dims(ids[0], (1, 3)),
            shaping.expand_dims(ids[1], (1, 2)),
        )
        found.append(ew.equal(of_queries, of_keys))
    for given, size, axes in zip(lengths, (t, s), ((1, 3), (1, 2)), strict=True):
        if given is not None:
            found.append(shaping.expand_dims(_below(given, size), axes))
    every = None
    for one in found:
        every = one if every is None else ew.logical_and(every, one)
    return every


def _blanked(out: Any, lengths: Any, seen: Any) -> Any:
    """out[B, T, N, H] with zeros for queries behind their length, or that by `seen` see no key."""
    if lengths is not None:
        rows = _below(lengths, aval_of(out).shape[1])
        out = ew.where(shaping.expand_dims(rows, (2, 3)), out, 0.0)
    if seen is not None:
        rows = shaping.expand_dims(shaping.swapaxes(reductions.any(seen, 3), 1, 2), 3)
        out = ew.where(rows, out, 0.0)
    return out


def _below(lengths: Any, size: int) -> Any:
    """bool[B, size]: positions below each length."""
    shape = (aval_of(lengths).shape[0], size)
    return ew.less(iota(shape, 1), shaping.expand_dims(lengths, 1))


def _explicit(q: Any, k: Any, v: Any, scale: float, bias: Any, seen: Any) -> tuple[Any, Any]:
    """out[B, T, N, H] and the scores[B, N, T, S]."""
    b, t, n, h = aval_of(q).shape
    s, heads = aval_of(k).shape[1:3]
    grouped = shaping.reshape(astype(q, f32), (b, t, heads, n // heads, h))
    scores = contraction.einsum("btkgh,bskh->bkgts", grouped, astype(k, f32))
    scores = ew.multiply(shaping.reshape(scores, (b, n, t, s)), scale)
    if bias is not None:
        scores = astype(ew.add(scores, bias), f32)
    if seen is not None:
        scores = ew.where(seen, scores, MASKED)
    shares = shaping.reshape(softmax(scores), (b, heads, n // heads, t, s))
    out = contraction.einsum("bkgts,bskh->btkgh", shares, astype(v, f32))
    return astype(shaping.reshape(out, (b, t, n, h)), aval_of(k).dtype), scores


def cached_attention(query: Any, key: Any, value: Any, first: Any, stop: Any) -> Any:
    """softmax(q k^T / sqrt(H)) v of one new token q[B, 1, N, H] over kept k, v[B, S, K, H].

    Slot s is seen by row b iff first[b] <= s < stop, for int32 first[B] and stop[]; no row of the
    keys and values that none sees matters. Raises TypeError.
    """
    given = [operand(x, "cached_attention") for x in (query, key, value, first, stop)]
    kind = aval_of(given[0]).dtype
    wide = (astype(x, f32) for x in given[:3])
    scale = 1 / math.sqrt(aval_of(given[0]).shape[-1])
    return astype(bind("cached_attention", *wide, *given[3:], scale=scale), kind)


def attention_with_cache(
    query: Any, key: Any, value: Any, cache: Any, first: Any, slot: Any
) -> tuple[Any, Any]:
    """`cached_attention` of one new token over a cache to which its own key and value are added.

    query[B, 1, N, H], key and value[B, 1, K, H] and cache[2, B, S, K, H], keys and values of S
    slots, in one dtype. Returns ([B, 1, N, H], the cache with those of the new token at int32
    slot[], shifted so that it exists); slot s is seen by row b iff first[b] <= s <= slot. A cache
    that is donated, or carried by a loop, is updated in place. Raises TypeError.
    """
    given = [operand(x, "attention_with_cache") for x in (query, key, value, cache, first, slot)]
    scale = 1 / math.sqrt(aval_of(given[0]).shape[-1])
    return bind("attention_with_cache", *given, scale=scale)


__all__ = ["attention_with_cache", "cached_attention", "dot_product_attention"]
