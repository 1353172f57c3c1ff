"""The closed primitive set: importing this package fills `ir.prim.PRIMITIVES`."""

from . import call, contract, control, elementwise, fused, index, reduce, views

__all__ = ["call", "contract", "control", "elementwise", "fused", "index", "reduce", "views"]
