"""FEATURES.md: what of the JAX interface exists, from the exports of `tracer` and the results.

Invariant: the page is a function of names.json (JAX's names and their optional parameters),
notes.py, results.json, the texts of the programs and what `tracer` exports; JAX is not imported.

    python -m tests.conformance.features          writes FEATURES.md
    python -m tests.conformance.features --check  fails if it is stale
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import sys
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from ..oracle.differentiable import entries
from . import notes, reasons, results

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "FEATURES.md"
TITLES = {
    "jax": "Transformations and the top level",
    "jax.tree": "Pytrees",
    "jax.tree_util": "Pytrees: registration and older names",
    "jax.numpy": "numpy",
    "jax.numpy.linalg": "numpy.linalg",
    "jax.lax": "lax",
    "jax.nn": "nn",
    "jax.nn.initializers": "nn.initializers",
    "jax.random": "random",
    "jax.sharding": "Sharding",
    "jax.debug": "Debugging",
    "jax.checkpoint_policies": "Checkpoint policies",
    "jax.errors": "Errors",
    "jax.Array": "Methods and attributes of arrays",
    "jax.Array.at": "x.at[index]",
}
APART = "not in the interface"  # samples that no name of the interface could take
ORDERS = "names with a gradient, orders 1 and 2, forward and reverse"
STATES = ("supported", "partly", "not yet", "not planned")


@dataclass(frozen=True)
class Row:
    """One name: its state, why it is not plainly supported, and the programs that use it."""

    name: str
    state: str
    why: str
    passed: int
    used: int


def names() -> dict[str, dict[str, str]]:
    """{module: {name: optional parameters}} of JAX."""
    return json.loads((HERE / "names.json").read_text())


@cache
def module(path: str) -> Any:
    """tracer's counterpart of a JAX module or class, or None."""
    if path in ("jax.Array", "jax.Array.at"):
        array = importlib.import_module("tracer.array").Array
        places = importlib.import_module("tracer.writing").Places
        return array if path == "jax.Array" else places
    found = importlib.import_module("tracer")
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
        if found is None:
            try:
                found = importlib.import_module(path.replace("jax", "tracer", 1))
            except ImportError:
                return None
    return found


def missing_parameters(found: Any, optional: str) -> list[str]:
    """JAX's optional parameters that ours has not and that are not ignored everywhere."""
    try:
        taken = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return []
    if any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        return []
    return [p for p in optional.split() if p not in taken and p not in notes.IGNORED_PARAMETERS]


def not_planned(path: str) -> dict[str, str]:
    """{name: why} of a module's names that are left out for good."""
    return {n: why for why, listed in notes.NOT_PLANNED.get(path, []) for n in listed.split()}


def state_of(path: str, name: str, optional: str) -> tuple[str, str]:
    """(state, why) of one name."""
    owner = module(path)
    found = getattr(owner, name, None) if owner is not None else None
    exists = owner is not None and hasattr(owner, name)
    if not exists:
        why = not_planned(path).get(name)
        return ("not planned", why) if why else ("not yet", "")
    lacking = missing_parameters(found, optional) if callable(found) else []
    if lacking:
        return "partly", f"no {', '.join(f'`{p}`' for p in lacking)}"
    return "supported", ""


# --- which programs use a name --------------------------------------------------------------------


