"""`jit`: trace once per signature, compile, and call again cheaply.

Invariant: a call that an earlier trace serves is found to be so without asking for more than the
types of its leaves; what is compiled, and for what, is `backend`'s affair.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ir.build import current
from ir.garbage import uncollected
from ir.graph import Aval, Graph, Lit, Var

from . import settings, tree
from .array import Array
from .backend import compiled, counts, forget, kept_or
from .calls import Signature, checked_avals, hints, plain_aval
from .compiled import Compiled, plan_results
from .donation import pair
from .errors import Origin
from .explain import log_miss, why_traced
from .flattening import Flattener, flattener
from .laid import followed
from .lowered import Lowered
from .placement import NOWHERE, Placement
from .roles import Names, Nums, Roles, roles
from .sharding import ambient
from .staging import Traced, lifted, trace

_ABSENT: Any = object()  # in place of the function that a decorator with options is yet to get


@dataclass
class Entry:
    """One trace of a function. `flatten` is made when the entry serves a second time."""

    signature: Signature
    signs: list[Aval]  # of the arguments, what the next call's are compared with
    graph: Graph
    call: Compiled
    trace_s: float
    compile_s: float
    flatten: Flattener | None = None
    served: bool = False

    def __post_init__(self) -> None:
        self.settings = self.signature.options, self.signature.context[:2]

    def leaves(self, args: tuple, kwargs: dict, of: Roles) -> list | None:
        """The leaves of a call that this trace serves, found without asking for more than that."""
        opened, statics = of.open(args, kwargs)
        leaves = self.flatten(opened)
        if leaves is None or statics != self.signature.statics:
            return None
        # Types are interned: equal lists compare by pointers, without hashing anything.
        try:
            signs = [leaf.signed for leaf in leaves]
        except AttributeError:  # there are numbers or numpy arrays among them
            signs = [x.signed if type(x) is Array else plain_aval(x) for x in leaves]
        return leaves if signs == self.signs else None

    def serve(self) -> None:
        """Called when a call was found to be of this signature the long way."""
        if not self.served:
            self.served, self.flatten = True, flattener(self.signature.in_tree)


def _context(leaves: list) -> tuple:
    """What a trace depends on beside its arguments' types: the mesh, names, where arguments lie."""
    return (*ambient(), *followed(leaves))


