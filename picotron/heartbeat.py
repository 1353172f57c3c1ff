"""Lines that say what a long wait is for, while it lasts.

Invariant: a wait that is over within `FIRST_S` says nothing, and nothing is said after its end.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

FIRST_S, EVERY_S = 4.0, 20.0


@contextmanager
def telling(
    say: Callable[[str], None], what: str, first: float = FIRST_S, every: float = EVERY_S
) -> Iterator[None]:
    """While the block runs, `say` that it is still at `what`, after `first` seconds and then every
    `every`; from a thread of its own, since a driver may hold the calling one for minutes."""
    over, begin = threading.Event(), time.monotonic()

    def tell() -> None:
        pause = first
        while not over.wait(pause):
            say(f"still {what}: {time.monotonic() - begin:.0f} s so far")
            pause = every

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
