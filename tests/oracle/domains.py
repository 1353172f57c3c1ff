"""Sample calls: what a sample is, where its operand values come from, and which shapes it has.

Invariant: every operand array has exactly the type its sample states, and no domain makes a result
undefined on a device (conversions stay in range, logarithms see positive numbers); infinities and
NaN occur only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import ir
from ir import PRIMITIVES, Aval, DType, bool_, f16, f32, i32, u32
from ir.dtypes import lowest

Rng = np.random.Generator
Domain = Callable[[Rng, Aval], np.ndarray]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Sample:
    """One call: operand types, params, and for each operand the domain its values come from."""

    prim: str
    avals: tuple[Aval, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    domains: tuple[Domain, ...] = ()

    def graph(self) -> ir.Graph:
        """The graph of this one equation."""
        return ir.build(lambda *xs: ir.emit(PRIMITIVES[self.prim], *xs, **self.params), *self.avals)

    def arrays(self, seed: int = 0) -> list[np.ndarray]:
        """Operand values, of exactly the operand types."""
        rng = np.random.default_rng(seed)
        domains = self.domains or (plain,) * len(self.avals)
        pairs = zip(domains, self.avals, strict=True)
        return [np.asarray(make(rng, a)).astype(a.dtype.np).reshape(a.shape) for make, a in pairs]

    def __str__(self) -> str:
        params = ",".join(f"{k}={_brief(v)}" for k, v in self.params.items())
        return f"{self.prim}[{params}]({', '.join(map(str, self.avals))})".replace(" ", "")


def _brief(param: Any) -> object:
    return f"graph({len(param.eqns)})" if isinstance(param, ir.Graph) else param


# --- domains --------------------------------------------------------------------------------------


def plain(rng: Rng, aval: Aval) -> np.ndarray:
    """Standard normal floats, coin flips, and integers of which half are of any 32 bits."""
    if aval.dtype.is_float:
        return rng.standard_normal(aval.shape)
    if aval.dtype is bool_:
        return rng.random(aval.shape) < 0.5
    info = np.iinfo(aval.dtype.np)
    wide = rng.integers(info.min, info.max, aval.shape, endpoint=True)
    return np.where(rng.random(aval.shape) < 0.5, wide, tame(rng, aval))


def tame(rng: Rng, aval: Aval) -> np.ndarray:
    """Integers that every number type represents exactly; floats of a few units."""
    if aval.dtype.is_float:
        return rng.uniform(-9, 9, aval.shape)
    low = 0 if aval.dtype is not i32 else -9
    return rng.integers(low, 2 if aval.dtype is bool_ else 20, aval.shape)


def positive(rng: Rng, aval: Aval) -> np.ndarray:
    return (
        rng.uniform(0.2, 3, aval.shape) if aval.dtype.is_float else rng.integers(0, 6, aval.shape)
    )


def exponent(rng: Rng, aval: Aval) -> np.ndarray:
    return rng.uniform(-2, 3, aval.shape) if aval.dtype.is_float else rng.integers(0, 5, aval.shape)


def nonzero(rng: Rng, aval: Aval) -> np.ndarray:
    """Floats away from zero; integers include zero, which integer division defines."""
    if not aval.dtype.is_float:
        return plain(rng, aval)
    return rng.uniform(0.4, 3, aval.shape) * rng.choice([-1, 1], aval.shape)


def special(rng: Rng, aval: Aval) -> np.ndarray:
    """Normal floats with infinities and NaN among them."""
    values = rng.choice([np.inf, -np.inf, np.nan, 0.0, lowest(aval.dtype)], aval.shape)
    return np.where(rng.random(aval.shape) < 0.5, values, rng.standard_normal(aval.shape))


def within(low: int, high: int) -> Domain:
    """Integers of [low, high); unsigned ones start at 0."""

    def make(rng: Rng, aval: Aval) -> np.ndarray:
        start = max(low, 0) if aval.dtype is u32 else low
        return rng.integers(start, max(high, start + 1), aval.shape)

    return make


def distinct(low: int, high: int) -> Domain:
    """Integers of [low, high), none of them twice."""
    return lambda rng, aval: rng.permutation(np.arange(low, high))[: aval.size]


def ascending(low: int, high: int) -> Domain:
    """Integers of [low, high) in rising order."""
    return lambda rng, aval: np.sort(rng.integers(low, high, aval.shape))


# --- shapes ---------------------------------------------------------------------------------------

FIXED: tuple[Shape, ...] = ((), (1,), (0,), (7,), (3, 5), (1, 6), (2, 0, 3), (2, 1, 3, 5))


def shapes(rng: Rng, least: int = 0) -> Iterator[Shape]:
    """The fixed shapes of at least `least` axes, then some random ones."""
    yield from (s for s in FIXED if len(s) >= least)
    for _ in range(3):
        rank = int(rng.integers(max(least, 1), 5))
        sizes = [1, 2, 3, 5, 8, 13] if rank < 3 else [1, 2, 3, 5]
        yield tuple(int(n) for n in rng.choice(sizes, rank))


def pick(rng: Rng, options):
    """One of `options`, drawn evenly."""
    return options[int(rng.integers(len(options)))]


def mixed(rng: Rng, least: int = 0, dtypes: tuple[DType, ...] = (f32, f32, f32, i32, bool_, u32)):
    """Operand types over the shapes, mostly f32."""
    for shape in shapes(rng, least):
        yield Aval(shape, pick(rng, dtypes))
    yield Aval((4, 3)[: max(least, 2)], f16)
