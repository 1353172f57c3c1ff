"""place, fill_diagonal and weighted quantiles against numpy's own."""

from __future__ import annotations

import numpy as np
import pytest

from tracer import numpy as jnp

X = np.random.default_rng(0).normal(size=(4, 5, 3)).astype(np.float32)


@pytest.mark.parametrize("values", [7.0, np.arange(4.0), np.arange(100.0)])
def test_place(values):
    want, values = X.copy(), np.asarray(values, np.float32)
    np.place(want, X > 0.3, values)
    got = jnp.place(X, X > 0.3, values, inplace=False)
    assert np.array_equal(got, want) and not np.array_equal(want, X)


@pytest.mark.parametrize("shape", [(3, 3), (2, 5), (5, 2), (3, 3, 3)])
@pytest.mark.parametrize("values", [1, np.arange(2) + 5, np.arange(9)])
def test_fill_diagonal(shape, values):
    want = np.zeros(shape, np.float32)
    np.fill_diagonal(want, values)
    assert np.array_equal(jnp.fill_diagonal(want * 0, values, inplace=False), want)


def test_misuse_is_told():
    with pytest.raises(ValueError, match="inplace=False"):
        jnp.place(X, X > 0, 1.0)
    with pytest.raises(ValueError, match="must be the same size, got 60 and 3"):
        jnp.place(X, np.ones(3, bool), 1.0, inplace=False)
    with pytest.raises(ValueError, match="from an empty array"):
        jnp.place(X, X > 0, np.zeros(0), inplace=False)
    with pytest.raises(ValueError, match="must be of equal length"):
        jnp.fill_diagonal(X, 1.0, inplace=False)
    with pytest.raises(ValueError, match="at least 2-d"):
        jnp.fill_diagonal(X[0, 0], 1.0, inplace=False)
    with pytest.raises(ValueError, match="Only method 'inverted_cdf' supports weights"):
        jnp.quantile(X, 0.5, weights=X)
    with pytest.raises(ValueError, match="must match 'a' shape when axis is None"):
        jnp.quantile(X, 0.5, method="inverted_cdf", weights=X[0])


@pytest.mark.parametrize("axis", [None, 1, (0, 2)])
def test_weighted_quantiles(axis):
    weights = np.random.default_rng(1).uniform(size=X.shape).astype(np.float32)
    qs = np.float32([0.1, 0.45, 0.9])
    own, options = {"weights": weights}, {"axis": axis, "method": "inverted_cdf"}
    for name in ("quantile", "nanquantile"):
        for keepdims in (False, True):
            more = {**options, **own, "keepdims": keepdims}
            want = getattr(np, name)(X, qs, **more)
            assert np.array_equal(getattr(jnp, name)(X, qs, **more), want)
    same = jnp.percentile(X, 30.0, **options)
    assert np.array_equal(same, np.percentile(X, 30.0, **options))
    spoilt = np.where(weights > 0.9, np.nan, X)
    want = np.nanquantile(spoilt, 0.5, axis=axis, method="inverted_cdf", weights=weights)
    got = jnp.nanquantile(spoilt, 0.5, axis=axis, method="inverted_cdf", weights=weights)
    assert np.array_equal(got, want)
    assert np.isnan(jnp.quantile(spoilt, 0.5, method="inverted_cdf"))
