"""The model against a float64 LLaMA in numpy that reads Hugging Face tensors."""

from functools import partial

import numpy as np
import pytest

from picotron import hf, model
from picotron.config import ModelConfig
from tracer import jit, tree
from tracer import numpy as jnp

SHAPES = {
    "grouped": ModelConfig(50, 32, 40, 2, 4, 2),
    "single": ModelConfig(50, 32, 40, 1, 4, 4, rope_theta=100.0, tie_word_embeddings=True),
    "odd": ModelConfig(37, 30, 21, 2, 3, 1, rms_norm_eps=1e-3),
    "wide": ModelConfig(50, 32, 40, 1, 4, 2, head_dim=12, attention_bias=True, mlp_bias=True),
}


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def rotate(x, theta):
    """x [S, N, D]: Hugging Face's rotate_half convention."""
    length, _, size = x.shape
    angle = np.arange(length)[:, None] * theta ** (-np.arange(0, size, 2) / size)
    angle = np.concatenate([angle, angle], -1)[:, None]
    turned = np.concatenate([-x[..., size // 2 :], x[..., : size // 2]], -1)
    return x * np.cos(angle) + turned * np.sin(angle)


def attend(x, tensors, prefix, config):
    length, heads, size = len(x), config.num_attention_heads, config.head_size
    q, k, v = (
        project(x, tensors, f"{prefix}.{name}_proj").reshape(length, -1, size) for name in "qkv"
    )
    q, k = rotate(q, config.rope_theta), rotate(k, config.rope_theta)
    k, v = (np.repeat(each, heads // config.num_key_value_heads, axis=1) for each in (k, v))
    scores = np.einsum("qnd,knd->nqk", q, k) / np.sqrt(size)
    scores = np.where(np.tril(np.ones((length, length), bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed = np.einsum("nqk,knd->qnd", weights, v).reshape(length, -1)
    return project(mixed, tensors, f"{prefix}.o_proj")


def project(x, tensors, name):
    return x @ tensors[f"{name}.weight"].T + tensors.get(f"{name}.bias", 0.0)


def numpy_llama(tensors, tokens, config):
    """Logits float64 [S, V] of one sequence."""
    tensors = {name: value.astype(np.float64) for name, value in tensors.items()}
    x = tensors["model.embed_tokens.weight"][tokens]
    for index in range(config.num_hidden_layers):
        at, eps = f"model.layers.{index}", config.rms_norm_eps
        normed = rms_norm(x, tensors[f"{at}.input_layernorm.weight"], eps)
        x = x + attend(normed, tensors, f"{at}.self_attn", config)
        normed = rms_norm(x, tensors[f"{at}.post_attention_layernorm.weight"], eps)
        gate = project(normed, tensors, f"{at}.mlp.gate_proj")
        up = project(normed, tensors, f"{at}.mlp.up_proj")
        x = x + project(gate / (1 + np.exp(-gate)) * up, tensors, f"{at}.mlp.down_proj")
    x = rms_norm(x, tensors["model.norm.weight"], config.rms_norm_eps)
    tied = config.tie_word_embeddings
    return x @ tensors["model.embed_tokens.weight" if tied else "lm_head.weight"].T


def random_params(config):
    """Weights with norms away from one, so that a forgotten norm weight shows."""
    flat = model.flatten(model.init(config, 0))
    for index, (name, value) in enumerate(flat.items()):
        if value.ndim == 1:
            flat[name] = 1 + model.normal(index, name, value.shape, 0.3)
    return model.unflatten(flat)


@pytest.mark.device
@pytest.mark.parametrize("name", SHAPES)
def test_forward_matches_numpy(name):
    config = SHAPES[name]
    params = random_params(config)
    tokens = np.random.default_rng(1).integers(0, config.vocab_size, (2, 13)).astype(np.int32)
    forward = jit(partial(model.forward, config=config))
    got = np.asarray(forward(tree.map(jnp.asarray, params), jnp.asarray(tokens)))
    assert got.dtype == np.float32
    for row, row_tokens in zip(got, tokens, strict=True):
        want = numpy_llama(hf.to_tensors(params), row_tokens, config)
        np.testing.assert_allclose(row, want, rtol=1e-4, atol=1e-4)


@pytest.mark.device
def test_loss_is_the_mean_negative_log_likelihood():
    config = SHAPES["grouped"]
    params = random_params(config)
    tokens = np.random.default_rng(2).integers(0, config.vocab_size, (3, 9)).astype(np.int32)
    inputs, targets = tokens[:, :-1].copy(), tokens[:, 1:].copy()
    loss = jit(partial(model.loss, config=config))
    got = float(loss(tree.map(jnp.asarray, params), {"inputs": inputs, "targets": targets}))
    terms = []
    for row in tokens:
        logits = numpy_llama(hf.to_tensors(params), row[:-1], config)
        log_sum = np.log(np.exp(logits).sum(-1))
        terms.append(log_sum - logits[np.arange(8), row[1:]])
    assert got == pytest.approx(np.mean(terms), rel=1e-5)


def test_init_depends_on_seed_and_path_only():
    deep, shallow = SHAPES["grouped"], ModelConfig(50, 32, 40, 1, 4, 2)
    first, second = (model.flatten(model.init(c, 5)) for c in (deep, shallow))
    for name in ("model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight"):
        np.testing.assert_array_equal(first[name], second[name])
    other = model.flatten(model.init(deep, 6))
    assert (other["lm_head.weight"] != first["lm_head.weight"]).all()
    up = [first[f"model.layers.{index}.mlp.up_proj.weight"] for index in (0, 1)]
    assert (up[0] != up[1]).all()


def test_init_has_the_asked_deviation():
    values = model.normal(0, "name", (400, 300), 0.05)
    assert values.dtype == np.float32
    assert abs(values.mean()) < 5e-4
    assert values.std() == pytest.approx(0.05, rel=0.01)
    assert (np.abs(values) < 0.05).mean() == pytest.approx(0.6827, abs=0.01)


def test_elements_of_a_weight_depend_on_their_index_alone():
    long, short = model.normal(3, "w", (100,), 1.0), model.normal(3, "w", (7,), 1.0)
    np.testing.assert_array_equal(long[:7], short)


def test_parameter_paths_nest_and_flatten():
    config = SHAPES["odd"]
    params = model.init(config, 0)
    assert isinstance(params["model"]["layers"], list)
    assert {n: v.shape for n, v in model.flatten(params).items()} == model.parameter_shapes(config)
    assert model.parameter_count(config) == sum(v.size for v in model.flatten(params).values())
