"""Every primitive: its type rule, its numpy meaning and its index map against the reference.

Invariant: parametrised over the registry, so a primitive is tested by being registered; one that
has no samples, no reference or only tame shapes fails here.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ir import PRIMITIVES, check, evaluate
from ir.passes.simplify import expand
from ir.prim import KINDS, Primitive
from ir.prims.fused import Composite

from ..strategies import LOCAL, SAMPLES, all_samples, samples
from .numeric import agree
from .reference import REFERENCE, reference

# Sums of many rounded products; composites round at every step of their expansion.
FACTOR = {"dot": 10.0, "sum": 10.0, "scatter": 4.0, "pow": 8.0, "rem": 4.0}


def compare(sample) -> None:
    graph, arrays = sample.graph(), sample.arrays()
    check(graph)
    factor = FACTOR.get(sample.prim, 30.0 if PRIMITIVES[sample.prim].kind == "composite" else 2.0)
    got = evaluate(graph, *arrays)
    want = reference(sample, arrays)
    for aval, g, w in zip(graph.out_avals, got, want, strict=True):
        agree(g, np.asarray(w), aval, factor)


def test_registry_is_complete():
    assert set(SAMPLES) == set(LOCAL) == set(REFERENCE)


@pytest.mark.parametrize("name", LOCAL)
def test_primitive_declares_its_rules(name):
    prim = PRIMITIVES[name]
    assert prim.kind in KINDS
    rules = {"typeof", "expand" if prim.kind == "composite" else "eval"}
    if prim.kind != "source":  # what has no operands has no derivative, and is never batched
        rules |= {"batch", "forward" if prim.forward else "vjp"}
    defaults = vars(Primitive) | {"expand": Composite.expand}
    missing = {r for r in rules if getattr(type(prim), r) is defaults[r]}
    assert not missing


@pytest.mark.parametrize("name", LOCAL)
def test_samples_have_odd_unit_and_empty_dimensions(name):
    dims = {n for s in samples(name) for a in (*s.avals, *s.graph().out_avals) for n in a.shape}
    assert {0, 1} <= dims
    assert any(n % 2 and n > 1 for n in dims)


@pytest.mark.parametrize("sample", all_samples(), ids=str)
def test_eval_matches_reference(sample):
    compare(sample)


@settings(max_examples=4, deadline=None)
@given(seed=st.integers(1, 2**20))
@pytest.mark.parametrize("name", LOCAL)
def test_eval_matches_reference_on_other_shapes(name, seed):
    chosen = samples(name, seed)
    for sample in chosen[seed % 3 :: 3]:
        compare(sample)


@pytest.mark.parametrize("sample", all_samples(), ids=str)
def test_wide_evaluation_is_float64_and_agrees(sample):
    graph, arrays = sample.graph(), sample.arrays()
    narrow, wide = evaluate(graph, *arrays), evaluate(graph, *arrays, wide=True)
    for aval, n, w in zip(graph.out_avals, narrow, wide, strict=True):
        assert w.dtype == (np.float64 if aval.dtype.is_float else aval.dtype.np)
        if aval.dtype.is_float:
            agree(n, w, aval, 40.0)


@pytest.mark.parametrize(
    "sample", [s for s in all_samples() if hasattr(PRIMITIVES[s.prim], "index")], ids=str
)
def test_index_map_of_a_view_is_its_meaning(sample):
    (x,) = sample.arrays()
    graph = sample.graph()
    (want,) = evaluate(graph, x)
    rule = PRIMITIVES[sample.prim].index
    for at in np.ndindex(*want.shape):
        place = tuple(rule(list(at), sample.avals[0], **sample.params))
        assert all(0 <= c < n for c, n in zip(place, x.shape, strict=True))
        np.testing.assert_array_equal(x[place], want[at])


@pytest.mark.parametrize("sample", all_samples(), ids=str)
def test_flops_are_a_count(sample):
    flops = PRIMITIVES[sample.prim].flops(*sample.avals, **sample.params)
    assert int(flops) == flops >= 0
    if not any(a.size for a in (*sample.avals, *sample.graph().out_avals)):
        assert flops == 0


def test_flops_of_a_product_count_multiplications_and_additions():
    for sample in samples("dot"):
        x, y = (np.zeros(a.shape) for a in sample.avals)
        letters = dict(
            zip(
                sample.params["spec"].split("->")[0].replace(",", ""),
                (*x.shape, *y.shape),
                strict=True,
            )
        )
        want = 2 * int(np.prod([letters[c] for c in letters]))
        assert PRIMITIVES["dot"].flops(*sample.avals, **sample.params) == want


@pytest.mark.parametrize(
    "sample", [s for s in all_samples() if PRIMITIVES[s.prim].kind == "composite"], ids=str
)
def test_expansion_of_a_composite_is_primitive_and_equal(sample):
    graph, arrays = sample.graph(), sample.arrays()
    plain = check(expand(graph))
    assert all(e.prim.kind != "composite" for e in plain.eqns)
    for aval, g, w in zip(
        graph.out_avals, evaluate(plain, *arrays), reference(sample, arrays), strict=True
    ):
        agree(g, w, aval, 30.0)
