"""Grids of workgroups and the WGSL that spreads lanes over a tile.

Invariant: `fold` keeps every axis of a dispatch within what any WebGPU device grants, and the
templates unfold the workgroup id exactly when `folded` says so.
"""

from __future__ import annotations

import math

Grid = tuple[int, int, int]

GROUPS_PER_DIM = 65535  # granted along one axis of a dispatch by every WebGPU device


def ceil_div(a: int, b: int) -> int:
    """The least integer not below a / b."""
    return -(-a // b)


def power_of_two(n: int) -> int:
    """The least power of two that is not below n."""
    return 1 << max(0, n - 1).bit_length()


def folded(tiles: Grid) -> bool:
    """Whether `tiles` workgroups exceed a dispatch axis, so that the kernel unfolds a flat id."""
    return max(tiles) > GROUPS_PER_DIM


def fold(tiles: Grid) -> Grid:
    """The grid to dispatch for `tiles` workgroups: itself, or two axes that just cover them."""
    if not folded(tiles):
        return tiles
    down = ceil_div(math.prod(tiles), GROUPS_PER_DIM)
    return ceil_div(math.prod(tiles), down), down, 1


def spare(tiles: Grid) -> bool:
    """Whether more workgroups are dispatched than there are tiles."""
    return math.prod(fold(tiles)) > math.prod(tiles)


def flat_id(tiles: Grid) -> str:
    """WGSL of a workgroup's number, where it is folded or along one axis."""
    return f"(group.y * {fold(tiles)[0]}u + group.x)" if folded(tiles) else "group.x"


def split_lane(base: int, lanes: int, span: int) -> tuple[str, str]:
    """WGSL of ((base + lane) % span, (base + lane) / span) for a `lane` in 0 .. lanes - 1."""
    if span == 1:
        return "0u", plus("lane", base)
    if span % lanes == 0:
        return plus("lane", base % span), f"{base // span}u"
    if lanes % span == 0:
        return f"lane % {span}u", plus(f"lane / {span}u", base // span)
    at = f"({plus('lane', base)})" if base else "lane"
    return f"{at} % {span}u", f"{at} / {span}u"


def plus(text: str, offset: int) -> str:
    """WGSL of text + offset."""
    return f"{text} + {offset}u" if offset else text


def times4(text: str) -> str:
    """WGSL of 4 * text."""
    if text[:-1].isdigit():
        return f"{4 * int(text[:-1])}u"
    return f"{text} * 4u" if text == "lane" else f"({text}) * 4u"
