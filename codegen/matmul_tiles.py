"""The choice of a matmul kernel's configuration, alone or for products that share a dispatch.

Invariant: a configuration is a pure function of (record, profile); its grid covers the record,
its workgroup memory and invocations fit the profile, and its loops stay under `loop_limit`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from codegen.grid import ceil_div
from codegen.matmul_configs import BroadcastConfig, MatmulConfig, TileConfig
from codegen.panels import panels
from codegen.profile import Profile
from codegen.records import Matmul

UNROLL = 512  # rows x k of straight-line fma that a CPU driver compiles well within a second


# (configuration, fp32 TF/s of 132 busy compute units, the same where B lies along k and is turned
# round on its way to workgroup memory, waves that a first wave is longer): measured on an H100. A
# unit with n workgroups takes about n + lag / n times as long as in the long run.
TILES = (
    (TileConfig(128, 128, 8, 8, 8), 48.0, 38.0, 0.2),
    (TileConfig(128, 64, 8, 8, 8), 46.5, 44.0, 0.45),
    (TileConfig(64, 128, 8, 8, 8), 47.0, 40.0, 0.45),
    (TileConfig(64, 64, 8, 4, 8), 42.0, 38.0, 0.9),
    (TileConfig(64, 64, 8, 8, 4), 40.5, 38.8, 0.7),
    (TileConfig(64, 128, 16, 4, 8), 37.5, 33.0, 0.0),
    (TileConfig(64, 64, 16, 4, 4), 38.0, 34.8, 0.45),
    (TileConfig(64, 32, 16, 4, 4), 34.0, 32.0, 1.0),
    (TileConfig(32, 32, 16, 4, 4), 31.0, 27.5, 3.5),
)
UNITS = 132  # of the device that was measured
TAIL = 0.5  # of a tile's time that is lost at the end of a dispatch, on average
# (rows, GFLOP/s of one core) of the broadcast kernel: measured on llvmpipe.
BROADCASTS = ((32, 24.0), (16, 20.0), (8, 15.4), (4, 9.6), (1, 3.0))


def matmul_config(record: Matmul, profile: Profile) -> MatmulConfig:
    """What the profile's table names, else the fastest configuration by the measured rates;
    ValueError if k is beyond all of them."""
    candidates = _rated(record, profile)
    if not candidates:
        raise ValueError(
            f"Matmul {record.m}x{record.n} over k={record.k} fits no tile within the workgroup "
            f"memory ({profile.workgroup_bytes} bytes), the invocations and the loop iterations of "
            f"profile '{profile.name}'; split k into several products and add them."
        )
    usual = min(candidates, key=lambda pair: pair[1])[0]
    return profile.choices.pick(matmul_key(record), lambda: matmul_options(record, profile), usual)


def matmul_key(record: Matmul) -> str:
    """What a table calls the choice for this product."""
    layout = ("n" if record.a_axis == "k" else "t") + ("n" if record.b_axis == "n" else "t")
    batch = f"{record.batch} of " if record.batch > 1 else ""
    return f"matmul {batch}{record.m}x{record.n}x{record.k} {layout}"


def matmul_options(record: Matmul, profile: Profile) -> dict[str, MatmulConfig]:
    """Every configuration that fits, by name."""
    found = [config for config, *_ in _rated(record, profile)]
    broadcasts = [config for config in found if isinstance(config, BroadcastConfig)]
    found += [replace(c, step=2 * c.step) for c in broadcasts if 2 * c.rows * c.step <= UNROLL]
    return {config.name: config for config in found}


def _rated(record: Matmul, profile: Profile) -> list[tuple[MatmulConfig, float]]:
    """Configurations of the profile's kernel that fit, and what each is expected to cost."""
    if profile.kind != "cpu" or not profile.subgroup:
        return list(_tiles(record, profile))
    found = list(panels(record, profile)) if profile.private_arrays else []
    return found or list(_broadcasts(record, profile))


def joint_configs(records: Sequence[Matmul], profile: Profile) -> list[TileConfig] | None:
    """Configurations of products that share a dispatch: workgroups of one size, the one that the
    profile's table names, else so that all of them together take the least time. None where no
    size serves every product."""
    options = _joint(records, profile)
    if not options:
        return None
    usual = min(options.values(), key=lambda pair: pair[0])
    return profile.choices.pick(joint_key(records), lambda: options, usual)[1]


def joint_key(records: Sequence[Matmul]) -> str:
    """What a table calls the choice for products that share a dispatch."""
    return " and ".join(map(matmul_key, records))


def joint_options(records: Sequence[Matmul], profile: Profile) -> list[str]:
    """Names of the sizes of workgroups that serve every product."""
    return list(_joint(records, profile))


def _joint(
    records: Sequence[Matmul], profile: Profile
) -> dict[str, tuple[float, list[TileConfig]]]:
    """(seconds, configurations) by size of the workgroups."""
    found = {}
    for threads in sorted({config.threads for config, *_ in TILES}):
        chosen = [_of_size(record, profile, threads) for record in records]
        if None not in chosen:
            last = TAIL * max(tile for *_, tile in chosen)
            seconds = sum(whole for _, whole, _ in chosen) + last
            found[f"{threads} invocations"] = seconds, [config for config, _, _ in chosen]
    return found


def _of_size(
    record: Matmul, profile: Profile, threads: int
) -> tuple[TileConfig, float, float] | None:
    """(configuration, seconds on a full device, seconds of one tile) with so many invocations."""
    found = []
    for config, rate, _ in _fitting(record, profile):
        if config.threads == threads:
            tile = 2 * config.bm * config.bn * record.k * UNITS / (rate * 1e12)
            found.append((config, _count(record, config) / profile.units * tile, tile))
    return min(found, key=lambda option: option[1] + TAIL * option[2], default=None)


def matmul_seconds(record: Matmul, profile: Profile) -> float:
    """What the best tile is expected to take; infinite where none fits."""
    return min((seconds for _, seconds in _tiles(record, profile)), default=math.inf)


def _broadcasts(record: Matmul, profile: Profile) -> Iterator[tuple[BroadcastConfig, float]]:
    for rows, rate in BROADCASTS:
        if record.a_axis == "m" and rows < 4:
            continue
        config = BroadcastConfig(rows, max(4, 4 * profile.subgroup // rows), profile.subgroup)
        while profile.loop_limit and config.iterations(record) > profile.loop_limit:
            config = replace(config, step=2 * config.step)
        if rows * config.step <= UNROLL:
            waves = ceil_div(_count(record, config), profile.units)
            yield config, waves * rows / rate


def _tiles(record: Matmul, profile: Profile) -> Iterator[tuple[TileConfig, float]]:
    """Configurations that fit, and the seconds each is expected to take."""
    for config, rate, lag in _fitting(record, profile):
        waves = ceil_div(_count(record, config), profile.units)
        flops = 2 * config.bm * config.bn * record.k * UNITS
        yield config, (waves + lag / waves) * flops / (rate * 1e12)


def _fitting(record: Matmul, profile: Profile) -> Iterator[tuple[TileConfig, float, float]]:
    """Rows of the table that the profile's limits allow."""
    for config, straight, turned, lag in TILES:
        rate = turned if record.b_axis == "k" else straight
        iterations = config.iterations(record)
        loops = not profile.loop_limit or iterations <= profile.loop_limit
        fits = config.most_shared_bytes <= profile.workgroup_bytes
        if fits and loops and config.threads <= profile.invocations:
            yield config, rate, lag


def _count(record: Matmul, config: MatmulConfig) -> int:
    return math.prod(config.tiles(record))
