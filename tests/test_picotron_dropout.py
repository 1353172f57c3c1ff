"""Dropout in the model: what is dropped, from which key, and that nothing is there without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from picotron import dropout, model, optim
from picotron.config import Config, ModelConfig, TrainingConfig
from picotron.dropout import KEEP
from picotron.errors import ConfigError
from picotron.step import initial_state, make_eval_loss, make_train_step
from picotron.validate import check
from tracer import graph_of, random, tree, value_and_grad
from tracer import numpy as jnp

from .oracle.test_names import Program
from .oracle.test_names import check as check_gradients

PLAIN = ModelConfig(
    vocab_size=11, hidden_size=16, intermediate_size=24, num_hidden_layers=2,
    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=8,
)  # fmt: skip
HIDDEN = replace(PLAIN, hidden_dropout=0.25)
WEIGHTS = replace(PLAIN, attention_dropout=0.25)
BOTH = replace(HIDDEN, attention_dropout=0.5)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, 11, (2, 1, 2, 8)).astype(np.int32)

pytestmark = pytest.mark.usefixtures("oracle")


def batch(parts: int = 1) -> dict:
    return {"inputs": TOKENS[0].repeat(parts, 0), "targets": TOKENS[1].repeat(parts, 0)}


def started(config: ModelConfig, seed: int = 0):
    """A step and the state it starts from."""
    optimizer = optim.sgd(0.1)
    params = tree.map(jnp.asarray, model.init(config, 0))
    whole = Config(model=config, training=TrainingConfig(seed=seed))
    state = initial_state(params, optimizer.init(params), whole)
    return make_train_step(config, optimizer), state


def test_elements_are_dropped_or_scaled_and_the_mean_stays():
    x = jnp.asarray(RNG.standard_normal((64, 64)).astype(np.float32))
    total = np.zeros((64, 64))
    for seed in range(40):
        y = np.asarray(dropout.dropout(x, 0.25, random.key(seed)))
        kept = y != 0
        np.testing.assert_allclose(y[kept], np.asarray(x)[kept] / 0.75, rtol=1e-6)
        assert abs(kept.mean() - 0.75) < 0.03
        total += y
    error = total / 40 - np.asarray(x)
    assert abs((error * np.asarray(x)).mean()) < 0.02
    assert np.sqrt((error**2).mean()) < 0.15  # sqrt(0.25 / 0.75 / 40) of a normal element


def test_elements_are_those_that_jax_drops():
    """jax.random.bernoulli(jax.random.key(3), 0.75, (3, 4)) of JAX 0.10."""
    kept = np.asarray(dropout.dropout(jnp.ones((3, 4)), 0.25, random.key(3))) != 0
    want = [[1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(kept.astype(int), want)


@pytest.mark.parametrize("config", [HIDDEN, WEIGHTS, BOTH], ids=["hidden", "weights", "both"])
def test_gradients_with_dropout_are_finite_differences(config):
    params = model.init(config, 1)
    flat = model.flatten(params)
    one = {name: rows[0] for name, rows in batch().items()}

    def loss(*leaves):
        nested = model.unflatten(dict(zip(flat, leaves, strict=True)))
        return [model.loss(nested, one, config, dropout.drops(config, random.key(7)))]

    given = [np.asarray(leaf, np.float64) for leaf in flat.values()]
    check_gradients(Program(loss, given), given, 1, np.random.default_rng(2))


def test_attention_with_dropout_is_attention_with_masked_weights():
    q, k, v = (RNG.standard_normal((1, 5, n, 4)).astype(np.float32) for n in (4, 2, 2))
    drops = dropout.Drops(attention_rate=0.5, key=random.key(2))
    kept = np.asarray(random.bernoulli(random.fold_in(random.key(2), 0), 0.5, (1, 2, 2, 5, 5)))
    scores = np.einsum("bskgd,btkd->bkgst", q.reshape(1, 5, 2, 2, 4), k) / 2
    weights = np.where(np.tri(5, dtype=bool), np.exp(scores), 0)
    weights = weights / weights.sum(-1, keepdims=True) * kept * 2
    want = np.einsum("bkgst,btkd->bskgd", weights, v).reshape(1, 5, 4, 4)
    np.testing.assert_allclose(np.asarray(drops.attend(q, k, v)), want, rtol=1e-5, atol=1e-6)
    whole = replace(drops, attention_rate=1e-9).attend(q, k, v)
    np.testing.assert_allclose(whole, KEEP.attend(q, k, v), rtol=1e-5, atol=1e-6)


def test_without_dropout_nothing_is_traced_for_it():
    step, state = started(PLAIN)
    assert set(state) == {"params", "optimizer"}
    graph = graph_of(step)(state, batch())
    assert not {e.prim.name for e in graph.eqns} & {"xor_", "shl", "bitcast"}
    one = {name: rows[0] for name, rows in batch().items()}
    with_key = dropout.drops(PLAIN, random.key(0))
    graphs = [graph_of(lambda p, d=d: model.loss(p, one, PLAIN, d))(state["params"]) for d in
              (KEEP, with_key)]  # fmt: skip
    assert graphs[0].key() == graphs[1].key()


def test_validation_drops_nothing():
    _, state = started(BOTH)
    one = {name: rows[0] for name, rows in batch().items()}
    found = [float(make_eval_loss(c)(state["params"], one)) for c in (BOTH, PLAIN)]
    assert found[0] == found[1]


def test_each_step_layer_place_and_part_draws_numbers_of_its_own():
    step, state = started(BOTH)
    first = float(step(state, batch())[1]["loss"])
    assert float(step(state, batch())[1]["loss"]) == first
    later = {**state, "optimizer": {**state["optimizer"], "count": jnp.asarray(1)}}
    assert float(step(later, batch())[1]["loss"]) != first
    assert float(step(started(BOTH, seed=1)[1], batch())[1]["loss"]) != first
    assert float(step(state, batch(2))[1]["loss"]) != first  # equal rows, other masks
    drops = dropout.drops(BOTH, random.key(0))
    ones = jnp.ones((32, 32))
    masks = [d.hidden(ones, p) for d in (drops, *map(drops.of_layer, range(3)))
             for p in dropout.PLACES]  # fmt: skip
    assert len({np.asarray(m).tobytes() for m in masks}) == len(masks)


def test_accumulated_parts_are_averaged_with_their_own_masks():
    step, state = started(HIDDEN)
    key = random.fold_in(random.wrap_key_data(state["rng"]), 0)
    one = {name: rows[0] for name, rows in batch().items()}
    losses = []
    for part in range(2):
        drops = dropout.drops(HIDDEN, random.fold_in(key, part))
        losses.append(float(model.loss(state["params"], one, HIDDEN, drops)))
    assert float(step(state, batch(2))[1]["loss"]) == pytest.approx(np.mean(losses), rel=1e-6)


def test_the_state_keeps_its_key():
    step, state = started(HIDDEN, seed=5)
    after, _ = step(state, batch())
    np.testing.assert_array_equal(after["rng"], [0, 5])


def test_gradients_flow_through_what_is_kept_alone():
    x = jnp.asarray(RNG.standard_normal((4, 4)).astype(np.float32))
    y, g = value_and_grad(lambda x: jnp.sum(dropout.dropout(x, 0.5, random.key(1))))(x)
    mask = np.asarray(random.bernoulli(random.key(1), 0.5, (4, 4)))
    np.testing.assert_array_equal(g, mask * 2.0)
    assert float(y) == pytest.approx(float((np.asarray(x) * mask * 2).sum()), rel=1e-5)


@pytest.mark.parametrize("name", ["attention_dropout", "hidden_dropout"])
@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_rates_are_checked(name, rate):
    with pytest.raises(ConfigError, match=rf"model.{name} must be at least 0 and below 1"):
        check(Config(model=ModelConfig(**{name: rate}), training=TrainingConfig()))
