"""Collectives: what the members of a named axis tell each other.

Invariant: a collective names its axes and knows their sizes; members are numbered in the order of
the names, the last one running fastest. Batching along a name replaces it by ordinary equations on
the mapped axis, so nothing of a collective is left once all its names are mapped; a device mesh may
lower the same records to messages instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod

import numpy as np

from ..build import build, emit, inline, lit, lit_like
from ..dtypes import i32
from ..graph import Aval, Value
from ..prim import Primitive, register
from . import reduce
from .elementwise import eq
from .lead import front, inward, lead, merge, parted
from .unary import cast
from .views import iota, reshape_to

Names = tuple[str, ...]
Sizes = tuple[int, ...]


class Collective(Primitive):
    """One operand, one result; `axes` are the names, `sizes` how many members each has."""

    kind = "collective"
    named = True
    shared = False  # whether all members get the same result

    @property
    def message(self) -> str:
        """What the field calls it: "psum", also if it is that of several values."""
        return self.name

    def eval(self, *xs, axes: Names, **params):
        raise TypeError(f"{self.name} over {axes}, which are not mapped; use vmap(axis_name=...)")

    def members(self, xs: Sequence, **params) -> list:
        """The numpy results of all members for their operands, in the order of the members."""
        raise TypeError(f"{self.name} declares no evaluation rule")

    def batch(self, ins, mask, size, *, name, **params):
        if name not in params["axes"]:
            return self.beside(*ins, **params)
        return self.along(lead(ins[0], mask[0], size), name, **params)

    def batched(self, mask, results, *, name, axes, **params):
        return (not self.shared if name in axes else any(mask),)

    def beside(self, x: Value, **params) -> Value:
        """The collective between other members, for a stack of them."""
        return emit(self, x, **params)

    def along(self, x: Value, name: str, **params) -> Value:
        """The collective where the leading axis of `x` is the axis `name`."""
        raise TypeError(f"{self.name} has no batching rule")


def _without(name: str, axes: Names, sizes: Sizes) -> dict:
    kept = [i for i, axis in enumerate(axes) if axis != name]
    return {"axes": tuple(axes[i] for i in kept), "sizes": tuple(sizes[i] for i in kept)}


# --- reductions -----------------------------------------------------------------------------------


class Reduction(Collective):
    shared = True
    local: Primitive

    def typeof(self, x: Aval, *, axes: Names, sizes: Sizes) -> Aval:
        return x

    def members(self, xs, *, axes, sizes):
        return [self.local.eval(np.stack(xs), axes=(0,))] * len(xs)

    def along(self, x, name, *, axes, sizes):
        here = emit(self.local, x, axes=(0,))
        rest = _without(name, axes, sizes)
        return emit(self, here, **rest) if rest["axes"] else here


@register
class psum(Reduction):
    """The sum over all members, for each of them."""

    name = "psum"
    local = reduce.sum

    def vjp(self, ct, out, x, **params):
        return (emit(psum, ct, **params),)

    def batch(self, ins, mask, size, *, name, axes, sizes):
        if mask[0] or name not in axes:
            return super().batch(ins, mask, size, name=name, axes=axes, sizes=sizes)
        total = ins[0] * lit_like(size, ins[0])
        rest = _without(name, axes, sizes)
        return emit(psum, total, **rest) if rest["axes"] else total


@register
class psums(Reduction):
    """The sums of several values of one dtype over all members, as one message."""

    name = "psums"
    message = "psum"
    multi = True
    local = reduce.sum

    def typeof(self, *xs: Aval, axes: Names, sizes: Sizes) -> tuple[Aval, ...]:
        if len({x.dtype for x in xs}) != 1:
            raise TypeError(f"psums needs values of one dtype, got {', '.join(map(str, xs))}")
        return xs

    def vjp(self, cts, outs, *ins, **params):
        return tuple(None if ct is None else emit(psum, ct, **params) for ct in cts)

    def batch(self, ins, mask, size, **params):
        pairs = zip(ins, mask, strict=True)
        return tuple(psum.batch((x,), (mapped,), size, **params) for x, mapped in pairs)

    def batched(self, mask, results, *, name, axes, **params):
        return (False,) * results if name in axes else mask


class Extremum(Reduction):
    def vjp(self, ct, out, x, **params):
        """Members that attain it share the cotangent."""
        hit = emit(cast, emit(eq, x, out), dtype=x.aval.dtype)
        return (emit(psum, ct, **params) * hit / emit(psum, hit, **params),)


@register
class pmax(Extremum):
    """The largest of all members' values, for each of them."""

    name = "pmax"
    local = reduce.reduce_max


@register
class pmin(Extremum):
    """The smallest of all members' values, for each of them."""

    name = "pmin"
    local = reduce.reduce_min


# --- gathers and scatters -------------------------------------------------------------------------


