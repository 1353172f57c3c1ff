"""lax's contractions, with every axis named.

Invariant: dimension numbers are checked here and become one einsum; sums of floats are accumulated
in float32 or wider.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from string import ascii_letters
from typing import Any

from ir.dtypes import DType, bool_, i32

from . import contraction, strict
from .array import aval_of
from .errors import located
from .operands import astype
from .promotion import requested

Axes = Sequence[int]
DotDimensionNumbers = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]


class Precision(enum.Enum):
    """What JAX's users may ask of products; all of them are in float32 here."""

    DEFAULT = 0
    HIGH = 1
    HIGHEST = 2


def dot_general(
    x: Any, y: Any, dimension_numbers: DotDimensionNumbers, precision: Any = None,
    preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """Sums of products over ((x axes, y axes) contracted, (x axes, y axes) of the batch).

    The result has the batch axes, the other axes of x, the other axes of y. Raises TypeError.
    """
    x, y = strict.arrays("dot_general", (x, y))
    (contract, batch) = (tuple(map(tuple, pair)) for pair in dimension_numbers)
    sides = {"lhs": aval_of(x).shape, "rhs": aval_of(y).shape}
    for i, (name, shape) in enumerate(sides.items()):
        _check_side(name, shape, contract[i], batch[i])
    _check_pairs(sides, contract, batch)
    return product(x, y, _spec(contract, batch, *map(len, sides.values())), preferred_element_type)


def _check_side(name: str, shape: tuple[int, ...], contract: Axes, batch: Axes) -> None:
    every = (*batch, *contract)
    if any(not 0 <= a < len(shape) for a in every):
        fault = f"{name} dimension numbers to be nonnegative and less than the number of axes of "
        fault += f"the {name} value, got {name}_batch of {batch} and {name}_contracting of "
        fault += f"{contract} for {name} of rank {len(shape)}"
    elif len(set(batch)) != len(batch):
        fault = f"{name} batch dimensions to be distinct, got {name}_batch {batch}."
    elif len(set(contract)) != len(contract):
        fault = f"{name} contracting dimensions to be distinct, got {name}_contracting {contract}."
    elif len(set(every)) != len(every):
        fault = f"{name} batch dimensions to be disjoint from contracting dimensions, got "
        fault += f"{name}_batch {batch} and {name}_contracting {contract}."
    else:
        return
    raise located(TypeError, f"dot_general requires {fault}")


def _check_pairs(sides: dict[str, tuple[int, ...]], contract: Any, batch: Any) -> None:
    if len(batch[0]) != len(batch[1]):
        raise located(
            TypeError,
            "dot_general requires equal numbers of lhs_batch and rhs_batch dimensions, got "
            f"lhs_batch {batch[0]} and rhs_batch {batch[1]}.",
        )
    for name, pair in (("batch", batch), ("contracting", contract)):
        sizes = [
            tuple(shape[a] for a in axes) for shape, axes in zip(sides.values(), pair, strict=True)
        ]
        if sizes[0] != sizes[1]:
            raise located(
                TypeError,
                f"dot_general requires {'lhs ' if name == 'batch' else ''}{name} dimensions "
                f"{'and rhs batch dimensions ' if name == 'batch' else ''}to have the same shape, "
                f"got {sizes[0]} and {sizes[1]}.",
            )


def _spec(contract: Any, batch: Any, left: int, right: int) -> str:
    a, b = list(ascii_letters[:left]), list(ascii_letters[left : left + right])
    for pair in (contract, batch):
        for i, j in zip(*pair, strict=True):
            b[j] = a[i]
    shared = [a[i] for i in batch[0]]
    out = shared + [c for c in a if c not in b] + [c for c in b if c not in a]
    return f"{''.join(a)},{''.join(b)}->{''.join(out)}"


def product(x: Any, y: Any, spec: str, preferred: Any = None) -> Any:
    """An einsum of two operands in the wider of their dtypes, the result of dtype `preferred`."""
    kinds = [aval_of(v).dtype for v in (x, y)]
    wide = _wider(*kinds)
    inner, result = accumulated(wide, preferred)
    if wide is bool_:
        counted = contraction.einsum(spec, astype(x, i32), astype(y, i32))
        return astype(astype(counted, bool_), result)
    return astype(contraction.einsum(spec, astype(x, inner), astype(y, inner)), result)


def accumulated(kind: DType, preferred: Any) -> tuple[DType, DType]:
    """(dtype of the products, dtype of the result) for operands of `kind`."""
    result = kind if preferred is None else requested(preferred)
    return (result if result.is_float == kind.is_float else kind), result


def _wider(a: DType, b: DType) -> DType:
    rank = lambda k: (k.is_float, k.is_integer, k.np.itemsize)  # noqa: E731
    return max(a, b, key=rank)


def dot(
    x: Any, y: Any, *, dimension_numbers: DotDimensionNumbers | None = None,
    precision: Any = None, preferred_element_type: Any = None,
) -> Any:  # fmt: skip
    """The product of vectors and matrices, or `dot_general`. Raises ValueError for others."""
    x, y = strict.arrays("dot", (x, y))
    a, b = aval_of(x).shape, aval_of(y).shape
    if dimension_numbers is not None:
        return dot_general(x, y, dimension_numbers, precision, preferred_element_type)
    plain = 1 <= len(a) <= 2 and 1 <= len(b) <= 2
    if not plain or a[-1] != b[0]:
        raise located(
            ValueError,
            "jax.lax.dot: dimension_numbers must be specified when not performing simple "
            "un-batched matrix-matrix, matrix-vector, or vector-vector products; "
            f"got lhs_shape={a} rhs_shape={b}",
        )
    numbers = (((len(a) - 1,), (0,)), ((), ()))
    return dot_general(x, y, numbers, precision, preferred_element_type)


def batch_matmul(x: Any, y: Any, precision: Any = None) -> Any:
    """Matrix products over equal leading axes. Raises ValueError, TypeError."""
    x, y = strict.arrays("batch_matmul", (x, y))
    n, m = aval_of(x).ndim, aval_of(y).ndim
    if min(n, m) < 2:
        raise located(ValueError, f"Arguments to batch_matmul must be at least 2D, got {n}, {m}")
    if n != m:
        raise located(ValueError, f"Arguments to batch_matmul must have same ndim, got {n}, {m}")
    lead = tuple(range(n - 2))
    return dot_general(x, y, (((n - 1,), (n - 2,)), (lead, lead)))
