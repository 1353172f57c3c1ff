"""Spelling of literals, types and operators in WGSL.

Invariant: every text is valid in naga and in Tint, carries the precedence of its outermost
operator, and is parenthesised exactly where the grammar (which forbids mixes such as `a & b + c`
or `a < b < c`) or the order of evaluation asks for it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ir.dtypes import DType, bool_, f16, f32, i32, u32

from .compare import maximum, ne
from .expr import Expr, and_, const, not_, op, select
from .node import LIMITS, integer, node

ATOM, UNARY, PRODUCT, SUM, SHIFT, RELATION, BITS, LOGIC = 9, 8, 7, 6, 5, 4, 3, 2
# A builtin's range of exact saturation: |tanh| == 1 in f32 and f16 well inside, and no overflow
# in implementations that go through exp.
_TANH_LIMIT = 15.0


class Text(NamedTuple):
    """WGSL of one value; `wide` if it is a vec4."""

    text: str
    level: int = ATOM
    wide: bool = False


# --- literals and types -------------------------------------------------------------------------


def literal(value: float | int | bool, dtype: DType) -> str:
    """A short decimal literal that denotes exactly `value` rounded to the dtype.

    Infinities and NaN, which WGSL has no constants for, are made of their bits. Raises ValueError
    for integers outside the dtype.
    """
    if dtype is bool_:
        return "true" if value else "false"
    if dtype in LIMITS:
        lo, hi = LIMITS[dtype]
        if not lo <= value <= hi:
            raise ValueError(f"{value} is not a {dtype}: it must be in [{lo}, {hi}]")
        return f"{int(value)}u" if dtype is u32 else str(int(value))
    with np.errstate(over="ignore"):
        rounded = dtype.np.type(value)
    if not math.isfinite(rounded):
        made = f"float_of({int(np.float32(rounded).view(np.uint32)):#x}u)"
        return f"f16({made})" if dtype is f16 else made
    return _decimal(rounded) + ("h" if dtype is f16 else "")


def _decimal(value: np.floating) -> str:
    if abs(float(value)) < 1e9 and float(value).is_integer():
        return f"{value:.1f}"
    # The shortest decimal of the largest f32 lies above it, where a strict compiler sees overflow.
    text = str(value).replace("3.4028235e+38", "3.4028234e+38")
    digits, _, exponent = text.partition("e")
    return f"{digits}e{int(exponent)}" if exponent else digits


def value_type(dtype: DType, width: int = 1) -> str:
    """The type of a value: `f32`, or `vec4<f32>` for width 4."""
    return dtype.name if width == 1 else f"vec4<{dtype.name}>"


def storage_type(dtype: DType, width: int = 1) -> str:
    """The element type of a buffer; bools, and pairs of packed floats, are stored as u32."""
    return value_type(u32 if dtype is bool_ or dtype.packed else dtype, width)


# --- composite ops ------------------------------------------------------------------------------


def expand(x: Expr) -> Expr:
    """`x`, or an equal expression of simpler ops where WGSL's own op is not defined everywhere."""
    if x.op == "pow":
        return _expand_pow(*x.args)
    if x.op in ("div", "rem") and x.dtype in LIMITS:
        return _expand_division(x, *x.args)
    return x


def _expand_division(x: Expr, a: Expr, b: Expr) -> Expr:
    signed = x.op == "rem" and min(a.lo, b.lo) < 0
    if b.lo > 0 or b.hi < 0:
        return _remainder(a, b, node("div", (a, b), x.dtype)) if signed else x
    zero = integer(0, b.dtype)
    safe = maximum(b, 1) if b.lo == 0 else select(ne(b, zero), b, integer(1, b.dtype))
    if signed:
        divided = _remainder(a, safe, node("raw_div", (a, safe), x.dtype))
    else:
        divided = node("raw_" + x.op, (a, safe), x.dtype)
    return select(ne(b, zero), divided, zero)


def _remainder(a: Expr, b: Expr, quotient: Expr) -> Expr:
    """a - quotient * b: Vulkan leaves its own remainder undefined for negative operands."""
    return op("sub", a, op("mul", quotient, b))


