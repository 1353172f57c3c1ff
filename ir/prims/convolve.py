"""`windows`, the view that slides over axes, and `conv`, the contraction of such windows.

Invariant: as in `dot`, the `spec` string of a `conv` is its whole rule, and its two cotangents and
its batches are other strings of the same primitive; a letter in `spatial` is an axis that both
operands and the result have, along which the second operand slides over the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from string import ascii_letters

import numpy as np

from ..build import emit, lit
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import register
from .contract import batched_spec, dot, parse, roles
from .elementwise import mul
from .fused import Composite
from .lead import behind
from .reduce import sum
from .views import View, broadcast_to, pad, reshape_to, rev, slice, transpose_to


def spread_size(n: int, step: int) -> int:
    """How far `n` elements reach that are `step` apart."""
    return (n - 1) * step + 1 if n else 0


def positions(n: int, size: int, stride: int, dilation: int) -> int:
    """How many windows of `size` elements, `dilation` apart, fit in n, starts `stride` apart."""
    return max(0, (n - spread_size(size, dilation)) // stride + 1)


@register
class windows(View):
    """Axis `axes[i]` becomes window positions; places in the window are new last axes, in order.

    out[.., p, .., k] = x[.., p * stride + k * dilation, ..].
    """

    name = "windows"

    def typeof(self, x: Aval, *, axes, sizes, strides, dilations) -> Aval:
        counts = {len(v) for v in (axes, sizes, strides, dilations)}
        known = list(axes) == sorted(set(axes)) and all(0 <= a < x.ndim for a in axes)
        if len(counts) > 1 or not known or min((*sizes, *strides, *dilations), default=1) < 1:
            raise TypeError(f"windows of {x} along axes {axes}: sizes {sizes}, strides {strides}")
        shape = list(x.shape)
        for a, size, stride, step in zip(axes, sizes, strides, dilations, strict=True):
            shape[a] = positions(x.shape[a], size, stride, step)
        return Aval((*shape, *sizes), x.dtype)

    def eval(self, x, *, axes, sizes, strides, dilations):
        if not axes:
            return x
        spans = tuple(spread_size(n, d) for n, d in zip(sizes, dilations, strict=True))
        if any(s > x.shape[a] for a, s in zip(axes, spans, strict=True)):
            params = {"sizes": sizes, "strides": strides, "dilations": dilations}
            return np.zeros(self.typeof(Aval(x.shape, None), axes=axes, **params).shape, x.dtype)
        every = np.lib.stride_tricks.sliding_window_view(x, spans, axes)
        steps = dict(zip(axes, strides, strict=True))
        places = [np.s_[:: steps.get(d, 1)] for d in range(x.ndim)]
        return every[(*places, *(np.s_[::d] for d in dilations))]

    def factors(self, x, *, axes, sizes, **params):
        dims = tuple(None if d in axes else d for d in range(x.ndim))
        return Factors((dims,), ((*dims, *(None for _ in sizes)),))

    def index(self, coords, x: Aval, *, axes, sizes, strides, dilations):
        at, inner = list(coords[: x.ndim]), coords[x.ndim :]
        for a, k, stride, step in zip(axes, inner, strides, dilations, strict=True):
            at[a] = at[a] * stride + k * step
        return at

    def batch(self, ins, mask, size, *, axes, **rest):
        return emit(windows, *ins, axes=behind(axes), **rest)

    def vjp(self, ct, out, x, *, axes, sizes, strides, dilations):
        for i in reversed(range(len(axes))):
            ct = _unslid(ct, x.aval.shape[axes[i]], axes[i], sizes[i], strides[i], dilations[i])
        return (ct,)


def _unslid(ct: Value, n: int, axis: int, size: int, stride: int, dilation: int) -> Value:
    """The cotangent of windows along one axis, whose places are ct's last axis."""
    shape = ct.aval.shape
    none, count, total = (0,) * (len(shape) - 1), shape[axis], None
    if not count:
        return lit(0, ct.aval.dtype, (*shape[:axis], n, *shape[axis + 1 : -1]))
    for k in range(size):
        start, limit = (*none, k), (*shape[:-1], k + 1)
        part = emit(slice, ct, start=start, limit=limit, stride=(1,) * len(shape))
        part = reshape_to(part, shape[:-1])
        low = k * dilation
        widths = {
            "low": low,
            "high": n - low - spread_size(count, stride),
            "interior": stride - 1,
        }
        at = {name: (*none[:axis], w, *none[axis + 1 :]) for name, w in widths.items()}
        part = emit(pad, part, value=0, **at)
        total = part if total is None else total + part
    return total


