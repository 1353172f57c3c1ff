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
from codegen.matmul_configs import BroadcastConfig, MatmulConfig, PanelConfig, TileConfig
from codegen.matmul_tiles import (
    joint_configs,
    joint_key,
    joint_options,
    matmul_config,
    matmul_key,
    matmul_options,
    matmul_seconds,
)

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
    "matmul_key",
    "matmul_options",
    "matmul_seconds",
    "side_by_side_fits",
]
