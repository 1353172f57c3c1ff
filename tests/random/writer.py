"""Writing random programs: Python text in the public interface, made line by line.

Invariant: a program is its text, which names the types of its arguments, so a failure is reported,
kept and replayed as what a user could have written. Each line was traced when it was chosen; values
stay below `MOST` elements and, being tamed by tanh and remainders, of moderate size.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from random import Random

import numpy as np
from hypothesis import strategies as st

import tracer
from ir import Aval, bool_, dtype, f32, i32, u32
from ir.build import building
from tracer import lax, nn
from tracer import numpy as jnp
from tracer.array import Tracer
from tracer.staging import Trace

SHAPES = ((), (1,), (3,), (4,), (2, 3), (3, 1), (4, 4), (2, 1, 3), (2, 3, 4), (8,), (0, 2))
MOST = 192  # elements of a value
NAMES = "grad jvp vmap jit checkpoint random value_and_grad".split()
NAMESPACE = {"jnp": jnp, "lax": lax, "nn": nn, **{name: getattr(tracer, name) for name in NAMES}}
RECENT = 3  # half of all operands are among the latest few, or most lines would be dead
DEEPEST = 2  # functions within functions


def aval_of_text(text: str) -> Aval:
    """The type that prints as `text`: "f32[2, 3]"."""
    name, dims = re.fullmatch(r"(\w+)\[(.*)\]", text).groups()
    return Aval(tuple(int(n) for n in dims.split(",") if n.strip()), dtype(name))


@dataclass(frozen=True)
class Program:
    """A function `program` as text; the annotations of its parameters are their types."""

    text: str

    def __repr__(self) -> str:
        return f"Program('''\\\n{self.text}''')"

    @cached_property
    def function(self) -> Callable:
        """The function; it returns a tuple of arrays."""
        namespace = dict(NAMESPACE)
        exec(compile(self.text, "<random program>", "exec", dont_inherit=True), namespace)
        return namespace["program"]

    @property
    def avals(self) -> tuple[Aval, ...]:
        return tuple(map(aval_of_text, self.function.__annotations__.values()))

    def arguments(self, seed: int) -> list[np.ndarray]:
        """Arrays of the parameters' types."""
        rng = np.random.default_rng(seed)
        return [argument(rng, aval) for aval in self.avals]


def argument(rng: np.random.Generator, aval: Aval) -> np.ndarray:
    """A random array: floats around 0, small integers of either sign, words of all bits."""
    if aval.dtype.is_float:
        return np.asarray(rng.standard_normal(aval.shape), aval.dtype.np)
    low, high = {u32: (0, 2**32), bool_: (0, 2)}.get(aval.dtype, (-5, 9))
    return np.asarray(rng.integers(low, high, aval.shape)).astype(aval.dtype.np)


