"""Learning rates as pure functions of the number of steps done; names are optax's.

Invariant: `schedule(count)` takes an int32 scalar, traced or not, and returns a float32 scalar.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from tracer import numpy as jnp

Schedule = Callable[[Any], Any]


def constant_schedule(value: float) -> Schedule:
    """The same rate at every step."""
    return lambda count: jnp.full((), value, jnp.float32)


def linear_schedule(init_value: float, end_value: float, transition_steps: int) -> Schedule:
    """From one value to the other in that many steps, then the end value."""

    def schedule(count: Any) -> Any:
        progress = jnp.clip(_float(count) / max(transition_steps, 1), 0.0, 1.0)
        return init_value + (end_value - init_value) * progress

    return schedule


def cosine_decay_schedule(init_value: float, decay_steps: int, alpha: float = 0.0) -> Schedule:
    """A half cosine from init_value to alpha * init_value."""
    return _falling(init_value, alpha * init_value, decay_steps)


def warmup_cosine_decay_schedule(
    init_value: float, peak_value: float, warmup_steps: int, decay_steps: int, end_value: float = 0
) -> Schedule:
    """Linear to the peak, then a half cosine to end_value at step `decay_steps`."""
    rising = linear_schedule(init_value, peak_value, warmup_steps)
    falling = _falling(peak_value, end_value, max(decay_steps - warmup_steps, 1))
    return join_schedules([rising, falling], [warmup_steps])


def join_schedules(schedules: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Each schedule from its boundary on, counting from there."""

    def schedule(count: Any) -> Any:
        value = schedules[0](count)
        for start, following in zip(boundaries, schedules[1:], strict=True):
            value = jnp.where(count < start, value, following(count - start))
        return value

    return schedule


def wsd_schedule(peak: float, floor: float, total_steps: int, decay_ratio: float) -> Schedule:
    """The peak, then a linear decay in the last share of the steps (Hu et al., 2024)."""
    decay_steps = max(round(total_steps * decay_ratio), 1)
    start = total_steps - decay_steps
    falling = linear_schedule(peak, floor, decay_steps)
    return join_schedules([constant_schedule(peak), falling], [start])


def warmup(peak: float, warmup_steps: int, following: Schedule) -> Schedule:
    """Linear from peak/warmup_steps to `peak`, then `following`, which counts from there."""
    if not warmup_steps:
        return following

    def schedule(count: Any) -> Any:
        rising = (_float(count) + 1.0) * (peak / warmup_steps)
        return jnp.where(count < warmup_steps, rising, following(count - warmup_steps))

    return schedule


def warmup_cosine(peak: float, floor: float, warmup_steps: int, total_steps: int) -> Schedule:
    """Linear from peak/warmup_steps to `peak`, then a half cosine down to `floor`."""
    return warmup(peak, warmup_steps, _falling(peak, floor, max(total_steps - warmup_steps, 1)))


def _falling(peak: float, floor: float, steps: int) -> Schedule:
    def schedule(count: Any) -> Any:
        progress = jnp.clip(_float(count) / steps, 0.0, 1.0)
        return floor + (peak - floor) * 0.5 * (1.0 + jnp.cos(math.pi * progress))

    return schedule


def _float(count: Any) -> Any:
    return jnp.asarray(count).astype(jnp.float32)
