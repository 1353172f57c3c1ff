"""Kernels of a compiled graph that have a choice, each as a program of its own, to be measured.

Invariant: what is measured is the kernel of the whole program, with its operands' layouts and its
epilogue; what it is built from is the region, so each option is built like the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ir.graph import Graph

from .choices import Decision, choosing
from .compile import Compilation, CompileError, Donations, build_kernels, run_passes
from .fuse import Region
from .plan import Kernel, LoopBody, Planned, bodies, plan
from .profile import Profile
from .program import Program


@dataclass(frozen=True, eq=False)
class Subject:
    """A kernel that can be built in several ways, and how often a run dispatches it."""

    region: Region
    kernel: Kernel
    count: int

    @property
    def decision(self) -> Decision:
        return self.kernel.decision


def subjects(graph: Graph, profile: Profile, donate: Donations, name: str) -> list[Subject]:
    """The kernels of a graph that have a choice, one for each; raises CompileError."""
    done = run_passes(Compilation(name, profile, graph, donate))
    found: dict[tuple, Subject] = {}
    for region, kernel, times in _walk(done.regions, done.kernels, 1):
        decision = kernel.decision
        if decision is None or len({*decision.options, decision.chosen}) < 2:
            continue
        known = found.get(id(kernel))
        count = times + (known.count if known else 0)
        found[id(kernel)] = Subject(known.region if known else region, kernel, count)
    return list(found.values())


def _walk(
    regions: Sequence[Region], kernels: Sequence[Planned], times: int
) -> Iterator[tuple[Region, Kernel, int]]:
    for region, planned in zip(regions, kernels, strict=True):
        if isinstance(planned, Kernel):
            yield region, planned, times
        inner = planned.iteration.count or 1 if isinstance(planned, LoopBody) else 1
        for body in bodies(planned):
            yield from _walk(body.regions, body.kernels, times * inner)


def alone(region: Region, profile: Profile, times: int = 1) -> Program:
    """A program that runs the region's kernel so often; raises CompileError."""
    graph = Graph(region.ins, region.graph.eqns, region.outs)
    donors = {region.outs[o]: region.ins[i] for o, i in region.aliases}
    program = plan("alone", graph, [region], build_kernels(graph, [region], profile), donors)
    return replace(program, steps=program.steps * times)


def variants(subject: Subject, profile: Profile, times: int) -> dict[str, Program]:
    """The program of each option but the chosen one, if the profile allows it."""
    found = {}
    for option in subject.decision.options:
        if option != subject.decision.chosen:
            try:
                entries = subject.decision.entries(option)
                found[option] = alone(subject.region, choosing(profile, entries), times)
            except CompileError:
                continue
    return found
