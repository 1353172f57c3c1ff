"""What a table can name computes what the oracle does.

Invariant: by default the first, the last and one option between of each kernel are tried, since
`tests/test_templates.py` tries each tile; with `--programs N` all of them.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import runtime
from codegen.choices import BY_RULE, choosing
from codegen.compile import build_kernels
from codegen.profile import H100, Profile
from codegen.subjects import alone, subjects
from ir import evaluate
from ir.graph import Graph
from tracer import ShapeDtypeStruct, grad, graph_of, nn

from ..oracle.numeric import agree
from .harness import execute


def of(fun, *shapes, dtype="float32"):
    return graph_of(fun)(*(ShapeDtypeStruct(s, dtype) for s in shapes))


def backward(q, k, v):
    return grad(lambda *x: nn.dot_product_attention(*x, is_causal=True).sum(), (0, 1, 2))(q, k, v)


HEADS = ((1, 40, 2, 16), (1, 40, 1, 16), (1, 40, 1, 16))
GRAPHS = {
    "product": of(lambda x, w, r: r + x @ w, (72, 36), (36, 40), (72, 40)),
    "turned": of(lambda x, w: x.T @ w.T, (36, 72), (40, 36)),
    "batched": of(lambda x, w: x @ w, (3, 33, 18), (3, 18, 34)),
    "side by side": of(lambda x, v, w: (x @ v, x @ w), (64, 32), (32, 36), (32, 64)),
    "softmax": of(nn.softmax, (64, 96)),
    "norm": of(nn.rms_norm, (18, 160), (160,)),
    "halves": of(nn.softmax, (32, 128), dtype="bfloat16"),
    "few rows": of(lambda x, w: x @ w, (2, 96), (96, 80)),
    "few rows, turned": of(lambda x, w: x @ w.T, (2, 192), (80, 192)),
    "attention": of(lambda q, k, v: nn.dot_product_attention(q, k, v, is_causal=True), *HEADS),
    "attention backward": of(backward, *HEADS),
}
ON_CPU = {"product", "batched", "softmax", "norm", "halves", "attention backward"}


def profiles() -> dict[str, Profile]:
    own = dataclasses.replace(runtime.default_device().profile, choices=BY_RULE)
    limits = {"subgroup": own.subgroup, "f16": own.f16, "workgroup_bytes": own.workgroup_bytes}
    gpu = dataclasses.replace(H100, name="software-gpu", invocations=256, units=1, **limits)
    return {"own": own, "gpu": gpu}


def few(options):
    return list(dict.fromkeys((options[0], options[len(options) // 2], options[-1])))


CASES = [(n, p) for n in GRAPHS for p in ("own", "gpu") if p == "gpu" or n in ON_CPU]


@pytest.mark.parametrize("name, profile", CASES)
def test_options_agree_with_the_oracle(name, profile, request):
    everything = request.config.getoption("--programs")
    graph, chosen = GRAPHS[name], profiles()[profile]
    rng = np.random.default_rng(3)
    found = subjects(graph, chosen, (), "t")
    assert found, "no kernel of it has a choice"
    for subject in found:
        region, decision = subject.region, subject.decision
        part = Graph(region.ins, region.graph.eqns, region.outs)
        args = [rng.standard_normal(v.aval.shape).astype(v.aval.dtype.np) for v in region.ins]
        wanted = evaluate(part, *args, wide=True)
        texts = set()
        options = decision.options if everything else few(decision.options)
        for option in options:
            named = choosing(chosen, decision.entries(option))
            [kernel] = build_kernels(part, [region], named)
            assert kernel.decision.chosen == option
            texts.add((kernel.code.wgsl, kernel.grid))
            got = execute(alone(region, named), part, args)
            for aval, g, w in zip(part.out_avals, got, wanted, strict=True):
                agree(g, w, aval, 30.0)
        assert len(texts) == len(options), "two options are one kernel"
