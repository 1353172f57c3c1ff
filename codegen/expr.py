"""Scalar expressions inside kernels: construction, queries and substitution.

Invariant: constructors simplify, so an Expr is always in canonical form. Integers follow the exact
rules of `index` and `compare`; floats are folded only where no rounding, NaN or infinity can show
(x*1, x+0, x/1, constants), never x*0 and never a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from ir.dtypes import DType, bool_

from .compare import eq, ge, inside, lt, maximum, minimum
from .evaluate import BINARY, UNARY, evaluate
from .index import add, floordiv, mod, mul, sub
from .integers import INTEGER
from .node import Expr, clear, integer, node, sym
from .scalar import (
    and_,
    bitcast,
    cast,
    const,
    index,
    like_typed,
    load,
    not_,
    or_,
    rounded,
    select,
    xor_,
)
from .traverse import depends, divisible, loads, stride, walk

__all__ = [
    "Expr",
    "add",
    "and_",
    "bitcast",
    "cast",
    "clear",
    "const",
    "depends",
    "divisible",
    "eq",
    "evaluate",
    "floordiv",
    "ge",
    "index",
    "inside",
    "load",
    "loads",
    "lt",
    "maximum",
    "minimum",
    "mod",
    "mul",
    "not_",
    "op",
    "or_",
    "rounded",
    "select",
    "stride",
    "sub",
    "substitute",
    "sym",
    "walk",
    "xor_",
]

_ALIASES = {"and": "and_", "or": "or_", "not": "not_", "xor": "xor_", "floordiv": "div"}
_LOGIC: dict[str, Callable[..., Expr]] = {"and_": and_, "or_": or_, "xor_": xor_, "not_": not_}
_COMPARISONS = frozenset(("eq", "ne", "lt", "le", "gt", "ge"))
_ARITY = {"select": 3, "fma": 3, "cast": 1, "bitcast": 1, "isfinite": 1, "not_": 1}
_ARITY |= dict.fromkeys(UNARY, 1) | dict.fromkeys(BINARY, 2)


def op(name: str, *args: Expr | float, dtype: DType | None = None) -> Expr:
    """The elementwise op `name`, named as the IR's primitive; plain numbers take the other's dtype.

    `dtype` is the target of cast and bitcast, elsewhere ignored. Raises TypeError for an unknown
    op, a wrong number of operands or operands of unlike dtypes.
    """
    name = _ALIASES.get(name, name)
    if _ARITY.get(name) != len(args):
        known = (
            f"takes {_ARITY[name]} operands, got {len(args)}" if name in _ARITY else "is unknown"
        )
        raise TypeError(f"elementwise op {name!r} {known}")
    if name in ("cast", "bitcast"):
        return (cast if name == "cast" else bitcast)(args[0], dtype)
    if name == "select":
        return select(*args)
    args = like_typed(name, args)
    if name in _LOGIC:
        return _LOGIC[name](*args)
    if args[0].dtype.is_integer and name in INTEGER:
        return INTEGER[name](*args)
    folded = _FLOAT[name](*args) if name in _FLOAT and args[0].dtype.is_float else None
    return folded if folded is not None else _elementwise(name, args)


def _elementwise(name: str, args: tuple[Expr, ...]) -> Expr:
    dtype = bool_ if name in _COMPARISONS or name == "isfinite" else args[0].dtype
    if name not in _COMPARISONS and all(a.op == "const" for a in args):
        with np.errstate(all="ignore"):
            return const(evaluate(node(name, args, dtype), {}, []).item(), dtype)
    return node(name, args, dtype)


# --- float ops ----------------------------------------------------------------------------------


def _is(x: Expr, value: float) -> bool:
    return x.op == "const" and x.value == value


def _float_add(a: Expr, b: Expr) -> Expr | None:
    if _is(a, 0.0) or _is(b, 0.0):
        return b if _is(a, 0.0) else a
    if b.op == "neg":
        return op("sub", a, b.args[0])
    return op("sub", b, a.args[0]) if a.op == "neg" else None


def _float_sub(a: Expr, b: Expr) -> Expr | None:
    if _is(b, 0.0):
        return a
    if b.op == "neg":
        return op("add", a, b.args[0])
    return op("neg", b) if _is(a, 0.0) else None


def _float_mul(a: Expr, b: Expr) -> Expr | None:
    if a.op == "const" and b.op != "const":
        a, b = b, a
    if _is(b, 1.0):
        return a
    return op("neg", a) if _is(b, -1.0) else None


def _float_div(a: Expr, b: Expr) -> Expr | None:
    if _is(b, 0.0):  # drivers leave division by a constant zero undefined
        return op("mul", a, const(math.copysign(math.inf, b.value), b.dtype))
    return a if _is(b, 1.0) else None


def _float_neg(x: Expr) -> Expr | None:
    if x.op == "const":
        return const(-x.value, x.dtype)
    return x.args[0] if x.op == "neg" else None


def _float_pow(x: Expr, n: Expr) -> Expr | None:
    """Small constant exponents become products and roots, which are defined for all x."""
    if n.op != "const" or x.op == "const":
        return None
    if n.value == 0.0:
        return const(1.0, x.dtype)
    if abs(n.value) == 0.5:
        return op("sqrt" if n.value > 0 else "rsqrt", x)
    if n.value != int(n.value) or abs(n.value) > 8:
        return None
    product = _product(x, int(abs(n.value)))
    return product if n.value > 0 else op("div", const(1.0, x.dtype), product)


def _product(x: Expr, n: int) -> Expr:
    if n == 1:
        return x
    half = _product(x, n // 2)
    square = op("mul", half, half)
    return op("mul", square, x) if n % 2 else square


_FLOAT: dict[str, Callable[..., Expr | None]] = {
    "add": _float_add,
    "sub": _float_sub,
    "mul": _float_mul,
    "div": _float_div,
    "neg": _float_neg,
    "pow": _float_pow,
}


# --- substitution -------------------------------------------------------------------------------


def substitute(expr: Expr, replacements: Mapping[Expr, Expr]) -> Expr:
    """`expr` with every occurrence of the keys replaced, simplified anew."""
    done: dict[Expr, Expr] = dict(replacements)
    for x in walk(expr):
        if x not in done:
            args = tuple([done[a] for a in x.args])
            done[x] = x if args == x.args else rebuild(x, args)
    return done[expr]


def rebuild(x: Expr, args: tuple[Expr, ...]) -> Expr:
    """The op of `x` applied to other operands."""
    if x.op == "load":
        return load(x.value, args[0], x.dtype)
    if x.op == "linear":
        total = integer(x.value[-1], x.dtype)
        for arg, coefficient in zip(args, x.value, strict=False):
            total = add(total, mul(arg, coefficient))
        return total
    return op(x.op, *args, dtype=x.dtype)
