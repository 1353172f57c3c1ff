"""Lines that say what a long wait is for, while it lasts.

Invariant: a wait that is over within `FIRST_S` says nothing, and nothing is said after its end.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

FIRST_S, EVERY_S = 4.0, 20.0


def on_stderr(text: str) -> None:
    print(f"picotron: {text}", file=sys.stderr, flush=True)


def first_told(pieces: Iterable[str], what: str) -> Iterator[str]:
    """The pieces; as long as the first is waited for, stderr says that it is still at `what`."""
    rest = iter(pieces)
    with telling(on_stderr, what):
        first = next(rest, None)
    if first is not None:
        yield first
        yield from rest


@contextmanager
def telling(
    say: Callable[[str], None], what: str, first: float | None = None, every: float = EVERY_S
) -> Iterator[None]:
    """While the block runs, `say` that it is still at `what`, after `first` seconds (by default
    FIRST_S) and then every `every`; from a thread of its own, since a driver may hold the calling
    one for minutes."""
    over, begin = threading.Event(), time.monotonic()

    def tell() -> None:
        pause = FIRST_S if first is None else first
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
