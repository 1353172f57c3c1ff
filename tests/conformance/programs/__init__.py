"""Small programs as users of JAX write them; the text runs with either library.

Invariant: a program takes the namespace (`jax` or `tracer`) and its inputs, imports neither, and is
deterministic. `everything()` imports the modules and returns what they registered.
"""

from __future__ import annotations

import importlib
import pkgutil
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Make = Callable[[np.random.Generator], np.ndarray]
_registered: dict[str, Program] = {}


@dataclass(frozen=True)
class Program:
    """One program. `inputs` make its arrays; an error program has a `says` instead of results."""

    name: str
    fun: Callable
    inputs: tuple[Make, ...]
    says: str | None  # what the first line of JAX's error, and of ours, has in it
    grad: bool
    exact: bool

    def arrays(self) -> list[np.ndarray]:
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        return [make(rng) for make in self.inputs]


def program(*inputs: Make, says: str | None = None, grad: bool = True, exact: bool = False):
    """Register a function of (namespace, *inputs).

    With inputs it also runs under jit, and its float results are differentiated with respect to its
    float inputs unless `grad` is False. `exact` asks for equal bits. `says` makes it an error
    program: both libraries must raise, with these words in the first line.
    """

    def register(fun: Callable) -> Callable:
        name = f"{fun.__module__.rsplit('.', 1)[-1]}.{fun.__name__}"
        assert name not in _registered, f"two programs are called {name}"
        _registered[name] = Program(name, fun, inputs, says, grad, exact)
        return fun

    return register


def everything() -> list[Program]:
    """All programs, ordered by module and place in it."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return list(_registered.values())


# --- inputs ---------------------------------------------------------------------------------------


def floats(*shape: int, low: float = -2, high: float = 2, dtype: Any = np.float32) -> Make:
    return lambda rng: rng.uniform(low, high, shape).astype(dtype)


def positive(*shape: int) -> Make:
    return floats(*shape, low=0.2, high=3)


def ints(*shape: int, low: int = 0, high: int = 4, dtype: Any = np.int32) -> Make:
    return lambda rng: rng.integers(low, high, shape).astype(dtype)


def bools(*shape: int) -> Make:
    return lambda rng: rng.integers(0, 2, shape).astype(bool)


def distinct(*shape: int) -> Make:
    """Floats of which no two are near: sorting and maxima have one answer and one gradient."""
    size = int(np.prod(shape))
    return lambda rng: ((rng.permutation(size) - size / 2) / 3).astype(np.float32).reshape(shape)
