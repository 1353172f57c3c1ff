"""`dot`: sums of products, written as an einsum of two operands.

Invariant: the `spec` string is the whole rule. Letters in both operands and the result are batch
axes, letters in both operands only are contracted, the rest are free; each letter occurs at most
once per operand and every operand letter that the result lacks is contracted. The two cotangents
are two swaps of the string, so a transformer needs no transposes in its backward pass.
"""

from __future__ import annotations

from functools import lru_cache
from string import ascii_letters

import numpy as np

from ..build import emit
from ..factors import Factors
from ..graph import Aval
from ..prim import Primitive, register


@lru_cache(maxsize=4096)
def parse(spec: str) -> tuple[str, str, str]:
    """ "ij,jk->ik" -> ("ij", "jk", "ik")."""
    operands, out = spec.split("->")
    a, b = operands.split(",")
    return a, b, out


@lru_cache(maxsize=4096)
def roles(spec: str) -> tuple[str, str, str, str]:
    """(batch, m, n, k) letters: in all three; in a and out; in b and out; in a and b only."""
    a, b, out = parse(spec)
    batch = "".join(c for c in out if c in a and c in b)
    m = "".join(c for c in out if c in a and c not in b)
    n = "".join(c for c in out if c in b and c not in a)
    k = "".join(c for c in a if c in b and c not in out)
    return batch, m, n, k


@lru_cache(maxsize=4096)
def mistake(spec: str) -> str:
    """What is wrong with the letters of a spec, or nothing."""
    a, b, out = parse(spec)
    if any(len(set(part)) != len(part) for part in (a, b, out)) or set(out) - set(a + b):
        return "a letter is repeated or from nowhere"
    if set(a + b) - set(out) - set(roles(spec)[3]):
        return "every axis of one operand alone must be in the result"
    return ""


def batched_spec(spec: str, mask: tuple[bool, ...]) -> str:
    """`spec` with a new leading axis of the operands in `mask` and of the result."""
    new = next(c for c in ascii_letters if c not in spec)
    a, b = (new + s if m else s for s, m in zip(parse(spec)[:2], mask, strict=True))
    return f"{a},{b}->{new}{parse(spec)[2]}"


@register
class dot(Primitive):
    name = "dot"
    kind = "contract"

    def typeof(self, x: Aval, y: Aval, *, spec: str) -> Aval:
        a, b, out = parse(spec)
        if x.ndim != len(a) or y.ndim != len(b):
            raise TypeError(f"dot {spec} got operands of other ranks: {x} and {y}")
        if x.dtype is not y.dtype or not x.dtype.is_float:
            raise TypeError(f"dot requires two operands of one float dtype, got {x} and {y}")
        sizes = dict(zip(a, x.shape, strict=True))
        for letter, n in zip(b, y.shape, strict=True):
            if sizes.setdefault(letter, n) != n:
                raise TypeError(
                    "dot_general requires contracting dimensions to have the same shape, "
                    f"got {x} and {y} (axis `{letter}` of {spec})"
                )
        if wrong := mistake(spec):
            raise TypeError(f"dot {spec} of {x} and {y}: {wrong}")
        return Aval(tuple([sizes[c] for c in out]), x.dtype)

    def eval(self, x, y, *, spec):
        wide = [v.astype(np.float32) if v.dtype.itemsize == 2 else v for v in (x, y)]
        return np.einsum(spec, *wide, optimize=True).astype(x.dtype)

    def factors(self, x, y, *, spec):
        a, b, out = parse(spec)
        return Factors((tuple(a), tuple(b)), (tuple(out),))

    def linear(self, mask, *, spec):
        return mask.count(True) == 1

    def batch(self, ins, mask, size, *, spec):
        return emit(dot, *ins, spec=batched_spec(spec, mask))

    def vjp(self, ct, out, x, y, *, spec):
        a, b, o = parse(spec)
        return emit(dot, ct, y, spec=f"{o},{b}->{a}"), emit(dot, x, ct, spec=f"{a},{o}->{b}")

    def flops(self, x: Aval, y: Aval, *, spec: str) -> int:
        sizes = dict(zip(parse(spec)[0], x.shape, strict=True))
        k = 1
        for letter in roles(spec)[3]:
            k *= sizes[letter]
        return 2 * k * self.typeof(x, y, spec=spec).size
