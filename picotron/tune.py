"""`picotron tune`: tile configurations by measurement, for what is about to be run.

Invariant: a program is measured as it would run, on its own inputs; what is written down has made
the whole of it faster.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from picotron import config_file, dataset, model, reference
from picotron.bench_decode import SMALL, SMOLLM_135M
from picotron.bench_kernels import FAMILIES
from picotron.bench_peers import Ours
from picotron.config import Config
from picotron.device import adapter_name, is_software, keep_tuning
from picotron.errors import ConfigError
from picotron.generator import Generator
from picotron.measure import ratios
from picotron.prepare import on_device, prepare, train_step_of
from picotron.presets import PRESETS
from picotron.validate import check
from tracer import jit, tree
from tracer import numpy as jnp

Say = Callable[[str], None]
Program = tuple[str, Callable[[], tuple[Any, list[np.ndarray]]]]  # name, what `jit.bound` gives


def run_tune(programs: Iterator[Program], seconds: float, out: Path, say: Say) -> dict[str, Any]:
    """Measure the programs in turn, for `seconds` of measuring kernels in all, and write each
    one's table to `out` when it is done."""
    end = time.perf_counter() + seconds
    found = []
    for name, bound in programs:
        say(f"{name}:")
        executable, hosts = bound()
        if not hasattr(executable, "tune"):
            raise ConfigError("there is nothing to tune where numpy evaluates")
        report = executable.tune(hosts, max(0.0, end - time.perf_counter()), say)
        keep_tuning(report.entries(), out)
        found.append(_summary(name, report))
        say(_told(found[-1]))
    return {"adapter": adapter_name(), "table": str(out), "programs": found}


def _summary(name: str, report: Any) -> dict[str, Any]:
    kernels = [
        {
            "kernel": f.kernel, "option": f.option, "rule": f.chosen, "tried": f.tried,
            "ms": 1e3 * f.best_seconds, "rule_ms": 1e3 * f.seconds, "spread_ms": 1e3 * f.spread,
            "kept": f in report.kept,
        }
        for f in report.findings
    ]  # fmt: skip
    found = {"program": name, "kernels": kernels, "kept": len(report.kept)}
    if report.tuned:
        ratio = ratios(list(report.tuned), list(report.by_rule))
        found |= {"rule_ms": 1e3 * statistics.median(report.by_rule)}
        found |= {"ms": 1e3 * statistics.median(report.tuned), "times_as_fast": ratio.median}
        found |= {"least": ratio.least, "most": ratio.most}
    return found


def _told(found: dict[str, Any]) -> str:
    measured = len(found["kernels"])
    if "times_as_fast" not in found:
        return f"{measured} kernels measured, none better than by rule"
    whole = f"{found['times_as_fast']:.3f} ({found['least']:.3f}-{found['most']:.3f}) times as fast"
    if not found["kept"]:
        return f"{measured} kernels measured; the whole is {whole}, so all stay by rule"
    return f"{measured} kernels measured, {found['kept']} changed: the whole is {whole}"


# --- what can be tuned ----------------------------------------------------------------------------


def training_run(path: Path | None) -> Iterator[Program]:
    """The train step of a run's configuration file, by default of the default run."""
    config = PRESETS["novel"] if path is None else config_file.load(path, PRESETS["novel"])
    config = check(config)
    if config.distributed.world_size > 1:
        raise ConfigError("tune measures one device; leave out the sizes of the mesh")

    def bound() -> tuple[Any, list[np.ndarray]]:
        run = prepare(_without_folder(config))
        batch = dataset.batches_of(run.corpus, run.config)(0)
        return train_step_of(run.config).bound(run.state, batch)

    yield "train step", bound


def _without_folder(config: Config) -> Config:
    """A run from the start: nothing of a checkpoint matters to its speed."""
    return replace(config, checkpoint=replace(config.checkpoint, load_path=None))


def reference_step(shapes: reference.Shapes) -> Iterator[Program]:
    """The step of `picotron bench step`."""

    def bound() -> tuple[Any, list[np.ndarray]]:
        step, (state, batch) = reference.train_step(shapes)
        return jit(step, donate_argnums=(0,)).bound(state, batch)

    yield "reference step", bound


def decoding(dtype: str, batch: int) -> Iterator[Program]:
    """The chunk of tokens of `picotron bench decode`."""
    config = SMALL if is_software() else SMOLLM_135M

    def bound() -> tuple[Any, list[np.ndarray]]:
        params = on_device(model.init(config, 0))
        if dtype != "float32":
            params = tree.map(lambda x: x.astype(getattr(jnp, dtype)), params)
        rows = np.random.default_rng(0).integers(0, config.vocab_size, (batch, 32)).tolist()
        return Generator(config, params).bound(rows)

    yield f"decoding, {dtype}, batch {batch}", bound


def kernels(family: str, dtype: str) -> Iterator[Program]:
    """The cases of `picotron bench gemm`, `attention` or `rows`."""
    ours = Ours()
    for case in FAMILIES[family](dtype, is_software()):
        yield case.name, lambda case=case: jit(ours.ops[case.op]).bound(*case.arrays())
