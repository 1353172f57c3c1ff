"""picotron: train, run and convert LLaMAs through WebGPU.

Invariant: importing the package imports nothing else; each public name is loaded when it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "PicoTronConfig": "config",
    "attention": "gpu_ops",
    "layer_norm": "gpu_ops",
    "matmul": "gpu_ops",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'picotron' has no attribute {name!r}")
    return getattr(importlib.import_module(f"picotron.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
