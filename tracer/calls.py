"""How a call becomes a signature: statics apart, the rest flattened to leaves.

Invariant: two calls with equal `Signature`s may share one trace.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ir.graph import Aval

from . import tree
from .array import Array, Tracer, aval_of, interned, user_type
from .errors import leaked, located

Names = str | Sequence[str] | None
Nums = int | Sequence[int] | None


@dataclass(frozen=True)
class Signature:
    """The structure of the arguments, the type of each leaf, and the static values."""

    in_tree: tree.Structure
    avals: tuple[Aval, ...]
    statics: tuple[tuple[Any, type, Any], ...]  # (position or name, type, value)

    def agrees(self, in_tree: tree.Structure, statics: tuple) -> bool:
        """Whether a call differs in the types of its leaves at most."""
        return in_tree == self.in_tree and statics == self.statics


@dataclass(frozen=True)
class Roles:
    """Which arguments are static, and which donated: positions, and keyword names."""

    fun: Callable
    static: frozenset[Any]
    donated: frozenset[Any]

    def split(self, args: tuple, kwargs: dict) -> tuple[list, tree.Structure, tuple]:
        """(leaves, structure, statics) of a call."""
        if not self.static:
            leaves, in_tree = tree.flatten((args, kwargs))
            return leaves, in_tree, ()
        fixed = [(i, a) for i, a in enumerate(args) if i in self.static]
        fixed += [(n, kwargs[n]) for n in sorted(kwargs) if n in self.static]
        for name, value in fixed:
            self._check_hashable(name, value)
        # None is an empty node: it holds the place of a static argument.
        open_args = tuple(None if i in self.static else a for i, a in enumerate(args))
        open_kwargs = {n: None if n in self.static else v for n, v in kwargs.items()}
        leaves, in_tree = tree.flatten((open_args, open_kwargs))
        return leaves, in_tree, tuple((n, type(v), v) for n, v in fixed)

    def _check_hashable(self, name: Any, value: Any) -> None:
        try:
            hash(value)
        except TypeError:
            raise located(
                ValueError,
                f"the static argument {self.label(name)} must be hashable, got "
                f"{type(value).__name__}; pass a tuple or a frozen dataclass",
            ) from None

    def join(self, in_tree: tree.Structure, leaves: Sequence[Any], statics: tuple) -> tuple:
        """The (args, kwargs) that `split` took apart, with other leaves."""
        args, kwargs = tree.unflatten(in_tree, leaves)
        args = list(args)
        for name, _, value in statics:
            if isinstance(name, int):
                args[name] = value
            else:
                kwargs[name] = value
        return tuple(args), kwargs

    def label(self, name: Any) -> str:
        """The parameter's name for a position or a keyword."""
        if isinstance(name, str):
            return name
        names = parameter_names(self.fun)
        return names[name] if name < len(names) else f"args[{name}]"

    def path_label(self, path: tree.Path) -> str:
        """A leaf as the user would write it: params['layers'][0]."""
        return self.label(tree.plain(path[1])) + tree.keystr(path[2:])

    def donates(self, path: tree.Path) -> bool:
        return tree.plain(path[1]) in self.donated


def roles(
    fun: Callable, static_nums: Nums, static_names: Names, donate_nums: Nums, donate_names: Names
) -> Roles:
    """Positions and names for the four options of `jit`; each implies the other."""
    static = _both(fun, "static_argnums", static_nums, "static_argnames", static_names)
    donated = _both(fun, "donate_argnums", donate_nums, "donate_argnames", donate_names)
    if common := static & donated:
        raise ValueError(f"an argument cannot be static and donated: {sorted(map(str, common))}")
    return Roles(fun, static, donated)


def _both(fun: Callable, num_option: str, nums: Nums, name_option: str, names: Names) -> frozenset:
    known = parameter_names(fun)
    places = [nums] if isinstance(nums, int) else list(nums or ())
    words = [names] if isinstance(names, str) else list(names or ())
    open_ended = _is_variadic(fun)
    for i in places:
        if not -len(known) <= i < len(known) and not open_ended:
            raise ValueError(f"{num_option}={i}: {_called(fun)} has {len(known)} parameters")
    for name in words:
        if name not in known and not open_ended:
            raise ValueError(
                f"{name_option}={name!r}: {_called(fun)} has the parameters {', '.join(known)}"
            )
    places = [i + len(known) if i < 0 else i for i in places]
    named = {known[i] for i in places if i < len(known)} | set(words)
    return frozenset({*places, *named, *(known.index(n) for n in words if n in known)})


