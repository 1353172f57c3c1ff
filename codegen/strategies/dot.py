"""Contractions: a tiled matrix product whose operands are views and whose result has an epilogue.

Invariant: the templates know tiles and coordinates only. They call `load_a`, `load_b` and
`store_out`, written here, which read zero beyond k and store nothing beyond the result. The axes of
the einsum are grouped into batch, m, n and k; the index simplifier turns the grouping back into
plain strides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from ir.dtypes import f32
from ir.graph import Eqn, Value
from ir.prims.contract import parse, roles

from .. import expr as ex
from ..choices import Decision
from ..expr import Expr, loads, stride, sym
from ..frame import Frame
from ..grid import ceil_div
from ..lower import Lowering, flat_index, unflatten
from ..matvec import is_matvec
from ..pieces import Piece, pieces
from ..profile import Profile
from ..program import KernelCode
from ..records import Matmul
from ..render import render
from ..tiles import (
    MatmulConfig,
    matmul_config,
    matmul_key,
    matmul_options,
)
from ..wgsl import choose_vec
from .base import LANE, Kernel, write_stores
from .functions import Branch, branched, function, guarded, with_lets

LIGHT = 8  # lines of a store function that a CPU driver compiles dozens of times in no time


@dataclass(frozen=True)
class Axes:
    """The einsum's letters by role, and their sizes; `a` and `b` as the tile sees them."""

    batch: str
    m: str
    n: str
    k: str
    a: Value
    b: Value
    a_letters: str
    b_letters: str
    out: str
    sizes: dict[str, int]

    def size(self, letters: str) -> int:
        return prod(self.sizes[c] for c in letters)


def axes_of(eqn: Eqn) -> Axes:
    """Roles of the axes; operands swap so that the innermost result axis is one of n."""
    a, b, out = parse(eqn.params["spec"])
    batch, m, n, k = roles(eqn.params["spec"])
    x, y = eqn.ins
    sizes = dict(zip(a, x.aval.shape, strict=True)) | dict(zip(b, y.aval.shape, strict=True))
    if out and out[-1] in m:
        return Axes(batch, n, m, k, y, x, b, a, out, sizes)
    return Axes(batch, m, n, k, x, y, a, b, out, sizes)


def matmul_of(frame: Frame) -> Matmul:
    """Sizes of the region's product, and how its operands lie in memory."""
    axes = axes_of(frame.region.root)
    probe = Operands(frame, axes, None)
    return Matmul(
        *(axes.size(letters) for letters in (axes.batch, axes.m, axes.n, axes.k)),
        probe.contiguous(axes.a, axes.a_letters, "m"),
        probe.contiguous(axes.b, axes.b_letters, "n"),
    )


def build_dot(frame: Frame, profile: Profile, config: MatmulConfig | None = None) -> Kernel:
    """A matmul kernel with the region's elementwise results as its epilogue.

    Without a `config` the fastest is taken.
    """
    if is_matvec(frame.region.root, profile):
        from .matvec import build_matvec

        return build_matvec(frame, profile)
    record = matmul_of(frame)
    decision = None if config else _decision(record, profile)
    config = config or matmul_config(record, profile)
    operands = Operands(frame, axes_of(frame.region.root), config.padded(record))
    hooks = _Hooks(operands, record, config.transposes)
    layout = ("n" if record.a_axis == "k" else "t") + ("n" if record.b_axis == "n" else "t")
    batch = f"{record.batch} of " if record.batch > 1 else ""
    tile = "{} x {}, {} deep".format(*config.tile)
    text = f"{batch}{record.m} x {record.n}, sums of {record.k}, layout {layout}, tile {tile}"
    wgsl = render(
        config.template,
        header=frame.header(text),
        bindings=frame.declarations(operands.vec) + "\n\n" + "\n\n".join(hooks.functions),
        k=record,
        c=config,
        h=hooks,
        name=frame.name,
    )
    code = KernelCode(
        frame.name, config.template, wgsl, (config.threads, 1, 1), frame.bindings(),
        config.shared_bytes(record), config.iterations(record),
    )  # fmt: skip
    return Kernel(code, config.grid(record), decision=decision)


def _decision(record: Matmul, profile: Profile) -> Decision:
    options = tuple(matmul_options(record, profile))
    return Decision((matmul_key(record),), options, matmul_config(record, profile).name)


