"""Configurations: what is refused, and whether the message names the cure."""

import dataclasses
import json

import pytest

from picotron import PicoTronConfig, cli, config_file, dialects
from picotron.commands.shortcuts import PLACES, Shortcuts
from picotron.config import Config, ModelConfig, TrainingConfig
from picotron.errors import ConfigError
from picotron.model import parameter_count
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
        ({"training": {"optimizer": "adam"}}, "'adamw', 'sgd', 'lion', 'muon', not 'adam'"),
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
        ({"tp_size": 3}, "num_attention_heads 4 is not divisible by tp_size 3; 3 or 6 would do"),
        ({"pp_size": 4, "zero1": True}, "2 layers cannot be spread over 4 pipeline stages"),
        ({"cp_size": 0}, "distributed.cp_size must be greater than 0, not 0"),
    ],
)
def test_meshes_are_refused_by_name(changes, named):
    config = config_file.from_dict({"distributed": changes})
    with pytest.raises(ConfigError, match=named):
        check(config)


# -- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("kind", ["json", "toml"])
def test_files_are_read_back_as_they_were(tmp_path, name, kind):
    config = config_file.from_dict(
        {
            "model": {"rope_scaling": {"rope_type": "linear", "factor": 2}},
            "training": {"param_groups": [{"pattern": 'a"*', "weight_decay": 0}]},
            "logging": {"sample_prompt": 'tab\t "quoted" \\ é'},
        },
        PRESETS[name],
    )
    path = tmp_path / f"config.{kind}"
    config_file.save(config, path, kind)
    assert config_file.load(path, Config()) == config
    assert PicoTronConfig is Config and getattr(Config, f"from_{kind}")(path) == config


def test_values_that_make_no_sense_are_listed_with_unknown_keys():
    data = {"model": {"hiden_size": 1, "num_attention_heads": 5}, "training": {"seed": "x"}}
    with pytest.raises(ConfigError) as caught:
        config_file.from_dict(data)
    text = str(caught.value)
    assert text.startswith(("3 problems", "4 problems"))
    for part in ("did you mean 'hidden_size'", "seed must be an integer", "divisible by"):
        assert part in text


SEED_FILE = {
    "model": {
        "name": "llama-7b",
        "vocab_size": 32000,
        "hidden_size": 4096,
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "intermediate_size": 11008,
        "max_position_embeddings": 2048,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "layer_norm_eps": 1e-5,
        "initializer_range": 0.02,
    },
    "training": {
        "learning_rate": 1e-4,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 32,
        "num_train_epochs": 3,
        "max_steps": None,
        "warmup_steps": 1000,
        "weight_decay": 0.01,
        "adam_epsilon": 1e-8,
        "adam_beta1": 0.9,
        "adam_beta2": 0.999,
        "max_grad_norm": 1.0,
        "logging_steps": 10,
        "save_steps": 1000,
        "eval_steps": 500,
    },
    "parallelism": {
        "data_parallel_size": 1,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "context_parallel_size": 1,
        "pipeline_engine": "1f1b",
    },
    "data": {
        "train_data_path": "data/train",
        "eval_data_path": None,
        "num_workers": 4,
        "cache_dir": None,
    },
    "output": {
        "output_dir": "outputs",
        "experiment_name": "picotron-experiment",
        "save_total_limit": 3,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
    },
}

