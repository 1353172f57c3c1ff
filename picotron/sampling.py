"""The next token from its logits, on the device.

Invariant: filters apply in the order of Hugging Face's: repetition penalty, temperature, top-k,
top-p, min-p. None of them sorts: a threshold is found digit by digit from the bits of the logits.
What is drawn follows from the key and the logits alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from picotron.errors import ConfigError
from tracer import lax, nn, random
from tracer import numpy as jnp

HIDDEN = -1e30  # a logit that is never chosen
DIGIT = 4  # bits of a threshold that are found at a time


@dataclass(frozen=True)
class Sampling:
    """How a token is chosen; the defaults of the filters leave everything as it is."""

    temperature: float = 1.0
    """Logits are divided by it; 0 always takes the likeliest token."""
    top_k: int = 0
    """Choose among this many likeliest tokens; 0 for all."""
    top_p: float = 1.0
    """Choose among the fewest likeliest tokens that have this probability together."""
    min_p: float = 0.0
    """Leave out tokens with less than this share of the likeliest one's probability."""
    repetition_penalty: float = 1.0
    """Positive logits of tokens that were seen are divided by it, negative ones multiplied."""

    def problems(self) -> list[str]:
        """What is out of range, one sentence each."""
        found = []
        if not 0 <= self.temperature < math.inf:
            found.append(f"--temperature must be 0 or more, not {self.temperature}")
        if self.top_k < 0:
            found.append(f"--top-k must be 0 or more, not {self.top_k}")
        for name in ("top_p", "min_p"):
            value, low = getattr(self, name), "greater than 0" if name == "top_p" else "0 or more"
            if not (0 < value <= 1 or (name == "min_p" and value == 0)):
                flag = name.replace("_", "-")
                found.append(f"--{flag} must be {low} and at most 1, not {value}")
        if not 0 < self.repetition_penalty < math.inf:
            value = self.repetition_penalty
            found.append(f"--repetition-penalty must be greater than 0, not {value}")
        return found

    def check(self) -> None:
        """Raises ConfigError with everything that is out of range."""
        if problems := self.problems():
            raise ConfigError("; ".join(problems))

    @property
    def filters(self) -> Filters:
        """Which filters do anything: the part of the choice that a compiled program depends on."""
        greedy = self.temperature == 0
        return Filters(
            greedy,
            not greedy and self.top_k > 0,
            not greedy and self.top_p < 1,
            not greedy and self.min_p > 0,
            self.repetition_penalty != 1,
        )

    def values(self) -> dict[str, np.float32]:
        """The numbers, as arguments of the program."""
        names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
        return {name: np.float32(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Filters:
    """Which steps of the choice a program takes."""

    greedy: bool = False
    top_k: bool = False
    top_p: bool = False
    min_p: bool = False
    repetition_penalty: bool = False


def choose(logits: Any, seen: Any, key: Any, values: dict[str, Any], filters: Filters) -> Any:
    """int32 [B] ids drawn from logits float32 [B, V]; `seen` bool [B, V] for the penalty."""
    if filters.repetition_penalty:
        penalty = values["repetition_penalty"]
        lower = jnp.where(logits > 0, logits / penalty, logits * penalty)
        logits = jnp.where(seen, lower, logits)
    if filters.greedy:
        return jnp.argmax(logits, axis=-1)
    logits = logits / values["temperature"]
    if filters.top_k:
        ones = jnp.ones_like(logits)
        logits = _above(logits, ones, jnp.minimum(values["top_k"], logits.shape[-1]))
    if filters.top_p:
        logits = _above(logits, nn.softmax(logits), values["top_p"])
    if filters.min_p:
        highest = jnp.max(logits, axis=-1, keepdims=True)
        logits = jnp.where(logits >= highest + jnp.log(values["min_p"]), logits, HIDDEN)
    return random.categorical(key, logits)


def _above(logits: Any, weights: Any, enough: Any) -> Any:
    """The highest logits [B, V] whose weights add up to `enough`, ties included; others hidden."""
    bits = lax.bitcast_convert_type(logits, jnp.uint32)
    sign = jnp.uint32(1 << 31)
    order = jnp.where(bits >= sign, ~bits, bits | sign)  # unsigned, in the order of the floats
    least = jnp.zeros((logits.shape[0], 1), jnp.uint32)
    digits = jnp.arange(1 << DIGIT, dtype=jnp.uint32)[None]
    for shift in range(32 - DIGIT, -1, -DIGIT):
        tried = least + (digits << jnp.uint32(shift))
        reached = jnp.where(order[:, None] >= tried[:, :, None], weights[:, None], 0.0).sum(-1)
        place = jnp.sum(reached >= enough, axis=-1, keepdims=True).astype(jnp.uint32)
        # The digit 0 is always enough, but for sums of shares that fall short of 1 by rounding.
        digit = jnp.maximum(place, jnp.uint32(1)) - jnp.uint32(1)
        least = least + (digit << jnp.uint32(shift))
    return jnp.where(order >= least, logits, HIDDEN)
