"""How rows are spread over invocations.

Invariant: a layout is a pure function of the rows, what is done with them and the profile; what it
asks for fits the profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from .choices import Decision
from .fuse import Region
from .grid import ceil_div, power_of_two
from .profile import Profile

SHORT = 32  # rows up to this long are handled by one invocation on any device
MOST_HELD = 16  # vec4s of a row that an invocation keeps between walks: 64 registers


@dataclass(frozen=True)
class RowLayout:
    """How rows map to invocations: `threads` per workgroup, of which `lanes` share one row."""

    threads: int
    lanes: int
    step: int  # elements per visit: 4 or 1

    @property
    def name(self) -> str:
        return f"{self.rows} by {self.lanes} invocations"

    @property
    def serial(self) -> bool:
        return self.lanes == 1

    @property
    def rows(self) -> int:
        """Rows per workgroup."""
        return self.threads // self.lanes

    @property
    def lane(self) -> str:
        """WGSL of an invocation's place in its row."""
        return "t" if self.rows == 1 else "lane"

    def of_size(self, threads: int, rows: int) -> RowLayout:
        """The same with so many invocations; where those meet at barriers, all have a row."""
        lanes = min(self.lanes, threads)
        whole = self.serial or rows % (threads // lanes) == 0
        return RowLayout(threads, lanes if whole else threads, self.step)


def row_layout(region: Region, profile: Profile) -> RowLayout:
    """What the profile's table names, else what the rules say."""
    usual = _layout(region.rows, region.width, profile)
    options = partial(_options, region.rows, region.width, profile)
    return profile.choices.pick(_key(region), options, usual)


def row_decision(region: Region, profile: Profile, layout: RowLayout) -> Decision:
    options = tuple(_options(region.rows, region.width, profile))
    return Decision((_key(region),), options, layout.name)


def _key(region: Region) -> str:
    """What a table calls the choice for such rows."""
    sums = [e.prim.name for e in region.graph.eqns if e.prim.kind == "reduce"]
    return f"rows {region.rows}x{region.width} of {len(region.tensors)}, {' '.join(sums)}"


def _options(rows: int, width: int, profile: Profile) -> dict[str, RowLayout]:
    """Every layout that a row may have in reasonable time, by name."""
    step = 4 if width % 4 == 0 else 1
    visits, cpu = width // step, profile.kind == "cpu"
    short = 8 * visits <= (profile.loop_limit or 8 * visits) if cpu else width <= 8 * SHORT
    found = [RowLayout(n, 1, step) for n in ((4, 8) if cpu else (32, 64)) if short and n <= rows]
    for lanes in (8, 16, 32, 64, 128, 256, 512):
        whole = lanes <= min(profile.invocations, power_of_two(visits)) and visits <= 128 * lanes
        packed = [n for n in (1, 2, 4) if rows % n == 0 and n * lanes <= max(256, lanes)]
        found += [RowLayout(n * lanes, lanes, step) for n in packed[: 1 if cpu else 3] if whole]
    return {layout.name: layout for layout in found}


def _layout(rows: int, width: int, profile: Profile) -> RowLayout:
    step = 4 if width % 4 == 0 else 1
    visits = width // step
    cpu = profile.kind == "cpu"
    serial = (cpu and rows >= 16) or width <= SHORT
    if serial and not (profile.loop_limit and 8 * visits > profile.loop_limit):
        return RowLayout(min(8 if cpu else 64, power_of_two(rows)), 1, step)
    most = min(64 if cpu else 256, profile.invocations)
    if profile.loop_limit:
        while 8 * visits // most > profile.loop_limit and most < profile.invocations:
            most *= 2
    if cpu:
        lanes = min(most, power_of_two(visits))
        return RowLayout(lanes, lanes, step)
    lanes = max(8, min(most, power_of_two(visits)))
    if rows * visits < 4096 * profile.units:
        return RowLayout(lanes, lanes, step)
    lanes = _lanes(visits, min(max(most, _widest(visits)), profile.invocations))
    packed = next(n for n in (8, 4, 2, 1) if rows % n == 0 and n * lanes <= max(most, lanes))
    return RowLayout(lanes * packed, lanes, step)


def _widest(visits: int) -> int:
    """The most invocations for a row: more where they then hold it in few registers."""
    return 512 if visits % 512 == 0 and 2 * visits <= 512 * MOST_HELD else 256


def _lanes(visits: int, most: int) -> int:
    """Invocations that share a row where there are rows enough to fill the device.

    A power of two that leaves few idle in the last visit; each visits several places.
    """
    options = [n for n in (8, 16, 32, 64, 128, 256, 512) if n <= min(most, max(8, visits // 4))]
    return max(options, key=lambda n: (round(visits / (n * ceil_div(visits, n)), 1), n))
