"""Configurations of the matmul kernels, and the arithmetic their templates need.

Invariant: a configuration is sizes alone, so equal ones render equal text; whatever is asked of one
is a method, and no caller tells the kinds apart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from codegen.grid import Grid, ceil_div, fold, split_lane, times4
from codegen.records import Matmul
from codegen.roll import declared


class MatmulConfig(ABC):
    """How the kernel called `template` covers a product.

    A kernel that `transposes` loads four neighbours in memory even where it wants those along the
    other axis; any other loads such an operand element by element.
    """

    template: ClassVar[str]
    transposes: ClassVar[bool] = True

    @property
    def name(self) -> str:
        """What a table of choices calls it."""
        return "{}x{}x{}".format(*self.tile)

    @property
    @abstractmethod
    def tile(self) -> tuple[int, int, int]:
        """Rows, columns and k that a workgroup covers in one iteration."""

    @property
    @abstractmethod
    def threads(self) -> int:
        """Invocations of a workgroup."""

    def tiles(self, record: Matmul) -> Grid:
        """Workgroups along (columns, rows, batch)."""
        m, n, _ = self.tile
        return ceil_div(record.n, n), ceil_div(record.m, m), record.batch

    def grid(self, record: Matmul) -> Grid:
        """Workgroups to dispatch; a grid beyond 65,535 along an axis is folded into two axes."""
        return fold(self.tiles(record))

    def padded(self, record: Matmul) -> tuple[int, int, int]:
        """(m, n, k) that the kernel runs over: hooks need no guard where it equals the record's."""
        m, n, k = self.tile
        return _up(record.m, m), _up(record.n, n), _up(record.k, k)

    def shared_bytes(self, record: Matmul) -> int:
        """Bytes of workgroup memory that the rendered kernel declares."""
        return 0

    def iterations(self, record: Matmul) -> int:
        """Dynamic loop iterations of one invocation, at most."""
        return ceil_div(record.k, self.tile[2])


def _up(size: int, step: int) -> int:
    return ceil_div(size, step) * step


