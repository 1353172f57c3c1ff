"""What optax, torch and transformers make of the same gradients and the same step numbers.

`python -m tests.conformance.optimizers` records it in tests/data/optimizers.npz, which the normal
test run compares with. Invariant: nothing of the project computes anything here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import numpy as np

RECORDED = Path(__file__).resolve().parent.parent / "data" / "optimizers.npz"
STEPS, RATE, DECAY = 20, 0.01, 0.1
SHAPES = {"wide": (3, 8), "tall": (8, 3), "square": (6, 6)}
COUNTS = np.arange(110)
WARMUP, TOTAL = 10, 110
EMA = 0.9


def weights(seed: int) -> dict[str, np.ndarray]:
    """Weights, or the gradients of step `seed`."""
    random = np.random.default_rng(seed)
    return {n: random.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}


def by_optax() -> Iterator[tuple[str, np.ndarray]]:
    import jax
    import optax

    optimizers = {
        "adamw": optax.adamw(RATE, 0.9, 0.95, 1e-8, weight_decay=DECAY),
        "lion": optax.lion(RATE, 0.9, 0.99, weight_decay=DECAY),
        "lion, no decay": optax.lion(RATE, 0.95, 0.98, weight_decay=0.0),
        "sgd": optax.sgd(RATE, 0.9),
        "sgd, nesterov": optax.sgd(RATE, 0.9, nesterov=True),
        "clipped adamw": optax.chain(
            optax.clip_by_global_norm(0.5), optax.adamw(RATE, weight_decay=0.0)
        ),
    }
    for name, optimizer in optimizers.items():
        params = weights(0)
        state = optimizer.init(params)
        step = jax.jit(optimizer.update)
        for number in range(1, STEPS + 1):
            updates, state = step(weights(number), state, params)
            params = optax.apply_updates(params, updates)
        yield from ((f"optax/{name}/{part}", np.asarray(w)) for part, w in params.items())
    falling = optax.linear_schedule(1.0, 0.1, 20)
    schedules = {
        "linear": optax.linear_schedule(1.0, 0.25, 100),
        "cosine": optax.cosine_decay_schedule(2.0, 100, alpha=0.1),
        "warm-up, cosine": optax.warmup_cosine_decay_schedule(0.0, 1.0, WARMUP, TOTAL, 0.2),
        "wsd": optax.join_schedules([optax.constant_schedule(1.0), falling], [80]),
    }
    for name, schedule in schedules.items():
        yield f"optax/{name}", np.array([schedule(int(c)) for c in COUNTS], np.float32)
    average, state = weights(0), None
    for number in range(1, STEPS + 1):
        average = optax.incremental_update(weights(number), average, 1 - EMA)
    yield from ((f"optax/average/{part}", np.asarray(w)) for part, w in average.items())


def by_torch() -> Iterator[tuple[str, np.ndarray]]:
    """Muon's iteration in float32: torch's runs in bfloat16, whose noise would hide mistakes."""
    import torch

    def copied(matrix: torch.Tensor) -> torch.Tensor:
        return matrix.float().clone()

    settings = {
        "adamw": (torch.optim.AdamW, {"betas": (0.9, 0.95), "weight_decay": DECAY}),
        "sgd": (torch.optim.SGD, {"momentum": 0.9, "weight_decay": DECAY}),
        "sgd, nesterov": (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        "muon": (torch.optim.Muon, {"weight_decay": DECAY, "momentum": 0.95}),
        "muon, no nesterov": (torch.optim.Muon, {"weight_decay": 0.0, "nesterov": False}),
    }
    with mock.patch.object(torch.Tensor, "bfloat16", copied):
        for name, (kind, rest) in settings.items():
            # Matrices are [out, in] there.
            params = {
                n: torch.tensor(w.T.copy(), requires_grad=True) for n, w in weights(0).items()
            }
            optimizer = kind(list(params.values()), lr=RATE, **rest)
            for number in range(1, STEPS + 1):
                for part, gradient in weights(number).items():
                    params[part].grad = torch.tensor(gradient.T.copy())
                if name == "adamw":
                    torch.nn.utils.clip_grad_norm_(list(params.values()), 0.5)
                optimizer.step()
            yield from ((f"torch/{name}/{n}", w.detach().numpy().T) for n, w in params.items())


def by_transformers() -> Iterator[tuple[str, np.ndarray]]:
    import torch
    from transformers import get_scheduler

    stable = {
        "num_decay_steps": 20,
        "num_stable_steps": TOTAL - WARMUP - 20,
        "decay_type": "linear",
    }
    for name, rest in {
        "linear": {},
        "cosine": {},
        "constant_with_warmup": {},
        "warmup_stable_decay": stable,
    }.items():
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        options = {"scheduler_specific_kwargs": rest} if rest else {}
        schedule = get_scheduler(
            name, optimizer, num_warmup_steps=WARMUP, num_training_steps=TOTAL, **options
        )
        rates = []
        for _ in COUNTS:
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        yield f"transformers/{name}", np.array(rates, np.float32)


SOURCES = {"optax": by_optax, "torch": by_torch, "transformers": by_transformers}


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **{n: a for make in SOURCES.values() for n, a in make()})
