"""The training loop around one jitted, donated train step.

Invariant: metrics are read LAG steps late, so the device never waits for the host; and no
checkpoint is written before every loss that led to it has been seen to be finite.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from picotron import checkpoint, dataset, diverge, faults, model, supervisor
from picotron.checkpoint import TrainingState
from picotron.config import Config
from picotron.device import adapter_name, bytes_in_use
from picotron.diverge import NotFinite
from picotron.errors import CheckpointError, DataError, DivergedError
from picotron.folder import claimed
from picotron.generator import Generator
from picotron.heartbeat import telling
from picotron.interrupt import Interrupt
from picotron.launch import agreed, by_one, leads, process_count, stopped
from picotron.peak import flops_per_token, peak, utilisation
from picotron.plots import plot_runs
from picotron.precision import described
from picotron.prefetch import Prefetched
from picotron.prepare import Run, new_state, on_device, state_of, train_step_of
from picotron.report import Clock, Reporter
from picotron.saver import Saver
from picotron.sinks import sinks_of
from picotron.step import make_eval_loss, weights_of
from picotron.terminal import command
from picotron.words import readable
from tracer import jit, tree

LAG = 2  # steps under way before the metrics of the first are read


def of_all_ranks(config: Config) -> Config:
    """The configuration whose micro-batches are those of all data-parallel ranks together."""
    rows = config.training.micro_batch_size * config.distributed.dp_size
    return replace(config, training=replace(config.training, micro_batch_size=rows))


class Trainer:
    """Runs the steps of a `Run`; `run()` returns the exit code."""

    def __init__(self, run: Run, reporter: Reporter) -> None:
        self.config, self.corpus, self.reporter = run.config, run.corpus, reporter
        self.state, self.step, self.folder = run.state, run.step, run.folder
        self.compiled, self.skipped = run.compiled, run.skipped
        self.train_step = run.pipeline or train_step_of(run.config)
        self.eval_loss = jit(make_eval_loss(run.config.model))
        self.batches = Prefetched(
            dataset.batches_of(run.corpus, of_all_ranks(run.config)), run.config.dataset.num_workers
        )
        self.clock = Clock()
        self.patience = diverge.Patience(run.config.training.nan_policy)
        self._pending: deque[tuple[int, dict[str, Any]]] = deque()
        self._started = self._good = run.step
        self._validation: tuple[int, float] | None = None
        self._waits_told = run.pipeline is None

    def run(self) -> int:
        """Train to the end or to a signal, validate unless it was a signal, then save.

        Returns 0, 130 or 143. Raises DivergedError for a loss that is not finite if that is the
        policy, CheckpointError if the last save fails, RunInUseError if another trainer is at work
        in the folder.
        """
        adapter = adapter_name()  # fails, if it does, before anything is written
        with (
            Interrupt(self.reporter.note) as interrupt,
            by_one(claimed(self.folder, self.config)) as self.folder,
        ):
            if leads():
                checkpoint.sweep(self._checkpoints)
                self._check_current()
            self.saver = Saver(self._checkpoints, self.config, self.corpus.tokenizer)
            self.saver.done = self.step if agreed(checkpoint.saved(self._checkpoints)) else -1
            if leads():
                self.reporter.log_to(*sinks_of(self.config, self.folder))
            self._introduce(adapter)
            supervisor.tell(self.folder, self.step)
            try:
                self._loop(interrupt)
            finally:
                self.saver.close()
                self.batches.close()
            if interrupt.signal:
                again = f"{command()} train --resume {self.folder}"
                self.reporter.note(f"stopped and saved at step {self.step}; go on: {again}")
            return interrupt.exit_code

    def _check_current(self) -> None:
        """Between reading the checkpoint and getting the folder another trainer may have ended."""
        checkpoint.set_damaged_aside(self._checkpoints, self._started)
        newest = checkpoint.newest(self._checkpoints)
        if newest and newest.name != checkpoint.name_of(self._started):
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
        if self.config.logging.model_name:
            self.reporter.note(f"model {self.config.logging.model_name}")
        self.reporter.note(described(self.config.training.precision))
        self.reporter.note(self.compiled)
        with self._told_if_new("a product, whose speed is the peak of MFU"):
            self.peak = peak()
        if self.peak:
            self.reporter.note(f"MFU is of {self.peak}")

    # -- steps -------------------------------------------------------------------------------------

    def _loop(self, interrupt: Interrupt) -> None:
        while True:
            try:
                while self.step < self.config.training.total_train_steps and not stopped(interrupt):
                    self._advance()
                    self._on_schedule()
                self._drain()
                if not interrupt.signal:
                    self.validate()
                self.save()
                return
            except NotFinite as found:
                self._on_not_finite(found)

    def _advance(self) -> None:
        self.state = faults.strike(self.step + 1, self.state)
        with self._told_if_new("the step", self.step == self._started):
            self.state, metrics = self.train_step(self.state, self.batch(self.step))
            for name in ("loss", "grad_norm"):
                metrics[name].copy_to_host_async()
        self.step += 1
        if not self._waits_told:
            self._tell_waits()
        self._pending.append((self.step, metrics))
        if len(self._pending) > LAG:
            self._settle()

    def _told_if_new(self, what: str, new: bool = True) -> AbstractContextManager[None]:
        """Drivers compile a kernel when it first runs, a software adapter's for a minute in all."""
        doing = f"compiling the kernels of {what}, which the driver keeps for later runs"
        return telling(self.reporter.note, doing) if new else nullcontext()

    def _tell_waits(self) -> None:
        """What the ranks of a pipeline waited for in a step; every step is alike."""
        counted, self._waits_told = self.train_step.counted(), True
        held = ", ".join(map(str, counted.live))
        self.reporter.note(
            f"counted in a step, a rank waits for {100 * counted.bubble:.1f} % of the time that it "
            f"works; activations held: {held} micro-batches"
        )

    def batch(self, step: int) -> dataset.Batch:
        """What the step after `step` is trained on."""
        return self.batches(step + self.skipped)

    def _on_schedule(self) -> None:
        logging, saving = self.config.logging, self.config.checkpoint
        if self.step == self.config.training.total_train_steps:
            return  # the end validates and saves anyway
        improved = False
        if logging.eval_frequency and self.step % logging.eval_frequency == 0:
            self._drain()
            lowest = agreed(checkpoint.lowest_validation(self._checkpoints))
            improved = self.validate() < lowest
        every = saving.save_frequency
        if every and (improved or self.step % every == 0):
            if self.saver.reading:
                self._drain()
            self._tolerating(lambda: self.saver.start(self.state, self._rest()))

    def _tolerating(self, save: Callable[[], None]) -> None:
        """A checkpoint that cannot be written on the way costs a note."""
        try:
            save()
        except CheckpointError as error:
            self.reporter.note(f"{error}; training goes on")

    def _drain(self) -> None:
        self.clock.pause()
        while self._pending:
            self._settle()
        self.clock.skip()

    def _settle(self) -> None:
        """Read the oldest outstanding metrics and report them; raises NotFinite."""
        step, metrics = self._pending.popleft()
        values = {name: float(metrics[name]) for name in ("loss", "grad_norm")}
        try:
            diverge.check_finite(step, *values.values())
        except NotFinite as found:
            if self.config.training.nan_policy != "skip":
                raise
            self._skipped(found)
            return
        self._good = step
        self._tolerating(lambda: self.saver.poll(step))
        self._report(step, values, metrics)

    def _report(self, step: int, values: dict[str, float], metrics: dict[str, Any]) -> None:
        self.clock.tick()
        training = self.config.training
        per_step = training.tokens_per_step * self.config.distributed.dp_size
        speed = per_step / self.clock.seconds_per_step
        per_token = flops_per_token(self.config.model, training.seq_length)
        record = {
            "step": step,
            **values,
            "tokens_per_step": per_step,
            "tokens": step * per_step,
            "tokens_per_second": speed,
            "tokens_per_second_per_gpu": speed / self.config.distributed.world_size,
            "mfu": utilisation(speed / max(1, process_count()), per_token, self.peak),
            "memory_usage": bytes_in_use() / 1e9,
        }
        if step % self.reporter.frequency == 0 or step in (1, self.reporter.total):
            record["learning_rate"] = float(metrics["learning_rate"])
        self.reporter.step(record, (self.reporter.total - step) * self.clock.seconds_per_step)

    # -- numbers that are none ---------------------------------------------------------------------

    def _skipped(self, found: NotFinite) -> None:
        """The step itself has left the state alone."""
        first = self.patience.acted == 0
        self.patience.act(found, since=self._good)
        self.reporter.note(f"{found}; the step was left out")
        if first:
            kept = tree.map(np.asarray, self.state)  # the step would take the state's memory
            batch = self.batch(found.step - 1)
            operation = diverge.bad_operation(self.train_step, kept, batch)
            self.reporter.note(operation or "the same step with the weights of now is good")

    def _on_not_finite(self, found: NotFinite) -> None:
        self._pending.clear()
        self._tolerating(lambda: self.saver.drop(found.step))
        if self.config.training.nan_policy != "rollback":
            raise DivergedError(self._divergence(found)) from None
        self._roll_back(found)

    def _roll_back(self, found: NotFinite) -> None:
        """Go on from the last checkpoint, or the start, with the batches after the bad one."""
        self.reporter.note(self._operation_at_fault(found) or "repeating it did not fail")
        path = checkpoint.newest_valid(self._checkpoints)
        if path is None:
            done, self.state = 0, new_state(self.config)
        else:
            loaded, rest = checkpoint.load_run(path)
            done, self.state = rest.step, state_of(loaded, rest, self.config)
        self.patience.act(found, since=done)
        self.skipped += found.step - done
        self.step = done
        self.reporter.note(f"{found}; went back to step {done}, leaving out the batches since then")

    def _divergence(self, found: NotFinite) -> str:
        """The message, with the operation at fault if the step fails again when it is repeated."""
        kept = checkpoint.newest(self._checkpoints)
        last = f"the last good checkpoint is {kept}" if kept else "no checkpoint was saved before"
        text = f"{found}; {last}; try a smaller --training.learning-rate"
        operation = self._operation_at_fault(found)
        return f"{text}\n{operation}" if operation else text

    def _operation_at_fault(self, found: NotFinite) -> str | None:
        self.reporter.note(f"{found}; looking for the operation at fault")
        self.state = {}  # its memory may be needed
        return diverge.first_bad_operation(
            self.config, self._checkpoints, found.step, self.train_step, self.batch
        )

    @property
    def _checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    # -- what a run leaves behind ------------------------------------------------------------------

    def validate(self) -> float:
        """Mean loss over the validation windows; reported."""
        batches = dataset.validation_batches(self.corpus, self.config)
        weights = weights_of(self.state)
        with self._told_if_new("the validation", self._validation is None):
            losses = [self.eval_loss(weights, batch) for batch in batches]
            mean = float(np.mean([float(loss) for loss in losses]))
        self._validation = self.step, mean
        self.reporter.validation(self.step, mean)
        self.clock.skip()
        return mean

    def save(self) -> Path:
        """The checkpoint of the current step, written and complete."""
        self.saver.wait()
        if self.saver.done != self.step:
            self.saver.start(self.state, self._rest())
            self.saver.wait()
        return self.saver.path()

    def _rest(self) -> TrainingState:
        known = self._validation is not None and self._validation[0] == self.step
        loss = self._validation[1] if known else None
        return TrainingState(self.step, self.config, {}, self.step + self.skipped, loss)

    def sample(self) -> str:
        """Text that the model writes after the configured prompt."""
        logging = self.config.logging
        generator = Generator(self.config.model, self._final_weights(), self.corpus.tokenizer)
        pieces = generator.stream(
            logging.sample_prompt, logging.sample_tokens, seed=self.config.training.seed
        )
        with self._told_if_new("the sample"):
            return logging.sample_prompt + "".join(pieces)

    def _final_weights(self) -> Any:
        """Those of the last step, or of the best checkpoint if the run is to end with it."""
        best = checkpoint.best(self._checkpoints)
        if best is None or not self.config.checkpoint.load_best_model_at_end:
            return weights_of(self.state)
        self.reporter.note(f"the best checkpoint is {best}")
        return on_device(checkpoint.load(best).params)

    def plot(self) -> Path | None:
        """Draw loss.png, with learning rate and speed; a failure costs a note."""
        picture = self.folder / "loss.png"
        try:
            plot_runs([self.folder], picture)
        except (OSError, ImportError, DataError) as error:
            self.reporter.note(f"cannot draw {picture}: {error}")
            return None
        return picture
