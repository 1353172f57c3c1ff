"""Programs of graphs, compiled or found on disk.

Invariant: a program that is found is the one that a compile would give: its key is a digest of the
graph, of all that a compile depends on besides, and of the compiler's own source.
"""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from codegen.profile import Profile
from codegen.program import Program
from ir.fingerprint import fingerprint
from ir.graph import Graph

from .store import default_store

WORTH_KEEPING_S = 0.5  # below, compiling again is as good as reading
_ROOT = Path(__file__).resolve().parent.parent


def program_of(
    graph: Graph,
    profile: Profile,
    donate: Sequence[tuple[int, int]],
    name: str,
    memory_budget: int = 0,
) -> Program:
    """The program of a graph. Raises what `compile_graph` raises."""
    store, key = default_store(), None
    if store is not None and (key := _key(graph, profile, donate, name, memory_budget)):
        text = store.get(key)
        if text is not None:
            return Program.from_json(text.decode())
    start = time.perf_counter()
    pairs = tuple(donate)
    program = compile_anew(graph, profile, pairs, name, memory_budget=memory_budget)
    if key and time.perf_counter() - start >= WORTH_KEEPING_S:
        store.put(key, program.to_json().encode())
    return program


def compile_anew(*args: Any, **options: Any) -> Program:
    """`compile_graph`; the compiler is loaded only where a program is not found."""
    from codegen.compile import compile_graph

    return compile_graph(*args, **options)


def _key(graph: Graph, profile: Profile, donate: Sequence, name: str, budget: int) -> str | None:
    digest, source = fingerprint(graph), source_digest("ir", "codegen")
    if digest is None or source is None:
        return None
    parts = [digest, source, repr(profile), repr(tuple(donate)), name, str(budget)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@cache
def source_digest(*packages: str) -> str | None:
    """Of every file of these packages, and of what interprets them; None if one is unreadable."""
    total = hashlib.sha256(f"{platform.python_version()} {np.__version__}".encode())
    try:
        for package in packages:
            found = [p for p in (_ROOT / package).rglob("*") if "__pycache__" not in p.parts]
            if not any(p.suffix == ".py" for p in found):
                return None
            for path in sorted(p for p in found if p.is_file()):
                total.update(f"{path.relative_to(_ROOT)}\0".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    except OSError:
        return None
    return total.hexdigest()
