"""Transformations of functions: gradients, graphs, shapes.

Invariant: an inner function is traced to a graph of its own, the graph is transformed, and the
result is inlined where the transformed function was called; outside of any trace the whole call is
traced, compiled and run as one program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np

from ir.build import current
from ir.graph import Graph
from ir.passes.effects import without_effects
from ir.passes.grad import grad_graph, vjp_graph

from . import tree
from .array import Array, Tracer, aval_of, is_weak, type_of
from .callbacks import effects_barrier
from .calls import ShapeDtypeStruct, checked_avals, hints
from .errors import Origin, check_callable, located
from .jit import wait
from .roles import Nums, roles
from .staging import Traced, inline_traced, marked, operand, run_now, trace


def value_and_grad(
    fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable:
    """(value, gradient) of a scalar function of pytrees of floats.

    `argnums` says which arguments to differentiate: an int, or a tuple for a tuple of gradients.
    With `has_aux`, `fun` returns (scalar, aux) and the value is that pair. Raises TypeError for
    integer arguments and for results that are not scalar floats.
    """
    check_callable(fun)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return run_now(lambda: wrapper(*args, **kwargs))
        return _value_and_grad(fun, argnums, has_aux, args, kwargs)

    return wrapper


def grad(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The gradient alone: `value_and_grad` without the value; with `has_aux`, (gradient, aux)."""
    both = value_and_grad(fun, argnums, has_aux)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapper


def _value_and_grad(
    fun: Callable, argnums: int | Sequence[int], has_aux: bool, args: tuple, kwargs: dict
) -> tuple:
    chosen = chosen_arguments(fun, argnums, len(args))
    leaves, in_tree = tree.flatten(tuple(args[i] for i in chosen))
    inputs = [_differentiable(leaf) for leaf in leaves]
    aux_trees = []

    def body(*tracers: Any) -> Any:
        given = list(args)
        for i, part in zip(chosen, tree.unflatten(in_tree, tracers), strict=True):
            given[i] = part
        out = fun(*given, **kwargs)
        value, aux = with_aux(fun, out) if has_aux else (out, None)
        aux_leaves, aux_tree = tree.flatten(aux)
        aux_trees.append(aux_tree)
        return [_scalar(value), *aux_leaves]

    traced = trace(body, [type_of(x) for x in inputs], origin=Origin(fun, "grad"))
    first, count = len(traced.captured), len(traced.graph.outs)
    joint = grad_graph(traced.graph, range(first, first + len(inputs)))
    outs = inline_traced(traced, joint, inputs)
    cotangents = [marked(ct, is_weak(x)) for ct, x in zip(outs[count:], inputs, strict=True)]
    found = tree.unflatten(in_tree, cotangents)
    value = (outs[0], tree.unflatten(aux_trees[0], outs[1:count])) if has_aux else outs[0]
    return value, found[0] if isinstance(argnums, int) else found


def chosen_arguments(fun: Callable, argnums: int | Sequence[int], count: int) -> list[int]:
    given = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in given:
        if not -count <= i < count:
            raise located(
                TypeError,
                f"differentiating with respect to argnums={argnums} requires at least {i + 1} "
                f"positional arguments, {getattr(fun, '__name__', fun)} was given {count}",
            )
    return [i % count for i in given]


def _differentiable(leaf: Any) -> Any:
    x = operand(leaf, "grad")
    kind = aval_of(x).dtype
    if not kind.is_float:
        raise located(
            TypeError,
            "grad requires real- or complex-valued inputs (input dtype that is a sub-dtype of "
            f"np.inexact), but got {kind.np.name}. Convert it with .astype('float32'), or leave "
            "it out of argnums",
        )
    return x


def with_aux(fun: Callable, out: Any) -> tuple[Any, Any]:
    if not isinstance(out, tuple) or len(out) != 2:
        raise located(
            TypeError,
            "with has_aux=True the function must return a pair (value, aux), got "
            f"{type(out).__name__}",
        )
    return out


def _scalar(value: Any) -> Any:
    message = "Gradient only defined for scalar-output functions. "
    if not isinstance(value, (Tracer, Array, np.ndarray, int, float, np.generic)):
        raise located(TypeError, f"{message}Output was a {type(value).__name__}")
    x = operand(value)
    aval = aval_of(x)
    if aval.shape:
        raise located(TypeError, f"{message}Output had shape: {aval.shape}")
    if not aval.dtype.is_float:
        raise located(
            TypeError,
            "grad requires real-valued outputs (output dtype that is a sub-dtype of "
            f"np.floating), but got {aval.dtype.np.name}",
        )
    return x


