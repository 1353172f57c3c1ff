"""Which kernels a scatter becomes.

Invariant: updates of one row are combined in their own order by one invocation, so that a result
has the same bits on every run; no invocation loops longer than the profile's driver survives.

Three kernels do the work (`strategies/scatter.py`). Where no two updates name one row, each update
is stored. A small scatter lets each row look through all indices for its own. Any other is sorted
by index first, and each row combines its run of updates.
"""

from __future__ import annotations

from math import prod

from ir.build import emit, lit, lit_like
from ir.dtypes import f16, f32, i32
from ir.graph import Aval, Eqn, Lit, Value
from ir.prim import PRIMITIVES
from ir.prims.elementwise import and_, le, lt, min, select
from ir.prims.index import rows_at
from ir.prims.scatter import runs, scattered
from ir.prims.sort import sort
from ir.prims.unary import cast
from ir.prims.views import broadcast_to, iota, reshape_to
from ir.prims.views import slice as slice_

from .grid import ceil_div
from .match_tiles import match_config
from .profile import Profile

PER_UNIT = 1 << 17  # looks at indices that a compute unit takes in the time of a sort
STRIP = 4096  # updates; from twice as many on, long runs are combined in strips of about the root


def lower_scatter(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    """The result of a scatter in equations that kernels exist for; None: it is one already."""
    if eqn.prim is runs:
        return None
    x, ids, updates = ins
    if updates.aval.size == 0 or x.aval.size == 0:
        return (x,)
    batch = eqn.params.get("batch", 0)
    members, rows = prod(x.aval.shape[:batch]), x.aval.shape[batch]
    count = ids.aval.size // members
    lead = (members,) if members > 1 else ()
    width = x.aval.size // (members * rows)
    tail = (width,) if width > 1 else ()
    flat = _shaped(x, (*lead, rows, *tail))
    ids = _shaped(ids, (*lead, count))
    ids = ids if ids.aval.dtype is i32 else emit(cast, ids, dtype=i32)
    updates = _shaped(updates, (*lead, count, *tail))
    found = _choose(flat, ids, updates, eqn.params, profile)
    return (reshape_to(found, x.aval.shape),)


def clears(eqn: Eqn | None) -> bool:
    """Whether the result's buffer must hold zeros before the kernel of `eqn` runs."""
    return eqn is not None and eqn.prim.name == "scatter" and bool(eqn.params.get("unique"))


def _shaped(v: Value, shape: tuple[int, ...]) -> Value:
    return Lit(v.value, Aval(shape, v.aval.dtype)) if isinstance(v, Lit) else reshape_to(v, shape)


def _choose(x: Value, ids: Value, updates: Value, params: dict, profile: Profile) -> Value:
    batch, combine = ids.aval.ndim - 1, params["combine"]
    if params.get("unique"):
        if combine == "add" and isinstance(x, Lit) and x.value == 0:
            return scattered(x, ids, updates, batch=batch, unique=True)
        return _by_table(x, ids, updates, combine)
    count, rows = ids.aval.shape[-1], prod(x.aval.shape[: batch + 1])
    m = match_config(x.aval.size // rows, profile)
    looks = rows * m.blocks * ceil_div(count, m.threads)
    short = not profile.loop_limit or 2 * count <= profile.loop_limit
    if looks <= PER_UNIT * profile.units and short:
        return scattered(x, ids, updates, combine, batch)
    return _by_runs(x, ids, updates, combine, params.get("sorted", False))


def _by_table(x: Value, ids: Value, updates: Value, combine: str) -> Value:
    """Each row looks up which update names it, if one does."""
    batch = ids.aval.ndim - 1
    number = emit(iota, shape=ids.aval.shape, dtype=i32, axis=batch) + 1
    none = Lit(0, Aval(x.aval.shape[: batch + 1], i32))
    table = scattered(none, ids, number, batch=batch, unique=True)
    new = emit(PRIMITIVES[combine], x, rows_at(updates, table - 1, batch))
    hit = broadcast_to(emit(lt, none, table), x.aval.shape, tuple(range(batch + 1)))
    return emit(select, hit, new, x)


def _by_runs(x: Value, ids: Value, updates: Value, combine: str, in_order: bool) -> Value:
    batch = ids.aval.ndim - 1
    shape, rows, count = x.aval.shape, x.aval.shape[batch], ids.aval.shape[-1]
    if not in_order:
        ids, order = sort.expand(ids)
        updates = rows_at(updates, order, batch)
    bounds = _run_bounds(ids, rows)
    members = prod(shape[:batch])
    if batch:
        first = emit(iota, shape=bounds.aval.shape, dtype=i32, axis=0) * count
        bounds = bounds + first
    start, stop = (_columns(bounds, n, n + rows) for n in (0, 1))
    rest = shape[batch + 1 :]
    table = _shaped(x, (members * rows, *rest))
    values = reshape_to(updates, (members * count, *rest))
    return reshape_to(_combined(table, start, stop, values, combine), shape)


def _run_bounds(ids: Value, rows: int) -> Value:
    """i32[..., rows + 1]: how many of the ordered ids are below 0, 1, ... rows."""
    batch, count = ids.aval.ndim - 1, ids.aval.shape[-1]
    shape = (*ids.aval.shape[:-1], rows + 1)
    wanted = emit(iota, shape=shape, dtype=i32, axis=batch)
    place: Value = Lit(0, Aval(shape, i32))
    for step in (1 << b for b in reversed(range(count.bit_length()))):
        ahead = place + step
        last = rows_at(ids, emit(min, ahead - 1, lit(count - 1, i32, shape)), batch)
        there = emit(le, ahead, lit(count, i32, shape))
        place = emit(select, emit(and_, there, emit(lt, last, wanted)), ahead, place)
    return place


def _columns(bounds: Value, low: int, high: int) -> Value:
    """Columns of the last axis, as a vector."""
    none = (0,) * (bounds.aval.ndim - 1)
    limit = (*bounds.aval.shape[:-1], high)
    part = emit(slice_, bounds, start=(*none, low), limit=limit, stride=(1,) * bounds.aval.ndim)
    return reshape_to(part, (part.aval.size,))


def _combined(x: Value, start: Value, stop: Value, values: Value, combine: str) -> Value:
    """Rows with their runs; where runs may be long, whole strips of them are combined ahead."""
    count, dtype = values.aval.shape[0], x.aval.dtype
    if count < 2 * STRIP:
        return emit(runs, x, start, stop, values, combine=combine, longest=count)
    if dtype is f16:  # what is combined in parts is rounded once
        x, values = (emit(cast, v, dtype=f32) for v in (x, values))
        return emit(cast, _combined(x, start, stop, values, combine), dtype=f16)
    strip = 1 << (int(count**0.5) - 1).bit_length()
    wholes = _strips(values, strip, combine)
    # Strips first..last lie within the run; its ends are what is before and behind them.
    first, last = _over(start + (strip - 1), strip), _over(stop, strip)
    inner = emit(lt, first, last)
    head = emit(select, inner, first * strip, stop)
    tail = emit(select, inner, last * strip, stop)
    # Without a whole strip inside, a run spans two strips at the most.
    x = emit(runs, x, start, head, values, combine=combine, longest=2 * strip)
    none = lit_like(0, first)
    ends = (emit(select, inner, v, none) for v in (first, last))
    x = emit(runs, x, *ends, wholes, combine=combine, longest=wholes.aval.shape[0])
    return emit(runs, x, tail, stop, values, combine=combine, longest=strip)


def _over(x: Value, n: int) -> Value:
    return emit(PRIMITIVES["div"], x, lit_like(n, x))


def _strips(values: Value, strip: int, combine: str) -> Value:
    """Strips of `strip` values combined, the rest behind the last whole one left out."""
    count = values.aval.shape[0] // strip
    number = emit(iota, shape=(count,), dtype=i32, axis=0)
    first = rows_at(values, number * strip)
    ends = (number * strip + 1, (number + 1) * strip)
    return emit(runs, first, *ends, values, combine=combine, longest=strip)


__all__ = ["clears", "lower_scatter"]
