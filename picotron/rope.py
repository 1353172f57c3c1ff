"""Rotary positions: which frequencies a model turns its heads with, and the tables of them.

Invariant: everything is computed on the host in float64, because a GPU's cos and sin may be off by
5e-4, and depends on the record, the base, the head dimension and two lengths alone. The kinds,
their fields and their formulas are those of Hugging Face's `rope_parameters`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

RopeType = Literal["default", "linear", "dynamic", "llama3", "yarn"]
FIELDS = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "llama3": ("factor", "original_max_position_embeddings", "low_freq_factor", "high_freq_factor"),
    "yarn": (
        *("factor", "original_max_position_embeddings", "beta_fast", "beta_slow", "truncate"),
        *("attention_factor", "mscale", "mscale_all_dim"),
    ),
}
"""The fields of `RopeScaling` that each kind reads."""


@dataclass(frozen=True)
class RopeScaling:
    """How frequencies are slowed, so that a model reads further than it was first trained to."""

    rope_type: RopeType = "default"
    """linear: all of them by factor. dynamic: by the length of what is read (NTK). llama3: slow
    ones by factor, fast ones not at all. yarn: the same by another ramp, and sharper attention."""
    factor: float = 1.0
    """How much further."""
    original_max_position_embeddings: int | None = None
    """Of llama3 and yarn, which need it: the context that the model was first trained with."""
    low_freq_factor: float = 1.0
    """Of llama3: what turns fewer times than this in the first context is slowed by factor."""
    high_freq_factor: float = 4.0
    """Of llama3: what turns more often than this is left alone."""
    beta_fast: float = 32.0
    """Of yarn: what turns more often than this in the first context is left alone."""
    beta_slow: float = 1.0
    """Of yarn: what turns fewer times than this is slowed by factor."""
    attention_factor: float | None = None
    """Of yarn: what cos and sin are multiplied by; by default 0.1 ln(factor) + 1."""
    mscale: float | None = None
    """Of yarn: the weight of ln(factor) in that default, over that of mscale_all_dim."""
    mscale_all_dim: float | None = None
    """Of yarn: see mscale."""
    truncate: bool = True
    """Of yarn: the ramp starts and ends at whole pairs."""

    def problems(self) -> list[str]:
        """What makes no sense, as `field must …` sentences without the path of the record."""
        read, found = FIELDS[self.rope_type], []
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if each.name not in read and value != each.default:
                found.append(f"{each.name} {value} has no effect with rope_type {self.rope_type}")
        if "factor" in read and not 1 <= self.factor < math.inf:
            found.append(f"factor must be 1 or more, not {self.factor}")
        first = self.original_max_position_embeddings
        if "original_max_position_embeddings" in read and (first or 0) < 1:
            found.append(f"original_max_position_embeddings must be greater than 0, not {first}")
        for low, high in (("low_freq_factor", "high_freq_factor"), ("beta_slow", "beta_fast")):
            smaller, larger = getattr(self, low), getattr(self, high)
            if low in read and not 0 < smaller < larger < math.inf:
                found.append(f"{low} must be above 0 and below {high} {larger}, not {smaller}")
        return found


def frequencies(
    scaling: RopeScaling, theta: float, head_dim: int, context: int, length: int
) -> tuple[np.ndarray, float]:
    """Radians per position of each pair, float64 [D/2], and the factor of cos and sin.

    `context` is the model's max_position_embeddings, `length` how many positions are in use.
    """
    if scaling.rope_type == "dynamic":
        stretch = scaling.factor * max(length, context) / context - (scaling.factor - 1)
        theta *= stretch ** (head_dim / (head_dim - 2))
    plain = theta ** (-np.arange(0, head_dim, 2) / head_dim)
    if scaling.rope_type == "linear":
        return plain / scaling.factor, 1.0
    first = scaling.original_max_position_embeddings
    if scaling.rope_type == "llama3":
        kept = _llama3_share(scaling, plain, first)
    elif scaling.rope_type == "yarn":
        kept = _yarn_share(scaling, theta, head_dim, first)
    else:
        return plain, 1.0
    return plain * (kept + (1 - kept) / scaling.factor), _attention_factor(scaling)


def _llama3_share(scaling: RopeScaling, plain: np.ndarray, first: int) -> np.ndarray:
    """How much of each frequency stays: 0 for slow ones, 1 for fast ones (Llama 3.1's report)."""
    turns = first * plain / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    return np.clip((turns - low) / (high - low), 0, 1)


def _yarn_share(scaling: RopeScaling, theta: float, head_dim: int, first: int) -> np.ndarray:
    """The same by YaRN's linear ramp over the number of the pair (Peng et al., 2023)."""

    def pair(turns: float) -> float:
        return head_dim * math.log(first / (turns * 2 * math.pi)) / (2 * math.log(theta))

    start, stop = pair(scaling.beta_fast), pair(scaling.beta_slow)
    if scaling.truncate:
        start, stop = math.floor(start), math.ceil(stop)
    start, stop = max(start, 0), min(stop, head_dim - 1)
    stop += 0.001 * (start == stop)
    return 1 - np.clip((np.arange(head_dim // 2) - start) / (stop - start), 0, 1)


def _attention_factor(scaling: RopeScaling) -> float:
    if scaling.rope_type != "yarn":
        return 1.0
    if scaling.attention_factor is not None:
        return scaling.attention_factor

    def grown(weight: float) -> float:
        return 0.1 * weight * math.log(scaling.factor) + 1.0

    if scaling.mscale and scaling.mscale_all_dim:
        return grown(scaling.mscale) / grown(scaling.mscale_all_dim)
    return grown(1.0)


@functools.lru_cache(maxsize=16)
def tables(
    scaling: RopeScaling, theta: float, head_dim: int, context: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """cos and sin of positions 0 to length - 1, float32 [length, D/2]."""
    frequency, factor = frequencies(scaling, theta, head_dim, context, length)
    angle = np.arange(length)[:, None] * frequency[None]
    found = (factor * np.cos(angle)).astype(np.float32), (factor * np.sin(angle)).astype(np.float32)
    for table in found:
        table.flags.writeable = False  # they are shared by all who ask
    return found
