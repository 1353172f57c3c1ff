"""Sharding rules of equations that a table of factors does not describe in full.

Invariant: a rule here returns how each result is held, or None to leave the equation to its
factors. Gathers and scatters address rows by number, attention combines keys of several devices;
loops have `looped`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from ..build import emit, inline
from ..graph import Eqn
from ..prim import PRIMITIVES
from ..prims.collective import member_index
from ..prims.index import clamp, take_inside
from ..prims.scatter import scattered
from ..prims.views import broadcast_to
from ..sharding import Axes, Spec, problems, whole
from .layout import Dims, Held
from .looped import branched, repeated, scanned
from .ring import ringed

if TYPE_CHECKING:
    from .shard import Walk

Rule = Callable[["Walk", Eqn, list[Held]], "list[Held] | None"]


# --- annotations --------------------------------------------------------------------------------


def constrained(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """The value where its annotation says; a cotangent where its primal is."""
    from .shard import _constraint, _restricted

    (held,) = helds
    spec = _restricted(_constraint(eqn), walk.mesh)
    wrong = list(problems(f"a constraint on {eqn.out.aval}", eqn.out.aval.shape, spec, walk.mesh))
    if wrong:
        raise ValueError("\n  ".join(wrong))
    if not eqn.params["dual"]:
        return [walk.placed(held, spec)]
    # Replicated and partial are dual: the sum may stay pending unless the primal is one.
    dims, taken = [], spec.axes | spec.unreduced
    for want, old in zip(spec.dims, held.spec.dims, strict=True):
        kept = tuple(a for a in old if a not in taken)
        dims.append(old if want is None else (*want, *kept))
    return [walk.move(held, tuple(dims), held.spec.unreduced - taken)]


def held_apart(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A barrier, which is nothing to where its operands are."""
    if all(h.free for h in helds):  # each device makes the part that it needs, and keeps it apart
        return [Held(h.aval, None, h.spec, (eqn, (h,)), free=True) for h in helds]
    moved = [walk.move(h, h.spec.dims, h.spec.unreduced) for h in helds]
    outs = emit(eqn.prim, *(h.value for h in moved))
    return [replace(h, value=v, forms={}) for h, v in zip(moved, outs, strict=True)]


# --- rows by number -----------------------------------------------------------------------------


def rows_taken(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held] | None:
    """`take` from a table of which each device has some rows: its own, and 0 for others' rows."""
    x, ids = helds
    batch = eqn.params.get("batch", 0)
    axes = x.spec.dims[batch]
    if not axes or batch or walk.mesh.zigzag & set(axes):
        return None
    factors = eqn.prim.factors(*(v.aval for v in eqn.ins), **eqn.params)
    chosen = walk.choose(eqn, helds, factors)
    if any(a in axes for used in chosen.values() for a in used):
        return None
    rest = tuple(chosen.get(f, ()) for f in factors.ins[0][1:])
    table = walk.move(x, (axes, *rest)).value
    which = walk.move(ids, tuple(chosen.get(f, ()) for f in factors.ins[1])).value
    own = _own_rows(walk, clamp(which, x.aval.shape[0] - 1), axes, table.aval.shape[0])
    got = take_inside(table, own, unique=eqn.params.get("unique", False))
    dims = tuple(chosen.get(f, ()) for f in factors.outs[0])
    return [Held(eqn.out.aval, got, Spec(dims, frozenset(axes)))]


def _own_rows(walk: Walk, ids, axes: Axes, rows: int):
    """Row numbers of the whole as numbers of a device's own rows; others are out of range."""
    sizes = tuple(walk.mesh.size_of[a] for a in axes)
    first = emit(PRIMITIVES["cast"], member_index(axes, sizes) * rows, dtype=ids.aval.dtype)
    return ids - broadcast_to(first, ids.aval.shape, ())


def rows_updated(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held] | None:
    """`scatter`: each device updates its own rows, and if it has not all updates, from zeros."""
    x, ids, updates = helds
    batch, combine = eqn.params.get("batch", 0), eqn.params["combine"]
    factors = eqn.prim.factors(*(v.aval for v in eqn.ins), **eqn.params)
    chosen = walk.choose(eqn, [replace(x, spec=x.spec.reduced()), ids, updates], factors)
    seen = {f for f in factors.ins[1][batch:] if chosen.get(f)}
    if seen and (combine != "add" or not x.is_zero):
        chosen = {f: axes for f, axes in chosen.items() if f not in seen}
    used = {a for axes in chosen.values() for a in axes}
    axes = () if batch else _rows_wanted(walk, eqn, x, used | updates.spec.unreduced)
    if not axes:
        keep = walk._kept_sums(eqn, helds, chosen)
        moved = [walk.move(h, tuple(chosen.get(f, ()) for f in dims), keep)
                 for h, dims in zip(helds, factors.ins, strict=True)]  # fmt: skip
        return walk.emitted(eqn, moved, replace(factors, monoid="add"), chosen, keep)
    rest = tuple(chosen.get(f, ()) for f in factors.ins[0][1:])
    table = walk.move(x, (axes, *rest)).value
    which, new = (walk.move(h, tuple(chosen.get(f, ()) for f in dims)).value
                  for h, dims in zip(helds[1:], factors.ins[1:], strict=True))  # fmt: skip
    own = _own_rows(walk, which, axes, table.aval.shape[0])
    out = scattered(table, own, new, **eqn.params)
    over = frozenset(a for f in seen for a in chosen.get(f, ()))
    return [Held(eqn.out.aval, out, Spec((axes, *rest), over))]


