"""Everything a run needs before its first step, from its configuration.

Invariant: what can be wrong with the text, the checkpoint to continue or their fit to the
configuration is found here, before anything is compiled or written.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

from picotron import checkpoint, dataset, model, optim, step_memory
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig
from picotron.device import is_software
from picotron.errors import CheckpointError, DataError
from picotron.launch import process_count, processes_here
from picotron.model import without_unused
from picotron.optim.transform import dotted
from picotron.precision import policy_of
from picotron.pretrained import Folder, open_folder
from picotron.step import (
    State,
    batch_shapes,
    initial_state,
    make_train_step,
    skipping,
    state_shapes,
)
from picotron.stored import open_run
from picotron.validate import cut_problems, padded, raise_problems
from tracer import jit, tree
from tracer import numpy as jnp
from tracer.config import default_backend
from tracer.kept import determined

AUTO = "auto"  # as load_path: wherever an earlier run of the same name got to


@dataclass(frozen=True)
class Run:
    """What a trainer needs: configuration with a known vocabulary, text, state, first step.

    `compiled` tells people about the compiled step; `skipped` batches were drawn besides those of
    the steps done.
    """

    config: Config
    corpus: dataset.Corpus
    state: State
    compiled: str = ""
    step: int = 0
    folder: Path | None = None
    skipped: int = 0
    pipeline: Any = None
    """The train step of a pipeline, which is made to see whether it fits."""


def prepare(config: Config) -> Run:
    """Load text and weights; everything that can be wrong with them is found here."""
    loaded = _load_previous(config)
    first = None if loaded else _first_weights(config)
    # Characters of a text are compared below; what was trained or given is not made again.
    kept = config.dataset.tokenizer != "char" or config.checkpoint.init_from is not None
    known = loaded[0].tokenizer if loaded and kept else None
    if first and config.dataset.tokenizer_path is None:
        known = first.tokenizer()
    corpus = dataset.load(config.dataset, known)
    dataset.check_length(corpus, config.training.seq_length)
    config = with_steps(config, corpus)
    if loaded is None:
        config = with_vocabulary(config, corpus.tokenizer.vocab_size)
        if first:
            _check_same_model(without_unused(config.model), without_unused(first.model))
        told, pipeline = compile_step(config)
        return Run(config, corpus, new_state(config, first), told, pipeline=pipeline)
    found, previous = loaded
    _check_unfinished(found, previous, config)
    if corpus.tokenizer != found.tokenizer:
        raise DataError(
            f"{corpus.source} has other tokens than the text of {found.path}; "
            f"add --dataset.tokenizer-path {found.path / checkpoint.TOKENIZER}"
        )
    config = _with_rows_of(config, found.model)
    _check_same_model(config.model, found.model)
    told, pipeline = compile_step(config)
    state = state_of(found, previous, config)
    folder = _run_folder(config, found.path)
    skipped = previous.batches - previous.step
    return Run(config, corpus, state, told, previous.step, folder, skipped, pipeline)


def _first_weights(config: Config) -> Folder | None:
    path = config.checkpoint.init_from
    return None if path is None else open_folder(Path(path))


def new_state(config: Config, first: Folder | None = None) -> State:
    """Weights, by default of the seed alone, and an optimizer that has seen nothing."""
    optimizer, _ = optim.from_config(config.training)
    params = _starting_weights(config, first)
    return initial_state(params, optimizer.init(params), config)


def _starting_weights(config: Config, first: Folder | None) -> Any:
    if first is None:
        return _in_pieces(config, model.init(config.model, config.training.seed))
    if config.model.unused_rows != first.model.unused_rows:
        shapes = model.parameter_shapes(config.model)
        used = model.parameter_shapes(without_unused(first.model))
        whole = {p: first.block(p, tuple(map(slice, used[p]))) for p in shapes}
        wide = {p: model.widened(x, shapes[p]) for p, x in whole.items()}
        return _in_pieces(config, model.unflatten(wide))
    if not _has_pieces(config):
        return first.read()
    from picotron.parallel import weights_in_pieces

    return weights_in_pieces(config, first.block)  # each device its own, and no more


def _in_pieces(config: Config, params: Any) -> Any:
    """Weights of the host on the devices of a run."""
    if not _has_pieces(config):
        return on_device(params)
    from picotron.parallel import weights_in_pieces

    flat = model.flatten(params)
    return weights_in_pieces(config, lambda path, at: flat[path][at])


def _has_pieces(config: Config) -> bool:
    return config.distributed.world_size > 1 and default_backend() != "oracle"


def state_of(found: checkpoint.Checkpoint, rest: TrainingState, config: Config) -> State:
    """What a checkpoint says, as a train step takes it; raises ConfigError if it cannot.

    What the checkpoint knows nothing of is fresh, such as the key of a run that drops something
    for the first time.
    """
    optimizer, _ = optim.from_config(config.training)
    params = _in_pieces(config, found.params)
    fresh = initial_state(params, optimizer.init(params), config)
    others = {name: part for name, part in fresh.items() if name != "params"}
    _check_same_optimizer(checkpoint.by_path(others), rest.state, config)

    def take(path: Any, leaf: Any) -> Any:
        name = dotted(path)
        saved = rest.state.get(name)
        if saved is None:
            return leaf
        if not _has_pieces(config):
            return jnp.asarray(saved)
        from picotron.parallel import part_in_pieces

        return part_in_pieces(config, name, tuple(saved.shape), lambda at: saved[at])

    return {"params": params, **tree.map_with_path(take, others)}


def _check_same_optimizer(fresh: dict[str, Any], saved: dict[str, Any], config: Config) -> None:
    shapes = [
        {n: tuple(v.shape) for n, v in values.items() if n.startswith("optimizer.")}
        for values in (fresh, saved)
    ]
    if shapes[0] != shapes[1]:
        raise_problems([f"the checkpoint was not trained with {config.training.optimizer}"])


def train_step_of(config: Config) -> Any:
    """The compiled step of a run, its state donated."""
    training = config.training
    if config.distributed.world_size > 1:
        from picotron.parallel import step_of

        return step_of(config)
    optimizer, schedule = optim.from_config(training)
    step = make_train_step(
        config.model,
        optimizer,
        schedule,
        training.max_grad_norm,
        policy=policy_of(training.precision),
        ema_decay=training.ema_decay,
    )
    step = skipping(step) if training.nan_policy == "skip" else step
    return jit(determined(step, config), donate_argnums=(0,), memory_budget=training.budget)


def compile_step(config: Config) -> tuple[str, Any]:
    """Compile the train step from shapes alone: what came of it, and a pipeline's step itself.

    Raises NoRoomError or CompileError if it cannot run here: a model that is far too big is
    refused before its weights fill the memory. The compiler keeps the program for the run.
    """
    start, d = time.perf_counter(), config.distributed
    # Processes of one machine share the memory of a software adapter; cards they have each.
    together = processes_here() if process_count() > 1 and is_software() else 1
    if d.pp_size > 1:
        step = step_memory.pipeline_of(config, train_step_of, together)
        budget = config.training.memory_budget
        within = "" if budget is None else f", each device within memory_budget {budget}"
        return f"a pipeline of {d.pp_size} stages, schedule {d.pp_engine}{within}", step
    copies = together * d.world_size // max(1, process_count())
    program = step_memory.program_of(config, lowered_step, copies)
    if program is None:
        return "evaluated by numpy", None
    budget = config.training.memory_budget
    told = (
        f"compiled {program.dispatch_count} kernels per step ({len(program.kernels)} distinct) "
        f"in {time.perf_counter() - start:.1f} s; "
        f"{program.peak_bytes / 2**20:.0f} MiB on {'each' if d.world_size > 1 else 'the'} device"
        f"{'' if budget is None else f', within memory_budget {budget}'}"
    )
    return told, None


def lowered_step(config: Config) -> Any:
    """The train step, traced for the shapes of a run."""
    optimizer, _ = optim.from_config(config.training)
    return train_step_of(config).lower(state_shapes(config, optimizer), batch_shapes(config))


def _load_previous(config: Config) -> tuple[checkpoint.Checkpoint, TrainingState] | None:
    path = _previous(config)
    if path is None:
        return None
    return open_run(path) if _has_pieces(config) else checkpoint.load_run(path)


def _check_unfinished(found: checkpoint.Checkpoint, rest: TrainingState, config: Config) -> None:
    total = config.training.total_train_steps
    if rest.step >= total and config.checkpoint.load_path != AUTO:
        raise CheckpointError(
            f"{found.path} is already at step {rest.step} of {total}; ask for more with --steps"
        )


def _previous(config: Config) -> Path | None:
    """The checkpoint to continue: that of the configuration, or the newest one that is intact."""
    asked = config.checkpoint.load_path
    if asked is None:
        return None
    if asked != AUTO:
        return checkpoint.newest_valid(Path(asked) / "checkpoints") or Path(asked)
    runs = reversed(existing_runs(config))
    found = (checkpoint.newest_valid(run / "checkpoints") for run in runs)
    return next(filter(None, found), None)


def with_vocabulary(config: Config, size: int) -> Config:
    """The config with rows for the tokenizer's `size` tokens, or as many as it asks for, and unused
    ones up to what tp divides, as Megatron-LM's. Raises ConfigError if a given number is less."""
    given, parts = config.model.vocab_size, config.distributed.tp_size
    if given is not None and given < size:
        raise_problems([f"model.vocab_size {given} is less than the tokenizer's {size}"])
    shape = padded(replace(config.model, vocab_size=given or size), parts)
    if shape.unused_rows:
        of = f"the {size} tokens of the tokenizer" if given is None else f"a vocabulary of {given}"
        text = f"tp_size {parts} does not divide {of}: it gets {shape.vocab_size} rows, of which"
        warnings.warn(f"{text} the last {shape.unused_rows} go unused", stacklevel=2)
    return _checked(replace(config, model=shape))


