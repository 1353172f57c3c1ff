"""The same program text with `jax` and with `tracer`.

Invariant: JAX on the CPU is the judge of values, dtypes, shapes, gradients and errors; nothing is
skipped because tracer lacks it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from . import compare, programs

ALL = programs.everything()
SAMPLED = 4  # on the device every fourth program runs


@pytest.fixture(scope="module")
def jax():
    return pytest.importorskip("jax")


def weighted(j: Any, out: Any) -> Any:
    """A scalar that depends on each element of each float result in a different measure."""
    total = 0.0
    for _, leaf in compare.leaves(out):
        if hasattr(leaf, "dtype") and np.dtype(leaf.dtype).kind not in "iub":
            weights = np.cos(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
            total = total + j.numpy.sum(leaf.astype("float32") * weights)
    return total


def arrays_of(out: Any) -> list:
    """The leaves that a jitted function can return; names and numbers stay behind."""
    return [leaf for _, leaf in compare.leaves(out) if hasattr(leaf, "dtype")]


def checks(j: Any, program: programs.Program, arrays: list) -> dict[str, Callable[[], Any]]:
    """The results to compare, by name; each is computed when it is called."""
    inputs = [j.numpy.asarray(a) for a in arrays]

    def call(*xs: Any) -> Any:
        return program.fun(j, *xs)

    found = {"value": lambda: call(*inputs)}
    wrt = tuple(i for i, a in enumerate(arrays) if a.dtype.kind not in "iub")
    if inputs:
        found["jit"] = lambda: j.jit(lambda *xs: arrays_of(call(*xs)))(*inputs)
    if wrt and program.grad:
        found["gradient"] = lambda: j.grad(lambda *xs: weighted(j, call(*xs)), wrt)(*inputs)
    return found


def outcome(compute: Callable[[], Any]) -> Any:
    """The result, or the error."""
    try:
        return compute()
    except Exception as error:
        return error


def judged(ours: Any, theirs: Any, program: programs.Program, loose: float) -> str | None:
    """What is wrong with our outcome of a program that JAX runs too."""
    if program.says is None and isinstance(theirs, Exception):
        return f"program: the other library raises {type(theirs).__name__}: {theirs}"
    if program.says is not None and not isinstance(theirs, Exception):
        return "program: the other library raises nothing"
    if program.says is None:
        if isinstance(ours, Exception):
            return compare.described(ours)
        return compare.differences(ours, theirs, loose, program.exact)
    if not isinstance(ours, Exception):
        return "no error: it returned"
    lacking = compare.described(ours)
    wanted = isinstance(theirs, AttributeError) or not lacking.startswith(("missing", "argument"))
    return compare.error_difference(ours, theirs, program.says) if wanted else lacking


def verdict(j: Any, jax: Any, program: programs.Program, loose: float) -> str | None:
    """The first failure of a program, or None."""
    arrays = program.arrays()
    mine, other = checks(j, program, arrays), checks(jax, program, arrays)
    for name in other:
        found = judged(outcome(mine[name]), outcome(other[name]), program, loose)
        if found:
            return found if name == "value" else f"{name}: {found}"
    return None


@pytest.mark.parametrize("program", ALL, ids=lambda p: p.name)
def test_program(program, jax, library, on_device, section):
    if on_device and ALL.index(program) % SAMPLED:
        pytest.skip("the device runs every fourth program")
    loose = compare.DEVICE_LOOSER if on_device else 1
    from .results import clean

    found = verdict(library, jax, program, loose)
    section("import swap").setdefault(program.name, {})["program"] = clean(found) if found else None
    assert not found, found


def test_there_are_as_many_programs_as_the_table_says():
    assert len(ALL) >= 150
