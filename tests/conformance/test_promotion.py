"""JAX's own answers about dtypes, asked again."""

from __future__ import annotations

import pytest

from .. import promotion


@pytest.mark.parametrize("name", (*promotion.UNARY, *promotion.BINARY))
def test_the_table_is_what_jax_answers(name):
    jax = pytest.importorskip("jax")
    assert promotion.answers(jax, name) == promotion.table()[name]
