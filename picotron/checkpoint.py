"""Checkpoints: complete or absent.

Invariant: a folder `step-NNNNNN` appears by one rename after all its files are on disk, so a kill
or a full disk at any moment leaves the previous checkpoints as they were. `manifest.json` holds a
SHA-256 per file, so what is loaded is what was saved.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from picotron import config_file, hf, hf_config
from picotron.config import Config, ModelConfig
from picotron.errors import CheckpointError, ConfigError
from picotron.model import Params, flatten, unflatten
from picotron.tokenizer import CharTokenizer

MODEL, OPTIMIZER = "model.safetensors", "optimizer.safetensors"
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
TRAINER, MANIFEST = "trainer_state.json", "manifest.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on, or a model to speak; arrays are numpy float32."""

    path: Path
    model: ModelConfig
    params: Params
    tokenizer: CharTokenizer


@dataclass(frozen=True)
class TrainingState:
    """The rest of a run: steps done, optimizer state, configuration, and the key of its dropout."""

    step: int
    optimizer: Any
    config: Config
    rng: tuple[int, ...] | None = None


# -- writing -----------------------------------------------------------------------------------


def save(
    folder: Path, model: ModelConfig, params: Params, tokenizer: CharTokenizer, rest: TrainingState
) -> Path:
    """Write folder/step-NNNNNN and return it; raises CheckpointError and leaves no debris."""
    target = folder / f"step-{rest.step:06d}"
    aside = folder / f".saving-{target.name}"
    try:
        shutil.rmtree(aside, ignore_errors=True)
        aside.mkdir(parents=True)
        _write_files(aside, model, params, tokenizer, rest)
        _replace(aside, target)
    except (OSError, safetensors.SafetensorError) as error:
        shutil.rmtree(aside, ignore_errors=True)
        kept = "earlier checkpoints are intact" if newest(folder) else "there is no earlier one"
        raise CheckpointError(
            f"cannot save checkpoint {target}: {_reason(error)}; {kept}"
        ) from error
    return target


def _write_files(
    aside: Path, model: ModelConfig, params: Params, tokenizer: CharTokenizer, rest: TrainingState
) -> None:
    moments = {name: np.asarray(value) for name, value in flatten(rest.optimizer).items()}
    trainer = {"step": rest.step, "config": config_file.to_dict(rest.config), "rng": rest.rng}
    safetensors.numpy.save_file(hf.to_tensors(params), aside / MODEL, {"format": "pt"})
    safetensors.numpy.save_file(moments, aside / OPTIMIZER)
    _write_json(aside / CONFIG, hf_config.to_config(model))
    _write_json(aside / TRAINER, trainer)
    tokenizer.save(aside / TOKENIZER)
    digests = {path.name: _digest(path) for path in sorted(aside.iterdir())}
    _write_json(aside / MANIFEST, {"sha256": digests})
    for path in (*aside.iterdir(), aside):
        _flush(path)


def _replace(aside: Path, target: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    old = target.with_name(f".old-{target.name}")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    aside.rename(target)
    _flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest `keep` checkpoints, and what a killed save left behind."""
    for path in (*saved(folder)[:-keep], *folder.glob(".saving-*"), *folder.glob(".old-*")):
        shutil.rmtree(path, ignore_errors=True)


def saved(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def newest(folder: Path) -> Path | None:
    return next(reversed(saved(folder)), None)


def _write_json(path: Path, data: Any) -> None:
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    text = str(error)
    if getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in text:
        return "no space left on the disk"
    return getattr(error, "strerror", None) or text


# -- reading -----------------------------------------------------------------------------------


def resolve(path: Path) -> Path:
    """The checkpoint that `path` means: itself, or the newest one of a run folder."""
    if (path / MODEL).exists():
        return path
    found = newest(path / "checkpoints") or newest(path)
    if found:
        return found
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint folder {path}")
    raise CheckpointError(f"{path} holds no checkpoint ({MODEL} with {CONFIG} and {TOKENIZER})")


def load(path: Path) -> Checkpoint:
    """Model, weights and tokenizer of a checkpoint or run folder; raises CheckpointError."""
    path = resolve(path)
    _verify(path)
    model = hf_config.from_config(_read_json(path / CONFIG), path / CONFIG)
    params = hf.from_tensors(_read_tensors(path / MODEL), model, path / MODEL)
    tokenizer = CharTokenizer.load(path / TOKENIZER)
    if tokenizer.vocab_size > model.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, "
            f"the model only {model.vocab_size}"
        )
    return Checkpoint(path, model, params, tokenizer)


def load_training(path: Path) -> TrainingState:
    """The training state of a checkpoint folder; raises CheckpointError if it has none."""
    path = resolve(path)
    trainer, config = load_config(path)
    optimizer = unflatten(_read_tensors(path / OPTIMIZER, keep_dtype=True))
    rng = trainer.get("rng")
    return TrainingState(trainer["step"], optimizer, config, None if rng is None else tuple(rng))


def load_config(path: Path) -> tuple[dict[str, Any], Config]:
    """The trainer's record and the configuration that a checkpoint was made with."""
    path = resolve(path)
    if not (path / TRAINER).exists():
        raise CheckpointError(f"{path} holds a model but no training state to continue from")
    trainer = _read_json(path / TRAINER)
    try:
        return trainer, config_file.from_dict(trainer["config"], source=str(path / TRAINER))
    except (KeyError, ConfigError) as error:
        raise CheckpointError(f"{path / TRAINER} is damaged: {error}") from error


def _verify(path: Path) -> None:
    """Compare each file with the manifest; a folder from elsewhere has none."""
    if not (path / MANIFEST).exists():
        return
    for name, digest in _read_json(path / MANIFEST).get("sha256", {}).items():
        file = path / Path(name).name
        if not file.exists():
            raise CheckpointError(f"{path} is incomplete: {name} is missing")
        if _digest(file) != digest:
            raise CheckpointError(f"{file} is damaged: its contents changed since it was saved")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{path} is damaged: it holds no object")
    return data


def _read_tensors(path: Path, keep_dtype: bool = False) -> dict[str, np.ndarray]:
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    arrays = {name: _array(entry, path, name) for name, entry in entries}
    return arrays if keep_dtype else {n: a.astype(np.float32) for n, a in arrays.items()}


_DTYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8", "I32": "i4"}


def _array(entry: dict[str, Any], path: Path, name: str) -> np.ndarray:
    if entry["dtype"] not in _DTYPES:
        raise CheckpointError(f"{path}: {name} has the unsupported type {entry['dtype']}")
    array = np.frombuffer(entry["data"], f"<{_DTYPES[entry['dtype']]}").reshape(entry["shape"])
    if entry["dtype"] == "BF16":  # the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array
