"""What a configuration of an attention kernel (forward, dq, dk and dv) means in WGSL and in bytes.

Invariant: every number follows from the configuration and a record. "Rows" are what a workgroup
owns, "columns" what it loops over: queries and keys for "fwd" and "dq", keys and queries for "dkv".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from codegen.grid import Grid, ceil_div, plus, split_lane, times4
from codegen.profile import Profile
from codegen.records import Attention
from codegen.roll import declared


class _Sides:
    """What rows and columns mean for each kernel, and the WGSL that follows from it."""

    kernel: str
    block: tuple[int, int]
    head_dim: int

    @property
    def template(self) -> str:
        return f"attention_{self.kernel}"

    @property
    def d4(self) -> int:
        """vec4s per head."""
        return self.head_dim // 4

    def scale(self, record: Attention) -> str:
        """WGSL literal of the record's scale."""
        return _f32(record.scale)

    def scale2(self, record: Attention) -> str:
        """WGSL literal of scale * log2(e): exp2 of scores so scaled is exp of the scaled scores."""
        return _f32(record.scale * math.log2(math.e))

    def lengths(self, record: Attention) -> tuple[int, int]:
        """Lengths of the rows' and of the columns' sequence."""
        sizes = record.q_len, record.kv_len
        return sizes[::-1] if self.kernel == "dkv" else sizes

    def tiles(self, record: Attention) -> Grid:
        """Workgroups along (row blocks, heads that own rows, batch)."""
        heads = record.kv_heads if self.kernel == "dkv" else record.heads
        return ceil_div(self.lengths(record)[0], self.block[0]), heads, record.batch

    def row0(self, record: Attention) -> str:
        """WGSL of a workgroup's first row; under a causal mask the longest rows start first."""
        if record.causal and self.kernel != "dkv" and self.tiles(record)[0] > 1:
            return f"({self.tiles(record)[0] - 1}u - tile.x) * {self.block[0]}u"
        return f"tile.x * {self.block[0]}u"

    def row(self, record: Attention, text: str) -> str:
        """WGSL of a row that is safe to read."""
        return _within(text, self.lengths(record)[0], self.block[0])

    def column(self, record: Attention, text: str) -> str:
        """WGSL of a column that is safe to read."""
        return _within(text, self.lengths(record)[1], self.block[1])

    def ragged_rows(self, record: Attention) -> bool:
        """Whether the last block has rows that must not be stored."""
        return self.lengths(record)[0] % self.block[0] != 0

    def span(self, record: Attention) -> tuple[str, str]:
        """WGSL of the first column and of the end of the columns that see the rows from `row0`."""
        rows, columns = self.lengths(record)
        ahead = record.kv_len - record.q_len
        if not record.causal:
            return "0u", f"{columns}u"
        if self.kernel == "dkv":
            first = f"row0 + {-ahead}u" if ahead < 0 else f"max(row0, {ahead}u) - {ahead}u"
            first = f"({first})" if ahead else "row0"
            return f"{first} / {self.block[1]}u * {self.block[1]}u", f"{columns}u"
        last = f"row0 + {self.block[0] + max(0, ahead)}u"
        last = f"max({last}, {-ahead}u) - {-ahead}u" if ahead < 0 else last
        return "0u", f"min({last}, {columns}u)"

    def seen(self, record: Attention, row: str, column: str) -> list[str]:
        """WGSL conditions on the places of a row and a column under which their score counts."""
        length = self.lengths(record)[1]
        tail = [f"{column} < {length}u"] if length % self.block[1] else []
        if not record.causal:
            return tail
        if self.kernel != "dkv":  # a stored query sees no key beyond the last one
            return [_sees(record, row, column)]
        return [_sees(record, column, row), *tail]

    @property
    def segments(self) -> tuple[str, str]:
        """Names of the segments of rows and of columns."""
        names = "query_segment", "key_segment"
        return names[::-1] if self.kernel == "dkv" else names

    def passes_over(self, record: Attention) -> tuple[bool, bool]:
        """Whether there may be columns of the span before and behind all segments of the rows."""
        early = self.kernel == "dkv" and record.causal
        late = self.kernel != "dkv" and record.causal
        return record.ordered and not early, record.ordered and not late


