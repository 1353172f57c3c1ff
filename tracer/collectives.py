"""Named axes: what the members of a `vmap(axis_name=...)` tell each other.

Invariant: a name is bound while the mapped function is traced, and its size is known then. A
collective over several names numbers members in the order of the names, the last running fastest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from . import tree
from .array import aval_of
from .errors import located
from .staging import SCALARS, bind, operand

Names = Any  # a name, or a sequence of names
_local = threading.local()


def _bound() -> list[tuple[Any, int]]:
    """(name, size) of the axes that are being mapped, innermost last."""
    if not hasattr(_local, "bound"):
        _local.bound = []
    return _local.bound


@contextmanager
def bound(name: Any, size: int) -> Iterator[None]:
    """Collectives inside know `name`, an axis of `size` members; None binds nothing."""
    if name is not None:
        _bound().append((name, size))
    try:
        yield
    finally:
        if name is not None:
            _bound().pop()


def _sizes(names: Sequence[Any], asked: str) -> tuple[int, ...]:
    known = dict(_bound())
    for name in names:
        if name not in known:
            raise located(
                NameError,
                f"Found an unbound axis name: {name}. To fix this, please call {asked} under "
                f"`vmap(..., axis_name={name!r})`.",
            )
    return tuple(known[name] for name in names)


def _split(axis_name: Names) -> tuple[tuple, tuple[int, ...]]:
    """(names, positional axes)."""
    given = axis_name if isinstance(axis_name, (tuple, list)) else (axis_name,)
    places = tuple(a for a in given if isinstance(a, int))
    return tuple(a for a in given if not isinstance(a, int)), places


def _where(axis_name: Names, asked: str, groups: Any = None) -> dict[str, tuple]:
    names, places = _split(axis_name)
    if places:
        raise located(TypeError, f"{asked} takes axis names, got the axis {places[0]}")
    if groups is not None:
        text = "axis_index_groups not supported in vmap collectives; bind two axes instead, with a"
        raise located(TypeError, f"{text} vmap for each")
    return {"axes": names, "sizes": _sizes(names, asked)}


# --- reductions -----------------------------------------------------------------------------------


def psum(x: Any, axis_name: Names, *, axis_index_groups: Any = None) -> Any:
    """The sum of a pytree's leaves over all members of `axis_name`, one name or several.

    Ints among the names are axes of the leaves. A Python number is that number times the members.
    Raises NameError for a name that no enclosing vmap has.
    """
    from .reductions import sum as over

    return _reduced("psum", over, x, axis_name, axis_index_groups)


def pmax(x: Any, axis_name: Names, *, axis_index_groups: Any = None) -> Any:
    """The largest value of any member; otherwise as `psum`."""
    from .reductions import max as over

    return _reduced("pmax", over, x, axis_name, axis_index_groups)


def pmin(x: Any, axis_name: Names, *, axis_index_groups: Any = None) -> Any:
    """The smallest value of any member; otherwise as `psum`."""
    from .reductions import min as over

    return _reduced("pmin", over, x, axis_name, axis_index_groups)


def _reduced(name: str, over: Callable, x: Any, axis_name: Names, groups: Any) -> Any:
    names, places = _split(axis_name)
    where = _where(names, name, groups)

    def leaf(value: Any) -> Any:
        if isinstance(value, SCALARS) and not places:
            return value * prod(where["sizes"]) if name == "psum" else value
        value = operand(value, name)
        value = value.astype("int32") if aval_of(value).dtype.name == "bool" else value
        value = over(value, axis=places) if places else value
        return bind(name, value, **where) if names else value

    return tree.map(leaf, x)


def pmean(x: Any, axis_name: Names, *, axis_index_groups: Any = None) -> Any:
    """The mean over all members; otherwise as `psum`."""
    from .elementwise import divide

    count = psum(1, axis_name, axis_index_groups=axis_index_groups)
    return tree.map(lambda v: divide(v, count), psum(x, axis_name))


# --- moving data ----------------------------------------------------------------------------------


def all_gather(
    x: Any,
    axis_name: Names,
    *,
    axis_index_groups: Any = None,
    axis: int = 0,
    tiled: bool = False,
    to: str = "varying",
) -> Any:
    """The leaves of all members: stacked at `axis`, or joined along it if `tiled`.

    Each member has the same result. Whether members hold the same is no part of a value's type
    here, so `to` decides nothing; ValueError for other words than JAX's.
    """
    if to not in ("varying", "invariant", "reduced"):
        raise located(
            ValueError, f"all_gather goes to 'varying', 'invariant' or 'reduced', not {to!r}"
        )
    where = _where(axis_name, "all_gather", axis_index_groups)

    def leaf(value: Any) -> Any:
        value = operand(value, "all_gather")
        at = _position(axis, aval_of(value).ndim + (not tiled))
        return bind("all_gather", value, **where, axis=at, tiled=bool(tiled))

    return tree.map(leaf, x)


def pcast(x: Any, axis_name: Names, *, to: str) -> Any:
    """`x` as it is: whether members hold the same is no part of a value's type here.

    Raises ValueError for other `to` than JAX's, NameError for axes that are not bound.
    """
    if to not in ("varying", "reduced", "unreduced"):
        raise located(ValueError, f"pcast goes to 'varying', 'reduced' or 'unreduced', not {to!r}")
    _where(axis_name, "pcast", None)
    return x


def psum_scatter(
    x: Any,
    axis_name: Names,
    *,
    scatter_dimension: int = 0,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """The part of `psum` at `scatter_dimension` that has the member's own number.

    The dimension has as many elements as there are members and disappears; if `tiled`, it is cut
    into as many equal parts. Raises TypeError for other sizes.
    """
    where = _where(axis_name, "psum_scatter", axis_index_groups)

    def leaf(value: Any) -> Any:
        value = operand(value, "psum_scatter")
        at = _position(scatter_dimension, aval_of(value).ndim)
        return bind("reduce_scatter", value, **where, axis=at, tiled=bool(tiled))

    return tree.map(leaf, x)


def ppermute(x: Any, axis_name: Names, perm: Sequence[tuple[int, int]]) -> Any:
    """Each member's leaves sent on: `perm` has pairs (from, to), others get zeros."""
    where = _where(axis_name, "ppermute")
    pairs = tuple((int(of), int(to)) for of, to in perm)
    return tree.map(lambda v: bind("ppermute", operand(v, "ppermute"), **where, perm=pairs), x)


