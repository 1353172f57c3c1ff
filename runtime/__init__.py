"""Programs on a device: adapters, memory, execution and timing, on wgpu.

Invariant: this package knows nothing of graphs or gradients; it runs `codegen.Program` records.
Names load on first use, so that `picotron doctor` can report a machine on which wgpu is missing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .adapter import AdapterInfo, adapters, choose, profile_of
    from .buffer import Buffer, PendingRead
    from .device import (
        Device,
        SoftwareAdapterWarning,
        default_device,
        pick_adapter,
        set_default_adapter,
        spread_over_adapters,
    )
    from .errors import (
        DeviceLostError,
        KernelCompileError,
        NoAdapterError,
        OutOfMemoryError,
        ProgramError,
        UnknownAdapterError,
    )
    from .executable import Executable
    from .mesh import MeshExecutable, VirtualTeam
    from .shards import Layout, Shards
    from .timing import KernelTime

__all__ = [
    "AdapterInfo",
    "Buffer",
    "Device",
    "DeviceLostError",
    "Executable",
    "KernelCompileError",
    "KernelTime",
    "Layout",
    "MeshExecutable",
    "NoAdapterError",
    "OutOfMemoryError",
    "PendingRead",
    "ProgramError",
    "Shards",
    "SoftwareAdapterWarning",
    "UnknownAdapterError",
    "VirtualTeam",
    "adapters",
    "choose",
    "default_device",
    "pick_adapter",
    "profile_of",
    "set_default_adapter",
    "spread_over_adapters",
]
_HOMES = ("errors", "adapter", "buffer", "device", "executable", "timing", "shards", "mesh")


def __getattr__(name: str) -> object:
    if name in __all__:
        for home in _HOMES:
            module = import_module(f".{home}", __name__)
            if hasattr(module, name):
                globals()[name] = value = getattr(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
