"""How attention to a cache is spread over invocations.

Invariant: a layout is a pure function of the equation's types and the profile; what it asks for
fits the profile.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.dtypes import f32
from ir.graph import Eqn

from .grid import Grid
from .profile import Profile

LANES = (4, 8, 16, 32)  # vec4s of a head
THREADS = (512, 256, 128, 64, 32)
AT_ONCE = 4  # slots that an invocation has under way
MOST_QUERIES = 16  # of one key head: they live in registers


@dataclass(frozen=True)
class Cached:
    """Sizes, and how many invocations work on a row's key head; `lanes` read one slot."""

    batch: int
    heads: int
    kv_heads: int
    slots: int
    head_dim: int
    scale: float
    threads: int
    subgroup: int

    @property
    def group(self) -> int:
        """Query heads per key head."""
        return self.heads // self.kv_heads

    @property
    def lanes(self) -> int:
        return self.head_dim // 4

    @property
    def stride(self) -> int:
        """Slots that are read at a time, before the next of the same invocation."""
        return self.threads // self.lanes

    @property
    def at_once(self) -> int:
        return min(AT_ONCE, max(1, -(-self.slots // self.stride)))

    @property
    def head_hops(self) -> list[int]:
        """Distances of the shuffles that add up a score."""
        return [1 << n for n in range(self.lanes.bit_length() - 1)]

    @property
    def slot_hops(self) -> list[int]:
        """Distances of the shuffles that join what a subgroup has seen."""
        return [n for n in (1, 2, 4, 8, 16, 32, 64) if self.lanes <= n < self.subgroup]

    @property
    def parts(self) -> int:
        """What the subgroups have seen meets in workgroup memory."""
        return self.threads // self.subgroup

    @property
    def tiles(self) -> Grid:
        return self.kv_heads, 1, self.batch

    @property
    def shared_bytes(self) -> int:
        return self.parts * self.group * (self.head_dim + 2) * 4 + 4

    @property
    def iterations(self) -> int:
        return -(-self.slots // (self.stride * self.at_once)) + 2 * self.parts


def cached_layout(eqn: Eqn, profile: Profile) -> Cached | None:
    """The layout of a cached attention; None where the kernel does not fit."""
    b, _, n, d = eqn.ins[0].aval.shape
    slots, kv = eqn.ins[1].aval.shape[1:3]
    subgroup = profile.subgroup
    if profile.kind == "cpu" or d % 4 or d // 4 not in LANES or d // 4 > subgroup or not b:
        return None
    if n // kv > MOST_QUERIES or eqn.ins[0].aval.dtype is not f32:
        return None
    for threads in THREADS:
        if subgroup <= threads <= profile.invocations:
            found = Cached(b, n, kv, slots, d, eqn.params["scale"], threads, subgroup)
            if found.shared_bytes <= profile.workgroup_bytes:
                return found
    return None