class Operands:
    """Expressions of A, B and the epilogue at the coordinates the template passes."""

    def __init__(self, frame: Frame, axes: Axes, padded: tuple[int, int, int] | None) -> None:
        self.frame, self.axes = frame, axes
        self.m, self.n, self.k = axes.size(axes.m), axes.size(axes.n), axes.size(axes.k)
        self.padded = padded or (self.m, self.n, self.k)
        root = frame.region.root
        self.acc = sym("acc", None, None, f32)
        result = ex.cast(self.acc, root.out.aval.dtype)
        self.low = Lowering(frame.region.graph, frame.sources, {root.out: result})
        self.b = sym("b", 0, axes.size(axes.batch) - 1) if axes.batch else ex.index(0)
        self.vec = [1] * len(frame.vars)

    def contiguous(self, v: Value, letters: str, free: str) -> str:
        """The axis ("k" or `free`) along which four neighbours lie side by side in memory."""
        along_k = self._side_by_side(v, letters, "k", free)
        return free if not along_k and self._side_by_side(v, letters, free, "k") else "k"

    def _side_by_side(self, v: Value, letters: str, axis: str, other: str) -> bool:
        found = []
        for piece in self._pieces(v, letters):
            extents = {axis: self._extent(axis), other: self._extent(other)}
            extents["k"] = piece.end - piece.start
            x, y = (sym(n, 0, max(0, extents[r] - 1)) for n, r in (("x", axis), ("y", other)))
            read = loads(self._value(piece.value, letters, {axis: x, other: y}))
            found += [stride(load.args[0], x) == 1 for load in read]
        return bool(found) and all(found)

    def _pieces(self, v: Value, letters: str) -> list[Piece]:
        return pieces(self.low.definitions, v, letters, self.axes.k)

    def result_side_by_side(self) -> bool:
        """Whether four columns of the result are neighbours; axes of m may stand between those."""
        row, col = (sym(x, 0, max(0, n - 1)) for x, n in (("row", self.m), ("col4", self.n // 4)))
        start = ex.mul(col, 4)
        return ex.sub(self._flat(row, ex.add(start, LANE)), self._flat(row, start)) is LANE

    def _extent(self, axis: str) -> int:
        return {"m": self.m, "n": self.n, "k": self.k}[axis]

    def _value(self, v: Value, letters: str, at: dict[str, Expr]) -> Expr:
        """v at the flat positions `at` of each role ("m", "n", "k"), as f32."""
        axes = self.axes
        place = dict(zip(axes.batch, self._unflatten(self.b, axes.batch), strict=True))
        for role, names in (("m", axes.m), ("n", axes.n), ("k", axes.k)):
            if role in at:
                place.update(zip(names, self._unflatten(at[role], names), strict=True))
        return ex.cast(self.low.value(v, tuple(place[c] for c in letters)), f32)

    def _unflatten(self, flat: Expr, letters: str) -> Sequence[Expr]:
        return unflatten(flat, [self.axes.sizes[c] for c in letters])

    def tile_load(self, v: Value, letters: str, free: str, axis: str | None) -> list[Branch]:
        """Four elements along `axis`, or one where that is None, at padded coordinates (`free`, k);
        zero beyond k.

        One branch for each piece of the operand, in the order of k.
        """
        found = self._pieces(v, letters)
        padded = max(self.padded[2], self.k)
        ends = [piece.end for piece in found[:-1]] + [padded]
        return [
            self._piece_load(piece, end, letters, free, axis)
            for piece, end in zip(found, ends, strict=True)
        ]

    def _piece_load(
        self, piece: Piece, end: int, letters: str, free: str, axis: str | None
    ) -> Branch:
        """What a loader returns for k in piece.start .. end - 1."""
        padded = self.padded[0 if free == "m" else 1]
        at, flat, lets = {}, {}, ()
        for role, low, high in ((free, 0, padded), ("k", piece.start, end)):
            name = {"m": "row", "n": "col", "k": "k"}[role]
            if role == axis:
                quad = sym(f"{name}4", low // 4, max(0, ceil_div(high, 4) - 1))
                at[role] = self._clamp_quad(ex.sub(quad, low // 4), role, piece)
                lets = (f"let {quad.value} = {name} / 4u;",)
                start = ex.mul(quad, 4)
                flat[role] = start if self.k % 4 == 0 else ex.add(start, LANE)
            else:
                flat[role] = sym(name, low, high - 1)
                at[role] = ex.minimum(ex.sub(flat[role], low), self._extent_of(role, piece) - 1)
        value = self._value(piece.value, letters, at)
        value = ex.select(ex.lt(flat["k"], self.k), value, ex.const(0.0, f32))
        return Branch(end, value, lets)

    def _extent_of(self, axis: str, piece: Piece) -> int:
        return piece.end - piece.start if axis == "k" else self._extent(axis)

    def _clamp_quad(self, quad: Expr, axis: str, piece: Piece) -> Expr:
        extent = self._extent_of(axis, piece)
        if extent % 4 == 0:
            return ex.add(ex.mul(ex.minimum(quad, extent // 4 - 1), 4), LANE)
        return ex.minimum(ex.add(ex.mul(quad, 4), LANE), extent - 1)

    def epilogue(self, wide: bool) -> list[tuple[int, Expr, Expr]]:
        """(tensor, flat index of the first lane, value over the lanes) of each result."""
        row = sym("row", 0, max(0, self.m - 1))
        if wide:
            start = ex.mul(sym("col4", 0, self.n // 4 - 1), 4)
            col = ex.add(start, LANE)
        else:
            start = col = sym("col", 0, max(0, self.n - 1))
        found = []
        for v, t in zip(self.frame.region.outs, self.frame.targets, strict=True):
            flat, first = self._flat(row, col), self._flat(row, start)
            found.append((t, first, self.low.at(v, flat)))
        return found

    def _flat(self, row: Expr, col: Expr) -> Expr:
        """Flat index in the contraction's result."""
        axes = self.axes
        place = dict(zip(axes.batch, self._unflatten(self.b, axes.batch), strict=True))
        place.update(zip(axes.m, self._unflatten(row, axes.m), strict=True))
        place.update(zip(axes.n, self._unflatten(col, axes.n), strict=True))
        shape = [axes.sizes[c] for c in axes.out]
        return flat_index([place[c] for c in axes.out], shape)


class _Hooks:
    """What the matmul templates call; the functions behind it go above `main`."""

    def __init__(self, operands: Operands, record: Matmul, transposes: bool) -> None:
        """`transposes`: see `MatmulConfig`."""
        self.batched = record.batch > 1
        self.single_a = not transposes and record.a_axis == "m"
        self.single_b = not transposes and record.b_axis == "k"
        self.o, self.record = operands, record
        axes = operands.axes
        self.wide = operands.n % 4 == 0 and operands.result_side_by_side()
        a = operands.tile_load(
            axes.a, axes.a_letters, "m", None if self.single_a else record.a_axis
        )
        b = operands.tile_load(
            axes.b, axes.b_letters, "n", None if self.single_b else record.b_axis
        )
        self.stores = operands.epilogue(self.wide)
        self._choose_widths([branch.value for branch in (*a, *b)])
        head = ["b"] if self.batched else []
        frame, vec = operands.frame, operands.vec
        self.functions = [
            branched(frame, vec, "load_a", [*head, "row", "k"], "k", a, self._lane(self.single_a)),
            branched(frame, vec, "load_b", [*head, "k", "col"], "k", b, self._lane(self.single_b)),
            self._store_function(head),
        ]

    @staticmethod
    def _lane(single: bool) -> Expr | None:
        return None if single else LANE

    def _choose_widths(self, reads: list[Expr]) -> None:
        frame = self.o.frame
        exprs = [*reads, *(x for _, _, x in self.stores)] if self.wide else reads
        self.o.vec = choose_vec(exprs, LANE, len(frame.vars), frame.elements)
        for t, first, _ in self.stores:
            if self.wide and ex.divisible(first, 4) and frame.elements[t] % 4 == 0:
                self.o.vec[t] = 4

    def _store_function(self, head: list[str]) -> str:
        params = [f"{p}: u32" for p in (*head, "row", "col")]
        if self.wide:
            return function("store_out", [*params, "acc: vec4<f32>"], "", self._wide_body())
        scalar = function("store_one", [*params, "acc: f32"], "", self._scalar_body())
        calls = [
            f"  store_one({'b, ' if head else ''}row, col{f' + {n}u' if n else ''}, acc.{c});"
            for n, c in enumerate("xyzw")
        ]
        return scalar + "\n\n" + function("store_out", [*params, "acc: vec4<f32>"], "", calls)

    @property
    def light(self) -> bool:
        """Whether the epilogue is small enough to be compiled once per row of a tile."""
        return self.functions[-1].count("\n") <= LIGHT

    def _guard(self) -> str:
        m, n, _ = self.o.padded
        checks = [f"row < {self.o.m}u"] if m > self.o.m else []
        checks += [f"col < {self.o.n}u"] if n > self.o.n or not self.wide else []
        return " && ".join(checks)

    def _wide_body(self) -> list[str]:
        writer = self.o.frame.writer(self.o.vec)
        writer.declare_vector(self.o.acc)
        write_stores(self.o.frame, writer, self.stores, LANE)
        return guarded(with_lets(["let col4 = col / 4u;"], writer.lines), self._guard())

    def _scalar_body(self) -> list[str]:
        writer = self.o.frame.writer(self.o.vec)
        write_stores(self.o.frame, writer, self.stores, None)
        return guarded(writer.lines, self._guard())

    def a4(self, b: str, row: str, k: str) -> str:
        return f"load_a({self._args(b, row, k)})"

    def b4(self, b: str, k: str, col: str) -> str:
        if not self.single_b:
            return f"load_b({self._args(b, k, col)})"
        columns = (f"load_b({self._args(b, k, col + (f' + {n}u' if n else ''))})" for n in range(4))
        return f"vec4<f32>({', '.join(columns)})"

    def store4(self, b: str, row: str, col: str, acc: str) -> str:
        return f"store_out({self._args(b, row, col)}, {acc});"

    def _args(self, b: str, *rest: str) -> str:
        return ", ".join((b, *rest) if self.batched else rest)
