"""What every kernel of a region shares: tensors, their names and widths, bindings and header.

Invariant: binding numbers are the region's inputs in order, then its results, an in-place result
sharing the binding of the input it overwrites. Names are unique within the kernel and never
shadow a WGSL word.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ir.graph import Var
from ir.show import names as fresh_names

from .expr import Expr, walk
from .fuse import Region
from .header import header
from .names import Path, short_names, unique
from .program import Binding
from .wgsl import Writer, storage_type


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
            count = 2 if v.aval.dtype.packed else 4
            element = f"vec{count}<{element}>" if vec[t] == 4 else element
            lines.append(
                f"@group(0) @binding({t}) var<storage, {b.access}> {b.name}: array<{element}>;"
            )
        return "\n".join(lines)

    def writer(self, vec: Sequence[int], indent: str = "  ") -> Writer:
        packed = [v.aval.dtype.name if v.aval.dtype.packed else "" for v in self.vars]
        return Writer(list(self.names), list(vec), indent, packed)

    def header(self, config: str) -> str:
        """The comment above a kernel, and what it must enable."""
        return header(self.name, config, self.region, self.named(), [v.aval for v in self.vars])

    def named(self) -> dict[Var, str]:
        """Names for the header: tensors, `x'` for the new value of x, and all in between."""
        found = {v: self.names[t] for v, t in self.sources.items()}
        replaced = set(self.sources.values())
        for v, t in zip(self.region.outs, self.targets, strict=True):
            found[v] = self.names[t] + ("'" if t in replaced else "")
        taken = set(self.names)
        fresh = (n for n in fresh_names() if n not in taken)
        for eqn in self.region.graph.eqns:
            found.update((v, next(fresh)) for v in eqn.outs if v not in found)
        return found


def make_frame(region: Region, name: str, path_of: Callable[[Var], Path]) -> Frame:
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
    wanted = short_names([path_of(v) for v in region.ins])
    single = len(region.outs) - len(region.aliases) == 1
    wanted += ["result" if single else f"result_{n}" for n in range(len(variables) - len(wanted))]
    return Frame(
        region, name, unique(wanted), tuple(variables), frozenset(targets), sources, tuple(targets)
    )


def independent(exprs: Sequence[Expr], symbols: Sequence[Expr]) -> list[Expr]:
    """The largest sub-expressions of `exprs` without any of `symbols` that are worth a name."""
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
    return [x for x in found if x.op not in ("const", "sym") and _worth_naming(x)]


def _worth_naming(x: Expr) -> bool:
    """Plain index arithmetic is clearer, and as cheap, where it is used."""
    return not x.dtype.is_integer or any(y.op == "load" for y in walk(x))
