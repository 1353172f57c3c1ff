"""What `picotron export` writes, loaded by transformers.

Invariant: transformers is given the folder alone.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from picotron import checkpoint, model
from picotron.checkpoint import TrainingState
from picotron.config import Config, ModelConfig
from picotron.export import export
from picotron.pretrained import open_folder
from picotron.rope import RopeScaling
from picotron.tokenizer import CharTokenizer
from tracer import jit

from . import llamas

OWN = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "biased": {"attention_bias": True, "mlp_bias": True},
    "wide": {"head_dim": 10},
    "linear": {"rope_scaling": RopeScaling("linear", 2.0)},
    "dynamic": {"rope_scaling": RopeScaling("dynamic", 2.0)},
    "llama3": {"rope_scaling": RopeScaling("llama3", 4.0, 16), "rope_theta": 5000.0},
    "yarn": {"rope_scaling": RopeScaling("yarn", 4.0, 16)},
}
TOKENIZER = CharTokenizer.train("some text with ä")


def config_of(name):
    return ModelConfig(TOKENIZER.vocab_size, 32, 40, 2, 4, 2, **OWN[name])


def save_own(folder, config):
    params = model.init(config, 3)
    noisy = {
        path: weight + model.normal(1, path, weight.shape, 0.1)
        for path, weight in model.flatten(params).items()
    }
    params = model.unflatten(noisy)
    rest = TrainingState(0, Config(model=config), {}, 0)
    checkpoint.save(folder, checkpoint.snapshot(params, TOKENIZER, rest))
    return params


def their_logits(folder, tokens, dtype="float32"):
    return llamas.logits(llamas.loaded(folder, dtype), tokens)


@pytest.mark.parametrize("name", OWN)
def test_models_of_ours(name, tmp_path):
    config = config_of(name)
    params = save_own(tmp_path / "run", config)
    export(open_folder(tmp_path / "run"), tmp_path / "out", None, 10**9)
    tokens = llamas.token_ids(2, 33) % TOKENIZER.vocab_size
    found = their_logits(tmp_path / "out", tokens)
    own = jit(lambda w, t: model.forward(w, t, config))(params, tokens)
    np.testing.assert_allclose(found, np.asarray(own), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_width_files_of_bounded_size(dtype, tmp_path):
    save_own(tmp_path / "run", config_of("biased"))
    export(open_folder(tmp_path / "run"), tmp_path / "out", dtype, 10_000)
    assert len(list((tmp_path / "out").glob("model-*-of-*.safetensors"))) > 2
    theirs = llamas.loaded(tmp_path / "out", dtype)
    assert str(theirs.dtype) == f"torch.{dtype}"
    whole = model.flatten(open_folder(tmp_path / "run").read("float32", np.asarray))
    for name, weight in theirs.named_parameters():
        kept = whole[name].T if weight.ndim == 2 and "embed" not in name else whole[name]
        want = kept.astype(open_folder(tmp_path / "out").read(dtype)["lm_head"]["weight"].dtype)
        np.testing.assert_array_equal(weight.detach().float().numpy(), want.astype(np.float32))


def test_the_tokenizer_comes_along(tmp_path):
    import transformers

    save_own(tmp_path / "run", config_of("plain"))
    export(open_folder(tmp_path / "run"), tmp_path / "out", None, 10**9)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "Some text, ä?!"
    assert theirs(text)["input_ids"] == TOKENIZER.encode(text).tolist()
    assert theirs.decode(TOKENIZER.encode("text ä"), skip_special_tokens=True) == "text ä"
    assert (theirs.bos_token, theirs.eos_token, theirs.pad_token) == ("<s>", "</s>", "<pad>")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "out")
    assert (config.bos_token_id, config.eos_token_id) == (2, 3)


@pytest.mark.parametrize("name", llamas.CASES)
def test_in_and_out_again(name, tmp_path):
    """Files of transformers come out with the same values and a config.json of the same sense."""
    llamas.save(name, tmp_path / "in", "bfloat16")
    export(open_folder(tmp_path / "in"), tmp_path / "out", None, 10**9)
    first, second = open_folder(tmp_path / "in"), open_folder(tmp_path / "out")
    assert first.model == second.model
    for path in first.arrays:
        np.testing.assert_array_equal(first.arrays.read(path), second.arrays.read(path))
    theirs = [llamas.loaded(tmp_path / side).config for side in ("in", "out")]
    assert theirs[0].rope_parameters == {
        key: theirs[1].rope_parameters[key] for key in theirs[0].rope_parameters
    }
    dtypes = [
        json.loads((tmp_path / s / "config.json").read_text())["dtype"] for s in ("in", "out")
    ]
    assert dtypes == ["bfloat16", "bfloat16"]
