"""Attention within segments against torch's, which is given the mask that they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from tracer import jit, nn, value_and_grad
from tracer import numpy as jnp

ROWS, LENGTH, HEADS, GROUPS, SIZE = 2, 96, 4, 2, 16


def operands():
    rng = np.random.default_rng(3)
    heads = (HEADS, GROUPS, GROUPS, HEADS)
    drawn = [rng.standard_normal((ROWS, LENGTH, n, SIZE)).astype(np.float32) for n in heads]
    ids = np.stack([np.repeat(np.arange(5), n) for n in ([1, 40, 23, 31, 1], [64, 8, 8, 8, 8])])
    return drawn, ids.astype(np.int32)


def theirs(drawn, ids, causal):
    """(out, gradients of queries, keys and values) for the cotangent that comes last."""
    import torch

    query, key, value, cotangent = (torch.from_numpy(x).transpose(1, 2) for x in drawn)
    for x in (query, key, value):
        x.requires_grad_()
    of = torch.from_numpy(ids)
    mask = of[:, None, :, None] == of[:, None, None]
    mask = mask.tril() if causal else mask
    out = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, enable_gqa=True
    )
    grads = torch.autograd.grad(out, (query, key, value), cotangent)
    return [x.detach().transpose(1, 2).numpy() for x in (out, *grads)]


@pytest.mark.parametrize("causal", [False, True])
def test_values_and_gradients_are_those_of_a_mask(causal):
    drawn, ids = operands()

    def total(query, key, value, cotangent, ids):
        out = nn.dot_product_attention(
            query, key, value, is_causal=causal, query_segment_ids=ids, segments_are_sorted=True
        )
        return jnp.sum(out * cotangent), out

    (_, out), grads = jit(value_and_grad(total, (0, 1, 2), has_aux=True))(*drawn, ids)
    for ours, wanted in zip((out, *grads), theirs(drawn, ids, causal), strict=True):
        np.testing.assert_allclose(np.asarray(ours), wanted, rtol=1e-4, atol=1e-5)
