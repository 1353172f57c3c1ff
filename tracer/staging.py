"""Tracing: opening a graph, turning operands into its values, and `bind`.

Invariant: concrete arrays met while tracing become inputs of the outermost graph, once each, before
its declared inputs; inner graphs reach them by capture. With no graph open, `bind` runs its
equation at once as a program of its own.
"""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ir.build import (
    Builder,
    LeakedTracerError,
    building,
    current,
    inline,
    lit,
    outermost,
    splice,
)
from ir.dtypes import DType, bool_, highest
from ir.graph import Aval, Graph, Lit, Value, Var
from ir.passes.effects import Record, lift
from ir.passes.keys import Chain, Use, key_uses
from ir.prim import PRIMITIVES, Primitive

from . import settings, tree
from .array import Array, Tracer, aval_of, is_weak
from .errors import Origin, leaked, located
from .typed import WeakAval, interned

SCALARS = (bool, int, float, np.generic)


class Trace(Builder):
    """A builder that knows the concrete arrays its constant inputs stand for."""

    def __init__(self) -> None:
        super().__init__()
        self.constants: list[Array] = []
        self._held: dict[int, tuple[Any, Var]] = {}
        self._wrapped: dict[int, tuple[np.ndarray, Array]] = {}

    def constant(self, array: Array, hint: str = "") -> Var:
        """The input that stands for `array`."""
        if id(array) not in self._held:
            outer, inner = Var(array.aval), Var(array.aval, hint)
            self.captured[outer] = inner
            self.owned.add(inner)
            self.constants.append(array)
            self._held[id(array)] = array, inner
        return self._held[id(array)][1]

    def wrap(self, host: np.ndarray) -> Array:
        """One Array for each numpy array, however often a function mentions it."""
        if id(host) not in self._wrapped:
            self._wrapped[id(host)] = host, Array.from_host(host)
        return self._wrapped[id(host)][1]


@dataclass(frozen=True)
class Traced:
    """A traced function. Leading inputs of `graph` stand for `captured`, and, in an outermost
    graph, for `constants`; its outputs are the leaves of `out_tree`, of which `weak` says which
    are weak, and what `effects` read."""

    graph: Graph
    captured: tuple[Var, ...]
    constants: tuple[Array, ...]
    out_tree: tree.Structure
    weak: tuple[bool, ...] = ()
    effects: tuple[Record, ...] = ()
    key_uses: dict[Chain, Use] = field(default_factory=dict)


def lifted(traced: Traced) -> Traced:
    """The traced function with its callbacks' operands as further outputs.

    Raises KeyReuseError if it uses a random key twice, where that is checked.
    """
    if not traced.graph.effectful:
        return traced
    uses = key_uses(traced.graph)
    graph, effects = lift(traced.graph)
    return replace(traced, graph=graph, effects=effects, key_uses=uses)


def trace(
    fun: Callable,
    avals: Sequence[Aval],
    hints: Sequence[str] = (),
    origin: Origin | None = None,
) -> Traced:
    """Trace `fun`, a function of Tracers that returns a pytree of array-likes.

    `origin` is what messages name: the user's function, if `fun` only calls it.
    """
    builder = Trace()
    builder.origin = origin
    traced = _traced(builder, fun, avals, hints or [""] * len(avals))
    if settings.now().check_tracer_leaks:
        _check_leaks(builder)
    return traced


def _traced(builder: Trace, fun: Callable, avals: Sequence[Aval], hints: Sequence[str]) -> Traced:
    with building(builder):
        ins = [_input(builder, a, h) for a, h in zip(avals, hints, strict=True)]
        leaves, out_tree = tree.flatten(fun(*ins))
        results = [_result(leaf, leaves, out_tree) for leaf in leaves]
        values = [staged(x) for x in results]
        try:
            graph = builder.close(values)
        except LeakedTracerError:
            raise leaked(_foreign(leaves)) from None
    weak = tuple(is_weak(x) for x in results)
    return Traced(graph, tuple(builder.captured), tuple(builder.constants), out_tree, weak)


def _input(builder: Trace, aval: Aval, hint: str) -> Tracer:
    weak = isinstance(aval, WeakAval)
    plain = Aval(aval.shape, aval.dtype) if weak else aval
    return Tracer(builder.input(plain, hint), weak)