def sized(x: Aval, axis: int, size: int) -> Aval:
    """The type with `size` elements along `axis`."""
    return Aval((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype)


def check_axis(name: str, x: Aval, axis: int, ndim: int) -> None:
    """Raises TypeError unless 0 <= axis < ndim."""
    if not 0 <= axis < ndim:
        raise TypeError(f"{name} along axis {axis} of an operand of type {x}")


@register
class all_gather(Collective):
    """Every member's operand, for each of them: stacked at `axis`, or joined along it if tiled."""

    name = "all_gather"
    shared = True

    def typeof(self, x: Aval, *, axes: Names, sizes: Sizes, axis: int, tiled: bool) -> Aval:
        count = prod(sizes)
        check_axis("all_gather", x, axis, x.ndim + (not tiled))
        if tiled:
            return sized(x, axis, count * x.shape[axis])
        return Aval((*x.shape[:axis], count, *x.shape[axis:]), x.dtype)

    def members(self, xs, *, axes, sizes, axis, tiled):
        return [(np.concatenate if tiled else np.stack)(xs, axis)] * len(xs)

    def vjp(self, ct, out, x, **params):
        return (emit(reduce_scatter, ct, **params),)

    def beside(self, x, *, axis, **params):
        return emit(all_gather, x, axis=axis + 1, **params)

    def along(self, x, name, *, axes, sizes, axis, tiled):
        if len(axes) > 1:  # the last name runs fastest: gather along it first
            return _one_by_one(all_gather, x, name, zip(axes[::-1], sizes[::-1], strict=True),
                               axis, tiled)  # fmt: skip
        moved = inward(x, axis)
        return merge(moved, axis) if tiled else moved


@register
class reduce_scatter(Collective):
    """The sum over all members, of which each gets the part at `axis` of its own number.

    Untiled, the axis has one element a member and disappears; tiled, it is cut into equal parts.
    """

    name = "reduce_scatter"

    def typeof(self, x: Aval, *, axes: Names, sizes: Sizes, axis: int, tiled: bool) -> Aval:
        count = prod(sizes)
        check_axis("reduce_scatter", x, axis, x.ndim)
        if x.shape[axis] % count if tiled else x.shape[axis] != count:
            text = "divisible by" if tiled else "equal to"
            raise TypeError(f"psum_scatter needs axis {axis} of {x} to be {text} {count}")
        if tiled:
            return sized(x, axis, x.shape[axis] // count)
        return Aval((*x.shape[:axis], *x.shape[axis + 1 :]), x.dtype)

    def members(self, xs, *, axes, sizes, axis, tiled):
        parts = np.split(reduce.sum.eval(np.stack(xs), axes=(0,)), len(xs), axis)
        return parts if tiled else [p.squeeze(axis) for p in parts]

    def vjp(self, ct, out, x, **params):
        return (emit(all_gather, ct, **params),)

    def beside(self, x, *, axis, **params):
        return emit(reduce_scatter, x, axis=axis + 1, **params)

    def along(self, x, name, *, axes, sizes, axis, tiled):
        if len(axes) > 1:
            return _one_by_one(reduce_scatter, x, name, zip(axes, sizes, strict=True), axis, tiled)
        total = emit(reduce.sum, x, axes=(0,))
        return front(parted(total, axis, sizes[0]) if tiled else total, axis)


def _one_by_one(
    prim: Primitive, x: Value, name: str, order: Iterable, axis: int, tiled: bool
) -> Value:
    """A gather or scatter over several names as one after another, batched along `name`."""
    order, member = list(order), Aval(x.aval.shape[1:], x.aval.dtype)
    wide = prim.typeof(
        member, axes=tuple(n for n, _ in order), sizes=tuple(s for _, s in order),
        axis=axis, tiled=tiled,
    )  # fmt: skip

    def chain(v: Value) -> Value:
        if prim is reduce_scatter and not tiled:
            shape = v.aval.shape
            v = reshape_to(v, (*shape[:axis], *(s for _, s in order), *shape[axis + 1 :]))
        for axis_name, size in order:
            v = emit(prim, v, axes=(axis_name,), sizes=(size,), axis=axis, tiled=tiled)
        return reshape_to(v, wide.shape)

    return rewritten(chain, x, name, prim.shared)


def rewritten(fun: Callable, x: Value, name: str, shared: bool) -> Value:
    """`fun` of one member, batched along `name`; all members may share the result."""
    from ..passes.batch import batch_some

    graph = build(fun, Aval(x.aval.shape[1:], x.aval.dtype))
    return inline(batch_some(graph, (True,), (not shared,), x.aval.shape[0], name), [x])[0]


@register
class axis_index(Collective):
    """i32[]: the number of this member along one axis."""

    name = "axis_index"

    def typeof(self, *, axes: Names, sizes: Sizes) -> Aval:
        return Aval((), i32)

    def members(self, xs, *, axes, sizes):
        return [np.asarray(i, np.int32) for i in range(len(xs))]

    def batch(self, ins, mask, size, *, name, axes, sizes):
        return emit(iota, shape=(size,), dtype=i32, axis=0)


def member_index(axes: Names, sizes: Sizes) -> Value:
    """i32[]: the number of this member along several axes."""
    found: Value = lit(0, i32)
    for name, size in zip(axes, sizes, strict=True):
        found = found * size + emit(axis_index, axes=(name,), sizes=(size,))
    return found
