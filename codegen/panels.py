"""The matmul kernel of a CPU driver that keeps private arrays on the stack: panels of B.

Invariant: a configuration is a pure function of (record, profile); its workgroup memory fits the
profile and its loops stay under `loop_limit`.

Every load and store costs such a driver a branch per lane and component, and an accumulator that
lives across a loop a blend, while a product of registers with what lies on the stack is one
instruction. So B is read once per workgroup and kept, one row of A at a time is spread over the
lanes, and all loops are rolled: the code is as long as the panel is large, whatever the product.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codegen.grid import Grid, ceil_div
from codegen.profile import Profile
from codegen.records import Matmul

# Instructions, fitted to what Mesa 25.0's lavapipe took for 512 x 512 x 512.
_LOAD_A = {"k": 8.0, "m": 16.0}  # of one element of A, alone where rows lie side by side
_LOAD_B = {"n": 380.0, "k": 440.0}  # of four elements for each lane
_SUM = 260.0  # of four sums for each lane, to and from workgroup memory
_FMA, _SPREAD = 8.0, 1.5  # of four products and sums for each lane, of one broadcast
SIZES = ((32, 2), (64, 1), (32, 1))  # depth, vec4s of a lane: an array each
_ROWS = (128, 64, 32, 16, 8)


@dataclass(frozen=True)
class PanelConfig:
    """A subgroup owns `rows` rows of `quads` x 4 columns a lane and takes k by `depth`.

    Each of the `quads` panels is an array of its own: lavapipe keeps arrays of up to 64 vec4s on
    the stack and handles longer ones badly. Two of 64 were no faster than two of 32.
    """

    rows: int
    depth: int
    quads: int
    lanes: int = 8

    template = "matmul_panel"

    @property
    def name(self) -> str:
        return "{}x{}x{} panel".format(*self.tile)

    @property
    def tile(self) -> tuple[int, int, int]:
        """Rows, columns and k that a workgroup covers in one iteration."""
        return self.rows, self.lanes * 4 * self.quads, self.depth

    @property
    def threads(self) -> int:
        return self.lanes

    @property
    def vectors(self) -> int:
        """vec4s of B that a lane keeps."""
        return self.depth * self.quads

    def tiles(self, record: Matmul) -> Grid:
        """Workgroups along (columns, rows, batch)."""
        m, n, _ = self.tile
        return ceil_div(record.n, n), ceil_div(record.m, m), record.batch

    def shared(self, record: Matmul) -> int:
        """vec4s of workgroup memory, where sums wait for the next panel."""
        return self.rows * self.lanes * self.quads if record.k > self.depth else 0

    def iterations(self, record: Matmul) -> int:
        """Dynamic loop iterations of an invocation."""
        return ceil_div(record.k, self.depth) * (1 + self.depth + self.rows)

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


def panels(record: Matmul, profile: Profile) -> Iterator[tuple[PanelConfig, float]]:
    """Configurations that fit, and the instructions each is expected to take."""
    for depth, quads in SIZES:
        for rows in (rows for rows in _ROWS if rows < 2 * max(record.m, 8)):
            config = PanelConfig(rows, depth, quads, profile.subgroup)
            fits = 16 * config.shared(record) <= profile.workgroup_bytes
            if fits and not 0 < profile.loop_limit < config.iterations(record):
                yield config, _instructions(record, config, profile.units)


def _instructions(record: Matmul, config: PanelConfig, units: int) -> float:
    row = config.depth * (_LOAD_A[record.a_axis] + _SPREAD) + config.vectors * _FMA
    row += config.quads * _SUM
    panel = config.vectors * _LOAD_B[record.b_axis] + min(config.rows, record.m) * row
    columns, rows, batch = config.tiles(record)
    return ceil_div(columns * rows * batch, units) * ceil_div(record.k, config.depth) * panel
