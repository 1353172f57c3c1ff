"""The dtypes that users name, and questions about them.

Invariant: wherever numpy takes a dtype it takes these; 64-bit names exist, and stand for their
32-bit twins with a warning (`promotion.requested`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ir.dtypes import DType, bf16, f32, i32
from ir.dtypes import dtype as dtype_of
from ir.dtypes import finfo as ml_finfo

from .array import aval_of, is_weak
from .promotion import Kind, join, requested


class ScalarType(type):
    """A dtype to write as `jnp.float32`; called, it converts to an array of that dtype."""

    dtype: np.dtype

    def __call__(cls, x: Any) -> Any:
        from .creation import asarray
        from .operands import astype

        return astype(asarray(x, cls), cls)  # what was asked for is not weak

    def __eq__(cls, other: Any) -> bool:
        if isinstance(other, (ScalarType, np.dtype)):
            return cls.dtype == (other.dtype if isinstance(other, ScalarType) else other)
        return other is cls.dtype.type

    def __hash__(cls) -> int:
        return hash(cls.dtype.type)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, cls.dtype.type)

    def __repr__(cls) -> str:
        return f"<class 'tracer.numpy.{cls.__name__}'>"


def _scalar_type(name: str, kind: Any) -> ScalarType:
    return ScalarType(name, (), {"dtype": np.dtype(kind)})


bfloat16 = _scalar_type("bfloat16", bf16.np)
bool_ = _scalar_type("bool", np.bool_)
float16 = _scalar_type("float16", np.float16)
float32 = _scalar_type("float32", np.float32)
float64 = _scalar_type("float64", np.float64)
int32 = _scalar_type("int32", np.int32)
int64 = _scalar_type("int64", np.int64)
uint32 = _scalar_type("uint32", np.uint32)
uint64 = _scalar_type("uint64", np.uint64)


def result_type(*xs: Any) -> np.dtype:
    """The dtype that an operation on these arrays, dtypes and numbers has.

    Python's int and float, numbers or types, take the dtype of what they meet.
    """
    return join(map(_kind, xs))[0].np


def promote_types(a: Any, b: Any) -> np.dtype:
    """The dtype of an operation on arrays of two dtypes."""
    return result_type(*(x if x in (int, float) else np.dtype(x) for x in (a, b)))


def _kind(x: Any) -> Kind:
    if any(x is python for python in (int, float)):
        return (i32 if x is int else f32), True
    if isinstance(x, (type, str, np.dtype, DType)):
        return requested(x), False
    return aval_of(x).dtype, is_weak(x)


def issubdtype(arg1: Any, arg2: Any) -> bool:
    """Whether a dtype or numpy category is of the category `arg2`, or is that dtype."""
    of, category = (x.dtype if isinstance(x, ScalarType) else x for x in (arg1, arg2))
    if of in (bf16.np, bf16.np.type):  # numpy has no category for it
        return category in (of, np.floating, np.inexact, np.number, np.generic)
    return bool(np.issubdtype(of, category))


def finfo(dtype: Any) -> Any:
    """Limits of a float dtype: bits, eps, max, min, tiny and others, as `numpy.finfo` has them."""
    return ml_finfo(dtype_of(dtype))


def isdtype(dtype: Any, kind: Any) -> bool:
    """Whether a dtype is `kind`: a dtype, the name of a class such as "real floating", or a tuple
    of them. Raises ValueError for other names."""
    if isinstance(kind, tuple):
        return any(isdtype(dtype, k) for k in kind)
    if not isinstance(kind, str) or kind not in _CLASSES:
        return dtype_of(dtype) is dtype_of(kind)
    return any(issubdtype(dtype, c) for c in _CLASSES[kind])


_CLASSES = {
    "bool": (np.bool_,),
    "signed integer": (np.signedinteger,),
    "unsigned integer": (np.unsignedinteger,),
    "integral": (np.integer,),
    "real floating": (np.floating,),
    "complex floating": (np.complexfloating,),
    "numeric": (np.number,),
}

__all__ = ["finfo", "isdtype", "issubdtype", "promote_types", "result_type"]
