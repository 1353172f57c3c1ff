"""Batching helpers: the mapped axis in front.

Invariant: a batched value leads with the mapped axis; `lead` repeats an unbatched one along it,
and a constant stays a constant.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..build import emit
from ..graph import Aval, Lit, Value
from ..prim import PRIMITIVES

Mask = tuple[bool, ...]


def lead(x: Value, batched: bool, size: int) -> Value:
    """`x` with a leading axis of `size`: its own if it is batched, a repeated one otherwise."""
    if batched:
        return x
    shape = (size, *x.aval.shape)
    if isinstance(x, Lit):
        return Lit(x.value, Aval(shape, x.aval.dtype))
    dims = tuple(range(1, len(shape)))
    return emit(PRIMITIVES["broadcast"], x, shape=shape, dims=dims)


def lead_all(ins: Sequence[Value], mask: Mask, size: int) -> list[Value]:
    """All operands with the leading axis."""
    return [lead(x, m, size) for x, m in zip(ins, mask, strict=True)]


def behind(axes: Sequence[int]) -> tuple[int, ...]:
    """Axis numbers once there is an axis in front of all."""
    return tuple(a + 1 for a in axes)


def front(x: Value, axis: int) -> Value:
    """Move one axis to the front."""
    return _permuted(x, [axis, *(d for d in range(x.aval.ndim) if d != axis)])


def inward(x: Value, axis: int) -> Value:
    """Move the leading axis to `axis`."""
    rest = list(range(1, x.aval.ndim))
    return _permuted(x, [*rest[:axis], 0, *rest[axis:]])


def parted(x: Value, axis: int, count: int) -> Value:
    """Axis `axis` as two: `count` parts, and what is within each. `merge` undoes it."""
    shape = x.aval.shape
    parts = (*shape[:axis], count, shape[axis] // count, *shape[axis + 1 :])
    return emit(PRIMITIVES["reshape"], x, shape=parts)


def merge(x: Value, axis: int = 0) -> Value:
    """Axes `axis` and `axis` + 1 as one."""
    shape = x.aval.shape
    joined = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
    return emit(PRIMITIVES["reshape"], x, shape=joined)


def split(x: Value, *sizes: int) -> Value:
    """Undo `merge`: the leading axis as axes of these sizes."""
    return emit(PRIMITIVES["reshape"], x, shape=(*sizes, *x.aval.shape[1:]))


def _permuted(x: Value, perm: list[int]) -> Value:
    if perm == sorted(perm):
        return x
    return emit(PRIMITIVES["transpose"], x, perm=tuple(perm))
