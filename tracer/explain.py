"""Why a function is traced again, and what a compile cost: text for `explain()` and for logs.

Invariant: nothing here decides anything. Text goes to the logger "tracer", at a level that Python
shows on stderr unless told otherwise.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakKeyDictionary

from ir.build import user_src
from ir.graph import Aval

from . import settings, tree
from .calls import Signature
from .errors import describe_function
from .roles import Roles

log = logging.getLogger("tracer")
SHOWN = 8  # argument types in one line of the log
_seen: WeakKeyDictionary = WeakKeyDictionary()  # code of each function ever traced by a jit


def why_traced(of: Roles, known: Sequence[Signature], new: Signature) -> str:
    """Why a jitted function has no trace for `new`; `known` are those it has, the latest last."""
    if not known:
        return _why_first(of.fun)
    found = [differences(of, old, new) for old in reversed(known)]
    return "\n".join(min(found, key=len))


def _why_first(fun: Callable) -> str:
    code = getattr(fun, "__code__", None)
    if code is None:
        return "first call"
    again = code in _seen
    _seen[code] = True
    if not again:
        return "first call"
    return (
        f"first call of a new function object: {describe_function(fun)} was jitted before; define "
        "and jit it once, outside of what runs repeatedly"
    )


def differences(of: Roles, old: Signature, new: Signature) -> list[str]:
    """What makes `new` differ from `old`, one line for each argument."""
    lines = []
    before = {n: v for n, _, v in old.statics}
    for name, _, value in new.statics:
        if name not in before or before[name] != value or type(before[name]) is not type(value):
            was = repr(before[name]) if name in before else "absent"
            lines.append(f"static argument {of.label(name)}: {was} -> {value!r}")
    types = [
        dict(zip(map(of.path_label, tree.paths(s.in_tree)), s.avals, strict=True))
        for s in (old, new)
    ]
    for label in dict.fromkeys([*types[0], *types[1]]):
        a, b = (t.get(label, "absent") for t in types)
        if a != b:
            lines.append(f"argument {label}: {a} -> {b}")
    for name, a, b in zip(settings.TRACING, old.options, new.options, strict=True):
        if a != b:
            lines.append(f"{name}: {a} -> {b}")
    if not lines:
        lines.append(f"structure of the arguments: {old.in_tree} -> {new.in_tree}")
    return lines


def log_miss(of: Roles, why: str) -> None:
    """Under `explain_cache_misses`: which call found no trace, and what differed."""
    if not settings.now().explain_cache_misses:
        return
    lines = [f"  {line}" for line in why.splitlines()]
    head = f"TRACING CACHE MISS at {user_src()}: {describe_function(of.fun)}"
    log.warning("%s", "\n".join([head, *lines]))


def log_compile(
    name: str, avals: Iterable[Aval], seconds: float, kernels: int, dispatches: int, why: str
) -> None:
    """Under `log_compiles`: one line."""
    if not settings.now().log_compiles:
        return
    types = [str(a) for a in avals]
    more = f", and {len(types) - SHOWN} more" if len(types) > SHOWN else ""
    log.warning(
        "Compiled %s(%s%s) in %.3f s: %d kernels, %d dispatches; %s",
        name, ", ".join(types[:SHOWN]), more, seconds, kernels, dispatches,
        "; ".join(why.splitlines()),
    )  # fmt: skip
