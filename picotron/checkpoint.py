"""Checkpoints: complete or absent, and the same whatever devices a run used.

Invariant: a folder `step-NNNNNN` appears by one rename after all its files are on disk, so a kill
or a full disk at any moment leaves the previous checkpoints as they were. `manifest.json`, written
last, holds the SHA-256 of each file and the place of each array: what is loaded is what was saved.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors

from picotron import config_file, hf, hf_config, json_file, tensors
from picotron import tokenizer as tokenizers
from picotron.config import Config, ModelConfig
from picotron.errors import CheckpointError, ConfigError, reason
from picotron.model import Params, flatten, unflatten
from picotron.optim.transform import named_leaves
from picotron.tensors import Arrays, GlobalArray
from picotron.tokenizer import Tokenizer

MODEL, STATE = "model", "state"  # stems of files
CONFIG, TOKENIZER = "config.json", "tokenizer.json"
TRAINER, MANIFEST = "trainer_state.json", "manifest.json"
SHARD_BYTES = 5 * 10**9  # Hugging Face's own default
ASIDE, OLD, GOING = ".saving-", ".old-", ".removing-"


@dataclass(frozen=True)
class Checkpoint:
    """What a model needs to speak; weights are numpy float32."""

    path: Path
    model: ModelConfig
    params: Params
    tokenizer: Tokenizer


@dataclass(frozen=True)
class TrainingState:
    """The rest of a run.

    `state` is what a train step carries besides the weights: optimizer moments, the key of
    dropout, a loss scale. It is a tree, or by dotted path, as it is when read. `batches` were drawn
    by the steps done: more than steps if some were left out. `validation_loss` is that of these
    weights, if it was measured.
    """

    step: int
    config: Config
    state: dict[str, Any]
    batches: int
    validation_loss: float | None = None

    @property
    def optimizer(self) -> Any:
        """The optimizer's part of the state, as a tree."""
        pairs = by_path(self.state).items()
        head = "optimizer."
        return unflatten({n.removeprefix(head): v for n, v in pairs if n.startswith(head)})


@dataclass(frozen=True)
class Snapshot:
    """All that is saved. Arrays are by name, weights in Hugging Face's names and orientation."""

    model: ModelConfig
    tokenizer: Tokenizer
    params: Mapping[str, GlobalArray]
    state: Mapping[str, GlobalArray]
    rest: TrainingState = field(repr=False)


def snapshot(
    params: Any, tokenizer: Tokenizer, rest: TrainingState, model: ModelConfig | None = None
) -> Snapshot:
    """What `save` writes, of arrays of any kind, sharded ones included."""
    weights = {
        name: hf.on_disk(name, GlobalArray.of(weight)) for name, weight in flatten(params).items()
    }
    state = {name: GlobalArray.of(value) for name, value in by_path(rest.state).items()}
    return Snapshot(model or rest.config.model, tokenizer, weights, state, rest)


def by_path(values: Any) -> dict[str, Any]:
    """The leaves of any tree by dotted path."""
    return dict(named_leaves(values))


# -- writing -----------------------------------------------------------------------------------


def save(folder: Path, saved: Snapshot, limit: int = SHARD_BYTES) -> Path:
    """Write folder/step-NNNNNN and return it; raises CheckpointError and leaves no debris."""
    discard(folder, saved.rest.step)
    with written_aside(folder, saved.rest.step, alone=True) as aside:
        groups = ((MODEL, saved.params), (STATE, saved.state))
        arrays = {stem: tensors.write(aside, stem, group, limit) for stem, group in groups}
        return finish(aside, saved, arrays, {})


@contextmanager
def written_aside(folder: Path, step: int, alone: bool = False) -> Iterator[Path]:
    """Where the files of a checkpoint lie until it is complete. Raises CheckpointError for what
    cannot be written; one who writes alone leaves no debris."""
    aside = folder / f"{ASIDE}{name_of(step)}"
    try:
        aside.mkdir(parents=True, exist_ok=True)
        yield aside
    except (OSError, safetensors.SafetensorError) as error:
        if alone:
            discard(folder, step)
        kept = "earlier checkpoints are intact" if newest(folder) else "there is no earlier one"
        raise CheckpointError(
            f"cannot save checkpoint {folder / name_of(step)}: {reason(error)}; {kept}"
        ) from error


