"""picotron: train, run and convert LLaMAs through WebGPU.

Invariant: importing the package imports nothing else; each public name is loaded when it is used,
and none is that of a module.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "LanguageModel": "api",
    "PicoTronConfig": "config",
    "Trainer": "api",
    "attention": "gpu_ops",
    "generate": "api",
    "layer_norm": "gpu_ops",
    "load_model": "api",
    "matmul": "gpu_ops",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'picotron' has no attribute {name!r}")
    home = importlib.import_module(f"picotron.{_HOMES[name]}")
    globals()[name] = found = getattr(home, name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
