"""Pytrees: nested dicts, lists, tuples, named tuples and registered classes of leaves.

Invariant: dict keys are visited in sorted order and None is an empty node, so two trees of equal
structure flatten to leaves in one order.
"""

from __future__ import annotations

import builtins
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import optree

from .keypaths import KeyPath, hint, key_path, keystr, plain

NAMESPACE = "tracer"
Path = KeyPath
Structure = optree.PyTreeSpec
IsLeaf = Callable[[Any], bool] | None
_NONE = object()


def flatten(tree: Any, is_leaf: IsLeaf = None) -> tuple[list, Structure]:
    """(leaves, structure)."""
    leaves, structure = optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)
    return leaves, structure


def unflatten(treedef: Structure, leaves: Iterable[Any]) -> Any:
    """The tree of `treedef` with these leaves. Raises ValueError if their number is wrong."""
    return optree.tree_unflatten(treedef, leaves)


def leaves(tree: Any, is_leaf: IsLeaf = None) -> list:
    """The leaves in order."""
    return optree.tree_leaves(tree, is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: IsLeaf = None) -> Structure:
    """The tree's shape without its leaves; hashable."""
    return optree.tree_structure(tree, is_leaf, namespace=NAMESPACE)


def map(f: Callable, tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """`f` of corresponding leaves. Raises ValueError if `rest` have other structures."""
    return optree.tree_map(f, tree, *rest, is_leaf=is_leaf, namespace=NAMESPACE)


def reduce(function: Callable, tree: Any, initializer: Any = _NONE, is_leaf: IsLeaf = None) -> Any:
    """Fold the leaves from the left with `function(so_far, leaf)`.

    Raises TypeError if there is neither a leaf nor an `initializer`.
    """
    first = () if initializer is _NONE else (initializer,)
    return functools.reduce(function, leaves(tree, is_leaf), *first)


def reduce_associative(
    operation: Callable, tree: Any, *, identity: Any = _NONE, is_leaf: IsLeaf = None
) -> Any:
    """Combine the leaves pairwise, in order, as a balanced tree of `operation`.

    Raises TypeError if there is neither a leaf nor an `identity`.
    """
    found = leaves(tree, is_leaf)
    if not found and identity is _NONE:
        raise TypeError("reduce_associative() of empty tree with no identity")
    found = found or [identity]
    while len(found) > 1:
        pairs = zip(found[::2], found[1::2], strict=False)
        found = [operation(a, b) for a, b in pairs] + found[len(found) // 2 * 2 :]
    return found[0]


def all(tree: Any, *, is_leaf: IsLeaf = None) -> bool:
    """Whether no leaf is false."""
    return builtins.all(leaves(tree, is_leaf))


def broadcast(prefix_tree: Any, full_tree: Any, is_leaf: IsLeaf = None) -> Any:
    """`full_tree` with each leaf replaced by the leaf of `prefix_tree` above it.

    Raises ValueError if `prefix_tree` is no prefix of `full_tree`.
    """
    above, shape = flatten(prefix_tree, is_leaf)
    parts = shape.flatten_up_to(full_tree)
    spread = [map(lambda _, x=x: x, part) for x, part in zip(above, parts, strict=True)]
    return unflatten(shape, spread)


def transpose(
    outer_treedef: Structure, inner_treedef: Structure | None, pytree_to_transpose: Any
) -> Any:
    """A tree of trees with the two levels exchanged; without `inner_treedef` the first tells.

    Raises TypeError if the tree is not of structure outer(inner).
    """
    found, whole = flatten(pytree_to_transpose)
    if inner_treedef is None:
        inner_treedef = structure(outer_treedef.flatten_up_to(pytree_to_transpose)[0])
    size = inner_treedef.num_leaves
    if len(found) != size * outer_treedef.num_leaves:
        raise TypeError(f"Mismatch\n{whole}\n != \n{outer_treedef.compose(inner_treedef)}")
    columns = [unflatten(outer_treedef, found[i::size]) for i in range(size)]
    return unflatten(inner_treedef, columns)


def static(**kwargs: Any) -> Any:
    """`dataclasses.field` of a part of the structure, for `tree_util.register_dataclass`."""
    metadata = {"static": True, **(kwargs.pop("metadata", None) or {})}
    return dataclasses.field(metadata=metadata, **kwargs)


# --- with paths -----------------------------------------------------------------------------------


def flatten_with_path(
    tree: Any, is_leaf: IsLeaf = None
) -> tuple[list[tuple[KeyPath, Any]], Structure]:
    """([(path, leaf)], structure); a path is a tuple of `DictKey`, `SequenceKey`, ..."""
    found, shape = flatten(tree, is_leaf)
    return list(zip(paths(shape), found, strict=True)), shape


def leaves_with_path(tree: Any, is_leaf: IsLeaf = None) -> list[tuple[KeyPath, Any]]:
    """[(path, leaf)] in leaf order."""
    return flatten_with_path(tree, is_leaf)[0]


def map_with_path(f: Callable, tree: Any, *rest: Any, is_leaf: IsLeaf = None) -> Any:
    """`f(path, leaf, ...)` of corresponding leaves."""
    found, shape = flatten(tree, is_leaf)
    others = [shape.flatten_up_to(r) for r in rest]
    return unflatten(shape, [f(*row) for row in zip(paths(shape), found, *others, strict=True)])


@functools.lru_cache(maxsize=256)
def paths(structure: Structure) -> tuple[KeyPath, ...]:
    """The path of each leaf of a structure."""
    return tuple(key_path(a) for a in structure.accessors())


# --- prefixes of arguments ------------------------------------------------------------------------


def broadcast_prefix(prefix: Any, tree: Any) -> list:
    """For each leaf of `tree`, the leaf of `prefix` above it, of which None is one.

    Raises ValueError if `prefix` is no prefix of `tree`.
    """
    options = {"none_is_leaf": True, "namespace": NAMESPACE}
    found = optree.broadcast_prefix(prefix, tree, **options)
    places = optree.tree_leaves(tree, **options)
    return [entry for entry, leaf in zip(found, places, strict=True) if leaf is not None]


__all__ = [
    "all",
    "broadcast",
    "broadcast_prefix",
    "flatten",
    "flatten_with_path",
    "hint",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "paths",
    "plain",
    "reduce",
    "reduce_associative",
    "static",
    "structure",
    "transpose",
    "unflatten",
]