def _f32(value: float) -> str:
    text = str(np.float32(value))
    return text if "." in text or "e" in text else text + ".0"


def _sees(record: Attention, query: str, key: str) -> str:
    ahead = record.kv_len - record.q_len
    if ahead < 0:
        return f"{key} + {-ahead}u <= {query}"
    return f"{key} <= {plus(query, ahead)}"


def _within(text: str, length: int, block: int) -> str:
    return f"min({text}, {length - 1}u)" if length % block else text


@dataclass(frozen=True)
class LaneConfig(_Sides):
    """One subgroup per workgroup: each lane owns `rows` whole rows, `cols` columns at a time.

    Where arrays of an invocation are as fast as registers (`arrays`), its rows lie in them, so that
    a loop loads and stores them: written out, loads are most of what the driver compiles.
    """

    rows: int
    cols: int
    head_dim: int
    kernel: str
    lanes: int = 8
    arrays: bool = False

    form = "lanes"

    @property
    def name(self) -> str:
        return f"{self.rows} rows a lane by {self.cols}"

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a workgroup and iteration."""
        return self.rows * self.lanes, self.cols

    @property
    def threads(self) -> int:
        return self.lanes

    @property
    def shared_bytes(self) -> int:
        return 0

    @property
    def loads(self) -> int:
        """vec4 loads per lane that fetch all columns of one operand."""
        return ceil_div(self.cols * self.d4, self.lanes)

    @property
    def declared(self) -> int:
        """vec4s that an array of a lane's rows is declared with."""
        return declared(self.rows * self.d4)

    def owned(self, name: str, row: int, d: int) -> str:
        """WGSL of the vec4 at (row, 4 * d) of the lane's rows of the operand."""
        return f"{name}s[{row * self.d4 + d}]" if self.arrays else f"{name}{row}_{d}"

    def places_rows(self, record: Attention) -> bool:
        """Whether anything but the loops over arrays asks where a row lies."""
        return not self.arrays or record.segments or bool(self.seen(record, "row", "column"))

    def column(self, record: Attention, text: str) -> str:
        """WGSL of a column that is safe to read: the last load may have lanes to spare."""
        if self.cols * self.d4 % self.lanes:
            return f"min({text}, {self.lengths(record)[1] - 1}u)"
        return super().column(record, text)

    def place(self, load: int) -> tuple[str, str]:
        """(column, d) as WGSL of `lane` that a lane fetches in its `load`-th load."""
        d, column = split_lane(load * self.lanes, self.lanes, self.d4)
        return column, times4(d)

    def own(self, record: Attention, at: str) -> str:
        """WGSL of the column whose one value a lane fetches, of those from `at` on."""
        column = f"{at} + lane" if self.cols >= self.lanes else f"{at} + lane % {self.cols}u"
        return self.column(record, column if self.cols > 1 else at)

    def value(self, name: str, column: int, d: int) -> str:
        """WGSL of the vec4 at (column, 4 * d), from the lane that fetched it into `name`<load>."""
        chunk = column * self.d4 + d
        return f"subgroupBroadcast({name}{chunk // self.lanes}, {chunk % self.lanes}u)"


