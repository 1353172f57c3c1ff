"""Elementwise primitives of one operand: out[i] = f(x[i]), changes of dtype among them.

Invariant: as for all elementwise ones, a cotangent has the shape of the operand.
"""

from __future__ import annotations

import numpy as np

from ..build import emit
from ..dtypes import DType, bool_
from ..graph import Aval
from ..prim import register
from .elementwise import ANY, NUMBER, Elementwise


@register
class neg(Elementwise):
    name = "neg"
    accepts = NUMBER
    sums = ((True,),)

    def eval(self, x):
        return -x

    def vjp(self, ct, out, x):
        return (-ct,)


@register
class abs(Elementwise):
    name = "abs"
    accepts = NUMBER

    def eval(self, x):
        return np.abs(x)

    def vjp(self, ct, out, x):
        return (ct * emit(sign, x),)


@register
class sign(Elementwise):
    name = "sign"
    accepts = NUMBER

    def eval(self, x):
        return np.sign(x)

    def vjp(self, ct, out, x):
        return (None,)


@register
class floor(Elementwise):
    name = "floor"

    def eval(self, x):
        return np.floor(x)

    def vjp(self, ct, out, x):
        return (None,)


@register
class isfinite(Elementwise):
    """A bit test: comparisons with infinities are not portable on devices."""

    name = "isfinite"

    def result(self, operand: DType) -> DType:
        return bool_

    def eval(self, x):
        return np.isfinite(x)

    def vjp(self, ct, out, x):
        return (None,)


@register
class exp(Elementwise):
    name = "exp"

    def eval(self, x):
        return np.exp(x)

    def vjp(self, ct, out, x):
        return (ct * out,)


@register
class log(Elementwise):
    name = "log"

    def eval(self, x):
        return np.log(x)

    def vjp(self, ct, out, x):
        return (ct / x,)


@register
class sin(Elementwise):
    name = "sin"

    def eval(self, x):
        return np.sin(x)

    def vjp(self, ct, out, x):
        return (ct * emit(cos, x),)


@register
class cos(Elementwise):
    name = "cos"

    def eval(self, x):
        return np.cos(x)

    def vjp(self, ct, out, x):
        return (-(ct * emit(sin, x)),)


@register
class tanh(Elementwise):
    name = "tanh"

    def eval(self, x):
        return np.tanh(x)

    def vjp(self, ct, out, x):
        return (ct * (1 - out * out),)


@register
class logistic(Elementwise):
    """1 / (1 + exp(-x))."""

    name = "logistic"

    def eval(self, x):
        e = np.exp(-np.abs(x))
        return np.where(x >= 0, 1 / (1 + e), e / (1 + e))

    def vjp(self, ct, out, x):
        return (ct * (out * (1 - out)),)


@register
class sqrt(Elementwise):
    name = "sqrt"

    def eval(self, x):
        return np.sqrt(x)

    def vjp(self, ct, out, x):
        return (ct * 0.5 / out,)


@register
class rsqrt(Elementwise):
    """1 / sqrt(x)."""

    name = "rsqrt"

    def eval(self, x):
        return 1 / np.sqrt(x)

    def vjp(self, ct, out, x):
        return (ct * -0.5 * out / x,)


@register
class cast(Elementwise):
    """Convert to `dtype`. Floats to integers truncate; anything to bool tests != 0."""

    name = "cast"
    accepts = ANY
    sums = ((True,),)  # between floats; sums are over floats alone

    def typeof(self, x: Aval, *, dtype: DType) -> Aval:
        return Aval(x.shape, dtype)

    def eval(self, x, *, dtype):
        return x if dtype.is_float and x.dtype.kind == "f" else x.astype(dtype.np)

    def vjp(self, ct, out, x, *, dtype):
        smooth = x.aval.dtype.is_float and dtype.is_float
        return (emit(cast, ct, dtype=x.aval.dtype) if smooth else None,)


@register
class bitcast(Elementwise):
    """Reinterpret the bits as another 4-byte dtype."""

    name = "bitcast"
    accepts = NUMBER

    def typeof(self, x: Aval, *, dtype: DType) -> Aval:
        if bool_ in (x.dtype, dtype) or not x.dtype.itemsize == dtype.itemsize == 4:
            raise TypeError(f"bitcast needs number types of 4 bytes, got {x} to {dtype}")
        return Aval(x.shape, dtype)

    def eval(self, x, *, dtype):
        narrow = x.astype(np.float32) if x.dtype == np.float64 else x
        return np.array(narrow, order="C").view(dtype.np)

    def vjp(self, ct, out, x, *, dtype):
        return (None,)


@register
class stop_gradient(Elementwise):
    """The identity, through which no cotangent passes."""

    name = "stop_gradient"
    accepts = ANY
    sums = ((True,),)

    def eval(self, x):
        return x

    def vjp(self, ct, out, x):
        return (None,)
