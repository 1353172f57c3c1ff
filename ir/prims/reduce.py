"""Reductions: out[i] = monoid of x[i, r] over the reduced axes, which disappear.

Invariant: sums of floats accumulate in f32 whatever the operand dtype; max and min start from the
dtype's extreme finite value, so an empty reduction gives that value.
"""

from __future__ import annotations

import numpy as np

from ..build import emit, lit_like
from ..dtypes import DType, bool_, dtype, highest, i32, lowest
from ..factors import Factors
from ..graph import Aval, Value
from ..prim import Primitive, register
from .lead import behind
from .views import broadcast_to


class Reduce(Primitive):
    """`axes` is a sorted tuple. `monoid` names the scalar operation that combines two values."""

    kind = "reduce"
    monoid = ""

    def typeof(self, x: Aval, *, axes: tuple[int, ...]) -> Aval:
        if x.dtype is bool_:
            raise TypeError(f"{self.name} of {x}: convert bools with .astype first")
        if list(axes) != sorted(set(axes)) or any(not 0 <= a < x.ndim for a in axes):
            raise TypeError(f"{self.name} of {x} over axes {axes}: no such axes")
        return Aval(tuple(n for d, n in enumerate(x.shape) if d not in axes), x.dtype)

    def factors(self, x, *, axes):
        dims = tuple(range(x.ndim))
        return Factors((dims,), (tuple(d for d in dims if d not in axes),), self.monoid)

    def linear(self, mask, *, axes):
        return self.monoid == "add"

    def batch(self, ins, mask, size, *, axes):
        return emit(self, *ins, axes=behind(axes))

    def flops(self, x: Aval, **params) -> int:
        return x.size

    def identity(self, dtype) -> float | int:
        """The value an empty reduction has."""
        return 0


def spread(x: Value, axes: tuple[int, ...], shape: tuple[int, ...]) -> Value:
    """Undo a reduction's shape: repeat `x` along the axes that were reduced."""
    return broadcast_to(x, shape, tuple(d for d in range(len(shape)) if d not in axes))


@register
class sum(Reduce):
    name = "sum"
    monoid = "add"

    def eval(self, x, *, axes):
        wide = np.float32 if x.dtype.itemsize == 2 else None
        return np.sum(x, axis=axes, dtype=wide or x.dtype).astype(x.dtype)

    def vjp(self, ct, out, x, *, axes):
        return (spread(ct, axes, x.aval.shape),)


class Extremum(Reduce):
    """The cotangent is shared equally by all positions that attain the extremum."""

    def vjp(self, ct, out, x, *, axes):
        from .elementwise import eq
        from .unary import cast

        hits = emit(cast, emit(eq, x, spread(out, axes, x.aval.shape)), dtype=x.aval.dtype)
        share = ct / emit(sum, hits, axes=axes)
        return (hits * spread(share, axes, x.aval.shape),)


@register
class reduce_max(Extremum):
    name = "reduce_max"
    monoid = "max"

    def identity(self, dtype):
        return lowest(dtype)

    def eval(self, x, *, axes):
        return np.max(x, axis=axes, initial=lowest(_device_dtype(x)))


@register
class reduce_min(Extremum):
    name = "reduce_min"
    monoid = "min"

    def identity(self, dtype):
        return highest(dtype)

    def eval(self, x, *, axes):
        return np.min(x, axis=axes, initial=highest(_device_dtype(x)))


def _device_dtype(x: np.ndarray) -> DType:
    # Wide evaluation runs in float64 but must still start from the value the device starts from.
    return dtype(x.dtype)


def argmax(x: Value, axis: int) -> Value:
    """i32 index of the first maximum along `axis`, in reductions that already exist."""
    from .elementwise import eq, select
    from .views import iota

    shape = x.aval.shape
    best = spread(emit(reduce_max, x, axes=(axis,)), (axis,), shape)
    place = emit(iota, shape=shape, dtype=i32, axis=axis)
    last = lit_like(shape[axis] - 1, place)
    return emit(reduce_min, emit(select, emit(eq, x, best), place, last), axes=(axis,))
