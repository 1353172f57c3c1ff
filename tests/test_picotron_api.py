"""`import picotron`: the names that it promises, and that they do what the verbs do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import picotron
from picotron import checkpoint
from picotron.config import (
    CheckpointConfig,
    DatasetConfig,
    LoggingConfig,
    ModelConfig,
    TrainingConfig,
)
from picotron.errors import CheckpointError, ConfigError


def test_importing_the_package_imports_nothing_else():
    script = (
        "import sys, picotron; print(sorted(picotron.__all__));"
        "sys.exit(', '.join({'numpy', 'tracer', 'wgpu', 'tyro'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in ("PicoTronConfig", "Trainer", "generate", "attention", "layer_norm", "matmul"):
        assert f"'{name}'" in done.stdout


def test_every_name_is_there():
    for name in picotron.__all__:
        assert callable(getattr(picotron, name)) and getattr(picotron, name).__doc__
        assert not Path(picotron.__file__).with_name(f"{name}.py").exists()  # would take its place
    assert {"Trainer", "generate"} <= set(dir(picotron))
    with pytest.raises(AttributeError, match="no attribute 'Trainr'"):
        _ = picotron.Trainr


@pytest.mark.device
def test_train_load_ask_and_write(tmp_path, capsys):
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. " * 40)
    config = picotron.PicoTronConfig(
        model=ModelConfig(hidden_size=16, intermediate_size=24, max_position_embeddings=16),
        training=TrainingConfig(total_train_steps=2, seq_length=16, micro_batch_size=2),
        dataset=DatasetConfig(path=str(text), validation_fraction=0.1),
        checkpoint=CheckpointConfig(save_dir=str(tmp_path / "out")),
        logging=LoggingConfig(eval_batches=1),
    )
    trainer = picotron.Trainer(config)
    assert trainer.run() == 0 and trainer.folder == tmp_path / "out" / "novel"
    assert "Validation loss" in capsys.readouterr().out
    found = picotron.load_model(trainer.folder)
    saved = checkpoint.load(trainer.folder)
    assert found.config == saved.model and found.tokenizer == saved.tokenizer
    logits = found.logits([[10, 11, 12], [4, 5, 6]])
    assert logits.shape == (2, 3, saved.model.vocab_size) and np.isfinite(logits).all()
    written = picotron.generate(trainer.folder, "the ", 5, temperature=0.0)
    assert written.startswith("the ") and written == picotron.generate(
        found, "the ", 5, temperature=0.0
    )


def test_mistakes_are_errors_of_ours(tmp_path):
    with pytest.raises(CheckpointError, match="there is no checkpoint folder"):
        picotron.load_model(tmp_path / "none")
    config = picotron.PicoTronConfig(model=ModelConfig(hidden_size=-1))
    with pytest.raises(ConfigError, match="hidden_size must be greater than 0"):
        picotron.Trainer(config)
