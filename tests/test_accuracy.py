"""Kernels against float64, by family and dtype, over random shapes, with checks on and off."""

from __future__ import annotations

import pytest

import runtime
from picotron import bench_accuracy
from picotron.bench_accuracy import FAMILIES, error_of
from picotron.bench_kernels import DTYPES
from tracer.backend import clear_caches

pytestmark = pytest.mark.device

EXACT = 3e-6  # float32, sums of 6,000 among them
ONCE = {"float16": 2.0**-12 * 1.05, "bfloat16": 2.0**-9 * 1.05}  # one rounding, after the sum
OFTEN = {"float16": 1e-3, "bfloat16": 8e-3}


def bound(name: str, dtype: str) -> float:
    if dtype == "float32":
        return EXACT
    single = name.startswith(("products", "attention", "embedding"))
    return (ONCE if single else OFTEN)[dtype]


@pytest.fixture(scope="module")
def checked():
    """The default device with bounds checks in its kernels."""
    try:
        usual = runtime.default_device()
    except runtime.NoAdapterError as error:
        pytest.skip(str(error))
    clear_caches()
    runtime.device._default = runtime.Device(usual.info, check=True)
    yield runtime.device._default
    clear_caches()
    runtime.device._default = usual


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FAMILIES)
def test_errors_are_those_of_the_dtype(name, dtype):
    seed = 10 + list(FAMILIES).index(name)
    error, shapes = error_of(name, dtype, seed)
    assert error < bound(name, dtype), shapes
    if dtype != "float32":  # results do have 16 bits
        assert error > 1e-5, shapes


@pytest.mark.parametrize("name", FAMILIES)
def test_runtime_checks_change_nothing(name, checked):
    assert runtime.default_device().check
    error, shapes = error_of(name, "float32", 30 + list(FAMILIES).index(name))
    assert error < EXACT, shapes


def test_the_table_has_the_worst_of_each(monkeypatch):
    errors = {("columns", d): [3e-7 * n, 9e-7 * n, 5e-7 * n] for n, d in enumerate(DTYPES, 1)}
    monkeypatch.setattr(bench_accuracy, "FAMILIES", {"columns": None})
    monkeypatch.setattr(bench_accuracy, "error_of", lambda n, d, s: (errors[n, d][s], []))
    result = bench_accuracy.run_accuracy(3)
    first, *_ = result["rows"]
    assert (first["worst"], first["median"]) == (9e-7, 5e-7)
    assert bench_accuracy.cells(result) == [["columns", "9.0e-07", "1.8e-06", "2.7e-06"]]
