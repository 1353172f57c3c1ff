"""Functions of parts of arrays: along an axis, element by element, piece by piece.

Invariant: a function is called once, on traced parts, and its results are batched by `vmap`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np

from . import elementwise as ew
from . import shaping
from .array import aval_of
from .batching import vmap
from .creation import arange, as_shape, asarray
from .errors import located
from .operands import as_bool, astype
from .staging import operand

Dims = tuple[str, ...]

# --- along axes -------------------------------------------------------------------------------


def apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """`func1d(vector, *args, **kwargs)` of each vector along `axis`, in its place."""
    x = operand(arr)
    at = shaping.canonical_axis(axis, aval_of(x).ndim)
    function = functools.partial(_with, func1d, args, kwargs)
    for i in range(1, aval_of(x).ndim - at):
        function = vmap(function, in_axes=i, out_axes=-1)
    for _ in range(at):
        function = vmap(function, in_axes=0, out_axes=0)
    return function(x)


def _with(function: Callable, args: tuple, kwargs: dict, x: Any) -> Any:
    return function(x, *args, **kwargs)


def apply_over_axes(func: Callable, a: Any, axes: Any) -> Any:
    """`func(a, axis)` for one axis after another; axes it removes are put back with size 1.

    Raises ValueError if it changes the number of axes otherwise.
    """
    x = operand(a)
    for axis in axes if isinstance(axes, (tuple, list)) else (axes,):
        found = operand(func(x, axis))
        if aval_of(found).ndim == aval_of(x).ndim - 1:
            found = shaping.expand_dims(found, axis)
        if aval_of(found).ndim != aval_of(x).ndim:
            raise located(ValueError, "function is not returning an array of the correct shape")
        x = found
    return x


def fromfunction(function: Callable, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    """`function` of the coordinates of each element of an array of this shape."""
    sizes = as_shape(shape)
    for i in range(len(sizes)):
        axes = tuple(0 if i == j else None for j in range(len(sizes)))
        function = vmap(function, in_axes=axes[::-1])
    return function(*(arange(n, dtype=dtype) for n in sizes), **kwargs)


def piecewise(x: Any, condlist: Any, funclist: Sequence[Any], *args: Any, **kw: Any) -> Any:
    """Of each element the function (or constant) of the last condition that holds.

    One more function than conditions is for elements where none holds; without it they are 0.
    """
    x = operand(x)
    masks = [as_bool(c) for c in condlist]
    functions = list(funclist)
    if len(functions) == len(masks):
        functions.append(0)
    if len(functions) != len(masks) + 1:
        raise located(
            ValueError,
            f"with {len(masks)} condition(s), either {len(masks)} or {len(masks) + 1} functions "
            f"are expected; got {len(funclist)}",
        )
    kind = aval_of(x).dtype
    made = [astype(f(x, *args, **kw) if callable(f) else f, kind) for f in functions]
    out = shaping.broadcast_to(made[-1], aval_of(x).shape)
    for mask, value in zip(masks, made, strict=False):
        out = ew.where(mask, value, out)
    return out


# --- element by element -----------------------------------------------------------------------

_NAMES = r"\w*(?:,\w+)*"
_SIGNATURE = re.compile(rf"^\({_NAMES}\)(?:,\({_NAMES}\))*->\({_NAMES}\)(?:,\({_NAMES}\))*$")


def vectorize(
    pyfunc: Callable, *, excluded: Collection[int | str] = frozenset(), signature: str | None = None
) -> Callable:
    """`pyfunc` of scalars (or of the axes in `signature`, as "(m,n),(n)->(m)") for whole arrays.

    The other axes of all arguments broadcast. Arguments named in `excluded`, and those that are
    None, are passed as they are. Raises ValueError for shapes that the signature contradicts.
    """
    if any(not isinstance(e, (str, int)) for e in excluded):
        raise located(
            TypeError, f"vectorize can only exclude integer or string arguments, got {excluded!r}"
        )
    if any(isinstance(e, int) and e < 0 for e in excluded):
        raise located(ValueError, f"excluded={excluded!r} contains negative numbers")
    ins, outs = _parsed(signature) if signature else (None, None)

    @functools.wraps(pyfunc)
    def call(*args: Any, **kwargs: Any) -> Any:
        fixed = {i for i, a in enumerate(args) if i in excluded or a is None}
        mapped = [asarray(a) for i, a in enumerate(args) if i not in fixed]
        names = {k: asarray(v) for k, v in kwargs.items() if k not in excluded}
        core = [d for i, d in enumerate(ins) if i not in fixed] if ins else [()] * len(mapped)
        core += [()] * len(names)
        where = f"on vectorized function with excluded={excluded!r} and signature={signature!r}"

        def once(*parts: Any) -> Any:
            rest = iter(parts[: len(mapped)])
            full = [a if i in fixed else next(rest) for i, a in enumerate(args)]
            given = dict(zip(names, parts[len(mapped) :], strict=True))
            found = pyfunc(*full, **{**kwargs, **given})
            if outs is not None:
                _check_results(found, outs, sizes, where)
            return found

        arrays = [*mapped, *names.values()]
        sizes, lead = _sizes(arrays, core, where)
        return _broadcast_call(once, arrays, core, lead)

    return call


def _parsed(signature: str) -> tuple[list[Dims], list[Dims]]:
    compact = signature.replace(" ", "")
    if not _SIGNATURE.match(compact):
        raise located(ValueError, f"not a valid gufunc signature: {signature}")
    sides = compact.split("->")
    found = [
        [tuple(re.findall(r"\w+", one)) for one in re.findall(r"\(([^)]*)\)", side)]
        for side in sides
    ]
    return found[0], found[1]


def _sizes(arrays: list, core: list[Dims], where: str) -> tuple[dict[str, int], tuple]:
    """(sizes of the named axes, the shape that the other axes broadcast to)."""
    if len(arrays) != len(core):
        raise located(
            TypeError,
            f"wrong number of positional arguments: expected {len(core)}, got {len(arrays)} "
            f"{where}",
        )
    sizes: dict[str, int] = {}
    leads = []
    for x, dims in zip(arrays, core, strict=True):
        shape = aval_of(x).shape
        if len(shape) < len(dims):
            raise located(
                ValueError,
                f"input with shape {shape} does not have enough dimensions for all core dimensions "
                f"{dims} {where}",
            )
        cut = len(shape) - len(dims)
        leads.append(shape[:cut])
        _agree(sizes, shape[cut:], dims, where)
    return sizes, np.broadcast_shapes(*leads)


def _agree(sizes: dict[str, int], shape: tuple, dims: Dims, where: str) -> None:
    for dim, size in zip(dims, shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise located(
                ValueError,
                f"inconsistent size for core dimension {dim!r}: {size} vs {sizes[dim]} {where}",
            )


def _check_results(found: Any, outs: list[Dims], sizes: dict[str, int], where: str) -> None:
    results = list(found) if isinstance(found, tuple) else [found]
    if len(results) != len(outs):
        raise located(
            TypeError,
            f"wrong number of output arguments: expected {len(outs)}, got {len(results)} {where}",
        )
    known = dict(sizes)
    for x, dims in zip(results, outs, strict=True):
        shape = np.shape(x)
        if len(shape) != len(dims):
            raise located(
                ValueError, f"output shape {shape} does not match core dimensions {dims} {where}"
            )
        _agree(known, shape, dims, where)


def _broadcast_call(function: Callable, arrays: list, core: list[Dims], lead: tuple) -> Any:
    """`function` mapped over the leading axes, innermost first; axes of size 1 are put back."""
    squeezed, filled = [], []
    for x, dims in zip(arrays, core, strict=True):
        own = aval_of(x).shape[: aval_of(x).ndim - len(dims)]
        filled.append(((1,) * (len(lead) - len(own)) + own)[::-1])
        squeezed.append(shaping.squeeze(x, tuple(d for d, n in enumerate(own) if n == 1)))
    expanded = []
    for i, sizes in enumerate(zip(*filled, strict=True)):
        axes = tuple(None if n == 1 else 0 for n in sizes)
        if all(a is None for a in axes):
            expanded.append(len(lead) - 1 - i)
        else:
            function = vmap(function, in_axes=axes)
    found = function(*squeezed)
    places = tuple(expanded)
    if isinstance(found, tuple):
        return tuple(shaping.expand_dims(f, places) for f in found)
    return shaping.expand_dims(found, places)


__all__ = ["apply_along_axis", "apply_over_axes", "fromfunction", "piecewise", "vectorize"]
