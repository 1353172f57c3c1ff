"""The environment variables the runtime obeys.

Invariant: this module alone reads them, once per process, so two devices never disagree.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Settings:
    """PICOTRON_ADAPTER: index or part of a name; PICO_CHECK=1: checked shaders, checked calls;
    PICOTRON_CACHE: the folder of compiled programs, or `off`; PICOTRON_MEMORY: bytes that a run may
    take on the device, such as 200MiB or 5GB; PICOTRON_TUNING=off: tile configurations by rule
    alone, no table of measured ones."""

    adapter: str | None
    check: bool
    cache: str | None = None
    memory: str | None = None
    tuning: str | None = None


@cache
def settings() -> Settings:
    """The process's settings, read at the first call."""
    check = os.environ.get("PICO_CHECK", "") not in ("", "0")
    names = ("ADAPTER", "CACHE", "MEMORY", "TUNING")
    adapter, *rest = (os.environ.get(f"PICOTRON_{n}") or None for n in names)
    return Settings(adapter, check, *rest)
