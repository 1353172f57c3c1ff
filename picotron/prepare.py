"""Everything a run needs before its first step, from its configuration.

Invariant: what can be wrong with the text, the checkpoint to continue or their fit to the
configuration is found here, before anything is compiled or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from picotron import checkpoint, dataset, model, optim
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig, raise_problems
from picotron.errors import CheckpointError, DataError
from picotron.step import State
from tracer import numpy as jnp
from tracer import tree


@dataclass(frozen=True)
class Run:
    """What a trainer needs: configuration with a known vocabulary, text, state, first step."""

    config: Config
    corpus: dataset.Corpus
    state: State
    step: int = 0
    folder: Path | None = None


def prepare(config: Config) -> Run:
    """Load text and weights; everything that can be wrong with them is found here."""
    loaded = _load_previous(config)
    corpus = dataset.load(config.dataset)
    dataset.check_length(corpus, config.training.seq_length)
    if loaded is None:
        config = with_vocabulary(config, corpus.tokenizer.vocab_size)
        optimizer, _ = optim.from_config(config.training)
        params = on_device(model.init(config.model, config.training.seed))
        return Run(config, corpus, {"params": params, "optimizer": optimizer.init(params)})
    found, previous = loaded
    if corpus.tokenizer != found.tokenizer:
        raise DataError(
            f"{corpus.source} has other characters than the text of {found.path}; "
            f"add --dataset.tokenizer-path {found.path / checkpoint.TOKENIZER}"
        )
    config = with_vocabulary(config, found.model.vocab_size)
    _check_same_model(config.model, found.model)
    state = {"params": on_device(found.params), "optimizer": on_device(previous.optimizer)}
    _check_same_optimizer(state, config)
    return Run(config, corpus, state, previous.step, _run_folder(config, found.path))


def _load_previous(config: Config) -> tuple[checkpoint.Checkpoint, TrainingState] | None:
    if config.checkpoint.load_path is None:
        return None
    path = Path(config.checkpoint.load_path)
    previous = checkpoint.load_training(path)
    if previous.step >= config.training.total_train_steps:
        raise CheckpointError(
            f"{checkpoint.resolve(path)} is already at step {previous.step} of "
            f"{config.training.total_train_steps}; ask for more with --steps"
        )
    return checkpoint.load(path), previous


def with_vocabulary(config: Config, size: int) -> Config:
    """The config with the tokenizer's size filled in; raises ConfigError if a given one is less."""
    given = config.model.vocab_size
    if given is not None and given < size:
        raise_problems([f"model.vocab_size {given} is less than the tokenizer's {size}"])
    return replace(config, model=replace(config.model, vocab_size=given or size))


def on_device(values: Any) -> Any:
    return tree.map(jnp.asarray, values)


def _check_same_model(asked: ModelConfig, found: ModelConfig) -> None:
    names = (name for name in vars(asked) if getattr(asked, name) != getattr(found, name))
    raise_problems(
        [
            f"model.{name} is {getattr(found, name)} in the checkpoint, not {getattr(asked, name)}"
            for name in names
        ]
    )


def _check_same_optimizer(state: State, config: Config) -> None:
    optimizer, _ = optim.from_config(config.training)
    if set(optimizer.init(state["params"])) != set(state["optimizer"]):
        raise_problems([f"the checkpoint was not trained with {config.training.optimizer}"])


def _run_folder(config: Config, loaded: Path) -> Path | None:
    """A run folder is continued in place; one checkpoint of it starts a run of its own."""
    asked = Path(config.checkpoint.load_path or "")
    return asked if loaded != asked and loaded.parent == asked / "checkpoints" else None


def make_run_folder(config: Config) -> Path:
    """A new folder save_dir/run_name, or run_name-2, -3, … if there are earlier runs."""
    base = Path(config.checkpoint.save_dir)
    try:
        base.mkdir(parents=True, exist_ok=True)
        for name in _numbered(config.logging.run_name):
            try:
                (base / name).mkdir()
            except FileExistsError:
                continue
            return base / name
    except OSError as error:
        raise CheckpointError(f"cannot make a run folder in {base}: {error.strerror}") from error
    raise AssertionError("the names never end")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1
