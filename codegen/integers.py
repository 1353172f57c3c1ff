"""Integer elementwise ops with the meaning of the IR's primitives.

Invariant: quotients truncate towards zero, remainders take the sign of the dividend, both are 0
for a divisor of 0; operands proven non-negative go through the index simplifier.
"""

from __future__ import annotations

from collections.abc import Callable

from . import compare
from .evaluate import evaluate
from .index import add, floordiv, linear, mod, mul, sub, terms_of
from .node import LIMITS, Expr, integer, node
from .scalar import and_, select


def _natural(a: Expr, b: Expr) -> bool:
    return a.lo >= 0 and b.lo >= 0 and not (b.op == "const" and b.value == 0)


def _div(a: Expr, b: Expr) -> Expr:
    """Integer quotient towards zero; 0 where b == 0."""
    if _natural(a, b):
        return floordiv(a, b)
    return a if b is integer(1, b.dtype) else _signed("div", a, b)


def _rem(a: Expr, b: Expr) -> Expr:
    """Integer remainder with the sign of a; 0 where b == 0."""
    return mod(a, b) if _natural(a, b) else _signed("rem", a, b)


def _signed(name: str, a: Expr, b: Expr) -> Expr:
    if b is integer(0, b.dtype):
        return b
    divided = node(name, (a, b), a.dtype)
    both_known = a.op == b.op == "const"
    return integer(int(evaluate(divided, {}, [])), a.dtype) if both_known else divided


def _integer_power(x: Expr, n: Expr) -> Expr:
    """x**n by squaring; an n that is not constant is taken bit by bit."""
    if n.op == "const" and n.value < 0:
        raise ValueError(f"integer power needs an exponent >= 0, got {n.value}")
    result = integer(1, x.dtype)
    for bit in range(max(n.hi, 0).bit_length()):
        if n.op == "const":
            result = mul(result, x) if n.value >> bit & 1 else result
        else:
            taken = compare.ne(and_(n, integer(1 << bit, n.dtype)), 0)
            result = select(taken, mul(result, x), result)
        x = mul(x, x)
    return result


def _abs(x: Expr) -> Expr:
    if x.lo >= 0:
        return x
    if x.op == "const":
        return integer(abs(x.value), x.dtype)
    low, high = LIMITS[x.dtype]
    known = (low, high) if x.lo == low else (0, max(-x.lo, x.hi))
    return node("abs", (x,), x.dtype, None, *known)


def _sign(x: Expr) -> Expr:
    if x.lo >= 0:
        return compare.minimum(x, 1)
    if x.hi < 0 or x.op == "const":
        return integer(-1, x.dtype)
    return node("sign", (x,), x.dtype, None, -1, min(x.hi, 1))


def _shl(x: Expr, n: Expr) -> Expr:
    if n.op == "const" and n.value < 32:
        return mul(x, 1 << n.value)
    return node("shl", (x, n), x.dtype)


def _shr(x: Expr, n: Expr) -> Expr:
    if n.op == "const" and n.value < 32 and x.lo >= 0:
        return node("shr", (x, n), x.dtype, None, x.lo >> n.value, x.hi >> n.value)
    return node("shr", (x, n), x.dtype)


def _sum(a: Expr, b: Expr) -> Expr:
    return _named("add", a, b, add(a, b))


def _difference(a: Expr, b: Expr) -> Expr:
    return _named("sub", a, b, sub(a, b))


def _named(name: str, a: Expr, b: Expr, flat: Expr) -> Expr:
    """A sum of data that may wrap keeps its operands: flattened into one linear form it could not
    be simplified further, and sums shared by several others would be added up again in each."""
    wraps = flat.op == "linear" and (flat.lo, flat.hi) == LIMITS[flat.dtype]
    if not wraps or len(flat.args) < 2 or "const" in (a.op, b.op):
        return flat
    return node(name, (a, b), flat.dtype)


INTEGER: dict[str, Callable[..., Expr]] = {
    "add": _sum,
    "sub": _difference,
    "mul": mul,
    "div": _div,
    "rem": _rem,
    "min": compare.minimum,
    "max": compare.maximum,
    "neg": lambda x: linear({t: -k for t, k in terms_of(x)}, x.dtype),
    "abs": _abs,
    "sign": _sign,
    "pow": _integer_power,
    "fma": lambda a, b, c: _sum(mul(a, b), c),
    "shl": _shl,
    "shr": _shr,
    "floor": lambda x: x,
    "eq": compare.eq,
    "ne": compare.ne,
    "lt": compare.lt,
    "ge": compare.ge,
    "gt": compare.gt,
    "le": compare.le,
}
