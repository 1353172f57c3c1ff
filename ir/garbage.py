"""Python's collector of reference cycles, and when it had better wait.

Invariant: it is back as it was when a function decorated here returns, however it returns.
"""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable


def uncollected(function: Callable) -> Callable:
    """Decorator for a pass over a graph. It makes hundreds of thousands of small objects, nearly
    all of which stay; a collection in its midst finds nothing and takes a third of the time."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        if not gc.isenabled():
            return function(*args, **kwargs)
        gc.disable()
        try:
            return function(*args, **kwargs)
        finally:
            gc.enable()

    return call
