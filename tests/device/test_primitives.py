"""Every primitive and composite on the adapter against the oracle, over the shared samples.

Invariant: parametrised over the registry; what the oracle tests cover, the device tests cover.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from codegen.profile import Profile
from ir import PRIMITIVES, evaluate
from ir.passes.grad import vjp_graph

from ..oracle.numeric import agree
from ..strategies import COMPOSITES, all_samples, samples, smooth
from .harness import run

# WGSL lets these stray further than a rounding: ulps that grow with the argument, or an absolute
# error of 2^-11; software adapters and GPUs do better, within the factors here.
FACTOR = {"exp": 10.0, "sin": 10.0, "cos": 10.0, "tanh": 10.0, "pow": 30.0, "rem": 20.0}
FACTOR |= {"logistic": 10.0, "log": 5.0, "dot": 10.0, "sum": 10.0, "scatter": 5.0}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def compare(graph, arrays, factor: float, profile: Profile | None = None) -> None:
    """Run on the adapter, compiled for its own or a narrower profile, against the oracle."""
    got = run(graph, *arrays, profile=profile)
    for aval, g, w in zip(graph.out_avals, got, evaluate(graph, *arrays), strict=True):
        agree(*(_unseen(graph, x) for x in (g, w)), aval, factor)


def _unseen(graph, x: np.ndarray) -> np.ndarray:
    """How far below -1e29 the log-sum-exp of a query without keys lies is left open."""
    attends = any(e.prim.name == "attention" for e in graph.eqns)
    return np.maximum(x, np.float32(-1e29)) if attends else x


@pytest.mark.parametrize("sample", all_samples(), ids=str)
def test_kernels_match_the_oracle(sample):
    composite = PRIMITIVES[sample.prim].kind == "composite"
    compare(sample.graph(), sample.arrays(), FACTOR.get(sample.prim, 30.0 if composite else 2.0))


@pytest.mark.parametrize("sample", [s for n in COMPOSITES for s in samples(n)], ids=str)
def test_backward_kernels_of_composites_match_the_oracle(sample):
    graph = vjp_graph(sample.graph(), smooth(sample))
    arrays = sample.arrays()
    cts = [
        a.astype(v.aval.dtype.np)
        for a, v in zip(evaluate(sample.graph(), *arrays), sample.graph().outs, strict=True)
    ]
    compare(graph, [*arrays, *cts], 40.0)
