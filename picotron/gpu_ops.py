"""The GPU operations of mlsquare/picotron-wgpu, with the argument order of its README.

Invariant: buffers come first, then sizes; a buffer may be flat or shaped, and has exactly as many
elements as the sizes say. The buffer for the result may be left out; a numpy array there receives
the result, which is returned as well.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from numbers import Integral
from typing import Any

import numpy as np

from picotron.errors import ConfigError
from tracer import jit, nn
from tracer import numpy as jnp


def _result_optional(position: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Calls may leave out the argument at `position`: one buffer fewer then precedes the sizes."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        names = list(inspect.signature(function).parameters)
        buffers = next(i for i, name in enumerate(names) if name in ("m", "batch_size"))

        @functools.wraps(function)
        def call(*arguments: Any, **rest: Any) -> Any:
            is_size = [isinstance(a, Integral) for a in arguments]
            if True in is_size and is_size.index(True) == buffers - 1:
                arguments = (*arguments[:position], None, *arguments[position:])
            return function(*arguments, **rest)

        return call

    return decorate


@_result_optional(2)
def matmul(
    a: Any, b: Any, c: Any, m: int, n: int, k: int, alpha: float = 1.0, beta: float = 0.0
) -> Any:
    """alpha * A B + beta * C, float32 [m, n], of A [m, k], B [k, n] and C [m, n], row-major.

    Raises ConfigError for buffers of another size, and for a beta without a C.
    """
    a, b = _buffer("a", a, (m, k)), _buffer("b", b, (k, n))
    if not beta:
        return _into(c, _product(a, b, jnp.float32(alpha)))
    if c is None:
        raise ConfigError(f"matmul: beta is {beta}, but there is no buffer c")
    scaled = _buffer("c", c, (m, n))
    return _into(c, _update(a, b, scaled, jnp.float32(alpha), jnp.float32(beta)))


@_result_optional(3)
def attention(
    query: Any, key: Any, value: Any, output: Any, batch_size: int, num_heads: int, seq_len: int,
    head_dim: int, scale: float | None = None, is_causal: bool = False,
) -> Any:  # fmt: skip
    """softmax(Q K^T * scale) V, float32 [batch, heads, seq, head_dim], of buffers of that shape.

    `scale` is 1 / sqrt(head_dim) by default; every position sees all others unless `is_causal`.
    """
    shape = (batch_size, num_heads, seq_len, head_dim)
    buffers = {"query": query, "key": key, "value": value}
    found = (_buffer(name, buffer, shape) for name, buffer in buffers.items())
    factor = head_dim**-0.5 if scale is None else float(scale)
    return _into(output, _attend(*found, scale=factor, is_causal=bool(is_causal)))


@_result_optional(1)
def layer_norm(
    input: Any, output: Any, gamma: Any, beta: Any, batch_size: int, seq_len: int,
    hidden_size: int, eps: float = 1e-5,
) -> Any:  # fmt: skip
    """(x - mean) / sqrt(variance + eps) * gamma + beta over the last axis, float32
    [batch, seq, hidden]; gamma and beta are [hidden]."""
    x = _buffer("input", input, (batch_size, seq_len, hidden_size))
    gamma, beta = (_buffer(n, b, (hidden_size,)) for n, b in (("gamma", gamma), ("beta", beta)))
    return _into(output, _normalise(x, gamma, beta, eps=float(eps)))


@jit
def _product(a: Any, b: Any, alpha: Any) -> Any:
    return alpha * (a @ b)


@jit
def _update(a: Any, b: Any, c: Any, alpha: Any, beta: Any) -> Any:
    return alpha * (a @ b) + beta * c


@functools.partial(jit, static_argnames=("scale", "is_causal"))
def _attend(query: Any, key: Any, value: Any, scale: float, is_causal: bool) -> Any:
    rows = (jnp.swapaxes(buffer, 1, 2) for buffer in (query, key, value))
    mixed = nn.dot_product_attention(*rows, scale=scale, is_causal=is_causal)
    return jnp.swapaxes(mixed, 1, 2)


@functools.partial(jit, static_argnames="eps")
def _normalise(x: Any, gamma: Any, beta: Any, eps: float) -> Any:
    return nn.layer_norm(x, gamma, beta, eps)


def _buffer(name: str, buffer: Any, shape: tuple[int, ...]) -> Any:
    found = jnp.asarray(buffer, jnp.float32)
    if any(size < 1 for size in shape) or found.size != math.prod(shape):
        raise ConfigError(f"{name} has {found.size} elements; sizes {list(shape)} are asked for")
    return found.reshape(shape)


def _into(target: Any, result: Any) -> Any:
    if isinstance(target, np.ndarray):
        if target.size != result.size:
            raise ConfigError(f"the result has {result.size} elements, its buffer {target.size}")
        target[...] = np.asarray(result).reshape(target.shape)
    return result
