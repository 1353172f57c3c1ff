"""Which adapters there are, which one to use, and what a compile may assume of it.

Invariant: `choose` and `profile_of` are pure functions of `AdapterInfo` records, so every rule is
testable without a device.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from codegen.profile import LAVAPIPE, LAVAPIPE_25, Profile

from .driver import enumerate_adapters, wgpu
from .errors import CURE_NO_ADAPTER, NoAdapterError, UnknownAdapterError
from .lavapipe import version_of

KINDS = {"DiscreteGPU": "discrete", "IntegratedGPU": "integrated", "CPU": "cpu"}
SOFTWARE = ("llvmpipe", "lavapipe", "swiftshader", "softpipe", "basic render")
KIND_ORDER = ("discrete", "integrated", "unknown", "cpu")
BACKEND_ORDER = ("Vulkan", "Metal", "D3D12", "D3D11", "OpenGL", "OpenGLES")
# Streaming multiprocessors or compute units, from the vendors' data sheets.
UNITS = {"H100": 132, "H200": 132, "A100": 108, "L40": 142, "L4": 58, "T4": 40}
UNITS |= {"4090": 128, "4080": 76, "3090": 82, "3080": 68, "7900 XTX": 96, "6900 XT": 80}
STACKED_ARRAYS = (25,)  # Mesa from which llvmpipe compiles a private array well; 22.3 does not
LLVMPIPE_LOOP_LIMIT = 60_000  # llvmpipe silently ends an invocation after 65,535 iterations
STORAGE_BUFFERS = 64  # more than any kernel wants; NVIDIA reports half a million


@dataclass(frozen=True)
class AdapterInfo:
    """One adapter of one backend. kind: "discrete" | "integrated" | "cpu" | "unknown"."""

    index: int
    name: str
    vendor: str
    backend: str
    kind: str
    driver: str
    software: bool
    limits: Mapping[str, int] = field(repr=False)
    features: frozenset[str] = field(repr=False)
    handle: wgpu.GPUAdapter | None = field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.name} ({self.backend}, {self.kind})"


def adapters(every_backend: bool = True) -> list[AdapterInfo]:
    """All adapters of this machine; without `every_backend`, OpenGL only if there is no other."""
    found = enumerate_adapters(every_backend)
    return [_describe(index, adapter) for index, adapter in enumerate(found)]


def _describe(index: int, adapter: wgpu.GPUAdapter) -> AdapterInfo:
    info = adapter.info
    kind = KINDS.get(info["adapter_type"], "unknown")
    software = kind == "cpu" or any(word in info["device"].lower() for word in SOFTWARE)
    return AdapterInfo(
        index=index,
        name=info["device"],
        vendor=info["vendor"],
        backend=info["backend_type"],
        kind=kind,
        driver=info["description"],
        software=software,
        limits=dict(adapter.limits),
        features=frozenset(adapter.features),
        handle=adapter,
    )


def choose(infos: Sequence[AdapterInfo], override: str | None = None) -> tuple[AdapterInfo, str]:
    """The adapter to use and why: real before software, Vulkan/Metal/D3D12 before OpenGL.

    `override` is an index, or part of a name or backend. Raises NoAdapterError.
    """
    if not infos:
        raise NoAdapterError(f"no graphics adapter found; {CURE_NO_ADAPTER}")
    ranked = sorted(infos, key=_rank)
    if override is None:
        best = ranked[0]
        nature = "software adapter, no real one found" if best.software else f"{best.kind} GPU"
        return best, f"{nature} on {best.backend}; first of {len(infos)}"
    named = [info for info in ranked if matches(info, override)]
    if not named:
        known = ", ".join(f"{info.index}: {info}" for info in infos)
        raise UnknownAdapterError(f"no adapter matches {override!r}; there are {known}")
    return named[0], f"asked for by adapter={override!r}"


def _rank(info: AdapterInfo) -> tuple[bool, int, int, int]:
    return (
        info.software,
        _place(BACKEND_ORDER, info.backend),
        _place(KIND_ORDER, info.kind),
        info.index,
    )


def _place(order: Sequence[str], item: str) -> int:
    return order.index(item) if item in order else len(order)


def matches(info: AdapterInfo, text: str) -> bool:
    """Whether an override, an index or part of a name or backend, means this adapter."""
    text = text.strip()
    if text.isdigit():
        return info.index == int(text)
    return text.lower() in info.name.lower() or text.lower() in info.backend.lower()


def is_old_lavapipe(info: AdapterInfo) -> bool:
    """Whether this is Mesa's software adapter of a release that compiles private arrays badly."""
    return "llvmpipe" in info.name.lower() and version_of(info.driver) < STACKED_ARRAYS


def profile_of(info: AdapterInfo, subgroup: int) -> Profile:
    """What `codegen` may assume; `subgroup` is the probed subgroup size, 0 where unusable."""
    limits, llvmpipe = info.limits, "llvmpipe" in info.name.lower()
    stacked = llvmpipe and not is_old_lavapipe(info)
    known = LAVAPIPE_25 if stacked else LAVAPIPE
    invocations = limits["max-compute-invocations-per-workgroup"]
    return Profile(
        name=known.name if llvmpipe and info.backend == "Vulkan" else _slug(info.name),
        kind="cpu" if info.software else "gpu",
        storage_buffers=min(limits["max-storage-buffers-per-shader-stage"], STORAGE_BUFFERS),
        binding_bytes=limits["max-storage-buffer-binding-size"],
        invocations=min(invocations, limits["max-compute-workgroup-size-x"]),
        workgroup_bytes=limits["max-compute-workgroup-storage-size"],
        groups_per_dim=limits["max-compute-workgroups-per-dimension"],
        subgroup=subgroup,
        f16="shader-f16" in info.features,
        float_atomics="shader-float32-atomic" in info.features,
        loop_limit=LLVMPIPE_LOOP_LIMIT if llvmpipe else 0,
        private_arrays=stacked,
        units=_units(info),
    )


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "adapter"


def _units(info: AdapterInfo) -> int:
    if info.software:
        return os.cpu_count() or 1
    return next((n for word, n in UNITS.items() if re.search(rf"\b{word}\b", info.name)), 64)
