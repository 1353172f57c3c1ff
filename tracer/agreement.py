"""Do two pytrees of arrays agree? If not, which part does not, and how.

Invariant: texts name parts as the user would write them, with the name of the user's parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ir.graph import Aval

from . import tree
from .array import aval_of, is_weak
from .errors import located
from .promotion import join
from .roles import parameter_names
from .staging import operand
from .typed import user_type


def parameter(fun: Any, at: int, default: str) -> str:
    """The name of a function's parameter."""
    names = parameter_names(fun)
    return names[at] if at < len(names) else default


def operands(values: Any, name: str) -> tuple[list, tree.Structure]:
    """The leaves of a loop's operands, as arrays, and their structure."""
    leaves, structure = tree.flatten(values)
    return [operand(x, name) for x in leaves], structure


def same_carry(what: str, name: str, init: Any, old: list, new: Any) -> list:
    """The leaves of a carry that a body returned. Raises TypeError unless they are as `old`.

    The dtypes of weak values may change: `carries.settled` converts those. `init` is the carry as
    the user gave it, `name` what the body calls it.
    """
    old_tree, (leaves, new_tree) = tree.structure(init), tree.flatten(new)
    if new_tree != old_tree:
        path, was, now = structure_mismatch(init, new)
        raise located(
            TypeError,
            f"{what} carry input and carry output must have the same pytree structure, but they "
            f"differ:\n\nThe input carry {'component ' if path else ''}{name}{path} is {was} but "
            f"the corresponding component of the carry output is {now}.\n\nRevise the function so "
            "that the carry output has the same pytree structure as the carry input.",
        )
    leaves = [operand(x, what) for x in leaves]
    before, after = [aval_of(x) for x in old], [aval_of(x) for x in leaves]
    for i, (x, y) in enumerate(zip(old, leaves, strict=True)):
        if is_weak(x) and before[i].shape == after[i].shape and _yields(x, y):
            before[i] = after[i]
    if before != after:
        raise located(
            TypeError,
            f"{what} carry input and carry output must have equal types, but they differ:\n\n"
            f"{_carry_mismatches(name, old_tree, before, after)}\n\n"
            "Revise the function so that all output types match the corresponding input types, "
            "for example with .astype.",
        )
    return leaves


def _yields(weak: Any, other: Any) -> bool:
    """Whether a weak value can take the dtype of another."""
    kinds = [(aval_of(x).dtype, is_weak(x)) for x in (weak, other)]
    return join(kinds)[0] is kinds[1][0]


def type_mismatches(a: Sequence[Aval], b: Sequence[Aval]) -> list[tuple[int, str]]:
    """(place, what does not match) of each pair of types at odds."""
    found = []
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        if x != y:
            odd = [("dtypes", x.dtype != y.dtype), ("shapes", x.shape != y.shape)]
            found.append((i, " and ".join(what for what, differs in odd if differs)))
    return found


def _carry_mismatches(name: str, structure: Any, old: Sequence[Aval], new: Sequence[Aval]) -> str:
    """The sentences about a carry whose types change."""
    paths, lines = tree.paths(structure), []
    for i, what in type_mismatches(old, new):
        part = f"carry component {name}{tree.keystr(paths[i])}" if paths[i] else f"carry {name}"
        lines.append(
            f"the input {part} has type {user_type(old[i])} but the corresponding output carry "
            f"component has type {user_type(new[i])}, so the {what} do not match"
        )
    if len(lines) == 1:
        return f"T{lines[0][1:]}."
    return ";\n".join(f"  * {line}" for line in lines) + "."


def structure_mismatch(a: Any, b: Any) -> tuple[str, str, str]:
    """(where two structures first differ, what the first one has there, what the second one has).

    None is a node without children, as elsewhere.
    """
    where = _first_difference(a, b, "")
    path, x, y = where if where else ("", a, b)
    if type(x) is not type(y) or _is_leaf(x) != _is_leaf(y):
        return path, _kind(x), f"{_kind(y)}, so their Python types differ"
    if isinstance(x, dict):
        return path, f"a dict with keys {list(x)}", f"a dict with keys {list(y)}"
    kind = type(x).__name__
    lengths = f"a {kind} of length {len(y)}, so the lengths do not match"
    return path, f"a {kind} of length {len(x)}", lengths


def _children(x: Any) -> list[tuple[Any, Any]]:
    return list(x.items()) if isinstance(x, dict) else list(enumerate(x))


def _is_leaf(x: Any) -> bool:
    return not isinstance(x, (dict, list, tuple)) and x is not None


def _first_difference(a: Any, b: Any, path: str) -> tuple[str, Any, Any] | None:
    if _is_leaf(a) and _is_leaf(b):
        return None
    if type(a) is not type(b) or _is_leaf(a) != _is_leaf(b):
        return path, a, b
    if a is None:
        return None
    ours, theirs = _children(a), dict(_children(b))
    if [k for k, _ in ours] != list(theirs) and {k for k, _ in ours} != set(theirs):
        return path, a, b
    found = (_first_difference(x, theirs[k], f"{path}[{k!r}]") for k, x in ours)
    return next((f for f in found if f), None)


def _kind(x: Any) -> str:
    return "a pytree leaf" if _is_leaf(x) else f"a {type(x)}"
