"""From the program of the whole arrays to that of one device: one walk after differentiation.

Invariant: the per-device program computes what the whole one does, whatever the annotations. Every
equation goes the same way:

1.  *choose* mesh axes for its factors (`ir.factors`): each takes the longest that an operand has;
2.  *keep* pending sums in which the equation is linear, if nothing else is cut by the same axis;
3.  *move* the operands there: sums are carried out, cuts that were not chosen undone (`layout`);
4.  *emit* it on the parts. Factors that a result lacks leave it a pending sum.

A sum is carried out where somebody needs it, and at once where two equations read it. What is
ambiguous is an error that names both operands and the annotation that would say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..build import attributed, building, current, describe_src, emit, located
from ..factors import Factors
from ..garbage import uncollected
from ..graph import Eqn, Graph, Value, Var
from ..prim import PRIMITIVES
from ..prims.effect import inspect_sharding
from ..prims.fused import Composite
from ..sharding import Axes, MeshShape, ShardingTypeError, Spec, problems, whole
from ..spmd import ShardedGraph
from .effects import inspections
from .layout import VIEWS, Held, Layouts
from .simplify import simplify


@dataclass(frozen=True)
class Options:
    """What the annotations leave open. `context`: how attention meets keys that lie elsewhere,
    "gather" (all of them), "ring" (one part after another) or "ulysses" (heads for positions)."""

    context: str = "gather"


def shard(
    graph: Graph,
    mesh: MeshShape,
    in_specs: Sequence[Spec],
    out_specs: Sequence[Spec | None] | None = None,
    options: Options | None = None,
) -> ShardedGraph:
    """The program of one device, for inputs that lie as `in_specs` say.

    An output without a spec lies as it comes, its sums carried out; one that is `unreduced` may be
    a pending sum, which the result's specs say. Raises ValueError that lists
    everything that is wrong with the specs, and ShardingTypeError where they are ambiguous.
    """
    outs = list(out_specs or (None,) * len(graph.outs))
    check_specs(graph, mesh, in_specs, outs)
    with uncollected():
        return _local_program(graph, mesh, in_specs, outs, options or Options())


def _local_program(
    graph: Graph,
    mesh: MeshShape,
    in_specs: Sequence[Spec],
    outs: Sequence[Spec | None],
    options: Options,
) -> ShardedGraph:
    small = _without_single(mesh)
    graph = simplify(graph)
    wanted = [None if s is None else _restricted(s, small) for s in outs]
    with building() as builder:
        walk = Walk(small, options)
        helds = []
        for v, given in zip(graph.ins, in_specs, strict=True):
            spec = _restricted(given, small)
            helds.append(Held(v.aval, builder.input(walk.local(v.aval, spec.dims), v.hint), spec))
        found = walk.graph(graph, helds, wanted)
        done = builder.close([h.value for h in found])
    specs = {h.value: h.spec for h in (*helds, *walk.named)}
    asked, answers = inspections(annotated(done, specs))
    local = simplify(asked)
    kept = [_kept(h.spec, s) for h, s in zip(found, outs, strict=True)]
    return ShardedGraph(local, mesh, tuple(in_specs), tuple(kept), answers)


def _kept(found: Spec, asked: Spec | None) -> Spec:
    """How an output lies; what may be a pending sum need not be one."""
    if asked is None:
        return found
    dims = (a if d is None else d for d, a in zip(asked.dims, found.dims, strict=True))
    return Spec(tuple(dims), found.unreduced)


def check_specs(graph: Graph, mesh: MeshShape, in_specs, out_specs) -> None:
    """Raises ValueError that lists all that is wrong."""
    wrong: list[str] = []
    for kind, values, specs in (("input", graph.ins, in_specs), ("output", graph.outs, out_specs)):
        for i, (v, spec) in enumerate(zip(values, specs, strict=True)):
            what = (isinstance(v, Var) and v.hint) or f"{kind} {i}"
            wrong += problems(what, v.aval.shape, spec, mesh) if spec else ()
    if wrong:
        raise ValueError(f"the mesh {mesh} does not fit the program:\n  " + "\n  ".join(wrong))


def _without_single(mesh: MeshShape) -> MeshShape:
    """The mesh without axes of one member, over which nothing ever happens."""
    kept = [(n, s) for n, s in zip(mesh.names, mesh.sizes, strict=True) if s > 1]
    return MeshShape(tuple(n for n, _ in kept), tuple(s for _, s in kept), mesh.zigzag)


def _restricted(spec: Spec, mesh: MeshShape) -> Spec:
    dims = tuple(d and tuple(a for a in d if a in mesh.names) for d in spec.dims)
    return Spec(dims, frozenset(a for a in spec.unreduced if a in mesh.names))


def annotated(graph: Graph, specs: dict[Value, Spec]) -> Graph:
    """The graph with the specs that are known on its values."""
    env: dict[Var, Var] = {}

    def named(v: Var) -> Var:
        env[v] = Var(v.aval, v.hint, specs[v]) if v in specs else v
        return env[v]

    ins = tuple(map(named, graph.ins))
    eqns = []
    for e in graph.eqns:
        given = tuple(env.get(v, v) if isinstance(v, Var) else v for v in e.ins)
        eqns.append(Eqn(e.prim, given, tuple(map(named, e.outs)), e.params, e.src, e.scope))
    outs = tuple(env.get(v, v) if isinstance(v, Var) else v for v in graph.outs)
    return Graph(ins, tuple(eqns), outs)


class Walk(Layouts):
    """The walk over one graph and the graphs that it holds."""

    def __init__(self, mesh: MeshShape, options: Options) -> None:
        super().__init__(mesh)
        self.options = options
        self.env: dict[Var, Held] = {}
        self.uses: dict[Var, int] = {}
        self.wanted: dict[Var, Spec] = {}
        self.totals: dict[Eqn, Callable[[Eqn, Spec], Held]] = {}  # see `looped`
        self.anew: dict[tuple[Value, Value], tuple[Value, Value]] = {}  # see `ring`

    def graph(self, graph: Graph, given: Sequence[Held], wanted: Sequence | None = None) -> list:
        """What is held of a graph's outputs, there where `wanted` says or where they come."""
        self._look_ahead(graph, wanted or ())
        self.env.update(zip(graph.ins, given, strict=True))
        for eqn in graph.eqns:
            with attributed(eqn.src, eqn.scope), located(eqn):
                outs = self.equation(eqn, [self.read(v) for v in eqn.ins])
                for v, held in zip(eqn.outs, outs, strict=True):
                    self.named.append(held)
                    self.env[v] = self._summed_early(v, held)
        found = [self.read(v) for v in graph.outs]
        if wanted is None:
            return found
        return [self.placed(h, s) for h, s in zip(found, wanted, strict=True)]

    def read(self, v: Value) -> Held:
        return self.env[v] if isinstance(v, Var) else Held(v.aval, v, whole(v.aval.ndim))

    def _look_ahead(self, graph: Graph, wanted: Sequence[Spec | None]) -> None:
        """How many equations read each value, and where the one that reads it wants it."""
        for v, users in graph.users().items():
            self.uses[v] = len({e for e in users if e.prim is not inspect_sharding})
        for eqn in graph.eqns:
            if eqn.prim.name == "sharding_constraint":
                self.wanted[eqn.ins[0]] = _restricted(_constraint(eqn), self.mesh)
        for v, spec in zip(graph.outs, wanted, strict=False):
            if spec is not None and isinstance(v, Var):
                self.wanted.setdefault(v, spec)

    def _summed_early(self, v: Var, held: Held) -> Held:
        """Two readers of a sum would carry it out twice, or worse, carry two sums along."""
        if held.spec.pending and self.uses.get(v, 0) > 1:
            return self.move(held, held.spec.dims)
        return held

    def placed(self, held: Held, spec: Spec | None) -> Held:
        """`held` where `spec` says, or with its sums carried out."""
        if spec is None:
            return self.move(held, held.spec.dims)
        dims = (old if d is None else d for d, old in zip(spec.dims, held.spec.dims, strict=True))
        return self.move(held, tuple(dims), spec.unreduced)

    # --- one equation ---

    def equation(self, eqn: Eqn, helds: list[Held]) -> list[Held]:
        from .special import SPECIAL

        if eqn in self.totals:
            return [self._added_up(eqn, helds)]
        special = SPECIAL.get(eqn.prim.name)
        if special is not None:
            found = special(self, eqn, helds)
            if found is not None:
                return found
        callee = eqn.prim.callee(*(v.aval for v in eqn.ins), **eqn.params)
        if callee is not None:
            return self.graph(callee, helds)
        factors = eqn.prim.factors(*(v.aval for v in eqn.ins), **eqn.params)
        if self._waits(eqn, helds):
            return [self._made_later(eqn, helds, factors)]
        if isinstance(eqn.prim, Composite) and self._needs_parts(factors, helds):
            graph = eqn.prim.expansion(tuple(v.aval for v in eqn.ins), eqn.params)
            return self.graph(graph, helds)
        return self.by_factors(eqn, helds, factors)

    def _added_up(self, eqn: Eqn, helds: list[Held]) -> Held:
        """A total, made to lie as what is added to it does."""
        first = helds[0].is_zero
        part = helds[1] if first else helds[0]
        part = self.move(part, part.spec.dims, part.spec.unreduced)
        total = self.totals[eqn](eqn, part.spec)
        ins = (total, part) if first else (part, total)
        return Held(part.aval, emit(eqn.prim, *(h.value for h in ins)), part.spec)

    def _waits(self, eqn: Eqn, helds: Sequence[Held]) -> bool:
        """Whether the result costs so little that each device makes the part that is asked for:
        broadcasts, and what is made of them, of positions and of constants element by element."""
        if not eqn.outs or not eqn.out.aval.shape:
            return False
        if all(h.is_free or h.is_scalar for h in helds):
            return eqn.prim.kind in ("elementwise", "source") or eqn.prim.name in VIEWS
        if eqn.prim.kind == "elementwise":
            return all((h.value is None and not h.spec.pending) or h.is_free for h in helds)
        return eqn.prim.name == "broadcast"

    def _made_later(self, eqn: Eqn, helds: Sequence[Held], factors: Factors) -> Held:
        chosen = self.choose(eqn, helds, factors)
        dims = tuple(chosen.get(f, ()) for f in factors.outs[0])
        sums = frozenset().union(*(h.spec.unreduced for h in helds))
        free = all(h.is_free or h.is_scalar for h in helds)
        return Held(eqn.out.aval, None, Spec(dims, sums), (eqn, tuple(helds)), free)

    def _needs_parts(self, factors: Factors, helds: Sequence[Held]) -> bool:
        """Whether a mesh cuts an axis that a composite needs whole."""
        pairs = ((dims, h) for dims, h in zip(factors.ins, helds, strict=True) if h.spec.axes)
        return any(f is None and a for dims, h in pairs
                   for f, a in zip(dims, h.spec.dims, strict=True))  # fmt: skip

    def by_factors(self, eqn: Eqn, helds: Sequence[Held], factors: Factors) -> list[Held]:
        """The four steps."""
        chosen = self.choose(eqn, helds, factors)
        keep = self._kept_sums(eqn, helds, chosen)
        moved = []
        for dims, h in zip(factors.ins, helds, strict=True):
            moved.append(self.move(h, tuple(chosen.get(f, ()) for f in dims), keep))
        return self.emitted(eqn, moved, factors, chosen, keep)

    def emitted(self, eqn: Eqn, moved: Sequence[Held], factors: Factors, chosen, keep=frozenset()):
        """The equation on operands that lie as `chosen` says."""
        out_dims = [tuple(chosen.get(f, ()) for f in dims) for dims in factors.outs]
        outs = [self.local(v.aval, d) for v, d in zip(eqn.outs, out_dims, strict=True)]
        ins = [h.value for h in moved]
        shapes = tuple(v.aval.shape for v in ins), tuple(a.shape for a in outs)
        values = current().emit(eqn.prim, ins, eqn.prim.localise(eqn.params, *shapes))
        found = []
        for v, value, dims, named in zip(eqn.outs, values, out_dims, factors.outs, strict=True):
            over = frozenset([a for f, axes in chosen.items() if f not in named for a in axes])
            if over and factors.monoid != "add":
                value, over = self._extreme(value, over, factors.monoid), frozenset()
            found.append(Held(v.aval, value, Spec(dims, keep | over)))
        return found

    def _extreme(self, x: Value, over: frozenset[str], monoid: str) -> Value:
        axes = tuple(a for a in self.mesh.names if a in over)
        sizes = tuple(self.mesh.size_of[a] for a in axes)
        return emit(PRIMITIVES[f"p{monoid}"], x, axes=axes, sizes=sizes)

    def choose(self, eqn: Eqn, helds: Sequence[Held], factors: Factors) -> dict[object, Axes]:
        """Mesh axes for each factor. Raises ShardingTypeError if two operands disagree."""
        if not any(h.spec.axes for h in helds):
            return self._asked_for(eqn, helds, factors, {})
        chosen: dict[object, tuple[Axes, int, int]] = {}
        for i, (dims, h) in enumerate(zip(factors.ins, helds, strict=True)):
            if not h.spec.axes:
                continue
            for d, (f, axes) in enumerate(zip(dims, h.spec.dims, strict=True)):
                if f is None or not axes or not self._divides(eqn, factors, f, axes):
                    continue
                old, at, _ = chosen.get(f, ((), i, d))
                short, long = sorted((old, axes), key=len)
                if long[: len(short)] != short:
                    raise self._ambiguous(eqn, helds, (old, at, chosen[f][2]), (axes, i, d))
                if long is not old:
                    chosen[f] = axes, i, d
        owner: dict[str, tuple[Axes, int, int]] = {}
        for claim in chosen.values():
            for a in claim[0]:
                if a in owner:
                    raise self._ambiguous(eqn, helds, owner[a], claim)
                owner[a] = claim
        result = {f: axes for f, (axes, _, _) in chosen.items()}
        return result | self._asked_for(eqn, helds, factors, result)

    def _asked_for(self, eqn: Eqn, helds, factors: Factors, chosen) -> dict[object, Axes]:
        """Cuts of the result that its only reader wants and that cost nothing."""
        v = eqn.outs[0]
        spec = self.wanted.get(v)
        if spec is None or self.uses.get(v, 0) > 1 or factors.monoid != "add":
            return {}
        used = {a for axes in chosen.values() for a in axes}
        used |= {a for h in helds for a in h.spec.unreduced | h.spec.axes}
        found: dict[object, Axes] = {}
        for f, axes in zip(factors.outs[0], spec.dims, strict=True):
            free = f is not None and f not in chosen and axes and not used & set(axes)
            if free and self._divides(eqn, factors, f, axes):
                found[f] = axes
        return found

    def _divides(self, eqn: Eqn, factors: Factors, f: object, axes: Axes) -> bool:
        """Whether every axis that has the factor can be cut so."""
        pairs = zip((*eqn.ins, *eqn.outs), (*factors.ins, *factors.outs), strict=True)
        sizes = {v.aval.shape[dims.index(f)] for v, dims in pairs if f in dims}
        if len(sizes) > 1 and self.mesh.zigzag & set(axes):
            return False
        return all(self.cuts(n, axes) for n in sizes)

    def _ambiguous(self, eqn: Eqn, helds: Sequence[Held], one: tuple, two: tuple) -> Exception:
        shown = [Var(h.aval, spec=h.spec).type for h in (helds[one[1]], helds[two[1]])]
        places = [f"axis {d} of operand {i}, {text}, by {'*'.join(axes)}"
                  for (axes, i, d), text in zip((one, two), shown, strict=True)]  # fmt: skip
        dims = list(helds[two[1]].spec.dims)
        dims[two[2]] = ()
        return ShardingTypeError(
            f"{eqn.prim.name} got operands of which the mesh cuts {places[0]} and {places[1]}, and "
            "it is ambiguous how the result should be cut. Say so with "
            f"lax.with_sharding_constraint on one of them, such as {Spec(tuple(dims))} for the "
            f"second{describe_src(eqn.src)}"
        )

    def _kept_sums(self, eqn: Eqn, helds: Sequence[Held], chosen) -> frozenset[str]:
        """Axes over which operands may stay sums that are yet to be carried out."""
        pending = frozenset().union(*(h.spec.unreduced for h in helds))
        if not pending or _narrows(eqn):
            return frozenset()
        used = {a for axes in chosen.values() for a in axes}
        return frozenset(a for a in pending - used if _is_linear(eqn, helds, a))


def _is_linear(eqn: Eqn, helds: Sequence[Held], axis: str) -> bool:
    """Whether the equation is linear in the operands that are sums over `axis`; 0 is any sum."""
    sums = tuple(axis in h.spec.unreduced for h in helds)
    zeros = tuple(s or h.is_zero for s, h in zip(sums, helds, strict=True))
    return any(eqn.prim.linear(mask, **eqn.params) for mask in {sums, zeros})


def _narrows(eqn: Eqn) -> bool:
    """Sums are carried out in the wider type."""
    return eqn.prim.name == "cast" and eqn.out.aval.dtype.itemsize < eqn.ins[0].aval.dtype.itemsize


def _constraint(eqn: Eqn) -> Spec:
    return Spec(eqn.params["dims"], frozenset(eqn.params["unreduced"]))


__all__ = ["Options", "Walk", "annotated", "check_specs", "shard"]
