"""Composites: operations with a meaning given by an expansion into other primitives.

Invariant: `expand` is the definition; evaluation, differentiation and code generation fall back on
it. A composite exists either because its derivative is cheaper written down than derived, or
because `codegen` has a kernel for it (the attention family).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..build import build, emit, inline, lit, lit_like
from ..dtypes import i32, lowest
from ..factors import Factors, alike
from ..graph import Aval, Value
from ..prim import Primitive, register
from .contract import dot
from .elementwise import cast, eq, exp, le, log, rsqrt, select
from .index import one_hot_rows
from .lead import front, inward, lead, lead_all, merge, split
from .reduce import reduce_max, spread, sum
from .views import broadcast_to, iota, reshape_to, rev


class Composite(Primitive):
    kind = "composite"

    def expand(self, *ins: Value, **params: Any) -> Any:
        """The same result from other primitives, emitted into the open builder."""
        raise TypeError(f"{self.name} declares no expansion")

    def expansion(self, avals: tuple[Aval, ...], params: dict[str, Any]):
        return build(lambda *xs: self.expand(*xs, **params), *avals)

    def eval(self, *xs, **params):
        from ..interp import evaluate_traced

        return evaluate_traced(lambda *ins: self.expand(*ins, **params), xs, self.multi)

    def vjp(self, ct, out, *ins, **params):
        from ..passes.grad import vjp_graph

        avals = tuple(v.aval for v in ins)
        smooth = tuple(i for i, a in enumerate(avals) if a.dtype.is_float)
        backward = vjp_graph(self.expansion(avals, params), smooth)
        outs = out if self.multi else (out,)
        cts = ct if self.multi else (ct,)
        cts = [lit_like(0, o) if c is None else c for c, o in zip(cts, outs, strict=True)]
        found = inline(backward, [*ins, *cts], attribute=False)[len(outs) :]
        by_place = dict(zip(smooth, found, strict=True))
        return tuple(by_place.get(i) for i in range(len(ins)))

    def batch(self, ins, mask, size, **params):
        from ..passes.batch import batch_all

        avals = [Aval(v.aval.shape[m:], v.aval.dtype) for v, m in zip(ins, mask, strict=True)]
        outs = inline(batch_all(self.expansion(avals, params), mask, size), ins, attribute=False)
        return tuple(outs) if self.multi else outs[0]

    def factors(self, x, *rest, **params):
        """Every row by itself; what else there is belongs to the last axis."""
        rows = alike(1, x.ndim, but=(x.ndim - 1,))
        return Factors((*rows.ins, *((None,) * a.ndim for a in rest)), rows.outs)

    def flops(self, *avals, **params):
        graph = self.expansion(avals, params)
        return total_flops(graph)


def total_flops(graph) -> int:
    """Arithmetic of a graph: views and sources are free."""
    free = ("view", "source", "gather")
    costed = [e for e in graph.eqns if e.prim.kind not in free]
    return int(np.sum([e.prim.flops(*(v.aval for v in e.ins), **e.params) for e in costed]))


def _last(x: Value) -> tuple[int, ...]:
    return (x.aval.ndim - 1,)


def _rows(x: Value, like: Value) -> Value:
    """Repeat one value a row over the row."""
    return spread(x, _last(like), like.aval.shape)


def _columns(w: Value, like: Value) -> Value:
    """Repeat one vector over all rows."""
    return broadcast_to(w, like.aval.shape, _last(like))


def _lead(x: Value) -> tuple[int, ...]:
    return tuple(range(x.aval.ndim - 1))


def _total(x: Value, axes: tuple[int, ...]) -> Value:
    return emit(sum, x, axes=axes) if axes else x


def _mean(x: Value) -> Value:
    return _total(x, _last(x)) * (1.0 / x.aval.shape[-1])


def _need_float(name: str, *avals: Aval) -> None:
    if any(not a.dtype.is_float or a.dtype is not avals[0].dtype for a in avals):
        raise TypeError(
            f"{name} needs operands of one float dtype, got {', '.join(map(str, avals))}"
        )
    if avals[0].ndim == 0 or avals[0].shape[-1] == 0:
        raise TypeError(f"{name} needs a last axis with elements, got {avals[0]}")


@register
class softmax(Composite):
    """exp(x - max) / sum over the last axis."""

    name = "softmax"

    def typeof(self, x: Aval) -> Aval:
        _need_float(self.name, x)
        return x

    def expand(self, x):
        e = emit(exp, x - _rows(emit(reduce_max, x, axes=_last(x)), x))
        return e / _rows(_total(e, _last(e)), e)

    def batch(self, ins, mask, size):
        return emit(softmax, *ins)

    def vjp(self, ct, out, x):
        return ((ct - _rows(_total(ct * out, _last(x)), x)) * out,)


@register
class rms_norm(Composite):
    """x / sqrt(mean(x^2) + eps) * weight over the last axis (Zhang and Sennrich, 2019)."""

    name = "rms_norm"

    def typeof(self, x: Aval, weight: Aval, *, eps: float) -> Aval:
        _need_float(self.name, x, weight)
        if weight.shape != x.shape[-1:]:
            raise TypeError(f"rms_norm of {x} needs a weight of its last axis, got {weight}")
        return x

    def expand(self, x, weight, *, eps):
        return x * _rows(_inverse_rms(x, eps), x) * _columns(weight, x)

    def batch(self, ins, mask, size, *, eps):
        x, weight = ins
        if not mask[1]:
            return emit(rms_norm, x, weight, eps=eps)
        unit = emit(rms_norm, x, _plain(1, x), eps=eps)
        return lead(unit, mask[0], size) * _each_row(weight, x, mask[0], size)

    def vjp(self, ct, out, x, weight, *, eps):
        scale = _rows(_inverse_rms(x, eps), x)
        unit = x * scale
        g = ct * _columns(weight, x)
        gx = (g - unit * _rows(_mean(g * unit), x)) * scale
        return gx, _total(ct * unit, _lead(x))


def _inverse_rms(x: Value, eps: float) -> Value:
    return emit(rsqrt, _mean(x * x) + eps)


@register
class layer_norm(Composite):
    """(x - mean) / sqrt(var + eps) * weight + bias over the last axis."""

    name = "layer_norm"

    def typeof(self, x: Aval, weight: Aval, bias: Aval, *, eps: float) -> Aval:
        _need_float(self.name, x, weight, bias)
        if weight.shape != x.shape[-1:] or bias.shape != x.shape[-1:]:
            raise TypeError(
                f"layer_norm of {x} needs weight and bias of its last axis, got {weight} and {bias}"
            )
        return x

    def expand(self, x, weight, bias, *, eps):
        unit, _ = _standardise(x, eps)
        return unit * _columns(weight, x) + _columns(bias, x)

    def batch(self, ins, mask, size, *, eps):
        x, weight, bias = ins
        if not any(mask[1:]):
            return emit(layer_norm, x, weight, bias, eps=eps)
        unit = emit(layer_norm, x, _plain(1, x), _plain(0, x), eps=eps)
        scale, shift = (lead(v, m, size) for v, m in zip(ins[1:], mask[1:], strict=True))
        scale, shift = (_each_row(v, x, mask[0], size) for v in (scale, shift))
        return lead(unit, mask[0], size) * scale + shift

    def vjp(self, ct, out, x, weight, bias, *, eps):
        unit, scale = _standardise(x, eps)
        g = ct * _columns(weight, x)
        gx = (g - _rows(_mean(g), x) - unit * _rows(_mean(g * unit), x)) * scale
        return gx, _total(ct * unit, _lead(x)), _total(ct, _lead(x))


def _plain(value: float, x: Value) -> Value:
    """A weight or bias that changes nothing."""
    return lit(value, x.aval.dtype, x.aval.shape[-1:])


def _each_row(w: Value, x: Value, batched: bool, size: int) -> Value:
    """A vector a member, repeated over all rows of the member's x."""
    shape = x.aval.shape if batched else (size, *x.aval.shape)
    return broadcast_to(w, shape, (0, len(shape) - 1))


