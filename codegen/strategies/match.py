"""Scatters of few rows: each row looks through all indices for its own.

Invariant: the updates of a row are combined in the order of their positions, each column by one
invocation, so the result has the same bits on every run.

A workgroup handles one row, or the columns of it that its invocations can hold. It looks at as many
indices at a time as it has invocations; a bit mask says which of them name the row.
"""

from __future__ import annotations

from ir.dtypes import u32
from ir.graph import Eqn

from .. import expr as ex
from ..expr import Expr, add, mul, sym
from ..frame import Frame, independent
from ..lower import Lowering, flat_index, unflatten
from ..match_tiles import match_config
from ..profile import Profile
from ..render import render
from ..wgsl import Writer
from .base import (
    LANE,
    Kernel,
    at_indent,
    ceil_div,
    finish,
    group_index,
    shape_text,
    widths,
    write_stores,
)
from .functions import mentioned
from .totals import Total, total_of


def build_match(frame: Frame, eqn: Eqn, profile: Profile) -> Kernel:
    """The kernel of a scatter whose indices may repeat, and of the elementwise work behind it."""
    return _Body(frame, eqn, profile).kernel()


class _Body:
    def __init__(self, frame: Frame, eqn: Eqn, profile: Profile) -> None:
        self.frame, self.eqn = frame, eqn
        x, self.ids, self.updates = eqn.ins
        self.batch = self.ids.aval.ndim - 1
        self.shape = x.aval.shape
        self.tail = self.shape[self.batch + 1 :]
        self.width = self.tail[0] if self.tail else 1
        self.config = match_config(self.width, profile)
        self.wide = self.config.step == 4
        self.lane = LANE if self.wide else None
        self.count = self.ids.aval.shape[-1]
        self.groups = x.aval.size // self.width * self.config.blocks
        g = sym("g", 0, self.groups - 1)
        self.block = ex.mod(g, self.config.blocks)
        *self.lead, self.row = unflatten(
            ex.floordiv(g, self.config.blocks), self.shape[: self.batch + 1]
        )
        single = self.config.held == 1
        self.parts = [
            _Part(self, total_of(eqn, "total" if single else f"total_{n}"), n)
            for n in range(self.config.held)
        ]

    def place(self, column: Expr, lane: Expr) -> tuple[Expr, ...]:
        """Coordinates of the result at a column (and the three behind it)."""
        rest = (add(column, lane) if self.wide else column,) if self.tail else ()
        return *self.lead, self.row, *rest

    def kernel(self) -> Kernel:
        frame, m = self.frame, self.config
        exprs = [x for p in self.parts for x in (p.first, p.value, *(v for _, _, v in p.stores))]
        vec = widths(frame, exprs, self.wide)
        outer = frame.writer(vec)
        j, n = sym("j", 0, self.count - 1), sym("n", 0, self.count - 1)
        low = Lowering(frame.region.graph, frame.sources, {})
        asked = ex.eq(ex.cast(low.value(self.ids, (*self.lead, j)), u32), self.row)
        inside = [asked, *(p.value for p in self.parts)]
        for x in independent(inside, [j, n, LANE] if self.wide else [j, n]):
            outer.bind(x)
        outer.plan([p.first for p in self.parts], self.lane)
        names = [line for p in self.parts for line in p.names(vec)]
        before = [p.total.begin(outer, p.first, self.lane) for p in self.parts]
        tests = outer.child()
        tests.plan([asked])
        ask = tests.value(asked)
        body = dict(
            before=[*names, *outer.lines, *before],
            asks=[*at_indent(tests.lines, 4), ask],
            inner=[line for p in self.parts for line in p.steps(outer)],
            stores=[line for p in self.parts for line in p.writes(outer)],
        )
        told = f"{m.threads} invocations a row, each row looking through {self.count} indices"
        wgsl = render(
            "scatter_match",
            header=frame.header(f"{shape_text(self.eqn.out.aval)} results, {told}"),
            bindings=frame.declarations(vec),
            m=m,
            count=self.count,
            group=group_index(self.groups),
            guard=self.groups if self.groups > 65535 else 0,
            indexed=mentioned("g", [line for x in body.values() for line in x]),
            scans=mentioned("j", body["asks"]),
            finds=mentioned("n", body["inner"]),
            **body,
        )
        visits = self.count + ceil_div(self.count, m.threads) * (1 if m.ballot else 1 + m.words)
        memory = 0 if m.ballot else 4 * m.words
        return finish(
            frame,
            "scatter_match",
            wgsl,
            m.threads,
            self.groups,
            loop_iterations=visits,
            workgroup_bytes=memory,
        )


class _Part:
    """The n-th group of columns that an invocation holds."""

    def __init__(self, body: _Body, total: Total, n: int) -> None:
        self.body, self.total = body, total
        m, eqn, frame = body.config, body.eqn, body.frame
        first = add(mul(body.block, m.held * m.threads), sym("t", 0, m.threads - 1))
        self.unit = add(first, n * m.threads)
        self.partial = self.unit.hi >= body.width // m.step
        self.name = "t" if self.unit.op == "sym" else f"c{n}"
        last = body.width // m.step - 1
        known = sym(self.name, 0, last)  # as it is behind the guard
        here = body.place(mul(known if self.partial else self.unit, m.step), LANE)
        low = Lowering(frame.region.graph, frame.sources, {eqn.out: total.result()})
        near = body.place(mul(ex.minimum(self.unit, last), m.step), LANE)
        self.first = total.operand(low.value(eqn.ins[0], near))
        update = (*body.lead, sym("n", 0, body.count - 1), *here[body.batch + 1 :])
        self.value = total.operand(low.value(body.updates, update))
        flat = flat_index(here, body.shape)
        begin = ex.substitute(flat, {LANE: ex.index(0)}) if body.wide else flat
        pairs = zip(frame.region.outs, frame.targets, strict=True)
        self.stores = [(t, begin, low.at(v, flat)) for v, t in pairs]

    def names(self, vec: list[int]) -> list[str]:
        """The line that names its columns, if there is one: written in full, since what the kernel
        names besides may need this name and comes after it."""
        if not self.partial or self.name == "t":
            return []
        return [f"  let {self.name} = {self.body.frame.writer(vec).value(self.unit)};"]

    def steps(self, outer: Writer) -> list[str]:
        inner = outer.child()
        inner.plan([self.value], self.body.lane)
        text = self.total.step(inner, self.value, self.body.lane)
        return self._guarded([*inner.lines, text], 0)

    def writes(self, outer: Writer) -> list[str]:
        inner = outer.child()
        self.total.declare(inner, self.body.wide)
        write_stores(self.body.frame, inner, self.stores, self.body.lane)
        return self._guarded(inner.lines, 2)

    def _guarded(self, lines: list[str], indent: int) -> list[str]:
        """Within the row's columns, and in a block of its own for its names."""
        single = len(self.body.parts) == 1 and not self.partial
        if single:
            return at_indent(lines, indent)
        head = f"if ({self.name} < {self.body.width // self.body.config.step}u) {{"
        inside = [head if self.partial else "{", *at_indent(lines, 2), "}"]
        return [" " * indent + line for line in inside]


__all__ = ["build_match"]
