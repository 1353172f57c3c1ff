"""The training loop around one jitted, donated train step.

Invariant: metrics are read LAG steps late, so the device never waits for the host; and no
checkpoint is written before every loss that led to it has been seen to be finite.
"""

from __future__ import annotations

import math
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, dataset, diverge, model, optim
from picotron.checkpoint import TrainingState
from picotron.device import adapter_name
from picotron.errors import CheckpointError, DivergedError
from picotron.folder import claimed
from picotron.generate import Generator
from picotron.interrupt import Interrupt
from picotron.prepare import Run
from picotron.report import Clock, Reporter, plot_losses, readable
from picotron.step import make_eval_loss, make_train_step
from tracer import jit, tree

LAG = 2


class Trainer:
    """Runs the steps of a `Run`; `run()` returns the exit code."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.config, self.corpus, self.reporter = run.config, run.corpus, reporter
        self.state, self.step, self.folder = run.state, run.step, run.folder
        self.compiled = run.compiled
        training = run.config.training
        optimizer, schedule = optim.from_config(training)
        step = make_train_step(run.config.model, optimizer, schedule, training.max_grad_norm)
        self.train_step = jit(step, donate_argnums=(0,))
        self.eval_loss = jit(make_eval_loss(run.config.model))
        self.batches = dataset.Batches(
            run.corpus.train,
            training.seq_length,
            training.micro_batch_size,
            training.gradient_accumulation_steps,
            training.seed,
        )
        self.clock = Clock()
        self._pending: deque[tuple[int, dict[str, Any]]] = deque()
        self._saved_step = run.step if run.folder else -1

    def run(self) -> int:
        """Train to the end or to a signal, then save; returns 0, 130 or 143.

        Raises DivergedError for a loss that is not finite, CheckpointError if the last save fails,
        RunInUseError if another trainer is at work in the folder.
        """
        adapter = adapter_name()  # fails, if it does, before anything is written
        with Interrupt() as interrupt, claimed(self.folder, self.config) as self.folder:
            self._check_current()
            self.reporter.log_to(self.folder / "log.jsonl")
            self._introduce(adapter)
            for step in range(self.step, self.config.training.total_train_steps):
                self._advance(step)
                if interrupt.signal:
                    break
                self._on_schedule()
            self._drain()
            self.save()
            if interrupt.signal:
                self.reporter.note(f"stopped and saved at step {self.step}")
            return interrupt.exit_code

    def _check_current(self) -> None:
        """Between reading the checkpoint and getting the folder another trainer may have ended."""
        newest = checkpoint.newest(self._checkpoints)
        if newest and newest.name != f"step-{self._saved_step:06d}":
            raise CheckpointError(
                f"another trainer went on to {newest} while this one was starting; start it again"
            )

    def _introduce(self, adapter: str) -> None:
        count = model.parameter_count(self.config.model)
        steps = self.config.training.total_train_steps - self.step
        self.reporter.note(
            f"{readable(count)} parameters, {readable(len(self.corpus.train))} tokens of "
            f"{self.corpus.source}, {steps} steps on {adapter} -> {self.folder}"
        )
        self.reporter.note(self.compiled)

    def _advance(self, step: int) -> None:
        self.state, metrics = self.train_step(self.state, self.batches(step))
        self.step = step + 1
        for name in ("loss", "grad_norm"):
            metrics[name].copy_to_host_async()
        self._pending.append((self.step, metrics))
        if len(self._pending) > LAG:
            self._settle()

    def _on_schedule(self) -> None:
        logging, saving = self.config.logging, self.config.checkpoint
        if self.step == self.config.training.total_train_steps:
            return  # the end validates and saves anyway
        if logging.eval_frequency and self.step % logging.eval_frequency == 0:
            self._drain()
            self.validate()
        if saving.save_frequency and self.step % saving.save_frequency == 0:
            self._drain()
            try:
                self.save()
            except CheckpointError as error:
                self.reporter.note(f"{error}; training goes on")

    def _drain(self) -> None:
        while self._pending:
            self._settle()
        self.clock.skip()

    def _settle(self) -> None:
        """Read the oldest outstanding metrics, report them, and stop if they are not finite."""
        step, metrics = self._pending.popleft()
        loss, norm = float(metrics["loss"]), float(metrics["grad_norm"])
        for what, value in (("loss", loss), ("gradient norm", norm)):
            if not math.isfinite(value):
                told = f"the {what} is {value} at step {step}"
                raise DivergedError(self._divergence(told, step))
        self.clock.tick()
        per_step = self.config.training.tokens_per_step
        record = {
            "step": step,
            "loss": loss,
            "grad_norm": norm,
            "tokens_per_step": per_step,
            "tokens": step * per_step,
            "tokens_per_second": per_step / self.clock.seconds_per_step,
        }
        if step % self.reporter.frequency == 0 or step in (1, self.reporter.total):
            record["learning_rate"] = float(metrics["learning_rate"])
        self.reporter.step(record, (self.reporter.total - step) * self.clock.seconds_per_step)

    def _divergence(self, what: str, step: int) -> str:
        """The message, with the operation at fault if the step fails again when it is repeated."""
        kept = checkpoint.newest(self._checkpoints)
        last = f"the last good checkpoint is {kept}" if kept else "no checkpoint was saved before"
        text = f"{what}; {last}; try a smaller --training.learning-rate"
        self.reporter.note(f"{what}; looking for the operation at fault")
        self.state = {}  # its memory may be needed
        found = diverge.first_bad_operation(
            self.config, self._checkpoints, step, self.train_step, self.batches
        )
        return f"{text}\n{found}" if found else text

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def validate(self) -> float:
        """Mean loss over the validation windows; reported."""
        batches = dataset.validation_batches(self.corpus.validation, self.config)
        losses = [self.eval_loss(self.state["params"], batch) for batch in batches]
        mean = float(np.mean([float(loss) for loss in losses]))
        self.reporter.validation(self.step, mean)
        self.clock.skip()
        return mean

    def save(self) -> Path:
        """Write a checkpoint of the current step unless there is one; old ones are pruned."""
        if self._saved_step == self.step:
            return self._checkpoints / f"step-{self.step:06d}"
        params = tree.map(np.asarray, self.state["params"])
        self._check_finite(params)
        moments = tree.map(np.asarray, self.state["optimizer"])
        key = np.asarray(self.state["rng"]).tolist() if "rng" in self.state else None
        rest = TrainingState(self.step, moments, self.config, key and tuple(key))
        path = checkpoint.save(
            self._checkpoints, self.config.model, params, self.corpus.tokenizer, rest
        )
        self._saved_step = self.step
        checkpoint.prune(self._checkpoints, self.config.checkpoint.save_total_limit)
        return path

    def _check_finite(self, params: Any) -> None:
        for name, weight in model.flatten(params).items():
            if not np.isfinite(weight).all():
                what = f"{name} is no longer finite after step {self.step}"
                raise DivergedError(self._divergence(what, self.step))

    def sample(self) -> str:
        """Text that the model writes after the configured prompt."""
        logging = self.config.logging
        generator = Generator(self.config.model, self.state["params"], self.corpus.tokenizer)
        pieces = generator.stream(
            logging.sample_prompt, logging.sample_tokens, seed=self.config.training.seed
        )
        return logging.sample_prompt + "".join(pieces)

    def plot(self) -> Path | None:
        """Draw loss.png; a failure costs a note."""
        picture = self.folder / "loss.png"
        try:
            plot_losses(self.folder / "log.jsonl", picture)
        except (OSError, ImportError) as error:
            self.reporter.note(f"cannot draw {picture}: {error}")
            return None
        return picture
