"""Optimizers, schedules and averages against what optax, torch and transformers computed.

Invariant: runs without those libraries; tests/conformance/optimizers.py recorded them. Weights
after 20 steps agree to 1e-6 of their size, Muon's, whose iteration is a chain of products, to 1e-5.
"""

from __future__ import annotations

import numpy as np
import pytest

from picotron import optim
from picotron.config import TrainingConfig
from picotron.optim.build import schedule_of
from tests.conformance.optimizers import (
    COUNTS,
    DECAY,
    EMA,
    RATE,
    RECORDED,
    SHAPES,
    STEPS,
    TOTAL,
    WARMUP,
    weights,
)
from tracer import jit, lax, tree, vmap
from tracer import numpy as jnp

pytestmark = pytest.mark.device


def all_matrices(name, weight):
    return True


def muon(decay=0.0, **options):
    return optim.muon(RATE, all_matrices, weight_decay=decay, **options)


OPTIMIZERS = {
    "optax/adamw": optim.adamw(RATE, 0.9, 0.95, 1e-8, DECAY),
    "optax/lion": optim.lion(RATE, 0.9, 0.99, DECAY),
    "optax/lion, no decay": optim.lion(RATE, 0.95, 0.98),
    "optax/sgd": optim.sgd(RATE, 0.9),
    "optax/sgd, nesterov": optim.sgd(RATE, 0.9, nesterov=True),
    "optax/clipped adamw": optim.chain(optim.clip_by_global_norm(0.5), optim.adamw(RATE)),
    "torch/adamw": optim.chain(
        optim.clip_by_global_norm(0.5), optim.adamw(RATE, 0.9, 0.95, 1e-8, DECAY)
    ),
    "torch/sgd": optim.sgd(RATE, 0.9, weight_decay=DECAY),
    "torch/sgd, nesterov": optim.sgd(RATE, 0.9, nesterov=True),
    "torch/muon": muon(DECAY),
    "torch/muon, no nesterov": muon(nesterov=False),
}
SCHEDULES = {
    "optax/linear": optim.linear_schedule(1.0, 0.25, 100),
    "optax/cosine": optim.cosine_decay_schedule(2.0, 100, alpha=0.1),
    "optax/warm-up, cosine": optim.warmup_cosine_decay_schedule(0.0, 1.0, WARMUP, TOTAL, 0.2),
    "optax/wsd": optim.wsd_schedule(1.0, 0.1, 100, 0.2),
}


@pytest.fixture(scope="module")
def recorded():
    with np.load(RECORDED) as found:
        return dict(found)


def test_everything_recorded_is_compared(recorded):
    names = {name.rsplit("/", name.count("/") - 1)[0] for name in recorded}
    ours = {*OPTIMIZERS, *SCHEDULES, "optax/average", *(f"transformers/{n}" for n in RUNS)}
    assert names == ours


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_after_twenty_steps(recorded, name):
    optimizer = OPTIMIZERS[name]

    @jit
    def run(params, gradients):
        def step(carry, own):
            params, state = carry
            updates, state = optimizer.update(own, state, params)
            return (optim.apply_updates(params, updates), state), None

        return lax.scan(step, (params, optimizer.init(params)), gradients)[0][0]

    every = tree.map(lambda *g: np.stack(g), *(weights(n) for n in range(1, STEPS + 1)))
    found, tolerance = run(weights(0), every), 1e-5 if "muon" in name else 1e-6
    for part in SHAPES:
        wanted = recorded[f"{name}/{part}"]
        np.testing.assert_allclose(found[part], wanted, rtol=tolerance, atol=tolerance)


def rates(schedule):
    return np.asarray(jit(vmap(schedule))(COUNTS.astype(np.int32)))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(recorded, name):
    np.testing.assert_allclose(rates(SCHEDULES[name]), recorded[name], rtol=1e-6, atol=1e-6)


RUNS = {
    "linear": "linear",
    "cosine": "cosine",
    "constant_with_warmup": "constant",
    "warmup_stable_decay": "wsd",
}


@pytest.mark.parametrize("name", RUNS)
def test_the_schedules_of_a_run(recorded, name):
    """From the warm-up's end the same; in the warm-up one step ahead, since transformers' first
    step has a rate of 0 and changes nothing."""
    schedule = schedule_of(
        TrainingConfig(
            lr_schedule=RUNS[name], learning_rate=1.0, min_learning_rate=0.0, decay_ratio=0.2,
            warmup_steps=WARMUP, total_train_steps=TOTAL,
        )
    )  # fmt: skip
    found, wanted = rates(schedule), recorded[f"transformers/{name}"]
    np.testing.assert_allclose(found[WARMUP:], wanted[WARMUP:], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found[:WARMUP], wanted[1 : WARMUP + 1], rtol=1e-6, atol=1e-6)


def test_averages_of_weights(recorded):
    """Far from the start, where the decay is the one asked for."""
    late = jnp.asarray(np.int32(1 << 20))
    average = weights(0)
    step = jit(lambda average, params: optim.averaged(average, params, EMA, late))
    for number in range(1, STEPS + 1):
        average = step(average, weights(number))
    for part in SHAPES:
        np.testing.assert_allclose(average[part], recorded[f"optax/average/{part}"], atol=1e-6)