# Each field of theirs: another value, and where that is to be found.
SEED_FIELDS = {
    "model.name": ("mine", "logging.model_name"),
    "model.vocab_size": (500, "model.vocab_size"),
    "model.hidden_size": (2048, "model.hidden_size"),
    "model.num_attention_heads": (16, "model.num_key_value_heads"),
    "model.num_hidden_layers": (3, "model.num_hidden_layers"),
    "model.intermediate_size": (64, "model.intermediate_size"),
    "model.max_position_embeddings": (512, "training.seq_length"),
    "model.hidden_dropout_prob": (0.3, "model.hidden_dropout"),
    "model.attention_probs_dropout_prob": (0.2, "model.attention_dropout"),
    "model.layer_norm_eps": (1e-6, "model.rms_norm_eps"),
    "model.initializer_range": (0.1, "model.initializer_range"),
    "training.learning_rate": (1e-2, "training.learning_rate"),
    "training.per_device_train_batch_size": (2, "training.micro_batch_size"),
    "training.gradient_accumulation_steps": (5, "training.gradient_accumulation_steps"),
    "training.num_train_epochs": (7, "training.num_train_epochs"),
    "training.max_steps": (90, "training.total_train_steps"),
    "training.warmup_steps": (3, "training.warmup_steps"),
    "training.weight_decay": (0.5, "training.weight_decay"),
    "training.adam_epsilon": (1e-3, "training.adam_epsilon"),
    "training.adam_beta1": (0.5, "training.adam_beta1"),
    "training.adam_beta2": (0.6, "training.adam_beta2"),
    "training.max_grad_norm": (9.0, "training.max_grad_norm"),
    "training.logging_steps": (2, "logging.log_frequency"),
    "training.save_steps": (3, "checkpoint.save_frequency"),
    "training.eval_steps": (4, "logging.eval_frequency"),
    "parallelism.data_parallel_size": (2, "distributed.dp_size"),
    "parallelism.tensor_parallel_size": (2, "distributed.tp_size"),
    "parallelism.pipeline_parallel_size": (2, "distributed.pp_size"),
    "parallelism.context_parallel_size": (2, "distributed.cp_size"),
    "parallelism.pipeline_engine": ("afab", "distributed.pp_engine"),
    "data.train_data_path": ("a.txt", "dataset.path"),
    "data.eval_data_path": ("b.txt", "dataset.eval_path"),
    "data.num_workers": (0, "dataset.num_workers"),
    "data.cache_dir": ("c", "dataset.cache_dir"),
    "output.output_dir": ("runs", "checkpoint.save_dir"),
    "output.experiment_name": ("e", "logging.run_name"),
    "output.save_total_limit": (8, "checkpoint.save_total_limit"),
    "output.load_best_model_at_end": (False, "checkpoint.load_best_model_at_end"),
    "output.metric_for_best_model": ("accuracy", None),
}


def value_at(config, place):
    section, key = place.split(".")
    return getattr(getattr(config, section), key)


def test_the_file_of_the_seed_loads_as_it_is(tmp_path):
    fields = [f"{section}.{key}" for section, values in SEED_FILE.items() for key in values]
    assert fields == list(SEED_FIELDS) and len(fields) == 39
    path = tmp_path / "config.json"
    path.write_text(json.dumps(SEED_FILE))
    config = check(Config.from_json(path))
    assert config.model.num_key_value_heads == 32 and config.training.seq_length == 2048
    assert config.training.num_train_epochs == 3
    without = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in SEED_FILE.items()
    }
    tables = (config_file._table(section, values) for section, values in without.items())
    (tmp_path / "config.toml").write_text("\n".join(tables))
    assert Config.from_toml(tmp_path / "config.toml") == config


@pytest.mark.parametrize("field", SEED_FIELDS)
def test_every_field_of_the_seed_has_its_place(field):
    value, place = SEED_FIELDS[field]
    section, key = field.split(".")
    changed = {**SEED_FILE, section: {**SEED_FILE[section], key: value}}
    if place is None:
        with pytest.raises(ConfigError, match=f"{field} '{value}' is refused; "):
            config_file.from_dict(changed)
        return
    before = config_file.from_dict(SEED_FILE)
    after = config_file.from_dict(changed)
    assert value_at(after, place) == value != value_at(before, place)


BASE_CONFIG = {
    "distributed": {
        "tp_size": 1,
        "cp_size": 1,
        "pp_size": 1,
        "dp_size": 1,
        "pp_engine": "1f1b",
        "backend": "nccl",
        "use_cpu": False,
    },
    "model": {
        "name": "HuggingFaceTB/SmolLM-360M-Instruct",
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 4,
        "dtype": "bfloat16",
        "use_flash_attention": True,
        "use_fused_adam": True,
    },
    "training": {
        "seed": 42,
        "learning_rate": 3e-4,
        "total_train_steps": 200,
        "seq_length": 1024,
        "micro_batch_size": 32,
        "gradient_accumulation_steps": 1,
        "num_samples": 400000,
        "max_tokens": None,
    },
    "dataset": {
        "name": "roneneldan/TinyStories",
        "subset_name": None,
        "num_workers": 0,
        "num_proc": 1,
    },
    "checkpoint": {"save_dir": "ckpt", "save_frequency": 300, "load_path": ""},
    "logging": {"use_wandb": False, "project_name": "picotron", "run_name": None},
    "environment": {
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "FLASH_ATTEN": "1",
        "HF_TOKEN": None,
    },
}