def _expand_pow(x: Expr, n: Expr) -> Expr:
    """WGSL's pow is undefined for x < 0: give integral exponents their sign there."""
    zero, size = const(0.0, x.dtype), node("raw_pow", (op("abs", x), n), x.dtype)
    if n.op == "const":
        if n.value != int(n.value):
            return node("raw_pow", (x, n), x.dtype)
        return select(op("lt", x, zero), op("neg", size), size) if n.value % 2 else size
    half = op("mul", n, const(0.5, x.dtype))
    negative, integral = op("lt", x, zero), op("eq", op("floor", n), n)
    odd = and_(negative, op("ne", op("floor", half), half))
    fractional = node("raw_pow", (x, n), x.dtype)
    size = select(and_(negative, not_(integral)), fractional, size)
    signed = select(and_(odd, integral), op("neg", size), size)
    return select(op("eq", n, zero), const(1.0, x.dtype), signed)


# --- operators ----------------------------------------------------------------------------------

_INFIX = {
    "add": ("+", SUM),
    "sub": ("-", SUM),
    "mul": ("*", PRODUCT),
    "div": ("/", PRODUCT),
    "raw_div": ("/", PRODUCT),
    "rem": ("%", PRODUCT),
    "raw_rem": ("%", PRODUCT),
    "shl": ("<<", SHIFT),
    "shr": (">>", SHIFT),
    "eq": ("==", RELATION),
    "ne": ("!=", RELATION),
    "lt": ("<", RELATION),
    "le": ("<=", RELATION),
    "gt": (">", RELATION),
    "ge": (">=", RELATION),
    "and_": ("&", BITS),
    "or_": ("|", BITS),
    "xor_": ("^", BITS),
}
# Least level of the (left, right) operand, where the same operator may repeat on the left.
_OPERANDS = {
    SUM: (SUM, PRODUCT),
    PRODUCT: (PRODUCT, UNARY),
    SHIFT: (UNARY, UNARY),
    RELATION: (SHIFT, SHIFT),
    BITS: (UNARY, UNARY),
    LOGIC: (RELATION, RELATION),
}
_CALLS = {"rsqrt": "inverseSqrt", "raw_pow": "pow"}
_EXPONENT = "0x7f800000u"


def within(x: Text, level: int) -> str:
    """x as an operand that must bind at least as tightly as `level`."""
    return x.text if x.level >= level else f"({x.text})"


def splat(x: Text, dtype: DType) -> Text:
    """x as a vec4."""
    return x if x.wide else Text(f"{value_type(dtype, 4)}({x.text})", ATOM, True)


def spell(x: Expr, args: list[Text]) -> Text:
    """The op of `x` (not a leaf, load or linear form) applied to spelled operands.

    It is a vec4 if any operand is; scalar operands are splat where WGSL does not mix.
    """
    wide = any(a.wide for a in args)
    if x.op in _INFIX:
        return _infix(x, args, wide)
    special = _SPECIAL.get(x.op)
    if special:
        return special(x, args, wide)
    if wide:
        args = [splat(a, e.dtype) for a, e in zip(args, x.args, strict=True)]
    return call(_CALLS.get(x.op, x.op), args, wide)


def call(function: str, args: list[Text], wide: bool) -> Text:
    return Text(f"{function}({', '.join(a.text for a in args)})", ATOM, wide)


def _infix(x: Expr, args: list[Text], wide: bool) -> Text:
    sign, level = _INFIX[x.op]
    operand = x.args[0].dtype
    if operand is bool_ and not wide:
        sign, level = {"&": ("&&", LOGIC), "|": ("||", LOGIC), "^": ("!=", RELATION)}.get(
            sign, (sign, level)
        )
    elif operand is bool_ and sign == "^":
        sign, level = "!=", RELATION
    left, right = args
    if wide and level not in (SUM, PRODUCT):
        left, right = splat(left, operand), splat(right, operand)
    if level == SUM and right.level == UNARY and right.text[1].isdigit():
        sign, right = ("-" if sign == "+" else "+"), Text(right.text[1:], ATOM, right.wide)
    return infix(sign, level, left, right, x.args[0].op == x.op)


def infix(sign: str, level: int, left: Text, right: Text, chained: bool = False) -> Text:
    """`left sign right`; `chained` if the left operand is made by the same operator."""
    on_left, on_right = _OPERANDS[level]
    if chained and left.level == level and level in (BITS, LOGIC):
        on_left = level
    text = f"{within(left, on_left)} {sign} {within(right, on_right)}"
    return Text(text, level, left.wide or right.wide)


