"""Rows, columns and contractions longer than a driver's loop limit, and lengths that are prime.

Invariant: the sizes lie beyond 65,535 loop iterations of one invocation, where a software driver
stops silently and goes on with a wrong value; a kernel that loops too long gives a wrong number.
"""

from __future__ import annotations

import numpy as np
import pytest

import ir
from ir import PRIMITIVES, Aval, bool_, emit, evaluate, f32, i32
from ir.passes.grad import vjp_graph
from ir.prims.reduce import argmax

from ..oracle.numeric import agree
from .harness import run

LENGTHS = (131_072, 131_101, 200_001)  # a power of two, a prime, 3 * 163 * 409
RNG_SEED = 9


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def normal(*shape) -> np.ndarray:
    return np.random.default_rng(RNG_SEED).standard_normal(shape).astype(np.float32)


def check_run(fun, *args: np.ndarray, factor: float = 20.0) -> None:
    """Run a function of Vars on the adapter and compare with the oracle in float64."""
    graph = ir.build(fun, *(Aval(a.shape, ir.dtype(a.dtype)) for a in args))
    compare(graph, args, factor)


def compare(graph, args, factor: float) -> None:
    got = run(graph, *args)
    for aval, g, w in zip(graph.out_avals, got, evaluate(graph, *args, wide=True), strict=True):
        agree(g, w, aval, factor)


def layouts(n: int):
    """The long axis innermost alone, in a few rows, and outermost: (shape, axis)."""
    return [((n,), 0), ((2, n), 1), ((n, 3), 0)]


CASES = [(n, shape, axis) for n in LENGTHS for shape, axis in layouts(n)]


@pytest.mark.parametrize(("n", "shape", "axis"), CASES)
def test_long_sum(n, shape, axis):
    check_run(lambda x: op("sum", x, axes=(axis,)), normal(*shape) + 0.5)


@pytest.mark.parametrize(("n", "shape", "axis"), CASES)
def test_long_sum_of_integers_is_exact(n, shape, axis):
    x = np.random.default_rng(1).integers(-(2**31), 2**31, shape).astype(np.int32)
    check_run(lambda x: op("sum", x, axes=(axis,)), x)


@pytest.mark.parametrize(("n", "shape", "axis"), CASES)
@pytest.mark.parametrize("name", ["reduce_max", "reduce_min"])
def test_long_extremum(name, n, shape, axis):
    check_run(lambda x: op(name, x, axes=(axis,)), normal(*shape))


