"""Building graphs: a stack of open builders and `emit`, the only way an equation comes to be.

Invariants: equations go to the innermost open builder; a Var of an enclosing open builder becomes
an extra leading input of the inner graph (closure conversion), so functions may capture; a Var of
a closed builder is an error. Every equation is typed when it is emitted.
"""

from __future__ import annotations

import linecache
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any

from .dtypes import DType
from .graph import Aval, Eqn, Graph, Lit, Src, Value, Var

_ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = tuple(os.path.join(_ROOT, p) + os.sep for p in ("ir", "tracer", "codegen", "runtime"))
_TREES = f"{os.sep}optree{os.sep}"  # calls us back for each leaf
_is_ours: dict[str, bool] = {}


class LeakedTracerError(TypeError):
    """A traced value was used after the function that made it had returned."""


class Builder:
    """An open graph. `captured` maps each outer Var to the input that stands for it."""

    def __init__(self) -> None:
        self.inputs: list[Var] = []
        self.eqns: list[Eqn] = []
        self.owned: set[Var] = set()
        self.captured: dict[Var, Var] = {}
        self.src: Src | None = None  # when set, replaces the user's line (rules of a transform)
        self.scope = ""
        self.outer: Builder | None = None  # the one that was open when this one was opened
        self.origin: Any = None  # what is being traced; messages show it

    def input(self, aval: Aval, hint: str = "") -> Var:
        var = Var(aval, hint)
        self.inputs.append(var)
        self.owned.add(var)
        return var

    def resolve(self, value: Value) -> Value:
        """`value` as this builder may use it; captures Vars of enclosing builders."""
        if isinstance(value, Lit) or value in self.owned:
            return value
        if value not in self.captured:
            if not any(value in b.owned or value in b.captured.values() for b in _stack()):
                raise LeakedTracerError(
                    f"a traced value of type {value.aval} was used after the function that "
                    "created it had returned; return it from that function instead of storing it"
                )
            inner = Var(value.aval, value.hint)
            self.captured[value] = inner
            self.owned.add(inner)
        return self.captured[value]

    def emit(self, prim: Any, ins: Sequence[Value], params: dict[str, Any]) -> tuple[Var, ...]:
        ins = self._resolved(ins)
        src = self.src or user_src()
        try:
            types = prim.typeof(*[v.aval for v in ins], **params)
        except TypeError as error:
            raise TypeError(f"{error}{describe_src(src)}") from None
        outs = tuple(map(Var, types)) if isinstance(types, tuple) else (Var(types),)
        return self._append(Eqn(prim, ins, outs, params, src, self.scope))

    def repeat(self, eqn: Eqn, ins: Sequence[Value]) -> tuple[Var, ...]:
        """Emit `eqn`, line and scope included, on other operands of the same types."""
        outs = tuple([Var(v.aval, spec=v.spec) for v in eqn.outs])
        ins = self._resolved(ins)
        return self._append(Eqn(eqn.prim, ins, outs, eqn.params, eqn.src, eqn.scope))

    def adopt(self, eqn: Eqn, renamed: dict[Var, Value]) -> None:
        """Append `eqn` and keep its results: those of a graph that no other use is made of."""
        for v in eqn.ins:
            if type(v) is Var and v in renamed:
                ins = tuple([read(renamed, v) for v in eqn.ins])
                eqn = Eqn(eqn.prim, ins, eqn.outs, eqn.params, eqn.src, eqn.scope)
                break
        self._append(eqn)

    def _resolved(self, ins: Sequence[Value]) -> tuple[Value, ...]:
        owned = self.owned
        for v in ins:
            if type(v) is not Lit and v not in owned:
                return tuple(map(self.resolve, ins))
        return tuple(ins)

    def _append(self, eqn: Eqn) -> tuple[Var, ...]:
        self.owned.update(eqn.outs)
        self.eqns.append(eqn)
        return eqn.outs

    def close(self, outs: Sequence[Value]) -> Graph:
        outs = tuple(self.resolve(v) for v in outs)
        return Graph((*self.captured.values(), *self.inputs), tuple(self.eqns), outs)


class _Local(threading.local):
    def __init__(self) -> None:
        self.stack: list[Builder] = []


_local = _Local()


def _stack() -> list[Builder]:
    return _local.stack


def current() -> Builder | None:
    """The innermost open builder, or None outside of any trace."""
    stack = _local.stack
    return stack[-1] if stack else None


def outermost() -> Builder | None:
    """The builder whose inputs nothing encloses, or None outside of any trace."""
    stack = _stack()
    return stack[0] if stack else None


@contextmanager
def building(builder: Builder | None = None) -> Iterator[Builder]:
    """Open a builder for the extent of a `with` block."""
    builder = builder or Builder()
    stack = _stack()
    if stack:
        builder.outer = stack[-1]
        builder.scope = builder.scope or stack[-1].scope
        builder.origin = builder.origin or stack[-1].origin
    stack.append(builder)
    try:
        yield builder
    finally:
        stack.pop()


