"""What a user of traced arrays can do wrong, each as one exception.

Invariant: the first line of a message is JAX's, what follows says which function was traced, which
argument the value came from and what to do, and the end is the user's line (`located`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ir.build import Builder, LeakedTracerError, describe_src, user_src
from ir.graph import Var
from ir.passes.keys import KeyReuseError


class ConcretizationTypeError(TypeError):
    """A concrete value was asked of an array that is only traced."""


class TypePromotionError(ValueError):
    """Dtypes met of which the rules in force make no common one."""


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced array was used as a condition."""


class TracerIntegerConversionError(TypeError):
    """A traced array was used as a Python index."""


class TracerArrayConversionError(TypeError):
    """A traced array was handed to numpy."""


class NonConcreteBooleanIndexError(IndexError):
    """The shape of a result depends on the values of a traced mask."""


class UnexpectedTracerError(LeakedTracerError):
    """A traced array was used after the function that made it had returned."""


def located(kind: type[Exception], message: str) -> Exception:
    """An exception whose message ends with the user's current line."""
    return kind(message + describe_src(user_src()))


# --- which function, which argument ---------------------------------------------------------------


@dataclass(frozen=True)
class Origin:
    """The user's function that a graph is traced from, and for what: "jit", "grad"."""

    fun: Callable
    purpose: str

    def __str__(self) -> str:
        return describe_function(self.fun)


def describe_function(fun: Callable) -> str:
    """`name at file:line`."""
    name = getattr(fun, "__name__", None) or repr(fun)
    code = getattr(fun, "__code__", None)
    return f"{name} at {code.co_filename}:{code.co_firstlineno}" if code else name


def check_callable(fun: Any) -> None:
    """Raises TypeError for what no transformation can trace."""
    if not callable(fun):
        raise located(TypeError, f"Expected a callable value, got {fun}")
    code = getattr(fun, "__code__", None)
    if code is not None and code.co_flags & 0x20:  # its body would only run when iterated
        raise located(TypeError, f"Expected a function, got a generator function: {fun}")


def not_concrete(kind: type[Exception], tracer: Any, first: str, cure: str) -> Exception:
    """The error for a value that is only known when the traced function runs."""
    builder = tracer.builder
    lines = [first]
    if builder is not None and builder.origin:
        told = f"The error occurred while tracing the function {builder.origin} for "
        lines.append(f"{told}{builder.origin.purpose}. {_because(tracer)}")
    return located(kind, "\n".join([*lines, cure]))


def _because(tracer: Any) -> str:
    names = sorted(arguments_of(tracer.builder, tracer.value))
    text = "This concrete value was not available in Python because it depends on the value of the "
    if not names:
        return f"{text}traced operations."
    return f"{text}argument{'s' * (len(names) > 1)} {', '.join(names)}."


def arguments_of(builder: Builder | None, value: Any) -> set[str]:
    """Names of the inputs that a traced value depends on, those of enclosing graphs included."""
    made: dict[Var, tuple] = {}
    names: dict[Var, str] = {}
    while builder is not None:
        made.update((v, eqn.ins) for eqn in builder.eqns for v in eqn.outs)
        made.update((inner, (outer,)) for outer, inner in builder.captured.items())
        names.update((v, v.hint) for v in builder.inputs if v.hint)
        builder = builder.outer
    found, pending, seen = set(), [value], set()
    while pending:
        v = pending.pop()
        if isinstance(v, Var) and v not in seen:
            seen.add(v)
            pending.extend(made.get(v, ()))
            found.update({names[v]} if v in names else ())
    return found


def leaked(tracer: Any) -> Exception:
    """The error for a traced value outside of its trace."""
    builder, value = tracer.builder, tracer.value
    lines = [
        "Encountered an unexpected tracer. A transformed function had a side effect, allowing for "
        f"a reference to an intermediate value with type {tracer.user_type} to escape the scope of "
        "the transformation; return it from that function instead of storing it."
    ]
    if builder is not None and builder.origin:
        origin = builder.origin
        lines.append(
            f"The function being traced when the value leaked was {origin} traced for "
            f"{origin.purpose}."
        )
    eqns = builder.eqns if builder is not None else ()
    made = next((eqn for eqn in eqns if value in eqn.outs), None)
    if made is not None and made.src:
        lines.append(f"The value was made by {made.prim.name}{describe_src(made.src)}")
    elif isinstance(value, Var) and value.hint:
        lines.append(f"The value is the argument {value.hint}.")
    return located(UnexpectedTracerError, "\n".join(lines))


__all__ = [
    "ConcretizationTypeError",
    "KeyReuseError",
    "NonConcreteBooleanIndexError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "TypePromotionError",
    "UnexpectedTracerError",
]
