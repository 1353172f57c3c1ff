"""Pytrees: nested dicts, lists, tuples, named tuples and registered classes of leaves.

Invariant: dict keys are visited in sorted order and None is an empty node, so two trees of equal
structure flatten to leaves in one order.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from typing import Any

import optree

NAMESPACE = "tracer"
Path = tuple[Any, ...]
Structure = optree.PyTreeSpec


def flatten(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> tuple[list, Structure]:
    """(leaves, structure)."""
    leaves, structure = optree.tree_flatten(tree, is_leaf, namespace=NAMESPACE)
    return leaves, structure


def unflatten(structure: Structure, leaves: Sequence[Any]) -> Any:
    """The tree of `structure` with these leaves. Raises ValueError if their number is wrong."""
    return optree.tree_unflatten(structure, leaves)


def leaves(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> list:
    """The leaves in order."""
    return optree.tree_leaves(tree, is_leaf, namespace=NAMESPACE)


def structure(tree: Any, is_leaf: Callable[[Any], bool] | None = None) -> Structure:
    """The tree's shape without its leaves; hashable."""
    return optree.tree_structure(tree, is_leaf, namespace=NAMESPACE)


def map(fun: Callable, tree: Any, *rest: Any, is_leaf: Callable[[Any], bool] | None = None) -> Any:
    """`fun` of corresponding leaves. Raises ValueError if `rest` have other structures."""
    return optree.tree_map(fun, tree, *rest, is_leaf=is_leaf, namespace=NAMESPACE)


def reduce(fun: Callable, tree: Any, *initial: Any) -> Any:
    """Fold the leaves from the left with `fun(so_far, leaf)`."""
    return optree.tree_reduce(fun, tree, *initial, namespace=NAMESPACE)


def map_with_path(fun: Callable, tree: Any, *rest: Any) -> Any:
    """`fun(path, leaf, ...)` of corresponding leaves; a path is a tuple of keys and indices."""
    return optree.tree_map_with_path(fun, tree, *rest, namespace=NAMESPACE)


def leaves_with_path(tree: Any) -> list[tuple[Path, Any]]:
    """[(path, leaf)] in leaf order."""
    paths, found, _ = optree.tree_flatten_with_path(tree, namespace=NAMESPACE)
    return list(zip(paths, found, strict=True))


def register_dataclass(
    cls: type, data_fields: Sequence[str] | None = None, meta_fields: Sequence[str] = ()
) -> type:
    """Make a dataclass a node whose `data_fields` are children; usable as a decorator.

    `meta_fields` are part of the structure and must be hashable. Without `data_fields` all other
    fields are children. Raises TypeError if `cls` is not a dataclass or a field is unknown.
    """
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"register_dataclass needs a dataclass, got {cls!r}")
    known = [f.name for f in dataclasses.fields(cls) if f.init]
    data = tuple(n for n in known if n not in meta_fields) if data_fields is None else data_fields
    meta = tuple(meta_fields)
    if sorted((*data, *meta)) != sorted(known):
        raise TypeError(
            f"the fields of {cls.__name__} are {', '.join(known)}; data_fields and meta_fields "
            f"must name each once, got {tuple(data)} and {meta}"
        )

    def to_children(node: Any) -> tuple:
        return [getattr(node, n) for n in data], tuple(getattr(node, n) for n in meta), data

    def from_children(fixed: tuple, children: Sequence[Any]) -> Any:
        return cls(**dict(zip(data, children, strict=True)), **dict(zip(meta, fixed, strict=True)))

    optree.register_pytree_node(cls, to_children, from_children, namespace=NAMESPACE)
    return cls


def broadcast_prefix(prefix: Any, tree: Any) -> list:
    """For each leaf of `tree`, the leaf of `prefix` above it, of which None is one.

    Raises ValueError if `prefix` is no prefix of `tree`.
    """
    options = {"none_is_leaf": True, "namespace": NAMESPACE}
    found = optree.broadcast_prefix(prefix, tree, **options)
    places = optree.tree_leaves(tree, **options)
    return [entry for entry, leaf in zip(found, places, strict=True) if leaf is not None]


# --- naming leaves --------------------------------------------------------------------------------


def paths(structure: Structure) -> list[Path]:
    """The path of each leaf of a structure."""
    return structure.paths()


def keystr(path: Path) -> str:
    """A path as Python would index it: `['layers'][0]`."""
    return "".join(f"[{key!r}]" for key in path)


def hint(path: Path) -> str:
    """A path as an identifier: ("layers", 0, "wq") -> layers_0_wq."""
    return re.sub(r"\W+", "_", "_".join(str(key) for key in path)).strip("_")


__all__ = [
    "broadcast_prefix",
    "flatten",
    "keystr",
    "leaves",
    "leaves_with_path",
    "map",
    "map_with_path",
    "reduce",
    "register_dataclass",
    "structure",
    "unflatten",
]
