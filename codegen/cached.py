"""How attention to a cache is spread over invocations, and where it may write to the cache.

Invariant: a layout is a pure function of the equation's types and the profile; what it asks for
fits the profile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ir.dtypes import f32
from ir.graph import Eqn, Graph, Var

from .grid import Grid
from .profile import Profile

LANES = (4, 8, 16, 32)  # vec4s of a head
THREADS = (512, 256, 128, 64, 32)
AT_ONCE = {True: 8, False: 4}  # slots that an invocation has under way, of one query head or more
MOST_QUERIES = 16  # of one key head: they live in registers


@dataclass(frozen=True)
class Cached:
    """Sizes, and how many invocations serve `group` query heads of a row; `lanes` read one slot.

    `writes`: the new token's key and value come with its query, and are kept.
    """

    batch: int
    heads: int
    kv_heads: int
    slots: int
    head_dim: int
    scale: float
    threads: int
    subgroup: int
    group: int
    writes: bool

    @property
    def sharers(self) -> int:
        """Workgroups that read the same key head."""
        return self.heads // self.kv_heads // self.group

    @property
    def lanes(self) -> int:
        return self.head_dim // 4

    @property
    def stride(self) -> int:
        """Slots that are read at a time, before the next of the same invocation."""
        return self.threads // self.lanes

    @property
    def at_once(self) -> int:
        return min(AT_ONCE[self.group == 1], max(1, -(-self.slots // self.stride)))

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
        return self.heads // self.group, 1, self.batch

    @property
    def shared_bytes(self) -> int:
        return self.parts * self.group * (self.head_dim + 2) * 4 + 4

    @property
    def iterations(self) -> int:
        return -(-self.slots // (self.stride * self.at_once)) + 2 * self.parts


def cached_layout(eqn: Eqn, profile: Profile) -> Cached | None:
    """The layout of a cached attention; None where the kernel does not fit.

    All query heads of a key head share one read of it, unless a workgroup for each leaves some
    units of the device idle.
    """
    b, _, n, d = eqn.ins[0].aval.shape
    writes = eqn.prim.name == "attention_with_cache"
    slots, kv = eqn.ins[3].aval.shape[2:4] if writes else eqn.ins[1].aval.shape[1:3]
    subgroup = profile.subgroup
    if profile.kind == "cpu" or d % 4 or d // 4 not in LANES or d // 4 > subgroup or not b:
        return None
    group = 1 if b * n <= profile.units else n // kv
    if group > MOST_QUERIES or eqn.ins[0].aval.dtype is not f32:
        return None
    scale = eqn.params["scale"]
    for threads in THREADS:
        if subgroup <= threads <= profile.invocations:
            found = Cached(b, n, kv, slots, d, scale, threads, subgroup, group, writes)
            if found.shared_bytes <= profile.workgroup_bytes:
                return found
    return None


def overwritten(graph: Graph, donate: Iterable[tuple[int, int]]) -> set[Var]:
    """The caches that attention may write to: inputs that nothing else reads and whose buffers the
    new ones take over, both results being wanted."""
    users = graph.users()
    donors = {graph.outs[j]: graph.ins[i] for i, j in donate}
    found = set()
    for eqn in graph.eqns:
        if eqn.prim.name == "attention_with_cache":
            (o, cache), before = eqn.outs, eqn.ins[3]
            wanted = (o in users or o in graph.outs) and graph.outs.count(cache) == 1
            if wanted and donors.get(cache) is before and len(users[before]) == 1:
                found.add(before)
    return found
