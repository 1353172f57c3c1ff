"""Derivatives as functions: pullbacks, pushforwards and transposes.

Invariant: the function is traced once. Its values are computed once too: what the derivative reads
of them is kept in the function returned, a pytree whose leaves they are, so that it may cross the
boundary of a `jit`. Values of `checkpoint`ed functions are computed again when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ir.build import current, inline
from ir.graph import Aval, Graph, Lit
from ir.passes.effects import without_effects
from ir.passes.forward import jvp_graph
from ir.passes.grad import vjp_graph
from ir.passes.partition import partition
from ir.passes.simplify import dce

from . import tree
from .agreement import structure_mismatch
from .array import Tracer, aval_of, type_of
from .calls import ShapeDtypeStruct
from .errors import Origin, check_callable, describe_function, located
from .gradients import Flat, as_input, float_places, or_float0
from .staging import inline_traced, operand, run_now, scalar, staged, trace
from .tree_util import Partial
from .typed import user_type


def vjp(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(fun(*primals), pullback): `pullback(cotangents)` gives a tuple, one pytree per primal.

    The cotangents have the structure and types of the result; those of integers, which count for
    nothing, and the pullback's for them, are of dtype `float0`. With `has_aux`, `fun` returns (out,
    aux) and the result is (out, pullback, aux). Pullbacks raise ValueError for other cotangents.
    """
    leaves, in_tree = _inputs(fun, primals, "vjp")

    def joint(graph: Graph, places: Sequence[int], count: int) -> Graph:
        return vjp_graph(graph, places, seeds=count)

    made = _Split(fun, in_tree, leaves, has_aux, "vjp", joint)
    made.run(lambda graph, places, count: count)
    back = _Pullback(
        made.late, in_tree, made.body.out_tree, tuple(map(aval_of, leaves)), made.results, fun
    )
    return made.returned(Partial(back, *made.residuals))


