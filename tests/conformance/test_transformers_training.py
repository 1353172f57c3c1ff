"""Gradients and steps of AdamW against torch, on transformers' LLaMA with the same weights.

Invariant: both sides start from the same float32 numbers; every parameter is compared.
"""

from __future__ import annotations

import numpy as np
import pytest

from picotron import hf, model, optim
from picotron.pretrained import open_folder
from picotron.step import make_train_step
from tracer import jit, tree, value_and_grad
from tracer import numpy as jnp

from . import llamas

CASES = ["grouped", "tied", "both biases, tied", "llama3, tied, biased", "yarn", "deep"]
RATE, BETAS, EPSILON, DECAY, STEPS = 1e-3, (0.9, 0.95), 1e-8, 0.1, 20


def decays(weight):
    return len(weight.shape) > 1


def batch():
    tokens = llamas.token_ids(4, 25)
    return {"inputs": tokens[:, :-1].copy(), "targets": tokens[:, 1:].copy()}


def their_loss(theirs):
    import torch

    rows = {name: torch.from_numpy(ids.astype(np.int64)) for name, ids in batch().items()}
    logits = theirs(rows["inputs"]).logits
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), rows["targets"].flatten())


def assert_close(ours, theirs, what, order=np.inf):
    """The difference of each tensor has at most 1e-4 of its norm."""
    found = hf.to_tensors(tree.map(np.asarray, ours))
    assert set(found) == set(theirs)
    for name, want in theirs.items():
        off = np.linalg.norm((found[name] - want).ravel(), order) / np.linalg.norm(
            want.ravel(), order
        )
        assert off <= 1e-4, f"{what} of {name} is off by {off:.1e}"


@pytest.mark.parametrize("name", CASES)
def test_gradients(name, tmp_path):
    llamas.save(name, tmp_path)
    found, theirs = open_folder(tmp_path), llamas.loaded(tmp_path)
    loss = their_loss(theirs)
    loss.backward()
    step = jit(value_and_grad(lambda params, rows: model.loss(params, rows, found.model)))
    value, gradients = step(found.read(), batch())
    assert float(value) == pytest.approx(loss.item(), rel=1e-5)
    wanted = {n: p.grad.numpy() for n, p in theirs.named_parameters()}
    assert_close(gradients, wanted, "the gradient")


@pytest.mark.parametrize("name", ["grouped", "llama3", "both biases, tied"])
def test_steps_of_adamw(name, tmp_path):
    import torch

    llamas.save(name, tmp_path)
    found, theirs = open_folder(tmp_path), llamas.loaded(tmp_path)
    by_rank = [
        [p for p in theirs.parameters() if (p.ndim > 1) == matrix] for matrix in (True, False)
    ]
    groups = [
        {"params": rank, "weight_decay": decay}
        for rank, decay in zip(by_rank, (DECAY, 0.0), strict=True)
    ]
    their_optimizer = torch.optim.AdamW(groups, lr=RATE, betas=BETAS, eps=EPSILON)
    optimizer = optim.adamw(RATE, *BETAS, EPSILON, DECAY, lambda _, weight: decays(weight))
    params = found.read()
    state = {"params": params, "optimizer": optimizer.init(params)}
    step = jit(make_train_step(found.model, optimizer), donate_argnums=(0,))
    rows = {part: jnp.asarray(ids[None]) for part, ids in batch().items()}
    for _ in range(STEPS):
        loss = their_loss(theirs)
        their_optimizer.zero_grad()
        loss.backward()
        their_optimizer.step()
        state, metrics = step(state, rows)
        assert float(metrics["loss"]) == pytest.approx(loss.item(), rel=1e-4)
    wanted = {n: p.detach().numpy() for n, p in theirs.named_parameters()}
    # AdamW's first step is the sign of a gradient, even of one that is mere rounding.
    assert_close(state["params"], wanted, "the value after 20 steps", order=2)
