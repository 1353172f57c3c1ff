"""Pull-lowering: the scalar expression of any value of a region at a symbolic index.

Invariant: `value(v, coords)` is defined for every value of the region; a tensor the region reads
becomes a load at its flat index, a view maps the coordinates, an elementwise equation combines.
There is no view algebra beyond that: the index simplifier does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ir.dtypes import bool_, i32, u32
from ir.graph import Eqn, Graph, Lit, Value, Var
from ir.prims import views

from . import expr as ex
from .expr import Expr
from .packing import register

Coords = tuple[Expr, ...]

# Operations on packed values whose results need no rounding.
_EXACT = ("neg", "abs", "sign", "floor", "max", "min", "select")


class Ix:
    """Operator notation for index expressions, so that a view's index map reads as arithmetic."""

    __slots__ = ("expr",)

    def __init__(self, expr: Expr) -> None:
        self.expr = expr

    def __add__(self, other):
        return Ix(ex.add(self.expr, plain(other)))

    __radd__ = __add__

    def __mul__(self, other):
        return Ix(ex.mul(self.expr, plain(other)))

    __rmul__ = __mul__

    def __sub__(self, other):
        return Ix(ex.sub(self.expr, plain(other)))

    def __rsub__(self, other):
        return Ix(ex.sub(plain(other), self.expr))

    def __floordiv__(self, other):
        return Ix(ex.floordiv(self.expr, plain(other)))

    def __mod__(self, other):
        return Ix(ex.mod(self.expr, plain(other)))


def plain(x: Ix | Expr | int) -> Expr:
    return x.expr if isinstance(x, Ix) else x if isinstance(x, Expr) else ex.index(x)


def flat_index(coords: Sequence[Expr], shape: Sequence[int]) -> Expr:
    """Row-major flat index of coordinates."""
    return plain(views.flatten([Ix(c) for c in coords], shape))


def unflatten(flat: Expr, shape: Sequence[int]) -> Coords:
    """Row-major coordinates of a flat index."""
    return tuple(plain(c) for c in views.unflatten(Ix(flat), shape))


class Lowering:
    """Lowers the values of one region.

    `tensors` maps each Var that lives in a buffer to its binding number. `local` maps Vars that a
    kernel already holds in a register (an accumulator, a row's sum) to the Expr that names it.
    """

    def __init__(self, graph: Graph, tensors: Mapping[Var, int], local: Mapping[Var, Expr]) -> None:
        self.tensors, self.local = tensors, local
        self.definitions = {v: e for e in graph.eqns for v in e.outs}
        self.memo: dict[tuple, Expr] = {}

    def value(self, v: Value, coords: Coords) -> Expr:
        """The element of `v` at `coords`, in v's dtype."""
        if isinstance(v, Lit):
            kind = v.aval.dtype
            return ex.const(kind.np.type(v.value) if kind.packed else v.value, register(kind))
        if v in self.local:
            return self.local[v]
        key = (v, coords)
        found = self.memo.get(key)
        if found is None:
            found = self.memo[key] = self._value(v, coords)
        return found

    def at(self, v: Value, flat: Expr) -> Expr:
        """The element of `v` at a flat index."""
        return self.value(v, unflatten(flat, v.aval.shape))

    def _value(self, v: Var, coords: Coords) -> Expr:
        eqn = self.definitions.get(v)
        if eqn is None:
            kind = register(v.aval.dtype)
            return ex.load(self.tensors[v], flat_index(coords, v.aval.shape), kind)
        rule = _RULES.get(eqn.prim.name)
        if rule is not None:
            return rule(self, eqn, coords)
        if eqn.prim.kind == "elementwise":
            return self._elementwise(eqn, coords)
        if eqn.prim.kind == "view":
            x = eqn.ins[0]
            mapped = eqn.prim.index([Ix(c) for c in coords], x.aval, **eqn.params)
            return self.value(x, tuple(plain(c) for c in mapped))
        raise TypeError(f"{eqn.prim.name} cannot be computed inside another kernel")

    def _elementwise(self, eqn: Eqn, coords: Coords) -> Expr:
        args = [self.value(x, coords) for x in eqn.ins]
        kind = eqn.params.get("dtype")
        return self._stored(eqn, ex.op(eqn.prim.name, *args, dtype=kind and register(kind)))

    def _stored(self, eqn: Eqn, value: Expr) -> Expr:
        """A result as memory would hold it."""
        kind = eqn.out.aval.dtype
        return value if not kind.packed or eqn.prim.name in _EXACT else ex.rounded(value, kind)


