"""Hugging Face's LLaMA on disk: names and orientation of the weights.

Invariant: `from_tensors(to_tensors(params)) == params` bit for bit; projections are [out, in] on
disk and [in, out] in memory, the embedding is [vocab, hidden] in both.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from picotron.config import ModelConfig
from picotron.errors import CheckpointError
from picotron.model import Params, flatten, parameter_shapes, unflatten
from picotron.tensors import GlobalArray


def to_tensors(params: Params) -> dict[str, np.ndarray]:
    """Tensors by Hugging Face name, float32, contiguous."""
    flat = flatten(params)
    return {n: np.ascontiguousarray(_turn(n, np.asarray(w))) for n, w in flat.items()}


def from_tensors(tensors: dict[str, np.ndarray], config: ModelConfig, source: Path) -> Params:
    """Weights for `config`; raises CheckpointError naming what is missing, odd or not finite."""
    shapes = parameter_shapes(config)
    missing, unknown = sorted(shapes.keys() - tensors), sorted(tensors.keys() - shapes)
    if missing or unknown:
        problems = [f"lacks {missing[0]}"] * bool(missing) + [f"has {unknown[:1]}"] * bool(unknown)
        raise CheckpointError(f"{source} does not fit its config.json: it {' and '.join(problems)}")
    flat = {name: _turn(name, tensors[name]) for name in shapes}
    for name, shape in shapes.items():
        if flat[name].shape != shape:
            found, wanted = tensors[name].shape, _turn(name, np.empty(shape)).shape
            raise CheckpointError(f"{source}: {name} is {found}, config.json asks for {wanted}")
        if not np.isfinite(flat[name]).all():
            raise CheckpointError(f"{source}: {name} holds values that are not finite")
    return unflatten({n: np.ascontiguousarray(w, np.float32) for n, w in flat.items()})


def on_disk(name: str, weight: GlobalArray) -> GlobalArray:
    """A weight as it lies in a file; of a sharded one, each part."""
    return weight.transposed() if _is_projection(name, weight.shape) else weight


def _turn(name: str, weight: np.ndarray) -> np.ndarray:
    return weight.T if _is_projection(name, weight.shape) else weight


def _is_projection(name: str, shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and not name.endswith("embed_tokens.weight")