@contextmanager
def suspended() -> Iterator[None]:
    """No graph is open for the extent of a `with` block."""
    saved, _local.stack = _local.stack, []
    try:
        yield
    finally:
        _local.stack = saved


class attributed:
    """Context: equations emitted inside are attributed to `src` and `scope`, not to the caller."""

    __slots__ = ("builder", "given", "saved")

    def __init__(self, src: Src | None, scope: str) -> None:
        self.given = src, scope

    def __enter__(self) -> None:
        self.builder = builder = current()
        self.saved = builder.src, builder.scope
        builder.src, builder.scope = self.given

    def __exit__(self, *raised: object) -> None:
        self.builder.src, self.builder.scope = self.saved


class located:
    """Context: a TypeError or ValueError, raised by a rule of `eqn`, ends with the user's line."""

    __slots__ = ("eqn",)

    def __init__(self, eqn: Eqn) -> None:
        self.eqn = eqn

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: Any) -> None:
        if kind in (TypeError, ValueError):
            where = describe_src(self.eqn.src)
            raise kind(f"{str(error).removesuffix(where)}{where}") from None


def build(fun: Callable, *avals: Aval) -> Graph:
    """Trace `fun`, a function of Vars returning a Value or a tuple of them, into a Graph."""
    with building() as builder:
        outs = fun(*[builder.input(a) for a in avals])
        return builder.close(outs if isinstance(outs, (tuple, list)) else (outs,))


def emit(prim: Any, *ins: Value, **params: Any) -> Any:
    """Append one equation to the open builder; a Var, or a tuple if `prim` has many results."""
    builder = current()
    if builder is None:
        raise RuntimeError(f"`{prim.name}` was emitted with no graph open")
    outs = builder.emit(prim, ins, params)
    return outs if prim.multi else outs[0]


def inline(graph: Graph, args: Sequence[Value], attribute: bool = True) -> list[Value]:
    """Re-emit a graph's equations on `args`, of the types of its inputs; returns its outputs in the
    current builder. Without `attribute` they belong to the line that is being emitted for."""
    env: dict[Var, Value] = dict(zip(graph.ins, args, strict=True))
    builder = current()
    for eqn in graph.eqns:
        ins = [env[v] if type(v) is Var else v for v in eqn.ins]
        if attribute:
            outs = builder.repeat(eqn, ins)
        else:
            with attributed(builder.src, eqn.scope):
                outs = builder.emit(eqn.prim, ins, eqn.params)
        env.update(zip(eqn.outs, outs, strict=True))
    return [read(env, v) for v in graph.outs]


def splice(graph: Graph, args: Sequence[Value]) -> list[Value]:
    """`inline` of a graph that no other use is made of: its equations become the builder's own."""
    builder = current()
    env: dict[Var, Value] = dict(zip(graph.ins, map(builder.resolve, args), strict=True))
    for eqn in graph.eqns:
        builder.adopt(eqn, env)
    return [read(env, v) for v in graph.outs]


def read(env: dict[Var, Value], value: Value) -> Value:
    """What `env` has in place of a value; a Var that it does not know stands for itself."""
    return env.get(value, value) if type(value) is Var else value


def lit(value: float | int | bool, dtype: DType, shape: tuple[int, ...] = ()) -> Lit:
    """A constant of the given type, every element `value`."""
    cast = float if dtype.is_float else int if dtype.is_integer else bool
    return Lit(cast(value), Aval(tuple(shape), dtype))


def lit_like(value: float | int | bool, like: Value) -> Lit:
    """A literal of the type of `like`, every element `value`."""
    return lit(value, like.aval.dtype, like.aval.shape)


def apply_sugar(name: str, operands: Sequence[Any]) -> Value:
    """Emit primitive `name`; Python scalars take the type of the other operand."""
    for like in operands:
        if isinstance(like, (Var, Lit)):
            break
    values = [v if isinstance(v, (Var, Lit)) else lit_like(v, like) for v in operands]
    return emit(_primitives()[name], *values)


@cache
def _primitives() -> dict[str, Any]:
    from .prim import PRIMITIVES  # that module builds on this one

    return PRIMITIVES


def is_ours(file: str) -> bool:
    """Whether a source file is this library's, or one through which it calls users' functions."""
    ours = _is_ours.get(file)
    if ours is None:
        ours = _is_ours[file] = file.startswith((*_OURS, "<")) or _TREES in file
    return ours


def user_src() -> Src | None:
    """The nearest caller outside of this library."""
    frame = sys._getframe(2)  # who called us is ours; each frame looked at is an object to make
    while frame is not None:
        file = frame.f_code.co_filename
        if not (_is_ours.get(file) or is_ours(file)):  # a look-up for each frame, mostly no call
            return _src(file, frame.f_lineno)
        frame = frame.f_back
    return None


_src = lru_cache(maxsize=4096)(Src)


def describe_src(src: Src | None) -> str:
    """A line for the end of an error message: where, and what stands there."""
    if src is None:
        return ""
    text = linecache.getline(src.file, src.line).strip()
    return f"\n  at {src}" + (f": {text}" if text else "")
