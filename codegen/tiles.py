"""Tile configurations of the heavy kernels: the one place the compiler asks for a tiling.

Invariant: every name here is a frozen record or a pure function of (record, profile).
"""

from codegen.attention_tiles import (
    AttentionConfig,
    LaneConfig,
    attention_config,
    attention_grid,
    attention_loop_iterations,
    attention_shared_bytes,
    attention_workgroup,
)
from codegen.matmul_tiles import (
    BroadcastConfig,
    TileConfig,
    matmul_config,
    matmul_grid,
    matmul_loop_iterations,
    matmul_padded,
    matmul_seconds,
    matmul_shared_bytes,
    matmul_workgroup,
)

__all__ = [
    "AttentionConfig",
    "BroadcastConfig",
    "LaneConfig",
    "TileConfig",
    "attention_config",
    "attention_grid",
    "attention_loop_iterations",
    "attention_shared_bytes",
    "attention_workgroup",
    "matmul_config",
    "matmul_grid",
    "matmul_loop_iterations",
    "matmul_padded",
    "matmul_seconds",
    "matmul_shared_bytes",
    "matmul_workgroup",
]
