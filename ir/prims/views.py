"""Views and sources: out[i] = x[map(i)], or a function of i alone.

Invariant: each view states its index map once, as `index(coords, in_shapes, params, ops)`, in terms
of any integer arithmetic `ops`; code generation evaluates it on symbols. Views are never kernels of
their own unless their result must exist in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from ..build import emit, lit_like
from ..dtypes import DType, bool_
from ..factors import Factors, alike, regrouped
from ..graph import Aval, Value
from ..prim import Primitive, register
from .lead import behind, lead_all


class View(Primitive):
    """One operand; `index` gives the operand coordinates of the result coordinates."""

    kind = "view"

    def linear(self, mask, **params):
        return all(mask)


def unflatten(flat, shape: Sequence[int]) -> list:
    """Row-major coordinates of a flat index; works on ints and on symbolic indices alike."""
    coords, rest = [], flat
    for size in reversed(shape):
        coords.append(rest % size)
        rest = rest // size
    return coords[::-1]


def flatten(coords: Sequence, shape: Sequence[int]):
    """The flat row-major index of coordinates."""
    flat, stride = 0, 1
    for coord, size in zip(reversed(coords), reversed(shape), strict=True):
        flat = coord * stride + flat
        stride *= size
    return flat


@register
class broadcast(View):
    """Operand axis i becomes result axis `dims[i]`; size-1 axes and new axes repeat."""

    name = "broadcast"

    def typeof(self, x: Aval, *, shape: tuple[int, ...], dims: tuple[int, ...]) -> Aval:
        fits = len(dims) == len(x.shape) and list(dims) == sorted(set(dims))
        fits = fits and (not dims or (dims[0] >= 0 and dims[-1] < len(shape)))
        if not fits or any(n not in (1, shape[d]) for n, d in zip(x.shape, dims, strict=True)):
            raise TypeError(f"cannot broadcast {x} to shape {shape} along axes {dims}")
        return Aval(tuple(shape), x.dtype)

    def eval(self, x, *, shape, dims):
        spread = [1] * len(shape)
        for n, d in zip(x.shape, dims, strict=True):
            spread[d] = n
        return np.broadcast_to(x.reshape(spread), shape)

    def factors(self, x, *, shape, dims):
        kept = tuple(d if n == shape[d] else None for n, d in zip(x.shape, dims, strict=True))
        return Factors((kept,), (tuple(range(len(shape))),))

    def localise(self, params, ins, outs):
        return {**params, "shape": outs[0]}

    def index(self, coords, x: Aval, *, shape, dims):
        return [coords[d] if n > 1 else 0 for n, d in zip(x.shape, dims, strict=True)]

    def batch(self, ins, mask, size, *, shape, dims):
        return emit(broadcast, *ins, shape=(size, *shape), dims=(0, *behind(dims)))

    def vjp(self, ct, out, x, *, shape, dims):
        kept = dict(zip(dims, x.aval.shape, strict=True))
        axes = tuple(d for d, n in enumerate(shape) if kept.get(d, 1) == 1 and n != 1)
        total = emit_sum(ct, axes)
        return (reshape_to(total, x.aval.shape),)


@register
class reshape(View):
    name = "reshape"

    def typeof(self, x: Aval, *, shape: tuple[int, ...]) -> Aval:
        if prod(shape) != x.size:
            raise TypeError(f"cannot reshape {x} of {x.size} elements into shape {shape}")
        return Aval(tuple(shape), x.dtype)

    def eval(self, x, *, shape):
        return x.reshape(shape)

    def factors(self, x, *, shape):
        return regrouped(x.shape, shape)

    def localise(self, params, ins, outs):
        return {"shape": outs[0]}

    def index(self, coords, x: Aval, *, shape):
        return unflatten(flatten(coords, shape), x.shape)

    def batch(self, ins, mask, size, *, shape):
        return emit(reshape, *ins, shape=(size, *shape))

    def vjp(self, ct, out, x, *, shape):
        return (reshape_to(ct, x.aval.shape),)


@register
class transpose(View):
    """Result axis i is operand axis `perm[i]`."""

    name = "transpose"

    def typeof(self, x: Aval, *, perm: tuple[int, ...]) -> Aval:
        if sorted(perm) != list(range(x.ndim)):
            raise TypeError(f"transpose of {x} needs a permutation of its axes, got {perm}")
        return Aval(tuple(x.shape[p] for p in perm), x.dtype)

    def eval(self, x, *, perm):
        return x.transpose(perm)

    def factors(self, x, *, perm):
        return Factors((tuple(range(x.ndim)),), (tuple(perm),))

    def index(self, coords, x: Aval, *, perm):
        back = [None] * len(perm)
        for i, p in enumerate(perm):
            back[p] = coords[i]
        return back

    def batch(self, ins, mask, size, *, perm):
        return emit(transpose, *ins, perm=(0, *behind(perm)))

    def vjp(self, ct, out, x, *, perm):
        return (emit(transpose, ct, perm=tuple(perm.index(i) for i in range(len(perm)))),)


@register
class slice(View):
    """x[start:limit:stride] on every axis; strides are positive."""

    name = "slice"

    def typeof(self, x: Aval, *, start, limit, stride) -> Aval:
        if not len(start) == len(limit) == len(stride) == x.ndim:
            raise TypeError(f"slice of {x} needs a start, limit and stride for each axis")
        for n, lo, hi, step in zip(x.shape, start, limit, stride, strict=True):
            if not (0 <= lo <= hi <= n and step > 0):
                raise TypeError(f"slice [{lo}:{hi}:{step}] is out of bounds for {x}")
        shape = (max(0, -((lo - hi) // s)) for lo, hi, s in zip(start, limit, stride, strict=True))
        return Aval(tuple(shape), x.dtype)

    def eval(self, x, *, start, limit, stride):
        import builtins

        return x[tuple(map(builtins.slice, start, limit, stride))]

    def factors(self, x, *, start, limit, stride):
        cut = [d for d in range(x.ndim) if (start[d], limit[d], stride[d]) != (0, x.shape[d], 1)]
        return alike(1, x.ndim, but=cut)

    def localise(self, params, ins, outs):
        limits = zip(params["limit"], params["start"], params["stride"], ins[0], outs[0],
                     strict=True)  # fmt: skip
        limit = tuple(n if (lo, step, m) == (0, 1, n) else hi for hi, lo, step, n, m in limits)
        return {**params, "limit": limit}

    def index(self, coords, x: Aval, *, start, limit, stride):
        return [c * s + lo for c, lo, s in zip(coords, start, stride, strict=True)]

    def batch(self, ins, mask, size, *, start, limit, stride):
        return emit(slice, *ins, start=(0, *start), limit=(size, *limit), stride=(1, *stride))

    def vjp(self, ct, out, x, *, start, limit, stride):
        high = []
        for n, lo, size, s in zip(x.aval.shape, start, ct.aval.shape, stride, strict=True):
            used = lo + (size - 1) * s + 1 if size else lo
            high.append(n - used)
        interior = tuple(s - 1 for s in stride)
        return (emit(pad, ct, low=tuple(start), high=tuple(high), interior=interior, value=0),)


@register
class pad(Primitive):
    """`low` and `high` elements of `value` around, `interior` ones between neighbours."""

    name = "pad"
    kind = "view"

    def typeof(self, x: Aval, *, low, high, interior, value) -> Aval:
        if not len(low) == len(high) == len(interior) == x.ndim:
            raise TypeError(f"pad of {x} needs low, high and interior widths for each axis")
        if min((*low, *high, *interior), default=0) < 0:
            raise TypeError(f"pad of {x} by negative widths low={low} high={high}; slice instead")
        spans = (n + max(n - 1, 0) * i for n, i in zip(x.shape, interior, strict=True))
        return Aval(tuple(a + b + c for a, b, c in zip(low, spans, high, strict=True)), x.dtype)

    def factors(self, x, *, low, high, interior, value):
        padded = [d for d in range(x.ndim) if (low[d], high[d], interior[d]) != (0, 0, 0)]
        return alike(1, x.ndim, but=padded)

    def linear(self, mask, *, value, **params):
        return value == 0

    def eval(self, x, *, low, high, interior, value):
        import builtins

        aval = Aval(x.shape, None)
        out = np.full(
            self.typeof(aval, low=low, high=high, interior=interior, value=value).shape,
            value,
            x.dtype,
        )
        steps = [i + 1 for i in interior]
        spans = zip(low, x.shape, steps, strict=True)
        out[
            tuple(
                builtins.slice(lo, lo + n * s, s) if n else builtins.slice(0, 0)
                for lo, n, s in spans
            )
        ] = x
        return out

    def batch(self, ins, mask, size, *, value, **widths):
        return emit(pad, *ins, value=value, **{name: (0, *w) for name, w in widths.items()})

    def vjp(self, ct, out, x, *, low, high, interior, value):
        sizes = x.aval.shape
        stride = tuple(i + 1 for i in interior)
        limit = tuple(
            lo + (n - 1) * s + 1 if n else lo for lo, n, s in zip(low, sizes, stride, strict=True)
        )
        return (emit(slice, ct, start=tuple(low), limit=limit, stride=stride),)


@register
class concat(Primitive):
    """Operands joined along `axis`."""

    name = "concat"
    kind = "view"

    def typeof(self, *xs: Aval, axis: int) -> Aval:
        if not xs:
            raise TypeError("concatenate needs at least one array")
        if any(not 0 <= axis < x.ndim for x in xs):
            raise TypeError(f"cannot concatenate {', '.join(map(str, xs))}: no axis {axis}")
        rest = {(x.shape[:axis], x.shape[axis + 1 :], x.dtype, x.ndim) for x in xs}
        if len(rest) != 1:
            raise TypeError(f"cannot concatenate {', '.join(map(str, xs))} along axis {axis}")
        total = sum(x.shape[axis] for x in xs)
        return Aval((*xs[0].shape[:axis], total, *xs[0].shape[axis + 1 :]), xs[0].dtype)

    def factors(self, *xs, axis):
        return alike(len(xs), xs[0].ndim, but=(axis,))

    def linear(self, mask, *, axis):
        return all(mask)

    def eval(self, *xs, axis):
        return np.concatenate(xs, axis)

    def batch(self, ins, mask, size, *, axis):
        return emit(concat, *lead_all(ins, mask, size), axis=axis + 1)

    def vjp(self, ct, out, *xs, axis):
        cts, offset = [], 0
        for x in xs:
            size = x.aval.shape[axis]
            start, limit = [0] * x.aval.ndim, list(ct.aval.shape)
            start[axis], limit[axis] = offset, offset + size
            ones = (1,) * x.aval.ndim
            cts.append(emit(slice, ct, start=tuple(start), limit=tuple(limit), stride=ones))
            offset += size
        return tuple(cts)


@register
class rev(View):
    """Reverse the order along `axes`."""

    name = "rev"

    def typeof(self, x: Aval, *, axes: tuple[int, ...]) -> Aval:
        if any(not 0 <= a < x.ndim for a in axes):
            raise TypeError(f"flip of {x} along axes {axes}: no such axis")
        return x

    def eval(self, x, *, axes):
        return np.flip(x, axes)

    def factors(self, x, *, axes):
        return alike(1, x.ndim, but=axes)

    def index(self, coords, x: Aval, *, axes):
        return [
            (n - 1) - c if d in axes else c
            for d, (n, c) in enumerate(zip(x.shape, coords, strict=True))
        ]

    def batch(self, ins, mask, size, *, axes):
        return emit(rev, *ins, axes=behind(axes))

    def vjp(self, ct, out, x, *, axes):
        return (emit(rev, ct, axes=axes),)


@register
class iota(Primitive):
    """out[i] = i[axis]."""

    name = "iota"
    kind = "source"

    def typeof(self, *, shape: tuple[int, ...], dtype: DType, axis: int) -> Aval:
        if not 0 <= axis < len(shape) or dtype is bool_:
            raise TypeError(f"iota of {Aval(tuple(shape), dtype)} along axis {axis}")
        return Aval(tuple(shape), dtype)

    def factors(self, *, shape, dtype, axis):
        return Factors((), (tuple(None if d == axis else d for d in range(len(shape))),))

    def localise(self, params, ins, outs):
        return {**params, "shape": outs[0]}

    def eval(self, *, shape, dtype, axis):
        line = np.arange(shape[axis]).astype(dtype.np)
        spread = [1] * len(shape)
        spread[axis] = shape[axis]
        return np.broadcast_to(line.reshape(spread), shape)


# --- helpers that rules share -------------------------------------------------------------------


def reshape_to(x: Value, shape: tuple[int, ...]) -> Value:
    """x in this shape; x itself if it has it."""
    return x if x.aval.shape == tuple(shape) else emit(reshape, x, shape=tuple(shape))


def broadcast_to(x: Value, shape: tuple[int, ...], dims: tuple[int, ...]) -> Value:
    """x repeated to `shape`, its axis i becoming axis dims[i]; x itself if it has that shape."""
    if x.aval.shape == tuple(shape):
        return x
    return emit(broadcast, x, shape=tuple(shape), dims=tuple(dims))


def transpose_to(x: Value, perm: Sequence[int]) -> Value:
    """x with axis perm[i] as axis i; x itself if none moves."""
    return x if list(perm) == sorted(perm) else emit(transpose, x, perm=tuple(perm))


def emit_sum(x: Value, axes: tuple[int, ...]) -> Value:
    """The sum over `axes`; x itself if there are none."""
    from .reduce import sum

    return emit(sum, x, axes=axes) if axes else x


def zeros_like(x: Value) -> Value:
    return lit_like(0, x)
