"""How the rows of a small scatter are shared among invocations.

Invariant: a pure function of a row's width and the profile, like every tile configuration.
"""

from __future__ import annotations

from dataclasses import dataclass

from .grid import ceil_div
from .profile import Profile

HELD = 8  # results, or groups of four, that an invocation holds


@dataclass(frozen=True)
class Match:
    """How a row is shared: `threads` per workgroup, of which each holds `held` columns (or four
    neighbours `step` each); `blocks` workgroups a row."""

    threads: int
    step: int
    held: int
    blocks: int
    ballot: bool

    @property
    def words(self) -> int:
        """32-bit masks that hold one bit an invocation."""
        return ceil_div(self.threads, 32)


def match_config(width: int, profile: Profile) -> Match:
    """One subgroup a workgroup where there are subgroups: it votes without workgroup memory."""
    ballot = 8 <= profile.subgroup <= 32
    threads = profile.subgroup if ballot else 64
    step = 4 if width % 4 == 0 else 1
    needed = ceil_div(width, threads * step)
    blocks = ceil_div(needed, HELD)
    return Match(threads, step, ceil_div(needed, blocks), blocks, ballot)
