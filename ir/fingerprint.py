"""A digest of a graph that is the same in every process.

Invariant: graphs of equal digests compile to equal programs, names and source lines in them
included; a graph with a parameter that has no text of its own, such as a function, or with a
primitive that is not of this package, has no digest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from .dtypes import DType
from .graph import Aval, Graph, Lit, Value, Var

_PLAIN = (type(None), bool, int, float, str, bytes)


class _Untold(Exception):
    """A value that only its own process knows."""


def fingerprint(graph: Graph) -> str | None:
    """The digest, in hexadecimal; None if there is none."""
    try:
        text = "\n".join(_lines(graph))
    except _Untold:
        return None
    return hashlib.sha256(text.encode()).hexdigest()


def _lines(graph: Graph) -> Iterator[str]:
    number = {v: f"%{i}" for i, v in enumerate(graph.ins)}

    def name(v: Value) -> str:
        return f"{_told(v.value)}:{v.aval}" if type(v) is Lit else number[v]

    def made(v: Var) -> str:
        return f"{v.aval} {v.hint!r} {_told(v.spec)}"

    yield from map(made, graph.ins)
    for eqn in graph.eqns:
        if not type(eqn.prim).__module__.startswith("ir."):
            raise _Untold  # its rules may change without a change of its name
        for v in eqn.outs:
            number[v] = f"%{len(number)}"
        params = [f"{key}={_told(eqn.params[key])}" for key in sorted(eqn.params)]
        types = ", ".join(map(made, eqn.outs))
        ins = " ".join(map(name, eqn.ins))
        yield f"{types} = {eqn.prim.name} {params} {ins} {eqn.src} {eqn.scope!r}"
    yield " ".join(map(name, graph.outs))


def _told(value: Any) -> str:
    if type(value) in _PLAIN:
        return repr(value)
    if isinstance(value, (Aval, DType)):
        return str(value)
    if isinstance(value, Graph):
        return f"{{{'; '.join(_lines(value))}}}"
    if type(value) is tuple:
        return f"({', '.join(map(_told, value))})"
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(_told, value)))}}}"
    if is_dataclass(value) and type(value).__module__.startswith("ir."):
        told = [_told(getattr(value, f.name)) for f in fields(value)]
        return f"{type(value).__name__}({', '.join(told)})"
    raise _Untold
