"""The tensor graph: ordered, single-assignment equations over typed values.

Invariants: a Var is defined once, before its uses, by an equation or as a graph input; identity is
its meaning (names are invented by `ir.show`). A Lit is a constant of any shape whose elements are
all `value`. Nothing is mutated; params are hashable, and a graph, or a tuple of them, may be one.
`Graph.key()` is structural: it ignores where equations came from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from typing import TYPE_CHECKING, Any

from .dtypes import DType
from .sharding import Spec

if TYPE_CHECKING:
    from .prim import Primitive

HOLDERS = ("control", "composite")  # the kinds of primitive whose parameters may hold graphs


@dataclass(frozen=True)
class Aval:
    """Abstract value: shape and dtype. Prints as `f32[8, 128]`."""

    shape: tuple[int, ...]
    dtype: DType

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.dtype.name}[{', '.join(map(str, self.shape))}]"

    __repr__ = __str__


class _Operators:
    """Arithmetic sugar of rules: emits into the current builder. Shapes must match exactly."""

    __slots__ = ()

    def __add__(self, other):
        return _emit2("add", self, other)

    def __radd__(self, other):
        return _emit2("add", self, other)

    def __sub__(self, other):
        return _emit2("sub", self, other)

    def __rsub__(self, other):
        return _emit2("sub", other, self)

    def __mul__(self, other):
        return _emit2("mul", self, other)

    def __rmul__(self, other):
        return _emit2("mul", self, other)

    def __truediv__(self, other):
        return _emit2("div", self, other)

    def __rtruediv__(self, other):
        return _emit2("div", other, self)

    def __neg__(self):
        return _emit2("neg", self)


def _emit2(name: str, *operands: Any) -> Value:
    return _apply_sugar()(name, operands)


@cache
def _apply_sugar() -> Callable[[str, tuple], Value]:
    from .build import apply_sugar  # that module builds on this one

    return apply_sugar


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Var(_Operators):
    """A value defined by an equation or a graph input."""

    aval: Aval
    hint: str = ""  # what the user called it; used only to name tensors in generated text
    spec: Spec | None = None  # how a mesh cuts it, where that is known; explains, as `src` does

    def __reduce__(self):
        return Var, (self.aval, self.hint, self.spec)

    @property
    def type(self) -> str:
        """The type as text, `f32[8@dp, 128]{+tp}` if it is known how a mesh cuts the value."""
        if self.spec is None:
            return str(self.aval)
        sizes, sums = self.spec.shown(self.aval.shape)
        return f"{self.aval.dtype.name}[{', '.join(sizes)}]{sums}"


@dataclass(frozen=True)
class Lit(_Operators):
    """A constant of `aval`'s shape, every element equal to `value`. Compared by value."""

    value: float | int | bool
    aval: Aval


Value = Var | Lit


@dataclass(frozen=True)
class Src:
    """The user's line that caused an equation."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class _Open:
    """An equation while it is made: a frozen class takes four times as long to fill in, and a
    trace makes thousands."""

    __slots__ = ("ins", "outs", "params", "prim", "scope", "src")


@dataclass(frozen=True, eq=False, init=False)
class Eqn(_Open):
    """`outs = prim[params](ins)`. `src` and `scope` explain; they never change meaning."""

    __slots__ = ()
    prim: Primitive
    ins: tuple[Value, ...]
    outs: tuple[Var, ...]
    params: dict[str, Any]  # read-only by convention
    src: Src | None
    scope: str

    def __new__(cls, prim, ins, outs, params=None, src=None, scope="") -> Eqn:
        eqn = object.__new__(_Open)
        eqn.prim, eqn.ins, eqn.outs = prim, ins, outs
        eqn.params = {} if params is None else params
        eqn.src, eqn.scope = src, scope
        eqn.__class__ = cls
        return eqn

    def __reduce__(self):
        return Eqn, (self.prim, self.ins, self.outs, self.params, self.src, self.scope)

    @property
    def out(self) -> Var:
        return self.outs[0]

    def subgraphs(self) -> Iterator[Graph]:
        """The graphs among the parameters."""
        for param in self.params.values():
            for part in param if isinstance(param, tuple) else (param,):
                if isinstance(part, Graph):
                    yield part

    def with_subgraphs(self, change: Callable[[Graph], Graph]) -> dict[str, Any]:
        """Its parameters, each graph among them changed."""

        def changed(param: Any) -> Any:
            if isinstance(param, tuple):
                return tuple(map(changed, param))
            return change(param) if isinstance(param, Graph) else param

        return {name: changed(param) for name, param in self.params.items()}

    def axis_names(self) -> frozenset[str]:
        """Names of the axes that it, or a graph among its parameters, communicates along."""
        own = self.params["axes"] if self.prim.kind == "collective" else ()
        return frozenset(own).union(*(g.axis_names for g in self.subgraphs()))

    @property
    def effectful(self) -> bool:
        """Whether it, or an equation among its parameters, calls the host."""
        kind = self.prim.kind
        return kind == "effect" or (kind in HOLDERS and any(g.effectful for g in self.subgraphs()))

    def param_key(self) -> tuple:
        return tuple((n, _key(self.params[n])) for n in sorted(self.params))


def _key(param: Any) -> Any:
    if isinstance(param, tuple):
        return tuple(map(_key, param))
    return param.key() if isinstance(param, Graph) else param


@dataclass(frozen=True, eq=False)
class Graph:
    """`outs` computed from `ins` by `eqns` in order. Captured constants are leading `ins`."""

    ins: tuple[Var, ...]
    eqns: tuple[Eqn, ...]
    outs: tuple[Value, ...]

    @property
    def in_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.ins)

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return tuple(v.aval for v in self.outs)

    def users(self) -> dict[Var, list[Eqn]]:
        """Equations reading each Var, once per operand position."""
        found: dict[Var, list[Eqn]] = {}
        for eqn in self.eqns:
            for v in eqn.ins:
                if isinstance(v, Var):
                    found.setdefault(v, []).append(eqn)
        return found

    def subgraphs(self) -> Iterator[Graph]:
        for eqn in self.eqns:
            yield from eqn.subgraphs()

    @cached_property
    def axis_names(self) -> frozenset[str]:
        """Names of the axes that its equations communicate along."""
        return frozenset().union(*(e.axis_names() for e in self.eqns))

    @cached_property
    def effectful(self) -> bool:
        """Whether an equation calls the host; such equations are never dropped or merged."""
        return any(e.effectful for e in self.eqns)

    def key(self) -> tuple:
        """Hashable structure: equal iff the graphs compute the same thing the same way."""
        return self._structure

    @cached_property
    def _structure(self) -> tuple:
        number: dict[Var, int] = {v: i for i, v in enumerate(self.ins)}

        def ref(v: Value):
            return number[v] if isinstance(v, Var) else ("lit", repr(v.value), v.aval)

        rows = []
        for eqn in self.eqns:
            ins = tuple(ref(v) for v in eqn.ins)
            for v in eqn.outs:
                number[v] = len(number)
            rows.append((eqn.prim.name, ins, tuple(v.aval for v in eqn.outs), eqn.param_key()))
        return self.in_avals, tuple(rows), tuple(ref(v) for v in self.outs)

    def __repr__(self) -> str:
        from .show import show

        return show(self)
