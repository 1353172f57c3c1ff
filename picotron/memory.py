"""Whether something fits the device, asked before anything is allocated, and what would fit.

Invariant: sizes are those of programs that the compiler made for the very shapes in question; what
is offered instead was compiled as well, and fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from picotron.device import measured
from picotron.errors import NoRoomError

OTHER = "activations"  # what is left of the working memory
Offers = Iterator[tuple[str, "Need | None"]]


@dataclass(frozen=True)
class Need:
    """Bytes by kind, and what there is too little of; `lacking` is None if it fits."""

    parts: dict[str, int]
    lacking: str | None = None

    @property
    def total(self) -> int:
        return sum(self.parts.values())

    def __str__(self) -> str:
        """`3.10 GiB (parameters 0.40, gradients 0.40, …)`."""
        unit, size = ("GiB", 1 << 30) if self.total >= 1 << 30 else ("MiB", 1 << 20)
        shares = {kind: f"{n / size:.2f}" for kind, n in self.parts.items()}
        told = [f"{kind} {share}" for kind, share in shares.items() if float(share)]
        return f"{self.total / size:.2f} {unit} ({', '.join(told)})"


def need_of(
    lowered: Any, inputs: dict[str, str], known: dict[str, int], copies: int = 1
) -> tuple[Need | None, Any]:
    """What a lowered call needs, and its program; None of both where numpy evaluates.

    `inputs` gives the kind of arguments whose names start so; other arguments are `data`. `known`
    are bytes of the working memory by kind. `copies` of the program share the device's memory.
    """
    program, lacking = measured(lowered, copies)
    if program is None:
        return None, None
    parts = dict.fromkeys(inputs.values(), 0)
    data = working = 0
    for slot in program.slots:
        kind = next((k for start, k in inputs.items() if slot.label.startswith(start)), None)
        if slot.kind != "input":
            # A program that exceeds the limits was compiled without donation.
            working += 0 if lacking and slot.kind == "output" else slot.nbytes
        elif kind is None:
            data += slot.nbytes
        else:
            parts[kind] += slot.nbytes
    for kind, size in known.items():
        parts[kind] = min(size, working)
        working -= parts[kind]
    parts |= {OTHER: working, "data": data}
    return Need({kind: size * copies for kind, size in parts.items()}, lacking), program


def require(need: Need | None, what: str, offers: Callable[[], Offers], cure: str) -> None:
    """Nothing if it fits; else NoRoomError with the sizes and what would fit.

    `offers` are only then tried, and end in `cure` if none of them fits.
    """
    if need is None or need.lacking is None:
        return
    fitting = [f"{flags} ({_size(n.total)})" for flags, n in offers() if n and n.lacking is None]
    help_ = f"what fits: {', or '.join(fitting)}" if fitting else cure
    raise NoRoomError(f"{what} needs {need}, but {need.lacking}; {help_}")


def largest(sizes: Sequence[int], need: Callable[[int], Need | None]) -> tuple[int, Need] | None:
    """The largest of ascending `sizes` that fits, by bisection."""
    found, low, high = None, 0, len(sizes)
    while low < high:
        middle = (low + high) // 2
        tried = need(sizes[middle])
        if tried is not None and tried.lacking is None:
            found, low = (sizes[middle], tried), middle + 1
        else:
            high = middle
    return found


def halvings(size: int, least: int = 1) -> list[int]:
    """What halving a size gives as long as it is even and above `least`, ascending."""
    found: list[int] = []
    while size % 2 == 0 and size // 2 >= least:
        size //= 2
        found.insert(0, size)
    return found


def bytes_of(shapes: Any, itemsize: int = 4) -> int:
    """Bytes of arrays of these shapes, `itemsize` an element."""
    return sum(prod(shape) for shape in shapes) * itemsize


def _size(nbytes: int) -> str:
    return f"{nbytes / 2**30:.2f} GiB" if nbytes >= 1 << 30 else f"{nbytes / 2**20:.2f} MiB"
