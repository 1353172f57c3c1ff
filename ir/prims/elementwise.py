"""Elementwise primitives: out[i] = f(x[i], y[i], ...).

Invariant: operands have equal shapes; broadcasting is a primitive of its own, so no rule here (nor
any transform of them) ever un-broadcasts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..build import emit, lit_like
from ..dtypes import DTYPES, DType, bool_, half, u32
from ..factors import alike
from ..graph import Aval, Value
from ..prim import Primitive, register
from .lead import lead_all

FLOAT, NUMBER, LOGIC, ANY = "float", "number", "bool or integer", "any"
_ALL = frozenset({*DTYPES.values(), half})
_ACCEPTS = {
    FLOAT: frozenset(d for d in _ALL if d.is_float),
    NUMBER: _ALL - {bool_},
    LOGIC: frozenset(d for d in _ALL if not d.is_float),
    ANY: _ALL,
}


class Elementwise(Primitive):
    """`arity` operands of one dtype from the class `accepts`."""

    kind = "elementwise"
    arity = 1
    accepts = FLOAT

    def typeof(self, *avals: Aval, **params: Any) -> Aval:
        if len(avals) != self.arity:
            raise TypeError(f"{self.name} takes {self.arity} operands, got {_list(avals)}")
        first = avals[0]
        for other in avals[1:]:
            if other.shape != first.shape:
                raise TypeError(f"{self.name} got incompatible shapes: {_list(avals)}")
            if other.dtype is not first.dtype:
                raise TypeError(
                    f"{self.name} requires equal dtypes, got {_list(avals)}; "
                    f"convert one with .astype({first.dtype.np.name!r})"
                )
        if first.dtype not in _ACCEPTS[self.accepts]:
            raise TypeError(
                f"{self.name} does not accept dtype {first.dtype.np.name}, got {_list(avals)}; "
                f"it takes {self.accepts} values"
            )
        result = self.result(first.dtype)
        return first if result is first.dtype else Aval(first.shape, result)

    def batch(self, ins, mask, size, **params):
        return emit(self, *lead_all(ins, mask, size), **params)

    def factors(self, *avals, **params):
        return alike(len(avals), avals[0].ndim)

    def linear(self, mask, **params):
        return mask in self.sums

    # Operands in which it is linear, together.
    sums: tuple[tuple[bool, ...], ...] = ()

    def result(self, operand: DType) -> DType:
        return operand


def _list(avals: tuple[Aval, ...]) -> str:
    return " and ".join(map(str, avals))


class Binary(Elementwise):
    arity = 2
    accepts = NUMBER


class Compare(Binary):
    def result(self, operand: DType) -> DType:
        return bool_

    def vjp(self, ct, out, *ins):
        return None, None


# --- arithmetic ---------------------------------------------------------------------------------


@register
class add(Binary):
    name = "add"
    sums = ((True, True),)

    def eval(self, x, y):
        return x + y

    def vjp(self, ct, out, x, y):
        return ct, ct


@register
class sub(Binary):
    name = "sub"
    sums = ((True, True),)

    def eval(self, x, y):
        return x - y

    def vjp(self, ct, out, x, y):
        return ct, -ct


@register
class mul(Binary):
    name = "mul"
    sums = ((True, False), (False, True))

    def eval(self, x, y):
        return x * y

    def vjp(self, ct, out, x, y):
        return ct * y, ct * x


@register
class div(Binary):
    """Floats divide; integers divide towards zero, and by zero give 0."""

    name = "div"
    sums = ((True, False),)

    def eval(self, x, y):
        if np.asarray(x).dtype.kind == "f":
            return x / y
        safe = np.where(y == 0, 1, y)
        exact = np.abs(x.astype(np.int64)) // np.abs(safe.astype(np.int64))
        quotient = exact * np.sign(x).astype(np.int64) * np.sign(safe).astype(np.int64)
        return np.where(y == 0, 0, quotient)

    def vjp(self, ct, out, x, y):
        gx = ct / y
        return gx, -(gx * out)


@register
class rem(Binary):
    """Remainder with the sign of the dividend; integer remainder by zero gives 0."""

    name = "rem"

    def eval(self, x, y):
        if np.asarray(x).dtype.kind == "f":
            return np.fmod(x, y)
        return np.where(y == 0, 0, np.fmod(x, np.where(y == 0, 1, y)))

    def vjp(self, ct, out, x, y):
        quotient = emit(div, emit(sub, x, out), y)
        return ct, -(ct * quotient)


@register
class pow(Binary):
    """x ** y. The derivative in y is taken as 0 where x <= 0, that in x as 0 where y = 0."""

    name = "pow"

    def eval(self, x, y):
        return np.power(x, y)

    def vjp(self, ct, out, x, y):
        from .unary import log

        constant = emit(eq, y, lit_like(0, y))  # 0 ** -1 must not meet the factor 0
        power = emit(pow, x, emit(select, constant, lit_like(1, y), y - 1))
        gx = ct * y * power
        positive = emit(lt, lit_like(0, x), x)
        safe = emit(select, positive, x, lit_like(1, x))
        return gx, ct * out * emit(log, safe)


@register
class max(Binary):
    """The larger; the cotangent is halved where both are equal."""

    name = "max"

    def eval(self, x, y):
        return np.maximum(x, y)

    def vjp(self, ct, out, x, y):
        gx = ct * _share(y, x)
        return gx, ct - gx


@register
class min(Binary):
    """The smaller; the cotangent is halved where both are equal."""

    name = "min"

    def eval(self, x, y):
        return np.minimum(x, y)

    def vjp(self, ct, out, x, y):
        gx = ct * _share(x, y)
        return gx, ct - gx


def _share(low: Value, high: Value) -> Value:
    """1 where low < high, 1/2 where equal, 0 where low > high."""
    one, half, zero = (lit_like(v, low) for v in (1, 0.5, 0))
    tie = emit(select, emit(eq, low, high), half, zero)
    return emit(select, emit(lt, low, high), one, tie)


# --- comparison and logic -----------------------------------------------------------------------


@register
class eq(Compare):
    name = "eq"
    accepts = ANY

    def eval(self, x, y):
        return x == y


@register
class lt(Compare):
    name = "lt"

    def eval(self, x, y):
        return x < y


@register
class le(Compare):
    name = "le"

    def eval(self, x, y):
        return x <= y


class Logic(Binary):
    accepts = LOGIC

    def vjp(self, ct, out, *ins):
        return None, None


@register
class and_(Logic):
    name = "and_"

    def eval(self, x, y):
        return x & y


@register
class or_(Logic):
    name = "or_"

    def eval(self, x, y):
        return x | y


@register
class xor_(Logic):
    name = "xor_"

    def eval(self, x, y):
        return x ^ y


class Shift(Binary):
    """Operands are u32; `y` is below 32, as devices do not agree on what larger ones do."""

    def typeof(self, *avals: Aval) -> Aval:
        out = super().typeof(*avals)
        if out.dtype is not u32:
            raise TypeError(f"{self.name} shifts u32 values, got {out}; use bitcast")
        return out

    def vjp(self, ct, out, *ins):
        return None, None


@register
class shl(Shift):
    """x * 2**y modulo 2**32."""

    name = "shl"

    def eval(self, x, y):
        return np.left_shift(x, y & 31)


@register
class shr(Shift):
    """x // 2**y."""

    name = "shr"

    def eval(self, x, y):
        return np.right_shift(x, y & 31)


@register
class not_(Elementwise):
    name = "not_"
    accepts = LOGIC

    def eval(self, x):
        return ~x

    def vjp(self, ct, out, x):
        return (None,)


@register
class select(Elementwise):
    """cond ? x : y. Neither branch's NaN leaks through the other."""

    name = "select"
    arity = 3
    sums = ((False, True, True),)

    def typeof(self, cond: Aval, x: Aval, y: Aval) -> Aval:
        if cond.dtype is not bool_:
            raise TypeError(f"select needs a bool condition, got {cond}")
        if not cond.shape == x.shape == y.shape:
            raise TypeError(f"select got incompatible shapes: {cond}, {x} and {y}")
        if x.dtype is not y.dtype:
            raise TypeError(f"select requires equal dtypes, got {x} and {y}; use .astype")
        return x

    def eval(self, cond, x, y):
        return np.where(cond, x, y)

    def vjp(self, ct, out, cond, x, y):
        zero = lit_like(0, ct)
        return None, emit(select, cond, ct, zero), emit(select, cond, zero, ct)
