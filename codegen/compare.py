"""Integer comparisons, minima and maxima, decided from ranges where possible.

Invariant: among integers only `lt`, `ge`, `eq` and `ne` nodes exist, with a constant operand always
on the right and common strides divided out, so equal conditions are one node.
"""

from __future__ import annotations

from math import gcd

from ir.dtypes import bool_

from .index import accumulate, add, bounds, exact, linear, mul, rank, terms_of, within
from .node import LIMITS, Expr, integer, node, pair, truth


def _difference(a: Expr, b: Expr) -> tuple[int, int]:
    """Bounds of a - b as integers."""
    if exact(a) and exact(b):
        form = dict(terms_of(a))
        accumulate(form, b, -1)
        return bounds(form)
    return a.lo - b.hi, a.hi - b.lo


def _scaled(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """a, b with the same order, divided by a stride g: (g*x + y < g*c) is (x < c) for y < g."""
    if a.op != "linear" or b.op != "const" or not exact(a):
        return a, b
    form = dict(terms_of(a))
    bound = b.value - form.pop(None)
    top = LIMITS[a.dtype][1]
    if not (within(form, top) and 0 <= bound <= top):
        return a, b
    g = 0
    for k in sorted(map(abs, form.values()), reverse=True):
        g = gcd(g, k)
        inner = {t: k for t, k in form.items() if k % g}
        outer = {t: k // g for t, k in form.items() if k % g == 0}
        whole_multiple = bound % g == 0 or not inner
        if whole_multiple and within(inner, g - 1) and within(outer, top):
            return linear(outer, a.dtype), integer(-(-bound // g), a.dtype)
    return linear(form, a.dtype), integer(bound, a.dtype)


def lt(a: Expr | int, b: Expr | int) -> Expr:
    """a < b of integers."""
    a, b = pair(a, b)
    lo, hi = _difference(a, b)
    if hi < 0 or lo >= 0:
        return truth(hi < 0)
    if a.op == "const":
        return ge(b, integer(a.value + 1, a.dtype))
    return node("lt", _scaled(a, b), bool_)


def ge(a: Expr | int, b: Expr | int) -> Expr:
    """a >= b of integers."""
    a, b = pair(a, b)
    lo, hi = _difference(a, b)
    if hi < 0 or lo >= 0:
        return truth(lo >= 0)
    if a.op == "const":
        return lt(b, integer(a.value + 1, a.dtype))
    return node("ge", _scaled(a, b), bool_)


def gt(a: Expr | int, b: Expr | int) -> Expr:
    """a > b of integers, spelt with lt and ge only."""
    a, b = pair(a, b)
    if b.op == "const" and b.value < LIMITS[b.dtype][1]:
        return ge(a, b.value + 1)
    return lt(b, a)


def le(a: Expr | int, b: Expr | int) -> Expr:
    """a <= b of integers, spelt with lt and ge only."""
    a, b = pair(a, b)
    if b.op == "const" and b.value < LIMITS[b.dtype][1]:
        return lt(a, b.value + 1)
    return ge(b, a)


def eq(a: Expr | int, b: Expr | int) -> Expr:
    """a == b of integers."""
    a, b = pair(a, b)
    lo, hi = _difference(a, b)
    if lo > 0 or hi < 0 or lo == hi == 0:
        return truth(lo == hi == 0)
    if a.op == "const" or (b.op != "const" and rank((b, 1)) < rank((a, 1))):
        a, b = b, a
    return node("eq", (a, b), bool_)


def ne(a: Expr | int, b: Expr | int) -> Expr:
    """a != b of integers."""
    same = eq(a, b)
    return truth(not same.value) if same.op == "const" else node("ne", same.args, bool_)


def minimum(a: Expr | int, b: Expr | int) -> Expr:
    """min(a, b) of integers."""
    a, b = pair(a, b)
    lo, hi = _difference(a, b)
    if hi <= 0 or lo >= 0:
        return a if hi <= 0 else b
    if a.op == "const":
        a, b = b, a
    return node("min", (a, b), a.dtype, None, min(a.lo, b.lo), min(a.hi, b.hi))


def maximum(a: Expr | int, b: Expr | int) -> Expr:
    """max(a, b) of integers."""
    a, b = pair(a, b)
    lo, hi = _difference(a, b)
    if hi <= 0 or lo >= 0:
        return a if lo >= 0 else b
    if a.op == "const":
        a, b = b, a
    return node("max", (a, b), a.dtype, None, max(a.lo, b.lo), max(a.hi, b.hi))


def inside(x: Expr, n: int) -> Expr:
    """x where x < n; elsewhere some index below n, chosen so that strides stay visible.

    For loads whose value is not used out of range. `x` may have wrapped below 0: of g*y + z with
    z < g and g | n only y is clamped, so four lanes at a multiple of 4 remain one aligned vec4.
    """
    if exact(x) and x.hi < n:
        return x
    form = dict(terms_of(x))
    const = form.pop(None, 0)
    g = n
    for k in sorted(map(abs, form.values()), reverse=True):
        g = gcd(g, k)
        inner = {t: k for t, k in form.items() if k % g} | {None: const % g}
        if g > 1 and within(inner, g - 1):
            outer = {t: k // g for t, k in form.items() if k % g == 0} | {None: const // g}
            clamped = minimum(linear(outer, x.dtype), n // g - 1)
            return add(mul(clamped, g), linear(inner, x.dtype))
    return minimum(x, n - 1)
