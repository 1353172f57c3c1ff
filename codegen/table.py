"""Programs as tables for people: kernels with their costs, and steps with their buffers.

Invariant: numbers are exact where they are counted (steps, slots, workgroups) and have three digits
where they are estimates (bytes, operations).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from .header import quantity
from .program import (
    NESTED,
    Case,
    Collective,
    Copy,
    Dispatch,
    Loop,
    Program,
    Step,
    Switch,
    While,
    walk,
)


def kernels_table(program: Program) -> str:
    """One line a kernel in the order of first use; bytes and flops are those of one dispatch."""
    head = ("kernel", "template", "grid", "workgroup", "bindings", "bytes", "flops", "count")
    rows = [_kernel_row(program, n) for n in range(len(program.kernels))]
    steps = program.dispatches
    moved, flops = sum(d.nbytes for d in steps), sum(d.flops for d in steps)
    total = (f"{len(program.kernels)} kernels", "", "", "", "")
    total += (quantity(moved, "B"), quantity(flops, "flop"), str(len(steps)))
    memory = ", ".join(
        f"{k} {quantity(n, 'B')}" for k, n in sorted(program.bytes_by_kind().items())
    )
    note = f"buffers: {quantity(program.peak_bytes, 'B')} ({memory})"
    return "\n".join([*aligned([head, *rows, total], "llllrrrr"), note, ""])


def _kernel_row(program: Program, number: int) -> tuple[str, ...]:
    kernel = program.kernels[number]
    uses = [d for d in program.dispatches if d.kernel == number]
    grids = dict.fromkeys(cross(d.grid) for d in uses)
    costs = max(((d.nbytes, d.flops) for d in uses), default=(0, 0))
    written = sum(b.access == "read_write" for b in kernel.bindings)
    bindings = f"{len(kernel.bindings)} ({written} rw)"
    shown = (quantity(costs[0], "B"), quantity(costs[1], "flop"), str(len(uses)))
    workgroup = cross(kernel.workgroup)
    return kernel.name, kernel.template, " ".join(grids), workgroup, bindings, *shown


def plan_text(program: Program, kernels: Collection[str] | None = None) -> str:
    """The steps and the slots; with `kernels`, their steps and the slots they touch."""
    numbered = list(enumerate(walk(program.steps)))
    if kernels is not None:
        numbered = [(n, s) for n, s in numbered if _runs(program, s, kernels)]
    head = ("step", "what", "grid", "bytes", "flops", "scope", "writes", "reads")
    depths = list(_depths(program.steps))
    rows = [_indented(_step_row(program, n, step), depths[n]) for n, step in numbered]
    shown = sorted({slot for _, step in numbered for slot in _touched(step)})
    if kernels is None:
        shown = list(range(len(program.slots)))
    return "\n".join(
        [
            f"{program.name}: {len(program.steps)} steps, {len(program.kernels)} kernels, "
            f"{len(program.slots)} slots, {quantity(program.peak_bytes, 'B')}",
            "",
            *aligned([head, *rows], "rllrrlll"),
            "",
            *aligned([("slot", "kind", "bytes", "holds"), *_slot_rows(program, shown)], "rlrl"),
            "",
        ]
    )


def _indented(row: tuple[str, ...], depth: int) -> tuple[str, ...]:
    return row[0], "  " * depth + row[1], *row[2:]


def _depths(steps: Sequence[Step], depth: int = 0) -> Iterator[int]:
    """How many steps each step stands in, in the order of `walk`."""
    for step in steps:
        yield depth
        if isinstance(step, NESTED):
            yield from _depths(step.steps, depth + 1)


def _runs(program: Program, step: Step, kernels: Collection[str]) -> bool:
    return isinstance(step, Dispatch) and program.kernels[step.kernel].name in kernels


def _touched(step: Step) -> tuple[int, ...]:
    if isinstance(step, Dispatch):
        return step.slots
    if isinstance(step, (Loop, Case)):
        return ()
    return (step.src, step.dst) if isinstance(step, (Copy, Collective)) else (step.slot,)


def _step_row(program: Program, number: int, step: Step) -> tuple[str, ...]:
    if isinstance(step, Loop):
        return str(number), f"{step.count} times", "", "", "", "", "", ""
    if isinstance(step, (While, Switch)):
        what = "while not zero" if isinstance(step, While) else "one case of"
        return str(number), what, "", "", "", "", "", f"s{step.slot}"
    if isinstance(step, Case):
        return str(number), "case", "", "", "", "", "", ""
    moved = quantity(step.nbytes, "B")
    if isinstance(step, Collective):
        what = f"{step.kind} over {','.join(step.axes)}"
        return str(number), what, "", moved, "", step.scope, f"s{step.dst}", f"s{step.src}"
    if isinstance(step, Copy):
        return str(number), "copy", "", moved, "", "", f"s{step.dst}", f"s{step.src}"
    if not isinstance(step, Dispatch):
        return str(number), "fill with zeros", "", moved, "", "", f"s{step.slot}", ""
    kernel = program.kernels[step.kernel]
    pairs = list(zip(step.slots, kernel.bindings, strict=True))
    reads = " ".join(f"s{s}" for s, b in pairs if b.access == "read")
    writes = " ".join(f"s{s}" for s, b in pairs if b.access == "read_write")
    cost = moved, quantity(step.flops, "flop")
    return str(number), kernel.name, cross(step.grid), *cost, step.scope, writes, reads


def _slot_rows(program: Program, shown: Sequence[int]) -> list[tuple[str, ...]]:
    results = {slot: f"result {n}" for n, slot in enumerate(program.out_slots)}
    rows = []
    for number in shown:
        slot = program.slots[number]
        holds = ", ".join(text for text in (slot.label, results.get(number, "")) if text)
        rows.append((f"s{number}", slot.kind, quantity(slot.nbytes, "B"), holds))
    return rows


def cross(sizes: Sequence[int]) -> str:
    """`32x4x8`, trailing ones left out."""
    shown = list(sizes)
    while len(shown) > 1 and shown[-1] == 1:
        shown.pop()
    return "x".join(map(str, shown))


def aligned(rows: Sequence[Sequence[str]], sides: str) -> list[str]:
    """Lines with columns as wide as their longest cell, to the left ("l") or right ("r")."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = zip(row, widths, sides, strict=True)
        padded = (c.rjust(w) if side == "r" else c.ljust(w) for c, w, side in cells)
        lines.append("  ".join(padded).rstrip())
    return lines