@register
class conv(Composite):
    """Sums of products of the windows of x with w.

    `spec` is an einsum as of `dot`, but for the axes `spatial`. For each of those, in order, x is
    spread by `x_steps`, gets `low` and `high` zeros (fewer elements if negative), and windows of
    w's size, elements `w_steps` apart, start `strides` apart.
    """

    name = "conv"

    def typeof(self, x: Aval, w: Aval, *, spec, spatial, strides, low, high, x_steps, w_steps):
        a, b, out = parse(spec)
        if x.ndim != len(a) or w.ndim != len(b):
            raise TypeError(f"conv {spec} got operands of other ranks: {x} and {w}")
        if x.dtype is not w.dtype or x.dtype.name == "bool":
            raise TypeError(f"conv requires two operands of one number dtype, got {x} and {w}")
        sizes = dict(zip(a, x.shape, strict=True))
        kernel = dict(zip(b, w.shape, strict=True))
        for c in kernel.keys() - set(spatial):
            if sizes.setdefault(c, kernel[c]) != kernel[c]:
                raise TypeError(f"conv {spec}: axis `{c}` of {x} and {w} has two sizes")
        for c, s, lo, hi, dx, dw in zip(spatial, strides, low, high, x_steps, w_steps, strict=True):
            sizes[c] = positions(lo + spread_size(sizes[c], dx) + hi, kernel[c], s, dw)
        return Aval(tuple(sizes[c] for c in out), x.dtype)

    def expand(self, x, w, *, spec, spatial, strides, low, high, x_steps, w_steps):
        params = {"strides": strides, "low": low, "high": high}
        out = self.typeof(
            x.aval, w.aval, spec=spec, spatial=spatial, x_steps=x_steps, w_steps=w_steps, **params
        )
        if 0 in (out.size, x.aval.size, w.aval.size):
            return lit(0, out.dtype, out.shape)
        a, b, letters = parse(spec)
        axes = tuple(sorted(map(a.index, spatial)))
        order = [spatial.index(a[d]) for d in axes]
        sizes = tuple(w.aval.shape[b.index(a[d])] for d in axes)
        x = _stretched(x, axes, *(tuple(v[i] for i in order) for v in (low, high, x_steps)))
        x = emit(
            windows, x, axes=axes, sizes=sizes,
            strides=tuple(strides[i] for i in order), dilations=tuple(w_steps[i] for i in order),
        )  # fmt: skip
        fresh = [c for c in ascii_letters if c not in spec][: len(axes)]
        inner = dict(zip((a[d] for d in axes), fresh, strict=True))
        return _product(x, a + "".join(fresh), w, "".join(inner.get(c, c) for c in b), letters)

    def factors(self, x, w, *, spec, spatial, **params):
        parts = [tuple(None if c in spatial else c for c in part) for part in parse(spec)]
        return Factors(tuple(parts[:2]), tuple(parts[2:]))

    def linear(self, mask, **params):
        return mask.count(True) == 1

    def batch(self, ins, mask, size, *, spec, **rest):
        return emit(conv, *ins, spec=batched_spec(spec, mask), **rest)

    def vjp(self, ct, out, x, w, *, spec, spatial, strides, low, high, x_steps, w_steps):
        a, b, o = parse(spec)
        n, k, p = (
            [v.aval.shape[s.index(c)] for c in spatial] for v, s in ((x, a), (w, b), (ct, o))
        )
        reach = [
            tuple(map(spread_size, sizes, steps))
            for sizes, steps in ((n, x_steps), (k, w_steps), (p, strides))
        ]
        ends = list(zip(*reach, low, strict=True))
        turned = emit(rev, w, axes=tuple(sorted(map(b.index, spatial))))
        gx = emit(
            conv, ct, turned, spec=f"{o},{b}->{a}", spatial=spatial, strides=x_steps,
            low=tuple(dw - 1 - lo for _, dw, _, lo in ends),
            high=tuple(dx + lo - dp for dx, _, dp, lo in ends),
            x_steps=strides, w_steps=w_steps,
        )  # fmt: skip
        gw = emit(
            conv, x, ct, spec=f"{a},{o}->{b}", spatial=spatial, strides=w_steps, low=low,
            high=tuple(dw - 1 + dp - lo - dx for dx, dw, dp, lo in ends),
            x_steps=x_steps, w_steps=strides,
        )  # fmt: skip
        return gx, gw

    def flops(self, x: Aval, w: Aval, *, spec: str, spatial: str, **rest) -> int:
        a, b, out = parse(spec)
        sizes = dict(zip(b, w.shape, strict=True))
        summed = prod(n for c, n in sizes.items() if c in spatial or c not in out)
        return 2 * summed * self.typeof(x, w, spec=spec, spatial=spatial, **rest).size


def _stretched(
    x: Value, axes: Sequence[int], low: Sequence[int], high: Sequence[int], steps: Sequence[int]
) -> Value:
    """x with zeros between and around its elements, or less of it."""
    rank = x.aval.ndim
    ends = [[0] * rank for _ in range(2)]
    gaps = [0] * rank
    for a, lo, hi, step in zip(axes, low, high, steps, strict=True):
        ends[0][a], ends[1][a], gaps[a] = lo, hi, step - 1
    grown = {n: tuple(max(v, 0) for v in e) for n, e in zip(("low", "high"), ends, strict=True)}
    if any(gaps) or any(grown["low"]) or any(grown["high"]):
        x = emit(pad, x, interior=tuple(gaps), value=0, **grown)
    start = tuple(max(-v, 0) for v in ends[0])
    limit = tuple(n - max(-v, 0) for n, v in zip(x.aval.shape, ends[1], strict=True))
    if limit == x.aval.shape and not any(start):
        return x
    return emit(slice, x, start=start, limit=limit, stride=(1,) * rank)


def _product(x: Value, a: str, w: Value, b: str, out: str) -> Value:
    """The einsum of two operands of any number dtype."""
    if x.aval.dtype.is_float:
        return emit(dot, x, w, spec=f"{a},{b}->{out}")
    summed = roles(f"{a},{b}->{out}")[3]
    sizes = dict(zip(a, x.aval.shape, strict=True)) | dict(zip(b, w.aval.shape, strict=True))
    every = out + summed
    shape = tuple(sizes[c] for c in every)
    wide = []
    for v, letters in ((x, a), (w, b)):
        order = sorted(range(len(letters)), key=lambda d: every.index(letters[d]))
        dims = tuple(every.index(letters[d]) for d in order)
        wide.append(broadcast_to(transpose_to(v, order), shape, dims))
    axes = tuple(range(len(out), len(every)))
    total = emit(mul, *wide)
    return emit(sum, total, axes=axes) if axes else total
