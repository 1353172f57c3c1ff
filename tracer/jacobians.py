"""Whole Jacobians.

Invariant: a Jacobian has the structure of the result, with the structure of the arguments in each
of its leaves, and the axes of the result before those of the argument.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import wraps
from typing import Any

from ir.build import current
from ir.graph import Aval, Graph
from ir.passes.batch import batch_all
from ir.passes.forward import jvp_graph
from ir.passes.grad import vjp_graph

from . import tree
from .array import aval_of, type_of
from .creation import eye
from .errors import Origin, check_callable
from .gradients import Flat, Partially, check_input, check_output, checked_argnums, float_places
from .shaping import moveaxis, reshape
from .staging import Traced, filled, inline_traced, run_now, trace


def jacfwd(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable:
    """The Jacobian by forward mode, one column for each element of the arguments.

    Cheap where there are fewer arguments than results. Leaves have shape result + argument. With
    `has_aux`, (Jacobian, aux). `holomorphic` asks for complex numbers, which devices do not have.
    Raises TypeError for integer arguments and results.
    """
    return _jacobian("jacfwd", _columns, fun, argnums, has_aux, holomorphic)


def jacrev(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable:
    """The Jacobian by reverse mode, one row for each element of the result; otherwise `jacfwd`.

    With `allow_int`, the derivatives by integers are zeros of their dtype.
    """
    return _jacobian("jacrev", _rows, fun, argnums, has_aux, holomorphic, allow_int)


jacobian = jacrev


def hessian(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
) -> Callable:
    """The matrix of second derivatives, forward over reverse."""
    inner = jacrev(fun, argnums, has_aux, holomorphic)
    return jacfwd(inner, argnums, has_aux, holomorphic)


def _jacobian(
    name: str,
    matrix: Callable,
    fun: Callable,
    argnums: Any,
    has_aux: bool,
    holomorphic: bool,
    allow_int: bool = False,
) -> Callable:
    check_callable(fun)
    argnums = checked_argnums(argnums)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current() is None:
            return run_now(lambda: wrapper(*args, **kwargs))
        part = Partially(fun, argnums, args, kwargs)
        in_tree, inputs = part.inputs(name)
        for x in inputs:
            check_input(name, x, holomorphic, allow_int)
        body = Flat(part, in_tree, has_aux)
        traced = trace(body, [type_of(x) for x in inputs], origin=Origin(fun, name))
        for aval in traced.graph.out_avals[: body.count]:
            check_output(name, aval)
        blocks = _with_zeros(matrix, Tracing(traced, body.count), inputs)
        per_result = [tree.unflatten(in_tree, row) for row in blocks]
        single = isinstance(argnums, int)
        found = tree.unflatten(body.out_tree, [r[0] if single else r for r in per_result])
        if not has_aux:
            return found
        return found, body.aux(inline_traced(traced, traced.graph, inputs))

    return wrapper


def _with_zeros(matrix: Callable, of: Tracing, inputs: list) -> list[list]:
    """Blocks of all inputs, those of integers zero."""
    blocks = []
    for row, out in zip(matrix(of, inputs), of.out_avals, strict=True):
        smooth = iter(row)
        avals = [aval_of(x) for x in inputs]
        blocks.append(
            [
                next(smooth) if a.dtype.is_float else filled(0, a.dtype, out.shape + a.shape)
                for a in avals
            ]
        )
    return blocks


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
        wider = transform(graph, [first + i for i in float_places(inputs)], self.count)
        added = Graph(wider.ins, wider.eqns, wider.outs[len(graph.outs) :])
        total, directions = _basis(avals)
        mask = (False,) * len(graph.ins) + (True,) * len(directions)
        batched = batch_all(added, mask, total)
        return inline_traced(replace(self.traced, weak=()), batched, [*inputs, *directions])


def _columns(of: Tracing, inputs: list) -> list[list]:
    avals = [aval_of(inputs[i]) for i in float_places(inputs)]
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
    smooth = [inputs[i] for i in float_places(inputs)]
    rows = [_parts(row, avals) for row in of.each(vjp_graph, inputs, avals)]
    return [
        [reshape(row[k], a.shape + aval_of(x).shape) for row, x in zip(rows, smooth, strict=True)]
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


__all__ = ["hessian", "jacfwd", "jacobian", "jacrev"]
