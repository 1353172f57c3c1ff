"""Telling a process that waits from one that hangs.

Invariant: a process that has waited longer than `timeout` seconds for others says where it and
every other process of its node is, and ends the job. It waits in another thread than the one that
communicates, so it works while that one is stuck.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

ROOM = 256  # bytes of text for each process
LOOK = 0.5  # seconds between two looks


class Watchdog:
    """Watches one process of `world`; what each does is written where all of its node see it."""

    def __init__(self, world: Any, timeout: float) -> None:
        self.world, self.timeout = world, timeout
        self._since: float | None = None
        self._count = 0
        node = world.node
        size = node.Get_size() * ROOM if world.local_rank == 0 else 0
        self._window = world.mpi.Win.Allocate_shared(size, 1, comm=node)
        memory = np.frombuffer(self._window.Shared_query(0)[0], np.uint8)
        self._board = memory[: node.Get_size() * ROOM].reshape(-1, ROOM)
        self._first = world.rank - world.local_rank
        self.tell("starting")
        if timeout > 0:
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def tell(self, doing: str) -> None:
        """Say what this process does, for others to see."""
        text = f"{time.time():.3f} {self._count} {doing}".encode()[: ROOM - 1]
        self._board[self.world.local_rank] = np.frombuffer(text.ljust(ROOM, b"\0"), np.uint8)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """What happens inside waits for other processes."""
        self._count += 1
        self.tell(what)
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._since = None
            self.tell(f"computing after {what}")

    def report(self) -> str:
        """One line for each process of this node: what it does, and for how long."""
        now, lines = time.time(), []
        for n, row in enumerate(self._board):
            since, count, doing = bytes(row).rstrip(b"\0").decode(errors="replace").split(" ", 2)
            place = f"rank {self._first + n}"
            lines.append(f"  {place}: {now - float(since):.0f} s in {doing} (collective {count})")
        return "\n".join(lines)

    def _watch(self) -> None:
        while True:
            time.sleep(min(LOOK, self.timeout / 4))
            since = self._since
            if since is not None and time.monotonic() - since > self.timeout:
                break
        text = f"rank {self.world.rank} has waited for others for more than {self.timeout:g} s:"
        print(f"picotron: {text}\n{self.report()}", file=sys.stderr, flush=True)
        self.world.abort(1)
        os._exit(1)


__all__ = ["Watchdog"]
