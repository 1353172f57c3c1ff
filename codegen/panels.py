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

from codegen.grid import ceil_div
from codegen.matmul_configs import PanelConfig
from codegen.profile import Profile
from codegen.records import Matmul

# Instructions, fitted to what Mesa 25.0's lavapipe took for 512 x 512 x 512.
_LOAD_A = {"k": 8.0, "m": 16.0}  # of one element of A, alone where rows lie side by side
_LOAD_B = {"n": 380.0, "k": 440.0}  # of four elements for each lane
_SUM = 260.0  # of four sums for each lane, to and from workgroup memory
_FMA, _SPREAD = 8.0, 1.5  # of four products and sums for each lane, of one broadcast
SIZES = ((32, 2), (64, 1), (32, 1))  # depth, vec4s of a lane: an array each
_ROWS = (128, 64, 32, 16, 8)


def panels(record: Matmul, profile: Profile) -> Iterator[tuple[PanelConfig, float]]:
    """Configurations that fit, and the instructions each is expected to take."""
    for depth, quads in SIZES:
        for rows in (rows for rows in _ROWS if rows < 2 * max(record.m, 8)):
            config = PanelConfig(rows, depth, quads, profile.subgroup)
            fits = config.shared_bytes(record) <= profile.workgroup_bytes
            if fits and not 0 < profile.loop_limit < config.iterations(record):
                yield config, _instructions(record, config, profile.units)


def _instructions(record: Matmul, config: PanelConfig, units: int) -> float:
    row = config.depth * (_LOAD_A[record.a_axis] + _SPREAD) + config.vectors * _FMA
    row += config.quads * _SUM
    panel = config.vectors * _LOAD_B[record.b_axis] + min(config.rows, record.m) * row
    columns, rows, batch = config.tiles(record)
    return ceil_div(columns * rows * batch, units) * ceil_div(record.k, config.depth) * panel
