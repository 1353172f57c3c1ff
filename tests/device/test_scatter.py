"""Scatters on the adapter in the forms that it would not choose itself, and in every dtype."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import ir
from codegen.profile import WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, emit, evaluate

from ..oracle.numeric import agree
from .harness import run

# No subgroups; the loop limit is that of the software adapter which may run this.
PROFILE = replace(WEBGPU_DEFAULT, name="no-subgroups", loop_limit=60_000)
KINDS = ["float32", "int32", "uint32", "float16", "bfloat16"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rest", [(), (3,), (4,), (520,)])
@pytest.mark.parametrize("form", ["match", "runs", "store"])
def test_forms_for_adapters_without_subgroups(form, rest, kind):
    rng, rows, count = np.random.default_rng(7), 33, 70 if form != "runs" else 90_001
    if form == "runs" and len(rest) and rest[0] > 4:
        pytest.skip("large, and no other kernel than that of 4 columns")
    dtype = ir.dtype(kind)
    ids = rng.integers(-3, rows + 3, count).astype(np.int32)
    ids = rng.permutation(rows + 4)[:35].astype(np.int32) if form == "store" else ids
    updates = rng.integers(-4, 5, (ids.size, *rest)).astype(dtype.np)
    x = rng.integers(-4, 5, (rows, *rest)).astype(dtype.np)
    promises = {"unique": True} if form == "store" else {}

    def fun(x, ids, updates):
        start = ir.lit(0, dtype, (rows, *rest)) if form == "store" else x
        return emit(PRIMITIVES["scatter"], start, ids, updates, combine="add", **promises)

    args = (x, ids, updates)
    graph = ir.build(fun, *(Aval(a.shape, ir.dtype(a.dtype)) for a in args))
    got = run(graph, *args, profile=PROFILE)
    want = evaluate(graph, *args, wide=True)
    agree(got[0], want[0], graph.out_avals[0], 2.0)


@pytest.mark.parametrize("width", [66, 13 * 8 + 2, 70])
def test_blocks_of_columns_that_a_row_fills_in_part(width):
    """Several groups of columns an invocation, of which more than one is partly outside."""
    rng = np.random.default_rng(8)
    x, updates = np.zeros((7, width), np.float32), rng.standard_normal((40, width), np.float32)
    ids = rng.integers(0, 7, 40).astype(np.int32)
    graph = ir.build(
        lambda *a: emit(PRIMITIVES["scatter"], *a, combine="add"),
        *(Aval(a.shape, ir.dtype(a.dtype)) for a in (x, ids, updates)),
    )
    got, want = run(graph, x, ids, updates), evaluate(graph, x, ids, updates, wide=True)
    agree(got[0], want[0], graph.out_avals[0], 4.0)
