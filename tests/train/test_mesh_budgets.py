"""Memory budgets of runs on several devices: each device keeps its own, whatever the mesh."""

from __future__ import annotations

import gc
import re
from dataclasses import replace

import numpy as np
import pytest

import runtime
from picotron import model, step_memory
from picotron.checkpoint import by_path
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.errors import NoRoomError
from picotron.pipeline_memory import need_of_pipeline, peak_of_rank
from picotron.prepare import lowered_step, new_state, train_step_of
from picotron.step import batch_shapes
from tracer import clear_caches

pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]
SHAPE = ModelConfig(
    vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=32,
)  # fmt: skip
MESHES = [{"tp_size": 2}, {"dp_size": 2, "fsdp": True}]


def run_of(budget: int | None = None, rows: int = 16, parts: int = 1, **mesh: object) -> Config:
    training = TrainingConfig(
        seq_length=32, micro_batch_size=rows, gradient_accumulation_steps=parts, precision="f32",
        memory_budget=None if budget is None else str(budget),
    )  # fmt: skip
    return Config(model=SHAPE, training=training, distributed=DistributedConfig(**mesh))


def stepped(config: Config) -> tuple[dict[str, np.ndarray], int, object]:
    """What a step leaves of loss and gradients (a tenth of them are the first moments), the most
    that the allocator gave at a time, and the step. No program that was made before is held: the
    memory of one that gave way to this one's would be missing."""
    pool = runtime.default_device().pool
    clear_caches()
    gc.collect()
    pool.peak_bytes = before = pool.in_use()
    step, rng = train_step_of(config), np.random.default_rng(0)
    batch = {
        n: rng.integers(0, 64, x.shape).astype(np.int32) for n, x in batch_shapes(config).items()
    }
    state, metrics = step(new_state(config), batch)
    found = {n: np.asarray(x) for n, x in by_path(state["optimizer"]["mu"]).items()}
    found["loss"] = np.asarray(metrics["loss"])
    step(state, batch)  # all workspaces stand by now: this one's peak is that of every other
    return found, pool.peak_bytes - before, step


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys() and len(got) > len(model.parameter_shapes(SHAPE))
    for name, x in want.items():
        np.testing.assert_allclose(got[name], x, rtol=1e-5, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("mesh", MESHES, ids=str)
def test_each_device_keeps_to_its_budget_and_gradients_are_the_same(mesh):
    free, count = run_of(**mesh), run_of(**mesh).distributed.world_size
    want, given, step = stepped(free)
    peak = step.stats()["peak_bytes"]
    assert given / count == pytest.approx(peak, rel=0.05)
    budget = int(0.85 * peak)
    got, given, step = stepped(run_of(budget, **mesh))
    assert step.stats()["peak_bytes"] <= budget < peak
    assert given / count == pytest.approx(step.stats()["peak_bytes"], rel=0.05)
    same(got, want)


def test_each_stage_keeps_to_the_budget_and_gradients_are_the_same():
    """That each process of a pipeline takes what is foreseen of its device is test_mpi's."""
    want, given, step = stepped(run_of(parts=4, pp_size=2))
    first, second = (peak_of_rank(step, r) for r in (0, 1))
    assert given == pytest.approx(need_of_pipeline(step).total, rel=0.05)
    budget = int(0.8 * first)
    got, given, step = stepped(run_of(budget, parts=4, pp_size=2))
    assert given == pytest.approx(need_of_pipeline(step).total, rel=0.05)
    fitting = [peak_of_rank(step, r) for r in (0, 1)]
    assert fitting[0] <= budget < first and fitting[1] == second <= budget
    same(got, want)


def test_a_budget_that_is_too_small_names_the_stages_and_what_fits():
    config = run_of(100_000, rows=1, parts=2, pp_size=2)
    with pytest.raises(NoRoomError) as refusal:
        step_memory.pipeline_of(config, train_step_of, 1)
    text = str(refusal.value)
    assert re.search(r"each device of stage 0 of the 2 stages needs [\d.]+ MiB even if all", text)
    assert "memory_budget is 0.1 MiB; what fits: --training.memory-budget" in text


def test_a_budget_that_is_too_small_names_the_devices_and_what_fits():
    config = run_of(100_000, rows=1, tp_size=2)
    config = replace(config, model=replace(SHAPE, num_hidden_layers=1))
    with pytest.raises(NoRoomError) as refusal:
        step_memory.program_of(config, lowered_step, 2)
    text = str(refusal.value)
    assert re.search(r"on each of 2 devices \(dp=1,cp=1,tp=2\) the program needs [\d.]+ MiB", text)
    assert "memory_budget is 0.1 MiB; what fits: --training.memory-budget" in text