def vjp(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(fun(*primals), pullback): `pullback(cotangents)` gives a tuple, one pytree per primal.

    The cotangents have the structure and types of the result. With `has_aux`, `fun` returns
    (out, aux) and the result is (out, pullback, aux). Outside of a trace the pullback computes
    the forward values again.
    """
    leaves, in_tree = tree.flatten(primals)
    inputs = [_differentiable(leaf) for leaf in leaves]
    aux_trees, out_trees = [], []

    def body(*tracers: Any) -> Any:
        out = fun(*tree.unflatten(in_tree, tracers))
        value, aux = with_aux(fun, out) if has_aux else (out, None)
        values, out_tree = tree.flatten(value)
        aux_leaves, aux_tree = tree.flatten(aux)
        out_trees.append(out_tree)
        aux_trees.append(aux_tree)
        return [*values, *aux_leaves]

    def forward() -> list:
        traced = trace(body, [type_of(x) for x in inputs])
        return inline_traced(traced, traced.graph, inputs)

    outs = run_now(forward) if current() is None else forward()
    out_tree, aux_tree = out_trees[-1], aux_trees[-1]
    count = out_tree.num_leaves

    def pullback(cotangents: Any) -> tuple:
        if current() is None:
            return run_now(lambda: pullback(cotangents))
        traced = trace(body, [type_of(x) for x in inputs])
        cts = _cotangents(cotangents, out_tree, traced)
        return tree.unflatten(in_tree, _pull_back(traced, inputs, cts))

    value = tree.unflatten(out_tree, outs[:count])
    if not has_aux:
        return value, pullback
    return value, pullback, tree.unflatten(aux_tree, outs[count:])


def _cotangents(cotangents: Any, out_tree: tree.Structure, traced: Traced) -> list:
    leaves, given = tree.flatten(cotangents)
    if given != out_tree:
        raise located(
            TypeError, f"the cotangents have structure {given}, the result has {out_tree}"
        )
    found = [operand(leaf, "vjp") for leaf in leaves]
    for ct, out in zip(found, traced.graph.outs, strict=False):
        if aval_of(ct) != out.aval:
            raise located(
                TypeError,
                f"a cotangent has type {aval_of(ct)} where the result has type {out.aval}",
            )
    return found


def _pull_back(traced: Traced, inputs: list, cts: list) -> list:
    """Cotangents of `inputs`; auxiliary results have none."""
    from ir.build import lit_like

    first, outs = len(traced.captured), traced.graph.outs
    joint = vjp_graph(without_effects(traced.graph), range(first, first + len(inputs)))
    zeros = [lit_like(0, v) for v in outs[len(cts) :]]
    found = inline_traced(traced, joint, [*inputs, *cts, *zeros])[len(outs) :]
    return [marked(ct, is_weak(x)) for ct, x in zip(found, inputs, strict=True)]


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


def make_jaxpr(
    fun: Callable, static_argnums: Nums = None, return_shape: bool = False
) -> Callable[..., Any]:
    """`graph_of` under JAX's name; the IR takes the place of a jaxpr.

    With `return_shape`, the result is a pair of the graph and what `eval_shape` gives.
    """

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        traced = _traced(fun, args, kwargs, static_argnums)
        return (traced.graph, _types(traced)) if return_shape else traced.graph

    return wrapper


def eval_shape(fun: Callable, *args: Any, **kwargs: Any) -> Any:
    """The result of `fun` as a pytree of ShapeDtypeStructs; nothing is computed."""
    return _types(_traced(fun, args, kwargs))


def _types(traced: Traced) -> Any:
    types = [ShapeDtypeStruct(a.shape, a.dtype) for a in traced.graph.out_avals]
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


# --- moving data ------------------------------------------------------------------------------


def device_get(x: Any) -> Any:
    """A pytree's arrays as numpy arrays; all copies are under way before the first is awaited."""
    for leaf in tree.leaves(x):
        if isinstance(leaf, Array):
            leaf.copy_to_host_async()
    return tree.map(np.asarray, x)


def device_put(x: Any) -> Any:
    """A pytree's leaves as our arrays; they are uploaded at their first use."""
    return tree.map(lambda leaf: leaf if isinstance(leaf, Array) else Array.from_host(leaf), x)


def block_until_ready(x: Any) -> Any:
    """Wait for every array of a pytree; returns it."""
    arrays = [leaf for leaf in tree.leaves(x) if isinstance(leaf, Array)]
    for leaf in arrays:
        leaf.check_alive()
    wait([leaf._buffer for leaf in arrays])
    effects_barrier()
    return x