def _with_rows_of(config: Config, found: ModelConfig) -> Config:
    """The config with the rows of a model that it continues, unless it asks for other tokens.
    Raises ConfigError if tp does not divide them."""
    asked, used = config.model.vocab_size, without_unused(found).vocab_size
    if asked not in (None, used, found.vocab_size):
        return config
    rows = {"vocab_size": found.vocab_size, "unused_rows": found.unused_rows}
    return _checked(replace(config, model=replace(config.model, **rows)))


def _checked(config: Config) -> Config:
    raise_problems(cut_problems(config))
    return config


def with_steps(config: Config, corpus: dataset.Corpus) -> Config:
    """The config with the number of steps that its epochs and its limit of tokens come to."""
    training = config.training
    steps = training.total_train_steps
    if training.num_train_epochs is not None:
        batches = dataset.batches_of(corpus, config)
        ranks, parts = config.distributed.dp_size, training.gradient_accumulation_steps
        rows = training.micro_batch_size * parts * ranks
        steps = math.ceil(training.num_train_epochs * batches.windows / rows)
    if training.max_tokens is not None:
        steps = min(steps, math.ceil(training.max_tokens / training.tokens_per_step))
    return replace(config, training=replace(training, total_train_steps=steps))


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


def _run_folder(config: Config, loaded: Path) -> Path | None:
    """A run folder is continued in place; one checkpoint of it starts a run of its own."""
    run = loaded.parent.parent
    asked = config.checkpoint.load_path
    return run if asked == AUTO or Path(asked or "") == run else None


def existing_runs(config: Config) -> list[Path]:
    """The run folders of this name, oldest first."""
    base = Path(config.checkpoint.save_dir)
    folders = takewhile(Path.is_dir, (base / name for name in _numbered(config.logging.run_name)))
    return list(folders)


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
