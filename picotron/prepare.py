"""Everything a run needs before its first step, from its configuration.

Invariant: what can be wrong with the text, the checkpoint to continue or their fit to the
configuration is found here, before anything is compiled or written.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, dataset, model, optim
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig
from picotron.device import check_fits
from picotron.errors import CheckpointError, DataError
from picotron.step import State, initial_state, make_train_step
from picotron.validate import raise_problems
from tracer import ShapeDtypeStruct, eval_shape, jit, tree
from tracer import numpy as jnp


@dataclass(frozen=True)
class Run:
    """What a trainer needs: configuration with a known vocabulary, text, state, first step.

    `compiled` tells people about the compiled step.
    """

    config: Config
    corpus: dataset.Corpus
    state: State
    compiled: str = ""
    step: int = 0
    folder: Path | None = None


def prepare(config: Config) -> Run:
    """Load text and weights; everything that can be wrong with them is found here."""
    loaded = _load_previous(config)
    corpus = dataset.load(config.dataset)
    dataset.check_length(corpus, config.training.seq_length)
    if loaded is None:
        config = with_vocabulary(config, corpus.tokenizer.vocab_size)
        compiled = compile_step(config)
        return Run(config, corpus, new_state(config), compiled)
    found, previous = loaded
    if corpus.tokenizer != found.tokenizer:
        raise DataError(
            f"{corpus.source} has other characters than the text of {found.path}; "
            f"add --dataset.tokenizer-path {found.path / checkpoint.TOKENIZER}"
        )
    config = with_vocabulary(config, found.model.vocab_size)
    _check_same_model(config.model, found.model)
    compiled = compile_step(config)
    state = state_of(found, previous, config)
    _check_same_optimizer(state, config)
    folder = _run_folder(config, found.path)
    return Run(config, corpus, state, compiled, previous.step, folder)


def new_state(config: Config) -> State:
    """Weights that depend on the seed alone, and an optimizer that has seen nothing."""
    optimizer, _ = optim.from_config(config.training)
    params = on_device(model.init(config.model, config.training.seed))
    return initial_state(params, optimizer.init(params), config.model, config.training.seed)


def state_of(found: checkpoint.Checkpoint, previous: TrainingState, config: Config) -> State:
    """What a checkpoint says, as a train step takes it.

    A run that drops something for the first time gets the key of its seed.
    """
    params, moments = on_device(found.params), on_device(previous.optimizer)
    state = initial_state(params, moments, config.model, config.training.seed)
    if "rng" in state and previous.rng is not None:
        state["rng"] = jnp.asarray(np.array(previous.rng, np.uint32))
    return state


def compile_step(config: Config) -> str:
    """Compile the train step from shapes alone and say what came of it.

    Raises OutOfMemoryError or CompileError if it cannot run here: a model that is far too big is
    refused before its weights fill the memory. The compiler keeps the program for the run.
    """
    start = time.perf_counter()
    training = config.training
    shapes = model.parameter_shapes(config.model)
    params = model.unflatten({n: ShapeDtypeStruct(s, np.float32) for n, s in shapes.items()})
    optimizer, schedule = optim.from_config(training)
    step = make_train_step(config.model, optimizer, schedule, training.max_grad_norm)
    moments = eval_shape(optimizer.init, params)
    state = initial_state(params, moments, config.model, training.seed)
    accumulation, rows = training.gradient_accumulation_steps, training.micro_batch_size
    tokens = ShapeDtypeStruct((accumulation, rows, training.seq_length), np.int32)
    lowered = jit(step, donate_argnums=(0,)).lower(state, {"inputs": tokens, "targets": tokens})
    program = lowered.compile().program
    if program is None:
        return "evaluated by numpy"
    check_fits(program)
    return (
        f"compiled {program.dispatch_count} kernels per step ({len(program.kernels)} distinct) "
        f"in {time.perf_counter() - start:.1f} s; "
        f"{program.peak_bytes / 2**20:.0f} MiB on the device"
    )


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
    fixed = (name for name in vars(asked) if not name.endswith("dropout"))
    names = (name for name in fixed if getattr(asked, name) != getattr(found, name))
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
