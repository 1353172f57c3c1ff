"""What can go wrong on a device, each as one exception with a cure.

Invariant: a wgpu error never reaches the user raw where one of these fits; `translate` decides.
"""

from __future__ import annotations

import re

from codegen.program import KernelCode

CURE_NO_ADAPTER = "run `picotron doctor --fix` or `./setup` to install a driver"


class NoAdapterError(RuntimeError):
    """No usable adapter, or none that the override names."""


class UnknownAdapterError(NoAdapterError):
    """There are adapters, but the override names none of them."""

    exit_code = 2  # a command line's for a wrong flag


class DeviceLostError(RuntimeError):
    """The device is gone; only a new process can go on, from the last checkpoint."""

    exit_code = 75  # a command line's: "try again", in sysexits.h


class OutOfMemoryError(MemoryError):
    """A program or buffer needs more than the adapter or the machine has."""


class ProgramError(ValueError):
    """A program and its device, or a program and its arguments, do not fit together."""


class KernelCompileError(RuntimeError):
    """A kernel's WGSL was refused. `wgsl` is the whole text, `line` the 1-based line or None."""

    def __init__(self, kernel: KernelCode, reason: str) -> None:
        self.kernel, self.wgsl, self.line = kernel.name, kernel.wgsl, _line_of(reason)
        where = f" at line {self.line}" if self.line else ""
        head = f"kernel `{kernel.name}` (template {kernel.template}) does not compile{where}: "
        body = f"\n{listing(kernel.wgsl, self.line)}" if self.line else ""
        super().__init__(head + _cause(reason) + body)


def translate(error: Exception, advice: str = "") -> Exception:
    """The project's exception for a wgpu error; the error itself if none fits."""
    text = str(error)
    if "Not enough memory" in text or "OutOfMemory" in type(error).__name__:
        return OutOfMemoryError(f"the adapter has no memory left; {advice or 'use less'}")
    if "device is lost" in text:
        return DeviceLostError("the device is lost; start a new process from the last checkpoint")
    return error


def listing(wgsl: str, line: int, around: int = 6) -> str:
    """The numbered lines about `line` (1-based), which is marked with `>`."""
    lines = wgsl.splitlines()
    first, last = max(1, line - around), min(len(lines), line + around)
    rows = range(first, last + 1)
    return "\n".join(f"{'>' if i == line else ' '}{i:5} | {lines[i - 1]}" for i in rows)


def _line_of(reason: str) -> int | None:
    found = re.search(r"wgsl:(\d+):\d+", reason)
    return int(found.group(1)) if found else None


def _cause(reason: str) -> str:
    """The part of a wgpu message that says why: no banner, no source excerpt."""
    lines = [text.strip() for text in reason.splitlines()]
    kept = [text for text in lines if text and not re.match(r"[┌│─=]|\d+ │|Validation Error", text)]
    skip = ("Caused by:", "In wgpu")
    return "; ".join(text for text in kept if not text.startswith(skip)) or reason.strip()