def linearize(fun: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(fun(*primals), the linear map from tangents to tangents there), and aux with `has_aux`.

    The map takes tangents as `jvp` does, as many as there are primals, and raises ValueError for
    other types.
    """
    leaves, in_tree = _inputs(fun, primals, "linearize")
    made = _Split(fun, in_tree, leaves, has_aux, "linearize", jvp_graph)
    made.run(lambda graph, places, count: len(places))
    types = tuple(map(aval_of, leaves))
    push = _Pushforward(made.late, in_tree, made.body.out_tree, types, made.results)
    return made.returned(Partial(push, *made.residuals))


def linear_transpose(fun: Callable, *primals: Any) -> Callable:
    """The transpose of a linear function: cotangents of its result to a tuple, one per primal.

    Only the types of the primals matter: arrays or ShapeDtypeStructs of floats. Raises TypeError if
    `fun` is not linear.
    """
    check_callable(fun)
    leaves, in_tree = tree.flatten(primals)
    avals = [x.aval if isinstance(x, ShapeDtypeStruct) else aval_of(x) for x in leaves]
    for aval in avals:
        if not aval.dtype.is_float:
            text = "linear_transpose requires inputs of a float dtype, got"
            raise located(TypeError, f"{text} {user_type(aval)}")
    body = Flat(fun, in_tree, False)

    def transposed(ct: Any) -> tuple:
        if current() is None:
            found = run_now(lambda: _transposed(body, avals, ct))
        else:
            found = _transposed(body, avals, ct)
        return tree.unflatten(in_tree, found)

    return transposed


def _transposed(body: Flat, avals: Sequence[Aval], ct: Any) -> list:
    traced = trace(body, avals, origin=Origin(body.fun, "linear_transpose"))
    outs, first = traced.graph.out_avals, len(traced.captured)
    cts, given = tree.flatten(ct)
    cts = [_typed(x, a) for x, a in zip(cts, outs, strict=False)]
    if given != body.out_tree or tuple(map(aval_of, cts)) != outs:
        wanted, got = (", ".join(map(user_type, a)) for a in (outs, map(aval_of, cts)))
        text = "cotangent type does not match function output, expected"
        raise located(TypeError, f"{text} ({wanted}) but got ({got})")
    pull = vjp_graph(traced.graph, range(first, first + len(avals)))
    back = dce(Graph(pull.ins, pull.eqns, pull.outs[len(outs) :]))
    if {v for e in back.eqns for v in e.ins} & set(pull.ins[first : first + len(avals)]):
        text = "linear_transpose got a function that is not linear"
        raise located(TypeError, f"{text}: {describe_function(body.fun)}")
    zeros = [Tracer(Lit(0, a)) for a in avals]
    return inline_traced(traced, back, [*zeros, *cts])


# --- cutting --------------------------------------------------------------------------------------


def _inputs(fun: Callable, primals: tuple, name: str) -> tuple[list, tree.Structure]:
    check_callable(fun)
    leaves, in_tree = tree.flatten(primals)
    return [as_input(leaf, name) for leaf in leaves], in_tree


class _Split:
    """A function traced, differentiated and cut into its values and what depends on directions."""

    def __init__(self, fun, in_tree, inputs, has_aux: bool, purpose: str, joint: Callable) -> None:
        self.body, self.inputs, self.joint = Flat(fun, in_tree, has_aux), inputs, joint
        self.origin = Origin(fun, purpose)

    def run(self, directions: Callable) -> None:
        """Compute the values; `directions` says how many inputs the derivative adds."""

        def early() -> list:
            traced = trace(self.body, [type_of(x) for x in self.inputs], origin=self.origin)
            graph, first, count = traced.graph, len(traced.captured), self.body.count
            places = [first + i for i in float_places(self.inputs)]
            joint = self.joint(graph, places, count)
            added = directions(graph, places, count)
            late = range(len(joint.ins) - added, len(joint.ins))
            early, self.late, _ = partition(joint, len(graph.outs), late)
            self.late = without_effects(self.late)
            self.results = graph.out_avals[:count]
            return inline_traced(traced, early, self.inputs)

        self.outs = run_now(early) if current() is None else early()

    @property
    def residuals(self) -> list:
        return self.outs[self.body.total :]

    def returned(self, derivative: Any) -> tuple:
        value = self.body.value(self.outs)
        if not self.body.has_aux:
            return value, derivative
        return value, derivative, self.body.aux(self.outs)


@dataclass(frozen=True, eq=False)
class _Derivative:
    """The late part of a cut function: (residuals..., directions...) -> their images."""

    graph: Graph
    in_tree: tree.Structure
    out_tree: tree.Structure
    inputs: tuple[Aval, ...]
    results: tuple[Aval, ...]

    def _identity(self) -> tuple:
        return type(self), self.graph.key(), self.in_tree, self.out_tree, self.inputs, self.results

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Derivative) and self._identity() == other._identity()

    def __hash__(self) -> int:
        return hash(self._identity())

    def images(self, values: Sequence[Any]) -> list:
        """The graph on residuals and directions."""

        def run() -> list:
            return [Tracer(v) for v in inline(self.graph, list(map(staged, values)))]

        return run_now(run) if current() is None else run()


@dataclass(frozen=True, eq=False)
class _Pullback(_Derivative):
    fun: Callable

    def __call__(self, *given: Any) -> tuple:
        count = len(self.graph.ins) - len(self.results)
        residuals, directions = given[:count], given[count:]
        if len(directions) != 1:
            raise located(
                TypeError,
                f"The function returned by `vjp` was called with {len(directions)} arguments; it "
                "takes one, of the structure of the function's result",
            )
        cts, structure = tree.flatten(directions[0])
        if structure != self.out_tree:
            self._reject(directions[0])
        cts = [_cotangent(ct, a) for ct, a in zip(cts, self.results, strict=True)]
        found = iter(self.images([*residuals, *cts]))
        return tree.unflatten(self.in_tree, [or_float0(a, found) for a in _lits(self.inputs)])

    def _reject(self, given: Any) -> None:
        wanted = tree.unflatten(self.out_tree, range(self.out_tree.num_leaves))
        path, was, now = structure_mismatch(wanted, given)
        raise located(
            ValueError,
            "unexpected tree structure.\n\nThe argument to a VJP function returned by `vjp` must "
            f"match the pytree structure of the result, but out{path} was {was} in the original "
            f"output, and is {now} here.",
        )


@dataclass(frozen=True, eq=False)
class _Pushforward(_Derivative):
    def __call__(self, *given: Any) -> Any:
        smooth = [i for i, a in enumerate(self.inputs) if a.dtype.is_float]
        count = len(self.graph.ins) - len(smooth)
        tangents, structure = tree.flatten(tuple(given[count:]))
        if structure != self.in_tree:
            raise located(TypeError, f"expected {self.in_tree}, got {structure}")
        along = [_tangent(tangents[i], self.inputs[i]) for i in smooth]
        found = iter(self.images([*given[:count], *along]))
        return tree.unflatten(self.out_tree, [or_float0(a, found) for a in _lits(self.results)])


def _lits(avals: Sequence[Aval]) -> list[Lit]:
    return [Lit(0, a) for a in avals]


def _typed(x: Any, aval: Aval) -> Any:
    """A direction as an operand; Python numbers take the dtype of what they stand for."""
    if isinstance(x, float) and aval.dtype.is_float:
        x = scalar(float(x), aval.dtype)
        return Tracer(x) if isinstance(x, Lit) else x
    return operand(x, "this derivative")


def _cotangent(ct: Any, aval: Aval) -> Any:
    if not aval.dtype.is_float:
        return Tracer(Lit(0, aval))
    ct = _typed(ct, aval)
    if aval_of(ct) != aval:
        got, want = user_type(aval_of(ct)), user_type(aval)
        raise located(
            ValueError,
            "unexpected JAX type (e.g. shape/dtype) for argument to VJP function: got "
            f"{got}, but expected {want} because the corresponding output of the differentiated "
            f"function had JAX type {want}",
        )
    return ct


def _tangent(tangent: Any, aval: Aval) -> Any:
    tangent = _typed(tangent, aval)
    if aval_of(tangent) != aval:
        raise located(
            ValueError,
            "linearized function called on tangent values inconsistent with the original primal "
            f"values:\nGot tangent aval {user_type(aval_of(tangent))} for primal aval "
            f"{user_type(aval)} but expected {user_type(aval)}.",
        )
    return tangent


__all__ = ["linear_transpose", "linearize", "vjp"]
