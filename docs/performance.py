"""The tables of docs/performance.md, made from what the bench verbs printed.

Invariant: a number on the page comes from a file under docs/measured/MACHINE/, one for each verb,
written by `picotron bench VERB --json`; text between two `table` comments is never edited by hand.

    python docs/performance.py            write the tables anew
    python docs/performance.py --check    exit with 1 if they are out of date
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from picotron import bench_accuracy, bench_scaling, bench_table

HERE = Path(__file__).resolve().parent
PAGE, MEASURED = HERE / "performance.md", HERE / "measured"
_TABLE = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def results(stem: str) -> Iterator[dict[str, Any]]:
    """The files whose names start with `stem`, machine by machine; "of" is what follows it."""
    for path in sorted(MEASURED.glob(f"*/{stem}*.json")):
        of = path.stem.removeprefix(stem).strip("_").removesuffix("_compiled")
        yield {"of": of, **json.loads(path.read_text(encoding="utf-8"))}


def markdown(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def kernels(family: str) -> str:
    """A table for each machine that measured a family of kernels."""
    parts = []
    for result in results(family):
        heads = [h for key, h, _ in bench_table.COLUMNS if bench_table.has(result, key)]
        heads = [family, *heads, *(["times as fast"] if result["peer"] else [])]
        rows = [bench_table.cells(result, case) for case in result["cases"]]
        parts.append(f"{bench_table.title(result)}.\n\n{markdown(heads, rows)}")
    return "\n".join(parts)


def decode() -> str:
    """One row for each run of `bench decode`."""
    rows = []
    for r in results("decode"):
        size = f"{r['parameters'] / 1e6:.0f} M, {r['layers']} layers"
        speed = f"{r['tok_s']:.0f} ({r['tok_s_least']:.0f}-{r['tok_s_most']:.0f})"
        row = [r["adapter"], size, r["dtype"], str(r["batch"]), speed, str(r["kernels_per_token"])]
        rows.append([*row, *_against(r, "peer_tok_s", "{:.0f}")])
    head = ["adapter", "parameters", "weights", "batch", "tokens/s", "kernels a token"]
    return markdown([*head, "peer", "peer's tokens/s", "times as fast"], rows)


def step() -> str:
    """One row for each run of `bench step`."""
    rows = []
    for r in results("step"):
        row = [r["adapter"], r["of"], f"{r['tok_s']:,.0f}", f"{r['ms']:.1f}"]
        row.append(str(r["kernels_per_step"]))
        row += [f"{r['losses'][0]:.4f}", f"{r['peak_bytes'] / 2**20:.0f}"]
        rows.append([*row, *_against(r, "peer_ms", "{:.1f}")])
    head = ["adapter", "step", "tokens/s", "ms", "kernels", "first loss", "MiB"]
    return markdown([*head, "peer", "peer's ms", "times as fast"], rows)


def accuracy() -> str:
    """A table for each machine."""
    parts = []
    for r in results("accuracy"):
        count = r["rows"][0]["shapes"]
        table = markdown(bench_accuracy.HEAD, bench_accuracy.cells(r))
        parts.append(f"{r['adapter']}, worst of {count} random shapes.\n\n{table}")
    return "\n".join(parts)


def scaling() -> str:
    """One row for each size, with how the counts grew in the end of each axis."""
    rows = []
    for r in results("scaling"):
        for axis, found in r["axes"].items():
            name = bench_scaling.MEANING[axis]
            for x in found:
                counts = [f"{x[key]:.4g}" for key in bench_scaling.COUNTED]
                rows.append([f"{x['size']} {name}", *counts, f"{x['compile_cpu_s']:.1f}"])
            powers = [f"{bench_scaling.exponent(found, key):.2f}" for key in bench_scaling.COUNTED]
            rows.append([f"power of {name}", *powers, ""])
    head = ["size", "dispatches", "kernels", "operations", "bytes moved", "bytes held"]
    return markdown([*head, "CPU seconds to compile"], rows)


def _against(r: dict[str, Any], key: str, form: str) -> list[str]:
    if "ratio" not in r:
        return ["", "", ""]
    peer = r["peer"]
    name = peer if isinstance(peer, str) else f"{peer['name']} {peer['version']}, {peer['device']}"
    return [name, form.format(r[key]), bench_table.spread(r)]


TABLES: dict[str, Callable[[], str]] = {
    "gemm": lambda: kernels("gemm"),
    "attention": lambda: kernels("attention"),
    "rows": lambda: kernels("rows"),
    "decode": decode,
    "step": step,
    "accuracy": accuracy,
    "scaling": scaling,
}


def page() -> str:
    """The page with its tables as they should be."""
    text = PAGE.read_text(encoding="utf-8")
    return _TABLE.sub(lambda m: f"{m[1]}\n{TABLES[m[2]]()}\n{m[3]}", text)


def main() -> int:
    """Write the page, or check it."""
    wanted = page()
    if "--check" in sys.argv[1:]:
        return int(wanted != PAGE.read_text(encoding="utf-8"))
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
