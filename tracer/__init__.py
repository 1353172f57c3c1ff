"""Tracing: from pure Python functions of arrays to IR graphs, and back to results.

Invariant: a traced function sees Tracers with numpy's interface; what it does to them becomes a
graph of `ir`, which transformations rewrite and `jit` compiles and runs.
"""

from . import errors, flatten_util, lax, nn, numpy, random, tree, tree_util
from .api import (
    block_until_ready,
    device_get,
    device_put,
    eval_shape,
    grad,
    graph_of,
    make_jaxpr,
    named_scope,
    value_and_grad,
    vjp,
)
from .array import Array, Tracer
from .batching import vmap
from .calls import ShapeDtypeStruct
from .checkpointing import checkpoint, checkpoint_name, checkpoint_policies, remat
from .custom import custom_jvp, custom_vjp
from .forward import float0, hessian, jacfwd, jacrev, jvp, linearize
from .jit import clear_caches, jit
from .lax import stop_gradient
from .settings import use_backend

__all__ = [
    "Array",
    "ShapeDtypeStruct",
    "Tracer",
    "block_until_ready",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "clear_caches",
    "custom_jvp",
    "custom_vjp",
    "device_get",
    "device_put",
    "errors",
    "eval_shape",
    "flatten_util",
    "float0",
    "grad",
    "graph_of",
    "hessian",
    "jacfwd",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linearize",
    "make_jaxpr",
    "named_scope",
    "nn",
    "numpy",
    "random",
    "remat",
    "stop_gradient",
    "tree",
    "tree_util",
    "use_backend",
    "value_and_grad",
    "vjp",
    "vmap",
]