def closing_over(traced: Traced, captured: Sequence[Var]) -> Graph:
    """The graph with an input for each of `captured` in front, used or not."""
    graph, own = traced.graph, dict(zip(traced.captured, traced.graph.ins, strict=False))
    leading = [own[v] if v in own else Var(v.aval) for v in captured]
    return Graph((*leading, *graph.ins[len(own) :]), graph.eqns, graph.outs)


def _check_leaks(builder: Trace) -> None:
    """Raises UnexpectedTracerError if something still refers to a value of a finished trace."""
    gc.collect()
    alive = (x for x in gc.get_objects() if type(x) is Tracer)
    for tracer in alive:
        if tracer.builder is builder:
            error = leaked(tracer)
            raise type(error)(f"Leaked trace. Leaked tracer: {tracer}\n{error}")


def _foreign(operands: Sequence[Any]) -> Tracer:
    """The operand of another trace than those that are open."""
    open_now, builder = [], current()
    while builder is not None:
        open_now.append(builder)
        builder = builder.outer
    traced = [x for x in operands if isinstance(x, Tracer) and isinstance(x.value, Var)]
    return next((x for x in traced if x.builder not in open_now), traced[0])


def _result(leaf: Any, leaves: Sequence[Any], out_tree: tree.Structure) -> Any:
    if isinstance(leaf, (Tracer, Array, np.ndarray, *SCALARS)):
        return operand(leaf)
    at = next(i for i, other in enumerate(leaves) if other is leaf)
    path, builder = tree.keystr(tree.paths(out_tree)[at]), current()
    told = "a traced function"
    if builder.origin:
        told = f"function {builder.origin} traced for {builder.origin.purpose}"
    raise located(
        TypeError,
        f"{told} returned a value of type {type(leaf)}"
        f"{f' at output component {path}' if path else ''}, which is no array or "
        "number; every leaf of a result must be one",
    )


# --- operands -------------------------------------------------------------------------------------


def operand(x: Any, name: str = "this operation", at: int = 0) -> Any:
    """`x`, argument `at` of `name`, as something `bind` takes.

    Raises TypeError for lists and other objects.
    """
    if isinstance(x, (Tracer, Array, Lit)):
        return x
    if isinstance(x, np.ndarray):
        root = outermost()
        return root.wrap(x) if isinstance(root, Trace) else Array.from_host(x)
    if isinstance(x, SCALARS):
        return filled(x, aval_of(x).dtype, weak=is_weak(x))
    raise located(
        TypeError,
        f"{name} requires ndarray or scalar arguments, got {type(x)} at position {at}. "
        "Convert it with jnp.asarray",
    )


def filled(value: Any, dtype: DType, shape: tuple[int, ...] = (), weak: bool = False) -> Any:
    """An array for users to hold, every element `value`."""
    if current() is None:
        one = np.array(value, dtype.np)
        made = Array(interned(Aval(shape, dtype)), host=np.broadcast_to(one, shape))
    else:
        made = scalar(value, dtype, shape)
        made = Tracer(made) if isinstance(made, Lit) else made
    return marked(made, weak)


def marked(x: Any, weak: bool) -> Any:
    """An operand of the same value that is weak or not; literals are neither."""
    if isinstance(x, Lit) or x.weak_type == weak:
        return x
    if isinstance(x, Tracer):
        return Tracer(x.value, weak)
    return x.viewed(weak) if current() is None else Tracer(staged(x), weak)


def visible(x: Any) -> Any:
    """An operand as an array that users may hold."""
    return filled(x.value, x.aval.dtype, x.aval.shape) if isinstance(x, Lit) else x


def scalar(value: Any, dtype: DType | None = None, shape: tuple[int, ...] = ()) -> Any:
    """A Python or numpy number as an operand of `bind`, every element equal."""
    dtype = dtype or aval_of(value).dtype
    fixed = lit(value, dtype, shape)
    if current() is None or not dtype.is_float or abs(fixed.value) <= highest(dtype):
        return fixed
    # Device languages have no infinite or NaN constants: such values travel as data.
    held = Array.from_host(np.full((), fixed.value, dtype.np))
    return spread(held, shape)


def type_like(x: Any, shape: tuple[int, ...]) -> Aval:
    """The type of an operand in another shape."""
    kind = WeakAval if is_weak(x) else Aval
    return kind(shape, aval_of(x).dtype)


