"""Operations closer to the primitives than numpy's.

Invariant: as in `tracer.numpy`, everything works inside and outside of a trace; unlike there,
operands are taken as they are (`tracer.strict`).
"""

# ruff: noqa: F401 - the imported names are the interface

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import strict, tree
from .array import aval_of
from .branching import cond, switch
from .collectives import (
    all_gather,
    all_to_all,
    axis_index,
    axis_size,
    pcast,
    pmax,
    pmean,
    pmin,
    ppermute,
    pshuffle,
    psum,
    psum_scatter,
    pswapaxes,
)
from .control import associative_scan, map, scan
from .conv_layouts import (
    ConvDimensionNumbers,
    ConvGeneralDilatedDimensionNumbers,
    conv_dimension_numbers,
    conv_general_permutations,
    padtype_to_pads,
)
from .convolution import (
    conv,
    conv_general_dilated,
    conv_general_dilated_patches,
    conv_transpose,
    conv_with_general_padding,
)
from .creation import as_shape
from .errors import located
from .lax_elementwise import (
    RoundingMethod,
    abs,
    acos,
    acosh,
    add,
    asin,
    asinh,
    atan,
    atan2,
    atanh,
    bessel_i0e,
    bessel_i1e,
    bitcast_convert_type,
    bitwise_and,
    bitwise_not,
    bitwise_or,
    bitwise_xor,
    cbrt,
    ceil,
    clamp,
    clz,
    convert_element_type,
    cos,
    cosh,
    digamma,
    div,
    eq,
    erf,
    erf_inv,
    erfc,
    exp,
    exp2,
    expm1,
    floor,
    ge,
    gt,
    integer_pow,
    is_finite,
    le,
    lgamma,
    log,
    log1p,
    logistic,
    lt,
    max,
    min,
    mul,
    mulhi,
    ne,
    neg,
    nextafter,
    polygamma,
    population_count,
    pow,
    reciprocal,
    rem,
    round,
    rsqrt,
    select,
    select_n,
    shift_left,
    shift_right_arithmetic,
    shift_right_logical,
    sign,
    sin,
    sinh,
    sqrt,
    square,
    sub,
    tan,
    tanh,
    zeta,
)
from .lax_filling import (
    broadcasted_iota,
    dtype,
    empty,
    full,
    full_like,
    iota,
    pad,
)
from .lax_indexing import (
    GatherDimensionNumbers,
    GatherScatterMode,
    ScatterDimensionNumbers,
    dynamic_index_in_dim,
    dynamic_slice,
    dynamic_slice_in_dim,
    dynamic_update_index_in_dim,
    dynamic_update_slice,
    dynamic_update_slice_in_dim,
    gather,
    index_take,
    scatter,
    scatter_add,
    scatter_max,
    scatter_min,
    scatter_mul,
    scatter_sub,
)
from .lax_products import (
    DotDimensionNumbers,
    Precision,
    batch_matmul,
    dot,
    dot_general,
)
from .lax_reductions import (
    argmax,
    argmin,
    cumlogsumexp,
    cummax,
    cummin,
    cumprod,
    cumsum,
    reduce,
    reduce_and,
    reduce_max,
    reduce_min,
    reduce_or,
    reduce_precision,
    reduce_prod,
    reduce_sum,
    reduce_xor,
)
from .lax_shapes import (
    broadcast,
    broadcast_in_dim,
    broadcast_to_rank,
    collapse,
    concatenate,
    expand_dims,
    index_in_dim,
    reshape,
    rev,
    slice,
    slice_in_dim,
    split,
    squeeze,
    stack,
    tile,
    transpose,
    unstack,
)
from .layout import (
    broadcast_shapes,
)
from .loops import fori_loop, while_loop
from .pooling import reduce_window, reduce_window_shape_tuple
from .regions import composite, platform_dependent
from .shaping import broadcast_to
from .sorting import sort_key_val, top_k
from .sorting import sort_operands as sort
from .staging import bind, operand


def stop_gradient(x: Any) -> Any:
    """The identity on a pytree of arrays, through which no gradient passes."""
    return tree.map(lambda leaf: bind("stop_gradient", operand(leaf)), x)


def optimization_barrier(operand: Any) -> Any:
    """The tree itself, none of whose arrays is computed in one kernel with what reads it."""
    leaves, structure = tree.flatten(operand)
    held = [strict.array("optimization_barrier", leaf) for leaf in leaves]
    return tree.unflatten(structure, bind("optimization_barrier", *held) if held else [])


def broadcast_like(arr: Any, like_arr: Any) -> Any:
    """`arr` broadcast to the shape of another array."""
    return broadcast_to(operand(arr), aval_of(operand(like_arr)).shape)


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """A pytree whose arrays lie on a mesh as it is said; see `tracer.sharding`."""
    from .sharding import with_sharding_constraint

    return with_sharding_constraint(x, shardings)


__all__ = """
    ConvDimensionNumbers ConvGeneralDilatedDimensionNumbers DotDimensionNumbers
    GatherDimensionNumbers GatherScatterMode Precision RoundingMethod ScatterDimensionNumbers
    abs acos acosh add all_gather all_to_all argmax argmin asin asinh associative_scan atan
    atan2 atanh axis_index axis_size batch_matmul bessel_i0e bessel_i1e bitcast_convert_type
    bitwise_and bitwise_not bitwise_or bitwise_xor broadcast broadcast_in_dim broadcast_like
    broadcast_shapes broadcast_to_rank broadcasted_iota cbrt ceil clamp clz collapse composite
    concatenate cond conv conv_dimension_numbers conv_general_dilated
    conv_general_dilated_patches conv_general_permutations conv_transpose
    conv_with_general_padding convert_element_type cos cosh cumlogsumexp cummax cummin cumprod
    cumsum digamma div dot dot_general dtype dynamic_index_in_dim dynamic_slice
    dynamic_slice_in_dim dynamic_update_index_in_dim dynamic_update_slice
    dynamic_update_slice_in_dim empty eq erf erf_inv erfc exp exp2 expand_dims expm1 floor
    fori_loop full full_like gather ge gt index_in_dim index_take integer_pow iota is_finite le
    lgamma log log1p logistic lt map max min mul mulhi ne neg nextafter optimization_barrier pad
    padtype_to_pads pcast platform_dependent pmax pmean pmin polygamma population_count pow
    ppermute pshuffle psum psum_scatter pswapaxes reciprocal reduce reduce_and reduce_max
    reduce_min reduce_or reduce_precision reduce_prod reduce_sum reduce_window
    reduce_window_shape_tuple reduce_xor rem reshape rev round rsqrt scan scatter scatter_add
    scatter_max scatter_min scatter_mul scatter_sub select select_n shift_left
    shift_right_arithmetic shift_right_logical sign sin sinh slice slice_in_dim sort
    sort_key_val split sqrt square squeeze stack stop_gradient sub switch tan tanh tile top_k
    transpose unstack while_loop with_sharding_constraint zeta
""".split()
