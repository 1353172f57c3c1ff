"""Agreement of two computations of one graph in which rounding may decide between branches.

Invariant: how far rounding can carry each element is measured, not guessed: the graph is evaluated
in float64 a few times with every intermediate result disturbed at random by about a float32
rounding. An element that these runs do not settle (it overflowed, or a comparison went either way)
is not judged, and how many were judged is counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from unittest import mock

import numpy as np

import ir.interp
from ir import Graph, evaluate
from ir.passes.simplify import expand

NOISE = 4e-7
RUNS = 6
HUGE = 1e30


@dataclass
class Tally:
    """Graphs compared, their elements, and those of the elements that were judged."""

    graphs: int = 0
    seen: int = 0
    judged: int = 0


def _disturbed(seed: int):
    """Random noise; in the first two runs it is all of one sign, since a value that lies exactly on
    a step falls to one side otherwise half of the time."""
    plain, rng = ir.interp._as, np.random.default_rng(seed)
    sign = {0: 1, 1: -1}.get(seed)

    def disturb(x, aval, wide):
        x = plain(x, aval, wide)
        if x.dtype.kind != "f":
            return x
        unit = 4e-3 if aval.dtype.itemsize == 2 else NOISE
        noise = rng.standard_normal(x.shape)
        return x * (1 + unit * (noise if sign is None else sign * np.abs(noise)))

    return disturb


def disturbed_runs(graph: Graph, args: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The graph's results in `RUNS` evaluations with noise after every equation."""
    graph = expand(graph)
    runs = []
    for seed in range(RUNS):
        with mock.patch("ir.interp._as", _disturbed(seed)):
            runs.append(evaluate(graph, *args, wide=True))
    return runs


class Truth:
    """What a graph computes in float64, and how far rounding may carry each element."""

    def __init__(self, graph: Graph, args: Sequence[np.ndarray]) -> None:
        self.graph = graph
        self.values = evaluate(graph, *args, wide=True)
        self.runs = disturbed_runs(graph, args)

    def check(self, got: Sequence[np.ndarray], tally: Tally, rtol: float = 1e-4) -> None:
        """Raise AssertionError where a judged element of `got` is not what it should be."""
        for place, (g, want) in enumerate(zip(got, self.values, strict=True)):
            near, judged = self._near(place, np.asarray(g), want, rtol)
            tally.seen += want.size
            tally.judged += int(np.count_nonzero(judged))
            wrong = judged & ~near
            assert not wrong.any(), (
                f"result {place} is {np.asarray(g)[wrong][:5]} instead of {want[wrong][:5]} at "
                f"{np.argwhere(wrong)[:5].tolist()}"
            )

    def _near(self, place: int, got: np.ndarray, want: np.ndarray, rtol: float):
        assert got.shape == want.shape
        runs = np.stack([run[place] for run in self.runs])
        if want.dtype.kind != "f":
            return got == want, (runs == want).all(0)
        with np.errstate(all="ignore"):
            spread = np.max(np.abs(runs - want), axis=0)
            finite = np.isfinite(spread) & np.isfinite(want) & (np.abs(want) < HUGE)
            settled = finite & (spread <= 0.02 * (1 + np.abs(want)))
            bound = 20 * spread + rtol * np.abs(want) + rtol / 10
            return np.abs(got.astype(np.float64) - want) <= bound, settled
