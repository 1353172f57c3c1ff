"""Tile configurations of the heavy kernels: the one place the compiler asks for a tiling.

Invariant: every name here is a frozen record or a pure function of (record, profile).
"""

from codegen.attention_configs import AttentionConfig, LaneConfig, side_by_side_fits
from codegen.attention_tiles import (
    attention_config,
    attention_grid,
    attention_key,
    attention_loop_iterations,
    attention_options,
    attention_shared_bytes,
    attention_workgroup,
)
from codegen.matmul_tiles import (
    BroadcastConfig,
    MatmulConfig,
    TileConfig,
    joint_configs,
    joint_key,
    joint_options,
    matmul_config,
    matmul_grid,
    matmul_key,
    matmul_loop_iterations,
    matmul_options,
    matmul_padded,
    matmul_seconds,
    matmul_shared_bytes,
    matmul_workgroup,
)
from codegen.panels import PanelConfig

__all__ = [
    "AttentionConfig",
    "BroadcastConfig",
    "LaneConfig",
    "MatmulConfig",
    "PanelConfig",
    "TileConfig",
    "attention_config",
    "attention_grid",
    "attention_key",
    "attention_loop_iterations",
    "attention_options",
    "attention_shared_bytes",
    "attention_workgroup",
    "joint_configs",
    "joint_key",
    "joint_options",
    "matmul_config",
    "matmul_grid",
    "matmul_key",
    "matmul_loop_iterations",
    "matmul_options",
    "matmul_padded",
    "matmul_seconds",
    "matmul_shared_bytes",
    "matmul_workgroup",
    "side_by_side_fits",
]
