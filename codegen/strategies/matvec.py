"""Products of few rows with one or several matrices, and what leads up to the rows.

Invariant: every workgroup stages the same rows of A, so what A is computed from, sums over its
rows included, is computed by each workgroup on the way; the matrices lie side by side along the
grid. The template calls `load_a`, `load_b` and `store_out`, written here. Where each invocation
holds what it multiplies, nothing waits for a sum over the row: A is then a product of two factors,
one of which depends on such sums alone and is applied to the result (`factors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ir.dtypes import f32
from ir.graph import Eqn, Graph, Var

from .. import expr as ex
from ..choices import Decision
from ..expr import Expr, sym
from ..frame import Frame, independent
from ..grid import Grid, ceil_div, fold
from ..lower import Lowering
from ..matvec import MatvecConfig, matvec_config, matvec_key, matvec_options, roles_of
from ..profile import Profile
from ..program import KernelCode
from ..render import render
from ..wgsl import choose_vec
from .base import LANE, Accumulator, Kernel, Store, accumulators, write_stores
from .dot import Axes, Operands
from .factors import factors
from .functions import Branch, branched, function, guarded, loader, with_lets

EARLY = sym("early", None, None, f32)


@dataclass(frozen=True)
class Whole:
    """The kernel's sizes: `first` is where each matrix starts along the grid."""

    rows: int
    k: int
    batch: int
    first: tuple[int, ...]
    blocks: int
    chunks: int

    @property
    def tiles(self) -> Grid:
        return self.blocks, 1, self.batch

    @property
    def visits(self) -> int:
        """Vec4s, or elements, of a row of A."""
        return self.k // 4 if self.k % 4 == 0 else self.k


def build_matvec(frame: Frame, profile: Profile) -> Kernel:
    """A kernel of all contractions of a region, each with its results as its epilogue."""
    roots = _roots(frame.region.graph)
    axes = [_axes(root) for root in roots]
    stats = _Stats(frame, axes[0], roots)
    probe = _Part(frame, axes[0], roots[0], None, stats, 0)
    along_k = probe.contiguous(axes[0].b, axes[0].b_letters, "n") == "k"
    rows, k, batch = axes[0].size(axes[0].m), axes[0].size(axes[0].k), axes[0].size(axes[0].batch)
    columns = [a.size(a.n) for a in axes]
    itemsize = min(frame.vars[x.value].aval.dtype.itemsize for x in probe.matrix_loads())
    holdable = stats.may_be_late and factors(probe.rows_of_a(), stats.symbols) is not None
    config = matvec_config(rows, columns, k, batch, along_k, profile, itemsize, holdable)
    blocks = [ceil_div(n, config.columns) for n in columns]
    first = tuple(sum(blocks[:i]) for i in range(len(blocks)))
    whole = Whole(rows, k, batch, first, sum(blocks), ceil_div(k, config.chunk))
    hooks = _Hooks(frame, axes, roots, stats, config, whole)
    wgsl = render(
        config.template,
        header=frame.header(_text(whole, columns, config)),
        bindings=frame.declarations(hooks.vec) + "\n\n" + "\n\n".join(hooks.functions),
        k=whole,
        c=config,
        h=hooks,
        stats=stats,
        name=frame.name,
    )
    code = KernelCode(
        frame.name, config.template, wgsl, (config.threads, 1, 1), frame.bindings(),
        _shared_bytes(whole, config, stats), _iterations(whole, config, stats),
    )  # fmt: skip
    options = tuple(matvec_options(rows, k, along_k, profile, holdable))
    decision = Decision((matvec_key(rows, columns, k, batch, along_k),), options, config.name)
    return Kernel(code, fold(whole.tiles), decision=decision)


