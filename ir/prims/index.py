"""Data-dependent reading: take, and slices at run-time positions.

Invariant: an index out of range never touches memory it should not: reads clamp to the nearest
valid row, and run-time slices shift to fit, as in JAX.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..build import emit, lit, lit_like
from ..dtypes import bool_, i32
from ..factors import Factors, alike
from ..graph import Aval, Lit, Value
from ..prim import Primitive, register
from .lead import front, inward, lead, lead_all
from .views import broadcast_to, iota, reshape_to


def row_at(xs: Value, at: Value) -> Value:
    """xs[at], for an index i32[]."""
    zeros = [lit(0, i32)] * (xs.aval.ndim - 1)
    row = emit(dynamic_slice, xs, at, *zeros, sizes=(1, *xs.aval.shape[1:]))
    return reshape_to(row, xs.aval.shape[1:])


def with_row(xs: Value, x: Value, at: Value) -> Value:
    """`xs` with `x` as its row `at`, an index i32[]."""
    zeros = [lit(0, i32)] * x.aval.ndim
    return emit(dynamic_update, xs, reshape_to(x, (1, *x.aval.shape)), at, *zeros)


def check_ids(x: Aval, ids: Aval, batch: int, name: str) -> None:
    """Raises TypeError unless `ids` can name rows of `x`, whose first `batch` axes they share."""
    if not ids.dtype.is_integer:
        raise TypeError(f"{name} needs integer indices, got {ids}")
    if x.ndim <= batch:
        raise TypeError(f"{name} of {x}: there are no rows")
    if ids.shape[:batch] != x.shape[:batch]:
        raise TypeError(f"{name} of {x} at {ids}: the first {batch} axes must match")


@register
class take(Primitive):
    """Rows of `x` along axis `batch`: result shape ids.shape + x.shape[batch + 1:].

    The first `batch` axes of both are the same: each member reads rows of its own. A read out of
    range gets the nearest row and has, as in JAX, no derivative. `unique` promises that ids in
    range are distinct.
    """

    name = "take"
    kind = "gather"

    def typeof(self, x: Aval, ids: Aval, *, batch: int = 0, unique: bool = False) -> Aval:
        check_ids(x, ids, batch, "take")
        if x.shape[batch] == 0 and ids.size:
            raise TypeError(f"take from {x}: there are no rows")
        return Aval(ids.shape + x.shape[batch + 1 :], x.dtype)

    def eval(self, x, ids, *, batch=0, unique=False):
        places = np.clip(ids.astype(np.int64), 0, max(x.shape[batch] - 1, 0))
        members, out = prod(x.shape[:batch]), ids.shape + x.shape[batch + 1 :]
        if not prod(out):
            return np.zeros(out, x.dtype)
        x = x.reshape(members, *x.shape[batch:])
        return x[np.arange(members)[:, None], places.reshape(members, -1)].reshape(out)

    def factors(self, x, ids, *, batch=0, unique=False):
        where = tuple(("id", d) if d >= batch else d for d in range(ids.ndim))
        rest = tuple(range(batch + 1, x.ndim))
        return Factors(((*range(batch), None, *rest), where), ((*where, *rest),))

    def linear(self, mask, **params):
        return mask == (True, False)

    def batch(self, ins, mask, size, *, batch=0, **params):
        x, ids = ins
        if not mask[1]:
            out = rows_at(inward(x, batch + 1), ids, batch, **params)
            return front(out, ids.aval.ndim)
        if not mask[0] and not batch:
            return rows_at(x, ids, **params)
        return rows_at(*lead_all(ins, mask, size), batch + 1, **params)

    def vjp(self, ct, out, x, ids, *, batch=0, unique=False):
        from .scatter import scattered

        return scattered(lit_like(0, x), ids, ct, batch=batch, unique=unique), None


def rows_at(x: Value, ids: Value, batch: int = 0, unique: bool = False) -> Value:
    """`take`, with only the params that say something."""
    said = {n: v for n, v in dict(batch=batch, unique=unique).items() if v}
    return emit(take, x, ids, **said)


def take_inside(x: Value, ids: Value, batch: int = 0, unique: bool = False) -> Value:
    """`take`, and 0 for ids out of range."""
    from .elementwise import select

    if x.aval.shape[batch] == 0:
        return lit(0, x.aval.dtype, ids.aval.shape + x.aval.shape[batch + 1 :])
    got = rows_at(x, ids, batch, unique)
    inside = fits(ids, x.aval.shape[batch], got.aval.shape)
    return emit(select, inside, got, lit_like(0, got))


def fits(ids: Value, size: int, shape: tuple[int, ...]) -> Value:
    """bool: 0 <= ids < size, repeated over the trailing axes of `shape`."""
    return broadcast_to(_within(ids, size), shape, tuple(range(ids.aval.ndim)))


@register
class dynamic_slice(Primitive):
    """x[start : start + sizes]; `starts` are i32 scalars, shifted so that the slice fits."""

    name = "dynamic_slice"
    kind = "gather"

    def typeof(self, x: Aval, *starts: Aval, sizes: tuple[int, ...]) -> Aval:
        _starts(x, starts, sizes, "dynamic_slice")
        return Aval(tuple(sizes), x.dtype)

    def eval(self, x, *starts, sizes):
        return x[_window(x.shape, starts, sizes)]

    def factors(self, x, *starts, sizes):
        kept = alike(1, x.ndim, but=[d for d in range(x.ndim) if sizes[d] != x.shape[d]])
        return Factors((*kept.ins, *(() for _ in starts)), kept.outs)

    def linear(self, mask, *, sizes):
        return not any(mask[1:])

    def localise(self, params, ins, outs):
        return {"sizes": outs[0]}

    def batch(self, ins, mask, size, *, sizes):
        x, *starts = ins
        if not any(mask[1:]):
            return emit(dynamic_slice, x, *_from_zero(starts), sizes=(size, *sizes))
        shape = x.aval.shape[mask[0] :]
        out = Aval((size, *sizes), x.aval.dtype)
        if not out.size:
            return Lit(0, out)
        depth = _moving(shape, sizes)
        lows = _corners(starts, mask[1:], shape, sizes, size)
        window = out.shape[: depth + 1]
        places = [_step(window, d + 1) + _over(low, window) for d, low in enumerate(lows[:depth])]
        rows = flat_rows(places, shape[:depth], window)
        return reshape_to(_take_rows(x, rows, mask[0], depth), out.shape)

    def vjp(self, ct, out, x, *starts, sizes):
        zeros = lit_like(0, x)
        return emit(dynamic_update, zeros, ct, *starts), *(None for _ in starts)


@register
class dynamic_update(Primitive):
    """`x` with `update` written at `starts`, shifted so that it fits."""

    name = "dynamic_update"
    kind = "gather"

    def typeof(self, x: Aval, update: Aval, *starts: Aval) -> Aval:
        if update.dtype is not x.dtype:
            raise TypeError(f"cannot write {update} into {x}: dtypes differ; use .astype")
        _starts(x, starts, update.shape, "dynamic_update_slice")
        return x

    def eval(self, x, update, *starts):
        out = np.array(x)
        out[_window(x.shape, starts, update.shape)] = update
        return out

    def factors(self, x, update, *starts):
        kept = alike(2, x.ndim, but=[d for d in range(x.ndim) if update.shape[d] != x.shape[d]])
        return Factors((*kept.ins, *(() for _ in starts)), kept.outs)

    def linear(self, mask):
        return all(mask[:2]) and not any(mask[2:])

    def batch(self, ins, mask, size):
        from .elementwise import and_, select

        x, update, *starts = ins
        x = lead(x, mask[0], size)
        if not any(mask[2:]):
            update = lead(update, mask[1], size)
            return emit(dynamic_update, x, update, *_from_zero(starts))
        shape, sizes = x.aval.shape[1:], update.aval.shape[mask[1] :]
        if not update.aval.size:
            return x
        depth = _moving(shape, sizes)
        lows = _corners(starts, mask[2:], shape, sizes, size)
        window = x.aval.shape[: depth + 1]
        places = [_step(window, d + 1) - _over(low, window) for d, low in enumerate(lows[:depth])]
        seen: Value = Lit(True, Aval(window, bool_))
        for place, n in zip(places, sizes, strict=False):
            seen = emit(and_, seen, _within(place, n))
        safe = [clamp(place, n - 1) for place, n in zip(places, sizes, strict=False)]
        rows = flat_rows(safe, sizes[:depth], window)
        rows = emit(select, seen, rows, lit_like(-1, rows))
        new = reshape_to(_take_rows(update, rows, mask[1], depth), x.aval.shape)
        return emit(select, broadcast_to(seen, x.aval.shape, tuple(range(depth + 1))), new, x)

    def vjp(self, ct, out, x, update, *starts):
        gone = emit(dynamic_update, ct, lit_like(0, update), *starts)
        part = emit(dynamic_slice, ct, *starts, sizes=update.aval.shape)
        return gone, part, *(None for _ in starts)


def _starts(x: Aval, starts: tuple[Aval, ...], sizes: tuple[int, ...], name: str) -> None:
    if len(starts) != x.ndim or len(sizes) != x.ndim:
        raise TypeError(f"{name} of {x} needs one start and one size for each axis")
    if any(s.shape or not s.dtype.is_integer for s in starts):
        raise TypeError(f"{name} needs integer scalar starts, got {', '.join(map(str, starts))}")
    if any(n > limit for n, limit in zip(sizes, x.shape, strict=True)):
        raise TypeError(f"{name} of {x}: a window of {sizes} does not fit")


def _window(shape, starts, sizes) -> tuple[slice, ...]:
    lows = [int(np.clip(int(s), 0, n - w)) for s, n, w in zip(starts, shape, sizes, strict=True)]
    return tuple(slice(lo, lo + w) for lo, w in zip(lows, sizes, strict=True))


# --- indices of batched calls ---------------------------------------------------------------------


def clamp(ids: Value, top: int) -> Value:
    """Indices moved into 0..top."""
    from .elementwise import max, min

    return emit(min, emit(max, ids, lit_like(0, ids)), lit_like(top, ids))


def _within(ids: Value, size: int) -> Value:
    """bool: 0 <= ids < size."""
    from .elementwise import and_, le, lt

    return emit(and_, emit(le, lit_like(0, ids), ids), emit(lt, ids, lit_like(size, ids)))


def _step(shape: tuple[int, ...], axis: int, dtype=i32) -> Value:
    return emit(iota, shape=shape, dtype=dtype, axis=axis)


def _over(low: Value, shape: tuple[int, ...]) -> Value:
    """One number a member, repeated over the rest of `shape`."""
    return broadcast_to(low, shape, (0,))


def _from_zero(starts: list[Value]) -> list[Value]:
    """Starts with that of a leading axis which is taken whole."""
    return [Lit(0, starts[0].aval if starts else Aval((), i32)), *starts]


def _moving(shape: tuple[int, ...], sizes: tuple[int, ...]) -> int:
    """How many leading axes have a window smaller than themselves, or lie before such an axis."""
    return max((d + 1 for d, n in enumerate(shape) if sizes[d] != n), default=0)


def _corners(starts, mask, shape, sizes, members: int) -> list[Value]:
    """i32[members] starts of each axis, shifted so that the window fits."""
    from .unary import cast

    lows = []
    for start, batched, n, width in zip(starts, mask, shape, sizes, strict=True):
        low = emit(cast, clamp(start, n - width), dtype=i32)
        lows.append(lead(low, batched, members))
    return lows


def flat_rows(places: list[Value], shape: tuple[int, ...], window: tuple[int, ...]) -> Value:
    """Row-major numbers of the places, one index array an axis of `shape`."""
    flat: Value = Lit(0, Aval(window, i32))
    for place, n in zip(places, shape, strict=True):
        flat = flat * n + place
    return flat


def _take_rows(x: Value, rows: Value, batched: bool, depth: int) -> Value:
    """Rows of each member's x, whose first `depth` axes count the rows; each is read once."""
    shape = x.aval.shape[batched:]
    table = reshape_to(x, (*x.aval.shape[:batched], prod(shape[:depth]), *shape[depth:]))
    return rows_at(table, rows, batch=int(batched), unique=bool(batched))


def one_hot_rows(ids: Value, size: int, dtype) -> Value:
    """dtype[..., size]: 1 at each id, 0 elsewhere."""
    from .elementwise import eq
    from .unary import cast

    shape = (*ids.aval.shape, size)
    place = emit(iota, shape=shape, dtype=ids.aval.dtype, axis=len(shape) - 1)
    wide = broadcast_to(ids, shape, tuple(range(ids.aval.ndim)))
    return emit(cast, emit(eq, place, wide), dtype=dtype)


__all__ = [
    "dynamic_slice",
    "dynamic_update",
    "fits",
    "one_hot_rows",
    "reshape_to",
    "rows_at",
    "take",
    "take_inside",
]
