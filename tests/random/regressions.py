"""Programs that once failed, by the property that they failed; tried first at every run.

Invariant: an entry is never changed or removed while its property exists. A failing run prints the
entry to add.
"""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import example

from .writer import Program

PASSES: tuple[Program, ...] = ()
DEVICE: tuple[Program, ...] = ()
BATCHING: tuple[Program, ...] = ()
DERIVATIVES: tuple[Program, ...] = ()


def first(programs: tuple[Program, ...]) -> Callable:
    """Decorator: these programs are examples of the property, with three seeds each."""

    def decorate(test: Callable) -> Callable:
        for program in programs:
            for seed in range(3):
                test = example(program=program, seed=seed)(test)
        return test

    return decorate
