"""Hugging Face's LLaMA on disk: names and orientation of the weights.

Invariant: reading back what `to_tensors` gave is equal bit for bit; projections are [out, in] on
disk and [in, out] in memory, the embedding is [vocab, hidden] in both. Nothing is read before
every name, shape and dtype is known to fit, and then at most one tensor lies beside the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from picotron.config import ModelConfig
from picotron.errors import CheckpointError
from picotron.model import Params, flatten, parameter_shapes, unflatten
from picotron.tensors import DTYPES, Arrays, GlobalArray, Slices

STORED = ("F32", "F16", "BF16")
_MOST_PROBLEMS = 20
_COMPUTED = ".rotary_emb.inv_freq"
"""Older files hold the frequencies, which follow from config.json."""


def to_tensors(params: Params) -> dict[str, np.ndarray]:
    """Tensors by Hugging Face name, contiguous."""
    flat = flatten(params)
    return {n: np.ascontiguousarray(_turn(n, np.asarray(w))) for n, w in flat.items()}


def on_disk(name: str, weight: GlobalArray) -> GlobalArray:
    """A weight as it lies in a file; of a sharded one, each part."""
    return weight.transposed() if _is_projection(name, weight.shape) else weight


def check_fits(arrays: Arrays, config: ModelConfig, source: Path) -> None:
    """Raises CheckpointError with all that is missing, unknown or of another shape or dtype."""
    problems = list(_misfits(arrays, config))
    if problems:
        shown = problems[:_MOST_PROBLEMS]
        if len(problems) > len(shown):
            shown.append(f"and {len(problems) - len(shown)} more")
        lines = "".join(f"\n  - {problem}" for problem in shown)
        raise CheckpointError(f"the weights of {source} do not fit its config.json:{lines}")


def _misfits(arrays: Arrays, config: ModelConfig) -> Iterator[str]:
    shapes = parameter_shapes(config)
    for name, shape in shapes.items():
        if name not in arrays.index:
            yield f"{name} is missing"
            continue
        wanted = shape[::-1] if _is_projection(name, shape) else shape
        found, code = arrays.shape(name), arrays.index[name]["dtype"]
        if found != wanted:
            yield f"{name} is {list(found)}, config.json asks for {list(wanted)}"
        if code not in STORED:
            yield f"{name} is {DTYPES[code].name}, weights are float32, float16 or bfloat16"
    for name in arrays:
        # A tied head is the embedding, whatever else a file says it is.
        spare = config.tie_word_embeddings and name == "lm_head.weight"
        if name not in shapes and not spare and not name.endswith(_COMPUTED):
            yield f"{name} is no weight of this model"


def read(
    arrays: Arrays,
    config: ModelConfig,
    source: Path,
    dtype: Any = np.float32,
    place: Callable[[np.ndarray], Any] = np.asarray,
) -> Params:
    """All weights in memory's orientation as `dtype`, each handed to `place` as it is read.

    Raises CheckpointError if they do not fit, or hold values that are not finite.
    """
    check_fits(arrays, config, source)
    blocks = ((name, read_block(arrays, name, dtype=dtype)) for name in parameter_shapes(config))
    return unflatten({name: place(block) for name, block in blocks})


def read_block(
    arrays: Arrays, name: str, at: Slices | None = None, dtype: Any = np.float32
) -> np.ndarray:
    """The block `at` of one weight, both in memory's orientation, contiguous.

    Only the bytes of that block are read, so each device of a mesh can load its own shard.
    """
    turned = _is_projection(name, arrays.shape(name))
    if at is not None and turned:
        at = (*at, *(slice(None),) * (2 - len(at)))[::-1]
    block = arrays.read(name, at)
    with np.errstate(over="ignore"):  # told below
        cast = np.ascontiguousarray(block.T if turned else block, dtype)
    if not np.isfinite(cast).all():
        finite = np.isfinite(block).all()
        what = f"too large for {np.dtype(dtype).name}" if finite else "that are not finite"
        raise CheckpointError(f"{arrays.folder}: {name} holds values {what}")
    return cast


def _turn(name: str, weight: np.ndarray) -> np.ndarray:
    return weight.T if _is_projection(name, weight.shape) else weight


def _is_projection(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and not name.endswith("embed_tokens.weight")
