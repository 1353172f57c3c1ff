"""How busy the device is: model FLOPs utilisation, against a peak that says where it is from.

Invariant: a peak is of float32 arithmetic outside of tensor cores, which is what WebGPU reaches:
the vendor's figure for cards in the table, elsewhere the speed of a large product, measured once.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from picotron import model
from picotron.config import ModelConfig
from picotron.device import adapter_name, is_software
from tracer import default_backend, device_put, jit

VENDOR = {  # float32 TFLOP/s of data sheets
    "H100": 66.9,
    "H200": 66.9,
    "A100": 19.5,
    "V100": 15.7,
    "L40S": 91.6,
    "L4": 30.3,
    "T4": 8.1,
    "RTX 4090": 82.6,
    "RTX 3090": 35.6,
}


@dataclass(frozen=True)
class Peak:
    """FLOP/s, and where the number is from."""

    flops: float
    source: str

    def __str__(self) -> str:
        return f"{self.flops / 1e9:,.0f} GFLOP/s ({self.source})"


def peak() -> Peak | None:
    """The peak of the adapter in use; None where there is none."""
    if default_backend() == "oracle":
        return None
    card = known_card(adapter_name())
    if card:
        return Peak(VENDOR[card] * 1e12, f"float32 of {card}, data sheet")
    size = 512 if is_software() else 2048
    return Peak(_measure(size), f"measured, a product of {size} x {size} float32 matrices")


def known_card(adapter: str) -> str | None:
    """The card of `VENDOR` that an adapter's name contains."""
    words = f" {adapter.replace('-', ' ')} "
    return max((card for card in VENDOR if f" {card} " in words), key=len, default=None)


def _measure(size: int, repeats: int = 12) -> float:
    """FLOP/s of the fastest of some products, which follow a first one that is compiled."""
    product = jit(lambda a, b: a @ b)
    mean = device_put(np.full((size, size), 1 / size, np.float32))
    a = product(mean, mean).block_until_ready()
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        a = product(a, mean).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds)


def flops_per_token(config: ModelConfig, length: int) -> float:
    """6 N + 12 L H S, forward and backward: picotron's count, N with embeddings."""
    attention = 12 * config.num_hidden_layers * config.hidden_size * length
    return 6 * model.parameter_count(config) + attention


def utilisation(tokens_per_second: float, per_token: float, best: Peak | None) -> float:
    """Percent of the peak of one device; NaN if it is not known."""
    return 100 * tokens_per_second * per_token / best.flops if best else math.nan
