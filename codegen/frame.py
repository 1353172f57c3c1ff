"""What every kernel of a region shares: tensors, their names and widths, bindings and header.

Invariant: binding numbers are the region's inputs in order, then its results, an in-place result
sharing the binding of the input it overwrites. Names are unique within the kernel and never
shadow a WGSL word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ir.dtypes import f16
from ir.graph import Graph, Var
from ir.show import names as fresh_names
from ir.show import show_eqn

from .expr import Expr, walk
from .fuse import Region
from .program import Binding
from .wgsl import Writer, storage_type

RESERVED = frozenset(
    "i j k m n r s t b row col lane group tile batch head acc scratch main store value index out_of "
    "alias break case const const_assert continue continuing default diagnostic discard else enable false "
    "fn for if let loop override requires return struct switch true var while f32 f16 i32 u32 bool vec2 "
    "vec3 vec4 mat2x2 array atomic ptr select min max abs exp log pow sqrt sin cos tan tanh floor ceil round "
    "sign fma dot cross clamp mix step fract any all length normalize cast self target ref mod final static "
    "std new null this from get set async await class enum do macro match move mut pub super trait try type "
    "typedef use using where with yield filter buffer sample shared patch layout in out inout".split()
)
MAX_SHOWN = 14  # equations printed in a header


@dataclass(frozen=True, eq=False)
class Frame:
    """Tensors of one kernel by binding number."""

    region: Region
    name: str
    names: tuple[str, ...]
    vars: tuple[Var, ...]
    written: frozenset[int]
    sources: dict[Var, int]  # input -> binding
    targets: tuple[int, ...]  # result position -> binding

    @property
    def elements(self) -> list[int]:
        return [v.aval.size for v in self.vars]

    def bindings(self) -> tuple[Binding, ...]:
        access = ("read_write" if t in self.written else "read" for t in range(len(self.names)))
        return tuple(Binding(n, a) for n, a in zip(self.names, access, strict=True))

    def declarations(self, vec: Sequence[int]) -> str:
        """The `@group(0) @binding(n) var<storage, ...>` lines."""
        lines = []
        for t, (b, v) in enumerate(zip(self.bindings(), self.vars, strict=True)):
            element = storage_type(v.aval.dtype)
            element = f"vec4<{element}>" if vec[t] == 4 else element
            lines.append(
                f"@group(0) @binding({t}) var<storage, {b.access}> {b.name}: array<{element}>;"
            )
        return "\n".join(lines)

    def writer(self, vec: Sequence[int], indent: str = "  ") -> Writer:
        return Writer(list(self.names), list(vec), indent)

    def header(self, config: str) -> str:
        """The comment above a kernel: what it computes, in which configuration, and why it exists."""
        graph = self.region.graph
        lines = [f"// {self.name}: {config}", *equations(graph, self.named())]
        places = dict.fromkeys(str(e.src) for e in graph.eqns if e.src)
        short = [re.sub(r"^.*?([^/\\]+/[^/\\]+)$", r"\1", p) for p in places]
        if short:
            lines.append(f"// from {', '.join(short[:6])}{' ...' if len(short) > 6 else ''}")
        if any(v.aval.dtype is f16 for v in self.vars):
            lines.append("enable f16;")
        return "\n".join(lines)

    def named(self) -> dict[Var, str]:
        """Names of the tensors and of everything in between, for the header."""
        found = {v: self.names[t] for v, t in self.sources.items()}
        found.update(
            (v, self.names[t]) for v, t in zip(self.region.outs, self.targets, strict=True)
        )
        taken = set(self.names)
        fresh = (n for n in fresh_names() if n not in taken)
        for eqn in self.region.graph.eqns:
            found.update((v, next(fresh)) for v in eqn.outs if v not in found)
        return found


def equations(graph: Graph, named: dict[Var, str]) -> list[str]:
    """The region's equations as comment lines; long regions are cut in the middle."""
    shown = [f"//   {show_eqn(e, named)}" for e in graph.eqns]
    if len(shown) > MAX_SHOWN:
        half = MAX_SHOWN // 2
        shown = [*shown[:half], f"//   ... {len(shown) - 2 * half} more ...", *shown[-half:]]
    return shown


def make_frame(region: Region, name: str, name_of: Callable[[Var], str]) -> Frame:
    """Number and name the tensors of a region."""
    aliases = dict(region.aliases)
    variables = list(region.ins)
    targets = []
    for position, v in enumerate(region.outs):
        if position in aliases:
            targets.append(aliases[position])
        else:
            targets.append(len(variables))
            variables.append(v)
    sources = {v: t for t, v in enumerate(region.ins)}
    wanted = [name_of(v) for v in region.ins]
    single = len(region.outs) - len(region.aliases) == 1
    wanted += ["result" if single else f"result_{n}" for n in range(len(variables) - len(wanted))]
    return Frame(
        region, name, unique(wanted), tuple(variables), frozenset(targets), sources, tuple(targets)
    )


def unique(wanted: Sequence[str]) -> tuple[str, ...]:
    """Distinct WGSL identifiers close to the names asked for."""
    chosen: dict[str, None] = {}
    for text in wanted:
        base = re.sub(r"[\W_]+", "_", text).strip("_").lower() or "x"
        base = f"x_{base}" if base[0].isdigit() or base in RESERVED else base
        name, count = base, 2
        while name in chosen:
            name, count = f"{base}_{count}", count + 1
        chosen[name] = None
    return tuple(chosen)


def independent(exprs: Sequence[Expr], symbols: Sequence[Expr]) -> list[Expr]:
    """The largest sub-expressions of `exprs` that involve none of `symbols` and are worth a name."""
    varies: dict[Expr, bool] = {}
    found: dict[Expr, None] = {}
    for root in exprs:
        for x in walk(root):
            if x not in varies:
                varies[x] = x in symbols or any(varies[a] for a in x.args)
        for x in walk(root):
            if varies[x]:
                found.update((a, None) for a in x.args if not varies[a])
        if not varies[root]:
            found[root] = None
    return [x for x in found if x.op not in ("const", "sym") and not x.dtype.is_integer]