def _standardise(x: Value, eps: float) -> tuple[Value, Value]:
    centred = x - _rows(_mean(x), x)
    scale = _rows(emit(rsqrt, _mean(centred * centred) + eps), x)
    return centred * scale, scale


@register
class rope(Composite):
    """Rotary positions on x[B, S, N, D] with tables cos, sin[S, D/2]; pairs are (i, i + D/2).

    Su et al., 2021, in the half-rotation layout of LLaMA.
    """

    name = "rope"

    def typeof(self, x: Aval, cos: Aval, sin: Aval) -> Aval:
        _need_float(self.name, x, cos, sin)
        if (
            x.ndim != 4
            or x.shape[3] % 2
            or not cos.shape == sin.shape == (x.shape[1], x.shape[3] // 2)
        ):
            raise TypeError(
                f"rope needs x[B, S, N, D] and tables [S, D/2], got {x}, {cos} and {sin}"
            )
        return x

    def expand(self, x, cos, sin):
        pairs, swapped = self._pairs(x)
        halves = pairs.aval.shape
        wide = [broadcast_to(t, halves, (1, 4)) for t in (cos, sin)]
        return reshape_to(pairs * wide[0] + swapped * wide[1], x.aval.shape)

    def factors(self, x, cos, sin):
        return Factors((("b", "s", "n", None), ("s", None), ("s", None)), (("b", "s", "n", None),))

    def linear(self, mask):
        return mask == (True, False, False)

    def batch(self, ins, mask, size):
        # The members become further rows of the batch, or, with tables of their own, positions.
        if not any(mask[1:]):
            return split(emit(rope, merge(ins[0]), *ins[1:]), *ins[0].aval.shape[:2])
        x, cos, sin = lead_all(ins, mask, size)
        rows, positions = x.aval.shape[1:3]
        out = emit(rope, merge(inward(x, 1), 1), merge(cos), merge(sin))
        return front(reshape_to(out, (rows, size, positions, *x.aval.shape[3:])), 1)

    def vjp(self, ct, out, x, cos, sin):
        pairs, swapped = self._pairs(x)
        g = reshape_to(ct, pairs.aval.shape)
        dcos, dsin = (emit(sum, g * t, axes=(0, 2, 3)) for t in (pairs, swapped))
        return emit(rope, ct, cos, -sin), dcos, dsin

    def _pairs(self, x: Value) -> tuple[Value, Value]:
        """x as [B, S, N, 2, D/2], and the same with (a, b) replaced by (-b, a)."""
        b, s, n, d = x.aval.shape
        pairs = reshape_to(x, (b, s, n, 2, d // 2))
        side = emit(iota, shape=pairs.aval.shape, dtype=i32, axis=3)
        signs = emit(cast, side, dtype=x.aval.dtype) * 2 - 1
        return pairs, emit(rev, pairs, axes=(3,)) * signs


@register
class cross_entropy(Composite):
    """-log softmax(logits)[label] for logits[..., V] and integer labels[...]."""

    name = "cross_entropy"

    def typeof(self, logits: Aval, labels: Aval) -> Aval:
        _need_float(self.name, logits)
        if not labels.dtype.is_integer or labels.shape != logits.shape[:-1]:
            raise TypeError(
                f"cross_entropy of logits {logits} needs integer labels of shape "
                f"{logits.shape[:-1]}, got {labels}"
            )
        return Aval(labels.shape, logits.dtype)

    def expand(self, logits, labels):
        hit = self._hit(logits, labels)
        gold = _total(emit(select, hit, logits, lit_like(0, logits)), _last(logits))
        top, total = self._partition(logits)
        return top + emit(log, total) - gold

    def factors(self, logits, labels):
        rows = tuple(range(labels.ndim))
        return Factors(((*rows, None), rows), (rows,))

    def batch(self, ins, mask, size):
        return emit(cross_entropy, *lead_all(ins, mask, size))

    def vjp(self, ct, out, logits, labels):
        top, total = self._partition(logits)
        p = emit(exp, logits - _rows(top, logits)) / _rows(total, logits)
        hot = one_hot_rows(labels, logits.aval.shape[-1], logits.aval.dtype)
        return (p - hot) * _rows(ct, logits), None

    def _partition(self, z):
        top = emit(reduce_max, z, axes=_last(z))
        return top, _total(emit(exp, z - _rows(top, z)), _last(z))

    def _hit(self, z, labels):
        place = emit(iota, shape=z.aval.shape, dtype=labels.aval.dtype, axis=z.aval.ndim - 1)
        return emit(eq, place, _rows(labels, z))


# --- attention ----------------------------------------------------------------------------------


class Attention(Composite):
    """The family that has kernels: q, o [B, S, N, D]; k, v [B, T, K, D]; lse, delta [B, N, S].

    Query head n reads key head n // (N / K). `causal`: key t is visible to query s iff
    t <= s + (T - S). A query that sees no key yields zeros, a log-sum-exp below -1e29 and no
    gradient. Dao et al., 2022 for the recomputation from the log-sum-exp.
    """

    has_kernel = True

    def factors(self, *avals, causal, scale):
        """Sequences and heads; queries too if they see all keys, whose gradients sum over them."""
        s = None if causal else "s"
        q, k, rows = ("b", s, "n", None), ("b", None, "n", None), ("b", "n", s)
        ins = (q, k, k, q, rows, rows)[: len(avals)]
        outs = {"attention": (q, rows), "attention_dq": (q,), "attention_dkv": (k, k)}
        return Factors(ins, outs[self.name])

    def batch(self, ins, mask, size, **params):
        ins = lead_all(ins, mask, size)
        members = ins[0].aval.shape[:2]
        outs = emit(self, *map(merge, ins), **params)
        return tuple(split(o, *members) for o in outs) if self.multi else split(outs, *members)

    def check(self, q: Aval, k: Aval, v: Aval) -> None:
        _need_float("attention", q, k, v)
        fits = q.ndim == k.ndim == v.ndim == 4 and k.shape == v.shape
        fits = fits and q.shape[0] == k.shape[0] and q.shape[3] == k.shape[3]
        if not fits or k.shape[2] == 0 or q.shape[2] % k.shape[2]:
            raise TypeError(
                "attention needs q[B, S, N, D] and k, v[B, T, K, D] with N a multiple of K, "
                f"got {q}, {k} and {v}"
            )

    def check_saved(self, q: Aval, k: Aval, v: Aval, do: Aval, lse: Aval, delta: Aval) -> None:
        self.check(q, k, v)
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

    def _scores(self, q: Value, k: Value, causal: bool, scale: float) -> Value:
        """[B, K, N/K, S, T] scaled, masked scores."""
        grouped = self._grouped(q, k.aval.shape[2])
        s = emit(dot, grouped, k, spec="bskgd,btkd->bkgst") * scale
        return self._masked(s, lowest(s.aval.dtype)) if causal else s

    def _masked(self, s: Value, blank: float) -> Value:
        """`blank` where a query does not see the key."""
        shape = s.aval.shape
        row = emit(iota, shape=shape, dtype=i32, axis=3) + (shape[4] - shape[3])
        column = emit(iota, shape=shape, dtype=i32, axis=4)
        return emit(select, emit(le, column, row), s, lit_like(blank, s))

    def _exp(self, s: Value, rows: Value, causal: bool) -> Value:
        """exp(s - rows), and 0 in rows of which every score is masked."""
        e = emit(exp, s - spread(rows, (4,), s.aval.shape))
        return self._masked(e, 0) if causal and s.aval.shape[4] < s.aval.shape[3] else e

    def _weights(self, q, k, lse, causal, scale) -> Value:
        s = self._scores(q, k, causal, scale)
        return self._exp(s, reshape_to(lse, s.aval.shape[:4]), causal)

    def _dscores(self, q, k, v, do, lse, delta, causal, scale) -> tuple[Value, Value]:
        p = self._weights(q, k, lse, causal, scale)
        dp = emit(dot, self._grouped(do, k.aval.shape[2]), v, spec="bskgd,btkd->bkgst")
        rows = spread(reshape_to(delta, p.aval.shape[:4]), (4,), p.aval.shape)
        return p, p * (dp - rows)


@register
class attention(Attention):
    """(o, lse): softmax(q k^T * scale) v and the log-sum-exp of the scores."""

    name = "attention"
    multi = True

    def typeof(self, q, k, v, *, causal, scale):
        self.check(q, k, v)
        b, s, n, _ = q.shape
        return q, Aval((b, n, s), q.dtype)

    def expand(self, q, k, v, *, causal, scale):
        s = self._scores(q, k, causal, scale)
        top = emit(reduce_max, s, axes=(4,))
        e = self._exp(s, top, causal)
        total = _total(e, (4,))
        if k.aval.shape[1] == 0 or (causal and k.aval.shape[1] < q.aval.shape[1]):
            unseen = emit(eq, total, lit_like(0, total))
            total = emit(select, unseen, lit_like(1, total), total)
        o = emit(dot, e / spread(total, (4,), e.aval.shape), v, spec="bkgst,btkd->bskgd")
        b, n, h, _ = q.aval.shape
        return reshape_to(o, q.aval.shape), reshape_to(top + emit(log, total), (b, h, n))

    def vjp(self, ct, out, q, k, v, *, causal, scale):
        do, dlse = ct
        do = lit_like(0, q) if do is None else do
        b, s, n, _ = q.aval.shape
        delta = emit(sum, do * out[0], axes=(3,))
        delta = transpose_rows(delta)
        delta = delta if dlse is None else delta - dlse
        params = dict(causal=causal, scale=scale)
        dq = emit(attention_dq, q, k, v, do, out[1], delta, **params)
        return dq, *emit(attention_dkv, q, k, v, do, out[1], delta, **params)


def transpose_rows(delta: Value) -> Value:
    """[B, S, N] -> [B, N, S]."""
    from .views import transpose

    return emit(transpose, delta, perm=(0, 2, 1))


@register
class attention_dq(Attention):
    """dq from the saved log-sum-exp and delta = rowsum(do * o)."""

    name = "attention_dq"

    def typeof(self, q, k, v, do, lse, delta, *, causal, scale):
        self.check_saved(q, k, v, do, lse, delta)
        return q

    def expand(self, q, k, v, do, lse, delta, *, causal, scale):
        _, ds = self._dscores(q, k, v, do, lse, delta, causal, scale)
        return reshape_to(emit(dot, ds, k, spec="bkgst,btkd->bskgd") * scale, q.aval.shape)


@register
class attention_dkv(Attention):
    """(dk, dv), summed over the query heads that share a key head."""

    name = "attention_dkv"
    multi = True

    def typeof(self, q, k, v, do, lse, delta, *, causal, scale):
        self.check_saved(q, k, v, do, lse, delta)
        return k, v

    def expand(self, q, k, v, do, lse, delta, *, causal, scale):
        p, ds = self._dscores(q, k, v, do, lse, delta, causal, scale)
        h = k.aval.shape[2]
        dk = _group_sum(emit(dot, ds, self._grouped(q, h), spec="bkgst,bskgd->bktgd")) * scale
        dv = _group_sum(emit(dot, p, self._grouped(do, h), spec="bkgst,bskgd->bktgd"))
        return dk, dv


def _group_sum(x: Value) -> Value:
    """[B, K, T, G, D] -> [B, T, K, D]."""
    from .views import transpose

    return emit(transpose, _total(x, (3,)), perm=(0, 2, 1, 3))
