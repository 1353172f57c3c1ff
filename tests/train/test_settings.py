"""Each setting of the optimisation, of checkpoints and of logging shows in what a run does."""

import json
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from picotron import checkpoint, config_file, dataset, optim, prepare
from picotron.config import DistributedConfig
from picotron.errors import ConfigError
from picotron.report import Reporter
from picotron.step import weights_of
from picotron.train import Trainer
from tracer import jit, tree
from tracer import numpy as jnp

pytestmark = pytest.mark.device
TINY = {
    "model": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1},
    "training": {"total_train_steps": 6, "seq_length": 16, "micro_batch_size": 2},
    "checkpoint": {"save_frequency": 2, "save_total_limit": 2},
    "logging": {"eval_frequency": 2, "eval_batches": 1, "log_frequency": 3, "sample_tokens": 0},
}


def config_of(folder, **sections):
    text = folder / "text.txt"
    text.write_text("all work and no play makes jack a dull boy\n" * 40)
    data = {name: {**values, **sections.pop(name, {})} for name, values in TINY.items()}
    data["dataset"] = {"path": str(text), **sections.pop("dataset", {})}
    data["checkpoint"]["save_dir"] = str(folder / "outputs")
    return config_file.from_dict(data)


def trained(config):
    run = prepare.prepare(config)
    frequency, total = config.logging.log_frequency, run.config.training.total_train_steps
    with Reporter(Console(quiet=True), run.step, total, frequency) as reporter:
        trainer = Trainer(run, reporter)
        assert trainer.run() == 0
    records = (trainer.folder / "log.jsonl").read_text().splitlines()
    return trainer, [json.loads(line) for line in records]


def test_frequencies_limits_and_the_best_model(tmp_path):
    trainer, records = trained(config_of(tmp_path))
    validated = {r["step"]: r["validation_loss"] for r in records if "validation_loss" in r}
    assert list(validated) == [2, 4, 6]
    assert [r["step"] for r in records if "loss" in r] == [1, 3, 6]
    kept = [path.name for path in checkpoint.saved(trainer.folder / "checkpoints")]
    assert kept[-2:] == ["step-000004", "step-000006"] and len(kept) <= 3  # and the best
    assert trainer._final_weights() is weights_of(trainer.state)
    best = min(validated, key=validated.get)
    trainer.config = replace(
        trainer.config, checkpoint=replace(trainer.config.checkpoint, load_best_model_at_end=True)
    )
    trainer.state = {}  # so that the weights can only come from the disk
    folder = checkpoint.best(trainer.folder / "checkpoints")
    assert folder.name == f"step-{best:06d}"
    for ours, theirs in zip(
        *map(tree.leaves, (trainer._final_weights(), checkpoint.load(folder).params)), strict=True
    ):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


def steps_of(folder, **training):
    config = config_of(folder, training=training)
    corpus = dataset.load(config.dataset)
    return prepare.with_steps(config, corpus).training.total_train_steps


def test_epochs_and_tokens_decide_how_many_steps_there_are(tmp_path):
    config = config_of(tmp_path)
    windows = dataset.batches_of(dataset.load(config.dataset), config).windows
    assert steps_of(tmp_path) == 6
    assert steps_of(tmp_path, num_train_epochs=1) == -(-windows // 2)
    assert steps_of(tmp_path, num_train_epochs=2) == windows
    assert steps_of(tmp_path, num_train_epochs=1, gradient_accumulation_steps=2) == -(-windows // 4)
    assert steps_of(tmp_path, max_tokens=100) == 4  # of 32 tokens each
    assert steps_of(tmp_path, max_tokens=10_000) == 6


def first_change(**training):
    """What two steps do to one weight."""
    settings = config_file.from_dict({"training": {"warmup_steps": 4, **training}}).training
    optimizer, _ = optim.from_config(settings)
    params = {"w": jnp.full((2, 2), 0.5, np.float32)}
    state = optimizer.init(params)
    for step in (1, 2):
        grads = {"w": jnp.full((2, 2), 0.01 * step, np.float32)}
        updates, state = jit(optimizer.update)(grads, state, params)
        params = optim.apply_updates(params, updates)
    return float(params["w"][0, 0]) - 0.5


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": 1e-2},
        {"warmup_steps": 2},
        {"weight_decay": 0.5},
        {"adam_beta1": 0.5},
        {"adam_beta2": 0.5},
        {"adam_epsilon": 1e-2},
        {"lr_schedule": "linear", "warmup_steps": 0},
        {"optimizer": "lion"},
        {"optimizer": "lion", "lion_beta2": 0.5, "adam_beta1": 0.1},
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.1},
        {"optimizer": "sgd", "nesterov": True},
        {"param_groups": [{"pattern": "w", "lr_scale": 2.0}]},
    ],
    ids=str,
)
def test_every_number_of_the_optimizer_has_an_effect(changed):
    assert first_change(**changed) != first_change()


@pytest.mark.parametrize("setting", [{"max_grad_norm": 0.01}, {"gradient_accumulation_steps": 2}])
def test_clipping_and_accumulation_change_the_first_step(tmp_path, setting):
    changed = []
    for training in ({}, setting):
        plain = {"optimizer": "sgd", "momentum": 0.0, "weight_decay": 0.0, "learning_rate": 1.0}
        config = config_of(tmp_path, training={**plain, "warmup_steps": 0, **training})
        run = prepare.prepare(config)
        before = tree.map(np.asarray, run.state["params"])
        batch = dataset.batches_of(run.corpus, run.config)(0)
        state, metrics = prepare.train_step_of(run.config)(run.state, batch)
        moved = tree.map(lambda a, b: np.asarray(a) - b, state["params"], before)
        size = np.sqrt(sum((leaf**2).sum() for leaf in tree.leaves(moved)))
        changed.append((size, float(metrics["grad_norm"])))
    (whole, norm), (size, other) = changed
    if "max_grad_norm" in setting:
        assert norm == pytest.approx(other) and size == pytest.approx(0.01, rel=1e-2)
    else:
        assert other != norm and size != whole


def test_the_vocabulary_gets_rows_that_tp_divides(tmp_path):
    config = replace(config_of(tmp_path), distributed=DistributedConfig(tp_size=2))
    said = "does not divide the 81 tokens of the tokenizer: it gets 82 rows, of which the last 1 go"
    with pytest.warns(UserWarning, match=said):
        shape = prepare.with_vocabulary(config, 81).model
    assert (shape.vocab_size, shape.unused_rows) == (82, 1)
    given = replace(config, model=replace(config.model, vocab_size=83))
    with pytest.warns(UserWarning, match="does not divide a vocabulary of 83: it gets 84 rows"):
        assert prepare.with_vocabulary(given, 80).model.unused_rows == 1
    with pytest.raises(ConfigError, match="vocab_size 83 is less than the tokenizer's 90"):
        prepare.with_vocabulary(given, 90)
