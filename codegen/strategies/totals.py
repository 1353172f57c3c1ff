"""The running values of scatter kernels.

Invariant: a value is combined in its accumulator's dtype, which for every float is f32.
"""

from __future__ import annotations

from dataclasses import dataclass

from ir.dtypes import DType, f16, f32
from ir.graph import Eqn, Value

from .. import expr as ex
from ..expr import Expr, sym
from ..wgsl import Writer
from .base import combined_into


@dataclass(frozen=True)
class Total:
    """The running value of one result: a WGSL variable that updates are combined into."""

    name: str
    dtype: DType
    out: DType
    combine: str

    def result(self) -> Expr:
        return ex.cast(sym(self.name, None, None, self.dtype), self.out)

    def operand(self, value: Expr) -> Expr:
        return ex.cast(value, self.dtype)

    def begin(self, writer: Writer, first: Expr, lane: Expr | None) -> str:
        return f"  var {self.name} = {_text(writer, first, lane)};"

    def step(self, writer: Writer, value: Expr, lane: Expr | None) -> str:
        return combined_into(self.combine, self.name, _text(writer, value, lane))

    def declare(self, writer: Writer, wide: bool) -> None:
        if wide:
            writer.declare_vector(sym(self.name, None, None, self.dtype))


def total_of(eqn: Eqn, name: str) -> Total:
    """The accumulator of a scatter; floats accumulate in f32."""
    out = eqn.out.aval.dtype
    return Total(name, f32 if out is f16 else out, out, eqn.params["combine"])


def _text(writer: Writer, x: Expr, lane: Expr | None) -> str:
    return writer.value4(x, lane) if lane else writer.value(x)


def is_wide(updates: Value, rank: int) -> bool:
    """Whether rows of updates consist of whole vec4s."""
    return updates.aval.ndim > rank and updates.aval.shape[-1] % 4 == 0


__all__ = ["Total", "is_wide", "total_of"]
