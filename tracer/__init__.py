"""Tracing: from pure Python functions of arrays to IR graphs, and back to results.

Invariant: a traced function sees Tracers with numpy's interface; what it does to them becomes a
graph of `ir`, which transformations rewrite and `jit` compiles and runs.
"""

from . import errors, lax, nn, numpy, tree
from .api import (
    block_until_ready,
    device_get,
    device_put,
    eval_shape,
    grad,
    graph_of,
    named_scope,
    value_and_grad,
    vjp,
)
from .array import Array, Tracer
from .calls import ShapeDtypeStruct
from .jit import clear_caches, jit
from .lax import stop_gradient
from .settings import use_backend

__all__ = [
    "Array",
    "ShapeDtypeStruct",
    "Tracer",
    "block_until_ready",
    "clear_caches",
    "device_get",
    "device_put",
    "errors",
    "eval_shape",
    "grad",
    "graph_of",
    "jit",
    "lax",
    "named_scope",
    "nn",
    "numpy",
    "stop_gradient",
    "tree",
    "use_backend",
    "value_and_grad",
    "vjp",
]
