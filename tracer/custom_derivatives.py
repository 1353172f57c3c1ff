"""Derivatives by hand, and what helps to write them.

Invariant: a function that has been converted closes over no traced value.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import update_wrapper
from typing import Any

from ir.build import current, inline
from ir.graph import Graph, Var

from . import tree
from .array import Tracer, aval_of
from .custom import custom_jvp, custom_vjp
from .errors import Origin, check_callable, located
from .staging import operand, run_now, staged, trace
from .tree_util import Partial


def closure_convert(fun: Callable, *example_args: Any) -> tuple[Callable, list]:
    """(converted, consts): converted(*args, *consts) is fun(*args).

    `consts` are the traced values that `fun` closes over; concrete arrays stay inside. The
    arguments of `converted` have the structure and types of `example_args`.
    """
    check_callable(fun)
    leaves, in_tree = tree.flatten(tuple(example_args))
    inputs = [operand(x, "closure_convert") for x in leaves]

    def flat(*xs: Any) -> Any:
        return fun(*tree.unflatten(in_tree, xs))

    traced = trace(flat, [aval_of(x) for x in inputs], origin=Origin(fun, "closure_convert"))
    if traced.constants:  # outside of a trace nothing can be traced
        return fun, []
    consts = [Tracer(v) for v in traced.captured if isinstance(v, Var)]
    return _Converted(traced.graph, in_tree, traced.out_tree), consts


@dataclass(frozen=True, eq=False)
class _Converted:
    """A function of arguments, then of what it closed over."""

    graph: Graph
    in_tree: tree.Structure
    out_tree: tree.Structure

    def __call__(self, *given: Any) -> Any:
        args, consts = given[: self.in_tree.num_children], given[self.in_tree.num_children :]
        leaves, structure = tree.flatten(tuple(args))
        if structure != self.in_tree:
            text = "a converted function takes arguments of structure"
            raise located(TypeError, f"{text} {self.in_tree}, got {structure}")

        def run() -> list:
            values = [staged(operand(x, "closure_convert")) for x in (*consts, *leaves)]
            return [Tracer(v) for v in inline(self.graph, values)]

        outs = run_now(run) if current() is None else run()
        return tree.unflatten(self.out_tree, outs)


def custom_gradient(fun: Callable) -> Callable:
    """A function with the pullback that it returns: fun(*args) -> (out, pullback).

    `pullback(cotangent)` gives a cotangent for each argument, in a tuple if there are several.
    """
    check_callable(fun)

    def value(*args: Any) -> Any:
        return fun(*args)[0]

    wrapped = custom_vjp(update_wrapper(value, fun, updated=()))

    def forward(*args: Any) -> tuple:
        out, pullback = fun(*args)
        converted, consts = closure_convert(pullback, out)
        return out, Partial(_ConstsLast(converted), *consts)

    def backward(pullback: Partial, ct: Any) -> tuple:
        found = pullback(ct)
        return found if isinstance(found, tuple) else (found,)

    wrapped.defvjp(forward, backward)
    return wrapped


@dataclass(frozen=True, eq=False)
class _ConstsLast:
    """A converted function, called with what it closed over first."""

    converted: Callable

    def __call__(self, *given: Any) -> Any:
        return self.converted(given[-1], *given[:-1])


__all__ = ["closure_convert", "custom_gradient", "custom_jvp", "custom_vjp"]