def _negated(x: Expr, args: list[Text], wide: bool) -> Text:
    return Text("-" + within(args[0], ATOM), UNARY, wide)


def _inverted(x: Expr, args: list[Text], wide: bool) -> Text:
    return Text(("!" if x.dtype is bool_ else "~") + within(args[0], ATOM), UNARY, wide)


def _selected(x: Expr, args: list[Text], wide: bool) -> Text:
    cond, yes, no = args
    if wide:
        yes, no = splat(yes, x.dtype), splat(no, x.dtype)
    # `select(a < b, c > d, e)` would be read as the template list `a<b, c>`.
    parts = [Text(within(a, SUM)) if x.dtype is bool_ else a for a in (no, yes)]
    return call("select", [*parts, Text(within(cond, SUM)) if x.dtype is bool_ else cond], wide)


def _converted(x: Expr, args: list[Text], wide: bool) -> Text:
    kind = value_type(x.dtype, 4 if wide else 1)
    return call(kind if x.op == "cast" else f"bitcast<{kind}>", args, wide)


def _rounded(x: Expr, args: list[Text], wide: bool) -> Text:
    return call(f"{x.op}x4" if wide else x.op, args, wide)


def _logistic(x: Expr, args: list[Text], wide: bool) -> Text:
    one = literal(1.0, x.dtype)
    return Text(f"{one} / ({one} + exp(-{within(args[0], ATOM)}))", PRODUCT, wide)


def _tanh(x: Expr, args: list[Text], wide: bool) -> Text:
    ends = [Text(literal(end, x.dtype)) for end in (-_TANH_LIMIT, _TANH_LIMIT)]
    if wide:
        ends = [splat(end, x.dtype) for end in ends]
    return call("tanh", [call("clamp", [args[0], *ends], wide)], wide)


def _isfinite(x: Expr, args: list[Text], wide: bool) -> Text:
    """A test of the exponent's bits: devices may assume that no infinity or NaN occurs."""
    text, exponent = args[0].text, splat(Text(_EXPONENT), u32).text if wide else _EXPONENT
    if x.args[0].dtype is f16:
        text = f"{value_type(f32, 4 if wide else 1)}({text})"
    bits = f"bitcast<{value_type(u32, 4 if wide else 1)}>({text})"
    return Text(f"({bits} & {exponent}) != {exponent}", RELATION, wide)


_SPECIAL = {
    "neg": _negated,
    "not_": _inverted,
    "select": _selected,
    "cast": _converted,
    "bitcast": _converted,
    "logistic": _logistic,
    "tanh": _tanh,
    "isfinite": _isfinite,
    "round_bf16": _rounded,
    "round_half": _rounded,
}


# --- linear forms -------------------------------------------------------------------------------


def spell_linear(terms: list[tuple[Text, int]], const: int, dtype: DType) -> Text:
    """`t0 * k0 + t1 * k1 + … + const` with positive terms first; u32 has no negative literals."""
    terms = sorted(terms, key=lambda term: term[1] < 0)
    total: Text | None = None
    for text, k in terms:
        size = abs(k)
        product = text if size == 1 else infix("*", PRODUCT, text, _number(size, dtype))
        total = _added(total, product, k < 0, dtype)
    if const or total is None:
        total = _added(total, _number(abs(const), dtype), const < 0, dtype)
    return total


def _number(n: int, dtype: DType) -> Text:
    value = n if dtype is u32 else integer(n, i32).value
    return Text(literal(value, dtype), ATOM if value >= 0 else UNARY)


def _added(total: Text | None, x: Text, negative: bool, dtype: DType) -> Text:
    if total is None:
        return infix("-", SUM, _number(0, dtype), x) if negative else x
    return infix("-" if negative else "+", SUM, total, x)


def lane_steps(k: int, dtype: DType) -> Text:
    """The vec4 of k times the lane number."""
    steps = ", ".join(literal(integer(k * lane, dtype).value, dtype) for lane in range(4))
    return Text(f"{value_type(dtype, 4)}({steps})", ATOM, True)