def _rows_wanted(walk: Walk, eqn: Eqn, x: Held, used: set[str]) -> Axes:
    """Axes that cut the rows of the result: those of `x`, or those its reader wants."""
    spec = walk.wanted.get(eqn.out)
    axes = x.spec.dims[0] or (spec.dims[0] if spec is not None else ())
    fits = axes and not set(axes) & used and not x.aval.shape[0] % walk.mesh.along(axes)
    return axes if fits and not walk.mesh.zigzag & set(axes) else ()


# --- effects, attention, what is written for one device -----------------------------------------


def told(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """Effects are for the host, which hears of whole values."""
    emit(eqn.prim, *(walk.placed(h, whole(h.aval.ndim)).value for h in helds), **eqn.params)
    return []


def inspected(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """How the value lies that somebody asks of, which is nowhere moved for it."""
    emit(eqn.prim, **{**eqn.params, "spec": helds[0].spec})
    return []


def attended(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held] | None:
    """Attention where a mesh cuts positions: keys are gathered, or heads exchanged for them."""
    q, k = helds[0], helds[1]
    axes = q.spec.dims[1] or k.spec.dims[1]
    if not axes:
        return None
    if walk.options.context == "ulysses":
        return _by_heads(walk, eqn, helds, axes)
    if walk.options.context == "ring" and q.spec.dims[1] == k.spec.dims[1] and len(axes) == 1:
        return ringed(walk, eqn, helds, axes)
    axes = axes if walk.cuts(q.aval.shape[1], axes) else ()
    dims = q.spec.dims[0], axes, q.spec.dims[2], ()
    moved = _laid(walk, eqn, helds, dims, (dims[0], (), dims[2], ()))
    outs = walk.graph(eqn.prim.expansion(tuple(v.aval for v in eqn.ins), eqn.params), moved)
    if eqn.prim.name == "attention_dkv":
        return [walk.move(h, like.spec.dims) for h, like in zip(outs, helds[1:], strict=False)]
    return outs


def _laid(walk: Walk, eqn: Eqn, helds: list[Held], near: Dims, far: Dims) -> list[Held]:
    """The operands with queries laid out as `near` [B, S, N, D] and keys as `far` [B, T, K, D]."""
    rows = near[0], near[2], near[1]
    arrays = (near, far, far, near, rows, rows)[: eqn.prim.arrays]
    layouts = *arrays, near[:2], far[:2]
    return [walk.move(h, d) for h, d in zip(helds, layouts, strict=False)]


def _by_heads(walk: Walk, eqn: Eqn, helds: list[Held], axes: Axes) -> list[Held]:
    """Every device has some heads at all positions (Jacobs et al., 2023, DeepSpeed-Ulysses)."""
    q, k = helds[0], helds[1]
    heads = (*q.spec.dims[2], *axes)
    if not walk.cuts(k.aval.shape[2], heads):
        raise ValueError(
            f"ulysses gives each of {walk.mesh.along(heads)} devices ({'*'.join(heads)}) some of "
            f"{k.aval.shape[2]} key heads, which they do not divide; use the ring, or no zigzag"
        )
    dims = q.spec.dims[0], (), heads, ()
    moved = _laid(walk, eqn, helds, dims, dims)
    factors = eqn.prim.factors(*(v.aval for v in eqn.ins), **eqn.params)
    outs = walk.emitted(eqn, moved, factors, {"b": q.spec.dims[0], "n": heads})
    likes = {"attention_dkv": [k.spec.dims] * 2}.get(eqn.prim.name, [q.spec.dims])
    if eqn.prim.name == "attention":
        likes = [q.spec.dims, (q.spec.dims[0], q.spec.dims[2], axes)]
    return [walk.move(h, d) for h, d in zip(outs, likes, strict=True)]


def mapped(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """The body of a shard_map, which is written for one device, as it stands."""
    p = eqn.params
    sizes = dict(zip(p["axes"], p["sizes"], strict=True))
    if any(n > 1 and walk.mesh.size_of.get(a) != n for a, n in sizes.items()):
        raise ValueError(f"shard_map is over a mesh of {sizes}, and the program over {walk.mesh}")

    if walk.mesh.zigzag & set(sizes):  # its parts are contiguous
        return walk.graph(eqn.prim.expansion(tuple(v.aval for v in eqn.ins), p), helds)

    def cut(dims: Dims) -> Dims:
        return tuple(tuple(a for a in d if a in walk.mesh.names) for d in dims)

    given = [walk.move(h, cut(d)).value for h, d in zip(helds, p["in_dims"], strict=True)]
    outs = inline(p["body"], given)
    return [Held(v.aval, o, Spec(cut(d)))
            for v, o, d in zip(eqn.outs, outs, p["out_dims"], strict=True)]  # fmt: skip


SPECIAL: dict[str, Rule] = {
    "shard_map": mapped,
    "sharding_constraint": constrained,
    "optimization_barrier": held_apart,
    "take": rows_taken,
    "scatter": rows_updated,
    "scan": scanned,
    "cond": branched,
    "while_loop": repeated,
    "debug_callback": told,
    "inspect_sharding": inspected,
    "key_use": told,
    "attention": attended,
    "attention_dq": attended,
    "attention_dkv": attended,
}
