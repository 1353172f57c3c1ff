"""Taking apart a tree whose structure is expected: what a repeated call of a jitted function does.

Invariant: a flattener gives the leaves that `tree.flatten` gives, or None for any tree of another
structure; which of its leaves are themselves trees, it does not say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optree

from . import tree

MAX_LEAVES = 4096  # beyond, compiling the flattener would cost more than it saves
Flattener = Callable[[Any], "list | None"]


class _Unsupported(Exception):
    """A container whose leaves only `tree.flatten` can find."""


def flattener(structure: tree.Structure) -> Flattener | None:
    """A function that takes trees of `structure` apart without looking at other structures.

    None where the tree has nodes other than dicts, lists, tuples, named tuples and those of
    registered classes that can be made of any leaves.
    """
    if structure.num_leaves > MAX_LEAVES:
        return None
    writer = _Writer()
    try:
        leaves = writer.visit(structure, "root")
    except _Unsupported:
        return None
    body = [*writer.lines, f"return [{', '.join(leaves)}]"]
    text = "\n  ".join(["def flatten(root):", "try:", *(f" {line}" for line in body)])
    exec(f"{text}\n  except KeyError: return None", writer.names)
    return writer.names["flatten"]


class _Writer:
    """Python text that checks each container and names each leaf."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Any] = {}
        self._count = 0

    def visit(self, structure: tree.Structure, place: str) -> list[str]:
        """The expressions of the leaves below `place`."""
        if structure.is_leaf():
            return [place]
        kind = structure.type
        if kind is type(None):
            self.lines.append(f"if {place} is not None: return None")
            return []
        if kind not in (dict, list, tuple) and not hasattr(kind, "_fields"):
            return self._registered(structure, place)
        node, size = self._assign(place), structure.num_children
        wrong = f"type({node}) is not {self._name(kind)} or len({node}) != {size}"
        self.lines.append(f"if {wrong}: return None")
        parts = zip(structure.entries(), structure.children(), strict=True)
        at = enumerate(parts)
        keys = [(self._name(key) if kind is dict else i, child) for i, (key, child) in at]
        return [leaf for key, child in keys for leaf in self.visit(child, f"{node}[{key}]")]

    def _registered(self, structure: tree.Structure, place: str) -> list[str]:
        """The same of a node whose class says how it is taken apart, such as a random key."""
        known = optree.register_pytree_node.get(structure.type, namespace=tree.NAMESPACE)
        if known is None or known.kind is not optree.PyTreeKind.CUSTOM:
            raise _Unsupported
        try:
            like = tree.unflatten(structure, [object() for _ in range(structure.num_leaves)])
            fixed = known.flatten_func(like)[1]
        except Exception:  # it wants to know what it is made of
            raise _Unsupported from None
        node = self._assign(place)
        self.lines.append(f"if type({node}) is not {self._name(structure.type)}: return None")
        parts = self._assign(f"{self._name(known.flatten_func)}({node})")
        other = f"{parts}[1] != {self._name(fixed)} or len({parts}[0]) != {structure.num_children}"
        self.lines.append(f"if {other}: return None")
        inner = enumerate(structure.children())
        return [leaf for i, child in inner for leaf in self.visit(child, f"{parts}[0][{i}]")]

    def _assign(self, place: str) -> str:
        self._count += 1
        self.lines.append(f"n{self._count} = {place}")
        return f"n{self._count}"

    def _name(self, value: Any) -> str:
        """How the text refers to a key or a class."""
        if type(value) in (str, int):
            return repr(value)
        name = f"c{len(self.names)}"
        self.names[name] = value
        return name