@cache
def uses() -> dict[str, set[str]]:
    """{program: the attribute names in its text}."""
    found = {}
    for path in sorted((HERE / "programs").glob("[a-z]*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                attributes = {n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)}
                found[f"{path.stem}.{node.name}"] = attributes
    return found


@cache
def outcomes() -> dict[str, bool]:
    """{program: whether it passed in the recorded run}."""
    recorded = results.load().get("import swap", {}).get("program", {"failures": {}})
    return {name: name not in recorded["failures"] for name in uses()}


def counted(name: str) -> tuple[int, int]:
    """(passed, run) of the recorded programs whose text has the name."""
    using = [p for p, attributes in uses().items() if name in attributes]
    return sum(outcomes()[p] for p in using), len(using)


def rows(path: str, listed: dict[str, str]) -> list[Row]:
    return [Row(n, *state_of(path, n, optional), *counted(n)) for n, optional in listed.items()]


# --- the page -------------------------------------------------------------------------------------

HEAD = """# What of the JAX interface is supported

Generated by `python -m tests.conformance.features` from what `tracer` exports; a test fails when
it is stale. **supported**: the name exists with all of JAX's optional parameters; **partly**: what
is missing is said; **not yet**: missing, and nothing speaks against it; **not planned**: why.
The last column counts the import-swap programs whose text has that name, as passed/run.

Some parameters are left out everywhere: `out` (arrays are immutable), `precision`,
`preferred_element_type` and `accuracy` (sums are in float32), `device`, `backend` and shardings of
single operations (there is one adapter), and hints to XLA such as `unique_indices`.

## Outside oracles

Run by `python -m pytest tests/conformance` in an environment with the `conformance` extra;
`--record` writes the counts. The last row is of this project's own tests: every name of numpy,
lax and nn that has a gradient against finite differences; `tests/oracle/differentiable.py` lists
the others with the reason why they have none.

"""

FAILURES = """Every one, under the reason why it fails: something left out on purpose, something
that is not there yet, or a defect. What was told is listed as well; `reasons.py` decides by it.

"""


def oracle_table() -> str:
    lines = ["| oracle | checked | pass | share |", "|---|---:|---:|---:|"]
    for suite, section in results.load().items():
        for check, one in section.items():
            run, passed = one["run"], one["run"] - len(one["failures"])
            share = (
                "" if suite.endswith(APART) else f"{1000 * passed // run / 10} %"
            )  # never more than was seen
            lines.append(f"| {suite}: {check} | {run} | {passed} | {share} |")
    # A test fails unless all of these pass, so there is nothing to record.
    count = len(entries())
    lines.append(f"| finite differences: {ORDERS} | {count} | {count} | 100.0 % |")
    return "\n".join(lines)


def failure_list() -> str:
    """Every recorded failure, grouped by reason, and under it by what was told."""
    parts = []
    for suite, section in results.load().items():
        for check, one in section.items():
            if one["failures"]:
                parts.append(f"### {suite}: {check}\n")
                for why, failures in reasons.by_reason(one["failures"]).items():
                    parts.append(f"{len(failures)} × **{why}**\n")
                    parts += [_cause_line(*item, failures) for item in results.causes(failures)]
                    parts.append("")
    return "\n".join(parts)


def _cause_line(cause: str, listed: list[str], failures: dict[str, str]) -> str:
    told = cause if len(listed) > 1 else failures[listed[0]]
    shown = " ".join(told.split()).replace("`", "'")
    return f"- {len(listed)} × `{shown}`: {', '.join(results.grouped(listed))}"


def section_text(path: str, found: list[Row]) -> str:
    lines = [f"## {TITLES[path]} (`{path}`)\n", f"{totals(found)}\n"]
    lines += ["| name | state | what is missing, or why | programs |", "|---|---|---|---:|"]
    for row in found:
        count = f"{row.passed}/{row.used}" if row.used else ""
        lines.append(f"| `{row.name}` | {row.state} | {row.why} | {count} |")
    return "\n".join(lines) + "\n"


def totals(found: list[Row]) -> str:
    count = Counter(row.state for row in found)
    return ", ".join(f"{count[s]} {s}" for s in STATES if count[s]) + "."


def page() -> str:
    """The whole text of FEATURES.md."""
    tables = {path: rows(path, listed) for path, listed in names().items()}
    everything = [row for found in tables.values() for row in found]
    summary = f"Of {len(everything)} names: {totals(everything)}\n"
    parts = [HEAD + oracle_table() + "\n", summary]
    parts += [section_text(path, found) for path, found in tables.items()]
    parts += [f"## Failures of the recorded run\n\n{FAILURES}{failure_list().rstrip()}\n"]
    return "\n".join(parts)


def main() -> int:
    text = page()
    if "--check" in sys.argv:
        stale = not PAGE.exists() or PAGE.read_text() != text
        print("FEATURES.md is stale" if stale else "FEATURES.md is current")
        return int(stale)
    PAGE.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
