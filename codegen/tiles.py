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
    bundled_bytes,
)
from codegen.matmul_tiles import (
    BroadcastConfig,
    MatmulConfig,
    TileConfig,
    joint_configs,
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
    "MatmulConfig",
    "TileConfig",
    "attention_config",
    "attention_grid",
    "attention_loop_iterations",
    "attention_shared_bytes",
    "attention_workgroup",
    "bundled_bytes",
    "joint_configs",
    "matmul_config",
    "matmul_grid",
    "matmul_loop_iterations",
    "matmul_padded",
    "matmul_seconds",
    "matmul_shared_bytes",
    "matmul_workgroup",
]
