"""Results of the bench verbs as tables for people.

Invariant: a table says nothing that its result does not hold.
"""

from __future__ import annotations

from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from picotron.terminal import table_width

COLUMNS = (  # (key, heading, format)
    ("ms", "ms", "{:.3g}"),
    ("device_ms", "on the device", "{:.3g}"),
    ("tflops", "TF/s", "{:.3g}"),
    ("gbytes_s", "GB/s", "{:.4g}"),
    ("share_of_roof", "of the roof", "{:.2f}"),
    ("error", "error", "{:.1e}"),
    ("peer_ms", "peer's ms", "{:.3g}"),
    ("peer_device_ms", "on the device", "{:.3g}"),
    ("device_ratio", "times as fast there", "{:.2f}"),
)


def show(result: dict[str, Any], console: Console | None = None) -> None:
    """Print the table of a family of kernels."""
    console = console or Console(highlight=False, width=table_width())
    table = Table(title=title(result), title_justify="left", box=SIMPLE)
    table.add_column(result["family"], no_wrap=True)
    heads = [head for key, head, _ in COLUMNS if has(result, key)]
    for head in (*heads, *(["times as fast"] if result["peer"] else [])):
        table.add_column(head, justify="right")
    for case in result["cases"]:
        table.add_row(*cells(result, case))
    console.print(table)


def cells(result: dict[str, Any], case: dict[str, Any]) -> list[str]:
    """One row of the table."""
    row = [case["case"]]
    for key, _, form in COLUMNS:
        if has(result, key):
            value = case.get(key)
            row.append("" if value is None else form.format(value))
    if result["peer"]:
        row.append(spread(case) if "ratio" in case else "")
    return row


def spread(case: dict[str, Any]) -> str:
    """`0.91 (0.90-0.92)`: median, least and greatest of the rounds."""
    return f"{case['ratio']:.2f} ({case['ratio_least']:.2f}-{case['ratio_most']:.2f})"


def title(result: dict[str, Any]) -> str:
    """What was measured on what."""
    roof, peer = result["roof"], result["peer"]
    text = f"{result['family']}, {result['dtype']}, {result['adapter']}"
    if peer:
        text += f" against {peer['name']} {peer['version']} on {peer['device']}"
    if roof["nbytes"]:
        tera = f"{roof['flops'] / 1e12:.3g} TF/s, {roof['nbytes'] / 1e9:.4g} GB/s"
        text += f"; roof {tera} ({roof['source']})"
    means = [("calls", result.get("mean_ratio")), ("device", result.get("mean_device_ratio"))]
    means = [f"{value:.2f} by the {name}" for name, value in means if value]
    if means:
        text += f"; geometric mean {', '.join(means)}"
    return text


def has(result: dict[str, Any], key: str) -> bool:
    """Whether any case has this figure."""
    return any(case.get(key) is not None for case in result["cases"])
