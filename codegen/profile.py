"""Limits profiles: what a compile may assume of the adapter it compiles for.

Invariant: nothing in `codegen` asks a device; every limit and feature that changes generated code
is a field of `Profile`, so a compile is a pure function of (graph, profile).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from .choices import BY_RULE, Choices


@dataclass(frozen=True)
class Profile:
    """Limits in bytes and counts; `subgroup` is the probed subgroup size, 0 where there is none."""

    name: str
    kind: str = "gpu"  # "cpu" for software adapters: few, fat workgroups, capped unrolling
    storage_buffers: int = 8
    binding_bytes: int = 128 << 20
    invocations: int = 256
    workgroup_bytes: int = 16 << 10
    groups_per_dim: int = 65535
    subgroup: int = 0
    f16: bool = False
    float_atomics: bool = False
    loop_limit: int = 0  # dynamic iterations per invocation the driver survives; 0: no limit
    private_arrays: bool = False  # arrays of an invocation are on its stack, and as fast
    units: int = 64  # compute units to fill with workgroups
    choices: Choices = BY_RULE  # tile configurations that were measured on it


WEBGPU_DEFAULT = Profile("webgpu-default")
LAVAPIPE = Profile(
    "lavapipe",
    kind="cpu",
    storage_buffers=32,
    invocations=1024,
    workgroup_bytes=32 << 10,
    subgroup=8,
    f16=True,
    float_atomics=True,
    loop_limit=60_000,
    units=2,
)
LAVAPIPE_25 = replace(LAVAPIPE, name="lavapipe-25", private_arrays=True)  # Mesa 25 and newer
H100 = Profile(
    "h100",
    storage_buffers=64,
    binding_bytes=(2 << 30) - 4,
    invocations=1024,
    workgroup_bytes=48 << 10,
    subgroup=32,
    f16=True,
    float_atomics=True,
    units=132,
)
PROFILES = {p.name: p for p in (WEBGPU_DEFAULT, LAVAPIPE, LAVAPIPE_25, H100)}
