"""`checkpoint`: trade memory for time by computing values again in the backward pass.

Invariant: a policy is data, so equal programs stay equal; every policy offered is honoured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from ir.build import current

from . import tree
from .array import Tracer, type_of
from .errors import located
from .roles import Names, Nums, roles
from .sharding import of_name
from .staging import bind, marked, operand, trace


@dataclass(frozen=True)
class Policy:
    """Which values of a checkpointed function are kept for its backward pass."""

    words: tuple[Any, ...]


class checkpoint_policies:
    """The policies of `checkpoint`, under JAX's names."""

    nothing_saveable = Policy(("nothing",))
    everything_saveable = Policy(("everything",))
    dots_saveable = checkpoint_dots = Policy(("dots",))
    dots_with_no_batch_dims_saveable = Policy(("unbatched dots",))
    checkpoint_dots_with_no_batch_dims = dots_with_no_batch_dims_saveable

    @staticmethod
    def save_from_both_policies(policy_1: Policy, policy_2: Policy) -> Policy:
        """Keep what either policy keeps."""
        return Policy(("either", policy_1.words, policy_2.words))

    @staticmethod
    def save_only_these_names(*names: str) -> Policy:
        """Keep values that `checkpoint_name` gave one of these names."""
        return Policy(("names", *names))

    @staticmethod
    def save_any_names_but_these(*names: str) -> Policy:
        """Keep named values, except those of these names."""
        return Policy(("names but", *names))

    @staticmethod
    def save_anything_except_these_names(*names: str) -> Policy:
        """Keep all values, except those of these names."""
        return Policy(("all but", *names))


def checkpoint(
    fun: Callable | None = None,
    *,
    prevent_cse: bool = True,
    policy: Policy | None = None,
    static_argnums: Nums = None,
    static_argnames: Names = None,
) -> Any:
    """`fun`, whose backward pass keeps its arguments and computes the rest again.

    `policy`, one of `checkpoint_policies`, says what else is kept. Without `prevent_cse` the
    compiler may merge the second computation with the first. Usable as a decorator, with or
    without options. Raises TypeError for another policy.
    """
    if fun is None:
        options = {"prevent_cse": prevent_cse, "policy": policy, "static_argnums": static_argnums}
        return lambda f: checkpoint(f, static_argnames=static_argnames, **options)
    policy = checkpoint_policies.nothing_saveable if policy is None else policy
    if not isinstance(policy, Policy):
        names = [n for n in vars(checkpoint_policies) if not n.startswith("_")]
        raise located(
            TypeError,
            f"checkpoint got policy={policy!r}; use one of checkpoint_policies: {', '.join(names)}",
        )
    of = roles(fun, static_argnums, static_argnames, None, None)

    @wraps(fun, updated=())
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if current() is None:  # nothing can differentiate it
            return fun(*args, **kwargs)
        leaves, in_tree, statics = of.split(args, kwargs)
        inputs = [operand(x, "checkpoint") for x in leaves]

        def body(*tracers: Any) -> Any:
            given, named = of.join(in_tree, tracers, statics)
            return fun(*given, **named)

        traced = trace(body, [type_of(x) for x in inputs])
        outs = bind(
            "remat", *map(Tracer, traced.captured), *inputs,
            body=traced.graph, policy=policy.words, apart=bool(prevent_cse),
        )  # fmt: skip
        outs = [marked(x, weak) for x, weak in zip(outs, traced.weak, strict=True)]
        return tree.unflatten(traced.out_tree, outs)

    return wrapper


remat = checkpoint


def checkpoint_name(x: Any, name: str) -> Any:
    """The identity on a pytree of arrays, whose leaves policies know by `name`, and the rules of
    `sharding.named_values`."""

    def leaf(value: Any) -> Any:
        return of_name(bind("checkpoint_name", operand(value), name=str(name)), str(name))

    return tree.map(leaf, x)


__all__ = ["Policy", "checkpoint", "checkpoint_name", "checkpoint_policies", "remat"]
