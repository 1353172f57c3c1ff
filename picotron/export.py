"""A model as the folder that Hugging Face's transformers loads.

Invariant: the folder appears complete or not at all; weights are copied file by file, so memory
holds no more than one of the files that are written.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from picotron import hf_config, json_file, tensors
from picotron.errors import CheckpointError, ConfigError
from picotron.model import parameter_shapes, without_unused
from picotron.pretrained import Folder
from picotron.tensors import DTYPES, Arrays, GlobalArray, Part
from tracer import numpy as jnp

KEPT = ("tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "merges.txt")
"""Files that are copied as they are, where there are any."""
OF_TOKENS = ("model.embed_tokens.weight", "lm_head.weight")
"""Weights with a row for each token, as they are stored."""


@dataclass(frozen=True)
class _Stored:
    """A tensor that is read, and cast, when it is written; numpy sees an array in it."""

    arrays: Arrays
    name: str
    dtype: np.dtype
    rows: int | None = None  # of it; None: all

    @property
    def shape(self) -> tuple[int, ...]:
        rows, *rest = self.arrays.shape(self.name)
        return (rows if self.rows is None else self.rows, *rest)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        with np.errstate(over="ignore"):  # told below
            cast = self.arrays.read(self.name)[: self.rows].astype(dtype or self.dtype)
        if not np.isfinite(cast).all():
            raise CheckpointError(
                f"{self.name} holds values that {self.dtype.name} cannot; export as bfloat16"
            )
        return cast


def export(folder: Folder, target: Path, dtype: str | None, limit: int) -> list[Path]:
    """Write `target`, a new folder, and return its files; `dtype` None keeps what is stored.

    Files of weights have at most `limit` bytes, except for a single larger tensor.
    Raises CheckpointError, and then leaves nothing behind.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target} exists and is not empty; name a new folder")
    aside = target.with_name(f".exporting-{target.name}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _write(folder, aside, dtype, limit)
        if target.exists():
            target.rmdir()
        aside.rename(target)
    except OSError as error:
        raise CheckpointError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return sorted(target.iterdir())


def _write(folder: Folder, aside: Path, dtype: str | None, limit: int) -> None:
    model = without_unused(folder.model)
    names = parameter_shapes(model)  # without what older files hold beside them
    rows = dict.fromkeys(OF_TOKENS, model.vocab_size)
    arrays = {name: _whole(folder.arrays, name, dtype, rows.get(name)) for name in names}
    stored = {part.data.dtype.name for array in arrays.values() for part in array.parts}
    main = stored.pop() if len(stored) == 1 else "float32"
    tensors.write(aside, "model", arrays, limit)
    config = hf_config.to_config(model, folder.special, main)
    json_file.write(aside / "config.json", config)
    json_file.write(aside / "generation_config.json", _generation(folder))
    if (folder.path / "tokenizer.json").exists():
        shutil.copyfile(folder.path / "tokenizer.json", aside / "tokenizer.json")
        json_file.write(aside / "tokenizer_config.json", _tokenizer_config(folder))
    for name in KEPT:
        if (folder.path / name).is_file():
            shutil.copyfile(folder.path / name, aside / name)


def _whole(arrays: Arrays, name: str, dtype: str | None, rows: int | None) -> GlobalArray:
    kept = DTYPES[arrays.index[name]["dtype"]]
    data = _Stored(arrays, name, kept if dtype is None else np.dtype(jnp.dtype(dtype)), rows)
    return GlobalArray(data.shape, (Part((0,) * len(data.shape), data),))


def _generation(folder: Folder) -> dict[str, Any]:
    path = folder.path / "generation_config.json"
    try:
        return json_file.read_object(path)
    except (OSError, ValueError):
        return {"_from_model_config": True, **folder.special}


def _tokenizer_config(folder: Folder) -> dict[str, Any]:
    """What transformers needs beside tokenizer.json: which tokens are special, and for what."""
    tokens = dict(_added_tokens(folder.path / "tokenizer.json"))
    named = {name.removesuffix("_id"): tokens.get(i) for name, i in _single(folder.special)}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": folder.model.max_position_embeddings,
        "clean_up_tokenization_spaces": False,
        **{name: token for name, token in named.items() if token is not None},
    }


def _single(special: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Several ids that end a text have one token for a tokenizer: the first."""
    for name, ids in special.items():
        yield name, ids[0] if isinstance(ids, list) and ids else ids


def _added_tokens(path: Path) -> Iterator[tuple[int, str]]:
    for token in json_file.read_object(path).get("added_tokens") or []:
        yield token["id"], token["content"]
