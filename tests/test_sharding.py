"""Records of sharding, their printed form, and the lockstep oracle on programs written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ir import Aval, Graph, MeshShape, ShardedGraph, Spec, Var, evaluate_spmd, f32, parse, show
from ir.build import build, emit
from ir.prim import PRIMITIVES
from ir.sharding import join, local_shape, problems, split, whole

MESH = MeshShape(("dp", "cp", "tp"), (2, 3, 2))
ZIGZAG = MeshShape(("dp", "cp"), (2, 3), frozenset({"cp"}))


def spec(*dims, over=()):
    return Spec(tuple((d,) if isinstance(d, str) else d or () for d in dims), frozenset(over))


@pytest.mark.parametrize(
    "cut",
    [spec(None, None), spec("dp", None), spec(("dp", "cp"), "tp"), spec("cp", None, over={"dp"})],
    ids=str,
)
@pytest.mark.parametrize("mesh", [MESH, MeshShape(MESH.names, (2, 3, 2), frozenset({"cp"}))])
def test_join_undoes_split(cut, mesh):
    x = np.arange(24.0 * 4).reshape(24, 4)
    parts = split(x, cut, mesh)
    assert len(parts) == mesh.count == 12
    assert {p.shape for p in parts} == {local_shape(x.shape, cut, mesh)}
    assert np.array_equal(join(parts, cut, mesh), x)


def test_a_zigzag_axis_gives_each_member_an_early_and_a_late_chunk():
    parts = split(np.arange(12), spec("cp"), ZIGZAG)
    assert [p.tolist() for p in parts[:3]] == [[0, 1, 10, 11], [2, 3, 8, 9], [4, 5, 6, 7]]


@pytest.mark.parametrize("cut", [spec("dp", ("cp", "tp")), spec(None, None, over={"tp", "dp"})])
def test_types_show_how_a_mesh_cuts_them_and_parse_back(cut):
    v = Var(Aval((4, 8), f32), spec=cut)
    text = show(Graph((v,), (), (v,)))
    again = parse(text)
    assert again.ins[0].spec == cut
    assert show(again) == text


def test_specs_in_a_graph_that_is_a_parameter_parse_back():
    x = Var(Aval((4,), f32), spec=spec("dp", over={"tp"}))
    body = Graph((x,), (), (x,))
    params = dict(body=body, policy=("nothing",), apart=False)
    outer = build(lambda v: emit(PRIMITIVES["remat"], v, **params), x.aval)
    again = parse(show(outer))
    assert again.key() == outer.key()
    assert next(again.subgraphs()).ins[0].spec == x.spec


def test_every_problem_of_a_spec_is_told():
    found = list(problems("x", (6, 5), spec(("dp", "tp"), "up"), MESH))
    assert [w for w in found if "names the axis 'up'; the mesh has dp, cp, tp" in w]
    assert [w for w in found if "into 4, which does not divide it; 4 or 8 would do" in w]
    assert "uses the axis 'dp' 2 times" in next(problems("x", (4, 4), spec("dp", "dp"), MESH))


# --- the lockstep oracle --------------------------------------------------------------------------

LINE = MeshShape(("x", "y"), (2, 3))
SHARED = {"axes": ("y",), "sizes": (3,)}
COLLECTIVES = {
    "psum": (spec(None, "y"), spec(None, None), {}, lambda a: a[:, :2] + a[:, 2:4] + a[:, 4:]),
    "pmax": (spec(None, "y"), spec(None, None), {}, lambda a: a.reshape(4, 3, 2).max(1)),
    "all_gather": (spec("x", "y"), spec("x", None), {"axis": 1, "tiled": True}, lambda a: a),
    "reduce_scatter": (
        spec("x", None, over={"y"}), spec("x", "y"), {"axis": 1, "tiled": True}, lambda a: a),
    "ppermute": (
        spec(None, "y"), spec(None, "y"), {"perm": ((0, 1), (1, 2), (2, 0))},
        lambda a: np.roll(a, 2, 1)),
    "all_to_all": (
        spec(None, "y"), spec("y", None), {"split": 0, "concat": 1, "tiled": True}, lambda a: a),
}  # fmt: skip


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_collective_on_a_mesh_is_what_numpy_says(name):
    before, after, params, wanted = COLLECTIVES[name]
    x = np.random.default_rng(0).standard_normal((12, 6) if name == "all_to_all" else (4, 6))
    local = Aval(local_shape(x.shape, before, LINE), f32)
    graph = build(lambda v: emit(PRIMITIVES[name], v, **SHARED, **params), local)
    (found,) = evaluate_spmd(ShardedGraph(graph, LINE, (before,), (after,)), x, wide=True)
    assert np.allclose(found, wanted(x), rtol=0, atol=1e-15)


def test_loops_and_branches_run_in_lockstep():
    """A carry that is summed over the mesh at each step, in a scan and in a branch of it."""
    psum, scan, cond = (PRIMITIVES[n] for n in ("psum", "scan", "cond"))
    scalar = Aval((2,), f32)
    step = build(lambda c: emit(psum, c, **SHARED), scalar)
    still = build(lambda c: (c,), scalar)
    flag = Aval((), PRIMITIVES["axis_index"].typeof(axes=(), sizes=()).dtype)

    def body(c, i):
        return emit(cond, i, c, branches=(step, still))

    inner = build(body, scalar, flag)
    loop = dict(body=inner, consts=0, carry=1, length=3, reverse=False)
    graph = build(lambda c, xs: emit(scan, c, xs, **loop), scalar, Aval((3,), flag.dtype))
    sharded = ShardedGraph(graph, LINE, (spec("y"), whole(1)), (whole(1),))
    (found,) = evaluate_spmd(sharded, np.arange(6.0), np.array([0, 1, 0]))
    assert np.array_equal(found, [3 * 6.0, 3 * 9.0])