def spread(x: Any, shape: tuple[int, ...]) -> Any:
    """numpy broadcasting of `x` to `shape`, which it must fit."""
    aval = aval_of(x)
    if aval.shape == shape:
        return x
    value = x.value if isinstance(x, Tracer) else x
    if isinstance(value, Lit):
        same = Lit(value.value, Aval(shape, aval.dtype))
        return Tracer(same, x.weak_type) if isinstance(x, Tracer) else same
    dims = tuple(range(len(shape) - aval.ndim, len(shape)))
    return bind(PRIMITIVES["broadcast"], x, shape=shape, dims=dims)


def staged(x: Any, hint: str = "") -> Value:
    """The value that stands for an operand in the open graph; a new constant is called `hint`."""
    if isinstance(x, Tracer):
        return x.value
    if isinstance(x, Array):
        root = outermost()
        if not isinstance(root, Trace):
            raise RuntimeError("a concrete array was used in a graph that was not opened here")
        x.check_alive()
        return root.constant(x, hint)
    return x


# --- equations ------------------------------------------------------------------------------------


def bind(prim: Primitive | str, *operands: Any, **params: Any) -> Any:
    """Apply a primitive: staged while tracing, otherwise run at once.

    Returns a Tracer or an Array, or a tuple of them for a primitive of many results.
    """
    prim = PRIMITIVES[prim] if type(prim) is str else prim
    builder = current()
    if builder is None:
        return _run_one(prim, operands, params)
    try:
        values = [
            x.value if type(x) is Tracer else staged(x, _role(prim, at))
            for at, x in enumerate(operands)
        ]
        outs = builder.emit(prim, values, params)
    except LeakedTracerError:
        raise leaked(_foreign(operands)) from None
    if prim.multi:
        return tuple(map(Tracer, outs))
    return Tracer(outs[0], _stays_weak(prim, outs[0].aval, operands), builder)


def _role(prim: Primitive, at: int) -> str:
    """What a composite calls an operand: the tables of `rope` are `cos` and `sin`."""
    if prim.kind != "composite":
        return ""
    named = list(inspect.signature(prim.typeof).parameters.values())[: at + 1]
    found = named[at] if at < len(named) else None
    return found.name if found is not None and found.kind is found.POSITIONAL_OR_KEYWORD else ""


# Conversions are to a dtype that was asked for; sums and extrema are weak in no case.
_NEVER_WEAK = {"cast", "bitcast"}
# Operands behind these say where, not what; the first of a select says which.
_DATA = {"select": slice(1, None), "take": slice(1), "dynamic_slice": slice(1)}


def _stays_weak(prim: Primitive, out: Aval, operands: Sequence[Any]) -> bool:
    """Whether the result is weak: if all that its values come from is."""
    first = operands[0] if operands and prim.name not in _DATA else None
    if type(first) is Tracer and not first.weak_type:
        return False  # as nearly always
    if prim.name in _NEVER_WEAK or prim.kind == "reduce" or out.dtype is bool_:
        return False
    data = operands[_DATA.get(prim.name, slice(None))]
    flags = [x.weak_type for x in data if not isinstance(x, Lit)]
    return bool(flags) and all(flags)


def _run_one(prim: Primitive, operands: Sequence[Any], params: dict[str, Any]) -> Any:
    for x in operands:
        if isinstance(x, Tracer) and isinstance(x.value, Var):
            raise leaked(x)
    # Scalars are data here: a new learning rate must not be a new kernel.
    held = [_held(x) for x in operands]

    def body() -> Any:
        wide = [spread(h, aval_of(x).shape) for h, x in zip(held, operands, strict=True)]
        return bind(prim, *wide, **params)

    out = run_now(body)
    if not prim.multi:
        out.weak_type = _stays_weak(prim, out.aval, operands)
    return out


def _held(x: Any) -> Any:
    value = x.value if isinstance(x, Tracer) else x
    if not isinstance(value, Lit):
        return x
    return Array.from_host(np.full((), value.value, value.aval.dtype.np))


def run_now(fun: Callable[[], Any]) -> Any:
    """Trace a function of no arguments, compile it (or find it compiled) and run it."""
    from .backend import run_traced

    return run_traced(trace(fun, ()))


def inline_traced(
    traced: Traced, graph: Graph, args: Sequence[Any], once: bool = False
) -> list[Tracer]:
    """The outputs of `graph`, made from `traced.graph`, on `args` in the open graph.

    Those that `traced` has come first. `once` promises that neither graph is used again.
    """
    outs = (splice if once else inline)(graph, [*traced.captured, *map(staged, args)])
    return [Tracer(v, i < len(traced.weak) and traced.weak[i]) for i, v in enumerate(outs)]