def pshuffle(x: Any, axis_name: Names, perm: Sequence[int]) -> Any:
    """Member i gets the leaves of member perm[i]. Raises ValueError if `perm` is no permutation."""
    count = prod(_where(axis_name, "pshuffle")["sizes"])
    if sorted(perm) != list(range(count)):
        text = f"`perm` does not represent a permutation of the {count} members: {list(perm)}"
        raise located(ValueError, text)
    return ppermute(x, axis_name, list(zip(perm, range(count), strict=True)))


def all_to_all(
    x: Any,
    axis_name: Names,
    split_axis: int,
    concat_axis: int,
    *,
    axis_index_groups: Any = None,
    tiled: bool = False,
) -> Any:
    """Leaves cut along `split_axis`, a part for each member; what arrives goes to `concat_axis`.

    The split axis has as many elements as there are members and disappears, and the parts that
    arrive are stacked; if `tiled`, it is cut into equal parts, and these are joined.
    """
    where = _where(axis_name, "all_to_all", axis_index_groups)

    def leaf(value: Any) -> Any:
        value = operand(value, "all_to_all")
        split, concat = (_position(a, aval_of(value).ndim) for a in (split_axis, concat_axis))
        return bind("all_to_all", value, **where, split=split, concat=concat, tiled=bool(tiled))

    return tree.map(leaf, x)


def pswapaxes(x: Any, axis_name: Names, axis: int, *, axis_index_groups: Any = None) -> Any:
    """The mapped axis and the axis `axis` change places."""
    return all_to_all(x, axis_name, axis, axis, axis_index_groups=axis_index_groups)


def _position(axis: int, ndim: int) -> int:
    if not -ndim <= axis < ndim:
        text = f"axis {axis} is out of bounds for array of dimension {ndim}"
        raise located(ValueError, text)
    return axis % ndim


# --- who am I -------------------------------------------------------------------------------------


def axis_index(axis_name: Names) -> Any:
    """int32[]: the number of this member."""
    where, found = _where(axis_name, "axis_index"), 0
    for name, size in zip(where["axes"], where["sizes"], strict=True):
        found = found * size + bind("axis_index", axes=(name,), sizes=(size,))
    return found


def axis_size(axis_name: Names) -> int:
    """How many members there are."""
    return prod(_where(axis_name, "axis_size")["sizes"])


__all__ = [
    "all_gather",
    "all_to_all",
    "axis_index",
    "axis_size",
    "bound",
    "pcast",
    "pmax",
    "pmean",
    "pmin",
    "ppermute",
    "pshuffle",
    "psum",
    "psum_scatter",
    "pswapaxes",
]
