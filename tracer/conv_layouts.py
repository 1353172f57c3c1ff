"""How the axes of a convolution are laid out, and the paddings that its names stand for.

Invariant: layouts are numbers of axes once they leave this module; lax's words for what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from .errors import located

Pairs = Sequence[tuple[int, int]]


class ConvDimensionNumbers(NamedTuple):
    """Where (batch, channels, space...), (out, in, space...) and the result's axes are."""

    lhs_spec: tuple[int, ...]
    rhs_spec: tuple[int, ...]
    out_spec: tuple[int, ...]


ConvGeneralDilatedDimensionNumbers = (
    ConvDimensionNumbers | tuple[str, str, str] | tuple[Sequence[int], ...] | None
)


def conv_general_permutations(dimension_numbers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """("NHWC", "HWIO", "NHWC") as axis numbers. Raises TypeError."""
    pairs = ("NC", "OI", "NC")
    for i, (text, pair) in enumerate(zip(dimension_numbers, pairs, strict=True)):
        if any(text.count(c) != 1 for c in pair):
            fault = f"[{i}] must contain the characters '{pair[0]}' and '{pair[1]}' exactly once"
        elif len(text) != len(set(text)):
            fault = f"[{i}] cannot have duplicate characters"
        else:
            continue
        raise located(TypeError, f"convolution dimension_numbers{fault}, got {text}.")
    x, w, out = dimension_numbers
    if not set(x) - set("NC") == set(w) - set("OI") == set(out) - set("NC"):
        raise located(
            TypeError,
            "convolution dimension_numbers elements must each have the same set of spatial "
            f"characters, got {dimension_numbers}.",
        )
    space = [c for c in w if c not in "OI"]
    return tuple(
        tuple(map(text.index, (*pair, *space)))
        for text, pair in zip(dimension_numbers, pairs, strict=True)
    )


def conv_dimension_numbers(
    lhs_shape: Sequence[int], rhs_shape: Sequence[int], dimension_numbers: Any
) -> ConvDimensionNumbers:
    """The layouts of a convolution: None means channels first. Raises TypeError."""
    if isinstance(dimension_numbers, ConvDimensionNumbers):
        return dimension_numbers
    if len(lhs_shape) != len(rhs_shape):
        raise located(
            TypeError,
            "convolution requires lhs and rhs ndim to be equal, got "
            f"{len(lhs_shape)} and {len(rhs_shape)}.",
        )
    rank = len(lhs_shape)
    if dimension_numbers is None:
        return ConvDimensionNumbers(*(tuple(range(rank)),) * 3)
    specs = tuple(dimension_numbers)
    if len(specs) != 3:
        raise located(
            TypeError,
            f"convolution dimension_numbers list/tuple must be length 3, got {len(specs)}.",
        )
    for i, spec in enumerate(specs):
        if len(spec) != rank:
            raise located(
                TypeError,
                f"convolution dimension_numbers[{i}] must have len equal to the ndim of lhs and "
                f"rhs, got {len(spec)} for lhs and rhs shapes {tuple(lhs_shape)} and "
                f"{tuple(rhs_shape)}.",
            )
    if not all(isinstance(s, str) for s in specs):
        return ConvDimensionNumbers(*(tuple(s) for s in specs))
    return ConvDimensionNumbers(*conv_general_permutations(specs))


def padtype_to_pads(
    in_shape: Sequence[int], window_shape: Sequence[int], window_strides: Sequence[int],
    padding: str,
) -> list[tuple[int, int]]:  # fmt: skip
    """The (low, high) widths that "SAME", "SAME_LOWER" or "VALID" stand for."""
    kind = str(padding).upper()
    if kind not in ("SAME", "SAME_LOWER", "VALID"):
        raise located(
            ValueError,
            f"Unrecognized padding type: expected 'VALID', 'SAME', or 'SAME_LOWER', got {padding}.",
        )
    if kind == "VALID":
        return [(0, 0)] * len(in_shape)
    found = []
    for n, k, s in zip(in_shape, window_shape, window_strides, strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        less, more = total // 2, total - total // 2
        found.append((less, more) if kind == "SAME" else (more, less))
    return found


def pads_of(
    padding: str | Pairs, sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int]
) -> list[tuple[int, int]]:
    """Explicit widths, or those that a name stands for."""
    if isinstance(padding, str):
        return padtype_to_pads(sizes, windows, strides, padding)
    pads = [tuple(p) for p in padding]
    if len(pads) != len(sizes):
        raise located(
            TypeError,
            "Wrong number of explicit pads for convolution: "
            f"expected {len(sizes)}, got {len(pads)}.",
        )
    return pads


__all__ = [
    "ConvDimensionNumbers",
    "ConvGeneralDilatedDimensionNumbers",
    "conv_dimension_numbers",
    "conv_general_permutations",
    "padtype_to_pads",
]
