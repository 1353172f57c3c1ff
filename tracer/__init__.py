"""Tracing: from pure Python functions of arrays to IR graphs, and back to results.

Invariant: a traced function sees Tracers with numpy's interface; what it does to them becomes a
graph of `ir`, which transformations rewrite and `jit` compiles and runs.
"""

from . import (
    custom_derivatives,
    debug,
    errors,
    flatten_util,
    lax,
    nn,
    numpy,
    ops,
    random,
    scipy,
    sharding,
    test_util,
    tree,
    tree_util,
)
from .api import (
    block_until_ready,
    device_get,
    device_put,
    ensure_compile_time_eval,
    eval_shape,
    graph_of,
    make_jaxpr,
    named_call,
    named_scope,
    typeof,
)
from .array import Array, Tracer
from .backend import clear_caches
from .batching import vmap
from .callbacks import effects_barrier
from .calls import ShapeDtypeStruct
from .checkpointing import checkpoint, checkpoint_name, checkpoint_policies, remat
from .config import (
    Device,
    config,
    default_backend,
    default_device,
    device_count,
    devices,
    enable_x64,
    live_arrays,
    local_device_count,
    local_devices,
    print_environment_info,
    process_count,
    process_index,
)
from .custom import custom_jvp, custom_vjp
from .custom_derivatives import closure_convert, custom_gradient
from .forward import jvp
from .gradients import float0, grad, value_and_grad
from .jacobians import hessian, jacfwd, jacobian, jacrev
from .jit import jit
from .lax import stop_gradient
from .linear import linear_transpose, linearize, vjp
from .mapping import shard_map
from .settings import (
    check_tracer_leaks,
    checking_leaks,
    debug_infs,
    debug_key_reuse,
    debug_nans,
    default_matmul_precision,
    disable_jit,
    explain_cache_misses,
    log_compiles,
    numpy_dtype_promotion,
    numpy_rank_promotion,
    use_backend,
)
from .sharding import NamedSharding, P, make_mesh, reshard, set_mesh
from .tracebacks import install as _filter_tracebacks

_filter_tracebacks()

__all__ = [
    "Array",
    "Device",
    "NamedSharding",
    "P",
    "ShapeDtypeStruct",
    "Tracer",
    "block_until_ready",
    "check_tracer_leaks",
    "checking_leaks",
    "checkpoint",
    "checkpoint_name",
    "checkpoint_policies",
    "clear_caches",
    "closure_convert",
    "config",
    "custom_derivatives",
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "debug",
    "debug_infs",
    "debug_key_reuse",
    "debug_nans",
    "default_backend",
    "default_device",
    "default_matmul_precision",
    "device_count",
    "device_get",
    "device_put",
    "devices",
    "disable_jit",
    "effects_barrier",
    "enable_x64",
    "ensure_compile_time_eval",
    "errors",
    "eval_shape",
    "explain_cache_misses",
    "flatten_util",
    "float0",
    "grad",
    "graph_of",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jit",
    "jvp",
    "lax",
    "linear_transpose",
    "linearize",
    "live_arrays",
    "local_device_count",
    "local_devices",
    "log_compiles",
    "make_jaxpr",
    "make_mesh",
    "named_call",
    "named_scope",
    "nn",
    "numpy",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "ops",
    "print_environment_info",
    "process_count",
    "process_index",
    "random",
    "remat",
    "reshard",
    "scipy",
    "set_mesh",
    "shard_map",
    "sharding",
    "stop_gradient",
    "test_util",
    "tree",
    "tree_util",
    "typeof",
    "use_backend",
    "value_and_grad",
    "vjp",
    "vmap",
]
