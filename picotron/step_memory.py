"""The memory of a train step: by kind, and by what changes of a run it would fit.

Invariant: an offer keeps what a step computes, its batch included, unless it says otherwise; the
first are those that cost least.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from picotron import model
from picotron.config import Config
from picotron.device import compile_error, free_memory
from picotron.launch import process_count
from picotron.memory import Need, Offers, bytes_of, halvings, largest, need_of, require
from picotron.precision import policy_of
from tracer.nn.chunked import parts_of

STATE = {"params_": "parameters", "optimizer_": "optimizer", "ema_": "average of the weights"}
CURE = "take a smaller --preset, an adapter with more memory, or more devices: see `picotron plan`"
Lower = Callable[[Config], Any]
Make = Callable[[Config], Any]


def pipeline_of(config: Config, make: Make, processes: int) -> Any:
    """The step of a pipeline; raises NoRoomError if the device cannot hold what this process has
    of it, `processes` like it sharing the memory, or a device cannot keep to its budget."""
    need, step = _need_of_pipeline(config, make, processes)
    copies = processes * config.distributed.world_size // max(1, process_count())

    def changed(config: Config) -> Need:
        return _need_of_pipeline(config, make, processes)[0]

    require(need, "this run", lambda: _offers(config, changed, copies), CURE)
    return step


def _need_of_pipeline(config: Config, make: Make, processes: int) -> tuple[Need, Any]:
    from picotron.pipeline_memory import need_of_pipeline

    step = make(config)
    try:
        return need_of_pipeline(step, processes), step
    except compile_error() as error:
        if not config.training.memory_budget:
            raise
        kept = make(replace(config, training=replace(config.training, memory_budget=None)))
        lacking = str(error).splitlines()[0].partition("; ")[0]
        return replace(need_of_pipeline(kept, processes), lacking=lacking), step


def program_of(config: Config, lower: Lower, copies: int) -> Any:
    """The compiled step of a run, None on numpy; raises NoRoomError if the device cannot hold
    `copies` of it."""
    need, program = _need(config, lower, copies)
    require(need, "this run", lambda: offers(config, lower, copies), CURE)
    return program


def offers(config: Config, lower: Lower, copies: int = 1) -> Offers:
    """Changes of a run that might let it fit, as flags."""
    return _offers(config, lambda changed: _need(changed, lower, copies)[0], copies)


def _offers(config: Config, need: Callable[[Config], Need | None], copies: int) -> Offers:
    def at(**changes: Any) -> Need | None:
        return need(replace(config, training=replace(config.training, **changes)))

    training, free = config.training, free_memory()
    share = 0 if free is None else (free // copies) >> 20
    if share:
        budget = f"{share}MiB"
        yield f"--training.memory-budget {budget}, the same step", at(memory_budget=budget)
    rows, parts = training.micro_batch_size, training.gradient_accumulation_steps
    found = largest(
        halvings(rows),
        lambda n: at(micro_batch_size=n, gradient_accumulation_steps=parts * rows // n),
    )
    if found:
        size, fits = found
        yield f"--mbs {size} --grad_acc_steps {parts * rows // size}, the same step", fits
    if policy_of(training.precision).name == "f32":
        yield "--training.precision f16", at(precision="f16")
    shorter = largest(halvings(training.seq_length, 16), lambda n: at(seq_length=n))
    if shorter:
        yield f"--seq_len {shorter[0]}", shorter[1]
    if found is None and shorter is None and rows % 2 == 0 and training.seq_length >= 32:
        yield "--mbs 1 --seq_len 16", at(micro_batch_size=1, seq_length=16)


def _need(config: Config, lower: Lower, copies: int) -> tuple[Need | None, Any]:
    return need_of(lower(config), STATE, _working(config), copies)


def _working(config: Config) -> dict[str, int]:
    """What is known of a step's working memory: a gradient of each weight, and of each sum of
    several parts another; copies of the weights; and the logits of what is computed at a time."""
    training, distributed = config.training, config.distributed
    weights = bytes_of(model.parameter_shapes(config.model).values())
    if distributed.fsdp:
        weights //= distributed.dp_size * distributed.cp_size
    weights //= distributed.tp_size
    policy = policy_of(training.precision)
    half = policy.name != "f32"
    sums = 2 if training.gradient_accumulation_steps > 1 else 1
    width = config.model.vocab_size // distributed.tp_size
    rows = training.micro_batch_size, training.seq_length // distributed.cp_size
    itemsize = 2 if policy.scales else 4
    logits = rows[0] * rows[1] * width * itemsize // parts_of(rows, width, itemsize)
    return {
        "gradients": sums * weights,
        f"weights in {policy.name}": half * weights // 2,
        "logits": logits,
    }
