"""Comparing the speed of the same work on several sides, in one run.

Invariant: sides take turns, round by round, so that whatever else the machine does falls on all of
them; a ratio is the median of the rounds' ratios, and its spread their least and greatest. Each
measurement lasts long enough (`WARM_S`) for clocks to rise and for the call itself not to
count; nothing waits within one.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from picotron.peak import VENDOR, known_card
from runtime.clocks import WARM_S

MOST_CALLS = 2000
QUIET = 5.0  # seconds after which whoever waits is told how far things are


class Progress:
    """Lines on stderr about what takes long; what is quick says nothing."""

    def __init__(self, what: str) -> None:
        self.what, self._last = what, time.monotonic()

    def __call__(self, text: str) -> None:
        """Say how far things are, if nothing was said for `QUIET` seconds."""
        now = time.monotonic()
        if now - self._last >= QUIET:
            self._last = now
            print(f"{self.what}: {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Side:
    """One way of doing the work: `run` starts it once, `wait` ends when all of it is done. `rest`
    are seconds after that in which its library's threads still spin, on cores that others need."""

    run: Callable[[], Any]
    wait: Callable[[], Any]
    rest: float = 0.0


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: median, least and greatest of the rounds."""

    median: float
    least: float
    most: float

    @staticmethod
    def of(seconds: list[float]) -> Timing:
        return Timing(statistics.median(seconds), min(seconds), max(seconds))


def interleaved(sides: Mapping[str, Side], rounds: int) -> dict[str, list[float]]:
    """Seconds a call of each side, one number for each round."""
    calls = {name: _calls(side) for name, side in sides.items()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(_seconds(side, calls[name]))
    return found


def warm(side: Side) -> int:
    """Run for `WARM_S` seconds, so that clocks are up; how many runs that were."""
    calls = _calls(side)
    _seconds(side, calls)
    return calls


def geometric_mean(values: Sequence[float]) -> float | None:
    """Of ratios; None if there are none."""
    return statistics.geometric_mean(values) if values else None


def _calls(side: Side) -> int:
    """How many calls last `WARM_S` seconds; runs them, so compiling and warming up happen here."""
    _seconds(side, 1)
    once = _seconds(side, 2)
    return max(1, min(MOST_CALLS, round(WARM_S / max(once, 1e-7))))


def _seconds(side: Side, calls: int) -> float:
    side.wait()
    start = time.perf_counter()
    for _ in range(calls):
        side.run()
    side.wait()
    seconds = (time.perf_counter() - start) / calls
    time.sleep(side.rest)
    return seconds


def ratios(ours: list[float], theirs: list[float]) -> Timing:
    """Our speed over theirs, round by round: above 1 we are faster."""
    return Timing.of([t / o for o, t in zip(ours, theirs, strict=True)])


# --- roofs ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Roof:
    """What an adapter could do at most: float32 operations and bytes a second, and who says so."""

    flops: float | None
    nbytes: float | None
    source: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


BANDWIDTH = {  # bytes a second of data sheets, by the cards of `peak.VENDOR`
    "H100": 3.35e12,
    "H200": 4.8e12,
    "A100": 2.04e12,
    "V100": 0.9e12,
    "L40S": 0.864e12,
    "L4": 0.3e12,
    "T4": 0.32e12,
    "RTX 4090": 1.008e12,
    "RTX 3090": 0.936e12,
}


def roof(adapter: str, software: bool) -> Roof:
    """The roof of an adapter by its name; that of a software adapter is what numpy reaches."""
    if software:
        return _measured_by_numpy()
    card = known_card(adapter)
    if card is None:
        return Roof(None, None, "unknown adapter")
    return Roof(1e12 * VENDOR[card], BANDWIDTH[card], f"data sheet of the {card}")


def _measured_by_numpy() -> Roof:
    a = np.ones((1024, 1024), np.float32)
    big, target = np.ones(1 << 24, np.float32), np.empty(1 << 24, np.float32)
    product = min(_timed(lambda: a @ a) for _ in range(5))
    copied = min(_timed(lambda: np.copyto(target, big)) for _ in range(5))
    return Roof(2 * 1024**3 / product, 2 * big.nbytes / copied, "numpy on the same cores")


def _timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
