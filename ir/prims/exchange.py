"""Exchanges: collectives after which a member holds what others held.

Invariant: as in `collective`; batched along the one name, a ppermute is a shuffle of rows and an
all_to_all a transposition. Along one name of several, everything is gathered and each member picks.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import numpy as np

from ..build import emit
from ..graph import Aval, Lit, Value
from ..prim import register
from .collective import (
    Collective,
    Names,
    Sizes,
    all_gather,
    check_axis,
    member_index,
    rewritten,
    sized,
)
from .index import take
from .lead import front, merge, parted
from .views import concat, rev, slice, transpose_to


@register
class ppermute(Collective):
    """Member `to` gets the operand of member `of` for each (of, to) in `perm`, others get zeros."""

    name = "ppermute"

    def typeof(self, x: Aval, *, axes: Names, sizes: Sizes, perm: tuple) -> Aval:
        count = prod(sizes)
        for side, what in ((0, "sources"), (1, "destinations")):
            found = [pair[side] for pair in perm]
            if len(set(found)) < len(found) or any(not 0 <= i < count for i in found):
                raise TypeError(
                    f"ppermute of {x}: {what} {found} must differ and lie between 0 and {count - 1}"
                )
        return x

    def members(self, xs, *, axes, sizes, perm):
        sent = {to: xs[of] for of, to in perm}
        return [sent.get(i, np.zeros_like(x)) for i, x in enumerate(xs)]

    def vjp(self, ct, out, x, *, perm, **params):
        return (emit(ppermute, ct, perm=tuple((to, of) for of, to in perm), **params),)

    def along(self, x, name, *, axes, sizes, perm):
        if len(axes) == 1:
            return _permuted(x, perm)
        everyone = {"axes": axes, "sizes": sizes, "axis": 0, "tiled": False}

        def chain(v: Value) -> Value:
            rows = _permuted(emit(all_gather, v, **everyone), perm)
            return emit(take, rows, member_index(axes, sizes))

        return rewritten(chain, x, name, False)


def _permuted(x: Value, perm: Sequence[tuple[int, int]]) -> Value:
    """Rows of `x` where `perm` sends them; runs of neighbours move together."""
    source = {to: of for of, to in perm}
    order = [source.get(i) for i in range(x.aval.shape[0])]
    parts = [_run(x, run) for run in _runs(order)]
    return parts[0] if len(parts) == 1 else emit(concat, *parts, axis=0)


def _runs(order: Sequence[int | None]) -> list[list[int | None]]:
    """Maximal stretches that rise by one, fall by one, or are None throughout."""
    runs = [[order[0]]]
    for before, now in pairwise(order):
        last = runs[-1]
        step = None if None in (before, now) else now - before
        fits = before is None and now is None
        fits |= step in (1, -1) and (len(last) == 1 or last[1] - last[0] == step)
        if fits:
            last.append(now)
        else:
            runs.append([now])
    return runs


def _run(x: Value, run: Sequence[int | None]) -> Value:
    shape = (len(run), *x.aval.shape[1:])
    if run[0] is None:
        return Lit(0, Aval(shape, x.aval.dtype))
    low = min(run)
    start = (low, *(0 for _ in shape[1:]))
    limit = (low + len(run), *shape[1:])
    part = emit(slice, x, start=start, limit=limit, stride=(1,) * len(shape))
    return emit(rev, part, axes=(0,)) if run[0] > run[-1] else part


@register
class all_to_all(Collective):
    """Each member cuts its operand along `split` and sends every member the part of its number.

    What arrives is stacked at `concat`. Untiled, the split axis has one element a member and
    disappears, and the stack gets a new axis; tiled, both axes stay.
    """

    name = "all_to_all"

    def typeof(self, x: Aval, *, axes, sizes, split: int, concat: int, tiled: bool) -> Aval:
        count = prod(sizes)
        for axis in (split, concat):
            check_axis("all_to_all", x, axis, x.ndim)
        if x.shape[split] % count if tiled else x.shape[split] != count:
            text = "divisible by" if tiled else "equal to"
            raise TypeError(f"all_to_all needs split axis {split} of {x} to be {text} {count}")
        if tiled:
            x = sized(x, split, x.shape[split] // count)
            return sized(x, concat, x.shape[concat] * count)
        rest = [n for d, n in enumerate(x.shape) if d != split]
        return Aval((*rest[:concat], count, *rest[concat:]), x.dtype)

    def members(self, xs, *, axes, sizes, split, concat, tiled):
        parts = [np.split(x, len(xs), split) for x in xs]
        if tiled:
            return [np.concatenate(got, concat) for got in zip(*parts, strict=True)]
        return [np.stack([g.squeeze(split) for g in got], concat)
                for got in zip(*parts, strict=True)]  # fmt: skip

    def vjp(self, ct, out, x, *, split, concat, **params):
        return (emit(all_to_all, ct, split=concat, concat=split, **params),)

    def beside(self, x, *, split, concat, **params):
        return emit(all_to_all, x, split=split + 1, concat=concat + 1, **params)

    def along(self, x, name, *, axes, sizes, split, concat, tiled):
        how = {"split": split, "concat": concat, "tiled": tiled}
        if len(axes) == 1:
            return _exchanged(x, sizes[0], **how)
        everyone = {"axes": axes, "sizes": sizes, "axis": 0, "tiled": False}

        def chain(v: Value) -> Value:
            rows = _exchanged(emit(all_gather, v, **everyone), prod(sizes), **how)
            return emit(take, rows, member_index(axes, sizes))

        return rewritten(chain, x, name, False)


def _exchanged(x: Value, count: int, *, split: int, concat: int, tiled: bool) -> Value:
    """[of, ...] -> [to, ...]: an exchange between the rows of one array."""
    x = parted(x, split + 1, count) if tiled else x
    to_first = front(x, split + 1)
    perm = [0, *range(2, to_first.aval.ndim)]
    perm.insert(concat + 1, 1)
    moved = transpose_to(to_first, perm)
    return merge(moved, concat + 1) if tiled else moved
