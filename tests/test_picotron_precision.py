"""Precision policies, document masks and averages of weights in the train step."""

import numpy as np
import pytest

from picotron import model, optim, precision
from picotron.config import Config, ModelConfig, TrainingConfig
from picotron.prepare import new_state, train_step_of
from picotron.step import make_eval_loss, mean_gradient, weights_of
from tracer import jit, tree
from tracer import numpy as jnp

pytestmark = pytest.mark.device
SHAPE = ModelConfig(
    vocab_size=32,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=1,
    num_attention_heads=4,
    max_position_embeddings=16,
)


def config_of(**training):
    settings = {
        "total_train_steps": 30,
        "warmup_steps": 2,
        "seq_length": 16,
        "micro_batch_size": 4,
        **training,
    }
    return Config(model=SHAPE, training=TrainingConfig(**settings, learning_rate=1e-2))


def batch_of(step, parts=1):
    """Counting upwards from anywhere: soon learnt."""
    starts = np.random.default_rng(step).integers(0, 32, (parts, 4, 1))
    ids = (starts + np.arange(17)) % 32
    return {"inputs": ids[..., :-1].astype(np.int32), "targets": ids[..., 1:].astype(np.int32)}


def train(config, steps=12):
    step, state = train_step_of(config), new_state(config)
    losses = []
    for number in range(steps):
        state, metrics = step(state, batch_of(number))
        losses.append(float(metrics["loss"]))
    return losses, state


@pytest.fixture(scope="module")
def plain():
    return train(config_of())


@pytest.mark.parametrize("name", ["bf16", "f16"])
def test_narrow_types_converge_as_float32(plain, name):
    losses, state = train(config_of(precision=name))
    assert losses[-1] < losses[0] - 0.3
    np.testing.assert_allclose(losses, plain[0], rtol=0.05, atol=0.02)
    assert losses != plain[0]  # something was narrow
    assert {leaf.dtype for leaf in tree.leaves(state["params"])} == {np.dtype(np.float32)}
    if name == "f16":
        assert float(state["loss_scale"]["scale"]) <= precision.SCALE
        assert 0 < int(state["optimizer"]["count"]) <= 12


@pytest.mark.parametrize("name", ["f32", "f16"])
def test_accumulation_averages_once_under_every_policy(name):
    policy = precision.POLICIES[name]
    scale = np.float32(2.0**10) if policy.scales else None
    params = tree.map(jnp.asarray, model.init(SHAPE, 0))
    parted = batch_of(3, parts=2)
    whole = {key: rows.reshape(1, 8, 16) for key, rows in parted.items()}
    gradient = jit(lambda p, b: mean_gradient(p, b, SHAPE, policy=policy, scale=scale))
    losses, grads = zip(*(gradient(params, batch) for batch in (parted, whole)), strict=True)
    narrow = name != "f32"
    np.testing.assert_allclose(*map(float, losses), rtol=1e-2 if narrow else 1e-5)
    for ours, theirs in zip(*map(tree.leaves, grads), strict=True):
        assert ours.dtype == np.float32
        size = np.abs(np.asarray(theirs)).max()
        bound = (2e-2 if narrow else 1e-5) * size
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), atol=bound)


def test_an_overflow_halves_the_scale_and_leaves_the_weights():
    config = config_of(precision="f16")
    state = new_state(config)
    state["loss_scale"]["scale"] = jnp.asarray(np.float32(2.0**60))
    before = tree.map(np.asarray, state["params"])
    state, metrics = train_step_of(config)(state, batch_of(0))
    assert float(state["loss_scale"]["scale"]) == 2.0**59
    assert int(state["optimizer"]["count"]) == 0 and float(metrics["grad_norm"]) == 0.0
    assert np.isfinite(float(metrics["loss"]))
    tree.map(np.testing.assert_array_equal, tree.map(np.asarray, state["params"]), before)


