"""Classes as pytree nodes, keys of paths, and the older names of `tracer.tree`.

Invariant: a class is registered once, and its children come back in the order they were taken.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import optree

from .errors import located
from .keypaths import (
    DictKey,
    FlattenedIndexKey,
    GetAttrKey,
    KeyEntry,
    KeyPath,
    SequenceKey,
    keystr,
)
from .tree import NAMESPACE, IsLeaf
from .tree import Structure as PyTreeDef
from .tree import all as tree_all
from .tree import broadcast as tree_broadcast
from .tree import flatten as tree_flatten
from .tree import flatten_with_path as tree_flatten_with_path
from .tree import leaves as tree_leaves
from .tree import leaves_with_path as tree_leaves_with_path
from .tree import map as tree_map
from .tree import map_with_path as tree_map_with_path
from .tree import reduce as tree_reduce
from .tree import reduce_associative as tree_reduce_associative
from .tree import structure as tree_structure
from .tree import transpose as tree_transpose
from .tree import unflatten as tree_unflatten

# --- one level ----------------------------------------------------------------------------------


def flatten_one_level(tree: Any) -> tuple[list, Any]:
    """(the children of a node, what else it is made of). Raises ValueError for a leaf."""
    try:
        children, metadata, *_ = optree.tree_flatten_one_level(
            tree, none_is_leaf=False, namespace=NAMESPACE
        )
    except ValueError:
        raise located(ValueError, f"can't tree-flatten type: {type(tree)}") from None
    metadata = tuple(metadata) if isinstance(tree, dict) else metadata
    return list(children), metadata


# --- registration ---------------------------------------------------------------------------------


def register_pytree_node(
    nodetype: type,
    flatten_func: Callable[[Any], tuple[Iterable, Any]],
    unflatten_func: Callable[[Any, Sequence], Any],
    flatten_with_keys_func: Callable[[Any], tuple[Iterable, Any]] | None = None,
) -> None:
    """Make instances of a class nodes.

    `flatten_func(node)` is (children, what else there is), the second hashable and part of the
    structure; `unflatten_func` of these two, the second first, is the node. With keys each child
    comes as (key, child). Raises ValueError if the class is registered already.
    """

    def to_children(node: Any) -> tuple:
        if flatten_with_keys_func is None:
            children, fixed = flatten_func(node)
            return tuple(children), fixed
        pairs, fixed = flatten_with_keys_func(node)
        keys, children = zip(*pairs, strict=True) if (pairs := tuple(pairs)) else ((), ())
        return children, fixed, keys

    optree.register_pytree_node(nodetype, to_children, unflatten_func, namespace=NAMESPACE)


def register_pytree_with_keys(
    nodetype: type,
    flatten_with_keys: Callable[[Any], tuple[Iterable, Any]],
    unflatten_func: Callable[[Any, Sequence], Any],
    flatten_func: Callable[[Any], tuple[Iterable, Any]] | None = None,
) -> None:
    """`register_pytree_node` of a class that names its children."""
    register_pytree_node(nodetype, flatten_func, unflatten_func, flatten_with_keys)


def register_pytree_node_class(cls: type) -> type:
    """Decorator: `tree_flatten` and the class method `tree_unflatten` make a class a node."""
    register_pytree_node(cls, lambda node: node.tree_flatten(), cls.tree_unflatten)
    return cls


def register_pytree_with_keys_class(cls: type) -> type:
    """Decorator: as `register_pytree_node_class`, with `tree_flatten_with_keys`."""
    register_pytree_with_keys(cls, lambda node: node.tree_flatten_with_keys(), cls.tree_unflatten)
    return cls


def register_static(cls: type) -> type:
    """Decorator: instances, which must be hashable, are part of the structure and have no leaf."""
    register_pytree_node(cls, lambda node: ((), node), lambda node, _: node)
    return cls


def register_dataclass(
    nodetype: type,
    data_fields: Sequence[str] | None = None,
    meta_fields: Sequence[str] | None = None,
    drop_fields: Sequence[str] = (),
) -> type:
    """Make a class a node whose `data_fields` are children; usable as a decorator.

    `meta_fields` are part of the structure and must be hashable. Without both lists, the fields of
    a dataclass are data unless `tree.static` made them. Raises TypeError if only one list is given
    or the class is no dataclass, ValueError if a field of `__init__` is missing or unknown.
    """
    data, meta = _fields(nodetype, data_fields, meta_fields)
    if dataclasses.is_dataclass(nodetype):
        _check_fields(nodetype, {*data, *meta}, drop_fields)
    if both := set(data) & set(meta):
        raise ValueError(
            f"data_fields and meta_fields must not overlap. Overlapping fields: {both}."
        )
    keys = tuple(map(GetAttrKey, data))

    def to_children(node: Any) -> tuple:
        return [getattr(node, n) for n in data], tuple(getattr(node, n) for n in meta), keys

    def from_children(fixed: tuple, children: Sequence[Any]) -> Any:
        named = dict(zip(data, children, strict=True)) | dict(zip(meta, fixed, strict=True))
        return nodetype(**named)

    optree.register_pytree_node(nodetype, to_children, from_children, namespace=NAMESPACE)
    return nodetype


def _fields(nodetype: type, data: Sequence[str] | None, meta: Sequence[str] | None) -> tuple:
    if (data is None) != (meta is None):
        raise TypeError(
            "register_dataclass: data_fields and meta_fields must both be specified when either "
            f"is specified. Got data_fields={data!r} meta_fields={meta!r}."
        )
    if data is not None:
        return tuple(data), tuple(meta)
    if not dataclasses.is_dataclass(nodetype):
        raise TypeError(
            "register_dataclass: data_fields and meta_fields are required when nodetype is not a "
            f"dataclass. Got nodetype={nodetype!r}."
        )
    fixed = {f.name: f.metadata.get("static", False) for f in dataclasses.fields(nodetype)}
    return tuple(n for n, s in fixed.items() if not s), tuple(n for n, s in fixed.items() if s)


def _check_fields(nodetype: type, given: set[str], dropped: Sequence[str]) -> None:
    wanted = {f.name for f in dataclasses.fields(nodetype) if f.init} - set(dropped)
    if given == wanted:
        return
    parts = [
        "data_fields and meta_fields must include all dataclass fields with ``init=True`` and "
        "only them."
    ]
    if missing := wanted - given:
        parts.append(f"Missing fields: {missing}. Add them to drop_fields to suppress this error.")
    if unknown := given - wanted:
        parts.append(f"Unexpected fields: {unknown}.")
    raise ValueError(" ".join(parts))


# --- structures -----------------------------------------------------------------------------------


def all_leaves(iterable: Iterable[Any], is_leaf: IsLeaf = None) -> bool:
    """Whether every element is a leaf, not a node."""
    return optree.all_leaves(iterable, is_leaf, namespace=NAMESPACE)


def treedef_is_leaf(treedef: PyTreeDef) -> bool:
    """Whether the structure is that of one leaf."""
    return treedef.num_nodes == 1


def treedef_children(treedef: PyTreeDef) -> list[PyTreeDef]:
    """The structures of the children of the root."""
    return treedef.children()


def treedef_tuple(treedefs: Iterable[PyTreeDef]) -> PyTreeDef:
    """The structure of a tuple of trees of these structures."""
    return optree.treespec_tuple(treedefs, namespace=NAMESPACE)


# --- functions with arguments that are trees ------------------------------------------------------


class _Function:
    """A function of the same value as itself alone; keeps `partial` from merging its arguments."""

    def __init__(self, function: Callable) -> None:
        self.function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, _Function) and self.function == other.function

    def __hash__(self) -> int:
        return hash(self.function)

    def __repr__(self) -> str:
        return repr(self.function)


class Partial(functools.partial):
    """`functools.partial` as a node: its arguments are children, the function is structure."""

    def __new__(cls, func: Callable, *args: Any, **kw: Any) -> Partial:
        held = _Function(func) if isinstance(func, functools.partial) else func
        return super().__new__(cls, held, *args, **kw)


register_pytree_node(
    Partial,
    lambda node: ((node.args, node.keywords), node.func),
    lambda func, children: Partial(func, *children[0], **children[1]),
)

__all__ = [
    "DictKey",
    "FlattenedIndexKey",
    "GetAttrKey",
    "KeyEntry",
    "KeyPath",
    "Partial",
    "PyTreeDef",
    "SequenceKey",
    "all_leaves",
    "flatten_one_level",
    "keystr",
    "register_dataclass",
    "register_pytree_node",
    "register_pytree_node_class",
    "register_pytree_with_keys",
    "register_pytree_with_keys_class",
    "register_static",
    "tree_all",
    "tree_broadcast",
    "tree_flatten",
    "tree_flatten_with_path",
    "tree_leaves",
    "tree_leaves_with_path",
    "tree_map",
    "tree_map_with_path",
    "tree_reduce",
    "tree_reduce_associative",
    "tree_structure",
    "tree_transpose",
    "tree_unflatten",
    "treedef_children",
    "treedef_is_leaf",
    "treedef_tuple",
]
