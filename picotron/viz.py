"""A picture of a run on a mesh: which device holds which part of which weight, what a step sends,
and when each pipeline stage does what.

Invariant: the picture is a pure function of a plan; equal plans give the same bytes. Sizes of boxes
are proportional within a section, colours tell parts of one weight, or passes of one kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import product
from math import prod

from picotron import model, schedules
from picotron.config import Config
from picotron.parallel import layout_of
from picotron.plan import Plan
from picotron.sharding import Layout

INK, SOFT, LINE = "#1f2933", "#52606d", "#9aa5b1"
PARTS = ("#bbdefb", "#c8e6c9", "#ffe0b2", "#e1bee7", "#ffcdd2", "#b2ebf2", "#f0f4c3", "#d7ccc8")
PASSES = {"F": "#bbdefb", "B": "#c8e6c9", "I": "#c8e6c9", "W": "#ffe0b2"}
WIDTH, MARGIN, ROW = 960, 24, 96
BOX, DEPTH = 150, 56  # of a weight's picture
MOST_PIECES, MOST_ACTIONS = 64, 600


def picture(plan: Plan) -> str:
    """The picture as one SVG document."""
    body: list[str] = []
    y = MARGIN
    sections = (_title, _weights, _traffic, _timeline)
    for section in sections:
        lines, height = section(plan, y)
        body += lines
        y += height + (MARGIN if height else 0)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" width="{WIDTH}" '
        f'height="{y}" font-family="Helvetica, Arial, sans-serif" font-size="11">'
    )
    back = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    return "\n".join([head, back, *body, "</svg>"]) + "\n"


def page(plan: Plan) -> str:
    """The picture in an HTML page."""
    title = escape(_mesh(plan.config))
    return f"<!doctype html>\n<title>{title}</title>\n<body>\n{picture(plan)}</body>\n"


def _mesh(config: Config) -> str:
    d = config.distributed
    return f"dp={d.dp_size} pp={d.pp_size} cp={d.cp_size} tp={d.tp_size}"


def _title(plan: Plan, y: int) -> tuple[list[str], int]:
    d = plan.config.distributed
    kinds = [name for name, on in (("fsdp", d.fsdp), ("zero1", d.zero1), ("sp", d.sp)) if on]
    text = f"{plan.parameters:,} parameters on {d.world_size} devices: {_mesh(plan.config)}"
    return [_text(MARGIN, y + 14, " ".join([text, *kinds]), 16, INK)], 20


# --- weights --------------------------------------------------------------------------------------


def _weights(plan: Plan, y: int) -> tuple[list[str], int]:
    """Each weight of the first layer, the embedding and the head, cut as it is at rest."""
    lay = layout_of(plan.config.distributed)
    shapes = model.parameter_shapes(plan.config.model)
    shown = {p: s for p, s in shapes.items() if not re.search(r"layers\.(?!0\.)", p)}
    lines = [_text(MARGIN, y + 12, "where weights lie, those of one layer for all", 13, SOFT)]
    across = (WIDTH - 2 * MARGIN) // (BOX + 30)
    for n, (path, shape) in enumerate(shown.items()):
        x = MARGIN + n % across * (BOX + 30)
        lines += _weight(lay, path, shape, x, y + 28 + n // across * ROW)
    return lines, 28 + -(-len(shown) // across) * ROW


def _weight(lay: Layout, path: str, shape: tuple[int, ...], x: int, y: int) -> Iterator[str]:
    spec = lay.at_rest(path, shape)
    axes = [() if a is None else (a,) if isinstance(a, str) else tuple(a) for a in spec]
    axes = [tuple(name for name in names if lay.size(name) > 1) for names in axes]
    cuts = [lay.size(*names) for names in axes]
    name = path.removeprefix("model.").removesuffix(".weight").replace("layers.0.", "")
    yield _text(x, y + 8, name, 11, INK)
    rows, columns = (cuts[0], cuts[1]) if len(cuts) == 2 else (1, cuts[0])
    if prod(cuts) > MOST_PIECES:
        yield _box(x, y + 14, BOX, DEPTH, PARTS[0])
        yield _text(x + 6, y + 32, f"{prod(cuts)} parts over {'*'.join(sum(axes, ()))}", 10, SOFT)
    else:
        wide, high = BOX / columns, DEPTH / rows
        for n, (r, c) in enumerate(product(range(rows), range(columns))):
            at = x + c * wide, y + 14 + r * high
            yield _box(*at, wide, high, PARTS[n % len(PARTS)])
            if wide > 26 and high > 11:
                yield _text(at[0] + 4, at[1] + high / 2 + 4, _held(axes, cuts, (r, c)), 9, INK)
    sizes = " x ".join(map(str, shape))
    where = "*".join(sum(axes, ())) or "on every device"
    yield _text(x, y + 14 + DEPTH + 12, f"{sizes}, {where}", 9, SOFT)


def _held(axes: list[tuple[str, ...]], cuts: list[int], piece: tuple[int, int]) -> str:
    """Which members hold a piece: their numbers along the axes that cut it."""
    places = piece if len(cuts) == 2 else piece[1:]
    told = [f"{'*'.join(names)} {at}" for names, at in zip(axes, places, strict=True) if names]
    return ", ".join(told) or "all"


# --- traffic --------------------------------------------------------------------------------------


def _traffic(plan: Plan, y: int) -> tuple[list[str], int]:
    """Bytes of a step by axes and kind, as bars."""
    rows = [(f"{a}: {n:,} {kind}", size) for a, kinds in plan.traffic.items()
            for kind, (n, size) in kinds.items()]  # fmt: skip
    if not rows:
        return [], 0
    most = max(size for _, size in rows) or 1
    staged = plan.config.distributed.pp_size > 1
    who = "one device of each stage, added up," if staged else "each device"
    lines = [_text(MARGIN, y + 12, f"what {who} sends in a step", 13, SOFT)]
    for n, (what, size) in enumerate(sorted(rows, key=lambda row: -row[1])):
        at = y + 24 + n * 18
        lines.append(_text(MARGIN, at + 11, what, 10, INK))
        lines.append(_box(MARGIN + 230, at, max(1.0, 520 * size / most), 13, PARTS[0]))
        lines.append(_text(MARGIN + 236, at + 11, f"{size / 1e6:,.3g} MB", 10, INK))
    return lines, 24 + len(rows) * 18


# --- pipeline -------------------------------------------------------------------------------------


def _timeline(plan: Plan, y: int) -> tuple[list[str], int]:
    """What each stage's device does when; a backward pass takes twice as long as a forward one."""
    d, micros = plan.config.distributed, plan.config.training.gradient_accumulation_steps
    if d.pp_size == 1:
        return [], 0
    made = schedules.simulate(schedules.schedule(d.pp_engine, d.pp_size, micros))
    told = f"the pipeline, {d.pp_engine}: {micros} micro-batches, bubble {made.bubble:.1%}"
    lines = [_text(MARGIN, y + 12, told, 13, SOFT)]
    if sum(map(len, made.spans)) > MOST_ACTIONS:
        lines.append(_text(MARGIN, y + 34, "too many passes to draw; take fewer", 11, SOFT))
        return lines, 40
    scale = (WIDTH - 2 * MARGIN - 60) / made.end
    for rank, span in enumerate(made.spans):
        at = y + 24 + rank * 26
        lines.append(_text(MARGIN, at + 15, f"rank {rank}", 10, INK))
        lines += _actions(span, MARGIN + 60, at, scale)
    return lines, 24 + len(made.spans) * 26


def _actions(span: Sequence, x: float, y: float, scale: float) -> Iterator[str]:
    for action, start, end in span:
        yield _box(x + start * scale, y, (end - start) * scale, 20, PASSES[action.kind])
        if (end - start) * scale > 16:
            yield _text(x + start * scale + 3, y + 14, f"{action.kind}{action.micro}", 9, INK)


# --- shapes ---------------------------------------------------------------------------------------


def _box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{fill}" '
        f'stroke="{LINE}"/>'
    )


def _text(x: float, y: float, text: str, size: int, fill: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}">{escape(text)}</text>'