def _called(fun: Callable) -> str:
    return getattr(fun, "__name__", repr(fun))


def _parameters(fun: Callable) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(fun).parameters.values())
    except (TypeError, ValueError):
        return []


def parameter_names(fun: Callable) -> list[str]:
    """Names of the parameters that may be given by position, then of keyword-only ones."""
    skipped = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in _parameters(fun) if p.kind not in skipped]


def _is_variadic(fun: Callable) -> bool:
    kinds = {p.kind for p in _parameters(fun)}
    return not kinds or bool(
        kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    )


# --- leaves -----------------------------------------------------------------------------------


def leaf_aval(leaf: Any) -> Aval:
    """The interned type of an argument leaf. Raises TypeError if it is no array."""
    if isinstance(leaf, Array):
        return leaf.aval
    if isinstance(leaf, Tracer):
        raise leaked(leaf.aval)
    if isinstance(leaf, ShapeDtypeStruct):
        return interned(leaf.aval)
    try:
        return interned(aval_of(leaf))
    except TypeError:
        raise TypeError(f"is a {type(leaf).__name__}, not an array or a number") from None


def checked_avals(of: Roles, in_tree: tree.Structure, leaves: Sequence[Any]) -> tuple[Aval, ...]:
    """`leaf_aval` of each leaf, with errors that name the argument."""
    found = []
    for i, leaf in enumerate(leaves):
        try:
            found.append(leaf_aval(leaf))
        except TypeError as error:
            where = of.path_label(tree.paths(in_tree)[i])
            raise located(
                TypeError,
                f"argument {where} of {_called(of.fun)} {error}; "
                "name it in static_argnames if it is a setting",
            ) from None
    return tuple(found)


@dataclass(frozen=True, init=False)
class ShapeDtypeStruct:
    """The type of an array without its value: what `eval_shape` and `lower` work with."""

    shape: tuple[int, ...]
    dtype: Any

    def __init__(self, shape: Sequence[int], dtype: Any) -> None:
        from ir.dtypes import dtype as dtype_of

        object.__setattr__(self, "shape", tuple(int(n) for n in shape))
        object.__setattr__(self, "dtype", dtype_of(dtype).np)

    @property
    def aval(self) -> Aval:
        from ir.dtypes import dtype as dtype_of

        return Aval(self.shape, dtype_of(self.dtype))

    def __repr__(self) -> str:
        return f"ShapeDtypeStruct({user_type(self.aval)})"


def hints(of: Roles, in_tree: tree.Structure) -> list[str]:
    """A name for each leaf, from its path; the parameter's name in front where needed."""
    found = tree.paths(in_tree)
    owners = [of.label(tree.plain(path[1])) for path in found]
    short = [tree.hint(path[2:]) or owner for owner, path in zip(owners, found, strict=True)]
    full = [tree.hint((o, *path[2:])) for o, path in zip(owners, found, strict=True)]
    return [f if short.count(s) > 1 else s for s, f in zip(short, full, strict=True)]


def explain(of: Roles, old: Signature, new: Signature) -> str:
    """Which argument makes `new` differ from `old`, one line each."""
    lines = []
    before = {n: v for n, _, v in old.statics}
    for name, _, value in new.statics:
        if name not in before or before[name] != value or type(before[name]) is not type(value):
            was = repr(before[name]) if name in before else "absent"
            lines.append(f"static argument {of.label(name)}: {was} -> {value!r}")
    types = [
        dict(zip(map(of.path_label, tree.paths(s.in_tree)), s.avals, strict=True))
        for s in (old, new)
    ]
    for label in dict.fromkeys([*types[0], *types[1]]):
        a, b = (t.get(label, "absent") for t in types)
        if a != b:
            lines.append(f"argument {label}: {a} -> {b}")
    if not lines:
        lines.append(f"structure of the arguments: {old.in_tree} -> {new.in_tree}")
    return "\n".join(lines)
