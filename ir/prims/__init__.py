"""The closed primitive set: importing this package fills `ir.prim.PRIMITIVES`."""

from . import contract, control, elementwise, fused, index, reduce, views

__all__ = ["contract", "control", "elementwise", "fused", "index", "reduce", "views"]