class Jitted:
    """A function compiled once for each signature of its arguments; see `jit`."""

    def __init__(
        self, fun: Callable, of: Roles, placement: Placement = NOWHERE, budget: int = 0
    ) -> None:
        self._fun, self._roles, self.placement, self._budget = fun, of, placement, budget
        self._entries: dict[Signature, Entry] = {}
        self._last: Entry | None = None
        self._why = "the function has not been called yet"
        # Attributes stay behind: those of another Jitted would overwrite this one's.
        functools.update_wrapper(self, fun, updated=())

    def __repr__(self) -> str:
        return f"<jit of {self._name}>"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @property
    def _name(self) -> str:
        return getattr(self._fun, "__name__", "main")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if current() is not None or (state := settings.now()).disable_jit:
            return self._fun(*args, **kwargs)
        last = self._last
        known = last is not None and last.flatten is not None
        if known and (state.tracing, ambient()) == last.settings:
            leaves = last.leaves(args, kwargs, self._roles)
            if leaves is not None:
                return last.call(leaves)
        leaves, in_tree, statics = self._roles.split(args, kwargs)
        return self._entry(leaves, in_tree, statics).call(leaves)

    def _entry(self, leaves: list, in_tree: tree.Structure, statics: tuple) -> Entry:
        signature = self._signature(leaves, in_tree, statics)
        known = self._entries.get(signature)
        if known:
            known.serve()
        self._last = known or self._add(signature, leaves)
        return self._last

    def _signature(self, leaves: list, in_tree: tree.Structure, statics: tuple) -> Signature:
        avals = checked_avals(self._roles, in_tree, leaves)
        return Signature(in_tree, avals, statics, settings.now().tracing, _context(leaves))

    def _add(self, signature: Signature, leaves: list) -> Entry:
        self._why = why_traced(self._roles, self._known(), signature)
        log_miss(self._roles, self._why)
        start = time.perf_counter()
        traced = self._trace(signature)
        traced_at = time.perf_counter()
        call = self._compile(signature, traced)
        spent = time.perf_counter() - traced_at
        pairs = zip(leaves, signature.avals, strict=True)
        signs = [x.signed if type(x) is Array else aval for x, aval in pairs]
        entry = Entry(signature, signs, traced.graph, call, traced_at - start, spent)
        self._entries[signature] = entry
        return entry

    def _known(self) -> list[Signature]:
        """The signatures there are traces for, the last one used last."""
        last = [self._last.signature] if self._last else []
        return [*(s for s in self._entries if s not in last), *last]

    def _trace(self, signature: Signature) -> Traced:
        def body(*tracers: Any) -> Any:
            args, kwargs = self._roles.join(signature.in_tree, tracers, signature.statics)
            return self._fun(*args, **kwargs)

        names = hints(self._roles, signature.in_tree)
        with uncollected():
            traced = kept_or(
                lambda: trace(body, signature.avals, names, Origin(self._fun, "jit")),
                self._fun,
                signature,
            )
        self.placement.check(signature, traced, names)
        return traced

    def _compile(self, signature: Signature, traced: Traced) -> Compiled:
        if not self.placement.empty or signature.context != (None, ()):
            from .placed import compile_placed

            found = compile_placed(self, signature, traced)
            if found is not None:
                return found
        traced, paths = lifted(traced), tree.paths(signature.in_tree)
        donated = [i for i, path in enumerate(paths) if self._roles.donates(path)]
        pairs = self._pairs(traced, paths, donated)
        return compiled(traced, donated, pairs, self._name, self._why, self._budget)

    def _pairs(self, traced: Traced, paths: list, donated: list[int]) -> list[tuple[int, int]]:
        graph, first = traced.graph, len(traced.constants)
        returned = {v for v in graph.outs if isinstance(v, Var)}
        donors = [
            (first + i, paths[i], graph.ins[first + i].aval)
            for i in donated
            if graph.ins[first + i] not in returned
        ]
        results, seen = {}, plan_results(graph).results
        for (made, at), path, v in zip(seen, tree.paths(traced.out_tree), graph.outs, strict=False):
            if made and not isinstance(v, Lit):
                results.setdefault(at, (at, path, v.aval))
        return pair(donors, list(results.values()))

    # --- looking inside ---

    def lower(self, *args: Any, **kwargs: Any) -> Lowered:
        """Trace for these arguments (arrays or ShapeDtypeStructs) without compiling."""
        leaves, in_tree, statics = self._roles.split(args, kwargs)
        signature = self._signature(leaves, in_tree, statics)
        return Lowered(self, signature, self._trace(signature))

    def on_one_device(self, signature: Signature, traced: Traced) -> Graph:
        """What a device runs of a traced call."""
        return traced.graph

    @property
    def executable(self) -> Any:
        """The latest executable. Raises RuntimeError before the first call."""
        if self._last is None:
            raise RuntimeError(f"{self._name} has not been compiled yet: call it first")
        return self._last.call.executable

    def explain(self) -> str:
        """Why the latest trace was made: which argument changed, one line each."""
        return self._why

    def clear_cache(self) -> None:
        """Forget all traces, and the compiled programs that nothing else holds."""
        for entry in self._entries.values():
            forget(entry.call.executable)
        self._entries.clear()
        self._last = None

    def stats(self) -> dict[str, Any]:
        """Counts and times of the latest executable.

        kernels_per_step, distinct_kernels, peak_bytes (device bytes of all buffers), trace_s and
        compile_s (seconds). Raises RuntimeError before the first call.
        """
        program = self.executable.program
        times = {"trace_s": self._last.trace_s, "compile_s": self._last.compile_s}
        kernels, dispatches = counts(program)
        return {
            "kernels_per_step": dispatches,
            "distinct_kernels": kernels,
            **times,
            "peak_bytes": program.peak_bytes if program else 0,
        }

    def profile(self, *args: Any, **kwargs: Any) -> list:
        """Device time of each kernel for one run on copies of the arguments."""
        executable, hosts = self.bound(*args, **kwargs)
        pairs = zip(executable.graph.in_avals, hosts, strict=True)
        return executable.profile([executable.upload(aval, host) for aval, host in pairs])

    def bound(self, *args: Any, **kwargs: Any) -> tuple[Any, list[np.ndarray]]:
        """The executable that serves these arguments, and copies of its inputs on the host."""
        leaves, in_tree, statics = self._roles.split(args, kwargs)
        call = self._entry(leaves, in_tree, statics).call
        pairs = zip([*call.constants, *leaves], call.plan.graph.in_avals, strict=True)
        return call.executable, [np.array(x, aval.dtype.np) for x, aval in pairs]


def jit(
    fun: Callable = _ABSENT,
    *,
    static_argnums: Nums = None,
    static_argnames: Names = None,
    donate_argnums: Nums = None,
    donate_argnames: Names = None,
    in_shardings: Any = None,
    out_shardings: Any = None,
    keep_unused: bool = False,
    inline: bool = False,
    memory_budget: int | None = None,
) -> Any:
    """Compile `fun`, a pure function of pytrees of arrays; usable as a decorator.

    It is traced once for each signature: tree structure, shapes, dtypes and values of the static
    arguments (hashable settings). Donated arguments give their memory to results of equal type and
    are deleted. Inside another trace the function is simply inlined. `in_shardings` of the
    positional arguments and `out_shardings` of the result, tree prefixes of them, say where on a
    mesh they lie; without them, arguments lie as they come. The devices of the mesh then each run
    the program that `lower(...).sharded()` shows. Arguments that are not
    used stay arguments, and inner functions are always inlined, whatever `keep_unused` and `inline`
    say. Under a `memory_budget`, bytes on the device, a backward pass computes the cheapest values
    again instead of keeping them, until all buffers of the program fit; ValueError if they cannot.
    """
    options = (static_argnums, static_argnames, donate_argnums, donate_argnames)
    placement = Placement(in_shardings, out_shardings)
    if fun is _ABSENT:
        return lambda f: Jitted(f, roles(f, *options), placement, memory_budget or 0)
    return Jitted(fun, roles(fun, *options), placement, memory_budget or 0)
