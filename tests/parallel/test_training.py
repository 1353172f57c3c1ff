"""The train step on many devices against that of one: losses, norms and every weight."""

from __future__ import annotations

import dataclasses
from math import prod

import numpy as np
import pytest

from ir.passes.messages import sent
from picotron import diverge, model, optim
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.errors import ConfigError
from picotron.parallel import step_of
from picotron.prepare import train_step_of
from picotron.step import initial_state
from picotron.validate import check
from tracer import tree

MODEL = ModelConfig(
    vocab_size=32,
    hidden_size=16,
    intermediate_size=24,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=8,
)
ROWS, STEPS = 4, 2
SHAPES = model.parameter_shapes(MODEL).values()


def config(micros: int = 1, **sizes) -> Config:
    distributed = DistributedConfig(**sizes)
    training = TrainingConfig(
        seq_length=8,
        micro_batch_size=ROWS // distributed.dp_size,
        gradient_accumulation_steps=micros,
        total_train_steps=10,
        warmup_steps=2,
    )
    return Config(distributed=distributed, model=MODEL, training=training)


def batches(made: Config) -> list[dict[str, np.ndarray]]:
    rng, found = np.random.default_rng(1), []
    micros = made.training.gradient_accumulation_steps
    for _ in range(STEPS):
        tokens = rng.integers(0, 32, (micros, ROWS, 9)).astype(np.int32)
        batch = {"inputs": tokens[..., :-1].copy(), "targets": tokens[..., 1:].copy()}
        if made.dataset.document_mask:
            batch["segments"] = np.sort(rng.integers(0, 3, (micros, ROWS, 8))).astype(np.int32)
        found.append(batch)
    return found


def initial(made: Config):
    optimizer, _ = optim.from_config(made.training)
    params = model.init(made.model, 1)
    return tree.map(np.array, initial_state(params, optimizer.init(params), made))


def trained(step, made: Config) -> tuple[list, list]:
    """(metrics of each step, weights and moments after the last)."""
    state, told = initial(made), []
    for batch in batches(made):
        state, metrics = step(state, batch)
        told.append({name: float(value) for name, value in metrics.items()})
    return told, [np.asarray(leaf) for leaf in tree.leaves(state)]


def one_device(made: Config) -> tuple[list, list]:
    training = dataclasses.replace(made.training, micro_batch_size=ROWS)
    alone = dataclasses.replace(made, distributed=DistributedConfig(), training=training)
    return trained(train_step_of(alone), made)


def compare(made: Config, rel: float = 1e-5):
    step = step_of(check(made))
    got, want = trained(step, made), one_device(made)
    for mine, other in zip(got[0], want[0], strict=True):
        assert mine == pytest.approx(other, rel=rel)
    for x, y in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(x, y, rtol=10 * rel, atol=max(2e-5, rel))
    return step