def test_the_base_config_of_picotron_loads_as_it_is():
    config = check(config_file.from_dict(BASE_CONFIG))
    model, training = config.model, config.training
    assert (model.hidden_size, model.intermediate_size, model.vocab_size) == (960, 2560, 49152)
    assert (model.num_hidden_layers, model.num_attention_heads) == (16, 16)
    assert (training.precision, training.lr_schedule) == ("bf16", "constant")
    assert (training.adam_beta2, training.weight_decay, training.max_grad_norm) == (0.999, 0.01, 0)
    assert config.dataset.name == "roneneldan/TinyStories" and config.dataset.num_samples == 400000
    assert config.checkpoint.load_path is None and config.environment.OMP_NUM_THREADS == "1"


@pytest.mark.parametrize(
    ("place", "value", "cure"),
    [
        ("distributed.backend", "mpi", "leave it out; collectives run through"),
        ("distributed.use_cpu", True, "--adapter llvmpipe"),
        ("model.name", "gpt-5", "train with --init-from FOLDER"),
        ("model.dtype", "float8", "use one of float32, float16, bfloat16"),
        ("model.use_flash_attention", False, "always one fused kernel"),
        ("model.use_fused_adam", 0, "always part of the compiled step"),
        ("dataset.num_proc", 8, "uses all cores by itself"),
        ("environment.FLASH_ATTEN", "0", "always one fused kernel"),
        ("environment.HF_TOKEN", "hf_x", "export HF_TOKEN instead"),
        ("training.learning_rat", 1, "did you mean 'learning_rate'"),
    ],
)
def test_what_picotron_cannot_have_is_refused_with_the_cure(place, value, cure):
    section, key = place.split(".")
    data = {**BASE_CONFIG, section: {**BASE_CONFIG[section], key: value}}
    with pytest.raises(ConfigError) as caught:
        config_file.from_dict(data)
    assert place in str(caught.value) and cure in str(caught.value)


def test_translations_name_fields_of_the_schema():
    for row in dialects.FIELDS:
        if row.to not in (None, "model"):
            value_at(Config(), row.to)
        if row.to is None:
            assert row.meaning not in ("", "the same")


# -- flags -------------------------------------------------------------------------------------


def printed(capsys, *words):
    assert cli.main(["train", *words, "--print-config"]) == 0
    return config_file.from_dict(json.loads(capsys.readouterr().out))


def test_short_flags_of_picotron(capsys):
    words = "--mbs 3 --seq_len 512 --grad_acc_steps 4 --num_hidden_layers 1 --exp_name e"
    words += " --num_attention_heads 8 --num_key_value_heads 2 --dp 1 --tp 1 --pp 1 --cp 1"
    config = printed(capsys, *words.split(), "--pp_engine", "afab", "--steps", "9")
    training, model = config.training, config.model
    assert (training.micro_batch_size, training.seq_length) == (3, 512)
    assert (training.gradient_accumulation_steps, training.total_train_steps) == (4, 9)
    assert model.max_position_embeddings == 512 and model.num_hidden_layers == 1
    assert (model.num_attention_heads, model.num_key_value_heads) == (8, 2)
    assert config.logging.run_name == "e" and config.distributed.pp_engine == "afab"
    assert set(PLACES) == {field.name for field in dataclasses.fields(Shortcuts)}


@pytest.mark.parametrize("flag", ["--training.learning-rate", "--training.learning_rate"])
def test_flags_in_either_spelling_go_over_files(tmp_path, capsys, flag):
    (tmp_path / "a.toml").write_text("[training]\nlearning_rate = 0.5\nwarmup_steps = 7\n")
    config = printed(capsys, "--config", str(tmp_path / "a.toml"), flag, "1e-3")
    assert (config.training.learning_rate, config.training.warmup_steps) == (1e-3, 7)


def test_the_configuration_is_printed_as_toml_too(tmp_path, capsys):
    assert cli.main("train --preset tiny --print-config toml".split()) == 0
    (tmp_path / "a.toml").write_text(capsys.readouterr().out)
    assert config_file.load(tmp_path / "a.toml", Config()) == PRESETS["tiny"]


def test_meshes_on_the_command_line_are_refused_by_name(capsys):
    assert cli.main("train --dp 2 --tp 3 --print-config".split()) == 2
    assert "num_attention_heads 4 is not divisible by tp_size 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("preset", "count"),
    [
        ("smollm-135m", 134_515_008),
        ("smollm-360m", 361_821_120),
        ("smollm-1.7b", 1_711_376_384),
        ("tinyllama-1.1b", 1_100_048_384),
        ("llama-3.2-1b", 1_235_814_400),
        ("llama-2-7b", 6_738_415_616),
    ],
)
def test_presets_of_published_models_have_their_size(preset, count):
    assert parameter_count(check(PRESETS[preset]).model) == count
