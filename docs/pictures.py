"""The pictures of the documentation, as plain SVG.

Invariant: a picture is a pure function of this file and, for the loss curve, of a run's log, so
that drawing it again on another machine gives the same bytes.

    python docs/pictures.py                                draw docs/pipeline.svg
    python docs/pictures.py outputs/novel/log.jsonl        and docs/loss.svg
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
INK, SOFT, LINE = "#1f2933", "#52606d", "#9aa5b1"
SANS, MONO = "Helvetica, Arial, sans-serif", "ui-monospace, Menlo, Consolas, monospace"
Point = tuple[float, float]

# (band, tint, what leads to the first box, boxes: (title, lines, pass on the way to the next))
BANDS = (
    (
        "tracer and ir: from Python to a graph",
        "#e3f2fd",
        "",
        (
            (
                "Python function",
                ("def loss(w, x):", "  return mean(", "    (x @ w) ** 2)"),
                "trace",
            ),
            ("tensor graph", ("c = dot a b", "d = mul c c", "e = sum d"), "grad"),
            ("values and gradients", ("…", "k = mul c 2", "l = dot a k"), "simplify"),
            ("simplified graph", ("no dead, equal", "or foldable", "equations"), ""),
        ),
    ),
    (
        "codegen: from the graph to kernels",
        "#e8f5e9",
        "legalize",
        (
            ("legal graph", ("no composites", "without kernel,", "no endless loops"), "fuse"),
            ("regions", ("matmul + epilogue", "row, column, map", "attention"), "render"),
            ("WGSL kernels", ("@compute", "@workgroup_size(64)", "fn main(…)"), "plan"),
            ("Program", ("kernels, slots,", "steps: pure data,", "written as JSON"), ""),
        ),
    ),
    (
        "runtime: from the Program to the device",
        "#fff3e0",
        "load",
        (
            ("pipelines", ("compiled once", "per distinct", "kernel text"), "bind"),
            ("buffers", ("one per slot,", "bind groups kept", "between steps"), "replay"),
            ("one compute pass", ("every dispatch", "of the step, from", "a flat list"), "submit"),
            ("adapter", ("GPU by Vulkan,", "Metal or D3D12,", "or llvmpipe"), ""),
        ),
    ),
)
WIDTH, BOX, GAP, BAND, TOP = 1000, (178, 84), 72, 150, 16


def text(at: Point, words: str, size: int = 13, anchor: str = "middle", **more: str) -> str:
    """One line of text with its baseline at `at`."""
    style = {"fill": INK, "font-family": SANS, **{k.replace("_", "-"): v for k, v in more.items()}}
    attributes = " ".join(f'{name}="{value}"' for name, value in style.items())
    place = f'x="{at[0]:g}" y="{at[1]:g}" font-size="{size}" text-anchor="{anchor}"'
    return f'<text {place} xml:space="preserve" {attributes}>{escape(words)}</text>'


def rectangle(at: Point, size: Point, fill: str, stroke: str = "none", corner: int = 8) -> str:
    place = f'x="{at[0]:g}" y="{at[1]:g}" width="{size[0]:g}" height="{size[1]:g}" rx="{corner}"'
    return f'<rect {place} fill="{fill}" stroke="{stroke}"/>'


def line(points: Sequence[Point], stroke: str, width: float = 1.6, arrow: bool = False) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    style = f'fill="none" stroke="{stroke}" stroke-width="{width:g}"'
    head = ' marker-end="url(#head)"' if arrow else ""
    return f'<polyline points="{path}" {style}{head}/>'


def picture(width: int, height: int, parts: Iterable[str]) -> str:
    """A whole file; it has its own white ground, so that it reads on dark pages too."""
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{SOFT}"/></marker></defs>'
    )
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    ground = rectangle((0, 0), (width, height), "#ffffff")
    body = "\n".join([head, ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n{body}\n</svg>\n'


# --- the pipeline of passes -----------------------------------------------------------------------


def corner_of(band: int, box: int) -> Point:
    return 24 + 12 + box * (BOX[0] + GAP) - 12 * (box > 0), TOP + band * BAND + 40


def pipeline() -> str:
    """Bands of boxes, left to right, one band below the other."""
    parts: list[str] = []
    for band, (title, tint, _, boxes) in enumerate(BANDS):
        top = TOP + band * BAND
        parts.append(rectangle((12, top), (WIDTH - 24, BAND - 14), tint))
        parts.append(text((WIDTH - 26, top + 24), title, 14, "end", font_weight="bold"))
        for place, (name, lines, _) in enumerate(boxes):
            parts += _box(corner_of(band, place), name, lines)
    return picture(WIDTH, TOP + len(BANDS) * BAND + 2, [*parts, *_arrows()])


def _box(at: Point, name: str, lines: Sequence[str]) -> list[str]:
    middle = at[0] + BOX[0] / 2
    parts = [rectangle(at, BOX, "#ffffff", LINE), text((middle, at[1] + 20), name, 13)]
    for row, words in enumerate(lines):
        place = at[0] + 18, at[1] + 40 + 15 * row
        parts.append(text(place, words, 12, "start", font_family=MONO, fill=SOFT))
    return parts


def _arrows() -> list[str]:
    parts = []
    for band, (_, _, entry, boxes) in enumerate(BANDS):
        for place, (*_, verb) in enumerate(boxes[:-1]):
            x, y = corner_of(band, place)
            start, end = x + BOX[0] + 4, corner_of(band, place + 1)[0] - 4
            middle = y + BOX[1] / 2
            parts.append(line([(start, middle), (end, middle)], SOFT, arrow=True))
            parts.append(text(((start + end) / 2, middle - 8), verb, 13, font_style="italic"))
        if entry:
            parts += _turn(band, entry)
    return parts


def _turn(band: int, verb: str) -> list[str]:
    """From the last box of one band down to the first of the next."""
    out, into = corner_of(band - 1, 3), corner_of(band, 0)
    x0, x1 = out[0] + BOX[0] / 2, into[0] + BOX[0] / 2
    lane = TOP + band * BAND - 7
    path = [(x0, out[1] + BOX[1] + 2), (x0, lane), (x1, lane), (x1, into[1] - 3)]
    label = text((x1 + 10, into[1] - 14), verb, 13, "start", font_style="italic")
    return [line(path, SOFT, arrow=True), label]


# --- the loss curve -------------------------------------------------------------------------------

PLOT = (70, 30, 640, 300)  # left, top, width, height
CURVES = (("loss", "training", "#1976d2"), ("validation_loss", "validation", "#e65100"))


def loss_curve(log: Path) -> str:
    """Training and validation loss of a log.jsonl over its steps."""
    records = [json.loads(row) for row in log.read_text(encoding="utf-8").splitlines()]
    last = max(record["step"] for record in records)
    top = max(record["loss"] for record in records if "loss" in record)
    highest = -(-top // 1)

    def place(step: float, value: float) -> Point:
        left, up, width, height = PLOT
        return left + width * step / last, round(up + height * (1 - value / highest), 1)

    parts = _axes(place, last, int(highest))
    for row, (key, name, colour) in enumerate(CURVES):
        points = [place(r["step"], r[key]) for r in records if key in r]
        parts.append(line(points, colour, 2))
        parts.append(line([(560, 52 + 20 * row), (590, 52 + 20 * row)], colour, 3))
        parts.append(text((598, 56 + 20 * row), name, 13, "start"))
    return picture(740, 390, parts)


def _axes(place, last: int, highest: int) -> list[str]:
    parts = []
    for value in range(highest + 1):
        parts.append(line([place(0, value), place(last, value)], "#e4e7eb", 1))
        x, y = place(0, value)
        parts.append(text((x - 8, y + 4), str(value), 12, "end"))
    for part in range(5):
        x, y = place(last * part / 4, 0)
        parts.append(text((x, y + 18), f"{last * part // 4:,}", 12))
    left, up, width, height = PLOT
    parts.append(text((left + width / 2, up + height + 44), "step", 13))
    parts.append(text((14, 20), "loss, nats per character", 13, "start"))
    return parts


def main(arguments: Sequence[str]) -> None:
    """Draw what can be drawn."""
    (FOLDER / "pipeline.svg").write_text(pipeline(), encoding="utf-8")
    for log in arguments[:1]:
        (FOLDER / "loss.svg").write_text(loss_curve(Path(log)), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
