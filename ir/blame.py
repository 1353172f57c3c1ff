"""Finding the operation at which values go bad: a graph run one equation at a time.

Invariant: what is blamed gives a bad result from good operands, and the results that were asked
about depend on it. Loops, branches and calls are entered: the blame falls on an equation within.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from .graph import Eqn, Graph, Lit, Value, Var
from .interp import run_equation

Bad = Callable[[np.ndarray], bool]
RunEquation = Callable[[Eqn, Sequence[np.ndarray]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class Blame:
    """An equation; `path` says how to get there: "iteration 3 of scan", and `top` is the equation
    of the graph itself that it is in.

    If the input at place `input` was bad from the start, the equation is the first to read it (None
    if the input is itself the result).
    """

    eqn: Eqn | None
    input: int | None = None
    path: tuple[str, ...] = ()
    top: Eqn | None = None


def blame(
    graph: Graph, args: Sequence[np.ndarray], bad: Bad, run: RunEquation = run_equation
) -> Blame | None:
    """What made an output of `graph` bad for these arguments; None if none of them is.

    Of several the first in program order. `run` evaluates one equation.
    """
    with np.errstate(all="ignore"):
        return _Walk(graph, args, bad, run).verdict()


class _Walk:
    """One graph, evaluated; all values are kept."""

    def __init__(self, graph: Graph, args: Sequence[np.ndarray], bad: Bad, run: RunEquation):
        self.graph, self.bad, self.run = graph, bad, run
        self.env: dict[Var, np.ndarray] = dict(zip(graph.ins, args, strict=True))
        for eqn in graph.eqns:
            outs = run(eqn, self.read(eqn.ins))
            self.env.update(zip(eqn.outs, outs, strict=True))

    def read(self, values: Sequence[Value]) -> list[np.ndarray]:
        return [_constant(v) if isinstance(v, Lit) else self.env[v] for v in values]

    @property
    def outs(self) -> list[np.ndarray]:
        return self.read(self.graph.outs)

    def verdict(self) -> Blame | None:
        spoiled = {v for v, x in self.env.items() if self.bad(x)}
        wanted = [v for v in self.graph.outs if v in spoiled]
        if not wanted:
            return None
        eqns = self._leading_to(wanted, spoiled)
        for eqn in eqns:
            if not any(v in spoiled for v in eqn.ins):
                return self._enter(eqn)
        reader = eqns[0] if eqns else None
        read = reader.ins if reader else wanted
        place = next(i for i, v in enumerate(self.graph.ins) if v in spoiled and v in read)
        return Blame(reader, place, top=reader)

    def _leading_to(self, wanted: Sequence[Var], spoiled: set[Var]) -> list[Eqn]:
        """The equations through which bad values reached `wanted`, in program order."""
        live, found = set(wanted), []
        for eqn in reversed(self.graph.eqns):
            if any(v in live for v in eqn.outs):
                found.append(eqn)
                live.update(v for v in eqn.ins if v in spoiled)
        return found[::-1]

    # --- graphs within ---

    def _enter(self, eqn: Eqn) -> Blame:
        rule = {"scan": self._scan, "while_loop": self._while, "cond": self._cond}.get(
            eqn.prim.name, self._call
        )
        return replace(rule(eqn, self.read(eqn.ins)) or Blame(eqn), top=eqn)

    def _within(self, graph: Graph, args: Sequence[np.ndarray], where: str) -> Blame | None:
        found = _Walk(graph, args, self.bad, self.run).verdict()
        return found and replace(found, path=(where, *found.path))

    def _call(self, eqn: Eqn, ins: Sequence[np.ndarray]) -> Blame | None:
        callee = eqn.prim.callee(*(v.aval for v in eqn.ins), **eqn.params)
        if callee is None:
            return None
        found = _Walk(callee, ins, self.bad, self.run).verdict()
        return found if found and found.input is None else None

    def _cond(self, eqn: Eqn, ins: Sequence[np.ndarray]) -> Blame | None:
        branches = eqn.params["branches"]
        taken = int(np.clip(int(ins[0]), 0, len(branches) - 1))
        return self._within(branches[taken], ins[1:], f"branch {taken} of cond")

    def _scan(self, eqn: Eqn, ins: Sequence[np.ndarray]) -> Blame | None:
        p = eqn.params
        consts, carry, length = p["consts"], p["carry"], p["length"]
        fixed, state, xs = ins[:consts], ins[consts : consts + carry], ins[consts + carry :]
        for i in reversed(range(length)) if p["reverse"] else range(length):
            args = [*fixed, *state, *(x[i] for x in xs)]
            outs = _Walk(p["body"], args, self.bad, self.run).outs
            if any(map(self.bad, outs)):
                return self._within(p["body"], args, f"iteration {i} of scan")
            state = outs[:carry]
        return None

    def _while(self, eqn: Eqn, ins: Sequence[np.ndarray]) -> Blame | None:
        consts, step = eqn.params["consts"], eqn.params["step"]
        flag, fixed, state, count = ins[0], ins[1 : 1 + consts], ins[1 + consts :], 0
        while bool(flag):
            args = [*fixed, *state]
            flag, *new = _Walk(step, args, self.bad, self.run).outs
            if any(map(self.bad, new)):
                return self._within(step, args, f"iteration {count} of while_loop")
            state, count = new, count + 1
        return None


def _constant(v: Lit) -> np.ndarray:
    return np.full(v.aval.shape, v.value, v.aval.dtype.np)
