"""`debug_nans` and `debug_infs`: which operation made a result NaN or infinite.

Invariant: a program is run as it always is; only if a result is bad is it run again, one equation
at a time, with the numpy oracle, and, where numpy finds nothing wrong, one by one on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ir.blame import Blame, blame
from ir.build import describe_src
from ir.graph import Eqn, Graph, Var
from ir.interp import run_equation

from . import settings


def watching() -> bool:
    """Whether results are to be checked."""
    state = settings.now()
    return state.debug_nans or state.debug_infs


def found_in(values: Iterable[np.ndarray]) -> str | None:
    """ "nan" or "inf" if a value has one that is watched for."""
    state = settings.now()
    values = list(values)
    words = ("nan", state.debug_nans, np.isnan), ("inf", state.debug_infs, np.isinf)
    for word, wanted, test in words:
        if wanted and any(_has(x, test) for x in values):
            return word
    return None


def _has(x: np.ndarray, test: Callable) -> bool:
    return x.dtype.kind in "fV" and bool(test(x).any())


def error(
    graph: Graph,
    runs: Iterable[Sequence[np.ndarray]],
    word: str,
    name: str,
    where: Callable[[int, Blame], str] = lambda number, found: "",
) -> FloatingPointError:
    """The error for a program of `graph` that gave `word` in one of its runs, told by their
    arguments; `where` says what is known of the place, by the number of the run."""
    test = np.isnan if word == "nan" else np.isinf
    runs = list(runs)
    for run in (run_equation, run_on_device):
        for number, args in enumerate(runs):
            found = blame(graph, args, lambda x: _has(x, test), run)
            if found is not None:
                return FloatingPointError(_told(found, graph, word, name, where(number, found)))
    return FloatingPointError(
        f"invalid value ({word}) encountered in {name}\nThe compiled program gave it; its "
        "operations, run one by one, do not"
    )


def _told(found: Blame, graph: Graph, word: str, name: str, where: str) -> str:
    eqn = found.eqn
    if eqn is None:
        text = f"invalid value ({word}) encountered in an argument that {name} returns"
        return "\n".join(filter(None, (text, where)))
    types = [", ".join(str(v.aval) for v in vs) for vs in (eqn.outs, eqn.ins)]
    lines = [
        f"invalid value ({word}) encountered in {eqn.prim.name}",
        f"{types[0]} = {eqn.prim.name} {types[1]}",
    ]
    if found.input is not None and not found.path:
        hint = graph.ins[found.input].hint
        owner = f"the argument {hint} of {name}" if hint else "a constant"
        lines.append(f"{owner} came with it; no operation made it")
    lines += [where] * bool(where) + [f"in {step}" for step in (*found.path, eqn.scope) if step]
    return "\n".join(lines) + describe_src(eqn.src)


def run_on_device(eqn: Eqn, ins: Sequence[np.ndarray]) -> list[np.ndarray]:
    """One equation as a program of its own."""
    from .backend import executable_for, start_read

    if not eqn.outs:
        return []
    inputs = tuple(dict.fromkeys(v for v in eqn.ins if isinstance(v, Var)))
    graph = Graph(inputs, (eqn,), eqn.outs)
    given: dict[Any, np.ndarray] = dict(zip(eqn.ins, ins, strict=True))
    outs = executable_for(graph, (), eqn.prim.name).run([given[v] for v in graph.ins])
    return [start_read(x, v.aval)() for x, v in zip(outs, eqn.outs, strict=True)]