@dataclass(frozen=True)
class BroadcastConfig(MatmulConfig):
    """One subgroup per workgroup, no workgroup memory: A goes round the lanes by broadcast.

    Each lane owns `rows` rows x 4 columns of out; an iteration advances k by `step`.
    """

    rows: int
    step: int
    lanes: int = 8

    template = "matmul_broadcast"

    @property
    def tile(self) -> tuple[int, int, int]:
        return self.rows, self.lanes * 4, self.step

    @property
    def threads(self) -> int:
        return self.lanes

    def iterations(self, record: Matmul) -> int:
        """As everywhere, and a rolled epilogue's, which loops over the rows."""
        return super().iterations(record) + self.rows

    @property
    def loads(self) -> int:
        """vec4 loads of A per lane and iteration."""
        return self.rows * self.step // (4 * self.lanes)

    def a_place(self, axis: str, load: int) -> tuple[str, str]:
        """(row, k) within the tile, as WGSL of `lane`, of what a lane fetches in one load of A."""
        span = self.rows // 4 if axis == "m" else self.rows
        minor, major = split_lane(load * self.lanes, self.lanes, span)
        return (times4(minor), major) if axis == "m" else (minor, times4(major))

    def a_value(self, axis: str, row: int, k: int) -> str:
        """WGSL of A[row, k] of the tile, taken from the lane that fetched it."""
        if axis == "m":
            chunk, part = k * (self.rows // 4) + row // 4, row % 4
        else:
            chunk, part = k // 4 * self.rows + row, k % 4
        return f"subgroupBroadcast(a{chunk // self.lanes}.{'xyzw'[part]}, {chunk % self.lanes}u)"


@dataclass(frozen=True)
class PanelConfig(MatmulConfig):
    """A subgroup owns `rows` rows of `quads` x 4 columns a lane and takes k by `depth`.

    Each of the `quads` panels is an array of its own: lavapipe keeps arrays of up to 64 vec4s on
    the stack and handles longer ones badly. Two of 64 were no faster than two of 32.
    """

    rows: int
    depth: int
    quads: int
    lanes: int = 8

    template = "matmul_panel"
    transposes = False

    @property
    def name(self) -> str:
        return f"{super().name} panel"

    @property
    def tile(self) -> tuple[int, int, int]:
        return self.rows, self.lanes * 4 * self.quads, self.depth

    @property
    def threads(self) -> int:
        return self.lanes

    @property
    def vectors(self) -> int:
        """vec4s of B that a lane keeps."""
        return self.depth * self.quads

    @property
    def declared(self) -> int:
        """vec4s that a panel is declared with."""
        return declared(self.depth)

    def padded(self, record: Matmul) -> tuple[int, int, int]:
        """Rows are never padded: the loop over them ends at the last."""
        return record.m, *super().padded(record)[1:]

    def kept_sums(self, record: Matmul) -> int:
        """vec4s of workgroup memory, where sums wait for the next panel."""
        return self.rows * self.lanes * self.quads if record.k > self.depth else 0

    def shared_bytes(self, record: Matmul) -> int:
        return 16 * self.kept_sums(record)

    def iterations(self, record: Matmul) -> int:
        """Of each panel its copy and the rows that pass by."""
        return super().iterations(record) * (1 + self.depth + self.rows)

    def a_loads(self, axis: str) -> int:
        """Loads of a lane for one row of A: of four elements along k, or of one."""
        return self.depth // (4 * self.lanes if axis == "k" else self.lanes)

    def a_place(self, axis: str, load: int) -> str:
        """k within the panel, as WGSL of `lane`, of what a lane fetches in one load of A."""
        width = 4 if axis == "k" else 1
        start = load * self.lanes * width
        step = "lane" if width == 1 else f"lane * {width}u"
        return f"{start}u + {step}" if start else step

    def a_value(self, axis: str, k: int) -> str:
        """WGSL of A[row, k] of the panel, taken from the lane that fetched it."""
        quad, part = (k // 4, f".{'xyzw'[k % 4]}") if axis == "k" else (k, "")
        return f"subgroupBroadcast(a{quad // self.lanes}{part}, {quad % self.lanes}u)"


@dataclass(frozen=True)
class Stage:
    """The copy of one operand's tile, `extent` rows or columns x `depth`, to workgroup memory.

    The tile is kept with k outermost: vec4s of four rows (or columns), `pitch` of them per k. An
    operand contiguous along k is transposed on the way, and padded so that its stores spread out.
    """

    extent: int
    depth: int
    threads: int
    along_k: bool

    @property
    def loads(self) -> int:
        return self.extent * self.depth // (4 * self.threads)

    @property
    def pitch(self) -> int:
        return self.extent // 4 + (1 if self.along_k else 0)

    @property
    def size(self) -> int:
        """vec4 elements of one buffer."""
        return self.depth * self.pitch

    @property
    def place(self) -> tuple[str, str]:
        """(row or column, k) within the tile, as WGSL of `t`, of a thread's first vec4."""
        span = self.depth // 4 if self.along_k else self.extent // 4
        quad, line = f"t % {span}u * 4u" if span > 1 else "0u", f"t / {span}u" if span > 1 else "t"
        return (line, quad) if self.along_k else (quad, line)

    def offset(self, load: int) -> tuple[int, int]:
        """(row or column, k) from a thread's first vec4 to the one of its `load`-th load."""
        span = self.depth // 4 if self.along_k else self.extent // 4
        lines = load * self.threads // span
        return (lines, 0) if self.along_k else (0, lines)


@dataclass(frozen=True)
class TileConfig(MatmulConfig):
    """Workgroup tile `bm` x `bn`, `bk` of k at a time in two buffers; a thread owns `tm` x `tn`."""

    bm: int
    bn: int
    bk: int
    tm: int
    tn: int

    template = "matmul_tile"

    @property
    def name(self) -> str:
        return f"{self.bm}x{self.bn}x{self.bk} by {self.tm}x{self.tn}"

    @property
    def tile(self) -> tuple[int, int, int]:
        """Of both buffers."""
        return self.bm, self.bn, 2 * self.bk

    @property
    def nx(self) -> int:
        """Threads side by side along the columns."""
        return self.bn // self.tn

    @property
    def ny(self) -> int:
        return self.bm // self.tm

    @property
    def threads(self) -> int:
        return self.nx * self.ny

    def stage_a(self, axis: str) -> Stage:
        return Stage(self.bm, self.bk, self.threads, axis == "k")

    def stage_b(self, axis: str) -> Stage:
        return Stage(self.bn, self.bk, self.threads, axis == "k")

    def shared_bytes(self, record: Matmul) -> int:
        return self._buffers(record.a_axis, record.b_axis)

    @property
    def most_shared_bytes(self) -> int:
        """Of the layout that pads both operands."""
        return self._buffers("k", "k")

    def _buffers(self, a_axis: str, b_axis: str) -> int:
        return 2 * 16 * (self.stage_a(a_axis).size + self.stage_b(b_axis).size)
