"""Looking at functions and moving data: graphs, shapes, scopes, copies.

Invariant: nothing here computes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import wraps
from typing import Any

import numpy as np

from ir.build import current, suspended
from ir.graph import Graph

from . import tree
from .array import Array, Tracer
from .backend import wait
from .callbacks import effects_barrier
from .calls import ShapeDtypeStruct, checked_avals, hints, leaf_aval
from .collectives import bound
from .config import checked_device
from .errors import Origin, located
from .roles import Nums, roles
from .sharding import NamedSharding, PartitionSpec, with_sharding_constraint
from .staging import Traced, trace
from .typed import WeakAval

# --- graphs and shapes ------------------------------------------------------------------------


def _traced(fun: Callable, args: tuple, kwargs: dict, static_argnums: Nums = None) -> Traced:
    of = roles(fun, static_argnums, None, None, None)
    leaves, in_tree, statics = of.split(args, kwargs)
    avals = checked_avals(of, in_tree, leaves)

    def body(*tracers: Any) -> Any:
        given, named = of.join(in_tree, tracers, statics)
        return fun(*given, **named)

    return trace(body, avals, hints(of, in_tree), Origin(fun, "make_jaxpr"))


def graph_of(fun: Callable) -> Callable[..., Graph]:
    """`graph_of(f)(*args)` is the IR of f for arrays or ShapeDtypeStructs; printing shows it.

    Concrete arrays that `f` mentions are leading inputs of the graph.
    """

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Graph:
        return _traced(fun, args, kwargs).graph

    return wrapper


def closed(fun: Callable) -> Callable[..., Traced]:
    """`closed(f)(*args)` is `graph_of(f)(*args)` with the arrays that its leading inputs stand for,
    `constants`, and the tree of its results."""

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Traced:
        return _traced(fun, args, kwargs)

    return wrapper


@contextmanager
def ensure_compile_time_eval() -> Iterator[None]:
    """While a function is traced: operations inside run at once, on arrays whose values are known.

    Values of the trace cannot be used inside.
    """
    with suspended():
        yield


def make_jaxpr(
    fun: Callable,
    static_argnums: Nums = None,
    axis_env: Sequence[tuple[str, int]] | None = None,
    return_shape: bool = False,
) -> Callable[..., Any]:
    """`graph_of` under JAX's name; the IR takes the place of a jaxpr.

    `axis_env`, pairs of a name and a size, says which axes collectives may name. With
    `return_shape`, the result is a pair of the graph and what `eval_shape` gives.
    """

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with ExitStack() as axes:
            for name, size in axis_env or ():
                axes.enter_context(bound(name, size))
            traced = _traced(fun, args, kwargs, static_argnums)
        return (traced.graph, _types(traced)) if return_shape else traced.graph

    return wrapper


def eval_shape(fun: Callable, *args: Any, **kwargs: Any) -> Any:
    """The result of `fun` as a pytree of ShapeDtypeStructs; nothing is computed."""
    return _types(_traced(fun, args, kwargs))


def _types(traced: Traced) -> Any:
    pairs = zip(traced.graph.out_avals, traced.weak, strict=True)
    types = [ShapeDtypeStruct(a.shape, a.dtype, weak_type=weak) for a, weak in pairs]
    return tree.unflatten(traced.out_tree, types)


@contextmanager
def named_scope(name: str) -> Iterator[None]:
    """Equations traced inside are marked with `name`, which profiles and dumps show."""
    builder = current()
    if builder is None:
        yield
        return
    saved = builder.scope
    builder.scope = f"{saved}/{name}" if saved else name
    try:
        yield
    finally:
        builder.scope = saved


def stage(number: int) -> AbstractContextManager[None]:
    """Equations traced inside belong to this stage of a pipeline; see `ir.passes.stages`."""
    return named_scope(f"stage({number})")


def named_call(fun: Callable, *, name: str | None = None) -> Callable:
    """`fun`, whose equations are marked with `name`, by default its own."""
    label = name or getattr(fun, "__name__", repr(fun))

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with named_scope(label):
            return fun(*args, **kwargs)

    return wrapper


# --- moving data ------------------------------------------------------------------------------


def device_get(x: Any) -> Any:
    """A pytree's arrays as numpy arrays; all copies are under way before the first is awaited."""
    for leaf in tree.leaves(x):
        if isinstance(leaf, Array):
            leaf.copy_to_host_async()
    return tree.map(np.asarray, x)


def device_put(x: Any, device: Any = None, *, src: Any = None) -> Any:
    """A pytree's leaves as our arrays; they are uploaded at their first use.

    `device` is the one there is, or shardings as a tree prefix of x, which must fit; arrays know
    where they come from, whatever `src` says. Raises ValueError.
    """
    if isinstance(device, (NamedSharding, PartitionSpec, dict, list, tuple)):
        x = with_sharding_constraint(x, device)
    else:
        checked_device(device)
    return tree.map(_put, x)


def _put(leaf: Any) -> Any:
    return leaf if isinstance(leaf, (Array, Tracer)) else Array.from_host(leaf)


def typeof(x: Any) -> Any:
    """The type of an array-like: its `shape`, `dtype` and `weak_type`. Raises TypeError."""
    try:
        aval = leaf_aval(x)
    except TypeError:
        kind = type(x)
        raise located(
            TypeError, f"Argument {x!r} of type {kind} is not a valid JAX type: it is no array"
        ) from None
    return ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=isinstance(aval, WeakAval))


def block_until_ready(x: Any) -> Any:
    """Wait for every array of a pytree; returns it."""
    arrays = [leaf for leaf in tree.leaves(x) if isinstance(leaf, Array)]
    for leaf in arrays:
        leaf.check_alive()
    wait([leaf._buffer for leaf in arrays])
    effects_barrier()
    return x
