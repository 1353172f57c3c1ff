"""How equations are cut of which a table of factors does not say all.

Invariant: a rule here gives what is held of each result, or None to leave the equation to its
factors. Loops and branches hold graphs; rows are found by number; attention meets keys elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ..build import building, emit, inline
from ..graph import Aval, Eqn, Graph, Lit
from ..prim import PRIMITIVES
from ..prims.collective import member_index
from ..prims.index import clamp, take_inside
from ..prims.scatter import scattered
from ..prims.views import broadcast_to
from ..sharding import Axes, Spec, problems, whole
from .layout import Dims, Held
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


# --- loops and branches -------------------------------------------------------------------------


def scanned(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A scan whose carry lies as it comes out of an iteration, where what it starts from allows."""
    p = eqn.params
    consts, carry = p["consts"], p["carry"]
    fixed = [walk.placed(h, None) for h in helds[:consts]]
    xs = [walk.move(h, ((), *h.spec.dims[1:])) for h in helds[consts + carry :]]
    rows = [Held(Aval(h.aval.shape[1:], h.aval.dtype), None, Spec(h.spec.dims[1:])) for h in xs]
    inits = helds[consts : consts + carry]
    body, after = _settled(walk, p["body"], fixed, inits, rows)
    specs = [h.spec for h in after]
    begun = [walk.move(h, s.dims, s.unreduced) if not h.is_zero else
             Held(h.aval, Lit(h.value.value, walk.local(h.aval, s.dims)), s)
             for h, s in zip(inits, specs, strict=False)]  # fmt: skip
    ins = [h.value for h in (*fixed, *begun, *xs)]
    outs = emit(eqn.prim, *ins, **{**p, "body": body})
    stacked = [Spec(((), *s.dims), s.unreduced) for s in specs[carry:]]
    found = zip(eqn.outs, outs, (*specs[:carry], *stacked), strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]


def _settled(walk: Walk, body: Graph, fixed, inits, rows) -> tuple[Graph, list[Held]]:
    """(a body that takes its carry as it returns it, what it returns)."""
    carry = [h.spec if not h.is_free else None for h in inits]
    for _ in range(3):
        graph, after = _bodied(walk, body, fixed, inits, carry, rows, None)
        if [h.spec for h in after[: len(inits)]] == carry:
            return graph, after
        carry = [_joined(h, old, a.spec) for h, old, a in zip(inits, carry, after, strict=False)]
    wanted = [*carry, *(h.spec for h in after[len(inits) :])]
    return _bodied(walk, body, fixed, inits, carry, rows, wanted)


def _joined(init: Held, old: Spec | None, new: Spec) -> Spec:
    """How a carry should lie: as an iteration returns it, if what it starts from can."""
    if init.is_zero:
        return new
    if init.is_free or not (old and old.axes):
        return new.reduced()
    return old.reduced()


def _bodied(walk: Walk, body: Graph, fixed, inits, carry, rows, wanted) -> tuple[Graph, list[Held]]:
    from .shard import Walk, annotated

    with building() as builder:
        inner = Walk(walk.mesh, walk.options)

        def given(h: Held, spec: Spec) -> Held:
            return Held(h.aval, builder.input(walk.local(h.aval, spec.dims)), spec)

        starts = [given(h, h.spec) for h in fixed]
        starts += [Held(h.aval, Lit(0, h.aval), whole(h.aval.ndim)) if s is None else given(h, s)
                   for h, s in zip(inits, carry, strict=True)]  # fmt: skip
        starts += [given(h, h.spec) for h in rows]
        found = inner.graph(body, starts, wanted)
        found = [inner.placed(h, whole(h.aval.ndim)) if h.value is None else h for h in found]
        graph = builder.close([h.value for h in found])
    if None in carry:
        return graph, found  # only to see where its results lie
    return annotated(graph, {h.value: h.spec for h in (*starts, *inner.named)}), found


def branched(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A cond whose branches return what all of them can: common cuts, no pending sums."""
    index, *rest = (walk.placed(h, None) for h in helds)
    branches = eqn.params["branches"]
    tried = [_bodied(walk, b, rest, (), (), (), None)[1] for b in branches]
    wanted = [Spec(_common([h.spec.dims for h in outs])) for outs in zip(*tried, strict=True)]
    graphs = tuple(_bodied(walk, b, rest, (), (), (), wanted)[0] for b in branches)
    outs = emit(eqn.prim, index.value, *(h.value for h in rest), branches=graphs)
    found = zip(eqn.outs, outs, wanted, strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]


def _common(dims: Sequence[Dims]) -> Dims:
    """Cuts that all have."""
    return tuple(axes[0] if len(set(axes)) == 1 else () for axes in zip(*dims, strict=True))


def repeated(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """A while loop whose carry lies as it starts."""
    p = eqn.params
    flag, *rest = (walk.placed(h, None) for h in helds)
    fixed, inits = rest[: p["consts"]], rest[p["consts"] :]
    specs = [h.spec for h in inits]
    step, _ = _bodied(walk, p["step"], fixed, inits, specs, (), [whole(0), *specs])
    outs = emit(eqn.prim, *(h.value for h in (flag, *rest)), **{**p, "step": step})
    found = zip(eqn.outs, outs, specs, strict=True)
    return [Held(v.aval, value, spec) for v, value, spec in found]


def told(walk: Walk, eqn: Eqn, helds: list[Held]) -> list[Held]:
    """Effects are for the host, which hears of whole values."""
    emit(eqn.prim, *(walk.placed(h, whole(h.aval.ndim)).value for h in helds), **eqn.params)
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
    near, far = dims, (dims[0], (), dims[2], ())
    rows = (dims[0], dims[2], axes)
    layouts = (near, far, far, near, rows, rows)
    moved = [walk.move(h, d) for h, d in zip(helds, layouts, strict=False)]
    outs = walk.graph(eqn.prim.expansion(tuple(v.aval for v in eqn.ins), eqn.params), moved)
    if eqn.prim.name == "attention_dkv":
        return [walk.move(h, like.spec.dims) for h, like in zip(outs, helds[1:], strict=False)]
    return outs


def _by_heads(walk: Walk, eqn: Eqn, helds: list[Held], axes: Axes) -> list[Held]:
    """Every device has some heads at all positions (Jacobs et al., 2023, DeepSpeed-Ulysses)."""
    q, k = helds[0], helds[1]
    heads = (*q.spec.dims[2], *axes)
    if not walk.cuts(k.aval.shape[2], heads):
        raise ValueError(
            f"ulysses gives each of {walk.mesh.along(heads)} devices ({'*'.join(heads)}) some of "
            f"{k.aval.shape[2]} key heads, which they do not divide; use the ring, or no zigzag"
        )
    dims, rows = (q.spec.dims[0], (), heads, ()), (q.spec.dims[0], heads, ())
    layouts = (dims, dims, dims, dims, rows, rows)
    moved = [walk.move(h, d) for h, d in zip(helds, layouts, strict=False)]
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
    "key_use": told,
    "attention": attended,
    "attention_dq": attended,
    "attention_dkv": attended,
}
