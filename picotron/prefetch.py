"""Batches made ahead by threads, so that the training loop finds them ready.

Invariant: what `Prefetched` gives for a number is what the function gives, in any order of numbers;
an error of a thread is raised where its batch is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any


class Prefetched:
    """`make(number)`, with the following `ahead` numbers under way; 0 makes each when asked."""

    def __init__(self, make: Callable[[int], Any], ahead: int) -> None:
        self._make, self._ahead = make, ahead
        self._coming: dict[int, Future] = {}
        self._pool = ThreadPoolExecutor(ahead, "batches") if ahead else None

    def __call__(self, number: int) -> Any:
        if self._pool is None:
            return self._make(number)
        wanted = range(number, number + self._ahead + 1)
        for other in self._coming.keys() - set(wanted):
            self._coming.pop(other).cancel()
        for each in wanted:
            if each not in self._coming:
                self._coming[each] = self._pool.submit(self._make, each)
        return self._coming.pop(number).result()

    def close(self) -> None:
        """Let the threads end; what is under way is dropped."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
