"""Sharding on a mesh of one device: the text that larger meshes run too."""

# ruff: noqa: E731 - small functions are written the way that users write them
from __future__ import annotations

from . import floats, program


@program(floats(4, 2), grad=False)
def device_put_with_a_named_sharding(j, x):
    mesh = j.make_mesh((1,), ("data",))
    spec = j.sharding.NamedSharding(mesh, j.sharding.PartitionSpec("data", None))
    return j.device_put(x, spec) * 2


@program(floats(4, 2), grad=False)
def shard_map_of_a_psum(j, x):
    mesh = j.sharding.Mesh(j.devices()[:1], ("data",))
    spec = j.sharding.PartitionSpec
    f = j.shard_map(
        lambda v: j.lax.psum(v.sum(0), "data"), mesh=mesh, in_specs=spec("data"), out_specs=spec()
    )
    return f(x)


@program(floats(4, 2), grad=False)
def sharding_constraint_inside_jit(j, x):
    mesh = j.sharding.Mesh(j.devices()[:1], ("data",))
    spec = j.sharding.NamedSharding(mesh, j.P("data"))
    return j.jit(lambda v: j.lax.with_sharding_constraint(v * 2, spec))(x)


@program(floats(4, 2))
def vmap_sums_over_its_axis(j, x):
    f = lambda v: (j.lax.psum(v, "i"), j.lax.pmean(v * v, "i"))
    return j.vmap(f, axis_name="i")(x)


@program(floats(4, 2), grad=False)
def vmap_extrema_and_index_of_its_axis(j, x):
    f = lambda v: (j.lax.pmax(v, "i"), j.lax.pmin(v, "i"), j.lax.axis_index("i"))
    return j.vmap(f, axis_name="i")(x)


@program(floats(4, 2))
def vmap_all_gather_and_permute(j, x):
    ring = [(i, (i + 1) % 4) for i in range(4)]
    f = lambda v: (j.lax.all_gather(v, "i"), j.lax.ppermute(v, "i", ring))
    return j.vmap(f, axis_name="i")(x)


@program()
def mesh_shape(j):
    mesh = j.make_mesh((1, 1), ("data", "model"))
    return tuple(mesh.axis_names), dict(mesh.shape), len(j.devices()) >= 1