def test_the_scale_doubles_after_many_good_steps():
    state = {"scale": jnp.asarray(np.float32(8)), "good": jnp.asarray(np.int32(1998))}
    told = []
    for finite in (True, True, False):
        state = jit(precision.next_scale)(state, np.bool_(finite))
        told.append((float(state["scale"]), int(state["good"])))
    assert told == [(8.0, 1999), (16.0, 0), (8.0, 0)]


def test_the_log_says_which_precision_and_why():
    assert precision.described("auto").startswith("precision f32 by default: ")
    assert precision.described("f16").startswith("precision f16 as training.precision asks: ")


def test_averages_of_weights_are_what_is_validated():
    losses, state = train(config_of(ema_decay=0.9), steps=3)
    wanted, step, plain_state = None, train_step_of(config_of()), new_state(config_of())
    wanted = tree.map(np.asarray, plain_state["params"])
    for number in range(3):
        plain_state, _ = step(plain_state, batch_of(number))
        keep = min(0.9, (1 + number) / (10 + number))
        now = tree.map(np.asarray, plain_state["params"])
        wanted = tree.map(lambda a, w, k=keep: k * a + (1 - k) * w, wanted, now)
    assert weights_of(state) is state["ema"] and weights_of(plain_state) is plain_state["params"]
    for ours, theirs in zip(*map(tree.leaves, (state["ema"], wanted)), strict=True):
        np.testing.assert_allclose(np.asarray(ours), theirs, rtol=1e-4, atol=1e-6)


def test_attention_stays_within_documents():
    params = tree.map(jnp.asarray, model.init(SHAPE, 0))
    ids = np.random.default_rng(0).integers(4, 32, (1, 16)).astype(np.int32)
    segments = np.repeat([[0, 1, 2]], [5, 7, 4], axis=1).astype(np.int32)
    packed = jit(lambda p, t, s: model.forward(p, t, SHAPE, segments=s))(params, ids, segments)
    apart = jit(lambda p, t: model.forward(p, t, SHAPE))
    for start, end in ((0, 5), (5, 12), (12, 16)):
        alone = np.asarray(apart(params, ids[:, start:end]))
        np.testing.assert_allclose(np.asarray(packed)[:, start:end], alone, rtol=1e-4, atol=1e-5)


def test_losses_and_gradients_see_the_segments():
    batch = {name: rows[0] for name, rows in batch_of(0).items()}
    segments = np.zeros((4, 16), np.int32)
    segments[:, 8:] = 1
    params = tree.map(jnp.asarray, model.init(SHAPE, 0))
    evaluate = jit(make_eval_loss(SHAPE))
    whole = float(evaluate(params, batch))
    same = float(evaluate(params, {**batch, "segments": np.zeros_like(segments)}))
    cut = float(evaluate(params, {**batch, "segments": segments}))
    assert same == pytest.approx(whole, rel=1e-5) and abs(cut - whole) > 1e-6


def test_groups_of_weights_have_rates_and_decays_of_their_own():
    group = {"pattern": "*.embed_tokens.*", "lr_scale": 0.0}
    from picotron import config_file

    data = {"training": {"param_groups": [group, {"pattern": "*norm*", "weight_decay": 0.5}]}}
    training = config_file.from_dict(data).training
    optimizer, _ = optim.from_config(training)
    params = {"model": {"embed_tokens": {"w": np.ones((2, 2), np.float32)}, "norm": np.ones(2)}}
    params = tree.map(lambda a: jnp.asarray(a.astype(np.float32)), params)
    zeros = tree.map(jnp.zeros_like, params)
    updates, _ = jit(optimizer.update)(zeros, optimizer.init(params), params)
    assert not np.asarray(updates["model"]["embed_tokens"]["w"]).any()
    rate = training.learning_rate / training.warmup_steps
    np.testing.assert_allclose(np.asarray(updates["model"]["norm"]), -rate * 0.5, rtol=1e-5)
