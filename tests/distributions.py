"""Samples of `random`'s distributions: the calls, and how a library's answers are written.

Invariant: `distributions.json` holds JAX's answers for one key; tests/conformance/programs asks
it about others, tests/test_distributions.py compares ours with the file where there is no JAX.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TABLE = Path(__file__).with_name("distributions.json")
SEED = 11
ALPHA = np.float32([0.3, 1.0, 6.0])
COVARIANCE = np.float32([[2.0, 0.5], [0.5, 1.0]])
# name -> (parameters, keywords)
CALLS: dict[str, tuple[tuple, dict[str, Any]]] = {
    "ball": ((3, 1.5), {"shape": (4,)}),
    "beta": ((0.5, np.float32([2.0, 0.7])), {"shape": (3, 2)}),
    "chisquare": ((3.0,), {"shape": (5,)}),
    "dirichlet": ((ALPHA,), {"shape": (3,)}),
    "double_sided_maxwell": ((1.0, 2.0), {"shape": (5,)}),
    "f": ((3.0, 5.0), {"shape": (5,)}),
    "gamma": ((ALPHA,), {"shape": (4, 3)}),
    "generalized_normal": ((1.5,), {"shape": (5,)}),
    "geometric": ((0.2,), {"shape": (9,)}),
    "loggamma": ((np.float32([0.01, 0.3, 2.5]),), {}),
    "lognormal": ((0.5,), {"shape": (5,)}),
    "maxwell": ((), {"shape": (5,)}),
    "multivariate_normal": ((np.float32([1.0, 2.0]), COVARIANCE), {"shape": (3,)}),
    "orthogonal": ((2,), {"shape": (2,), "m": 3}),
    "pareto": ((2.5,), {"shape": (5,)}),
    "poisson": ((np.float32([0.0, 0.5, 4.0, 50.0]),), {"shape": (3, 4)}),
    "rayleigh": ((np.float32(1.5),), {"shape": (5,)}),
    "t": ((4.0,), {"shape": (5,)}),
    "triangular": ((0.0, 0.3, 2.0), {"shape": (5,)}),
    "wald": ((np.float32(1.5),), {"shape": (5,)}),
    "weibull_min": ((2.0, 1.5), {"shape": (5,)}),
}


def sample(random: Any, name: str) -> np.ndarray:
    """The answer of a library's `random`."""
    given, named = CALLS[name]
    return np.asarray(getattr(random, name)(random.key(SEED), *given, **named))


if __name__ == "__main__":  # python -m tests.distributions, where JAX is installed
    from jax import random

    answers = {name: sample(random, name).tolist() for name in CALLS}
    text = ",\n".join(f"{json.dumps(n)}: {json.dumps(a)}" for n, a in answers.items())
    TABLE.write_text(f"{{\n{text}\n}}\n")
