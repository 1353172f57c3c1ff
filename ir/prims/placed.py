"""`sharding_constraint`: an annotation on a value, of which only the sharding pass takes notice.

Invariant: its result is its operand. `dims` and `unreduced` are those of an `ir.sharding.Spec`.
"""

from __future__ import annotations

from ..build import emit
from ..factors import alike
from ..graph import Aval
from ..prim import register
from ..sharding import Spec
from .elementwise import ANY, Elementwise
from .lead import lead_all


@register
class sharding_constraint(Elementwise):
    """The identity. A mesh cuts the result as `dims` says; where `unreduced`, it may be a sum.

    `dual` marks the constraint of a cotangent, which is cut where its primal is. Where the primal
    is replicated it may be a pending sum, and the other way round (replicated and partial are dual,
    as in Xu et al., 2021, and JAX's reduced and unreduced types).
    """

    name = "sharding_constraint"
    accepts = ANY
    sums = ((True,),)

    def typeof(self, x: Aval, *, dims: tuple, unreduced: tuple, dual: bool) -> Aval:
        if len(dims) != x.ndim:
            spec = Spec(dims, frozenset(unreduced))
            raise TypeError(f"{spec} has {len(dims)} entries for a value of type {x}")
        return x

    def eval(self, x, **params):
        return x

    def vjp(self, ct, out, x, *, dual, **params):
        return (emit(sharding_constraint, ct, dual=not dual, **params),)

    def batch(self, ins, mask, size, *, dims, **params):
        return emit(sharding_constraint, *lead_all(ins, mask, size), dims=(None, *dims), **params)

    def factors(self, x, **params):
        return alike(1, x.ndim)
