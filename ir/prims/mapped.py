"""`shard_map`: a graph written for one device, as an equation on whole arrays.

Invariant: its meaning is that of the body batched along the axes of the mesh, one after another, so
it runs and differentiates anywhere; the sharding pass puts the body in its place as it stands.
"""

from __future__ import annotations

from ..build import emit, inline
from ..graph import Aval, Graph, Value
from ..prim import register
from ..sharding import MeshShape, Spec, local_shape
from .fused import Composite
from .views import broadcast_to, reshape_to, transpose_to

Cuts = tuple[tuple[tuple[str, ...], ...], ...]  # the dims of a Spec for each value


@register
class shard_map(Composite):
    """`body`, of the parts of the operands that `in_dims` says, to parts of the results.

    `axes` and `sizes` are the mesh. `out_dims` says how results are put together; over an axis that
    it does not name, members agree.
    """

    name = "shard_map"
    multi = True

    def typeof(self, *avals: Aval, body: Graph, axes, sizes, in_dims: Cuts, out_dims: Cuts):
        mesh = MeshShape(axes, sizes)
        fits = len(avals) == len(in_dims) and all(
            a.ndim == len(dims)
            and Aval(local_shape(a.shape, Spec(dims), mesh), a.dtype) == part
            and _whole(part.shape, dims, mesh) == a.shape
            for a, dims, part in zip(avals, in_dims, body.in_avals, strict=True)
        )
        if not fits:
            shown = " and ".join(map(str, avals))
            raise TypeError(f"shard_map of a graph of {body.in_avals} over {mesh} got {shown}")
        return tuple(
            Aval(_whole(a.shape, dims, mesh), a.dtype)
            for a, dims in zip(body.out_avals, out_dims, strict=True)
        )

    def expand(self, *xs, body, axes, sizes, in_dims: Cuts, out_dims: Cuts):
        from ..passes.batch import batch_graph

        mesh = MeshShape(axes, sizes)
        graph, leads = body, [()] * len(out_dims)
        for axis, size in reversed(list(zip(axes, sizes, strict=True))):
            mask = tuple(any(axis in d for d in dims) for dims in in_dims)
            graph, led = batch_graph(graph, mask, size, axis)
            leads = [(axis, *old) if new else old for old, new in zip(leads, led, strict=True)]
        found = inline(graph, [_apart(x, dims, mesh) for x, dims in zip(xs, in_dims, strict=True)])
        triples = zip(found, out_dims, leads, strict=True)
        return tuple(_together(x, dims, led, mesh) for x, dims, led in triples)


def _whole(shape, dims, mesh: MeshShape) -> tuple[int, ...]:
    return tuple(n * mesh.along(d) for n, d in zip(shape, dims, strict=True))


def _apart(x: Value, dims, mesh: MeshShape) -> Value:
    """The parts of `x` stacked along its mesh axes, in the order of the mesh."""
    shape, axes, kept = [], [], []
    for n, cut in zip(x.aval.shape, dims, strict=True):
        shape += [*(mesh.size_of[a] for a in cut), n // mesh.along(cut)]
        axes += [*cut, None]
        kept.append(len(axes) - 1)
    lead = [axes.index(a) for a in mesh.names if a in axes]
    return transpose_to(reshape_to(x, tuple(shape)), [*lead, *kept])


def _together(x: Value, dims, led: tuple[str, ...], mesh: MeshShape) -> Value:
    """Undo `_apart`; of what members agree on the first one's is taken."""
    from .views import slice

    named = {a for cut in dims for a in cut}
    missing = [a for a in mesh.names if a in named and a not in led]
    part = x.aval.shape[len(led) :]
    if any(a not in named for a in led):
        limit = (*(mesh.size_of[a] if a in named else 1 for a in led), *part)
        ndim = len(limit)
        x = emit(slice, x, start=(0,) * ndim, limit=limit, stride=(1,) * ndim)
        led = tuple(a for a in led if a in named)
        x = reshape_to(x, (*(mesh.size_of[a] for a in led), *part))
    shape = (*(mesh.size_of[a] for a in missing), *x.aval.shape)
    x = broadcast_to(x, shape, tuple(range(len(missing), len(shape))))
    have = [*missing, *led]
    perm, count = [], len(have)
    for d, cut in enumerate(dims):
        perm += [*(have.index(a) for a in cut), count + d]
    return reshape_to(transpose_to(x, perm), _whole(part, dims, mesh))


def varying(body: Graph, axes, sizes, in_dims: Cuts) -> list[frozenset[str]]:
    """Over which axes each result of the body may differ between members."""
    from ..passes.batch import batch_graph

    graph, over = body, [frozenset()] * len(body.outs)
    for axis, size in reversed(list(zip(axes, sizes, strict=True))):
        mask = tuple(any(axis in d for d in dims) for dims in in_dims)
        graph, led = batch_graph(graph, mask, size, axis)
        over = [old | {axis} if new else old for old, new in zip(over, led, strict=True)]
    return over
