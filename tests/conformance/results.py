"""The record of what the suites found, `results.json`, which FEATURES.md is generated from.

Invariant: a suite's section is written only by complete runs on the default backend, of the suite
or, where it has programs by module, of whole modules; it holds nothing of the machine it ran on. A
section is {check: {"run": count, "failures": {name: reason}}}, with "modules": {name: count} where
there are any; names are those of programs, module.program, or operator#sample.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
PATH = HERE / "results.json"


def load() -> dict:
    """The recorded sections by suite; empty before the first recorded run."""
    return json.loads(PATH.read_text()) if PATH.exists() else {}


def save(suite: str, section: dict) -> None:
    """Replace the section of one suite."""
    found = {**load(), suite: section}
    PATH.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def summary(found: dict[str, dict[str, str | None]]) -> dict[str, dict]:
    """The section of {name: {check: reason or None}}."""
    section = {}
    for check in sorted({c for checks in found.values() for c in checks}):
        ran = {name: checks[check] for name, checks in found.items() if check in checks}
        section[check] = {"run": len(ran), "failures": {n: r for n, r in ran.items() if r}}
    return section


def with_modules(section: dict[str, dict], found: dict[str, dict]) -> dict[str, dict]:
    """The section with what a run of whole modules found in place of what it says of them."""
    out = dict(section)
    for check, one in summary(found).items():
        old = section.get(check, {"failures": {}, "modules": {}})
        ran = Counter(module_of(name) for name, checks in found.items() if check in checks)
        kept = {n: r for n, r in old["failures"].items() if module_of(n) not in ran}
        modules = {**old["modules"], **ran}
        failures = {**kept, **one["failures"]}
        out[check] = {"run": sum(modules.values()), "failures": failures, "modules": modules}
    return out


def module_of(name: str) -> str:
    """The module of a program."""
    return name.partition(".")[0]


def clean(reason: str) -> str:
    """A reason without absolute paths, addresses and run-dependent numbers of elements."""
    reason = re.sub(r"/[\w./-]*/", "", " ".join(reason.split()))
    return re.sub(r" at 0x[0-9a-f]+", "", reason)[:240]


def causes(failures: dict[str, str]) -> list[tuple[str, list[str]]]:
    """(cause, names of what failed by it), the most frequent first.

    A missing name or argument is a cause by itself; differences of values are one cause each.
    """
    by_cause: dict[str, list[str]] = {}
    for name, reason in failures.items():
        by_cause.setdefault(_cause(reason), []).append(name)
    return sorted(by_cause.items(), key=lambda item: (-len(item[1]), item[0]))


def _cause(reason: str) -> str:
    kept = re.sub(r"^((value|jit|gradient): )+", "", reason)
    if kept.startswith(("missing:", "argument:")):
        return kept
    return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "#", kept)


def report(title: str, run: int, failures: dict[str, str]) -> str:
    """The counts and every failure with its reason, grouped by cause."""
    lines = [f"{title}: {run - len(failures)} of {run} pass"]
    for cause, names in causes(failures):
        lines.append(f"  {len(names)} x {cause if len(names) > 1 else failures[names[0]]}")
        lines.append(f"      {', '.join(grouped(names))}")
    return "\n".join(lines)


def grouped(names: list[str]) -> list[str]:
    """Samples of one operator together: sort#0,2-5."""
    samples: dict[str, list[int]] = {}
    for name in names:
        owner, _, at = name.partition("#")
        samples.setdefault(owner, []).extend([int(at)] if at else [])
    return [f"{owner}#{_ranges(at)}" if at else owner for owner, at in samples.items()]


def _ranges(numbers: list[int]) -> str:
    spans: list[list[int]] = []
    for n in numbers:
        if spans and spans[-1][1] == n - 1:
            spans[-1][1] = n
        else:
            spans.append([n, n])
    return ",".join(f"{a}-{b}" if b > a else f"{a}" for a, b in spans)
