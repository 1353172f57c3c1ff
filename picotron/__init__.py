"""picotron: train, run and convert LLaMAs through WebGPU.

Invariant: importing the package imports nothing else; each public name is loaded when it is used.
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
    # Kept, because the module of the generator would take the place of the function generate.
    own = {each: getattr(home, each) for each, where in _HOMES.items() if where == _HOMES[name]}
    globals().update(own)
    return own[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
