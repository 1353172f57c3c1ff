"""What the tools work on: a function named as MODULE:FUNCTION, traced to a graph.

Invariant: the code generator does not know who asks it. The target and the tracer are found by
name, at run time, so nothing here depends on a model or on a front end.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ir.graph import Graph, Var

REFERENCE = "picotron.reference:train_step"
TRACER = "tracer.jit"
REFERENCE_DONATES = (0,)  # the state, as training runs it


class UsageError(ValueError):
    """A request that cannot be met; the message is one sentence for the user."""


@dataclass(frozen=True)
class Target:
    """A traced function. `donate` pairs (input, output) of `graph` that share a buffer."""

    name: str
    graph: Graph
    donate: tuple[tuple[int, int], ...]


def load(spec: str = REFERENCE, donate: Sequence[int] | None = None) -> Target:
    """Trace what the zero-argument builder `spec` returns: (function, example arguments).

    Arguments are arrays or ShapeDtypeStructs; one that is no tuple stands for itself. `donate` are
    positions of arguments whose memory the results may take; a jitted function has its own.
    Raises UsageError when there is no such builder or it returns something else.
    """
    function, args = built(spec)
    if donate is None and spec == REFERENCE:
        donate = REFERENCE_DONATES
    return traced_target(function, args, donate)


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """`name` if it is known; otherwise UsageError with the nearest known one."""
    names = list(known)
    if name in names:
        return name
    shown = ", ".join(names) if len(names) <= 12 else f"one of {len(names)}"
    raise UsageError(f"there is no {kind} {name!r}{nearest(name, names)} ({shown})")


def nearest(name: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` if anything known is close."""
    found = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {found[0]!r}?" if found else ""


# --- finding the builder --------------------------------------------------------------------------


def built(spec: str, options: dict[str, Any] | None = None) -> tuple[Callable, tuple]:
    """(function, example arguments) of a builder, which is given those options that it takes.

    Raises UsageError, also for an option other than `mesh` that it does not take.
    """
    builder = _builder(spec)
    known = inspect.signature(builder).parameters
    any_name = any(p.kind is p.VAR_KEYWORD for p in known.values())
    taken = {n: v for n, v in (options or {}).items() if n in known or any_name}
    if unknown := [n for n in options or {} if n not in taken and n != "mesh"]:
        raise UsageError(f"{spec} does not take {unknown[0]!r}")
    made = builder(**taken)
    if not isinstance(made, tuple) or len(made) != 2 or not callable(made[0]):
        raise UsageError(
            f"{spec} must return (function, example arguments), not {type(made).__name__}"
        )
    function, args = made
    return function, args if isinstance(args, tuple) else (args,)


def _builder(spec: str) -> Callable:
    module_name, _, name = spec.partition(":")
    if not module_name or not name:
        raise UsageError(f"a target is MODULE:FUNCTION, such as {REFERENCE}, not {spec!r}")
    builder = _attribute(_module(module_name), name)
    if not callable(builder) or _needs_arguments(builder):
        raise UsageError(
            f"{spec} is no function of no arguments that returns (function, example arguments)"
        )
    return builder


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # A module that exists and misses another one is a fault to show in full.
        if error.name is None or not (name == error.name or name.startswith(f"{error.name}.")):
            raise
        parent, _, missing = error.name.rpartition(".")
        path = importlib.import_module(parent).__path__ if parent else None
        known = [m.name for m in pkgutil.iter_modules(path)]
        raise UsageError(f"there is no module {error.name!r}{nearest(missing, known)}") from None


def _attribute(module: Any, name: str) -> Any:
    if not hasattr(module, name):
        known = [n for n, value in vars(module).items() if callable(value)]
        where = f"function {name!r} in {module.__name__}"
        raise UsageError(f"there is no {where}{nearest(name, known)}")
    return getattr(module, name)


def _needs_arguments(function: Callable) -> bool:
    empty, kinds = inspect.Parameter.empty, inspect.Parameter
    return any(
        p.default is empty and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
        for p in inspect.signature(function).parameters.values()
    )


# --- tracing --------------------------------------------------------------------------------------


def traced_target(function: Callable, args: tuple, donate: Sequence[int] | None) -> Target:
    """A function traced for its example arguments, of which those at `donate` are given away.

    Raises UsageError where `donate` names no argument, or a jitted function says itself.
    """
    jit = importlib.import_module(TRACER)
    is_jitted = isinstance(function, jit.Jitted)
    if is_jitted and donate is not None:
        raise UsageError("the function is jitted and says itself which arguments it donates")
    for position in donate or ():
        if not 0 <= position < len(args):
            raise UsageError(f"argument {position} cannot be donated: there are {len(args)}")
    jitted = function if is_jitted else jit.jit(function, donate_argnums=tuple(donate or ()))
    # The pairs are the tracer's own decision, made where it compiles.
    lowered = jitted.lower(*args)
    traced, roles = lowered._traced, jitted._roles
    paths = importlib.import_module("tracer.tree").paths(lowered._signature.in_tree)
    donated = [i for i, path in enumerate(paths) if roles.donates(path)]
    pairs = jitted._pairs(traced, paths, donated)
    return Target(jitted._name, jit.plan_results(traced.graph).graph, tuple(pairs))


def written_part(graph: Graph) -> Graph:
    """The graph without its backward equations: what the user wrote, gradients being inputs."""
    backward = [e for e in graph.eqns if e.scope == "grad" or e.scope.startswith("grad(")]
    made = {v for e in backward for v in e.outs}
    kept = [e for e in graph.eqns if not made.intersection(e.outs)]
    read = [v for e in kept for v in e.ins] + list(graph.outs)
    gradients = dict.fromkeys(v for v in read if isinstance(v, Var) and v in made)
    return Graph((*graph.ins, *gradients), tuple(kept), graph.outs)
