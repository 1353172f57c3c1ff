"""Random permutations, and elements of an array drawn with or without replacement.

Invariant: as in `sampling`, a pure function of a key and shapes, by the steps JAX makes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .counting import searchsorted
from .creation import arange, as_shape
from .errors import located
from .indexing import picked as take
from .operands import as_float
from .prng import single, split_data, word_bits
from .reductions import cumsum
from .sampling import gumbel_noise, randint, unit
from .sorting import argsort, top_k
from .staging import operand
from .whole import one_program


@one_program
def permutation(key: Any, x: Any, axis: int = 0, independent: bool = False) -> Any:
    """`x` (an array, or an int for arange) in random order along `axis`.

    `independent` orders each line along the axis by itself; otherwise whole slices move.
    """
    data = single(key, "permutation")
    if isinstance(x, (int, np.integer)):
        return _shuffled(data, arange(int(x)), 0)
    x = operand(x, "permutation")
    if not aval_of(x).ndim:
        raise located(TypeError, "x must be an integer or at least 1-dimensional")
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    if independent or aval_of(x).ndim == 1:
        return _shuffled(data, x, at)
    return take(x, _shuffled(data, arange(aval_of(x).shape[at]), 0), at)


def _shuffled(data: Any, x: Any, axis: int) -> Any:
    """Sort by random words, as often as it takes to make equal words harmless."""
    from .indexing import along as take_along_axis

    size = aval_of(x).size
    rounds = math.ceil(3 * math.log(max(1, size)) / math.log(2**32 - 1))
    for _ in range(rounds):
        pair = split_data(data, (2,))
        data = pair[0]
        words = word_bits(pair[1], aval_of(x).shape)
        x = take_along_axis(x, argsort(words, axis), axis)
    return x


@one_program
def choice(
    key: Any,
    a: Any,
    shape: Sequence[int] = (),
    replace: bool = True,
    p: Any = None,
    axis: int = 0,
    mode: str | None = None,
) -> Any:
    """Elements of `a` along `axis` (of arange(a) for an int), with probabilities `p` or equal ones.

    Raises ValueError for more draws without replacement than there are elements.
    """
    data, sizes = single(key, "choice"), as_shape(shape)
    whole = isinstance(a, (int, np.integer))
    line = None if whole else operand(a, "choice")
    at = 0 if whole else shaping.canonical_axis(axis, aval_of(line).ndim)
    n, draws = int(a) if whole else aval_of(line).shape[at], math.prod(sizes)
    if draws and n <= 0:
        raise located(ValueError, "a must be greater than 0 unless no samples are taken")
    if not replace and draws > n:
        raise located(
            ValueError,
            f"Cannot take a larger sample (size {draws}) than population (size {n}) "
            "when 'replace=False'",
        )
    if p is None and not replace and not whole:
        mixed = permutation(data, line, at)
        out = shaping.slice_axis(mixed, at, 0, draws)
    else:
        places = _drawn(data, n, sizes, replace, p, mode)
        out = places if whole else take(line, places, at)
    rest = () if whole else aval_of(line).shape
    return shaping.reshape(out, (*rest[:at], *sizes, *rest[at + 1 :]))


def _drawn(data: Any, n: int, shape: tuple, replace: bool, p: Any, mode: str | None) -> Any:
    """int32 positions among n."""
    draws = math.prod(shape)
    if p is None and replace:
        return randint(data, shape, 0, n)
    if p is None:
        return shaping.slice_axis(permutation(data, n), 0, 0, draws)
    p = as_float(p)
    if aval_of(p).shape != (n,):
        raise located(
            ValueError,
            "p must be None or a 1D vector with the same size as a.shape[axis]. "
            f"p has shape {aval_of(p).shape} and a.shape[axis] is {n}.",
        )
    if replace:
        total = cumsum(p)
        part = ew.subtract(1.0, unit(data, shape, aval_of(p).dtype))
        return searchsorted(total, ew.multiply(total[-1], part))
    return top_k(ew.add(gumbel_noise(data, (n,), aval_of(p).dtype, mode), ew.log(p)), draws)[1]


__all__ = [
    "choice",
    "permutation",
]
