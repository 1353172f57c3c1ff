"""Does a program fit? Asked before anything is allocated.

Invariant: an impossible program is refused by name and number on the host; drivers report the lack
of memory late (llvmpipe at the first touch of a page, some inside a submit that ends the process).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from codegen.program import Dispatch, Program

from .errors import OutOfMemoryError

CURE = "use a smaller batch or sequence, rematerialise, or shard over more devices"
_CGROUP = Path("/sys/fs/cgroup")


def check_memory(program: Program, limits: Mapping[str, int], available: int | None) -> None:
    """Raise OutOfMemoryError if a slot is over `limits` or the program over `available` bytes."""
    lacking = shortage(program, limits, available)
    if lacking:
        raise OutOfMemoryError(f"{program.name} needs {breakdown(program)}, but {lacking}; {CURE}")


def shortage(program: Program, limits: Mapping[str, int], available: int | None) -> str | None:
    """What a program has too much of, as in `temp `scores` of 300.0 MiB is over …`; None if it
    fits. `available` are bytes for all of it together, None if nobody knows."""
    every = range(len(program.slots))
    for what, slots in (("buffer", every), ("storage-buffer-binding", sorted(_bound(program)))):
        limit = limits[f"max-{what}-size"]
        for index in slots:
            slot = program.slots[index]
            if slot.nbytes > limit:
                told = what.removeprefix("storage-buffer-")
                return (
                    f"{slot.kind} `{slot.label or index}` of {_mib(slot.nbytes)} MiB is over the "
                    f"adapter's {told} size limit of {_mib(limit)} MiB"
                )
    if available is not None and program.peak_bytes > available:
        return f"only {_mib(available)} MiB of memory are free"
    return None


def breakdown(program: Program) -> str:
    """`12.0 MiB (inputs 4.0, outputs 4.0, temps 4.0)`."""
    parts = ", ".join(f"{kind}s {_mib(n)}" for kind, n in sorted(program.bytes_by_kind().items()))
    return f"{_mib(program.peak_bytes)} MiB ({parts})"


def _bound(program: Program) -> set[int]:
    return {slot for step in program.steps if isinstance(step, Dispatch) for slot in step.slots}


def _mib(nbytes: int) -> str:
    return f"{nbytes / (1 << 20):.1f}"


def free_ram() -> int | None:
    """Bytes this process may still take: free RAM under the container's and process's limits."""
    bounds = [_meminfo_available(), _cgroup_room(), _address_room()]
    known = [bound for bound in bounds if bound is not None]
    return max(0, min(known)) if known else None


def _meminfo_available() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    values = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(values[0]) << 10 if values else None


def _cgroup_room() -> int | None:
    try:
        limit = (_CGROUP / "memory.max").read_text().strip()
        used = (_CGROUP / "memory.current").read_text().strip()
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdigit() else None


def _address_room() -> int | None:
    if not sys.platform.startswith("linux"):
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    used = pages * os.sysconf("SC_PAGE_SIZE")
    return None if limit == resource.RLIM_INFINITY else limit - used
