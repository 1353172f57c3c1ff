"""Branches: `cond` and `switch`.

Invariant: every branch is traced once; what any of them captures becomes an operand of all. Which
one runs is decided on the device, so derivatives see only the branch that was taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ir.build import current

from . import stepwise, tree
from .agreement import operands as flattened
from .agreement import structure_mismatch, type_mismatches
from .array import Tracer, aval_of, type_of
from .errors import located
from .staging import SCALARS, Traced, bind, closing_over, marked, run_now, trace
from .staging import operand as as_operand
from .typed import user_type

_NONE = object()


def cond(
    pred: Any, true_fun: Callable, false_fun: Callable, *operands: Any, operand: Any = _NONE
) -> Any:
    """true_fun(*operands) if `pred` else false_fun(*operands).

    Gradients are those of the branch taken; the other one may be infinite or undefined there. Under
    `vmap` with a `pred` for each member both are computed and results selected. Raises TypeError
    unless the branches agree in structure and types.
    """
    if operand is not _NONE:
        operands = (operand,)
    if not (callable(true_fun) and callable(false_fun)):
        text = "lax.cond: true_fun and false_fun arguments should be callable."
        raise located(TypeError, text)
    if stepwise.stepwise():
        return stepwise.switch(bool(pred), (false_fun, true_fun), operands)
    names = ("false_fun", "true_fun")
    return _branch("cond", _predicate(pred), (false_fun, true_fun), names, operands)


def switch(index: Any, branches: Sequence[Callable], *operands: Any, operand: Any = _NONE) -> Any:
    """branches[index](*operands), with the index clamped into range; otherwise as `cond`.

    Raises ValueError without branches, TypeError for an index that is no integer.
    """
    if operand is not _NONE:
        operands = (operand,)
    if not all(map(callable, branches)):
        raise located(TypeError, "lax.switch: branches argument should be a sequence of callables.")
    if not branches:
        raise located(ValueError, "Empty branch sequence")
    at = _index(index)
    if stepwise.stepwise():
        return stepwise.switch(index, branches, operands)
    if len(branches) == 1:
        return branches[0](*operands)
    names = ["branch 0", *(f"branch{i}" for i in range(1, len(branches)))]
    return _branch("switch", at, tuple(branches), names, operands)


def _predicate(pred: Any) -> Any:
    from .elementwise import not_equal

    text = "Pred must be a scalar, got"
    if not isinstance(pred, SCALARS) and not hasattr(pred, "dtype"):
        raise located(TypeError, f"{text} {pred} of type {type(pred)}")
    x = as_operand(pred, "cond")
    if aval_of(x).shape:
        raise located(TypeError, f"{text} {pred} of shape {aval_of(x).shape}.")
    return x if aval_of(x).dtype.name == "bool" else not_equal(x, 0)


def _index(index: Any) -> Any:
    from .operands import astype

    x = as_operand(index, "switch")
    aval = aval_of(x)
    if aval.shape:
        raise located(TypeError, f"Branch index must be scalar, got {index} of shape {aval.shape}.")
    if not aval.dtype.is_integer:
        text = f"Index type must be an integer, got {index} as {aval.dtype.np.name}"
        raise located(TypeError, text)
    return astype(x, "int32")


def _branch(
    name: str, index: Any, funs: Sequence[Callable], names: Sequence[str], given: Sequence[Any]
) -> Any:
    if current() is None:
        return run_now(lambda: _branch(name, index, funs, names, given))
    leaves, structure = flattened(tuple(given), name)
    outs: list[Any] = []

    def body(fun: Callable) -> Callable:
        def run(*flat: Any) -> Any:
            outs.append(fun(*tree.unflatten(structure, flat)))
            return outs[-1]

        return run

    traced = [trace(body(fun), [type_of(x) for x in leaves]) for fun in funs]
    _check_branches(name, funs, names, traced, outs)
    captured = tuple(dict.fromkeys(v for t in traced for v in t.captured))
    branches = tuple(closing_over(t, captured) for t in traced)
    results = bind("cond", index, *map(Tracer, captured), *leaves, branches=branches)
    weak = map(all, zip(*(t.weak for t in traced), strict=True))
    results = [marked(x, w) for x, w in zip(results, weak, strict=True)]
    return tree.unflatten(traced[0].out_tree, results)


def _check_branches(
    name: str, funs: Sequence[Callable], names: Sequence[str], traced: list[Traced], outs: list
) -> None:
    first = len(funs) - 1 if name == "cond" else 0  # a message about a cond begins with true_fun
    for i in range(len(funs)):
        if i == first:
            continue
        who = (names[first], names[i])
        where = "\n".join(f"{n} is {_place(f)}" for n, f in zip(who, (funs[first], funs[i]),
                                                                 strict=True))  # fmt: skip
        if traced[i].out_tree != traced[first].out_tree:
            path, x, y = structure_mismatch(outs[first], outs[i])
            at = f" at path {path}" if path else ""
            raise located(
                TypeError,
                f"{name} branch outputs must have the same pytree structure, but they differ:\n\n"
                f"{where}\n\n{who[0]} output{at} is {x} but {who[1]} output{at} is {y}.\n\n"
                f"Revise {who[0]} and/or {who[1]} so that they have the same pytree structure.",
            )
        _check_types(name, who, where, traced[first], traced[i])


def _check_types(name: str, who: tuple[str, str], where: str, a: Traced, b: Traced) -> None:
    paths, lines = tree.paths(a.out_tree), []
    for i, what in type_mismatches(a.graph.out_avals, b.graph.out_avals):
        at = f" at path {tree.keystr(paths[i])}" if paths[i] else ""
        lines.append(
            f"The output of {who[0]}{at} has type {user_type(a.graph.out_avals[i])} but the "
            f"corresponding output of {who[1]} has type {user_type(b.graph.out_avals[i])}, so the "
            f"{what} do not match."
        )
    if lines:
        text = f"{name} branches must have equal output types but they differ.\n\n{where}\n\n"
        cure = f"Revise {who[0]} and/or {who[1]} so that all output types match."
        raise located(TypeError, text + "\n".join(lines) + f"\n\n{cure}")


def _place(fun: Callable) -> str:
    code, name = getattr(fun, "__code__", None), getattr(fun, "__name__", repr(fun))
    return f"{name} at {code.co_filename}:{code.co_firstlineno}" if code else name


__all__ = ["cond", "switch"]
