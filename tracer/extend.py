"""Primitives of your own: one class with the rules that transformations and the compiler ask for.

Invariant: rules that give results (`expand`, `vjp`, `jvp`, `batch`) are functions of arrays, in
`tracer.numpy`; rules about types (`typeof`, `factors`, `linear`, `kernel`, `flops`) see `Aval`s
with shape and dtype; `eval` alone sees numpy arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ir.dtypes import DType, bf16, bool_, f16, f32, i32, u32
from ir.factors import Factors, alike
from ir.graph import Aval, Lit, Var
from ir.prim import register
from ir.prims.fused import Composite

from . import numpy as jnp
from .array import Tracer
from .staging import bind, operand, staged

_RULES = ("expand", "vjp", "jvp", "batch")


class Operation(Composite):
    """Base class of primitives that users define; `@register` enters them.

    A subclass sets `name` and writes `typeof`, and `expand`, its meaning in existing operations.
    Everything else has a default that follows from `expand`: `eval` (numpy), `vjp`, `jvp` (from
    `vjp`), `batch`, and `flops`. Each may be written instead: because it is cheaper, or to do
    without `expand`. `factors` says which axes can be cut over a mesh; by default all but the last.
    `kernel(profile, *avals, **params)` may bring WGSL, as `codegen.handwritten.Handwritten`. See
    `ir.prim.Primitive` for the signatures of all.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for rule in _RULES:
            if rule in vars(cls):
                setattr(cls, rule, _of_arrays(vars(cls)[rule]))

    def __call__(self, *operands: Any, **params: Any) -> Any:
        """Apply it: staged while a function is traced, run at once otherwise. Parameters must be
        hashable. Operands are not converted or broadcast."""
        return bind(self, *map(operand, operands), **params)


def leading(ins: Sequence[Any], mask: Sequence[bool], size: int) -> list[Any]:
    """The operands of a `batch` rule, all with the mapped axis of `size` in front."""
    return [
        x if mapped else jnp.broadcast_to(x, (size, *x.shape))
        for x, mapped in zip(ins, mask, strict=True)
    ]


def _of_arrays(rule: Callable) -> Callable:
    """A rule on values of a graph, from one on arrays."""

    @wraps(rule)
    def on_values(self: Operation, *args: Any, **params: Any) -> Any:
        return _values(rule(self, *map(_arrays, args), **params))

    return on_values


def _arrays(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return type(x)(map(_arrays, x))
    return Tracer(x) if isinstance(x, (Var, Lit)) else x


def _values(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return tuple(map(_values, x))
    return None if x is None else staged(operand(x))


__all__ = [
    "Aval", "DType", "Factors", "Operation", "alike", "bf16", "bool_", "f16", "f32", "i32",
    "leading", "register", "u32",
]  # fmt: skip
