"""SGD, Lion, Muon, chains and schedules against their formulas; some against torch as well."""

import numpy as np
import pytest

from picotron import optim
from picotron.config import TrainingConfig
from tests.test_picotron_optim import random_tree, run
from tracer import jit, tree
from tracer import numpy as jnp

pytestmark = pytest.mark.device


def compare(got, want, tolerance=1e-6):
    for ours, theirs in zip(tree.leaves(got), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def stepped(rule, steps=4):
    """Weights after steps of `rule(weight, gradient, memory) -> weight` in float64."""
    weights = [leaf.astype(np.float64) for leaf in tree.leaves(random_tree(0))]
    memories = [{} for _ in weights]
    for step in range(1, steps + 1):
        for i, g in enumerate(tree.leaves(random_tree(step))):
            weights[i] = rule(weights[i], g.astype(np.float64), memories[i])
    return weights


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd(nesterov):
    def rule(w, g, memory):
        g = g + 0.3 * w
        memory["t"] = t = g + 0.9 * memory.get("t", 0.0)
        return w - 0.01 * (g + 0.9 * t if nesterov else t)

    compare(run(optim.sgd(0.01, 0.9, nesterov, 0.3), 4), stepped(rule))


def test_lion():
    def rule(w, g, memory):
        m = memory.get("m", 0.0)
        memory["m"] = 0.99 * m + 0.01 * g
        return w - 0.01 * (np.sign(0.9 * m + 0.1 * g) + 0.3 * w)

    compare(run(optim.lion(0.01, 0.9, 0.99, 0.3), 4), stepped(rule))


def newton_schulz(matrix):
    """The iteration of Jordan et al. (2024), in float64."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


@pytest.mark.parametrize("shape", [(3, 4), (5, 2), (8, 8)])
def test_orthogonalized_matrices_keep_their_directions(shape):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    got = np.asarray(jit(optim.orthogonalized)(matrix))
    np.testing.assert_allclose(got, newton_schulz(matrix.astype(np.float64)), atol=1e-5)
    left, _, right = np.linalg.svd(matrix, full_matrices=False)
    values = np.diag(left.T @ got @ right.T)
    assert values.min() > 0.6 and values.max() < 1.3


def test_muon_takes_matrices_and_leaves_the_rest_to_adamw():
    def rule(w, g, memory):
        memory["m"] = m = 0.95 * memory.get("m", 0.0) + 0.05 * g
        step = newton_schulz(0.95 * m + 0.05 * g)
        return w - 0.01 * (max(1.0, w.shape[1] / w.shape[0]) ** 0.5 * step + 0.1 * w)

    def matrix(name, weight):
        return name == "matrix"

    got = run(optim.muon(0.01, matrix, optim.adamw(0.01), weight_decay=0.1), 3)
    adam = run(optim.adamw(0.01), 3)
    compare(
        [got["matrix"]],
        stepped(lambda w, g, m: rule(w, g, m) if w.shape == (3, 4) else w, 3)[-1:],
        1e-5,
    )
    compare(got["list"], adam["list"])


def test_adamw_is_the_chain_of_its_parts():
    def mask(name, weight):
        return len(weight.shape) == 2

    parts = optim.chain(
        optim.scale_by_adam(0.9, 0.95, 1e-8),
        optim.add_decayed_weights(0.3, mask),
        optim.scale_by_learning_rate(0.1),
    )
    whole = run(optim.adamw(0.1, 0.9, 0.95, 1e-8, 0.3, mask), 3)
    compare(run(parts, 3), tree.leaves(whole))
    clipped = run(optim.chain(optim.clip_by_global_norm(1e9), optim.identity(), parts), 3)
    compare(clipped, tree.leaves(whole))
    tight = run(optim.chain(optim.clip_by_global_norm(0.5), optim.sgd(1.0)), 1)
    moved = [a - b for a, b in zip(tree.leaves(tight), tree.leaves(random_tree(0)), strict=True)]
    assert np.sqrt(sum((m.astype(np.float64) ** 2).sum() for m in moved)) == pytest.approx(0.5)


@pytest.mark.parametrize("name", ["adamw", "sgd", "nesterov", "adamw-decay"])
def test_torch_agrees(name):
    torch = pytest.importorskip("torch")
    settings = {
        "adamw": (optim.adamw(0.01), "AdamW", {"weight_decay": 0.0}),
        "adamw-decay": (optim.adamw(0.01, weight_decay=0.1), "AdamW", {"weight_decay": 0.1}),
        "sgd": (optim.sgd(0.01, 0.9, False, 0.1), "SGD", {"momentum": 0.9, "weight_decay": 0.1}),
        "nesterov": (optim.sgd(0.01, 0.9, True), "SGD", {"momentum": 0.9, "nesterov": True}),
    }
    ours, theirs, rest = settings[name]
    weights = [torch.tensor(leaf, requires_grad=True) for leaf in tree.leaves(random_tree(0))]
    optimizer = getattr(torch.optim, theirs)(weights, lr=0.01, **rest)
    for step in range(1, 6):
        for weight, gradient in zip(weights, tree.leaves(random_tree(step)), strict=True):
            weight.grad = torch.tensor(gradient)
        optimizer.step()
    compare(run(ours, 5), [weight.detach().numpy() for weight in weights])


def rates(schedule, steps):
    traced = jit(schedule)
    return [float(traced(jnp.asarray(np.int32(step)))) for step in steps]


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("constant", {0: 0.25, 3: 1.0, 4: 1.0, 50: 1.0, 99: 1.0}),
        ("linear", {0: 0.25, 3: 1.0, 4: 1.0, 52: 0.55, 100: 0.1, 120: 0.1}),
        ("cosine", {0: 0.25, 3: 1.0, 4: 1.0, 52: 0.55, 100: 0.1, 120: 0.1}),
        ("wsd", {0: 0.25, 4: 1.0, 50: 1.0, 81: 1.0, 100: 0.1, 120: 0.1}),
    ],
)
def test_the_schedules_of_a_run(name, wanted):
    config = TrainingConfig(
        lr_schedule=name, learning_rate=1.0, warmup_steps=4, total_train_steps=100
    )
    _, schedule = optim.from_config(config)
    np.testing.assert_allclose(rates(schedule, wanted), list(wanted.values()), atol=2e-3)


def test_schedules_have_optax_meaning():
    linear = optim.linear_schedule(1.0, 0.0, 10)
    np.testing.assert_allclose(rates(linear, [0, 5, 10, 20]), [1.0, 0.5, 0.0, 0.0], atol=1e-6)
    cosine = optim.cosine_decay_schedule(2.0, 10, alpha=0.1)
    np.testing.assert_allclose(rates(cosine, [0, 5, 10, 99]), [2.0, 1.1, 0.2, 0.2], atol=2e-3)
    both = optim.warmup_cosine_decay_schedule(0.0, 1.0, 5, 15, 0.2)
    np.testing.assert_allclose(rates(both, [0, 5, 10, 15]), [0.0, 1.0, 0.6, 0.2], atol=2e-3)
    joined = optim.join_schedules([optim.constant_schedule(1.0), linear], [3])
    np.testing.assert_allclose(rates(joined, [2, 3, 8]), [1.0, 1.0, 0.5], atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "sgd", "lion", "muon"])
def test_every_optimizer_of_a_run_counts_its_steps_and_moves_all_weights(name):
    config = TrainingConfig(optimizer=name, warmup_steps=0, learning_rate=0.1)
    optimizer, _ = optim.from_config(config)
    layers = [{"w": np.full((4, 2), 0.5, np.float32), "norm": np.ones(4, np.float32)}]
    params = {"model": {"layers": layers, "embed": np.ones((3, 4), np.float32)}}
    params = tree.map(jnp.asarray, params)
    grads = tree.map(
        lambda w: jnp.asarray(np.arange(1, w.size + 1, dtype=np.float32).reshape(w.shape)), params
    )
    updates, state = jit(optimizer.update)(grads, optimizer.init(params), params)
    assert int(state["count"]) == 1
    assert all(np.abs(np.asarray(update)).min() > 0 for update in tree.leaves(updates))
    assert ("muon" in state) is (name == "muon")
