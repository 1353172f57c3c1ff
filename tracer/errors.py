"""What a user of traced arrays can do wrong, each as one exception.

Invariant: every message ends with the user's line when it is known (`located`).
"""

from __future__ import annotations

from ir.build import LeakedTracerError, describe_src, user_src


class ConcretizationTypeError(TypeError):
    """A concrete value was asked of an array that is only traced."""


class TracerBoolConversionError(ConcretizationTypeError):
    """A traced array was used as a condition."""


class TracerIntegerConversionError(ConcretizationTypeError):
    """A traced array was used as a Python index."""


class TracerArrayConversionError(TypeError):
    """A traced array was handed to numpy."""


class UnexpectedTracerError(LeakedTracerError):
    """A traced array was used after the function that made it had returned."""


def located(kind: type[Exception], message: str) -> Exception:
    """An exception whose message ends with the user's current line."""
    return kind(message + describe_src(user_src()))


def leaked(what: object) -> Exception:
    """The error for a traced value of type `what` outside of its trace."""
    return located(
        UnexpectedTracerError,
        f"a traced value of type {what} was used after the function that created it had "
        "returned; return it from that function instead of storing it",
    )


__all__ = [
    "ConcretizationTypeError",
    "TracerArrayConversionError",
    "TracerBoolConversionError",
    "TracerIntegerConversionError",
    "UnexpectedTracerError",
]