class Writer:
    """One function under construction: its lines, and its values by name."""

    def __init__(self, rng: Random, smooth: bool, parent: Writer | None = None) -> None:
        self.rng, self.smooth = rng, smooth
        self.depth = parent.depth + 1 if parent else 0
        self.count = parent.count if parent else [0]
        self.env = dict(parent.env) if parent else dict(NAMESPACE)
        self.values: dict[str, Aval] = {}
        self.lines: list[str] = []

    # --- draws ---

    def choose(self, options: Sequence | dict) -> object:
        return self.rng.choice(tuple(options))

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self.rng.randint(low, high)

    def flag(self) -> bool:
        return self.rng.random() < 0.5

    def pick(self, keep: Callable[[Aval], bool] = lambda a: a.dtype is f32) -> str | None:
        """The name of a value whose type `keep` accepts, or None."""
        fitting = [n for n, a in self.values.items() if keep(a)]
        return self.choose(fitting[-RECENT:] if self.flag() else fitting) if fitting else None

    def newest(self, keep: Callable[[Aval], bool] = lambda a: True) -> str | None:
        """The latest such value."""
        return next((n for n, a in reversed(self.values.items()) if keep(a)), None)

    def like(self, aval: Aval) -> str:
        """An expression of exactly this type."""
        found = self.newest(lambda a: a == aval)
        if found is not None:
            return found
        value = 0.25 if aval.dtype.is_float else 1
        return f"jnp.full({aval.shape}, {value}, {aval.dtype.np.name!r})"

    # --- lines ---

    def fresh(self, stem: str = "v") -> str:
        self.count[0] += 1
        return f"{stem}{self.count[0]}"

    def evaluate(self, text: str) -> object:
        return eval(text, self.env)

    def assign(self, text: str) -> str | None:
        """Name the value of an expression, unless it is too big; returns the name."""
        made = self.evaluate(text)
        if isinstance(made, (tuple, list)):
            at = self.integer(0, len(made) - 1)
            made, text = made[at], f"{text}[{at}]"
        if made.size > MOST:
            return None
        name = self.fresh()
        self.env[name], self.values[name] = made, made.aval
        self.lines.append(f"{name} = {text}")
        return name

    def extend(self, steps: Sequence[Callable[[Writer], str | None]], least: int, most: int):
        """`least` to `most` further lines, as far as their steps find operands."""
        for _ in range(self.integer(least, most)):
            text = self.choose(steps)(self)
            if text is not None:
                self.assign(text)

    # --- functions ---

    @contextmanager
    def function(self, smooth: bool = False, **parameters: Aval) -> Iterator[Writer]:
        """Write an inner function; set `result` on the writer, and read `name` afterwards.

        Values of the enclosing functions stay in reach, as in Python; `smooth` is for bodies
        that will be differentiated.
        """
        inner = Writer(self.rng, self.smooth or smooth, self)
        inner.name = self.fresh("f")
        inner.values = dict(self.values) if self.flag() else {}
        with building(Trace()) as builder:
            for name, aval in parameters.items():
                inner.env[name] = Tracer(builder.input(aval))
                inner.values[name] = aval
            yield inner
        lines = [f"def {inner.name}({', '.join(parameters)}):"]
        lines += textwrap.indent("\n".join([*inner.lines, f"return {inner.result}"]), "    ").split(
            "\n"
        )
        exec("\n".join(lines), self.env)
        self.lines += lines

    def finish(self, parameters: dict[str, Aval], keep: Callable[[Aval], bool]) -> Program:
        """The whole program: it returns the last four values that `keep` accepts."""
        chosen = [n for n, a in self.values.items() if keep(a)][-4:]
        typed = ", ".join(f"{n}: {str(a)!r}" for n, a in parameters.items())
        body = textwrap.indent("\n".join(self.lines), "    ")
        return Program(f"def program({typed}):\n{body}\n    return ({', '.join(chosen)},)\n")


def _parameters(rng: Random, smooth: bool) -> dict[str, Aval]:
    """One or two float32 arguments, and up to two of any kind."""
    shapes = SHAPES[:-1] if smooth else SHAPES
    kinds = [f32] * rng.randint(1, 2)
    kinds += [rng.choice((i32, f32, bool_, u32)) for _ in range(rng.randint(0, 2))]
    return {n: Aval(rng.choice(shapes), k) for n, k in zip("abcd", kinds, strict=False)}


def write(seed: int, smooth: bool = False, most: int = 10) -> Program:
    """A program of four to `most` lines at the top. With `smooth` its results are float32 and
    nothing in it hides a dependence from derivatives."""
    from .steps import steps

    rng = Random(seed)
    parameters = _parameters(rng, smooth)
    writer = Writer(rng, smooth)
    with building(Trace()) as builder:
        for name, aval in parameters.items():
            writer.env[name] = Tracer(builder.input(aval))
            writer.values[name] = aval
        writer.extend(steps(smooth), 4, most)
        return writer.finish(parameters, lambda a: not smooth or a.dtype is f32)


def programs(**options: bool) -> st.SearchStrategy[Program]:
    """Programs by number: hypothesis chooses which, and `shrink` makes a failing one small."""
    return st.integers(0, 2**32).map(lambda seed: write(seed, **options))
