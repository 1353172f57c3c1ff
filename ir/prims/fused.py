"""Composites: operations with a meaning given by an expansion into other primitives.

Invariant: `expand` is the definition; evaluation, differentiation and code generation fall back on
it. A composite exists either because its derivative is cheaper written down than derived, or
because `codegen` has a kernel for it (the attention family, in modules of its own).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..build import build, emit, inline, lit, lit_like
from ..dtypes import i32
from ..factors import Factors, alike
from ..graph import Aval, Value
from ..prim import Primitive, register
from .elementwise import eq, select
from .index import one_hot_rows
from .lead import front, inward, lead, lead_all, merge, split
from .reduce import reduce_max, spread, sum
from .unary import cast, exp, log, rsqrt
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


def need_float(name: str, *avals: Aval) -> None:
    """Raises TypeError unless operands share one float dtype and have a last axis with elements."""
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
        need_float(self.name, x)
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
        need_float(self.name, x, weight)
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
        need_float(self.name, x, weight, bias)
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
        need_float(self.name, x, cos, sin)
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
        need_float(self.name, logits)
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
