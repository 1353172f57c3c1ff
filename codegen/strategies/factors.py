"""A product's operand as two factors: what one element decides, and what its whole row does.

Invariant: the product of both is the operand, up to rounding. A sum over products of elements can
then be taken before the sums over the row are known, and be multiplied by the row's factor.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from ir.dtypes import f32

from .. import expr as ex
from ..expr import Expr
from .functions import Branch

ONE = ex.const(1.0, f32)


def factors(branches: Sequence[Branch], sums: Collection[Expr]) -> tuple[list[Branch], Expr] | None:
    """(branches without the symbols `sums`, the factor that depends on these alone) of an operand;
    None if it is no such product, or its pieces have unlike factors."""
    found = [_split(branch.value, sums) for branch in branches]
    if None in found or len({late for _, late in found}) != 1:
        return None
    parts = zip(branches, found, strict=True)
    return [replace(b, value=early) for b, (early, _) in parts], found[0][1]


def _split(x: Expr, sums: Collection[Expr]) -> tuple[Expr, Expr] | None:
    """(early, late) factors of a float."""
    if not any(ex.depends(x, s) for s in sums):
        return x, ONE
    if x.dtype is not f32:
        return None
    if _of_sums_alone(x, sums):
        return ONE, x
    if x.op == "select" and x.args[2] is ex.const(0.0, f32):
        inner = _split(x.args[1], sums)
        condition = x.args[0]
        plain = inner is not None and not any(ex.depends(condition, s) for s in sums)
        return (ex.select(condition, inner[0], x.args[2]), inner[1]) if plain else None
    if x.op not in ("mul", "div"):
        return None
    both = [_split(arg, sums) for arg in x.args]
    if None in both:
        return None
    (early, late), (other_early, other_late) = both
    return ex.op(x.op, early, other_early), ex.op(x.op, late, other_late)


def _of_sums_alone(x: Expr, sums: Collection[Expr]) -> bool:
    return all(y in sums for y in ex.walk(x) if y.op in ("sym", "load"))
