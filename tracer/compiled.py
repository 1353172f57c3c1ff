"""Calling a compiled graph: from argument leaves to device inputs, and from results to a tree.

Invariant: what is donated is deleted, and nothing else changes; a result that repeats another, or
is an input, costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import is_
from typing import Any

import numpy as np

from ir.dtypes import bool_
from ir.graph import Aval, Graph, Var

from . import callbacks, nans, reuse, tree
from .array import Array
from .errors import located
from .staging import Traced
from .typed import interned

_NONES = repeat(None)


def as_stored(aval: Aval, host: np.ndarray) -> np.ndarray:
    """Bools are 32-bit words on the device."""
    return host.astype(np.uint32) if aval.dtype is bool_ else host


@dataclass(frozen=True)
class Plan:
    """A graph cut to what must be computed.

    `results[j]` says where output j is: (True, k) the program's output k, (False, i) its input i,
    which is handed on without a copy.
    """

    graph: Graph
    results: tuple[tuple[bool, int], ...]


def plan_results(graph: Graph) -> Plan:
    """Outputs that repeat, or that are inputs, need no kernel. Constants get memory each: weights
    that start alike are donated side by side."""
    inputs = {v: i for i, v in enumerate(graph.ins)}
    computed: dict[Any, int] = {}
    made: list[Any] = []
    results = []
    for v in graph.outs:
        if isinstance(v, Var) and v in inputs:
            results.append((False, inputs[v]))
            continue
        at = computed.setdefault(v, len(made)) if isinstance(v, Var) else len(made)
        made += [v] if at == len(made) else []
        results.append((True, at))
    return Plan(Graph(graph.ins, graph.eqns, tuple(made)), tuple(results))


class Compiled:
    """An executable with what a call needs: constants, donors, and the tree of its results."""

    def __init__(
        self, traced: Traced, plan: Plan, executable: Any, donated: Sequence[int], name: str
    ) -> None:
        self.out_tree, self.constants = traced.out_tree, traced.constants
        self.effects, self.key_uses = traced.effects, traced.key_uses
        self.donated = tuple(donated)  # positions among the leaves
        self._donated_set = frozenset(donated)
        self.plan, self.executable = plan, executable
        self.out_avals = tuple(interned(v.aval) for v in self.plan.graph.outs)
        self.leaf_avals = traced.graph.in_avals[len(self.constants) :]
        told = len(plan.results) - len(traced.weak)  # what callbacks read is strong
        self.weak = (*traced.weak, *(False,) * told)
        self._weak_at = [i for i, weak in enumerate(self.weak) if weak]
        self.name = name
        counts = Counter(plan.results)
        self._single = [made and counts[made, at] == 1 for made, at in plan.results]
        self._simple = all(made for made, _ in self.plan.results) and len(self.out_avals) == len(
            self.plan.results
        )

    def __call__(self, leaves: Sequence[Any]) -> Any:
        """Run on argument leaves of the types it was traced for; donated arrays are deleted."""
        if self.key_uses:
            reuse.check_call(self.key_uses, self.constants, leaves, self.name)
        if nans.watching():
            return self._watched(leaves)
        return tree.unflatten(self.out_tree, self._run(leaves))

    def _watched(self, leaves: Sequence[Any]) -> Any:
        """A call whose results are checked; arguments are kept on the host, donated ones too."""
        given = [*self.constants, *leaves]
        graph = self.plan.graph
        hosts = [np.asarray(x, a.dtype.np) for x, a in zip(given, graph.in_avals, strict=True)]
        arrays = self._run(leaves)
        pairs = zip(arrays, self.plan.results, strict=False)
        made = {at: x.numpy() for x, (computed, at) in pairs if computed}
        word = nans.found_in(made.values())
        if word is not None:
            callbacks.effects_barrier()
            wanted = Graph(graph.ins, graph.eqns, tuple(graph.outs[at] for at in made))
            raise nans.error(wanted, [hosts], word, self.name)
        return tree.unflatten(self.out_tree, arrays)

    def _run(self, leaves: Sequence[Any]) -> list[Array]:
        """The leaves of the result."""
        # Hundreds of leaves pass here at every step: whole lists, no calls for each leaf.
        try:
            inputs = [leaf._buffer for leaf in leaves]
        except AttributeError:  # there are numbers or numpy arrays among them
            inputs = [getattr(leaf, "_buffer", None) for leaf in leaves]
        if self.constants:
            inputs = [c._buffer for c in self.constants] + inputs
        if any(map(is_, inputs, _NONES)):
            self._upload(leaves, inputs)
        if self.donated and len(set(map(id, inputs))) != len(inputs):
            self._check_shared(inputs)
        outs = self.executable.run(inputs) if self.out_avals else []
        arrays = list(map(Array, self.out_avals, outs))
        if not self._simple:
            arrays = self._assemble(arrays, leaves)
        else:
            for i in self._weak_at:
                arrays[i].weak_type = True
        for leaf in [leaves[i] for i in self.donated]:
            if type(leaf) is Array:
                leaf._buffer = leaf._host = leaf._read = None
        return self._tell(arrays) if self.effects else arrays

    def _tell(self, arrays: list[Array]) -> list[Array]:
        """Hand what the callbacks read to them; the rest are the results."""
        count = self.out_tree.num_leaves
        callbacks.tell(self.effects, arrays[count:])
        return arrays[:count]

    def _upload(self, leaves: Sequence[Any], inputs: list) -> None:
        """Fill in the inputs that are not on the device; donated ones get memory of their own."""
        upload, first = self.executable.upload, len(self.constants)
        for at, held in enumerate(inputs):
            if held is not None:
                continue
            leaf = self.constants[at] if at < first else leaves[at - first]
            if type(leaf) is Array:
                inputs[at] = leaf.on_device(upload)
                continue
            aval = self.leaf_avals[at - first]
            host = np.asarray(leaf, aval.dtype.np)
            given = at - first in self._donated_set
            inputs[at] = upload(aval, host) if given else as_stored(aval, host)

    def _check_shared(self, inputs: list) -> None:
        """Nothing may be donated and read too."""
        ids = [id(x) for x in inputs]
        for i in self.donated:
            at = len(self.constants) + i
            if ids.count(ids[at]) > 1:
                raise located(
                    ValueError,
                    f"{self.name} was given the same array twice, and donates one of them "
                    f"({self.leaf_avals[i]}); pass a copy (.copy()) or do not donate it",
                )

    def _assemble(self, computed: list[Array], leaves: Sequence[Any]) -> list[Array]:
        """Results that repeat, or that are arguments, in their places among the computed ones."""
        found = [
            computed[at] if made else self._passed(at, leaves) for made, at in self.plan.results
        ]
        pairs = zip(found, self.weak, strict=True)
        # As weak_type says, without a call for each result.
        signs = [(x.signed is not x.aval) != weak for x, weak in pairs]
        for i in [i for i, differs in enumerate(signs) if differs]:
            if self._single[i]:
                found[i].weak_type = self.weak[i]
            else:
                found[i] = found[i].retyped(self.weak[i])
        return found

    def _passed(self, at: int, leaves: Sequence[Any]) -> Array:
        """Input `at` as a result; a donated one under a new name."""
        place = at - len(self.constants)
        value = self.constants[at] if place < 0 else leaves[place]
        if not isinstance(value, Array):
            return Array.from_host(value, self.leaf_avals[place].dtype)
        return value.viewed(value.weak_type) if place in self._donated_set else value
