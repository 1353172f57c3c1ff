"""Data-dependent indexing: take, scatter, and slices at run-time positions.

Invariant: an index out of range never touches memory it should not: reads clamp to the nearest
valid row, accumulations drop the update, and run-time slices shift to fit, as in JAX.
"""

from __future__ import annotations

import numpy as np

from ..build import emit, lit_like
from ..dtypes import bool_
from ..graph import Aval, Value
from ..prim import Primitive, register
from .views import reshape_to


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

    def vjp(self, ct, out, x, ids):
        # The forward read clamps; the cotangent of a clamped read belongs to the row that was read.
        from .elementwise import max, min

        if x.aval.shape[0] == 0:
            return lit_like(0, x), None
        top = lit_like(x.aval.shape[0] - 1, ids)
        safe = emit(min, emit(max, ids, lit_like(0, ids)), top)
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

    def vjp(self, ct, out, ids, updates, *, size):
        from .elementwise import and_, le, lt, select
        from .views import broadcast_to

        if size == 0:
            return None, lit_like(0, updates)
        got = emit(take, ct, ids)
        inside = emit(and_, emit(le, lit_like(0, ids), ids), emit(lt, ids, lit_like(size, ids)))
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


def one_hot_rows(ids: Value, size: int, dtype) -> Value:
    """dtype[..., size]: 1 at each id, 0 elsewhere."""
    from .elementwise import cast, eq
    from .views import broadcast_to, iota

    shape = (*ids.aval.shape, size)
    place = emit(iota, shape=shape, dtype=ids.aval.dtype, axis=len(shape) - 1)
    wide = broadcast_to(ids, shape, tuple(range(ids.aval.ndim)))
    return emit(cast, emit(eq, place, wide), dtype=dtype)


__all__ = ["dynamic_slice", "dynamic_update", "one_hot_rows", "reshape_to", "scatter_add", "take"]