def discard(folder: Path, step: int) -> None:
    """Remove what was written of a checkpoint that is not complete."""
    shutil.rmtree(folder / f"{ASIDE}{name_of(step)}", ignore_errors=True)


def finish(
    aside: Path, saved: Snapshot, arrays: Mapping[str, tensors.Index], known: Mapping[str, str]
) -> Path:
    """Write what is not an array, the manifest last, and let the folder appear under its name.

    `known` are digests of files that others have written and hashed.
    """
    rest = saved.rest
    trainer = {
        "step": rest.step,
        "batches": rest.batches,
        "validation_loss": rest.validation_loss,
        "config": config_file.to_dict(rest.config),
    }
    special = hf_config.special_of(saved.tokenizer)
    json_file.write(aside / CONFIG, hf_config.to_config(saved.model, special))
    json_file.write(aside / TRAINER, trainer)
    saved.tokenizer.save(aside / TOKENIZER)
    names = sorted(path.name for path in aside.iterdir())
    digests = {name: known.get(name) or digest(aside / name) for name in names}
    json_file.write(aside / MANIFEST, {"sha256": digests, "arrays": arrays})
    for path in (*aside.iterdir(), aside):
        flush(path)
    target = aside.with_name(name_of(rest.step))
    _replace(aside, target)
    return target


def _replace(aside: Path, target: Path) -> None:
    # A folder cannot be renamed over a full one: the old one steps aside first.
    old = target.with_name(f"{OLD}{target.name}")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    aside.rename(target)
    flush(target.parent)
    shutil.rmtree(old, ignore_errors=True)


def name_of(step: int) -> str:
    return f"step-{step:06d}"


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Until the contents are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- the folder of checkpoints -------------------------------------------------------------------


def sweep(folder: Path) -> None:
    """Undo what a killed save left: half a checkpoint goes, one that was replaced comes back."""
    for path in (*folder.glob(f"{ASIDE}*"), *folder.glob(f"{GOING}*")):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob(f"{OLD}*"):
        target = folder / path.name.removeprefix(OLD)
        if target.exists():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.rename(target)


def prune(folder: Path, keep: int, also: Path | None = None) -> None:
    """Remove all but the newest `keep` checkpoints and `also`."""
    for path in saved(folder)[:-keep]:
        if path != also:
            # Under another name first: a kill must not leave half of it looking like a checkpoint.
            going = folder / f"{GOING}{path.name}"
            path.rename(going)
            shutil.rmtree(going, ignore_errors=True)


def saved(folder: Path) -> list[Path]:
    """Complete checkpoints of a run, oldest first."""
    return sorted(path for path in folder.glob("step-*") if path.is_dir())


def newest(folder: Path) -> Path | None:
    """The folder of the checkpoint with the most steps, valid or not; None if there is none."""
    return next(reversed(saved(folder)), None)


def newest_valid(folder: Path) -> Path | None:
    """The newest checkpoint whose files are what was saved; warns of newer, damaged ones.

    Raises CheckpointError if there are checkpoints and all are damaged.
    """
    damage: list[str] = []
    for path in reversed(saved(folder)):
        damage = problems(path)
        if not damage:
            return path
        warnings.warn(f"{damage[0]}; looking for an earlier checkpoint", stacklevel=1)
    if damage:
        raise CheckpointError(damage[0])
    return None


def set_damaged_aside(folder: Path, after: int) -> None:
    """Rename damaged checkpoints of later steps, so that a run that went back may write anew."""
    for path in saved(folder):
        if path.name > name_of(after) and problems(path):
            path.rename(folder / f"damaged-{path.name}")


def best(folder: Path) -> Path | None:
    """The checkpoint of the lowest validation loss among those that know theirs."""
    known = [(loss, path) for path in saved(folder) if (loss := _validation(path)) is not None]
    return min(known, key=lambda pair: pair[0])[1] if known else None


def lowest_validation(folder: Path) -> float:
    """The lowest known validation loss of the checkpoints; infinity if none is known."""
    known = (_validation(path) for path in saved(folder))
    return min((loss for loss in known if loss is not None), default=math.inf)


def _validation(path: Path) -> float | None:
    try:
        return read_json(path / TRAINER).get("validation_loss")
    except CheckpointError:
        return None


