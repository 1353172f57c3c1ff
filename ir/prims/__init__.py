"""The closed primitive set: importing this package fills `ir.prim.PRIMITIVES`."""

from . import contract, elementwise, fused, index, reduce, views

__all__ = ["contract", "elementwise", "fused", "index", "reduce", "views"]
