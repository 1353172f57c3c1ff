"""What changed between two compiled programs.

Invariant: kernels are matched by their statements before their names, so a renamed kernel is not
reported as changed, and comments (source lines) never make a difference.
"""

from __future__ import annotations

import difflib
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from .compile import statements
from .header import quantity
from .program import NESTED, Dispatch, KernelCode, Program, Step
from .target import UsageError


def read(path: Path) -> Program:
    """The program of a dump folder or a program.json; UsageError if there is none."""
    file = path / "program.json" if path.is_dir() else path
    try:
        return Program.from_json(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(f"{file} is not a program that `dump --out` wrote") from None


@dataclass(frozen=True)
class Match:
    """Kernels of two programs, by what became of them. Pairs are (old, new)."""

    kept: list[tuple[KernelCode, KernelCode]]
    changed: list[tuple[KernelCode, KernelCode]]
    removed: list[KernelCode]
    added: list[KernelCode]


def match(old: Program, new: Program) -> Match:
    """Equal statements first, equal names second."""
    left = {k.name: k for k in old.kernels}
    right = {k.name: k for k in new.kernels}
    kept = []
    by_text: dict[tuple, list[str]] = {}
    for name, kernel in right.items():
        by_text.setdefault(_essence(kernel), []).append(name)
    for name, kernel in list(left.items()):
        twins = by_text.get(_essence(kernel), [])
        if twins:
            twin = twins.pop(twins.index(name) if name in twins else 0)
            kept.append((left.pop(name), right.pop(twin)))
    changed = [(left.pop(name), right.pop(name)) for name in list(left) if name in right]
    return Match(kept, changed, list(left.values()), list(right.values()))


def _essence(kernel: KernelCode) -> tuple:
    return statements(kernel.wgsl), kernel.workgroup, tuple(b.access for b in kernel.bindings)


def diff(old: Program, new: Program) -> str:
    """A report of every difference; empty if the two programs do the same."""
    found = match(old, new)
    lines = [f"- {k.name} ({k.template}) is gone" for k in found.removed]
    lines += [f"+ {k.name} ({k.template}) is new" for k in found.added]
    for a, b in found.changed:
        lines += [f"~ {a.name} ({b.template}) changed", *unified(a, b)]
    lines += _count_lines(old, new, found)
    lines += _total_lines(old, new)
    if not lines and _schedule(old, found.kept, 0) != _schedule(new, found.kept, 1):
        lines.append("the same kernels run in another order, on other buffers or on other grids")
    return "\n".join([*lines, ""]) if lines else ""


def unified(old: KernelCode, new: KernelCode) -> list[str]:
    """A unified diff of two kernels."""
    before, after = old.wgsl.splitlines(), new.wgsl.splitlines()
    return list(difflib.unified_diff(before, after, f"a/{old.name}", f"b/{new.name}", lineterm=""))


def _count_lines(old: Program, new: Program, found: Match) -> list[str]:
    before, after = _counts(old), _counts(new)
    return [
        f"# {b.name}: {before[a.name]} -> {after[b.name]} dispatches"
        for a, b in (*found.kept, *found.changed)
        if before[a.name] != after[b.name]
    ]


def _counts(program: Program) -> Counter[str]:
    return Counter(program.kernels[d.kernel].name for d in program.dispatches)


def _total_lines(old: Program, new: Program) -> list[str]:
    before, after = _totals(old), _totals(new)
    lines = []
    for name in dict.fromkeys((*before, *after)):
        a, b = before.get(name, 0), after.get(name, 0)
        if a != b:
            sign = "+" if b > a else "-"
            text = f"{a} -> {b}"
            if not name.endswith("count"):
                unit = "flop" if name == "operations" else "B"
                text = f"{quantity(a, unit)} -> {quantity(b, unit)}"
            share = f", {sign}{abs(b - a) / a:.1%}" if a else ""
            lines.append(f"= {name}: {text} ({sign}{abs(b - a)}{share})")
    return lines


def _totals(program: Program) -> dict[str, int]:
    steps = program.dispatches
    totals = {"kernel count": len(program.kernels), "dispatch count": len(steps)}
    totals["step count"] = len(program.steps)
    totals["bytes moved"] = sum(d.nbytes for d in steps)
    totals["operations"] = sum(d.flops for d in steps)
    totals |= {f"{k} buffers": n for k, n in sorted(program.bytes_by_kind().items())}
    return totals | {"all buffers": program.peak_bytes}


def _schedule(program: Program, kept: list[tuple[KernelCode, KernelCode]], side: int) -> tuple:
    """The steps with kernels numbered alike in both programs, and what the slots are."""
    number = {pair[side].name: n for n, pair in enumerate(kept)}

    def renumbered(step: Step) -> Step:
        if isinstance(step, Dispatch):
            return replace(step, kernel=number[program.kernels[step.kernel].name], scope="")
        if isinstance(step, NESTED):
            return replace(step, steps=tuple(map(renumbered, step.steps)))
        return step

    steps = tuple(map(renumbered, program.steps))
    slots = tuple((s.nbytes, s.kind, s.data) for s in program.slots)
    return steps, slots, program.in_slots, program.out_slots
