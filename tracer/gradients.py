"""Gradients of scalar functions.

Invariant: an inner function is traced to a graph of its own, the graph is transformed, and the
result is inlined where the transformed function was called; outside of any trace the whole call is
traced, compiled and run as one program. It is traced again at each call, because what a function
closes over may have changed; the compiled program is found again.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np

from ir.build import current
from ir.passes.grad import grad_graph

from . import tree
from .array import Array, Tracer, aval_of, is_weak, type_of
from .errors import Origin, check_callable, located
from .staging import SCALARS, inline_traced, marked, operand, run_now, trace

float0 = np.dtype([("float0", np.void, 0)])  # what derivatives of integers and bools are made of


def value_and_grad(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable:
    """(value, gradient) of a scalar function of pytrees of floats.

    `argnums` says which arguments to differentiate: an int, or a tuple for a tuple of gradients.
    With `has_aux`, `fun` returns (scalar, aux) and the value is that pair. With `allow_int`,
    integers have gradients of dtype `float0`. `holomorphic` asks for complex numbers, which devices
    do not have. Raises TypeError for integer arguments and for results that are not scalar floats.
    """
    check_callable(fun)
    argnums = checked_argnums(argnums)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return _Gradient(fun, argnums, has_aux, holomorphic, allow_int, args, kwargs)()

    return wrapper


def grad(
    fun: Callable,
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    holomorphic: bool = False,
    allow_int: bool = False,
) -> Callable:
    """The gradient alone: `value_and_grad` without the value; with `has_aux`, (gradient, aux)."""
    both = value_and_grad(fun, argnums, has_aux, holomorphic, allow_int)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return (found, value[1]) if has_aux else found

    return wrapper


class _Gradient:
    """One call of `value_and_grad`."""

    def __init__(self, fun, argnums, has_aux, holomorphic, allow_int, args, kwargs) -> None:
        self.body = Flat(Partially(fun, argnums, args, kwargs), None, has_aux, scalar_result)
        self.body.in_tree, self.inputs = self.body.fun.inputs("grad")
        self.single = isinstance(argnums, int)
        for x in self.inputs:
            check_input("grad", x, holomorphic, allow_int)

    def __call__(self) -> tuple:
        outs = run_now(self._run) if current() is None else self._run()
        smooth = iter(outs[self.body.total :])
        found = tree.unflatten(self.body.in_tree, [or_float0(x, smooth) for x in self.inputs])
        value = self.body.value(outs)
        value = (value, self.body.aux(outs)) if self.body.has_aux else value
        return value, found[0] if self.single else found

    def _run(self) -> list:
        fun = self.body.fun.fun
        traced = trace(self.body, [type_of(x) for x in self.inputs], origin=Origin(fun, "grad"))
        first = len(traced.captured)
        joint = grad_graph(traced.graph, [first + i for i in float_places(self.inputs)])
        outs = inline_traced(traced, joint, self.inputs, once=True)
        smooth = (x for x in self.inputs if aval_of(x).dtype.is_float)
        pairs = zip(outs[self.body.total :], smooth, strict=True)
        return [*outs[: self.body.total], *(marked(ct, is_weak(x)) for ct, x in pairs)]


# --- functions of leaves --------------------------------------------------------------------------


class Partially:
    """A function of some of its arguments, the others fixed."""

    def __init__(self, fun: Callable, argnums: Any, args: tuple, kwargs: dict) -> None:
        self.fun, self.args, self.kwargs = fun, args, kwargs
        self.chosen = chosen_arguments(argnums, len(args))

    def __call__(self, *parts: Any) -> Any:
        given = list(self.args)
        for i, part in zip(self.chosen, parts, strict=True):
            given[i] = part
        return self.fun(*given, **self.kwargs)

    def inputs(self, name: str) -> tuple[tree.Structure, list]:
        """The structure and leaves of the arguments chosen."""
        leaves, in_tree = tree.flatten(tuple(self.args[i] for i in self.chosen))
        return in_tree, [as_input(leaf, name) for leaf in leaves]


class Flat:
    """A function of leaves that returns leaves: those of its value, then those of its aux.

    Calling it records the trees, and `count`, the number of leaves of the value.
    """

    def __init__(
        self, fun: Callable, in_tree: Any, has_aux: bool, checked: Callable = lambda value: value
    ) -> None:
        self.fun, self.in_tree, self.has_aux, self.checked = fun, in_tree, has_aux, checked

    def __call__(self, *leaves: Any) -> list:
        out = self.fun(*tree.unflatten(self.in_tree, leaves))
        value, aux = with_aux(out) if self.has_aux else (out, None)
        values, self.out_tree = tree.flatten(self.checked(value))
        others, self.aux_tree = tree.flatten(aux)
        self.count, self.total = len(values), len(values) + len(others)
        return [*values, *others]

    def value(self, outs: Sequence[Any]) -> Any:
        return tree.unflatten(self.out_tree, outs[: self.count])

    def aux(self, outs: Sequence[Any]) -> Any:
        return tree.unflatten(self.aux_tree, outs[self.count : self.total])


def with_aux(out: Any) -> tuple[Any, Any]:
    """The (value, aux) that a function with aux returned. Raises TypeError for anything else."""
    if not isinstance(out, tuple) or len(out) != 2:
        raise located(
            TypeError,
            "expected function with aux output to return a two-element tuple, but got type "
            f"{type(out)} with value {out}",
        )
    return out


def checked_argnums(argnums: Any) -> int | tuple[int, ...]:
    """`argnums` as an int or a tuple of them. Raises TypeError for anything else."""
    if isinstance(argnums, (tuple, list)):
        return tuple(map(operator.index, argnums))
    return operator.index(argnums)


def chosen_arguments(argnums: int | Sequence[int], count: int) -> list[int]:
    """The positions of `argnums` among `count` arguments."""
    given = [argnums] if isinstance(argnums, int) else list(argnums)
    for i in given:
        if not -count <= i < count:
            least = i + 1 if i >= 0 else -i
            raise located(
                TypeError,
                f"differentiating with respect to argnums={argnums} requires at least {least} "
                f"positional arguments to be passed by the caller, but got only {count} positional "
                "arguments.",
            )
    return [i % count for i in given]


# --- types ----------------------------------------------------------------------------------------


def as_input(leaf: Any, name: str) -> Any:
    """A leaf of a differentiated argument as an operand. Raises TypeError for other objects."""
    if not isinstance(leaf, (Tracer, Array, np.ndarray, *SCALARS)):
        text = f"Argument {leaf!r} of type {type(leaf)} is not a valid JAX type."
        raise located(TypeError, f"{text} {name} takes arrays and numbers")
    return operand(leaf, name)


def float_places(xs: Sequence[Any]) -> list[int]:
    """Which of the operands have derivatives."""
    return [i for i, x in enumerate(xs) if aval_of(x).dtype.is_float]


def or_float0(x: Any, smooth: Any) -> Any:
    """The next of `smooth` for a float; zeros of dtype float0 for anything else."""
    aval = aval_of(x)
    return next(smooth) if aval.dtype.is_float else np.zeros(aval.shape, float0)


def check_input(name: str, x: Any, holomorphic: bool = False, allow_int: bool = False) -> None:
    """Raises TypeError for what `name` cannot differentiate with respect to."""
    kind = aval_of(x).dtype
    if holomorphic:
        text = f"{name} with holomorphic=True requires inputs with complex dtype, but got"
        raise located(TypeError, f"{text} {kind.np.name}.")
    if not kind.is_float and not allow_int:
        real = "real-valued", "np.floating"
        what, among = real if name == "jacfwd" else ("real- or complex-valued", "np.inexact")
        raise located(
            TypeError,
            f"{name} requires {what} inputs (input dtype that is a sub-dtype of {among}), but got "
            f"{kind.np.name}. If you want to use Boolean- or integer-valued inputs, use vjp or set "
            "allow_int to True, or convert them with .astype('float32').",
        )


def scalar_result(value: Any) -> Any:
    """The value of a function with a gradient. Raises TypeError unless it is a scalar float."""
    message = "Gradient only defined for scalar-output functions. "
    if not isinstance(value, (Tracer, Array, np.ndarray, int, float, np.generic)):
        raise located(TypeError, f"{message}Output was {value}.")
    x = operand(value)
    aval = aval_of(x)
    if aval.shape:
        raise located(TypeError, f"{message}Output had shape: {aval.shape}.")
    check_output("grad", aval)
    return x


def check_output(name: str, aval: Any) -> None:
    """Raises TypeError for a result that has no derivative."""
    if not aval.dtype.is_float:
        raise located(
            TypeError,
            f"{name} requires real-valued outputs (output dtype that is a sub-dtype of "
            f"np.floating), but got {aval.dtype.np.name}. For differentiation of functions with "
            "integer outputs, use vjp directly.",
        )


__all__ = ["float0", "grad", "value_and_grad"]
