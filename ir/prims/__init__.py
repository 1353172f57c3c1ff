"""The closed primitive set: importing this package fills `ir.prim.PRIMITIVES`."""

from . import (
    call,
    collective,
    cond,
    contract,
    convolve,
    custom,
    effect,
    elementwise,
    fused,
    index,
    reduce,
    scan,
    scatter,
    sort,
    views,
    while_loop,
)

__all__ = [
    "call",
    "collective",
    "cond",
    "contract",
    "convolve",
    "custom",
    "effect",
    "elementwise",
    "fused",
    "index",
    "reduce",
    "scan",
    "scatter",
    "sort",
    "views",
    "while_loop",
]