@pytest.mark.parametrize(("n", "shape", "axis"), CASES)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_long_argmax(where, n, shape, axis):
    x = normal(*shape)
    place = {"first": 0, "middle": n // 2 + 1, "last": n - 1}[where]
    np.moveaxis(x, axis, -1)[..., place] = 99.0
    graph = ir.build(lambda x: argmax(x, axis), Aval(shape, f32))
    (got,) = run(graph, x)
    np.testing.assert_array_equal(got, np.full(got.shape, place))


@pytest.mark.parametrize("n", LENGTHS)
def test_long_argmax_takes_the_first_of_equals(n):
    x = np.zeros((2, n), np.float32)
    x[0, [n // 3, n - 2]] = 1.0
    (got,) = run(ir.build(lambda x: argmax(x, 1), Aval(x.shape, f32)), x)
    np.testing.assert_array_equal(got, [n // 3, 0])


@pytest.mark.parametrize("n", LENGTHS)
def test_long_softmax_forward_and_backward(n):
    graph = ir.build(lambda x: op("softmax", x), Aval((2, n), f32))
    x = normal(2, n) * 3
    compare(graph, [x], 20.0)
    compare(vjp_graph(graph, (0,)), [x, normal(2, n)], 60.0)


@pytest.mark.parametrize("n", LENGTHS)
@pytest.mark.parametrize("name", ["rms_norm", "layer_norm"])
def test_long_norms_forward_and_backward(name, n):
    vectors = 1 if name == "rms_norm" else 2
    avals = (Aval((2, n), f32), *(Aval((n,), f32),) * vectors)
    graph = ir.build(lambda *xs: op(name, *xs, eps=1e-5), *avals)
    args = [normal(*a.shape) for a in avals]
    compare(graph, args, 20.0)
    compare(vjp_graph(graph, range(len(avals))), [*args, normal(2, n)], 60.0)


@pytest.mark.parametrize("n", LENGTHS)
def test_long_cross_entropy_forward_and_backward(n):
    graph = ir.build(lambda z, y: op("cross_entropy", z, y), Aval((3, n), f32), Aval((3,), i32))
    args = [normal(3, n), np.array([0, n // 2, n - 1], np.int32)]
    compare(graph, args, 20.0)
    compare(vjp_graph(graph, (0,)), [*args, normal(3)], 60.0)


SPECS = {
    "ij,jk->ik": ((3, 70_000), (70_000, 5)),
    "ij,kj->ik": ((8, 70_000), (12, 70_000)),
    "ji,jk->ik": ((70_000, 16), (70_000, 4)),
    "i,i->": ((70_001,), (70_001,)),
    "bij,bjk->bik": ((2, 1, 70_000), (2, 70_000, 4)),
    "ij,j->i": ((2, 200_001), (200_001,)),
}


@pytest.mark.parametrize("spec", SPECS)
def test_long_contraction(spec):
    a, b = (normal(*shape) for shape in SPECS[spec])
    check_run(lambda x, y: op("dot", x, y, spec=spec), a, b, factor=60.0)


def test_many_rows_of_a_product():
    a, b = normal(70_001, 6), normal(6, 3)
    check_run(lambda x, y: op("dot", x, y, spec="ij,jk->ik"), a, b)


def test_many_batches_of_a_product():
    a, b = normal(70_001, 2, 3), normal(70_001, 3, 2)
    check_run(lambda x, y: op("dot", x, y, spec="bij,bjk->bik"), a, b)


@pytest.mark.parametrize("n", LENGTHS)
def test_many_elements(n):
    def fun(x):
        y = op("tanh", x * 2 + 1)
        return y, op("rev", y, axes=(0,)), op("concat", x, y, axis=0)

    check_run(fun, normal(n))


def test_many_elements_through_views():
    def fun(x):
        y = op("transpose", x, perm=(1, 0))
        padded = op("pad", y, low=(1, 0), high=(0, 2), interior=(0, 1), value=0.5)
        return padded, op("broadcast", y, shape=(2, *y.aval.shape), dims=(1, 2))

    check_run(fun, normal(517, 389))


def scatter(size, combine="add", **promises):
    def fun(ids, updates):
        rest = updates.aval.shape[1:]
        start = ir.lit(0 if combine == "add" else 1, updates.aval.dtype, (size, *rest))
        return op("scatter", start, ids, updates, combine=combine, **promises)

    return fun


def test_many_rows_taken_and_scattered():
    n = 140_001
    ids = np.random.default_rng(2).integers(-3, 40, n).astype(np.int32)
    check_run(lambda x, i: op("take", x, i), normal(37, 2), ids)
    check_run(scatter(37), ids, normal(n, 2), factor=60.0)
    check_run(lambda x, i: op("take", x, i), normal(n, 2), ids[:100] * 3000)
    check_run(scatter(n), ids[:64] * 3000, normal(64, 2))


@pytest.mark.parametrize("combine", ["add", "mul", "min", "max"])
def test_a_hundred_thousand_updates_of_a_few_rows_and_of_many(combine):
    """More than one invocation may combine: runs are cut into strips."""
    rng, n = np.random.default_rng(5), 100_003
    near = (1 + normal(n, 2) / 3000).astype(np.float32)
    few = rng.integers(0, 3, n).astype(np.int32)
    check_run(scatter(3, combine), few, near, factor=200.0)
    many = rng.integers(-9, 70_009, n).astype(np.int32)
    check_run(scatter(70_001, combine), many, near, factor=60.0)
    check_run(scatter(70_001, combine, sorted=True), np.sort(many), near, factor=60.0)


def test_each_row_stored_once():
    order = np.random.default_rng(3).permutation(100_003).astype(np.int32)
    check_run(scatter(100_003, unique=True), order, normal(100_003))
    check_run(scatter(90_001, unique=True), order, normal(100_003, 4))


def test_members_have_rows_of_their_own():
    ids = np.random.default_rng(4).integers(-2, 402, (37, 4097)).astype(np.int32)
    x, updates = np.zeros((37, 400), np.float32), normal(37, 4097)

    def fun(x, ids, updates):
        return op("scatter", x, ids, updates, combine="add", batch=1)

    check_run(fun, x, ids, updates, factor=60.0)


@pytest.mark.parametrize("n", [513, 1000, 8192, 70_001])
def test_sorted_keys_keep_the_order_of_ties(n):
    keys = np.random.default_rng(6).integers(-n // 9, n // 9, (2, n)).astype(np.int32)
    check_run(lambda k: op("sort", k), keys)


@pytest.mark.parametrize("shape", [(1, 200_001), (200_001, 1), (1, 131_072, 1)])
def test_reductions_of_whole_arrays_with_unit_axes(shape):
    axes = tuple(range(len(shape)))
    check_run(lambda x: op("sum", x, axes=axes), normal(*shape) + 0.5)
    check_run(lambda x: op("sum", x, axes=axes[:1]), normal(*shape) + 0.5)


def test_a_long_attention_row():
    q, kv = (1, 2, 1, 4), (1, 70_000, 1, 4)
    avals = (Aval(q, f32), Aval(kv, f32), Aval(kv, f32))
    graph = ir.build(lambda *xs: op("attention", *xs, causal=False, scale=0.5), *avals)
    compare(graph, [normal(*a.shape) for a in avals], 60.0)


def test_any_and_all_over_a_long_row():
    def fun(x):
        positive = op("cast", op("lt", ir.lit(3.9, f32, x.aval.shape), x), dtype=i32)
        return op("cast", op("reduce_max", positive, axes=(1,)), dtype=bool_)

    check_run(fun, normal(2, 131_072))