# --- views that need more than an index map -------------------------------------------------------


def _iota(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    kind = eqn.params["dtype"]
    return low._stored(eqn, ex.cast(coords[eqn.params["axis"]], register(kind)))


def _pad(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    x, p = eqn.ins[0], eqn.params
    inside, inner = ex.const(True, bool_), []
    for c, n, lo, gap in zip(coords, x.aval.shape, p["low"], p["interior"], strict=True):
        span = lo + (n - 1) * (gap + 1) + 1
        inside = ex.and_(inside, ex.and_(ex.ge(c, lo), ex.lt(c, span)))
        offset = ex.sub(c, lo) if lo else c  # may wrap below `lo`; the minimum catches that
        if gap:
            inside = ex.and_(inside, ex.eq(ex.mod(offset, gap + 1), 0))
        inner.append(ex.inside(ex.floordiv(offset, gap + 1), n))
    fill = low.value(Lit(p["value"], x.aval), tuple(inner))
    return ex.select(inside, low.value(x, tuple(inner)), fill)


def _concat(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    axis = eqn.params["axis"]
    ends, total = [], 0
    for x in eqn.ins:
        ends.append((x, total, total + x.aval.shape[axis]))
        total = ends[-1][2]
    parts = [part for part in ends if part[2] > part[1]]
    result = None
    for x, start, end in reversed(parts):
        c = ex.sub(coords[axis], start) if start else coords[axis]
        inner = (*coords[:axis], ex.inside(c, end - start), *coords[axis + 1 :])
        value = low.value(x, inner)
        result = value if result is None else ex.select(ex.lt(coords[axis], end), value, result)
    return result


def _take(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    x, ids = eqn.ins
    batch = eqn.params.get("batch", 0)
    row = _clamped(low.value(ids, coords[: ids.aval.ndim]), x.aval.shape[batch] - 1)
    return low.value(x, (*coords[:batch], row, *coords[ids.aval.ndim :]))


def _clamped(at: Expr, top: int) -> Expr:
    """A run-time index as u32 in 0..top."""
    if at.dtype is not u32:
        at = ex.op("max", ex.cast(at, i32), ex.const(0, i32))
        at = ex.cast(ex.op("min", at, ex.const(top, i32)), u32)
        return ex.minimum(at, top)
    return ex.minimum(at, top)


def window(low: Lowering, shape, sizes, starts: Sequence[Value]) -> list[Expr]:
    """The corner of a run-time window of `sizes` in `shape`, shifted so that it fits."""
    return [_clamped(low.value(s, ()), n - w) for s, n, w in zip(starts, shape, sizes, strict=True)]


def _dynamic_slice(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    x, *starts = eqn.ins
    lows = window(low, x.aval.shape, eqn.params["sizes"], starts)
    return low.value(x, tuple(ex.add(c, s) for c, s in zip(coords, lows, strict=True)))


def _dynamic_update(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    x, update, *starts = eqn.ins
    shape = update.aval.shape
    if update.aval.size == 0:
        return low.value(x, coords)
    inside, inner = ex.const(True, bool_), []
    for c, s, w in zip(coords, window(low, x.aval.shape, shape, starts), shape, strict=True):
        offset = ex.sub(c, s)  # wraps to a huge number before the window
        inside = ex.and_(inside, ex.lt(offset, w))
        inner.append(ex.inside(offset, w))
    return ex.select(inside, low.value(update, tuple(inner)), low.value(x, coords))


def _stop_gradient(low: Lowering, eqn: Eqn, coords: Coords) -> Expr:
    return low.value(eqn.ins[0], coords)


_RULES: dict[str, Callable[[Lowering, Eqn, Coords], Expr]] = {
    "iota": _iota,
    "pad": _pad,
    "concat": _concat,
    "take": _take,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update": _dynamic_update,
    "stop_gradient": _stop_gradient,
}
