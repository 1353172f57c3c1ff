"""How much memory a graphics card has free, which WebGPU does not tell.

Invariant: asked of the vendor's own interface and of nothing else, and `None` wherever that does
not answer: a guess would refuse runs that fit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

NVML = "libnvidia-ml.so.1"
_CARDS = Path("/sys/class/drm")


def free_vram(name: str) -> int | None:
    """Bytes free on the card of this name; with several of one name, on the fullest of them."""
    found = [free for card, free in [*_nvidia(), *_amd(name)] if card.lower() in name.lower()]
    return min(found, default=None)


class _Memory(ctypes.Structure):
    _fields_ = [(field, ctypes.c_ulonglong) for field in ("total", "free", "used")]


def _nvidia() -> Iterator[tuple[str, int]]:
    """(name, free bytes) of each card, by NVIDIA's management library."""
    try:
        library = ctypes.CDLL(NVML)
    except OSError:
        return
    if library.nvmlInit_v2():
        return
    count = ctypes.c_uint()
    library.nvmlDeviceGetCount_v2(ctypes.byref(count))
    for index in range(count.value):
        card, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(96)
        failed = (
            library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(card))
            or library.nvmlDeviceGetName(card, name, len(name))
            or library.nvmlDeviceGetMemoryInfo(card, ctypes.byref(memory))
        )
        if not failed:
            yield name.value.decode(), memory.free
    library.nvmlShutdown()


def _amd(name: str) -> Iterator[tuple[str, int]]:
    """(name, free bytes) of the card that the kernel's amdgpu driver shows, if it is one alone."""
    found = []
    for total in _CARDS.glob("card*/device/mem_info_vram_total"):
        with suppress(OSError, ValueError):
            used = total.with_name("mem_info_vram_used")
            found.append(int(total.read_text()) - int(used.read_text()))
    if len(found) == 1 and "amd" in name.lower():
        yield name, found[0]