# -- reading -----------------------------------------------------------------------------------


def resolve(path: Path) -> Path:
    """The checkpoint that `path` means: itself, or the newest one of a run folder."""
    if (path / f"{MODEL}.safetensors").exists() or any(path.glob(f"{MODEL}*.safetensors")):
        return path
    found = newest(path / "checkpoints") or newest(path)
    if found:
        return found
    if not path.exists():
        raise CheckpointError(f"there is no checkpoint folder {path}")
    files = f"{MODEL}.safetensors with {CONFIG} and {TOKENIZER}"
    raise CheckpointError(f"{path} holds no checkpoint ({files})")


def load(path: Path) -> Checkpoint:
    """Model, weights and tokenizer of a checkpoint or run folder; raises CheckpointError."""
    path = resolve(path)
    verify(path)
    return _load_model(path)


def load_training(path: Path) -> TrainingState:
    """Everything but the weights; raises CheckpointError."""
    path = resumable(path)
    verify(path)
    return _load_rest(path)


def resumable(path: Path) -> Path:
    """`resolve`, of a checkpoint that a run can go on from."""
    path = resolve(path)
    if not (path / TRAINER).exists():
        raise CheckpointError(f"{path} can generate but not be resumed: it has no {TRAINER}")
    return path


def load_run(path: Path) -> tuple[Checkpoint, TrainingState]:
    """All of a checkpoint, its files compared with their digests once; raises CheckpointError."""
    rest = load_training(path)
    return _load_model(resolve(path)), rest


def load_config(path: Path) -> tuple[int, Config]:
    """Step and configuration of a checkpoint, without reading its arrays."""
    path = resolve(path) / TRAINER
    data = read_json(path)
    try:
        return int(data["step"]), config_file.from_dict(data["config"], source=str(path))
    except (KeyError, TypeError, ValueError, ConfigError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error


def _load_model(path: Path) -> Checkpoint:
    model = hf_config.from_config(read_json(path / CONFIG), path / CONFIG)
    params = hf.read(arrays_of(path, MODEL), model, path)
    return Checkpoint(path, model, params, tokenizer_of(path, model))


def tokenizer_of(path: Path, model: ModelConfig) -> Tokenizer:
    """The tokenizer of a folder; raises DataError, or CheckpointError if it is not the model's."""
    tokenizer = tokenizers.load(path / TOKENIZER)
    if tokenizer.vocab_size > model.vocab_size:
        raise CheckpointError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} tokens, "
            f"the model only {model.vocab_size}"
        )
    return tokenizer


def _load_rest(path: Path) -> TrainingState:
    step, config = load_config(path)
    data, arrays = read_json(path / TRAINER), arrays_of(path, STATE)
    state = {name: arrays.read(name) for name in arrays}
    return TrainingState(step, config, state, data.get("batches", step), data["validation_loss"])


def arrays_of(path: Path, stem: str) -> Arrays:
    """Where the arrays are, from the manifest; a folder from elsewhere has none."""
    if not (path / MANIFEST).exists():
        return Arrays(path, tensors.index_of(path, stem))
    listed = read_json(path / MANIFEST).get("arrays")
    index = listed.get(stem) if isinstance(listed, dict) else None
    return Arrays(path, tensors.checked(index, path / MANIFEST))


def problems(path: Path) -> list[str]:
    """What is wrong with the files of a checkpoint, each named, compared with its manifest."""
    try:
        digests = read_json(path / MANIFEST).get("sha256")
        if not isinstance(digests, dict):
            return [f"{path / MANIFEST} is damaged: it has no digests"]
        names = [tensors.plain_name(name) for name in digests]
    except CheckpointError as error:
        return [str(error)]
    missing = [f"{path} is incomplete: {n} is missing" for n in names if not (path / n).exists()]
    present = (name for name in names if (path / name).exists())
    return missing + [
        f"{path / name} is damaged: its contents changed since it was saved"
        for name in present
        if digest(path / name) != digests[name]
    ]


def verify(path: Path) -> None:
    """Raises CheckpointError unless the files are those of the manifest; without one, they are."""
    if (path / MANIFEST).exists():
        for problem in problems(path):
            raise CheckpointError(problem)


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file; raises CheckpointError."""
    try:
        return json_file.read_object(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
