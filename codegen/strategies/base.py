"""The result of a strategy, and the small pieces that several strategies share.

Invariant: nothing here decides how a region is computed; a helper emits the same text for every
strategy that calls it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ir.dtypes import DType, f16, f32
from ir.graph import Aval, Eqn, Var

from .. import expr as ex
from ..choices import Decision
from ..expr import Expr
from ..frame import Frame
from ..grid import ceil_div, flat_id, fold, power_of_two, spare
from ..program import KernelCode
from ..wgsl import Writer, choose_vec, literal

Store = tuple[int, Expr, Expr]  # tensor, flat index (of the first lane), value

LANE = ex.sym("lane4", 0, 3)  # never spelled: vec4 mode writes its four values


@dataclass(frozen=True)
class Kernel:
    """A rendered kernel and the workgroups to dispatch.

    `order` are the tensors that it binds, as positions in the region's; () for all in order.
    `decision` is what its tile configuration was chosen from; None where there is no choice.
    """

    code: KernelCode
    grid: tuple[int, int, int]
    order: tuple[int, ...] = ()
    decision: Decision | None = None

    def bound(self, tensors: Sequence[Var]) -> Sequence[Var]:
        """The region's tensors in binding order."""
        return [tensors[n] for n in self.order] if self.order else tensors


def finish(frame: Frame, template: str, wgsl: str, threads: int, groups: int, **extra) -> Kernel:
    """A kernel of `groups` workgroups along one axis, folded into two where a dispatch needs it."""
    code = KernelCode(frame.name, template, wgsl, (threads, 1, 1), frame.bindings(), **extra)
    return Kernel(code, fold((groups, 1, 1)))


def group_index(groups: int) -> str:
    """WGSL of the flat workgroup id."""
    return flat_id((groups, 1, 1))


def guard(groups: int, threads: int, count: int) -> int:
    """`count` where some invocations have nothing to do, else 0."""
    return count if groups * threads != count or spare((groups, 1, 1)) else 0


def threads_for(count: int, most: int) -> int:
    """Invocations per workgroup for `count` of them in all."""
    return min(most, power_of_two(count))


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shape_text(aval: Aval) -> str:
    """A shape as headers write it: `8x128`, or `scalar`."""
    return "x".join(map(str, aval.shape)) or "scalar"


def widths(frame: Frame, values: list[Expr], wide: bool) -> list[int]:
    """Elements of each tensor's declaration: vec4 where all loads are aligned."""
    if not wide:
        return [1] * len(frame.vars)
    vec = choose_vec(values, LANE, len(frame.vars), frame.elements)
    for t in frame.targets:
        vec[t] = 4
    return vec


def at_indent(lines: Iterable[str], indent: int) -> list[str]:
    """Statements at `indent` blanks."""
    return [" " * indent + line.strip() for line in lines]


def write_stores(frame: Frame, writer: Writer, stores: Sequence[Store], lane: Expr | None) -> None:
    """Write `stores`. Where one overwrites an operand, all operands are read before the first."""
    writer.plan([], lane, stores)
    if frame.region.aliases and len(stores) > 1:
        for _, _, value in stores:
            if lane:
                writer.value4(value, lane)
            else:
                writer.value(value)
    for tensor, at, value in stores:
        if lane:
            writer.store4(tensor, at, value, lane)
        else:
            writer.store(tensor, at, value)


def guard_condition(index: str, groups: int, each: int, count: int, alone: bool) -> str:
    """WGSL condition under which an invocation has nothing to do, "" where it always has.

    `each` of `count` places belong to a workgroup. Where invocations are not `alone` but meet at
    barriers, the condition is the same for a whole workgroup.
    """
    if not guard(groups, each, count):
        return ""
    return f"{index} >= {count}u" if alone else f"{group_index(groups)} >= {groups}u"


# --- reductions -----------------------------------------------------------------------------------

COMBINE = {"add": "{0} + {1}", "mul": "{0} * {1}", "max": "max({0}, {1})", "min": "min({0}, {1})"}
_IN_PLACE = {"add": "{0} += {1};", "mul": "{0} *= {1};"}


def combined_into(monoid: str, target: str, value: str) -> str:
    """The WGSL statement that combines a value into a variable."""
    usual = f"{{0}} = {COMBINE[monoid]};"
    return _IN_PLACE.get(monoid, usual).format(target, value)


@dataclass(frozen=True)
class Accumulator:
    """A reduction's running value: a WGSL variable `name` of `dtype` combined by a monoid."""

    eqn: Eqn
    name: str
    dtype: DType
    start: str

    def combine(self, a: str, b: str) -> str:
        """WGSL of the monoid applied to two expressions."""
        return COMBINE[self.eqn.prim.monoid].format(a, b)

    def into(self, target: str, value: str) -> str:
        """The WGSL statement that combines a value into a variable."""
        return combined_into(self.eqn.prim.monoid, target, value)

    def fold_lanes(self, text: str) -> str:
        """WGSL that combines the four components of a vec4."""
        x, y, z, w = (f"{text}.{c}" for c in "xyzw")
        return self.combine(self.combine(x, y), self.combine(z, w))

    def result(self) -> Expr:
        """The finished value as the region sees it, in the equation's own dtype."""
        value = ex.sym(self.name, None, None, self.dtype)
        return ex.cast(value, self.eqn.out.aval.dtype)

    def operand(self, value: Expr) -> Expr:
        """An element, in the dtype that is accumulated."""
        return ex.cast(value, self.dtype)


def accumulators(eqns: Sequence[Eqn]) -> list[Accumulator]:
    """One accumulator a reduction; floats accumulate in f32."""
    found = []
    counts: dict[str, int] = {}
    for eqn in eqns:
        stem = {"add": "total", "max": "highest", "min": "lowest"}[eqn.prim.monoid]
        counts[stem] = counts.get(stem, 0) + 1
        name = stem if counts[stem] == 1 else f"{stem}_{counts[stem]}"
        dtype = f32 if eqn.out.aval.dtype in (f16, f32) else eqn.out.aval.dtype
        start = literal(eqn.prim.identity(dtype), dtype)
        found.append(Accumulator(eqn, name, dtype, start))
    return found


__all__ = [
    "COMBINE",
    "LANE",
    "Accumulator",
    "Kernel",
    "accumulators",
    "ceil_div",
    "combined_into",
    "counted",
    "finish",
    "group_index",
    "guard",
    "guard_condition",
    "shape_text",
    "threads_for",
    "write_stores",
]
