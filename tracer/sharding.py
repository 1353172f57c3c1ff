"""Annotations: where on a mesh of devices a value lies, under JAX's names.

Invariant: an annotation never changes a value. A program may be run as it is, whatever its
annotations; `Lowered.sharded` hands it, with them, to the pass that makes the program of one device
(`ir.passes.shard`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ir.build import current
from ir.sharding import ShardingTypeError, Spec

from . import tree
from .array import Array, aval_of
from .errors import located
from .meshes import (
    AxisType,
    Mesh,
    P,
    PartitionSpec,
    context,
    get_mesh,
    make_mesh,
    set_mesh,
    use_mesh,
)
from .shardings import (
    DuplicateSpecError,
    NamedSharding,
    Sharding,
    SingleDeviceSharding,
    check_divides,
)
from .staging import bind, operand

# --- names of values ------------------------------------------------------------------------------


def ambient() -> tuple:
    """What the context says, for the signature of a trace."""
    return context.mesh, context.names


@contextmanager
def named_values(rules: Mapping[str, Sequence[PartitionSpec]]) -> Iterator[None]:
    """Within the block values that `checkpoint_name` gives a name lie as the rules say, one spec
    after the other; their cotangents go the other way."""
    saved = context.names
    context.names = tuple((n, tuple(specs)) for n, specs in rules.items())
    try:
        yield
    finally:
        context.names = saved


def of_name(x: Any, name: str) -> Any:
    """`x` constrained as the rules of the context say for values of this name."""
    for spec in dict(context.names).get(name, ()):
        x = constrained(x, spec)
    return x


# --- annotating values ----------------------------------------------------------------------------


def with_sharding_constraint(x: Any, shardings: Any) -> Any:
    """A pytree's leaves, of which it is said how they lie: NamedShardings, or PartitionSpecs on the
    mesh of the context, as a tree prefix. Raises ValueError if they do not fit."""
    return _placed("with_sharding_constraint", x, shardings)


def reshard(xs: Any, out_shardings: Any) -> Any:
    """`with_sharding_constraint`: annotations are never only checked."""
    return _placed("reshard", xs, out_shardings)


def _placed(name: str, x: Any, shardings: Any) -> Any:
    leaves, structure = tree.flatten(x)
    found = [named(name, s) for s in spread_prefix(name, shardings, x, structure)]
    outs = []
    for leaf, sharding in zip(leaves, found, strict=True):
        if sharding is None:
            outs.append(leaf)
            continue
        value = operand(leaf, name)
        shape = aval_of(value).shape
        text = f"One of {name} arguments is incompatible with its sharding annotation {sharding}: "
        check_divides(sharding, shape, text)
        if current() is None and isinstance(value, Array):
            from .placed import place

            outs.append(place(value, sharding))
            continue
        outs.append(_constrained(value, sharding.spec.spec(len(shape))))
    return tree.unflatten(structure, outs)


def constrained(x: Any, spec: PartitionSpec) -> Any:
    """`x`, of which it is said how it lies on whatever mesh the program is made for."""
    return _constrained(x, spec.spec(aval_of(x).ndim))


def _constrained(x: Any, spec: Spec) -> Any:
    if current() is None and isinstance(x, Array):
        return x
    params = {"dims": spec.dims, "unreduced": tuple(sorted(spec.unreduced)), "dual": False}
    return bind("sharding_constraint", x, **params)


def named(name: str, sharding: Any) -> NamedSharding | None:
    """A sharding as users give it. Raises RuntimeError for a bare spec without a mesh."""
    if not isinstance(sharding, PartitionSpec):
        return sharding
    if context.mesh is None or context.mesh.empty:
        raise located(
            RuntimeError,
            f"{name} requires a non-empty mesh in context if you are passing `PartitionSpec`s to "
            "shardings. You can define a context mesh via `jax.set_mesh(mesh)`. Alternatively, "
            "provide `Sharding`s to shardings and then the mesh context manager is not required.",
        )
    return NamedSharding(context.mesh, sharding)


def is_sharding(x: Any) -> bool:
    return x is None or isinstance(x, (PartitionSpec, NamedSharding))


def spread_prefix(name: str, prefix: Any, whole: Any, structure: tree.Structure) -> list:
    """One sharding for each leaf of `whole`, of which `prefix` is a tree prefix."""
    if is_sharding(prefix):
        return [prefix] * structure.num_leaves
    if isinstance(prefix, dict) and isinstance(whole, dict) and set(prefix) == set(whole):
        pairs = [(prefix[k], whole[k]) for k in sorted(whole)]
    elif isinstance(prefix, (list, tuple)) and isinstance(whole, (list, tuple)):
        if len(prefix) != len(whole):
            raise located(
                ValueError,
                f"{name} specification must be a tree prefix of the value, but it is the wrong "
                f"length: got a tuple or list of length {len(prefix)} for {len(whole)} values.",
            )
        pairs = list(zip(prefix, whole, strict=True))
    else:
        raise located(
            ValueError,
            f"{name}: pytree structure error: {type(prefix).__name__} of shardings for a "
            f"{type(whole).__name__}; give a tree prefix of the value",
        )
    return [s for p, w in pairs for s in spread_prefix(name, p, w, tree.flatten(w)[1])]


__all__ = [
    "AxisType",
    "DuplicateSpecError",
    "Mesh",
    "NamedSharding",
    "P",
    "PartitionSpec",
    "Sharding",
    "ShardingTypeError",
    "SingleDeviceSharding",
    "constrained",
    "get_mesh",
    "make_mesh",
    "named_values",
    "reshard",
    "set_mesh",
    "use_mesh",
    "with_sharding_constraint",
]
