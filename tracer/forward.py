"""Forward mode: tangents, linear maps and whole Jacobians.

Invariant: as in `api`, an inner function is traced to a graph, the graph is transformed and the
result inlined. A Jacobian has the structure of the result, with the structure of the arguments in
each of its leaves, and the axes of the result before those of the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

import numpy as np

from ir.build import current
from ir.graph import Aval, Graph
from ir.passes.batch import batch_all
from ir.passes.effects import without_effects
from ir.passes.forward import jvp_graph
from ir.passes.grad import vjp_graph

from . import tree
from .api import chosen_arguments, with_aux
from .array import aval_of, type_of
from .creation import eye
from .errors import located
from .shaping import moveaxis, reshape
from .staging import SCALARS, Traced, inline_traced, operand, run_now, scalar, trace

float0 = np.dtype([("float0", np.void, 0)])  # what tangents of integers and bools are made of


def jvp(fun: Callable, primals: Sequence, tangents: Sequence, has_aux: bool = False) -> tuple:
    """(fun(*primals), its directional derivative along `tangents`), and aux with `has_aux`.

    Tangents have the structure and types of the primals; those of integers are numpy arrays of
    dtype `float0`. Raises TypeError for other structures and dtypes, ValueError for other shapes.
    """
    return _pushed(fun, primals, tangents, has_aux, lambda graph: graph)


def _pushed(
    fun: Callable,
    primals: Sequence,
    tangents: Sequence,
    has_aux: bool,
    prepared: Callable[[Graph], Graph],
) -> tuple:
    for given in (primals, tangents):
        if not isinstance(given, (tuple, list)):
            raise located(
                TypeError,
                "primal and tangent arguments to jvp must be tuples or lists; found "
                f"{type(primals).__name__} and {type(tangents).__name__}.",
            )
    leaves, in_tree = tree.flatten(tuple(primals))
    inputs = [operand(leaf, "jvp") for leaf in leaves]
    along = _tangents(inputs, in_tree, tangents)
    body = Flat(fun, in_tree, has_aux)

    def run() -> list:
        traced = trace(body, [type_of(x) for x in inputs])
        first = len(traced.captured)
        wrt = [first + i for i, t in enumerate(along) if t is not None]
        graph = jvp_graph(prepared(traced.graph), wrt, body.count)
        return inline_traced(traced, graph, [*inputs, *(t for t in along if t is not None)])

    outs = run_now(run) if current() is None else run()
    count = body.count + body.aux_tree.num_leaves
    found = iter(outs[count:])
    pushed = [_tangent_of(x, found) for x in outs[: body.count]]
    result = body.value(outs), tree.unflatten(body.out_tree, pushed)
    return (*result, body.aux(outs)) if has_aux else result


def _tangent_of(x: Any, found: Any) -> Any:
    aval = aval_of(x)
    return next(found) if aval.dtype.is_float else np.zeros(aval.shape, float0)


def _tangents(inputs: list, in_tree: tree.Structure, tangents: Sequence) -> list:
    """A tangent for each input, None for integers."""
    leaves, given = tree.flatten(tuple(tangents))
    if given != in_tree:
        raise located(
            TypeError,
            "primal and tangent arguments to jvp must have the same tree structure; primals have "
            f"tree structure {in_tree} whereas tangents have tree structure {given}.",
        )
    return [_tangent(x, t) for x, t in zip(inputs, leaves, strict=True)]


def _tangent(x: Any, tangent: Any) -> Any:
    aval = aval_of(x)
    empty = getattr(tangent, "dtype", None) == float0
    if isinstance(tangent, SCALARS) and not isinstance(tangent, np.generic) and aval.dtype.is_float:
        tangent = scalar(tangent, aval.dtype)
    elif not empty:
        tangent = operand(tangent, "jvp")
    kind = float0 if empty else aval_of(tangent).dtype.np
    wanted = aval.dtype.np if aval.dtype.is_float else float0
    if kind != wanted:
        raise located(
            TypeError,
            "primal and tangent arguments to jvp do not match; dtypes must be equal, or in case of "
            "int/bool primal dtype the tangent dtype must be float0. Got primal dtype "
            f"{aval.dtype.np}, and so expected tangent dtype {_name(wanted)}, but got tangent "
            f"dtype {_name(kind)} instead.",
        )
    shape = tangent.shape if empty else aval_of(tangent).shape
    if shape != aval.shape:
        raise located(
            ValueError,
            "jvp called with different primal and tangent shapes; Got primal shape "
            f"{aval.shape} and tangent shape as {shape}",
        )
    return None if empty else tangent


def _name(kind: np.dtype) -> str:
    return "float0" if kind == float0 else kind.name


def linearize(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(fun(*primals), the linear map from tangents to tangents there), and aux with `has_aux`.

    Outside of a trace the map computes the forward values again.
    """
    leaves, in_tree = tree.flatten(primals)
    inputs = [operand(leaf, "linearize") for leaf in leaves]
    body = Flat(fun, in_tree, has_aux)

    def forward() -> list:
        traced = trace(body, [type_of(x) for x in inputs])
        return inline_traced(traced, traced.graph, inputs)

    outs = run_now(forward) if current() is None else forward()

    def pushforward(*tangents: Any) -> Any:
        return _pushed(fun, primals, tangents, has_aux, without_effects)[1]

    result = body.value(outs), pushforward
    return (*result, body.aux(outs)) if has_aux else result


