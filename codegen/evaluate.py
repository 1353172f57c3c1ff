"""Numpy meaning of expressions: the oracle of the simplifier and of the WGSL spelling.

Invariant: integers wrap modulo 2**32, integer division by zero gives 0, and every result has the
numpy dtype of its node.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ir.dtypes import DType, bf16, half, i32

from .node import Expr
from .traverse import walk

_MASK = np.uint64(2**32 - 1)


def _quotient(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return x / y
    x, y = np.asarray(x, np.int64), np.asarray(y, np.int64)
    return np.where(y == 0, 0, np.abs(x) // np.maximum(np.abs(y), 1) * np.sign(x) * np.sign(y))


def _remainder(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return np.fmod(x, y)
    x, y = np.asarray(x, np.int64), np.asarray(y, np.int64)
    return np.where(y == 0, 0, x - _quotient(x, y) * y)


def _product(x: Any, y: Any) -> Any:
    if np.asarray(x).dtype.kind == "f":
        return x * y
    return (_bits(x) * _bits(y)) & _MASK


def _bits(x: Any) -> Any:
    """An integer array modulo 2**32, as uint64."""
    return np.asarray(x).astype(np.int64).astype(np.uint64) & _MASK


def _logistic(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + e), e / (1 + e))


UNARY: dict[str, Callable] = {
    "neg": np.negative,
    "abs": np.abs,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "logistic": _logistic,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "floor": np.floor,
    "sign": np.sign,
    "not_": np.invert,
    "isfinite": np.isfinite,
    "round_bf16": lambda x: np.asarray(x).astype(bf16.np),
    "round_half": lambda x: np.asarray(x).astype(half.np),
}
BINARY: dict[str, Callable] = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": _product,
    "div": _quotient,
    "rem": _remainder,
    "pow": np.power,
    "max": np.maximum,
    "min": np.minimum,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "and_": np.bitwise_and,
    "or_": np.bitwise_or,
    "xor_": np.bitwise_xor,
    "shl": np.left_shift,
    "shr": np.right_shift,
}


def evaluate(expr: Expr, env: Mapping[str, Any], buffers: Sequence[np.ndarray]) -> np.ndarray:
    """The value of `expr`, with syms from `env` (numbers or equal-shaped arrays).

    `load` reads `buffers[tensor]` flat; a bool tensor may be given as bools or as u32.
    """
    values: dict[Expr, np.ndarray] = {}
    with np.errstate(all="ignore"):
        for x in walk(expr):
            values[x] = _value(x, [values[a] for a in x.args], env, buffers)
    return values[expr]


def _value(x: Expr, args: list[np.ndarray], env: Mapping, buffers: Sequence) -> np.ndarray:
    match x.op:
        case "const":
            raw = x.value
        case "sym":
            raw = env[x.value]
        case "load":
            raw = np.asarray(buffers[x.value]).reshape(-1)[args[0]]
        case "linear":
            raw = sum(_bits(a) * _bits(k) & _MASK for a, k in zip((*args, 1), x.value, strict=True))
        case "select":
            raw = np.where(*args)
        case "fma":
            raw = args[0] * args[1] + args[2]
        case "cast":
            raw = _converted(args[0], x.dtype)
        case "bitcast":
            raw = np.ascontiguousarray(args[0]).view(x.dtype.np).reshape(args[0].shape)
        case name:
            raw = (UNARY.get(name) or BINARY[name])(*args)
    return _typed(raw, x.dtype)


def _converted(x: np.ndarray, dtype: DType) -> np.ndarray:
    if x.dtype.kind == "f" and dtype.is_integer:
        info = np.iinfo(dtype.np)
        return np.clip(np.trunc(np.nan_to_num(x.astype(np.float64))), info.min, info.max)
    return x


def _typed(raw: Any, dtype: DType) -> np.ndarray:
    raw = np.asarray(raw)
    if dtype.is_integer and raw.dtype.kind in "iu":
        wrapped = _bits(raw).astype(np.uint32)
        return wrapped.view(np.int32) if dtype is i32 else wrapped
    return raw.astype(dtype.np)