def test_data_and_tensor_parallel():
    traffic = compare(config(micros=2, dp_size=2, tp_size=2)).traffic()
    weights = sum(n // (2 if len(s) > 1 else 1) for s in SHAPES if (n := prod(s)))
    assert traffic["dp"] == {"psum": [1, 4 * (weights + 1)]}  # with the loss, once a step
    assert traffic["tp"]["psum"][0] > 1


def test_weights_and_positions_in_parts():
    """FSDP and sequence parallelism: gathers before use, scatters of gradients."""
    traffic = compare(config(dp_size=2, tp_size=2, fsdp=True, sp=True)).traffic()
    assert traffic["dp"]["all_gather"] and traffic["dp"]["reduce_scatter"]
    assert traffic["tp"]["all_gather"] and traffic["tp"]["reduce_scatter"]


def test_every_axis_at_once():
    """Sixteen devices: dp x pp x cp x tp, two micro-batches."""
    step = compare(config(micros=2, dp_size=2, pp_size=2, cp_size=2, tp_size=2))
    boundary = ROWS * 8 * 16 * 4 // 4  # of a device: dp and cp cut it
    assert step.traffic()["pp"] == {"send": [4, 4 * boundary]}
    assert step.gradients.runner.record.live == [2, 1]


# What a device tells others in each part of a micro-batch.
MESSAGES = {
    "alone": {
        "F0": {"tp": {"psum": 3}},  # the embedding, attention, the products of a layer
        "B0": {"tp": {"psum": 2}},
        "F1": {"tp": {"psum": 3, "pmax": 1}},  # both sums of the loss in one message
        "B1": {"tp": {"psum": 3}},
    },
    "in parts": {  # no sum is left to tp: those of norms wait for the last micro-batch
        "F0": {"tp": {"reduce_scatter": 3, "all_gather": 2}},
        "B0": {"tp": {"reduce_scatter": 2, "all_gather": 3}, "dp": {"reduce_scatter": 10}},
        "F1": {"tp": {"reduce_scatter": 2, "all_gather": 3, "pmax": 1, "psum": 1}},
        "B1": {"tp": {"reduce_scatter": 3, "all_gather": 2}, "dp": {"reduce_scatter": 11}},
    },
}


@pytest.mark.parametrize("name", MESSAGES)
def test_messages_of_each_stage(name):
    """Parts of a pipeline send what a mesh without stages would; weights that are cut at rest are
    gathered once for all micro-batches, and the sums of gradients follow the last."""
    cut = dict.fromkeys(("sp", "fsdp"), name == "in parts")
    step = compare(config(micros=2, dp_size=2, pp_size=2, tp_size=2, **cut))
    parts = step.gradients.stages.parts.values()
    assert {f"{p.kind}{p.stage}": counted(sent(p.graph)) for p in parts} == MESSAGES[name]
    for finish in step.finish:  # all gradients in one, and the squares of their norm
        assert counted(finish.traffic()) == {"dp": {"psum": 1}, "tp": {"psum": 1}}
    gathers = [made and counted(made.traffic()) for made in step.copies]
    wanted = [{"dp": {"all_gather": n}} for n in (10, 11)] if step.layout.fsdp else [None, None]
    assert gathers == wanted


def counted(traffic) -> dict[str, dict[str, int]]:
    return {axes: {kind: n for kind, (n, _) in of.items()} for axes, of in traffic.items()}


def test_zero_bubble():
    step = compare(config(micros=2, pp_size=2, pp_engine="zb-h1"))
    assert {kind for kind, _ in step.gradients.stages.parts} == {"F", "I", "W"}


SETTINGS = {
    "dropout, documents": (
        {"pp_size": 2, "pp_engine": "afab", "tp_size": 2},
        {
            "model": {"hidden_dropout": 0.2, "attention_dropout": 0.1},
            "dataset": {"document_mask": True},
        },
    ),
    "averages, skipped steps, cut weights": (
        {"pp_size": 2, "dp_size": 2, "fsdp": True},
        {"training": {"ema_decay": 0.9, "nan_policy": "skip", "max_grad_norm": 0.5}},
    ),
    "bf16, tied": (
        {"pp_size": 2, "pp_engine": "zb-h1"},
        {"model": {"tie_word_embeddings": True}, "training": {"precision": "bf16"}},
    ),
    "f16, scaled": ({"pp_size": 2}, {"training": {"precision": "f16"}}),
    "tied over four stages, cut columns": (
        {"pp_size": 4, "tp_size": 2},
        {"model": {"tie_word_embeddings": True, "num_hidden_layers": 4}},
    ),
    "tied over four stages, cut weights": (
        {"pp_size": 4, "dp_size": 2, "fsdp": True},
        {"model": {"tie_word_embeddings": True, "num_hidden_layers": 4}},
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_pipelines_with_the_settings_of_one_device(name):
    sizes, sections = SETTINGS[name]
    made = config(micros=2, **sizes)
    for section, changes in sections.items():
        changed = dataclasses.replace(getattr(made, section), **changes)
        made = dataclasses.replace(made, **{section: changed})
    compare(made, 2e-3 if name.startswith("f16") else 1e-5)


def test_a_pipeline_leaves_out_steps_that_are_no_numbers():
    made = config(micros=2, pp_size=2)
    training = dataclasses.replace(made.training, nan_policy="skip")
    made = dataclasses.replace(made, training=training)
    step, state = step_of(check(made)), initial(made)
    bad = model.flatten(state["params"])
    bad["lm_head.weight"][0, 0] = np.nan
    before = [x.copy() for x in tree.leaves(state)]
    after, metrics = step(state, batches(made)[0])
    assert not np.isfinite(float(metrics["loss"]))
    for x, y in zip(tree.leaves(after), before, strict=True):
        np.testing.assert_array_equal(np.asarray(x), y)
    told = diverge.bad_operation(step, tree.map(np.copy, state), batches(made)[0])
    assert "the argument lm_head_weight of the passes of a pipeline came with it" in told
    assert "in stage 1, micro-batch 0 (counted from 0)" in told


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"tp_size": 3}, "model.num_attention_heads 4 is not divisible by tp_size 3; 3 or 6"),
        ({"cp_size": 3}, "training.seq_length 8 is not divisible by cp_size 3; 6 or 9 would do"),
        ({"pp_size": 3}, "2 layers cannot be spread over 3 pipeline stages"),
        ({"pp_size": 2, "pp_engine": "interleaved"}, "does not divide 1; 2 or 2 would do"),
        ({"tp_size": 0}, "distributed.tp_size must be greater than 0"),
    ],
)
def test_meshes_that_do_not_fit(sizes, message):
    with pytest.raises(ConfigError) as error:
        check(config(**sizes))
    assert message in str(error.value)
