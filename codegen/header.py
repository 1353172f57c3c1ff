"""The comment above a kernel: what it computes, at what cost, and which lines of the user ask it.

Invariant: the text says nothing that differs between machines or runs; of a path it shows the file
and its folder only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np

from ir.dtypes import DType, f16
from ir.graph import Aval, Eqn, Graph, Lit, Src, Value, Var

from .fuse import Region

MAX_SHOWN = 14  # equations printed in a header
MAX_PLACES = 6
IMPLIED = ("shape", "dtype")  # parameters that the type of the result repeats


def header(
    name: str, config: str, region: Region, named: Mapping[Var, str], avals: Sequence[Aval]
) -> str:
    """Comment lines over the kernel of `region`, and `enable f16;` where `avals` need it."""
    lines = [f"// {name}: {config}", *equations(region.graph, named), _cost(region)]
    places = list(dict.fromkeys(place(e.src) for e in region.graph.eqns if e.src))
    if places:
        more = " ..." if len(places) > MAX_PLACES else ""
        lines.append(f"// from {', '.join(places[:MAX_PLACES])}{more}")
    if any(a.dtype is f16 for a in avals):
        lines.append("enable f16;")
    return "\n".join(lines)


def equations(graph: Graph, named: Mapping[Var, str]) -> list[str]:
    """The equations as comment lines; long lists are cut in the middle."""
    shown = [f"//   {equation(e, named)}" for e in graph.eqns]
    if len(shown) > MAX_SHOWN:
        half = MAX_SHOWN // 2
        shown = [*shown[:half], f"//   ... {len(shown) - 2 * half} more ...", *shown[-half:]]
    return shown


def equation(eqn: Eqn, named: Mapping[Var, str]) -> str:
    """`c: f32[8] = sum[axes=(1,)] b`, without what the types say anyway."""
    outs = ", ".join(f"{named[v]}: {v.aval}" for v in eqn.outs)
    shown = (f"{n}={_param(eqn.params[n])}" for n in sorted(eqn.params) if n not in IMPLIED)
    params = ", ".join(shown)
    ins = "".join(f" {_operand(v, named)}" for v in eqn.ins)
    return f"{outs} = {eqn.prim.name}{f'[{params}]' if params else ''}{ins}"


def _operand(v: Value, named: Mapping[Var, str]) -> str:
    return _number(v.value, v.aval.dtype) if isinstance(v, Lit) else named[v]


def _number(value: float | int | bool, dtype: DType) -> str:
    """A constant as the kernel's precision sees it."""
    return str(dtype.np.type(value)) if dtype.is_float else repr(value)


def _param(value: Any) -> str:
    if isinstance(value, DType):
        return value.name
    return str(np.float32(value)) if isinstance(value, float) else repr(value)


def place(src: Src) -> str:
    """`folder/file.py:12`, the same wherever the project lies."""
    return f"{'/'.join(PurePath(src.file).parts[-2:])}:{src.line}"


# --- cost -----------------------------------------------------------------------------------------


def work(region: Region) -> tuple[int, int]:
    """(bytes read and written at least once, floating point operations)."""
    working = (e for e in region.graph.eqns if e.prim.kind not in ("view", "source", "gather"))
    flops = sum(e.prim.flops(*(v.aval for v in e.ins), **e.params) for e in working)
    return sum(v.aval.nbytes for v in (*region.ins, *region.outs)), flops


def _cost(region: Region) -> str:
    nbytes, flops = work(region)
    return f"// moves {quantity(nbytes, 'B')}, computes {quantity(flops, 'flop')}"


def quantity(amount: float, unit: str) -> str:
    """`1.05 MB`: three digits and a decimal prefix."""
    for prefix in ("", "k", "M", "G"):
        if amount < 999.5:
            break
        amount, prefix = amount / 1000, {"": "k", "k": "M", "M": "G", "G": "T"}[prefix]
    return f"{amount:.3g} {prefix}{unit}"
