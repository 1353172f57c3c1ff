"""Long sums of small products, cut so that they fill the device.

Invariant: a cut product is a batch of shorter products and the sum of its parts, in a fixed order:
the same bits on every run. The gradient of a weight is the typical case: few results, each a sum
over all tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from math import prod
from string import ascii_letters

from ir.build import emit
from ir.dtypes import f32
from ir.graph import Value
from ir.prims.contract import dot, parse, roles
from ir.prims.elementwise import add
from ir.prims.lead import parted
from ir.prims.views import reshape_to
from ir.prims.views import slice as slice_

from .profile import Profile
from .records import Matmul
from .tiles import matmul_seconds

PARTS = 32  # at most
LONG = 256  # k of a part where small tiles of the whole product would fill the device
SMALL_TILE = 1024  # results
PART_BYTES = 64 << 20  # of all parts of one product together
BANDWIDTH = 2.0e10  # bytes a second and compute unit, to store and read the parts
LAUNCH = 4e-6  # seconds of one kernel more


def cut_dot(x: Value, y: Value, spec: str, profile: Profile) -> Value | None:
    """The product as a sum of parts, or None where that is not expected to be faster."""
    if profile.kind == "cpu" or x.aval.dtype is not f32:
        return None
    sizes = dict(zip(parse(spec)[0] + parse(spec)[1], x.aval.shape + y.aval.shape, strict=True))
    whole = _seconds(spec, sizes, 1, profile)
    options = [(_seconds(spec, sizes, n, profile), n, c) for c, n in _cuts(spec, sizes, profile)]
    best = min(options, default=(whole, 1, ""))
    return _parts(x, y, spec, best[2], best[1]) if best[0] < 0.9 * whole else None


def _cuts(spec: str, sizes: dict[str, int], profile: Profile) -> Iterator[tuple[str, int]]:
    """(contracted axis, number of parts), of the first axis where several allow a number."""
    out = prod(sizes[c] for c in parse(spec)[2])
    most = min(PARTS, min(PART_BYTES, profile.binding_bytes) // (4 * out) if out else 0)
    if out >= SMALL_TILE * profile.units:
        # Nothing is idle that parts would fill, and of short ones half the time is their beginning
        # and end: 512 x 512 x 512 takes an H100 16.2 us, four parts of it and their sum 20.3.
        most = min(most, prod(sizes[c] for c in roles(spec)[3]) // LONG)
    seen: set[int] = set()
    for c in roles(spec)[3]:
        for parts in range(2, min(most, sizes[c]) + 1):
            if sizes[c] % parts == 0 and parts not in seen:
                seen.add(parts)
                yield c, parts


def _seconds(spec: str, sizes: dict[str, int], parts: int, profile: Profile) -> float:
    batch, m, n, k = (prod(sizes[c] for c in letters) for letters in roles(spec))
    product = matmul_seconds(Matmul(batch * parts, m, n, k // parts, "k", "n"), profile)
    if parts == 1:
        return product
    moved = 4 * batch * m * n * (2 * parts - 1)
    return product + moved / (BANDWIDTH * profile.units) + LAUNCH


def _parts(x: Value, y: Value, spec: str, axis: str, parts: int) -> Value:
    a, b, out = parse(spec)
    new = next(c for c in ascii_letters if c not in spec)
    x, y = parted(x, a.index(axis), parts), parted(y, b.index(axis), parts)
    a, b = a.replace(axis, new + axis), b.replace(axis, new + axis)
    pieces = emit(dot, x, y, spec=f"{a},{b}->{new}{out}")
    return reduce(lambda total, part: emit(add, total, part), _rows(pieces))


def _rows(x: Value) -> list[Value]:
    """x[0], x[1], ..."""
    shape = x.aval.shape
    rest, ones = (0,) * (len(shape) - 1), (1,) * len(shape)

    def row(n: int) -> Value:
        return emit(slice_, x, start=(n, *rest), limit=(n + 1, *shape[1:]), stride=ones)

    return [reshape_to(row(n), shape[1:]) for n in range(shape[0])]
