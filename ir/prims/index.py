"""Data-dependent indexing: take, scatter, and slices at run-time positions.

Invariant: an index out of range never touches memory it should not: reads clamp to the nearest
valid row, accumulations drop the update, and run-time slices shift to fit, as in JAX.
"""

from __future__ import annotations

from math import prod

import numpy as np

from ..build import emit, lit_like
from ..dtypes import bool_, i32
from ..graph import Aval, Lit, Value
from ..prim import Primitive, register
from .lead import front, inward, lead, merge, split
from .views import broadcast_to, iota, reshape_to


def _ids(ids: Aval, name: str) -> None:
    if not ids.dtype.is_integer:
        raise TypeError(f"{name} needs integer indices, got {ids}")


@register
class take(Primitive):
    """x[ids] along axis 0: result shape ids.shape + x.shape[1:]."""

    name = "take"
    kind = "gather"

    def typeof(self, x: Aval, ids: Aval) -> Aval:
        _ids(ids, "take")
        if x.ndim == 0 or (x.shape[0] == 0 and ids.size):
            raise TypeError(f"take from {x}: there are no rows")
        return Aval(ids.shape + x.shape[1:], x.dtype)

    def eval(self, x, ids):
        return x[np.clip(ids.astype(np.int64), 0, max(x.shape[0] - 1, 0))]

    def batch(self, ins, mask, size):
        x, ids = ins
        if mask == (False, True):
            return emit(take, x, ids)
        if not mask[1]:
            return front(emit(take, inward(x, 1), ids), ids.aval.ndim)
        rows = x.aval.shape[1]
        if not ids.aval.size:
            return Lit(0, Aval(ids.aval.shape + x.aval.shape[2:], x.aval.dtype))
        return emit(take, merge(x), _member_rows(clamp(ids, rows - 1), rows))

    def vjp(self, ct, out, x, ids):
        # The forward read clamps; the cotangent of a clamped read belongs to the row that was read.
        if x.aval.shape[0] == 0:
            return lit_like(0, x), None
        safe = clamp(ids, x.aval.shape[0] - 1)
        return emit(scatter_add, safe, ct, size=x.aval.shape[0]), None


@register
class scatter_add(Primitive):
    """zeros([size, ...]) with updates[i] added at row ids[i]; rows out of range are dropped."""

    name = "scatter_add"
    kind = "scatter"

    def typeof(self, ids: Aval, updates: Aval, *, size: int) -> Aval:
        _ids(ids, "scatter_add")
        if updates.dtype is bool_:
            raise TypeError(f"scatter_add of {updates}: convert bools with .astype first")
        if updates.shape[: ids.ndim] != ids.shape:
            raise TypeError(f"scatter_add of {updates} at {ids}: leading axes must match")
        return Aval((size, *updates.shape[ids.ndim :]), updates.dtype)

    def eval(self, ids, updates, *, size):
        rest = updates.shape[ids.ndim :]
        wide = np.float32 if updates.dtype == np.float16 else updates.dtype
        out = np.zeros((size, *rest), wide)
        flat = ids.reshape(-1).astype(np.int64)
        keep = (flat >= 0) & (flat < size)
        np.add.at(out, flat[keep], updates.reshape(flat.size, *rest)[keep])
        return out.astype(updates.dtype)

    def batch(self, ins, mask, members, *, size):
        from .elementwise import select

        ids, updates = ins
        if not mask[0]:
            sums = emit(scatter_add, ids, inward(updates, ids.aval.ndim), size=size)
            return inward(sums, 1)
        dropped = lit_like(members * size, ids)
        places = emit(select, _within(ids, size), _member_rows(ids, size), dropped)
        updates = lead(updates, mask[1], members)
        return split(emit(scatter_add, places, updates, size=members * size), members, size)

    def vjp(self, ct, out, ids, updates, *, size):
        from .elementwise import select

        if size == 0:
            return None, lit_like(0, updates)
        got = emit(take, ct, ids)
        inside = _within(ids, size)
        mask = broadcast_to(inside, got.aval.shape, tuple(range(ids.aval.ndim)))
        return None, emit(select, mask, got, lit_like(0, got))


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


def _member_rows(ids: Value, rows: int) -> Value:
    """Row numbers in an array that holds `rows` rows of each member, one member after the other."""
    return ids + _step(ids.aval.shape, 0, ids.aval.dtype) * rows


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
    from .elementwise import cast

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
    """Rows of each member's x, whose first `depth` axes count the rows."""
    shape = x.aval.shape[batched:]
    count, rest = prod(shape[:depth]), shape[depth:]
    if not batched:
        return emit(take, reshape_to(x, (count, *rest)), rows)
    members = x.aval.shape[0]
    return emit(take, reshape_to(x, (members * count, *rest)), _member_rows(rows, count))


def one_hot_rows(ids: Value, size: int, dtype) -> Value:
    """dtype[..., size]: 1 at each id, 0 elsewhere."""
    from .elementwise import cast, eq

    shape = (*ids.aval.shape, size)
    place = emit(iota, shape=shape, dtype=ids.aval.dtype, axis=len(shape) - 1)
    wide = broadcast_to(ids, shape, tuple(range(ids.aval.ndim)))
    return emit(cast, emit(eq, place, wide), dtype=dtype)


__all__ = ["dynamic_slice", "dynamic_update", "one_hot_rows", "reshape_to", "scatter_add", "take"]
