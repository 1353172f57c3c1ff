"""Moving a value from one layout on a mesh to another.

Invariant: a move changes where the parts of a value are, never the value. Each layout of a value is
made once, so all its readers share one gather. A value made of positions and constants alone is
never moved: every device computes the part that it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from ..build import attributed, current, emit, lit
from ..dtypes import i32
from ..graph import Aval, Eqn, Lit, Value
from ..prim import PRIMITIVES
from ..prims.call import optimization_barrier
from ..prims.collective import member_index
from ..prims.views import broadcast_to, iota, reshape_to, rev
from ..sharding import Axes, MeshShape, Spec, local_shape

Dims = tuple[Axes, ...]


@dataclass(eq=False)
class Held:
    """A value of type `aval`, of which a device holds `value`, its part by `spec`.

    Without a `value` it is `made` where it is asked for: an equation on the operands given with it,
    elementwise or a view. It then lies as its operands do, or anywhere if it is `free`: a function
    of positions, constants and scalars.
    """

    aval: Aval
    value: Value | None
    spec: Spec
    made: tuple[Eqn, tuple[Held, ...]] | None = None
    free: bool = False
    forms: dict[Spec, Held] = field(default_factory=dict)

    @property
    def is_free(self) -> bool:
        """Whether every device can have any part of it without asking another."""
        return self.free or isinstance(self.value, Lit)

    @property
    def is_zero(self) -> bool:
        return isinstance(self.value, Lit) and self.value.value == 0

    @property
    def is_scalar(self) -> bool:
        return not self.aval.shape and not self.spec.pending


class Layouts:
    """Moves on one mesh, emitted into the open builder."""

    def __init__(self, mesh: MeshShape) -> None:
        self.mesh = mesh
        self.named: list[Held] = []  # all that is held, for the types that are printed
        self._locals: dict[tuple[Aval, Dims], Aval] = {}
        self._cuts: dict[tuple[int, Axes], bool] = {}

    def move(self, held: Held, dims: Dims, keep: frozenset[str] = frozenset()) -> Held:
        """`held` cut as `dims` says; of its pending sums those over `keep` stay."""
        target = Spec(dims, held.spec.unreduced & keep)
        if held.value is not None and held.spec == target:
            return held
        if target not in held.forms:
            value = self._moved(held, target)
            held.forms[target] = Held(held.aval, value, target)
            self.named.append(held.forms[target])
        return held.forms[target]

    def cuts(self, size: int, axes: Axes) -> bool:
        """Whether an axis of `size` can be cut so."""
        found = self._cuts.get((size, axes))
        if found is None:
            parts = self.mesh.along(axes) * (2 if self.mesh.zigzag & set(axes) else 1)
            found = self._cuts[size, axes] = size % parts == 0
        return found

    def local(self, aval: Aval, dims: Dims) -> Aval:
        """The type of a device's part."""
        if not any(dims):
            return aval
        found = self._locals.get((aval, dims))
        if found is None:
            shape = local_shape(aval.shape, Spec(dims), self.mesh)
            found = self._locals[aval, dims] = Aval(shape, aval.dtype)
        return found

    def _moved(self, held: Held, target: Spec) -> Value:
        if isinstance(held.value, Lit):
            return Lit(held.value.value, self.local(held.aval, target.dims))
        if held.value is None:
            with attributed(held.made[0].src, held.made[0].scope):
                return self._make(held, target)
        move = _Move(self.mesh, held.value, held.spec, target)
        move.run()
        return move.x

    # --- what is made of positions ---

    def _make(self, held: Held, target: Spec) -> Value:
        eqn, operands = held.made
        dims, shape = target.dims, self.local(held.aval, target.dims).shape
        if eqn.prim.kind == "elementwise":
            given = []
            for operand in operands:
                given.append(self.move(operand, dims).value)
            return current().emit(eqn.prim, given, eqn.params)[0]
        if eqn.prim is optimization_barrier:
            return emit(eqn.prim, self.move(operands[0], dims).value)[0]
        if eqn.prim.name == "broadcast":
            (x,), (places,) = operands, eqn.prim.factors(operands[0].aval, **eqn.params).ins
            inner = tuple(() if d is None else dims[d] for d in places)
            x = self.move(x, inner, target.unreduced).value
            return emit(eqn.prim, x, shape=shape, dims=eqn.params["dims"])
        if not any(dims):
            whole = [self.move(o, ((),) * o.aval.ndim).value for o in operands]
            return current().emit(eqn.prim, whole, eqn.params)[0]
        coords = [
            broadcast_to(self._numbers(n, axes), shape, (d,))
            for d, (n, axes) in enumerate(zip(held.aval.shape, dims, strict=True))
        ]
        return self._at(held, coords, shape, {})

    def _numbers(self, size: int, axes: Axes) -> Value:
        """i32[part]: where a device's part of an axis lies in the whole."""
        n = self.mesh.along(axes)
        part = emit(iota, shape=(size // n,), dtype=i32, axis=0)
        if not n > 1:
            return part
        if axes[0] not in self.mesh.zigzag:
            return part + broadcast_to(self._first(axes, size // n), part.aval.shape, ())
        chunk = size // (2 * self.mesh.along(axes[:1]))
        inner = part + broadcast_to(self._first(axes[1:], size // n), part.aval.shape, ())
        member = broadcast_to(self._first(axes[:1], 1), part.aval.shape, ())
        late = emit(PRIMITIVES["le"], lit(chunk, i32, part.aval.shape), inner)
        other = (2 * self.mesh.along(axes[:1]) - 2) - member  # + 1, the chunk that comes second
        number = emit(PRIMITIVES["select"], late, other, member)
        return number * chunk + inner

    def _first(self, axes: Axes, step: int) -> Value:
        """i32[]: `step` times the device's number along `axes`."""
        sizes = tuple(self.mesh.size_of[a] for a in axes)
        return member_index(axes, sizes) * step

    def _at(
        self, held: Held, coords: Sequence[Value], shape: tuple[int, ...], known: dict
    ) -> Value:
        """The elements at `coords`, one i32[shape] for each axis of the value."""
        if isinstance(held.value, Lit):
            return Lit(held.value.value, Aval(shape, held.aval.dtype))
        if held.value is not None:
            return broadcast_to(held.value, shape, ())
        key = held, tuple(coords)
        if key not in known:
            with attributed(held.made[0].src, held.made[0].scope):
                known[key] = self._made_at(*held.made, coords, shape, known)
        return known[key]

    def _made_at(self, eqn: Eqn, operands: Sequence[Held], coords, shape, known) -> Value:
        if eqn.prim is iota:
            return emit(PRIMITIVES["cast"], coords[eqn.params["axis"]], dtype=eqn.out.aval.dtype)
        if eqn.prim is optimization_barrier:
            return self._at(operands[0], coords, shape, known)
        if eqn.prim.kind != "elementwise":
            inner = _source(eqn, coords, operands[0].aval, shape)
            return self._at(operands[0], inner, shape, known)
        given = []
        for operand in operands:
            given.append(self._at(operand, coords, shape, known))
        return current().emit(eqn.prim, given, eqn.params)[0]


VIEWS = ("broadcast", "reshape", "transpose", "slice", "rev")


def _source(eqn: Eqn, coords: Sequence[Value], x: Aval, shape: tuple[int, ...]) -> list[Value]:
    """Where in the operand of a view its result's elements come from."""
    zero = lit(0, i32, shape)
    if eqn.prim.name != "reshape":
        found = eqn.prim.index(list(coords), x, **eqn.params)
        return [zero if isinstance(c, int) else c for c in found]
    flat: Value = zero
    for c, n in zip(coords, eqn.params["shape"], strict=True):
        flat = flat * n + c
    found = []
    for n in reversed(x.shape[1:]):
        found.append(emit(PRIMITIVES["rem"], flat, lit(n, i32, shape)))
        flat = flat / lit(n, i32, shape)
    return [flat, *reversed(found)][: x.ndim]


class _Move:
    """One value on its way: `x`, cut by `cut`, with `sums` yet to be carried out."""

    def __init__(self, mesh: MeshShape, x: Value, spec: Spec, target: Spec) -> None:
        self.mesh, self.x, self.want = mesh, x, target.dims
        self.cut, self.sums = list(spec.dims), set(spec.unreduced - target.unreduced)
        self.kept = target.unreduced

    def run(self) -> None:
        self._exchange()
        while True:
            self._cut_further()
            wanted = {a for axes in self.want for a in axes}
            self._reduce(self.sums - wanted)
            if not self._gather():
                break
        self._reduce(set(self.sums))

    def _collective(self, name: str, axes: Axes, **params: Any) -> None:
        sizes = tuple(self.mesh.size_of[a] for a in axes)
        self.x = emit(PRIMITIVES[name], self.x, axes=axes, sizes=sizes, **params)

    def _reduce(self, over: set[str]) -> None:
        if over:
            self._collective("psum", tuple(a for a in self.mesh.names if a in over))
            self.sums -= over

    def _exchange(self) -> None:
        """An axis that leaves the end of one dimension for the end of another."""
        for source, (cut, want) in enumerate(zip(self.cut, self.want, strict=True)):
            if not cut or cut[:-1] != want or cut[-1] in self.mesh.zigzag:
                continue
            for to, (had, wants) in enumerate(zip(self.cut, self.want, strict=True)):
                if to != source and wants == (*had, cut[-1]):
                    params = {"split": to, "concat": source, "tiled": True}
                    self._collective("all_to_all", cut[-1:], **params)
                    self.cut[source], self.cut[to] = cut[:-1], wants

    def _cut_further(self) -> None:
        for d, want in enumerate(self.want):
            while self.cut[d] == want[: len(self.cut[d])] and len(self.cut[d]) < len(want):
                rest = want[len(self.cut[d]) :]
                run = tuple(takewhile(lambda a: a in self.sums, rest))
                if run:
                    self._zigzag(d, run)
                    self._collective("reduce_scatter", run, axis=d, tiled=True)
                    self.sums -= set(run)
                else:
                    run = tuple(takewhile(self._is_free, rest))
                    if not run:
                        break
                    self._zigzag(d, run)
                    self._slice(d, run)
                self.cut[d] = (*self.cut[d], *run)

    def _is_free(self, axis: str) -> bool:
        """Whether the value is replicated along a mesh axis."""
        return axis not in self.sums | self.kept and not any(axis in axes for axes in self.cut)

    def _slice(self, d: int, axes: Axes) -> None:
        shape = list(self.x.aval.shape)
        shape[d] //= self.mesh.along(axes)
        sizes = tuple(self.mesh.size_of[a] for a in axes)
        starts: list[Value] = [lit(0, i32)] * len(shape)
        starts[d] = member_index(axes, sizes) * shape[d]
        self.x = emit(PRIMITIVES["dynamic_slice"], self.x, *starts, sizes=tuple(shape))

    def _gather(self) -> bool:
        """Undo cuts that are not wanted; whether there were any."""
        for d, (cut, want) in enumerate(zip(self.cut, self.want, strict=True)):
            same = len(list(takewhile(lambda p: p[0] == p[1], zip(cut, want, strict=False))))
            if same < len(cut):
                self._collective("all_gather", cut[same:], axis=d, tiled=True)
                self._zigzag(d, cut[same:], back=True)
                self.cut[d] = cut[:same]
                return True
        return False

    def _zigzag(self, d: int, axes: Axes, back: bool = False) -> None:
        """Put the chunks of dimension `d` in the order of the members, or back in their own."""
        if axes[0] not in self.mesh.zigzag:
            return
        shape, n = self.x.aval.shape, self.mesh.size_of[axes[0]]
        chunk = shape[d] // (2 * n)
        before, after = shape[:d], shape[d + 1 :]
        parts = (n, 2) if back else (2, n)
        x = reshape_to(self.x, (*before, *parts, chunk, *after))
        kind, halves = d + back, []
        for half in (0, 1):
            start, limit = [0] * x.aval.ndim, list(x.aval.shape)
            start[kind], limit[kind] = half, half + 1
            ones = (1,) * x.aval.ndim
            part = emit(PRIMITIVES["slice"], x, start=tuple(start), limit=tuple(limit), stride=ones)
            part = reshape_to(part, (*before, n, 1, chunk, *after))
            halves.append(emit(rev, part, axes=(d,)) if half else part)
        joined = emit(PRIMITIVES["concat"], *halves, axis=d if back else d + 1)
        self.x = reshape_to(joined, shape)


__all__ = ["VIEWS", "Held", "Layouts"]
