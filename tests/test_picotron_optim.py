"""Optimizers and schedules against their formulas in numpy."""

import math

import numpy as np
import pytest

from picotron import optim
from tracer import jit, tree
from tracer import numpy as jnp

pytestmark = pytest.mark.device


def random_tree(seed):
    random = np.random.default_rng(seed)
    shapes = {"matrix": (3, 4), "list": [(5,), (2, 2)]}
    return {
        "matrix": random.standard_normal(shapes["matrix"]).astype(np.float32),
        "list": [random.standard_normal(shape).astype(np.float32) for shape in shapes["list"]],
    }


def run(optimizer, steps):
    """Weights after some steps with gradients 1, 2, … (as seeds)."""

    @jit
    def advance(params, state, grads):
        updates, state = optimizer.update(grads, state, params)
        return optim.apply_updates(params, updates), state

    params = tree.map(jnp.asarray, random_tree(0))
    state = optimizer.init(params)
    for step in range(1, steps + 1):
        params, state = advance(params, state, tree.map(jnp.asarray, random_tree(step)))
    return tree.map(np.asarray, params)


def reference_adamw(steps, rate, b1, b2, eps, decay):
    weights = [leaf.astype(np.float64) for leaf in tree.leaves(random_tree(0))]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(1, steps + 1):
        for i, g in enumerate(tree.leaves(random_tree(step))):
            first[i] = b1 * first[i] + (1 - b1) * g
            second[i] = b2 * second[i] + (1 - b2) * g.astype(np.float64) ** 2
            unbiased = second[i] / (1 - b2**step)
            direction = first[i] / (1 - b1**step) / (np.sqrt(unbiased) + eps)
            shrink = decay if weights[i].ndim == 2 else 0.0
            weights[i] = weights[i] - rate * (direction + shrink * weights[i])
    return weights


@pytest.mark.parametrize(("b1", "b2"), [(0.9, 0.95), (0.9, 0.999), (0.0, 0.5)])
def test_adamw(b1, b2):
    def is_matrix(name, weight):
        return len(weight.shape) == 2

    got = run(optim.adamw(0.1, b1, b2, 1e-8, 0.3, is_matrix), steps=5)
    want = reference_adamw(5, 0.1, b1, b2, 1e-8, 0.3)
    for ours, theirs in zip(tree.leaves(got), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=2e-5)


def test_sgd_with_momentum():
    got = run(optim.sgd(0.1, momentum=0.5), steps=3)
    for i, weight in enumerate(tree.leaves(random_tree(0))):
        trace = np.zeros_like(weight)
        for step in (1, 2, 3):
            trace = 0.5 * trace + tree.leaves(random_tree(step))[i]
            weight = weight - 0.1 * trace
        np.testing.assert_allclose(tree.leaves(got)[i], weight, rtol=1e-5, atol=1e-6)


def test_clipping():
    grads = tree.map(jnp.asarray, random_tree(1))
    flat = np.concatenate([leaf.ravel() for leaf in tree.leaves(random_tree(1))])
    norm = float(np.sqrt((flat.astype(np.float64) ** 2).sum()))

    @jit
    def clip(grads, maximum):
        found = optim.global_norm(grads)
        return found, optim.clipped_to(grads, found, maximum)

    found, loose = clip(grads, np.float32(2 * norm))
    assert float(found) == pytest.approx(norm, rel=1e-5)
    _, tight = clip(grads, np.float32(0.5 * norm))
    for before, same, half in zip(*map(tree.leaves, (random_tree(1), loose, tight)), strict=True):
        np.testing.assert_array_equal(np.asarray(same), before)
        np.testing.assert_allclose(np.asarray(half), before / 2, rtol=1e-5)


def test_schedule():
    schedule = jit(optim.warmup_cosine(1.0, 0.1, warmup_steps=4, total_steps=14))
    rates = [float(schedule(jnp.asarray(np.int32(count)))) for count in range(16)]
    np.testing.assert_allclose(rates[:5], [0.25, 0.5, 0.75, 1.0, 1.0], rtol=1e-3)
    want = [0.1 + 0.45 * (1 + math.cos(math.pi * (c - 4) / 10)) for c in range(4, 15)]
    np.testing.assert_allclose(rates[4:15], want, rtol=1e-3, atol=1e-3)
    assert rates[15] == pytest.approx(0.1, abs=1e-3)


def test_a_schedule_drives_the_step_size():
    def falling(count):
        return 1.0 / (1.0 + count.astype(jnp.float32))

    got = run(optim.sgd(falling), steps=2)
    leaves = (tree.leaves(random_tree(seed)) for seed in range(3))
    for ours, start, first, second in zip(tree.leaves(got), *leaves, strict=True):
        np.testing.assert_allclose(ours, start - first - second / 2, rtol=1e-5, atol=1e-6)
