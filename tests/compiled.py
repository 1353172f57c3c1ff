"""The reference train step, compiled once in a test process for each limits profile.

Invariant: a compile is a pure function of target and profile, so whoever asks gets the same one.
"""

from __future__ import annotations

from functools import cache

from codegen.compile import Compilation
from codegen.dump import compiled
from codegen.profile import PROFILES
from codegen.target import Target, load


@cache
def target() -> Target:
    """The traced step."""
    return load()


@cache
def reference(profile: str) -> Compilation:
    """What the profile of that name makes of it."""
    return compiled(target(), PROFILES[profile])
