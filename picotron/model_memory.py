"""The memory of a model that writes or is judged, before its weights are read.

Invariant: a model that takes a small part of what is free is let pass without compiling anything;
whatever comes near it is compiled from shapes, and refused by those numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from picotron import model
from picotron.config import ModelConfig
from picotron.device import free_memory, largest_binding
from picotron.memory import Need, Offers, bytes_of, halvings, largest, need_of, require
from tracer import ShapeDtypeStruct, default_backend
from tracer import numpy as jnp

if TYPE_CHECKING:
    from picotron.generator import Generator
    from picotron.scoring import Scorer

CURE = "take a smaller model, or an adapter with more memory"
NEAR = 4  # what takes less than a quarter of the free memory is not looked at more closely
HALF = "bfloat16"
KINDS = {"model_": "parameters", "lm_head_": "parameters", "cache_": "cache"}


def check_scoring(scorer: Scorer, length: int, dtype: str, flag: str | None) -> None:
    """Raises NoRoomError if windows of `length` tokens cannot be judged; a shorter one is offered
    under the name of a `flag`."""
    config = scorer.config
    if _is_small(config, dtype, length, 0):
        return

    def need(length: int = length, dtype: str = dtype) -> Need | None:
        needs = [
            need_of(one, KINDS, {})[0] for one in scorer.lowered(shapes_of(config, dtype), length)
        ]
        return max(filter(None, needs), key=_badness, default=None)

    def offers() -> Offers:
        if dtype == "float32":
            yield f"--dtype {HALF}", need(dtype=HALF)
        found = largest(halvings(length, 16), need) if flag else None
        if found:
            yield f"{flag} {found[0]}", found[1]

    require(need(), "this model", offers, CURE)


def check_generation(generator: Generator, rows: list[int], count: int, dtype: str) -> None:
    """Raises NoRoomError if `count` tokens behind prompts of these lengths cannot be written."""
    config = generator.config
    longest = min(max(rows), config.max_position_embeddings)

    def cached(count: int) -> int:
        slots = min(longest + count, config.max_position_embeddings)
        return 2 * len(rows) * slots * config.num_key_value_heads * config.head_size * 4

    if _is_small(config, dtype, len(rows) * longest, cached(count)):
        return

    def need(count: int = count, dtype: str = dtype) -> Need | None:
        known = {"logits": len(rows) * config.vocab_size * 4}
        lowered = generator.lowered(shapes_of(config, dtype), rows, count)
        needs = [need_of(one, KINDS, known)[0] for one in lowered]
        return max(filter(None, needs), key=_badness, default=None)

    def offers() -> Offers:
        if dtype == "float32":
            yield f"--dtype {HALF}", need(dtype=HALF)
        found = largest(halvings(1 << (count - 1).bit_length(), 16), need)
        if found:
            yield f"--max-new-tokens {found[0]}", found[1]

    require(need(), "this model", offers, CURE)


def shapes_of(config: ModelConfig, dtype: str) -> model.Params:
    """The weights as shapes."""
    shapes = model.parameter_shapes(config).items()
    return model.unflatten({n: ShapeDtypeStruct(s, jnp.dtype(dtype)) for n, s in shapes})


def _is_small(config: ModelConfig, dtype: str, tokens: int, cache: int) -> bool:
    """Whether weights, a cache of so many bytes a layer and what `tokens` need at a time are far
    from what there is."""
    if default_backend() == "oracle":
        return True
    itemsize, shapes = jnp.dtype(dtype).itemsize, model.parameter_shapes(config)
    wide = 4 * tokens * (3 * config.intermediate_size + 8 * config.hidden_size)
    free = free_memory()
    together = bytes_of(shapes.values(), itemsize) + config.num_hidden_layers * cache + wide
    single = max(cache, wide, *(int(np.prod(s)) * itemsize for s in shapes.values()))
    return (free is None or NEAR * together <= free) and single <= largest_binding()


def _badness(need: Need) -> tuple[bool, int]:
    return need.lacking is not None, need.total
