"""A run cut in two ends with the bits of one that was not: averages and loss scales included."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import tracer
from picotron import checkpoint, precision
from picotron.model import flatten
from tests.train.test_run_folder import resumed, small, trainer_of

TEXT = "the cat sat on the mat. the dog saw the cat.\n" * 60
VARIANTS = {
    "average": {"ema_decay": 0.9},
    "f16": {"precision": "f16"},
    "both, in parts": {
        "ema_decay": 0.99, "precision": "f16", "gradient_accumulation_steps": 2,
        "optimizer": "muon",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", VARIANTS)
def test_a_run_in_two_parts_is_bit_equal(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision, "GROWTH_STEPS", 3)  # the scale changes in either part
    Path("text.txt").write_text(TEXT)
    tracer.use_backend("oracle")
    try:
        config = small(steps=8)
        config = replace(config, training=replace(config.training, **VARIANTS[name]))
        out = {part: replace(config.checkpoint, save_dir=part) for part in ("whole", "parts")}
        assert trainer_of(replace(config, checkpoint=out["whole"])).run() == 0
        first = replace(config, checkpoint=out["parts"])
        early = trainer_of(first)
        cut = replace(early.config.training, total_train_steps=5)
        early.config = replace(early.config, training=cut)
        assert early.run() == 0
        assert trainer_of(resumed(first, "parts/tiny")).run() == 0
    finally:
        tracer.use_backend(None)
    found = [checkpoint.load_run(Path(part, "tiny", "checkpoints")) for part in out]
    (whole, rest), (again, other) = found
    assert (rest.step, rest.batches) == (other.step, other.batches) == (8, 8)
    pairs = (flatten(whole.params), flatten(again.params)), (rest.state, other.state)
    for wanted, got in pairs:
        assert wanted.keys() == got.keys()
        for path, value in wanted.items():
            np.testing.assert_array_equal(got[path], value, path)
    if "ema_decay" in VARIANTS[name]:
        assert any(path.startswith("ema.") for path in rest.state)
    if "precision" in VARIANTS[name]:
        assert rest.state["loss_scale.scale"] > precision.SCALE or rest.state["loss_scale.good"] > 0


def test_another_mesh_goes_on(tmp_path, monkeypatch):
    """Two copies of the model write a checkpoint, two halves of it read that: the losses are those
    of one device."""
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    config = small(steps=4)
    config = replace(config, model=replace(config.model, vocab_size=84))

    def run(out, steps, **mesh):
        """The losses of a run on a mesh of virtual devices, which goes on where an earlier one of
        its folder ended."""
        own = replace(config.distributed, launcher="virtual", **mesh)
        rows = replace(config.training, total_train_steps=4, micro_batch_size=8 // own.dp_size)
        place = replace(config.checkpoint, save_dir=out, load_path="auto")
        trainer = trainer_of(replace(config, distributed=own, training=rows, checkpoint=place))
        cut = replace(trainer.config.training, total_train_steps=steps)
        trainer.config = replace(trainer.config, training=cut)
        assert trainer.run() == 0
        return losses(trainer.folder)

    tracer.use_backend("oracle")
    try:
        whole = run("whole", 4)
        run("parts", 2, dp_size=2)
        parts = run("parts", 4, tp_size=2)
    finally:
        tracer.use_backend(None)
    assert list(parts) == list(whole) == [1, 2, 3, 4]
    np.testing.assert_allclose(list(parts.values()), list(whole.values()), rtol=1e-5)


def losses(folder):
    """Loss by step, from the run's log."""
    rows = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return {row["step"]: row["loss"] for row in rows if "loss" in row}
