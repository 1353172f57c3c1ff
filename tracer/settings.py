"""The environment variables tracing obeys.

Invariant: this module alone reads them, once per process; `use_backend` overrides for the process.
"""

from __future__ import annotations

import os
from functools import cache

BACKENDS = ("device", "oracle")
_chosen: str | None = None


@cache
def debug() -> int:
    """PICO_DEBUG: 1 or more prints to stderr why a function is traced again."""
    text = os.environ.get("PICO_DEBUG", "")
    return int(text) if text.isdigit() else 0


def backend() -> str:
    """ "device" (WebGPU), or "oracle" (numpy) under PICO_BACKEND=oracle."""
    return _chosen or _named(os.environ.get("PICO_BACKEND") or "device")


def use_backend(name: str | None) -> None:
    """Choose the backend of everything compiled from now on; None returns to PICO_BACKEND."""
    global _chosen
    _chosen = None if name is None else _named(name)


def _named(name: str) -> str:
    if name not in BACKENDS:
        raise ValueError(f"there is no backend {name!r}; choose one of {', '.join(BACKENDS)}")
    return name