@dataclass(frozen=True)
class AttentionConfig(_Sides):
    """Blocks of `br` rows x `bc` columns in workgroup memory; a thread owns `tr` x `tc` scores.

    A row's threads lie in one subgroup of `subgroup` invocations and pass each other scores by
    shuffles; where that is 0 they do so through workgroup memory.
    """

    br: int
    bc: int
    tr: int
    tc: int
    head_dim: int
    kernel: str
    subgroup: int

    form = "tile"

    @property
    def name(self) -> str:
        return f"{self.br}x{self.bc} by {self.tr}x{self.tc}"

    @property
    def block(self) -> tuple[int, int]:
        """Rows and columns of a workgroup and iteration."""
        return self.br, self.bc

    @property
    def nx(self) -> int:
        """Threads that share a row."""
        return self.bc // self.tc

    @property
    def ny(self) -> int:
        return self.br // self.tr

    @property
    def threads(self) -> int:
        return self.nx * self.ny

    @property
    def turned(self) -> bool:
        """Whether the vec4s of a staged row r lie in the order d ^ (r % 8): neighbouring rows then
        differ in bank without room between them."""
        return self.subgroup > 0 and self.d4 % 8 == 0

    def quad(self, d: str, row: str, ahead: int = 0) -> str:
        """WGSL of where the vec4 `d` of the row `ahead` of `row` lies within what is staged."""
        if not self.turned:
            return d
        row = f"({plus(row, ahead)})" if ahead % 8 else row
        return f"({d} ^ ({row} % 8u))"

    def step(self, u: int, row: str, ahead: int) -> str:
        """WGSL of where the u-th vec4 from d on lies, in the row `ahead` of `row`; 8 divides d."""
        if not self.turned:
            return plus(f"{row} * {self.pitch}u + d", ahead * self.pitch + u)
        place = f"{row} * {self.pitch}u + d + {self.quad(f'{u}u', row, ahead)}"
        return plus(place, ahead * self.pitch)

    @property
    def pitch(self) -> int:
        """vec4s from one staged row to the next: odd, so that neighbouring rows differ in bank."""
        return self.d4 if self.turned else self.d4 | 1

    @property
    def score_pitch(self) -> int:
        return self.bc // 4 | 1

    @property
    def own4(self) -> int:
        """vec4s of head_dim per row that a thread accumulates: every nx-th from its own."""
        return ceil_div(self.d4, self.nx)

    def loads(self, rows: int) -> int:
        """vec4s per thread that stage `rows` rows of one operand."""
        return ceil_div(rows * self.d4, self.threads)

    def partial(self, rows: int, load: int) -> bool:
        """Whether some threads have nothing left to stage in their `load`-th vec4."""
        return (load + 1) * self.threads > rows * self.d4

    @property
    def unroll(self) -> int:
        """vec4 steps of head_dim per loop iteration of the score product."""
        return next(u for u in (8, 4, 3, 2, 1) if self.d4 % u == 0)

    @property
    def quads(self) -> int:
        """Groups of four columns per loop iteration of the accumulation."""
        return 2 - self.bc // 4 % 2

    @property
    def buffers(self) -> dict[str, int]:
        """vec4s of each tile in workgroup memory."""
        rows, columns, scores = _TILES[self.kernel]
        sizes = dict.fromkeys(rows, self.br * self.pitch)
        sizes |= dict.fromkeys(columns, self.bc * self.pitch)
        return sizes | ({} if self.subgroup else dict.fromkeys(scores, self.br * self.score_pitch))

    @property
    def shared_bytes(self) -> int:
        """Bytes of workgroup memory the kernel declares."""
        reduce = 4 * self.br * self.nx if self.kernel == "fwd" and not self.subgroup else 0
        return 16 * sum(self.buffers.values()) + reduce


# Tiles by kernel: operands of the rows, operands of the columns, and weights of their pairs. Those
# of the backward kernels are named by what they are for, and shared where both run side by side.
_TILES = {
    "fwd": (("q",), ("k", "v"), ("p",)),
    "dq": (("row_a", "row_b"), ("column_a", "column_b"), ("ds",)),
    "dkv": (("row_a", "row_b"), ("column_a", "column_b"), ("p", "ds")),
}


def bundled_bytes(configs: Sequence[AttentionConfig]) -> int:
    """Workgroup memory of kernels in one module, which share tiles of equal names."""
    sizes: dict[str, int] = {}
    for config in configs:
        for name, size in config.buffers.items():
            sizes[name] = max(size, sizes.get(name, 0))
    return 16 * sum(sizes.values())


def side_by_side_fits(configs: Sequence[AttentionConfig], profile: Profile) -> bool:
    """Whether kernels of these configurations can share a module: workgroups of one size."""
    alike = len({c.threads for c in configs}) == 1
    return alike and bundled_bytes(configs) <= profile.workgroup_bytes


AnyAttention = LaneConfig | AttentionConfig
