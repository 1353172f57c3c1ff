"""Collectives as the plan knows them: over whole buffers, cut along the leading axis.

Invariant: after `canonical`, what a member gathers is stacked in front and what it scatters is cut
in front, so a collective moves contiguous chunks of whole words; views around it, which cost
nothing, say where they belong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from ir.build import emit, lit
from ir.dtypes import f32, i32
from ir.graph import Aval, Eqn, Lit, Value
from ir.prim import PRIMITIVES
from ir.prims.lead import front, inward, merge, parted
from ir.prims.unary import cast
from ir.prims.views import reshape_to

from .profile import Profile


def canonical(eqn: Eqn, ins: list[Value], profile: Profile) -> tuple[Value, ...] | None:
    """The equation as one that is canonical, with views around; None if it is so already."""
    name, p, out = eqn.prim.name, eqn.params, eqn.out.aval
    if prod(p["sizes"]) == 1:
        return tuple(ins) if eqn.prim.multi else (_alone(name, p, ins, out),)
    if name == "axis_index":
        return None
    if name not in _RULES:
        return None
    if not _splits_words(eqn):
        found = _RULES[name](eqn, ins[0])
        return None if found is None else (found,)
    x = emit(cast, ins[0], dtype=f32)
    found = _RULES[name](eqn, x)
    return (emit(cast, _emit(eqn, x) if found is None else found, dtype=out.dtype),)


def _splits_words(eqn: Eqn) -> bool:
    """Whether a chunk of 16-bit values ends within a 32-bit word."""
    x, out = eqn.ins[0].aval, eqn.out.aval
    members = prod(eqn.params["sizes"]) if eqn.prim.name == "all_to_all" else 1
    return out.dtype.itemsize == 2 and bool(min(x.size, out.size) // members % 2)


def _alone(name: str, p: dict, ins: list[Value], out: Aval) -> Value:
    """A group of one talks to itself."""
    if name == "axis_index":
        return lit(0, i32)
    if name == "ppermute" and not p["perm"]:
        return Lit(0, out)
    return reshape_to(ins[0], out.shape)


def _gather(eqn: Eqn, x: Value) -> Value | None:
    axis, tiled = eqn.params["axis"], eqn.params["tiled"]
    if axis == 0 and not tiled:
        return None
    moved = inward(_emit(eqn, x, axis=0, tiled=False), axis)
    return merge(moved, axis) if tiled else moved


def _scatter(eqn: Eqn, x: Value) -> Value | None:
    axis, tiled = eqn.params["axis"], eqn.params["tiled"]
    if axis == 0 and not tiled:
        return None
    return _emit(eqn, front(_parted(eqn, x, axis), axis), axis=0, tiled=False)


def _exchange(eqn: Eqn, x: Value) -> Value | None:
    split, concat, tiled = (eqn.params[n] for n in ("split", "concat", "tiled"))
    if split == concat == 0 and not tiled:
        return None
    cut = front(_parted(eqn, x, split), split)
    moved = inward(_emit(eqn, cut, split=0, concat=0, tiled=False), concat)
    return merge(moved, concat) if tiled else moved


def _parted(eqn: Eqn, x: Value, axis: int) -> Value:
    """Tiled, the axis as two: the members, and what each gets."""
    return parted(x, axis, prod(eqn.params["sizes"])) if eqn.params["tiled"] else x


def _emit(eqn: Eqn, x: Value, **where: object) -> Value:
    return emit(eqn.prim, x, **{**eqn.params, **where})


_RULES: dict[str, Callable] = {
    "all_gather": _gather,
    "reduce_scatter": _scatter,
    "all_to_all": _exchange,
}


def is_member(eqn: Eqn) -> bool:
    """Whether an equation asks for the number of this device along an axis, which the plan has
    waiting in memory."""
    return eqn.prim is PRIMITIVES["axis_index"]


def packed(avals: Sequence[Aval]) -> tuple[list[int], Aval]:
    """(where each of several values begins in one buffer, in bytes, what lies in that buffer)."""
    starts, end = [], 0
    for aval in avals:
        starts.append(end)
        end += -(-aval.nbytes // 4) * 4
    dtype = avals[0].dtype
    return starts, Aval((end // dtype.itemsize,), dtype)
