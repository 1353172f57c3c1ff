"""Random keys that are used twice, found in a graph.

Invariant: a key may be used once. Views of a key array are identified by how they were taken: equal
views are the same keys, unequal ones different keys, and the whole array is all of them. Branches
exclude each other; a loop repeats the uses of its body.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..build import describe_src
from ..graph import Eqn, Graph, Src, Value, Var
from ..prims.effect import key_use

VIEWS = ("slice", "reshape", "transpose", "broadcast", "rev")
Chain = tuple  # where a value comes from: an input's number or a Var, then the views taken of it


class KeyReuseError(TypeError):
    """A random key was used twice; raised under `debug_key_reuse`."""


@dataclass(frozen=True)
class Use:
    """What used a key, and where."""

    by: str
    src: Src | None

    def __str__(self) -> str:
        return f"{self.by}{describe_src(self.src)}"


def key_uses(graph: Graph) -> dict[Chain, Use]:
    """The inputs, or views of them, whose keys `graph` uses. Raises KeyReuseError."""
    found = _Uses(graph)
    return {chain: use for chain, use in found.used.items() if isinstance(chain[0], int)}


def overlap(a: Chain, b: Chain) -> bool:
    """Whether one is the other, or a view of it."""
    shorter = min(len(a), len(b))
    return a[:shorter] == b[:shorter]


class _Uses:
    """One graph: `used` says by whom each chain was used."""

    def __init__(self, graph: Graph) -> None:
        self.used: dict[Chain, Use] = {}
        self._chains: dict[Var, Chain] = {v: (i,) for i, v in enumerate(graph.ins)}
        for eqn in graph.eqns:
            self._follow(eqn)

    def chain(self, v: Value) -> Chain:
        return self._chains.get(v, (v,)) if isinstance(v, Var) else ((v, id(v)),)

    def _follow(self, eqn: Eqn) -> None:
        if eqn.prim is key_use:
            self._use(self.chain(eqn.ins[0]), Use(eqn.params["by"], eqn.src))
        elif eqn.prim.name in VIEWS:
            view = (eqn.prim.name, eqn.param_key())
            self._chains[eqn.outs[0]] = (*self.chain(eqn.ins[0]), view)
        elif eqn.prim.name == "optimization_barrier":
            self._chains.update((o, self.chain(v)) for v, o in zip(eqn.ins, eqn.outs, strict=True))
        elif eqn.effectful:
            self._within(eqn)

    def _use(self, chain: Chain, use: Use) -> None:
        for other, first in self.used.items():
            if overlap(chain, other):
                raise KeyReuseError(
                    f"In {use.by}, argument 0 is already consumed: a random key was first used by "
                    f"{first}\nand again by {use}"
                )
        self.used[chain] = use

    def _within(self, eqn: Eqn) -> None:
        """What the graphs of an equation use of its operands."""
        name, p = eqn.prim.name, eqn.params
        if name == "scan":
            self._loop(eqn, p["body"], eqn.ins, 0, p["length"] > 1)
        elif name == "while_loop":
            self._loop(eqn, p["step"], eqn.ins[1:], 1, True)
        elif name == "cond":
            found = {}
            for branch in p["branches"]:
                found |= key_uses(branch)
            self._pass_on(found, eqn.ins[1:])
        else:
            callee = eqn.prim.callee(*(v.aval for v in eqn.ins), **p)
            self._pass_on(key_uses(callee) if callee else {}, eqn.ins)

    def _pass_on(self, found: dict[Chain, Use], operands: Sequence[Value]) -> None:
        for (place, *views), use in found.items():
            self._use((*self.chain(operands[place]), *views), use)

    def _loop(
        self, eqn: Eqn, body: Graph, operands: Sequence[Value], first: int, again: bool
    ) -> None:
        inner, consts, carry = _Uses(body), eqn.params["consts"], eqn.params["carry"]
        outs = [inner.chain(v) for v in body.outs[first : first + carry]]
        for chain, use in inner.used.items():
            same = isinstance(chain[0], int) and chain[0] < consts
            if again and (same or any(overlap(chain, out) for out in outs)):
                kept = "key constants are" if same else "a key of the carry is"
                raise KeyReuseError(
                    f"{eqn.prim.name} body function leads to key reuse when repeatedly executed, "
                    f"because {kept} repeatedly consumed: by {use}"
                )
        found = {c: u for c, u in inner.used.items() if isinstance(c[0], int)}
        self._pass_on(found, operands)
