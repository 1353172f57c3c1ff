"""Leaves, logic, selection and conversion of scalar expressions.

Invariant: a condition that is constant never reaches a node, and a conversion keeps the integer
range wherever the value is kept.
"""

from __future__ import annotations

import math

import numpy as np

from ir.dtypes import DType, bool_, f32, u32

from .compare import ne
from .evaluate import BINARY
from .node import LIMITS, Expr, integer, node, truth

# --- leaves -------------------------------------------------------------------------------


def const(value: float | int | bool, dtype: DType) -> Expr:
    """A constant, rounded to the dtype. Integers wrap modulo 2**32."""
    if dtype is bool_:
        return truth(bool(value))
    if dtype.is_integer:
        return integer(int(value), dtype)
    with np.errstate(over="ignore"):
        return node("const", (), dtype, float(dtype.np.type(value)))


def index(n: int) -> Expr:
    """The u32 constant n."""
    return integer(n, u32)


def load(tensor: int, at: Expr | int, dtype: DType) -> Expr:
    """Element `at` (u32, flat) of the tensor with binding number `tensor`."""
    if not isinstance(at, Expr) or at.lo == at.hi:
        at = index(at.lo if isinstance(at, Expr) else at)
    return node("load", (at,), dtype, tensor)


def like_typed(name: str, args: tuple) -> tuple[Expr, ...]:
    """The operands as Exprs of one dtype."""
    dtype = next((a.dtype for a in args if isinstance(a, Expr)), f32)
    typed = tuple([a if isinstance(a, Expr) else const(a, dtype) for a in args])
    if any(a.dtype is not dtype for a in typed):
        raise TypeError(f"{name} needs operands of one dtype, got {[a.dtype for a in typed]}")
    return typed


# --- logic and selection ------------------------------------------------------------------------


def and_(a: Expr, b: Expr) -> Expr:
    """Logical and of bools, bitwise of integers."""
    return _logic("and_", a, b, absorbing=0)


def or_(a: Expr, b: Expr) -> Expr:
    """Logical or of bools, bitwise of integers."""
    return _logic("or_", a, b, absorbing=-1)


def xor_(a: Expr, b: Expr) -> Expr:
    """Exclusive or, bitwise for integers."""
    if a is b:
        return const(0, a.dtype)
    return _logic("xor_", a, b, absorbing=None)


def _logic(name: str, a: Expr, b: Expr, absorbing: int | None) -> Expr:
    a, b = like_typed(name, (a, b))
    if a is b:
        return a
    if a.op == "const":
        a, b = b, a
    if b.op == "const":
        neutral = 0 if absorbing is None else ~absorbing
        if b is const(neutral, b.dtype):
            return a
        if absorbing is not None and b is const(absorbing, b.dtype):
            return b
    return _bitwise(name, a, b)


def _bitwise(name: str, a: Expr, b: Expr) -> Expr:
    if a.op == b.op == "const":
        return const(BINARY[name](a.value, b.value), a.dtype)
    if a.dtype is bool_ or min(a.lo, b.lo) < 0:
        return node(name, (a, b), a.dtype)
    hi = min(a.hi, b.hi) if name == "and_" else (1 << max(a.hi, b.hi).bit_length()) - 1
    return node(name, (a, b), a.dtype, None, 0, hi)


def not_(x: Expr) -> Expr:
    """Logical not of bools, bitwise complement of integers."""
    if x.op == "const":
        return const(not x.value if x.dtype is bool_ else ~x.value, x.dtype)
    if x.op == "not_":
        return x.args[0]
    opposite = {"lt": "ge", "ge": "lt", "eq": "ne", "ne": "eq"}.get(x.op)
    if opposite and x.args[0].dtype.is_integer:  # among floats a NaN makes both false
        return node(opposite, x.args, bool_)
    return node("not_", (x,), x.dtype)


def select(cond: Expr, a: Expr | float, b: Expr | float) -> Expr:
    """cond ? a : b."""
    a, b = like_typed("select", (a, b))
    if a is b:
        return a
    if cond.op == "const":
        return a if cond.value else b
    if cond.op == "not_":
        return select(cond.args[0], b, a)
    if a.dtype in LIMITS:
        lo, hi = min(a.lo, b.lo), max(a.hi, b.hi)
        return node("select", (cond, a, b), a.dtype, None, lo, hi)
    return node("select", (cond, a, b), a.dtype)


# --- conversion ---------------------------------------------------------------------------------


def cast(x: Expr, dtype: DType) -> Expr:
    """x as `dtype`: floats truncate towards zero, integers wrap, bool is x != 0."""
    if x.dtype is dtype:
        return x
    if dtype is bool_:
        return _nonzero(x)
    if x.op == "const":
        return _cast_const(x.value, dtype)
    if dtype in LIMITS:
        return _cast_to_integer(x, dtype)
    return node("cast", (x,), dtype)


def _cast_const(value: float | int | bool, dtype: DType) -> Expr:
    if dtype in LIMITS and isinstance(value, float):  # device conversion saturates
        lo, hi = LIMITS[dtype]
        value = 0 if math.isnan(value) else min(max(value, lo), hi)
    return const(value, dtype)


def _cast_to_integer(x: Expr, dtype: DType) -> Expr:
    if x.dtype is bool_:
        return node("cast", (x,), dtype, None, 0, 1)
    if x.dtype.is_float:
        return node("cast", (x,), dtype)
    if x.op == "cast" and x.args[0].dtype is dtype:  # u32 -> i32 -> u32 keeps the bits
        return x.args[0]
    lo, hi = LIMITS[dtype]
    known = (x.lo, x.hi) if lo <= x.lo and x.hi <= hi else (lo, hi)
    return node("cast", (x,), dtype, None, *known)


def rounded(x: Expr, dtype: DType) -> Expr:
    """The f32 `x` rounded to a value that a packed dtype has; an f32 still."""
    if x.op == "const" and math.isfinite(value := float(dtype.np.type(x.value))):
        return const(value, f32)
    name = f"round_{dtype.name}"
    return x if x.op == name else node(name, (x,), f32)


def bitcast(x: Expr, dtype: DType) -> Expr:
    """The bits of x read as another dtype of 4 bytes."""
    if bool_ in (x.dtype, dtype) or x.dtype.itemsize != dtype.itemsize:
        raise TypeError(f"bitcast needs number types of equal size, got {x.dtype} to {dtype}")
    if x.dtype is dtype:
        return x
    if not (x.dtype.is_float or dtype.is_float):
        return cast(x, dtype)
    if x.op == "bitcast":
        return bitcast(x.args[0], dtype)
    return node("bitcast", (x,), dtype)


def _nonzero(x: Expr) -> Expr:
    return ne(x, 0) if x.dtype in LIMITS else node("ne", (x, const(0, x.dtype)), bool_)
