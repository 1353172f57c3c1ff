"""`vmap`: one function for each member of a batch.

Invariant: the function is traced once, for one member; the mapped axis leads inside the batched
graph, wherever the caller keeps it. What does not depend on a mapped argument is computed once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

from ir.build import current
from ir.graph import Aval
from ir.passes.batch import batch_graph

from . import tree
from .array import aval_of
from .collectives import bound
from .errors import check_callable, located
from .roles import roles
from .shaping import broadcast_to, moveaxis
from .staging import inline_traced, operand, run_now, trace, type_like
from .typed import user_type


def vmap(
    fun: Callable,
    in_axes: Any = 0,
    out_axes: Any = 0,
    axis_name: Any = None,
    axis_size: int | None = None,
    spmd_axis_name: Any = None,
) -> Callable:
    """`fun` of each member along an axis of its arguments, the results stacked.

    `in_axes` is an int, None (every member sees the same argument) or a tuple with an entry for
    each positional argument, which may be a pytree prefix of it; keyword arguments are mapped along
    axis 0. `out_axes` says likewise where the axis is in the results. Collectives inside
    (`lax.psum` and others) know the members by `axis_name`. `axis_size` is needed only if nothing
    is mapped. `spmd_axis_name`, a mesh axis to spread members over, has no effect. Raises
    ValueError for sizes or axes at odds, TypeError for other `in_axes`.
    """
    check_callable(fun)
    in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
    if not (in_axes is None or isinstance(in_axes, (int, tuple))):
        raise located(
            TypeError,
            "vmap in_axes must be an int, None, or a tuple of entries corresponding to the "
            f"positional arguments passed to the function, but got {in_axes}.",
        )
    _check_entries("in_axes", in_axes)
    _check_entries("out_axes", out_axes)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return run_now(lambda: wrapper(*args, **kwargs))
        return _mapped(fun, in_axes, out_axes, axis_name, axis_size, args, kwargs)

    return wrapper


def _check_entries(name: str, axes: Any) -> None:
    if not all(isinstance(a, int) and not isinstance(a, bool) for a in tree.leaves(axes)):
        raise located(
            TypeError,
            f"vmap {name} must be an int, None, or (nested) container with those types as leaves, "
            f"but got {axes}.",
        )


def _mapped(
    fun, in_axes: Any, out_axes: Any, axis_name: Any, axis_size: int | None, args, kwargs
) -> Any:
    leaves, in_tree = tree.flatten((args, kwargs))
    axes = _leaf_axes(in_axes, args, kwargs)
    places = [i for i, axis in enumerate(axes) if axis is not None]
    labels = [roles(fun, None, None, None, None).path_label(p) for p in tree.paths(in_tree)]
    stacked = [operand(leaves[i], "vmap") for i in places]
    where = [_axis(axes[i], aval_of(x)) for i, x in zip(places, stacked, strict=True)]
    size = _common_size(stacked, where, [labels[i] for i in places], axis_size)
    moved = [moveaxis(x, axis, 0) for x, axis in zip(stacked, where, strict=True)]

    def member(*tracers: Any) -> Any:
        given = list(leaves)
        for i, t in zip(places, tracers, strict=True):
            given[i] = t
        some, named = tree.unflatten(in_tree, given)
        return fun(*some, **named)

    with bound(axis_name, size):
        traced = trace(member, [type_like(x, aval_of(x).shape[1:]) for x in moved])
    mask = (False,) * len(traced.captured) + (True,) * len(moved)
    graph, led = batch_graph(traced.graph, mask, size, axis_name)
    outs = inline_traced(traced, graph, moved)
    placed = _out_axes(out_axes, traced.out_tree)
    found = [_placed(x, has, axis, size) for x, has, axis in zip(outs, led, placed, strict=True)]
    return tree.unflatten(traced.out_tree, found)


# --- axes of arguments and results ----------------------------------------------------------------


def _leaf_axes(in_axes: Any, args: tuple, kwargs: dict) -> list[int | None]:
    """The axis of each leaf of (args, kwargs)."""
    if isinstance(in_axes, tuple) and len(in_axes) != len(args):
        raise located(
            ValueError,
            "vmap in_axes must be an int, None, or a tuple of entries corresponding to the "
            f"positional arguments passed to the function, but got len(in_axes)={len(in_axes)}, "
            f"len(args)={len(args)}",
        )
    try:
        found = tree.broadcast_prefix(in_axes, args)
    except ValueError:
        raise located(
            ValueError,
            "vmap in_axes specification must be a tree prefix of the corresponding value; got "
            f"specification {in_axes} for value tree {tree.structure(args)}.",
        ) from None
    return [*found, *(0 for _ in tree.leaves(kwargs))]


def _axis(axis: int, aval: Aval) -> int:
    if not -aval.ndim <= axis < aval.ndim:
        least = axis + 1 if axis >= 0 else -axis
        raise located(
            ValueError,
            f"vmap was requested to map its argument along axis {axis}, which implies that its "
            f"rank should be at least {least}, but is only {aval.ndim} (its shape is {aval.shape})",
        )
    return axis % aval.ndim


def _common_size(
    xs: Sequence[Any], axes: Sequence[int], labels: Sequence[str], axis_size: int | None
) -> int:
    """The size of the mapped axis. Raises ValueError naming the arguments at odds."""
    sizes = [aval_of(x).shape[axis] for x, axis in zip(xs, axes, strict=True)]
    if not sizes:
        if axis_size is None:
            raise located(
                ValueError,
                "vmap must have at least one non-None value in in_axes or axis_size must be "
                "specified",
            )
        return int(axis_size)
    found = Counter(sizes).most_common()
    if len(found) > 1 or axis_size not in (None, sizes[0]):
        lines = [f"  * the `axis_size` argument was {axis_size}"] if axis_size is not None else []
        for size, count in found:
            at = sizes.index(size)
            example = (
                f"axis {axes[at]} of argument {labels[at]} of type {user_type(aval_of(xs[at]))}"
            )
            lines.append(f"  * {_share(count, size, not lines)} {example}")
        text = "vmap got inconsistent sizes for array axes to be mapped:\n"
        raise located(ValueError, text + ";\n".join(lines))
    return sizes[0]


def _share(count: int, size: int, first: bool) -> str:
    if count == 1:
        return f"one axis had size {size}:"
    return f"{'most' if first else 'some'} axes ({count} of them) had size {size}, e.g."


def _out_axes(out_axes: Any, out_tree: tree.Structure) -> list[int | None]:
    try:
        return tree.broadcast_prefix(out_axes, tree.unflatten(out_tree, range(out_tree.num_leaves)))
    except ValueError:
        raise located(
            ValueError,
            "vmap out_axes specification must be a tree prefix of the corresponding value; got "
            f"specification {out_axes} for value tree {out_tree}.",
        ) from None


def _placed(x: Any, led: bool, axis: int | None, size: int) -> Any:
    """A result with its mapped axis where the caller wants it."""
    aval = aval_of(x)
    if axis is None:
        if led:
            raise located(
                ValueError,
                "at vmap out_axes, got axis spec None but output was batched on axis 0; give the "
                f"axis that the result of type {user_type(aval)} is to have",
            )
        return x
    x = x if led else broadcast_to(x, (size, *aval.shape))
    ndim = aval_of(x).ndim
    if not -ndim <= axis < ndim:
        raise located(
            ValueError,
            f"axis {axis} is out of bounds for array of dimension {ndim} (vmap out_axes)",
        )
    return moveaxis(x, 0, axis)


__all__ = ["vmap"]
