"""Programs of `jit` on a mesh of devices, and arrays that are put there.

Invariant: results are those of one device; where arguments lie is what `in_shardings` says of them
or else how they come, where results lie what `out_shardings` says or else how they come out. A mesh
of one device, or one whose devices are only numbers, runs nothing differently.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ir.passes.messages import arranged
from ir.passes.shard import Options, shard
from ir.sharding import Spec, whole

from . import settings, tree
from .array import Array
from .calls import Signature
from .compiled import Compiled, plan_results
from .config import Device
from .inspection import tell_on_mesh
from .laid import lies
from .meshes import Mesh, partition
from .sharding import NamedSharding
from .staging import Traced, lifted

if TYPE_CHECKING:
    from .jit import Jitted

Each = Sequence[NamedSharding | None]


def runs_on(mesh: Mesh | None) -> bool:
    """Whether there is a mesh, of several devices that can run something."""
    return mesh is not None and mesh.size > 1 and isinstance(mesh.devices.flat[0], Device)


def place(x: Array, sharding: NamedSharding) -> Array:
    """`x` where `sharding` says; itself if it is there."""
    if not runs_on(sharding.mesh) or lies(x) == sharding:
        return x
    x.check_alive()
    if settings.backend() == "oracle":
        made = Array(x.aval, host=x.numpy(), weak_type=x.weak_type)
    else:
        from .spmd import in_pieces

        spec = _spec(sharding, x.aval.ndim)
        made = Array(x.aval, in_pieces(x, sharding.mesh.record(), spec), weak_type=x.weak_type)
    return settled(made, sharding)


def settled(x: Array, sharding: NamedSharding) -> Array:
    """`x`, of which it is true that it lies so."""
    x.settle(sharding, x.weak_type)
    return x


def compile_placed(jitted: Jitted, signature: Signature, traced: Traced) -> Compiled | None:
    """The program on the mesh that shardings or the context name; None if there is none."""
    placement = jitted.placement
    come = signature.context[2] if len(signature.context) > 2 else (None,) * len(signature.avals)
    ins = [told or own for told, own in zip(placement.ins_of(signature), come, strict=True)]
    outs = placement.outs_of(traced)
    mesh = next((s.mesh for s in (*ins, *outs) if s is not None), None)
    if mesh is None and any(e.prim.name == "sharding_constraint" for e in traced.graph.eqns):
        mesh = signature.context[0]
    if not runs_on(mesh):
        return None
    _check_one_mesh(mesh, (*ins, *outs))
    return _compiled(jitted, signature, lifted(traced), mesh, ins, outs)


def _check_one_mesh(mesh: Mesh, shardings: Each) -> None:
    from .errors import located

    for other in shardings:
        if other is not None and other.mesh != mesh:
            raise located(
                ValueError,
                f"Received incompatible devices for jitted computation: one of them lies on {mesh} "
                f"and another on {other.mesh}; device_put one of them on the mesh of the other",
            )


def _compiled(
    jitted: Jitted, signature: Signature, traced: Traced, mesh: Mesh, ins: Each, outs: Each
) -> Compiled:
    from .spmd import executable_for

    graph, plan = traced.graph, plan_results(traced.graph)
    fixed = len(graph.ins) - len(ins)
    specs = [whole(v.aval.ndim) for v in graph.ins[:fixed]]
    specs += [_spec(s, v.aval.ndim) for s, v in zip(ins, graph.ins[fixed:], strict=True)]
    wanted: dict[int, Spec] = {}
    for (made, at), s, v in zip(plan.results, outs, graph.outs, strict=False):
        if made and s is not None:
            wanted.setdefault(at, _spec(s, v.aval.ndim))
    told = [wanted.get(k) for k in range(len(plan.graph.outs))]
    done = arranged(shard(plan.graph, mesh.record(), specs, told, Options()))
    tell_on_mesh(done, mesh)
    paths = tree.paths(signature.in_tree)
    donated = [i for i, path in enumerate(paths) if jitted._roles.donates(path)]
    pairs = [(i, j) for i, j in jitted._pairs(traced, paths, donated)
             if done.in_specs[i] == done.out_specs[j]]  # fmt: skip
    executable = executable_for(done, pairs, jitted._name, jitted._why)
    lie = [NamedSharding(mesh, partition(done.out_specs[at])) if made else s
           for (made, at), s in zip(plan.results, outs, strict=False)]  # fmt: skip
    return OnMesh(traced, plan, executable, donated, jitted._name, lie)


def _spec(sharding: NamedSharding | None, ndim: int) -> Spec:
    if sharding is None:
        return whole(ndim)
    spec = sharding.spec.spec(ndim)
    return Spec(tuple(d or () for d in spec.dims), spec.unreduced)


class OnMesh(Compiled):
    """A call whose results know where on the mesh they lie."""

    def __init__(
        self, traced: Traced, plan: Any, executable: Any, donated: Sequence[int], name: str,
        shardings: Each,
    ) -> None:  # fmt: skip
        super().__init__(traced, plan, executable, donated, name)
        self.shardings = tuple(shardings)

    def _run(self, leaves: Sequence[Any]) -> list[Array]:
        arrays = super()._run(leaves)
        for n, (s, (made, _)) in enumerate(zip(self.shardings, self.plan.results, strict=False)):
            if made:
                settled(arrays[n], s)
            elif s is not None:
                arrays[n] = place(arrays[n], s)
        return arrays


__all__ = ["OnMesh", "compile_placed", "place", "runs_on"]