class Flat:
    """A function of leaves that returns leaves: those of its value, then those of its aux.

    Calling it records the trees, and `count`, the number of leaves of the value.
    """

    def __init__(self, fun: Callable, in_tree: tree.Structure, has_aux: bool) -> None:
        self.fun, self.in_tree, self.has_aux = fun, in_tree, has_aux

    def __call__(self, *leaves: Any) -> list:
        out = self.fun(*tree.unflatten(self.in_tree, leaves))
        value, aux = with_aux(self.fun, out) if self.has_aux else (out, None)
        values, self.out_tree = tree.flatten(value)
        others, self.aux_tree = tree.flatten(aux)
        self.count = len(values)
        return [*values, *others]

    def value(self, outs: Sequence[Any]) -> Any:
        return tree.unflatten(self.out_tree, outs[: self.count])

    def aux(self, outs: Sequence[Any]) -> Any:
        stop = self.count + self.aux_tree.num_leaves
        return tree.unflatten(self.aux_tree, outs[self.count : stop])


# --- Jacobians ------------------------------------------------------------------------------------


def jacfwd(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The Jacobian by forward mode, one column for each element of the arguments.

    Cheap where there are fewer arguments than results. Leaves have shape result + argument. With
    `has_aux`, (Jacobian, aux). Raises TypeError for integer arguments and results.
    """
    return _jacobian("jacfwd", _columns, fun, argnums, has_aux)


def jacrev(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The Jacobian by reverse mode, one row for each element of the result; otherwise `jacfwd`."""
    return _jacobian("jacrev", _rows, fun, argnums, has_aux)


def hessian(fun: Callable, argnums: int | Sequence[int] = 0, has_aux: bool = False) -> Callable:
    """The matrix of second derivatives, forward over reverse."""
    return jacfwd(jacrev(fun, argnums, has_aux), argnums, has_aux)


def _jacobian(name: str, matrix: Callable, fun: Callable, argnums: Any, has_aux: bool) -> Callable:
    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return run_now(lambda: wrapper(*args, **kwargs))
        chosen = chosen_arguments(fun, argnums, len(args))

        def partial(*parts: Any) -> Any:
            given = list(args)
            for i, part in zip(chosen, parts, strict=True):
                given[i] = part
            return fun(*given, **kwargs)

        leaves, in_tree = tree.flatten(tuple(args[i] for i in chosen))
        inputs = [operand(leaf, name) for leaf in leaves]
        for x in inputs:
            _check_real(name, "input", aval_of(x))
        body = Flat(partial, in_tree, has_aux)
        traced = trace(body, [type_of(x) for x in inputs])
        for aval in traced.graph.out_avals[: body.count]:
            _check_real(name, "output", aval)
        blocks = matrix(Tracing(traced, body.count), inputs)
        single = isinstance(argnums, int)
        per_result = [tree.unflatten(in_tree, row) for row in blocks]
        found = tree.unflatten(body.out_tree, [r[0] if single else r for r in per_result])
        if not has_aux:
            return found
        return found, body.aux(inline_traced(traced, traced.graph, inputs))

    return wrapper


def _check_real(name: str, role: str, aval: Aval) -> None:
    if not aval.dtype.is_float:
        raise located(
            TypeError,
            f"{name} requires real-valued {role}s ({role} dtype that is a sub-dtype of "
            f"np.floating), but got {aval.dtype.np.name}.",
        )


@dataclass(frozen=True)
class Tracing:
    """A traced function whose first `count` outputs are its value, all floats."""

    traced: Traced
    count: int

    @property
    def out_avals(self) -> tuple[Aval, ...]:
        return self.traced.graph.out_avals[: self.count]

    def each(self, transform: Callable, inputs: list, avals: Sequence[Aval]) -> list:
        """What `transform` adds to the graph's outputs, for each unit vector of `avals`."""
        graph, first = self.traced.graph, len(self.traced.captured)
        wider = transform(graph, range(first, first + len(inputs)), self.count)
        added = Graph(wider.ins, wider.eqns, wider.outs[len(graph.outs) :])
        total, directions = _basis(avals)
        mask = (False,) * len(graph.ins) + (True,) * len(directions)
        batched = batch_all(added, mask, total)
        return inline_traced(replace(self.traced, weak=()), batched, [*inputs, *directions])


def _columns(of: Tracing, inputs: list) -> list[list]:
    avals = [aval_of(x) for x in inputs]
    columns = of.each(jvp_graph, inputs, avals)
    return [
        [
            reshape(moveaxis(part, 0, -1), out.shape + a.shape)
            for part, a in zip(_parts(column, avals), avals, strict=True)
        ]
        for column, out in zip(columns, of.out_avals, strict=True)
    ]


def _rows(of: Tracing, inputs: list) -> list[list]:
    avals = of.out_avals
    rows = [_parts(row, avals) for row in of.each(vjp_graph, inputs, avals)]
    return [
        [reshape(row[k], a.shape + aval_of(x).shape) for row, x in zip(rows, inputs, strict=True)]
        for k, a in enumerate(avals)
    ]


def _basis(avals: Sequence[Aval]) -> tuple[int, list]:
    """(number of elements, for each leaf the unit vectors of all leaves): [total, *shape]."""
    total = sum(a.size for a in avals)
    found = []
    start = 0
    for a in avals:
        unit = eye(total, a.size, -start, dtype=a.dtype.np)
        found.append(reshape(unit, (total, *a.shape)))
        start += a.size
    return total, found


def _parts(x: Any, avals: Sequence[Aval]) -> list:
    """The rows of each leaf's elements."""
    found, start = [], 0
    for a in avals:
        found.append(x[start : start + a.size])
        start += a.size
    return found


__all__ = ["float0", "hessian", "jacfwd", "jacrev", "jvp", "linearize"]
