"""Integer arithmetic that simplifies itself while it is built.

Invariant: sums live in one linear form, `c0*t0 + c1*t1 + … + c` over non-linear terms, sorted, so
equal indices are one node. Arithmetic is exact modulo 2**32, as in WGSL; quotients, remainders and
comparisons are simplified only where ranges prove that nothing wraps.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import gcd

from ir.dtypes import DType

from .node import LIMITS, Expr, integer, node, on_clear, pair

_MASK = 2**32 - 1
_splits: dict[tuple[Expr, int], tuple[Expr, Expr] | None] = {}
on_clear(_splits.clear)

# --- linear forms -------------------------------------------------------------------------------
# While being built, a form is a dict {term: coefficient} whose key None holds the constant.

Form = dict[Expr | None, int]


def terms_of(x: Expr) -> Iterable[tuple[Expr | None, int]]:
    """(term, coefficient) pairs of the linear form of x; the term of the constant is None."""
    if x.op == "linear":
        return zip((*x.args, None), x.value, strict=True)
    return ((None, x.value),) if x.op == "const" else ((x, 1),)


def accumulate(form: Form, x: Expr, factor: int) -> None:
    """Add factor * x to a form, in place."""
    for term, coefficient in terms_of(x):
        form[term] = form.get(term, 0) + coefficient * factor


def bounds(form: Form) -> tuple[int, int]:
    """The inclusive range of a form, by the ranges of its terms."""
    lo = hi = 0
    for term, k in form.items():
        if term is None:
            lo, hi = lo + k, hi + k
        elif k > 0:
            lo, hi = lo + k * term.lo, hi + k * term.hi
        else:
            lo, hi = lo + k * term.hi, hi + k * term.lo
    return lo, hi


def exact(x: Expr) -> bool:
    """Whether the linear form of x is its value as an integer, not only modulo 2**32."""
    return x.op != "linear" or (x.lo, x.hi) != LIMITS[x.dtype]


def rank(item: tuple[Expr, int]) -> tuple:
    """Sort key of a term and its coefficient: large coefficients first, then symbols by name."""
    term, k = item
    return (-abs(k), term.value, 0) if term.op == "sym" else (-abs(k), "~", term.key)


def linear(form: Form, dtype: DType) -> Expr:
    """The canonical node of a form; consumes the form."""
    const = form.pop(None, 0)
    for term in [term for term in form if term.lo == term.hi]:
        const += form.pop(term) * term.lo
    if len(form) > 1:
        form[None] = const
        while _rejoin(form):
            pass
        const = form.pop(None)
    lo, hi = bounds(form)
    lo, hi = lo + const, hi + const
    limits = LIMITS[dtype]
    if lo < limits[0] or hi > limits[1]:
        lo, hi = limits
        const = _residue(const, dtype)
        form = {term: _residue(k, dtype) for term, k in form.items()}
    items = [item for item in form.items() if item[1]]
    if not items:
        return integer(const, dtype)
    if len(items) == 1 and items[0][1] == 1 and const == 0:
        return items[0][0]
    items.sort(key=rank)
    coefficients = tuple([k for _, k in items])
    return node("linear", tuple([t for t, _ in items]), dtype, (*coefficients, const), lo, hi)


def _residue(k: int, dtype: DType) -> int:
    """k modulo 2**32; small negatives stay negative, as `x - 3u` reads better than its twin."""
    k &= _MASK
    return k - 2**32 if k > LIMITS[dtype][1] or k >= 2**32 - 2**20 else k


def _rejoin(form: Form) -> bool:
    """Merge one quotient with its remainder: y/b*(b*k) + y%b*k -> y*k, and its two relatives."""
    for term, k in form.items():
        b = _literal_divisor(term) if k and term is not None else None
        if b is None or term.args[0].lo < 0:
            continue
        found = _partner(form, term, k, term.args[0], b)
        if found is not None:
            partner, merged, factor = found
            form[term] = form[partner] = 0
            accumulate(form, merged, factor)
            return True
    return False


def _partner(form: Form, term: Expr, k: int, y: Expr, b: int) -> tuple[Expr, Expr, int] | None:
    """(other term, what both make together, its factor) for `term` = y/b or y%b with factor k."""
    if term.op == "div":  # y*f - y/b*(b*f) -> (y%b)*f
        factor = -k // b
        return (y, mod(y, b), factor) if k % b == 0 and form.get(y) == factor else None
    coefficients = form.values()  # looked at first, as most sums have nothing to join
    if k * b in coefficients:
        whole = floordiv(y, b)
        if whole.op != "const" and form.get(whole) == k * b:
            return whole, y, k
    a = _literal_divisor(y)
    if a and y.op == "div" and k % a == 0 and k // a in coefficients:
        x = y.args[0]  # (x/a)%b*(a*f) + x%a*f -> x%(a*b)*f
        low = mod(x, a)
        if low.op != "const" and form.get(low) == k // a:
            return low, mod(x, a * b), k // a
    return None


def add(a: Expr | int, b: Expr | int) -> Expr:
    """a + b modulo 2**32."""
    a, b = pair(a, b)
    form = dict(terms_of(a))
    accumulate(form, b, 1)
    return linear(form, a.dtype)


def sub(a: Expr | int, b: Expr | int) -> Expr:
    """a - b modulo 2**32; where a < b is possible the range is that of the whole dtype."""
    a, b = pair(a, b)
    form = dict(terms_of(a))
    accumulate(form, b, -1)
    return linear(form, a.dtype)


def mul(a: Expr | int, b: Expr | int) -> Expr:
    """a * b modulo 2**32; constants distribute over sums."""
    a, b = pair(a, b)
    if a.op == "const":
        a, b = b, a
    if b.op == "const":
        return linear({t: k * b.value for t, k in terms_of(a)}, a.dtype)
    factor = 1
    sides = []
    for x in (a, b):  # (x*4)*y -> 4*(x*y), so that products of strides stay visible
        if x.op == "linear" and len(x.args) == 1 and x.value[1] == 0 and exact(x):
            x, factor = x.args[0], factor * x.value[0]
        sides.append(x)
    if factor != 1:
        return mul(mul(*sides), factor)
    sides.sort(key=lambda x: rank((x, 1)))
    corners = [p * q for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    return node("mul", tuple(sides), a.dtype, None, *_inside(min(corners), max(corners), a.dtype))


def _inside(lo: int, hi: int, dtype: DType) -> tuple[int, int]:
    limits = LIMITS[dtype]
    return (lo, hi) if limits[0] <= lo and hi <= limits[1] else limits


# --- quotient and remainder ---------------------------------------------------------------------


def _constant(x: Expr, c: Expr | int) -> int | None:
    """The value of the divisor of x, None if it is not constant."""
    if isinstance(c, Expr):
        pair(x, c)
        value = c.value if c.op == "const" else None
        negative = x.lo < 0 or c.lo < 0
    else:
        value, negative = c, x.lo < 0 or c < 0
    if negative:
        raise ValueError(f"floordiv and mod take non-negative operands, got {x!r} and {c!r}")
    return value


def _literal_divisor(x: Expr) -> int | None:
    """b of the nodes y / b and y % b with a constant b."""
    if x.op == "div" or x.op == "rem":
        return x.args[1].value if x.args[1].op == "const" else None
    return None


def floordiv(x: Expr | int, divisor: Expr | int) -> Expr:
    """x // divisor of non-negative integers. Division by 0, as in an empty shape, gives 0."""
    if not isinstance(x, Expr):
        x, divisor = pair(x, divisor)
    c = _constant(x, divisor)
    if c is None:
        return node("div", (x, divisor), x.dtype, None, 0, x.hi // max(divisor.lo, 1))
    if c == 0:
        return integer(0, x.dtype)
    lo, hi = x.lo // c, x.hi // c
    if lo == hi:
        return integer(lo, x.dtype)
    if c == 1:
        return x
    inner = _literal_divisor(x)
    if inner and x.op == "div":
        return floordiv(x.args[0], inner * c)
    if inner and inner % c == 0:
        return mod(floordiv(x.args[0], c), inner // c)
    parts = _split(x, c)
    if parts:
        return parts[0]
    return node("div", (x, integer(c, x.dtype)), x.dtype, None, lo, hi)


def mod(x: Expr | int, divisor: Expr | int) -> Expr:
    """x % divisor of non-negative integers. The remainder by 0 is 0."""
    if not isinstance(x, Expr):
        x, divisor = pair(x, divisor)
    c = _constant(x, divisor)
    if c is None:
        return node("rem", (x, divisor), x.dtype, None, 0, min(x.hi, max(divisor.hi - 1, 0)))
    if c == 0:
        return integer(0, x.dtype)
    whole = x.lo // c
    if whole == x.hi // c:
        return sub(x, whole * c) if whole else x
    inner = _literal_divisor(x)
    if inner and x.op == "rem" and inner % c == 0:
        return mod(x.args[0], c)
    parts = _split(x, c)
    if parts:
        return parts[1]
    return node("rem", (x, integer(c, x.dtype)), x.dtype, None, 0, min(x.hi, c - 1))


def _split(x: Expr, c: int) -> tuple[Expr, Expr] | None:
    """(x // c, x % c) of a linear form, if that simplifies it."""
    if x.op != "linear" or not exact(x):
        return None
    key = (x, c)
    if key not in _splits:
        _splits[key] = _split_form(x, c)
    return _splits[key]


def _split_form(x: Expr, c: int) -> tuple[Expr, Expr] | None:
    """x = c*high + low: the multiples leave at once, and low is split at a smaller stride."""
    high: Form = {}
    low: Form = {}
    for term, k in terms_of(x):
        quotient = k // c if k >= 0 or term is None else -(-k // c)
        high[term], low[term] = quotient, k - quotient * c
    top = LIMITS[x.dtype][1]
    if not (within(high, top) and within(low, top)):
        high, low = {}, dict(terms_of(x))
    moved = any(high.values())
    whole, rest = linear(high, x.dtype), linear(dict(low), x.dtype)
    if rest.hi < c:
        return whole, rest
    parts = _split_stride(low, c, x.dtype)
    if parts is None and moved:
        parts = floordiv(rest, c), mod(rest, c)
    return (add(whole, parts[0]), parts[1]) if parts else None


def within(form: Form, top: int) -> bool:
    """Whether ranges prove 0 <= form <= top."""
    lo, hi = bounds(form)
    return lo >= 0 and hi <= top


def _split_stride(form: Form, c: int, dtype: DType) -> tuple[Expr, Expr] | None:
    """Where form = g*outer + inner, inner < g and g divides c, divide outer by c/g instead."""
    g = c
    for k in sorted((abs(k) for t, k in form.items() if t is not None and k), reverse=True):
        g = gcd(g, k)
        if g == 1:
            return None
        outer = {t: k // g for t, k in form.items() if t is None or k % g == 0}
        inner = {t: k for t, k in form.items() if t is not None and k % g}
        inner[None] = form.get(None, 0) % g
        if within(inner, g - 1) and within(outer, LIMITS[dtype][1]):
            whole = linear(outer, dtype)
            low = add(mul(mod(whole, c // g), g), linear(inner, dtype))
            return floordiv(whole, c // g), low
    return None
