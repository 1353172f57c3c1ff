"""Pictures of how arrays lie on devices, as `tracer.debug` shows them.

Invariant: a picture has a cell for each part, with the numbers of all devices that hold it, as
high and wide as its share of the array; without colours it is text.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from .inspection import inspect_array_sharding
from .shardings import Sharding

HEIGHT = 10  # lines of a picture at scale 1
WIDER = 2.5  # a line is so many times as high as a character is wide
ColorMap = Callable[[float], tuple[float, ...]]  # 0 to 1 -> red, green, blue, each 0 to 1


def visualize_sharding(
    shape: Sequence[int],
    sharding: Sharding,
    *,
    use_color: bool = True,
    scale: float = 1.0,
    min_width: int = 9,
    max_width: int = 80,
    color_map: ColorMap | None = None,
) -> None:
    """Print which device holds which part of an array of one or two axes.

    Colours, those of `color_map`, need a terminal that has them. Raises ValueError for other
    numbers of axes, and where `shape` does not divide.
    """
    if len(shape) not in (1, 2):
        raise ValueError("`visualize_sharding` only works for shapes with 1 and 2 dimensions.")
    from rich.box import SQUARE
    from rich.console import Console
    from rich.table import Table

    console = Console(width=max_width)
    colours = (color_map or hues) if use_color and console.color_system else None
    cells = _cells(tuple(shape), sharding, scale, (min_width, max_width))
    table = Table(show_header=False, show_lines=colours is None, padding=0, pad_edge=False,
                  highlight=colours is None, box=SQUARE if colours is None else None)  # fmt: skip
    styles = _styles(colours, len(cells) * len(cells[0]))
    for row in cells:
        table.add_row(*(_drawn(text, size, next(styles)) for text, size in row))
    console.print(table)


def _cells(
    shape: tuple[int, ...], sharding: Sharding, scale: float, widths: tuple[int, int]
) -> list[list[tuple[str, tuple[int, int]]]]:
    """Row by row what a cell says, and its (width, height) in characters, the frame included."""
    held: dict[tuple, list[int]] = {}
    for device, at in sharding.devices_indices_map(shape).items():
        spans = tuple(part.indices(n)[:2] for part, n in zip(at, shape, strict=True))
        held.setdefault(spans if len(shape) == 2 else ((0, 1), *spans), []).append(device.id)
    kind = next(iter(sharding.device_set)).platform.upper()
    whole = int(HEIGHT * scale)
    across = int(whole * ((shape[1] if len(shape) == 2 else 1) / shape[0]))
    rows: dict[tuple, list] = {}
    for spans in sorted(held):
        (top, bottom), (left, right) = spans
        width = int((right - left) / shape[-1] * across * WIDER)
        height = int((bottom - top) / shape[0] * whole) if len(shape) == 2 else 1
        text = f"{kind} {','.join(map(str, sorted(held[spans])))}"
        size = min(max(width, widths[0]), widths[1]), height
        rows.setdefault(spans[0], []).append((text, size))
    return list(rows.values())


def _drawn(text: str, size: tuple[int, int], style: Any) -> Any:
    """A cell with its text in the middle; a coloured one fills the place of the frame too."""
    from rich.align import Align
    from rich.padding import Padding

    framed = 0 if style is None else 1
    left, more = divmod(size[0] - len(text) - 2, 2)
    above, below = divmod(size[1] - 2, 2)
    around = above + framed, left + more + framed, above + below + framed, left + framed
    sides = tuple(max(n, 0) for n in around)
    return Padding(Align(text, "center", vertical="middle"), sides, style=style or "none")


def hues(x: float) -> tuple[float, ...]:
    """Colours round the circle, none of them glaring."""
    return colorsys.hsv_to_rgb(x * 0.9, 0.5, 0.7)


def _styles(colours: ColorMap | None, count: int) -> Iterator[Any]:
    """A style for each cell; neighbours get colours that are far apart."""
    from rich.color import Color
    from rich.style import Style

    step = count // 2 + (count % 2 == 0)
    for n in range(count):
        if colours is None:
            yield None
            continue
        red, green, blue = (int(255 * x) for x in colours(n * step % count / max(1, count - 1))[:3])
        bright = 0.299 * red + 0.587 * green + 0.114 * blue > 186
        back, front = Color.from_rgb(red, green, blue), "#000000" if bright else "#ffffff"
        yield Style(bgcolor=back, color=front)


def visualize_array_sharding(arr: Any, **kwargs: Any) -> None:
    """`visualize_sharding` of an array; inside of `jit` when the program is compiled."""

    def shown(sharding: Sharding) -> None:
        visualize_sharding(arr.shape, sharding, **kwargs)

    inspect_array_sharding(arr, callback=shown)


__all__ = ["visualize_array_sharding", "visualize_sharding"]
