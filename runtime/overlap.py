"""Where a program waits for what other processes tell it: as late as it can.

Invariant: what is computed stays as it is, and messages begin and end in one order in all
processes. A collective begins where it stands: what it tells is then on its way to the host. It
ends, as `Awaited`, before the first step that touches its result; those that began before it end
before it. What stands between is submitted in the meantime, so the device has work while processes
talk. No message is under way where a loop's body ends, or where one begins that talks itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from codegen.program import NESTED, Collective, Copy, Dispatch, Fill, Step, walk


@dataclass(frozen=True)
class Awaited:
    """From here on the result of a collective must be there; `behind`: whether there are steps
    between that are submitted while it is under way."""

    step: Collective
    behind: bool


def awaited(steps: Iterable[Step]) -> tuple[Step | Awaited, ...]:
    """The steps, with an `Awaited` for each collective."""
    out: list[Step | Awaited] = []
    under_way: list[tuple[Collective, int]] = []  # with how many steps stand before what is behind

    def end(count: int) -> None:
        for step, at in under_way[:count]:
            out.append(Awaited(step, any(isinstance(s, (Dispatch, *NESTED)) for s in out[at:])))
        del under_way[:count]

    for step in steps:
        if under_way:
            end(_touched(step, [c.dst for c, _ in under_way]))
        out.append(replace(step, steps=awaited(step.steps)) if isinstance(step, NESTED) else step)
        if isinstance(step, Collective):
            under_way.append((step, len(out)))
    end(len(under_way))
    return tuple(out)


def _touched(step: Step, results: list[int]) -> int:
    """How many of the messages under way must end before a step, given where their results go."""
    inner = [step, *walk(step.steps)] if isinstance(step, NESTED) else [step]
    if len(inner) > 1 and any(isinstance(s, Collective) for s in inner):
        return len(results)
    slots = {slot for s in inner for slot in _slots(s)}
    return max((n for n, slot in enumerate(results, 1) if slot in slots), default=0)


def _slots(step: Step) -> tuple[int, ...]:
    """What a step reads or writes itself."""
    match step:
        case Dispatch():
            return step.slots
        case Copy() | Collective():
            return step.src, step.dst
        case Fill():
            return (step.slot,)
    slot = getattr(step, "slot", None)  # what a while loop or a switch looks at
    return () if slot is None else (slot,)


__all__ = ["Awaited", "awaited"]
