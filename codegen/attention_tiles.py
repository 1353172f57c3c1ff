"""Which configuration an attention kernel (forward, dq, dk and dv) gets.

Invariant: a configuration is a pure function of (record, profile, kernel); its workgroup memory and
invocations fit the profile.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from codegen.attention_configs import AnyAttention, AttentionConfig, LaneConfig
from codegen.grid import Grid, ceil_div, fold
from codegen.profile import Profile
from codegen.records import Attention

Block = tuple[int, int, int, int]

# (br, bc, tr, tc), largest first: the register tile shrinks with what workgroup memory allows.
BLOCKS: tuple[Block, ...] = (
    (64, 64, 4, 4),
    (64, 32, 4, 4),
    (32, 32, 4, 2),  # twice the threads of 4 x 4, a fifth to a third faster on an H100
    (16, 32, 2, 2),  # of heads of 128: half as long again with 32 x 16
    (32, 16, 4, 2),
    (16, 16, 2, 2),
    (16, 8, 2, 1),
    (8, 8, 1, 1),
    (8, 4, 1, 1),
    (4, 4, 1, 1),
)
# Never the best where they were measured, but near it: a table may name them.
RARE_BLOCKS: tuple[Block, ...] = ((64, 32, 4, 2), (32, 64, 4, 4), (32, 64, 2, 4), (64, 64, 8, 4))
FILLED = 0.75  # of the compute units: with fewer workgroups, smaller ones are faster
# rows x head_dim that a lane holds before a CPU driver's compile time passes about half a second.
LANE_HOLDS = {"fwd": 128, "dq": 64, "dkv": 64}


def attention_config(record: Attention, profile: Profile, kernel: str) -> AnyAttention:
    """Configuration for `kernel` in ("fwd", "dq", "dkv"): what the profile's table names, else the
    usual one; ValueError if head_dim fits no block."""
    rule = _lanes if _by_lanes(profile) else _usual_block
    usual = rule(record, profile, kernel)
    key = attention_key(record, kernel)
    return profile.choices.pick(key, lambda: attention_options(record, profile, kernel), usual)


def attention_key(record: Attention, kernel: str) -> str:
    """What a table calls the choice for this kernel."""
    heads = f"{record.batch}x{record.heads} heads of {record.head_dim} ({record.kv_heads} of keys)"
    mask = "causal" if record.causal else "full"
    mask += " in segments" if record.segments else ""
    return f"attention {kernel} {heads}, {record.q_len}x{record.kv_len} {mask}"


def attention_options(record: Attention, profile: Profile, kernel: str) -> dict[str, AnyAttention]:
    """Every configuration that fits, by name."""
    found: Iterator[AnyAttention]
    if _by_lanes(profile):
        found = _lane_options(record, profile, kernel)
    else:
        found = _blocks(record, profile, kernel, (*BLOCKS, *RARE_BLOCKS))
    return {config.name: config for config in found}


def _by_lanes(profile: Profile) -> bool:
    return profile.kind == "cpu" and profile.subgroup > 0


def _usual_block(record: Attention, profile: Profile, kernel: str) -> AttentionConfig:
    fitting = list(_blocks(record, profile, kernel))
    if not fitting:
        raise ValueError(
            f"Attention head_dim {record.head_dim} does not fit the workgroup memory "
            f"({profile.workgroup_bytes} bytes) of profile '{profile.name}'; use the reference "
            f"expansion."
        )
    usual = [c for c in fitting if c.br >= 16] or fitting
    filling = (c for c in usual if math.prod(c.tiles(record)) >= FILLED * profile.units)
    return next(filling, usual[-1])


def _lanes(record: Attention, profile: Profile, kernel: str) -> LaneConfig:
    held = LANE_HOLDS[kernel] // record.head_dim
    rows = next((r for r in (4, 2) if r <= held), 1)
    cols = 4 if record.head_dim <= 16 else 2
    config = _lane_config(rows, cols, record, profile, kernel)
    if not _loops(record, config, profile):
        raise ValueError(
            f"Attention over {record.kv_len} keys and {record.q_len} queries exceeds the "
            f"{profile.loop_limit} loop iterations of profile '{profile.name}'; shorten the "
            f"sequence."
        )
    return config


def _lane_config(
    rows: int, cols: int, record: Attention, profile: Profile, kernel: str
) -> LaneConfig:
    size = rows, cols, record.head_dim
    return LaneConfig(*size, kernel, profile.subgroup, profile.private_arrays)


def _lane_options(record: Attention, profile: Profile, kernel: str) -> Iterator[LaneConfig]:
    """What compiles in reasonable time, twice of what the rule holds at most."""
    for rows in (1, 2, 4):
        for cols in (1, 2, 4):
            config = _lane_config(rows, cols, record, profile, kernel)
            held = rows == 1 or rows * record.head_dim <= 2 * LANE_HOLDS[kernel]
            if held and cols * record.head_dim <= 512 and _loops(record, config, profile):
                yield config


def _loops(record: Attention, config: AnyAttention, profile: Profile) -> bool:
    limit = profile.loop_limit
    return not limit or attention_loop_iterations(record, config) <= limit


def _blocks(
    record: Attention, profile: Profile, kernel: str, blocks: Sequence[Block] = BLOCKS
) -> Iterator[AttentionConfig]:
    for br, bc, tr, tc in blocks:
        together = 2 * bc // tc  # threads of two rows
        subgroup = 0 if profile.subgroup % together else profile.subgroup
        config = AttentionConfig(br, bc, tr, tc, record.head_dim, kernel, subgroup)
        fits = config.shared_bytes <= profile.workgroup_bytes
        if fits and config.threads <= profile.invocations and _loops(record, config, profile):
            yield config


def attention_grid(record: Attention, config: AnyAttention) -> Grid:
    """Workgroups to dispatch; a grid beyond 65,535 along an axis is folded into two axes."""
    return fold(config.tiles(record))


def attention_workgroup(record: Attention, config: AnyAttention) -> Grid:
    """Invocations of a workgroup."""
    return config.threads, 1, 1


def attention_shared_bytes(record: Attention, config: AnyAttention) -> int:
    """Bytes of workgroup memory the rendered kernel declares."""
    return config.shared_bytes


def attention_loop_iterations(record: Attention, config: AnyAttention) -> int:
    """Dynamic loop iterations of one invocation, at most: inner loops of a block included."""
    heads, length = (record.group, record.q_len) if config.kernel == "dkv" else (1, record.kv_len)
    # those that are passed over first are the same for all heads
    blocks = (heads + record.ordered) * (ceil_div(length, config.block[1]) + 1)
    if config.form == "lanes":
        return blocks
    inner = config.d4 // config.unroll + config.bc // 4 // config.quads
    return blocks * (1 + inner)
