"""Writing at data-dependent rows: scatter, and the sums over runs that it becomes.

Invariant: an index out of range changes nothing, and updates of one row are combined in their own
order, so that a result has the same bits on every run.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..build import emit, lit_like
from ..dtypes import bool_, i32
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import Primitive, register
from .index import check_ids, fits, rows_at, take_inside
from .lead import front, inward, lead, lead_all, merge, split
from .views import iota

COMBINE = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _combiner(combine: str, x: Aval, name: str) -> None:
    if combine not in COMBINE:
        raise TypeError(f"{name} into {x} combines by {', '.join(COMBINE)}, got {combine!r}")
    if x.dtype is bool_:
        raise TypeError(f"{name} of {x}: convert bools with .astype first")


@register
class scatter(Primitive):
    """`x` with updates[i] combined into row ids[i] by "add", "mul", "min" or "max".

    The first `batch` axes of all operands are the same: each member has rows of its own. `unique`
    promises that ids in range are distinct, `sorted` that each member's ids ascend.
    """

    name = "scatter"
    kind = "scatter"

    def typeof(
        self,
        x: Aval,
        ids: Aval,
        updates: Aval,
        *,
        combine: str,
        batch=0,
        unique=False,
        sorted=False,
    ) -> Aval:
        check_ids(x, ids, batch, "scatter")
        _combiner(combine, x, "scatter")
        if updates != Aval(ids.shape + x.shape[batch + 1 :], x.dtype):
            raise TypeError(f"scatter of {updates} into {x} at {ids}: shapes or dtypes at odds")
        return x

    def eval(self, x, ids, updates, *, combine, batch=0, **promises):
        wide = np.float32 if x.dtype.itemsize == 2 else x.dtype
        members, rows = prod(x.shape[:batch]), x.shape[batch]
        out = np.array(x, wide).reshape(members * rows, *x.shape[batch + 1 :])
        flat = ids.reshape(members, ids.size // max(members, 1)).astype(np.int64)
        keep = (flat >= 0) & (flat < rows)
        places = flat + np.arange(members)[:, None] * rows
        new = updates.reshape(*flat.shape, *x.shape[batch + 1 :])
        COMBINE[combine].at(out, places[keep], new[keep].astype(wide))
        return out.reshape(x.shape).astype(x.dtype)

    def factors(self, x, ids, updates, *, combine, batch=0, **promises):
        where = tuple(("id", d) if d >= batch else d for d in range(ids.ndim))
        rest = tuple(range(batch + 1, x.ndim))
        rows = (*range(batch), None, *rest)
        return Factors((rows, where, (*where, *rest)), (rows,), combine)

    def linear(self, mask, *, combine, **params):
        return combine == "add" and mask == (True, False, True)

    def batch(self, ins, mask, size, *, batch=0, **params):
        x, ids, updates = ins
        if mask[1]:
            return scattered(*lead_all(ins, mask, size), batch=batch + 1, **params)
        x = inward(lead(x, mask[0], size), batch + 1)
        updates = inward(lead(updates, mask[2], size), ids.aval.ndim)
        return front(scattered(x, ids, updates, batch=batch, **params), batch + 1)

    def vjp(self, ct, out, x, ids, updates, *, combine, batch=0, unique=False, sorted=False):
        if updates.aval.size == 0 or x.aval.size == 0:
            return ct, None, None
        same = dict(batch=batch, unique=unique)
        rule = _GRADIENTS[combine]
        return rule(ct, out, x, ids, updates, same, {"sorted": sorted})

    def flops(self, x: Aval, ids: Aval, updates: Aval, **params) -> int:
        return updates.size


def scattered(x, ids, updates, combine="add", batch=0, unique=False, sorted=False) -> Value:
    """`scatter`, with only the params that say something."""
    marks = dict(batch=batch, unique=unique, sorted=sorted)
    said = {name: value for name, value in marks.items() if value}
    return emit(scatter, x, ids, updates, combine=combine, **said)


# --- derivatives ----------------------------------------------------------------------------------


def _add_vjp(ct, out, x, ids, updates, same, order):
    return ct, None, take_inside(ct, ids, **same)


def _mul_vjp(ct, out, x, ids, updates, same, order):
    """An update's share is the product of all that met at its row, but for itself.

    Where one factor is 0 the others' product is found from the factors that are not.
    """
    from .elementwise import eq, select
    from .unary import cast

    ct_x = scattered(ct, ids, updates, "mul", **same, **order)
    if same["unique"]:
        return ct_x, None, take_inside(ct * x, ids, **same)
    zero = emit(eq, updates, lit_like(0, updates))
    one = lit_like(1, updates)
    factors = emit(select, zero, one, updates)
    product = scattered(x, ids, factors, "mul", **same, **order)
    zeros = scattered(lit_like(0, x), ids, emit(cast, zero, dtype=x.aval.dtype), **same, **order)
    others = take_inside(zeros, ids, **same) - emit(cast, zero, dtype=x.aval.dtype)
    share = take_inside(ct * product, ids, **same) / factors
    alone = emit(eq, others, lit_like(0, others))
    return ct_x, None, emit(select, alone, share, lit_like(0, share))


def _extreme_vjp(ct, out, x, ids, updates, same, order):
    """The cotangent of a row is shared equally by all that attain its extremum."""
    from .elementwise import and_, eq
    from .unary import cast

    dtype = x.aval.dtype
    held = emit(cast, emit(eq, x, out), dtype=dtype)
    hit = emit(eq, updates, rows_at(out, ids, **same))
    inside = fits(ids, x.aval.shape[same["batch"]], updates.aval.shape)
    hits = emit(cast, emit(and_, hit, inside), dtype=dtype)
    share = ct / scattered(held, ids, hits, **same, **order)
    return held * share, None, hits * take_inside(share, ids, **same)


_GRADIENTS = {"add": _add_vjp, "mul": _mul_vjp, "min": _extreme_vjp, "max": _extreme_vjp}


# --- runs -----------------------------------------------------------------------------------------


@register
class runs(Primitive):
    """`x` with values[start[r]:stop[r]] combined into row r, one after the other.

    Code generation turns scatters into this once their updates are in order. No run is longer than
    `longest`.
    """

    name = "runs"
    kind = "scatter"

    def typeof(
        self, x: Aval, start: Aval, stop: Aval, values: Aval, *, combine: str, longest: int
    ) -> Aval:
        _combiner(combine, x, "runs")
        ends = Aval(x.shape[:1], i32)
        if not x.ndim or start != ends or stop != ends:
            raise TypeError(f"runs into {x} needs two ends for each row, got {start} and {stop}")
        if values.shape[1:] != x.shape[1:] or not values.ndim or values.dtype is not x.dtype:
            raise TypeError(f"runs of {values} into {x}: shapes or dtypes at odds")
        return x

    def eval(self, x, start, stop, values, *, combine, longest):
        wide = np.float32 if x.dtype.itemsize == 2 else x.dtype
        out = np.array(x, wide)
        for r, (a, b) in enumerate(zip(start, stop, strict=True)):
            for row in values[a:b]:
                out[r] = COMBINE[combine](out[r], row.astype(wide))
        return out.astype(x.dtype)

    def vjp(self, ct, out, *ins, combine, longest):
        raise ValueError("differentiation does not work through runs; differentiate the scatter")

    def factors(self, x, start, stop, values, **params):
        rest = tuple(range(1, x.ndim))
        return Factors((("row", *rest), ("row",), ("row",), (None, *rest)), (("row", *rest),))

    def batch(self, ins, mask, size, **params):
        x, start, stop, values = lead_all(ins, mask, size)
        rows, count = x.aval.shape[1], values.aval.shape[1]
        first = emit(iota, shape=(size, rows), dtype=i32, axis=0) * count
        ends = (merge(first + start), merge(first + stop))
        return split(emit(runs, merge(x), *ends, merge(values), **params), size, rows)

    def flops(self, x: Aval, start: Aval, stop: Aval, values: Aval, **params) -> int:
        return values.size


__all__ = ["COMBINE", "runs", "scatter", "scattered"]
