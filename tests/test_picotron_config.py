"""Configurations: what is refused, and whether the message names the cure."""

import dataclasses
import json

import pytest

from picotron import config_file
from picotron.config import Config, ModelConfig, TrainingConfig
from picotron.errors import ConfigError
from picotron.presets import PRESETS
from picotron.validate import check


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name):
    assert check(PRESETS[name]) is PRESETS[name]


def test_configs_survive_json():
    config = dataclasses.replace(PRESETS["medium"], model=ModelConfig(vocab_size=99))
    text = json.dumps(config_file.to_dict(config))
    assert config_file.from_dict(json.loads(text)) == config


def test_all_problems_are_reported_at_once():
    config = Config(
        model=ModelConfig(hidden_size=66, num_key_value_heads=3),
        training=TrainingConfig(learning_rate=0.0, seq_length=4096),
    )
    with pytest.raises(ConfigError) as caught:
        check(config)
    for part in (
        "hidden_size 66 must be divisible by model.num_attention_heads 4",
        "num_attention_heads 4 must be divisible by model.num_key_value_heads 3",
        "training.learning_rate must be greater than 0, not 0.0",
        "seq_length 4096 exceeds model.max_position_embeddings 128",
    ):
        assert part in str(caught.value)


def test_odd_head_dimensions_are_refused():
    model = ModelConfig(hidden_size=20, num_attention_heads=4, num_key_value_heads=4)
    with pytest.raises(ConfigError, match="must be even"):
        check(Config(model=model))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"model": {"hiden_size": 1}}, "'model.hiden_size'; did you mean 'hidden_size'"),
        ({"modle": {}}, "'modle'; did you mean 'model'"),
        ({"training": {"max_steps": 5}}, "did you mean 'total_train_steps'"),
        ({"learning_rate": 1}, "did you mean 'training.learning_rate'"),
        ({"zzz": 1}, "known sections: distributed, model, training"),
        ({"model": 3}, "model must be an object, not 3"),
        ({"training": {"seed": 1.5}}, "training.seed must be an integer, not 1.5"),
        ({"training": {"seed": True}}, "training.seed must be an integer, not True"),
        ({"training": {"learning_rate": "a"}}, "must be a number, not 'a'"),
        ({"training": {"optimizer": "lion"}}, "one of 'adamw', 'sgd', not 'lion'"),
        ({"model": {"vocab_size": "x"}}, "must be an integer or null"),
        ([], "the top level must be an object"),
    ],
)
def test_files_are_read_strictly(data, message):
    with pytest.raises(ConfigError) as caught:
        config_file.from_dict(data)
    assert message in str(caught.value)


def test_integers_are_numbers_and_the_base_stays():
    base = PRESETS["tiny"]
    config = config_file.from_dict({"training": {"learning_rate": 1}}, base)
    assert config.training.learning_rate == 1.0
    assert config.model == base.model


def test_unreadable_files(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the config file"):
        config_file.load(tmp_path / "none.json", Config())
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ConfigError, match="is not JSON"):
        config_file.load(tmp_path / "bad.json", Config())


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tp_size": 2}, "leave out tp_size 2"),
        ({"dp_size": 4, "zero1": True}, "leave out dp_size 4, zero1"),
        ({"cp_size": 0}, "distributed.cp_size must be greater than 0, not 0"),
    ],
)
def test_meshes_are_refused_by_name(changes, named):
    config = config_file.from_dict({"distributed": changes})
    with pytest.raises(ConfigError, match=named):
        check(config)
