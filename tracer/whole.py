"""Functions of many operations that run as one program.

Invariant: outside of a trace a decorated function is traced, compiled (or found compiled) and run
as a whole, so that it costs one program instead of one for each operation; inside it is inlined.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ir.build import current

from . import settings
from .staging import run_now


def one_program(function: Callable) -> Callable:
    """Decorator: `function` of arrays and settings, as one program when called at once."""

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if current() is not None or settings.now().disable_jit:
            return function(*args, **kwargs)
        return run_now(lambda: function(*args, **kwargs))

    return call
