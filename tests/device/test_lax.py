"""lax on the adapter against the numpy oracle: values and gradients."""

from __future__ import annotations

import numpy as np
import pytest

from tracer import grad, jit, use_backend
from tracer import numpy as jnp

from ..lax_cases import CASES


@pytest.fixture(autouse=True)
def restored():
    yield
    use_backend(None)


def both(fun, *args):
    """fun's result on the oracle and on the adapter."""
    found = []
    for backend in ("oracle", None):
        use_backend(backend)
        out = jit(fun)(*args)
        found.append([np.asarray(x) for x in (out if isinstance(out, tuple) else (out,))])
    return found


def compare(fun, *args):
    for want, got in zip(*both(fun, *args), strict=True):
        assert (got.shape, got.dtype) == (want.shape, want.dtype)
        np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_on_the_adapter(case):
    at = tuple(i for i, x in enumerate(case.inputs) if x.dtype.kind == "f")
    compare(case.fun, *case.inputs)
    if case.smooth and at:
        compare(lambda *xs: grad(lambda *v: jnp.sum(case.fun(*v) ** 2), at)(*xs), *case.inputs)
