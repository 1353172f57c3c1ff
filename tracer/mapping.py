"""`shard_map`: a function of the parts that one device has, on whole arrays.

Invariant: within the function the axes of the mesh are bound, so collectives know their sizes; what
it closes over is the same for all devices.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import wraps
from typing import Any

from ir.build import current
from ir.graph import Aval
from ir.prims.mapped import varying
from ir.sharding import Spec, local_shape

from . import tree
from .array import Tracer, aval_of
from .collectives import bound
from .errors import Origin, located
from .sharding import Mesh, PartitionSpec, get_mesh, spread_prefix
from .staging import bind, operand, run_now, trace


def shard_map(
    f: Callable | None = None,
    /,
    *,
    out_specs: Any,
    in_specs: Any = None,
    mesh: Mesh | None = None,
    axis_names: Set[str] = frozenset(),
    check_vma: bool = True,
) -> Any:
    """`f`, called once for each device of `mesh` with its parts of the arguments.

    `in_specs` and `out_specs` are PartitionSpecs, as tree prefixes of the arguments and of what `f`
    returns. The mesh is that of the context by default; only `axis_names` of it are bound, all by
    default. With `check_vma` a result must not differ between devices that its spec does not tell
    apart. Raises ValueError.
    """
    if f is None:
        options = dict(out_specs=out_specs, in_specs=in_specs, mesh=mesh, axis_names=axis_names)
        return lambda g: shard_map(g, check_vma=check_vma, **options)

    @wraps(f, updated=())
    def wrapper(*args: Any) -> Any:
        call = _Call(f, mesh, axis_names, in_specs, out_specs, check_vma)
        return call(args) if current() is not None else run_now(lambda: call(args))

    return wrapper


class _Call:
    """One call of a mapped function."""

    def __init__(self, fun, mesh, axis_names, in_specs, out_specs, check: bool) -> None:
        mesh = get_mesh() if mesh is None else mesh
        if mesh is None:
            raise located(
                ValueError,
                "The context mesh cannot be empty. Use `jax.set_mesh(mesh)` to enter into a mesh "
                "context",
            )
        self.fun, self.check, self.name = fun, check, getattr(fun, "__name__", "f")
        record = mesh.record()
        self.axes = tuple(a for a in record.names if a in (axis_names or record.names))
        self.sizes = tuple(record.size_of[a] for a in self.axes)
        self.mesh, self.in_specs, self.out_specs = record, in_specs, out_specs

    def __call__(self, args: tuple) -> Any:
        leaves, in_tree = tree.flatten(args)
        given = self.in_specs if not isinstance(self.in_specs, list) else tuple(self.in_specs)
        given = PartitionSpec() if given is None else given
        specs = spread_prefix("shard_map in_specs", given, args, in_tree)
        values = [operand(x, "shard_map") for x in leaves]
        cuts = [self._cut("in_specs", s, aval_of(v)) for s, v in zip(specs, values, strict=True)]
        parts = [self._part(aval_of(v), d, i) for i, (v, d) in
                 enumerate(zip(values, cuts, strict=True))]  # fmt: skip

        def body(*tracers: Any) -> Any:
            return self.fun(*tree.unflatten(in_tree, tracers))

        with _bound(self.axes, self.sizes):
            traced = trace(body, parts, origin=Origin(self.fun, "shard_map"))
        closed = (((),) * v.aval.ndim for v in traced.captured)
        ins = (*closed, *cuts)
        outs = self._out_cuts(traced, ins)
        found = bind(
            "shard_map", *map(Tracer, traced.captured), *values,
            body=traced.graph, axes=self.axes, sizes=self.sizes, in_dims=ins, out_dims=outs,
        )  # fmt: skip
        return tree.unflatten(traced.out_tree, found)

    def _cut(self, kind: str, spec: PartitionSpec, aval: Aval) -> tuple:
        spec = PartitionSpec() if spec is None else spec
        if len(spec) > aval.ndim:
            raise located(
                ValueError,
                f"shard_map applied to the function '{self.name}' was given an {kind} entry which "
                f"is too long to be compatible with the corresponding value from the function: "
                f"{kind} is {spec} which has length {len(spec)}, but the value has rank "
                f"{aval.ndim} (and {aval.ndim} < {len(spec)})",
            )
        dims = tuple(d or () for d in spec.spec(aval.ndim).dims)
        for axis in (a for d in dims for a in d):
            if axis not in self.axes:
                raise located(
                    ValueError,
                    f"shard_map {kind} argument must refer to an axis marked as manual "
                    f"({set(self.axes)}), but {kind} refers to {axis!r}",
                )
        return dims

    def _part(self, aval: Aval, dims: tuple, at: int) -> Aval:
        for d, (n, axes) in enumerate(zip(aval.shape, dims, strict=True)):
            if n % self.mesh.along(axes):
                raise located(
                    ValueError,
                    f"shard_map applied to the function '{self.name}' was given argument arrays "
                    "with axis sizes that are not evenly divisible by the corresponding mesh axis "
                    f"sizes: argument {at} of type {aval} has array axis {d} (of size {n}) mapped "
                    f"to {'*'.join(axes)} (of size {self.mesh.along(axes)})",
                )
        return Aval(local_shape(aval.shape, Spec(dims), self.mesh), aval.dtype)

    def _out_cuts(self, traced: Any, ins: tuple) -> tuple:
        shown = tree.unflatten(traced.out_tree, list(range(len(traced.graph.outs))))
        given = tuple(self.out_specs) if isinstance(self.out_specs, list) else self.out_specs
        specs = spread_prefix("shard_map out_specs", given, shown, traced.out_tree)
        avals = traced.graph.out_avals
        cuts = tuple(self._cut("out_specs", s, a) for s, a in zip(specs, avals, strict=True))
        differ = varying(traced.graph, self.axes, self.sizes, ins) if self.check else ()
        for spec, cut, over in zip(specs, cuts, differ, strict=False):
            if extra := sorted(over - {a for d in cut for a in d}):
                raise located(
                    ValueError,
                    f"shard_map applied to the function '{self.name}' was given out_specs which "
                    f"require replication which can't be statically inferred given the mesh: "
                    f"out_specs is {spec}, but the result may differ along {', '.join(extra)}; "
                    "sum it (lax.psum), name the axis, or pass check_vma=False",
                )
        return cuts


class _bound:
    """Several axes bound at once, the last innermost."""

    def __init__(self, names: tuple, sizes: tuple) -> None:
        self._held = [bound(n, s) for n, s in zip(names, sizes, strict=True)]

    def __enter__(self) -> None:
        for held in self._held:
            held.__enter__()

    def __exit__(self, *raised: Any) -> None:
        for held in reversed(self._held):
            held.__exit__(*raised)


__all__ = ["shard_map"]
