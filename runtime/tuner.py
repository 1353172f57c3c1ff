"""Tile configurations by measurement, for the kernels of one program.

Invariant: nothing here is part of a run, and nothing is chosen by it that made the whole program
slower: findings are kept together if it is faster with them, else those of the families of kernels
with which it is, else none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from codegen.choices import BY_RULE as NOTHING
from codegen.choices import choosing
from codegen.compile import Donations, compile_graph, fitted
from codegen.profile import Profile
from codegen.program import Program
from codegen.subjects import Subject, subjects
from ir.graph import Graph

from .contest import ROUNDS, Finding, contest, in_turns
from .device import Device
from .executable import Executable
from .tuned import BY_RULE

NAME = "tuned"
WORTH = 0.005  # of the program's time: below, a kernel is left alone
ROUND_S = 0.06  # that the program is run for in one round
MOST_RUNS = 500
FASTER_ROUNDS = 6  # of ROUNDS


@dataclass(frozen=True)
class Report:
    """What was measured, what of it is kept, and the program's seconds a run, round by round, by
    rule and with what is kept; with the last attempt if nothing is. () where there was none."""

    findings: tuple[Finding, ...]
    kept: tuple[Finding, ...]
    by_rule: tuple[float, ...] = ()
    tuned: tuple[float, ...] = ()

    def entries(self) -> dict[str, dict[str, Any]]:
        """For a table: each key that was measured, what is not kept by rule."""
        found: dict[str, dict[str, Any]] = {}
        for f in self.findings:
            entry: dict[str, Any] = {"option": BY_RULE}
            if f in self.kept:
                entry = {"option": f.option, "rule": f.chosen}
                entry["times_as_fast"] = round(f.times_as_fast, 3)
            found.update((key, entry) for key in f.keys)
        return found


def tune(
    device: Device,
    graph: Graph,
    donate: Iterable[tuple[int, int]],
    hosts: Sequence[np.ndarray],
    limit_s: float,
    say: Callable[[str], None] = lambda text: None,
    memory_budget: int = 0,
) -> Report:
    """Measure the kernels of a graph that have a choice, the dearest first, for `limit_s` seconds,
    then the whole program on the inputs `hosts`, which are as the device stores them. `say` is told
    of each kernel. Tables are not looked at.

    Raises what a compile and a first run raise.
    """
    end = time.perf_counter() + limit_s
    profile, donate = replace(device.profile, choices=NOTHING), tuple(donate)
    graph = fitted(graph, (profile,), donate, memory_budget)
    whole = _Whole(device, graph, donate, profile, hosts)
    findings = []
    found = subjects(graph, profile, donate, NAME)
    for subject in _dearest(found, whole.by_kernel()):
        if time.perf_counter() > end:
            say(f"{limit_s:g} seconds are over: the kernels not measured yet stay by rule")
            break
        findings.append(contest(device, subject, profile))
        say(str(findings[-1]))
    return _confirmed(whole, findings)


def _dearest(found: Sequence[Subject], seconds: Mapping[str, float]) -> Iterator[Subject]:
    """One subject for each choice, those that take the most time first."""
    seen: set[str] = set()
    least = WORTH * sum(seconds.values())
    cost = {id(s): seconds.get(s.kernel.code.name, 0.0) for s in found}
    for subject in sorted(found, key=lambda s: -cost[id(s)]):
        if cost[id(subject)] >= least and seen.isdisjoint(subject.decision.keys):
            seen.update(subject.decision.keys)
            yield subject


def _confirmed(whole: _Whole, findings: Sequence[Finding]) -> Report:
    better = [f for f in findings if f.better]
    families = {f.family: [g for g in better if g.family == f.family] for f in better}
    attempts = [better, *families.values()] if len(families) > 1 else [better]
    by_rule, tuned = (), ()
    for kept in attempts if better else ():
        by_rule, tuned = whole.against(kept)
        if faster(by_rule, tuned):
            return Report(tuple(findings), tuple(kept), by_rule, tuned)
    return Report(tuple(findings), (), by_rule, tuned)


def faster(by_rule: Sequence[float], tuned: Sequence[float]) -> bool:
    """Whether the tuned program won nearly every round: by chance, one time in sixteen."""
    return sum(t < r for r, t in zip(by_rule, tuned, strict=True)) >= FASTER_ROUNDS


class _Whole:
    """The program on inputs of its own, by rule."""

    def __init__(
        self, device: Device, graph: Graph, donate: Donations, profile: Profile,
        hosts: Sequence[np.ndarray],
    ) -> None:  # fmt: skip
        self.device, self.graph, self.donate = device, graph, donate
        self.profile, self.hosts = profile, hosts
        self.executable = Executable(device, self._program({}))
        self.inputs = self._upload()

    def _program(self, entries: Mapping[str, str]) -> Program:
        return compile_graph(self.graph, choosing(self.profile, entries), self.donate, NAME)

    def _upload(self) -> list:
        return [self.device.upload(host) for host in self.hosts]

    def by_kernel(self) -> dict[str, float]:
        """Seconds of each kernel's dispatches in one run, clocks being up."""
        self._runner(self.executable, self.inputs, 3)()
        found: dict[str, float] = {}
        for t in self.executable.profile(self.inputs):
            found[t.kernel] = found.get(t.kernel, 0.0) + t.seconds
        return found

    def against(self, kept: Sequence[Finding]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Seconds a run by rule and with these findings, round by round."""
        entries = {key: f.option for f in kept for key in f.keys}
        tuned, inputs = Executable(self.device, self._program(entries)), self._upload()
        first = self._runner(self.executable, self.inputs, 2)
        self._runner(tuned, inputs, 2)()
        runs = max(1, min(MOST_RUNS, round(ROUND_S / max(first(), 1e-7))))
        pairs = {"by_rule": (self.executable, self.inputs), "tuned": (tuned, inputs)}
        sides = {name: self._runner(*pair, runs) for name, pair in pairs.items()}
        found = in_turns(sides, ROUNDS)
        return tuple(found["by_rule"]), tuple(found["tuned"])

    def _runner(self, executable: Executable, inputs: list, runs: int) -> Callable[[], float]:
        """Donated inputs keep their buffers, so each run goes on from the last."""

        def run() -> float:
            start = time.perf_counter()
            for _ in range(runs):
                executable.run(inputs)
            self.device.synchronize()
            return (time.perf_counter() - start) / runs

        return run
