"""Dtypes of results for every pair of operands, against JAX's answers in `promotion.json`."""

from __future__ import annotations

import numpy as np
import pytest

import tracer
from ir.dtypes import DTYPES
from tracer import grad, jit, lax, vmap
from tracer import numpy as jnp
from tracer.promotion import join

from . import promotion

pytestmark = pytest.mark.usefixtures("oracle")


@pytest.mark.parametrize("name", (*promotion.UNARY, *promotion.BINARY))
def test_dtypes_are_those_of_jax(name):
    faults = promotion.faults(name, promotion.answers(tracer, name), promotion.table()[name])
    assert not faults, "\n".join(faults)


def test_join_is_commutative_and_associative():
    floats = [k for k in DTYPES.values() if k.is_float]
    kinds = [(k, False) for k in DTYPES.values()] + [(floats[0], True), (DTYPES["i32"], True)]
    for a in kinds:
        assert join([a, a]) == a
        for b in kinds:
            assert join([a, b]) == join([b, a])
            for c in kinds:
                if a[1] == b[1] == c[1]:
                    assert join([join([a, b]), c]) == join([a, join([b, c])])


def test_weak_types_are_seen_and_kept_through_transformations():
    x = jnp.arange(3) * 2.5
    assert x.weak_type and x.dtype == jnp.float32 and "weak_type=True" in repr(x)
    assert not (x + jnp.ones(3)).weak_type and not x.sum().weak_type
    assert (x * jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16
    assert jit(lambda v: v)(1.0).weak_type and grad(lambda v: v * v)(1.0).weak_type
    assert vmap(lambda v: v * 2)(x).weak_type
    assert jit(lambda v: v * jnp.ones(3, jnp.float16))(2.0).dtype == jnp.float16


def test_a_loop_keeps_its_types_and_numbers_take_those_of_the_body():
    half = jnp.ones(3, jnp.float16)
    assert lax.fori_loop(0, 3, lambda i, v: v * i, half).dtype == jnp.float16
    total, rows = lax.scan(lambda c, v: (c + v, c), 0, half)
    assert total.dtype == rows.dtype == jnp.float16
    assert lax.while_loop(lambda c: c < 3, lambda c: c + half[0], 0).dtype == jnp.float16
    with pytest.raises(TypeError, match="equal types"):
        lax.scan(lambda c, v: (c + v, c), jnp.int32(0), half)


@pytest.mark.parametrize("kind", ["float64", "int64", "uint64"])
def test_64_bits_are_told_to_be_32(kind):
    for make in (lambda: jnp.zeros(2, kind), lambda: jnp.ones(2).astype(getattr(jnp, kind))):
        with pytest.warns(UserWarning, match=f"requested dtype {kind} is not available") as seen:
            assert make().dtype == np.dtype(kind.replace("64", "32"))
        assert seen[0].filename == __file__


def test_types_without_a_twin_are_refused():
    for kind in (np.complex64, "complex128", np.int8):
        with pytest.raises(TypeError, match="not supported on WebGPU"):
            jnp.zeros(2, kind)


def test_scalar_types_convert_and_compare():
    assert jnp.float32(3).dtype == jnp.float32 and jnp.bfloat16(1.5).dtype == jnp.bfloat16
    assert jnp.float32 == np.float32 == jnp.dtype("float32") and jnp.float32 != np.float16
    assert jnp.issubdtype(jnp.bfloat16, jnp.floating) and jnp.finfo(jnp.bfloat16).nmant == 7
    assert not jnp.float32(jnp.arange(3) * 2.5).weak_type
