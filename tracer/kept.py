"""Traces of earlier processes, for functions that say what determines them.

Invariant: a trace that is found is the one that tracing would give: its key holds what `determined`
was told, the signature, the settings and the source of this distribution, and nothing that only
its own process knows is kept. What cannot be read is traced.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from typing import Any, Protocol

from ir.fingerprint import fingerprint

from . import settings
from .calls import Signature
from .staging import Traced

PACKAGES = ("ir", "tracer", "picotron")  # whose source decides what a trace is
_PLAIN = (bool, int, float, str, type(None))
_MODULES = ("ir.", "tracer.", "optree", "ml_dtypes")
_OF_NUMPY = {"ndarray", "dtype", "_reconstruct", "_frombuffer", "scalar"}


class Store(Protocol):
    """Where bytes are kept by key."""

    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, data: bytes) -> bool: ...


def determined(fun: Callable, *by: Any) -> Callable:
    """Say that `fun` computes what this distribution's source and the texts of `by` determine.

    `jit` then finds its traces again in other processes. Closures over anything else, and names
    that are assigned anew while the program runs, would be overlooked.
    """
    fun.determined_by = repr(by)
    return fun


def key_of(fun: Callable, signature: Signature, source: str | None) -> str | None:
    """The key of a trace; None where it is not known what the trace depends on."""
    by = getattr(fun, "determined_by", None)
    told = all(isinstance(value, _PLAIN) for _, _, value in signature.statics)
    if by is None or source is None or not told:
        return None
    name = f"{fun.__module__}.{fun.__qualname__}"
    parts = [source, name, by, str(signature), str(settings.now()), settings.backend()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def load(store: Store, key: str) -> Traced | None:
    """The trace under a key, if there is one."""
    data = store.get(key)
    try:
        return None if data is None else _Reader(io.BytesIO(data)).load()
    except Exception:  # whatever another version of a library makes of the bytes: it is a miss
        return None


def save(store: Store, key: str, traced: Traced) -> None:
    """Keep a trace, unless it holds what means something in this process alone."""
    weak = any(c.weak_type for c in traced.constants)
    if traced.effects or traced.graph.effectful or weak or fingerprint(traced.graph) is None:
        return
    store.put(key, pickle.dumps(traced, protocol=5))


class _Reader(pickle.Unpickler):
    """Makes records of graphs, and nothing that could do something."""

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.".startswith(_MODULES) or (
            module.partition(".")[0] == "numpy" and name in _OF_NUMPY
        ):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a trace")
