"""Python's search for garbage, out of the way while a program is made.

Invariant: it is on afterwards if it was before. Graphs and programs hold no garbage worth finding
and live on, and looking through them again and again takes a tenth of a compile's time, and more
than half of what it takes to read a kept trace.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Within it nothing is looked for; what is not in cycles is freed as ever."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