def _text(whole: Whole, columns: list[int], config: MatvecConfig) -> str:
    batch = f"{whole.batch} of " if whole.batch > 1 else ""
    widths = " + ".join(map(str, columns))
    layout = "t" if config.along_k else "n"
    lanes = f"{config.lanes} invocations for each 4 columns"
    return f"{batch}{whole.rows} x {widths}, sums of {whole.k}, layout n{layout}, {lanes}"


def _shared_bytes(whole: Whole, config: MatvecConfig, stats: _Stats) -> int:
    sums = len(stats.sums) * config.sum_bytes(whole.rows)
    return config.staged_bytes(whole.rows) + config.partial_bytes(whole.rows) + sums


def _iterations(whole: Whole, config: MatvecConfig, stats: _Stats) -> int:
    if config.held:
        return config.parts
    staging = ceil_div(whole.rows * config.chunk // 4, config.threads)
    walks = config.steps // config.unroll + staging
    rows = len(stats.sums) * whole.rows * ceil_div(whole.visits, config.threads)
    return whole.chunks * walks + rows + config.parts + config.bundles


def _roots(graph: Graph) -> list[Eqn]:
    return [e for e in graph.eqns if e.prim.kind == "contract"]


def _axes(eqn: Eqn) -> Axes:
    """The few rows as m."""
    who = roles_of(eqn)
    a, b = eqn.ins[who.vector], eqn.ins[1 - who.vector]
    return Axes(who.batch, who.m, who.n, who.k, a, b, *who.letters, who.out, who.sizes)


class _Stats:
    """Sums over the rows of A that A itself is computed from, such as those of a norm."""

    def __init__(self, frame: Frame, axes: Axes, roots: list[Eqn]) -> None:
        graph = frame.region.graph
        self.sums = accumulators([e for e in graph.eqns if e.prim.kind == "reduce"])
        self.k = axes.size(axes.k)
        self.wide = self.k % 4 == 0
        low = Lowering(graph, frame.sources, {})
        row, j = sym("row", 0, axes.size(axes.m) - 1), sym("j", 0, self.k // self.step - 1)
        at = ex.add(ex.mul(j, 4), LANE) if self.wide else j
        flat = ex.add(ex.mul(row, self.k), at)
        self.operands = [a.operand(low.at(a.eqn.ins[0], flat)) for a in self.sums]

    @property
    def step(self) -> int:
        return 4 if self.wide else 1

    @property
    def lane(self) -> Expr | None:
        return LANE if self.wide else None

    def local(self) -> dict[Var, Expr]:
        """What stands for each sum where A is read."""
        pairs = zip(self.sums, self.symbols, strict=True)
        return {a.eqn.out: ex.cast(x, a.eqn.out.aval.dtype) for a, x in pairs}

    @property
    def symbols(self) -> list[Expr]:
        """The sums of a row."""
        return [sym(f"{a.name}[row]", None, None, a.dtype) for a in self.sums]

    @property
    def may_be_late(self) -> bool:
        """Whether invocations can take them while they multiply, each its own four elements."""
        return not self.sums or self.wide

    def start(self, a: Accumulator) -> str:
        return f"vec4<f32>({a.start})" if self.wide else a.start

    def folded(self, a: Accumulator) -> str:
        """WGSL of an invocation's share."""
        return a.fold_lanes("part") if self.wide else "part"


class _Part(Operands):
    """One of the matrices, with the results that are computed from its product."""

    def __init__(
        self, frame: Frame, axes: Axes, root: Eqn, config: MatvecConfig | None, stats: _Stats,
        chunks: int,
    ) -> None:  # fmt: skip
        self.frame, self.axes = frame, axes
        self.m, self.n, self.k = axes.size(axes.m), axes.size(axes.n), axes.size(axes.k)
        self.padded = self.m, self.n, self.k
        if config:
            columns = ceil_div(self.n, config.columns) * config.columns
            self.padded = self.m, columns, chunks * config.chunk
        self.acc = sym("acc", None, None, f32)
        result = ex.cast(self.acc, root.out.aval.dtype)
        local = {root.out: result, **stats.local()}
        self.low = Lowering(frame.region.graph, frame.sources, local)
        self.b = sym("b", 0, axes.size(axes.batch) - 1) if axes.batch else ex.index(0)
        reached = _reached(frame.region.graph, root)
        pairs = zip(frame.region.outs, frame.targets, strict=True)
        self.results = [(v, t) for v, t in pairs if v in reached]

    def rows_of_a(self) -> list[Branch]:
        """Four elements of A along k."""
        return self.tile_load(self.axes.a, self.axes.a_letters, "m", "k")

    def matrix(self, along: str) -> list[Branch]:
        """Four elements of the matrix along "k" or "n"."""
        return self.tile_load(self.axes.b, self.axes.b_letters, "n", along)

    def matrix_loads(self) -> list[Expr]:
        """What the matrix is read from."""
        return [x for branch in self.matrix("n") for x in ex.loads(branch.value)]

    def epilogue(self, wide: bool) -> list[tuple[int, Expr, Expr]]:
        """(tensor, flat index of the first lane, value over the lanes) of each own result."""
        row = sym("row", 0, self.m - 1)
        start = ex.mul(sym("col4", 0, self.n // 4 - 1), 4) if wide else sym("col", 0, self.n - 1)
        col = ex.add(start, LANE) if wide else start
        flat, first = self._flat(row, col), self._flat(row, start)
        return [(t, first, self.low.at(v, flat)) for v, t in self.results]


def _reached(graph: Graph, root: Eqn) -> set[Var]:
    """What is computed from the result of an equation."""
    found = {root.out}
    for eqn in graph.eqns:
        if found.intersection(eqn.ins):
            found.update(eqn.outs)
    return found


def _early(acc: Expr, stores: Sequence[Sequence[Store]]) -> Expr | None:
    """What the one result of one product is computed from beside it, if that is one number; it can
    be read before the product is there."""
    if len(stores) != 1 or len(stores[0]) != 1:
        return None
    ((_, _, value),) = stores[0]
    found = [x for x in independent([value], [acc]) if ex.loads(x)]
    return found[0] if len(found) == 1 and found[0].dtype is f32 else None


class _Hooks:
    """What the template calls; the functions behind it go above `main`."""

    def __init__(
        self, frame: Frame, axes: list[Axes], roots: list[Eqn], stats: _Stats,
        config: MatvecConfig, whole: Whole,
    ) -> None:  # fmt: skip
        self.frame, self.stats, self.batched = frame, stats, whole.batch > 1
        self.parts = [
            _Part(frame, a, r, config, stats, whole.chunks)
            for a, r in zip(axes, roots, strict=True)
        ]
        self.head = ["b"] if self.batched else []
        along = "k" if config.along_k else "n"
        a, self.late = self.parts[0].rows_of_a(), None
        if config.held:
            a, self.late = factors(a, stats.symbols)
        reads = [p.matrix(along) for p in self.parts]
        self.wide = [p.n % 4 == 0 and p.result_side_by_side() for p in self.parts]
        stores = [p.epilogue(w) for p, w in zip(self.parts, self.wide, strict=True)]
        values = [branch.value for branches in (a, *reads) for branch in branches]
        self.vec = self._widths(values, stores)
        self.early = _early(self.parts[0].acc, stores) if config.held and self.wide[0] else None
        self.functions = [
            *(self._stat(n, x) for n, x in enumerate(stats.operands)),
            *self._held_functions(config.held),
            branched(frame, self.vec, "load_a", [*self.head, "row", "k"], "k", a, LANE),
        ]
        for i, branches in enumerate(reads):
            name, params = self._name("load_b", i), [*self.head, "k", "col"]
            self.functions.append(branched(frame, self.vec, name, params, "k", branches, LANE))
            self.functions.append(self._store(i, stores[i]))

    def _held_functions(self, held: bool) -> list[str]:
        """The factor of a row, and what the results are computed from beside the product."""
        found = []
        if held and self.stats.sums:
            names = [a.name for a in self.stats.sums]
            plain = (
                sym(n, None, None, a.dtype) for n, a in zip(names, self.stats.sums, strict=True)
            )
            value = ex.substitute(self.late, dict(zip(self.stats.symbols, plain, strict=True)))
            writer = self.frame.writer(self.vec)
            text = writer.value(value)
            body = [*writer.lines, f"  return {text};"]
            found.append(function("a_scale", [f"{n}: f32" for n in names], "f32", body))
        if self.early:
            params = [*self.head, "row", "col"]
            lets = ["let col4 = col / 4u;"]
            found.append(loader(self.frame, self.vec, "load_early", params, lets, self.early, LANE))
        return found

    def _name(self, stem: str, i: int) -> str:
        return stem if len(self.parts) == 1 else f"{stem}_{i}"

    def _widths(self, reads: list[Expr], stores: list) -> list[int]:
        frame = self.frame
        wide = [s for w, part in zip(self.wide, stores, strict=True) if w for s in part]
        exprs = [*reads, *(x for _, _, x in wide)]
        exprs += self.stats.operands if self.stats.wide else []
        vec = choose_vec(exprs, LANE, len(frame.vars), frame.elements)
        for t, first, _ in wide:
            if ex.divisible(first, 4) and frame.elements[t] % 4 == 0:
                vec[t] = 4
        return vec

    def _stat(self, n: int, value: Expr) -> str:
        return loader(
            self.frame, self.vec, f"load_{self.stats.sums[n].name}", ["row", "j"], [], value,
            self.stats.lane,
        )  # fmt: skip

    def _store(self, i: int, stores: list) -> str:
        part, name = self.parts[i], self._name("store", i)
        params = [f"{p}: u32" for p in (*self.head, "row", "col")]
        guard = f"col < {part.n}u" if part.padded[1] > part.n or not self.wide[i] else ""
        writer = self.frame.writer(self.vec)
        if self.early:
            writer.declare_vector(EARLY)
            stores = [(t, at, ex.substitute(x, {self.early: EARLY})) for t, at, x in stores]
            params.append("early: vec4<f32>")
        if self.wide[i]:
            writer.declare_vector(part.acc)
            write_stores(self.frame, writer, stores, LANE)
            body = guarded(with_lets(["let col4 = col / 4u;"], writer.lines), guard)
            return function(f"{name}_out", [*params, "acc: vec4<f32>"], "", body)
        write_stores(self.frame, writer, stores, None)
        one = function(f"{name}_one", [*params, "acc: f32"], "", guarded(writer.lines, guard))
        before = "b, " if self.batched else ""
        calls = [
            f"  {name}_one({before}row, col{f' + {n}u' if n else ''}, acc.{c});"
            for n, c in enumerate("xyzw")
        ]
        return one + "\n\n" + function(f"{name}_out", [*params, "acc: vec4<f32>"], "", calls)

    def a4(self, b: str, row: str, k: str) -> str:
        return f"load_a({self._args(b, row, k)})"

    def b4(self, i: int, b: str, k: str, col: str) -> str:
        return f"{self._name('load_b', i)}({self._args(b, k, col)})"

    def store4(self, i: int, b: str, row: str, col: str, acc: str) -> str:
        early = ", early" if self.early else ""
        return f"{self._name('store', i)}_out({self._args(b, row, col)}{early}, {acc});"

    def early4(self, b: str, row: str, col: str) -> str:
        part, text = self.parts[0], f"early = load_early({self._args(b, row, col)});"
        return f"if (col < {part.n}u) {{ {text} }}" if part.padded[1] > part.n else text

    def _args(self, b: str, *rest: str) -> str:
        return ", ".join((b, *rest) if self.batched else rest)
