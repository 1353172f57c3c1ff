"""Python's collector of reference cycles, and when it had better wait.

Invariant: after the block the collector is on exactly if it was on before, however the block ends.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Suspend the collector for a block that makes or reads graphs and programs.

    They are hundreds of thousands of small objects, nearly all of which stay: looking through them
    again and again takes a tenth of a compile's time, a third of that of a pass over a graph and
    more than half of what it takes to read a kept trace. What is in no cycle is freed as ever.

    Do not use it as a decorator: that puts a frame of `contextlib` between the user's line and the
    tracer, and `ir.build.user_src` would take it for the user's.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
