"""What each argument of a transformed function is: static, donated, or neither.

Invariant: positions and names say the same; a mistake in either is found when the function is
wrapped, not when it is called.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from . import tree
from .errors import check_callable, describe_function, located

Names = str | Sequence[str] | None
Nums = int | Sequence[int] | None


@dataclass(frozen=True)
class Roles:
    """Which arguments are static, and which donated: positions, and keyword names."""

    fun: Callable
    static: frozenset[Any]
    donated: frozenset[Any]

    def split(self, args: tuple, kwargs: dict) -> tuple[list, tree.Structure, tuple]:
        """(leaves, structure, statics) of a call."""
        opened, statics = self.open(args, kwargs)
        leaves, in_tree = tree.flatten(opened)
        return leaves, in_tree, statics

    def open(self, args: tuple, kwargs: dict) -> tuple[tuple, tuple]:
        """((args, kwargs) without static values, statics) of a call."""
        if not self.static:
            return (args, kwargs), ()
        fixed = [(i, a) for i, a in enumerate(args) if i in self.static]
        fixed += [(n, kwargs[n]) for n in sorted(kwargs) if n in self.static]
        for name, value in fixed:
            self._check_hashable(name, value)
        # None is an empty node: it holds the place of a static argument.
        open_args = tuple(None if i in self.static else a for i, a in enumerate(args))
        open_kwargs = {n: None if n in self.static else v for n, v in kwargs.items()}
        return (open_args, open_kwargs), tuple((n, type(v), v) for n, v in fixed)

    def _check_hashable(self, name: Any, value: Any) -> None:
        try:
            hash(value)
        except TypeError as error:
            raise located(
                ValueError,
                "Non-hashable static arguments are not supported. An error occurred while trying "
                f"to hash an object of type {type(value)}, {value}. The error was:\n"
                f"TypeError: {error}\nThe static argument is {self.label(name)}; pass a tuple or a "
                "frozen dataclass",
            ) from None

    def join(self, in_tree: tree.Structure, leaves: Sequence[Any], statics: tuple) -> tuple:
        """The (args, kwargs) that `split` took apart, with other leaves."""
        args, kwargs = _in_order(tree.unflatten(in_tree, leaves))
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
        names = self._names
        return names[name] if name < len(names) else f"args[{name}]"

    @cached_property
    def _names(self) -> list[str]:
        return parameter_names(self.fun)

    def path_label(self, path: tree.Path) -> str:
        """A leaf as the user would write it: params['layers'][0]."""
        return self.label(tree.plain(path[1])) + tree.keystr(path[2:])

    def donates(self, path: tree.Path) -> bool:
        return tree.plain(path[1]) in self.donated


def _in_order(node: Any) -> Any:
    """The same tree, every dict in the order of its sorted keys.

    Dicts of other orders have the same structure, and so share the trace.
    """
    if type(node) is dict:
        return {key: _in_order(node[key]) for key in _sorted(node)}
    if type(node) in (list, tuple):
        return type(node)(map(_in_order, node))
    return type(node)(*map(_in_order, node)) if hasattr(node, "_fields") else node


def _sorted(keys: dict) -> list:
    try:
        return sorted(keys)
    except TypeError:  # keys of several types: as they come
        return list(keys)


def roles(
    fun: Callable, static_nums: Nums, static_names: Names, donate_nums: Nums, donate_names: Names
) -> Roles:
    """Positions and names for the four options of `jit`; each implies the other.

    Raises TypeError for what is no function, ValueError for arguments it does not have.
    """
    check_callable(fun)
    static = _both(fun, "static", static_nums, static_names)
    donated = _both(fun, "donate", donate_nums, donate_names)
    if common := {str(x) for x in static & donated if isinstance(x, str)} or static & donated:
        raise located(
            ValueError,
            "static_argnames and donate_argnames cannot intersect. Argument names "
            f"{set(common)} appear in both static_argnames and donate_argnames",
        )
    return Roles(fun, static, donated)


def _both(fun: Callable, role: str, nums: Nums, names: Names) -> frozenset:
    known, open_ended = parameter_names(fun), _is_variadic(fun)
    places = [nums] if isinstance(nums, int) else [operator.index(i) for i in nums or ()]
    words = [names] if isinstance(names, str) else list(names or ())
    if not open_ended and any(not -len(known) <= i < len(known) for i in places):
        raise located(
            ValueError,
            f"Jitted function has {role}_argnums={tuple(places)}, but only accepts {len(known)} "
            f"positional arguments. It is {describe_function(fun)}",
        )
    if not open_ended and (unknown := set(words) - set(known)):
        raise located(
            ValueError,
            f"Jitted function has invalid argnames {unknown} in {role}_argnames. Function does not "
            f"take these args. It is {describe_function(fun)} and takes {', '.join(known)}",
        )
    places = [i + len(known) if i < 0 else i for i in places]
    named = {known[i] for i in places if i < len(known)} | set(words)
    return frozenset({*places, *named, *(known.index(n) for n in words if n in known)})


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
