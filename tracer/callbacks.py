"""What programs tell the host while they run: values under way, and the calls that wait for them.

Invariant: calls are made in program order, and never by a jitted call that would have to wait for
the device: a step's values come back beside the next steps. `effects_barrier`, reading any array,
waiting for one, and the end of the process make all calls that are due.
"""

from __future__ import annotations

import atexit
import sys
from collections import deque
from collections.abc import Sequence
from typing import Any

from ir.passes.effects import Record, replay

LAG = 2  # runs whose values may be under way
_draining = False
_pending: deque[tuple[Sequence[Record], Sequence[Any]]] = deque()


def tell(records: Sequence[Record], arrays: Sequence[Any]) -> None:
    """Make the calls of one run, now or when its arrays have arrived."""
    for array in arrays:
        array.copy_to_host_async()
    _pending.append((records, arrays))
    patient = not hasattr(sys, "ps1") and any(array.under_way() for array in arrays)
    _drain(LAG if patient else 0)


def _drain(left: int) -> None:
    global _draining
    if _draining:  # a callback reads an array, or calls a program with callbacks
        return
    _draining = True
    try:
        while len(_pending) > left:
            records, arrays = _pending.popleft()
            replay(records, [array.numpy() for array in arrays])
    finally:
        _draining = False


def effects_barrier() -> None:
    """Wait for the values that programs are still to tell, and make the calls."""
    _drain(0)


def due() -> bool:
    """Whether calls are waiting to be made."""
    return bool(_pending) and not _draining


atexit.register(effects_barrier)
