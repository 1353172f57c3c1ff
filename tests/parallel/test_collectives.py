"""Collectives on virtual devices against the semantics of `vmap(axis_name=...)` and numpy."""

from __future__ import annotations

import numpy as np
import pytest

import runtime
from codegen.compile import compile_graph
from codegen.profile import WEBGPU_DEFAULT
from codegen.program import Collective, Program
from codegen.spread import spread
from codegen.table import plan_text
from ir import PRIMITIVES, Aval, bf16, build, emit, f16, f32, i32
from ir.build import lit
from ir.prims.scan import scan
from ir.prims.unary import cast
from ir.prims.while_loop import while_loop
from ir.sharding import MeshShape, Spec
from runtime.executable import Executable

from . import harness

RNG = np.random.default_rng(3)
LINE, SQUARE = MeshShape(("x",), (4,)), MeshShape(("dp", "tp"), (2, 3))


def collective(name, axes, mesh, **params):
    over = {"axes": axes, "sizes": tuple(mesh.size_of[a] for a in axes), **params}
    return lambda *xs: emit(PRIMITIVES[name], *xs, **over)


def data(mesh, shape, dtype=f32):
    values = RNG.standard_normal((mesh.count, *shape)) * 4
    return values.astype(dtype.np)


def check(fun, mesh, shape, dtype=f32, tolerance=1e-6):
    graph = build(fun, Aval(shape, dtype))
    x = data(mesh, shape, dtype)
    for got, want in zip(harness.run(graph, mesh, x), harness.by_vmap(graph, mesh, x), strict=True):
        np.testing.assert_allclose(
            got.astype(np.float64), want.astype(np.float64), rtol=tolerance, atol=tolerance
        )


MOVES = {
    "psum": ({}, (5, 3)),
    "pmax": ({}, (5, 3)),
    "pmin": ({}, (5, 3)),
    "gathered in front": ({"axis": 0, "tiled": False}, (5, 3)),
    "gathered within": ({"axis": 1, "tiled": False}, (5, 3)),
    "gathered and joined": ({"axis": 1, "tiled": True}, (5, 3)),
    "scattered in parts": ({"axis": 1, "tiled": True}, (5, 24)),
    "exchanged": ({"split": 0, "concat": 1, "tiled": True}, (12, 5)),
    "exchanged in place": ({"split": 1, "concat": 1, "tiled": True}, (2, 12)),
}
PRIMS = {"gathered": "all_gather", "scattered": "reduce_scatter", "exchanged": "all_to_all"}


@pytest.mark.parametrize("case", MOVES)
@pytest.mark.parametrize(
    ("mesh", "axes"),
    [(LINE, ("x",)), (SQUARE, ("tp",)), (SQUARE, ("dp",)), (SQUARE, ("tp", "dp"))],
    ids=["line", "tp", "dp", "both"],
)
def test_along_axes(case, mesh, axes):
    params, shape = MOVES[case]
    name = PRIMS.get(case.split()[0], case)
    check(collective(name, axes, mesh, **params), mesh, shape)


@pytest.mark.parametrize("perm", [((0, 1), (1, 2), (2, 3), (3, 0)), ((2, 0),), ()])
def test_permutations(perm):
    check(collective("ppermute", ("x",), LINE, perm=perm), LINE, (3, 2))


def test_untiled_forms():
    check(collective("reduce_scatter", ("x",), LINE, axis=1, tiled=False), LINE, (3, 4))
    untiled = {"split": 2, "concat": 0, "tiled": False}
    check(collective("all_to_all", ("x",), LINE, **untiled), LINE, (3, 2, 4))


@pytest.mark.parametrize("dtype", [f32, bf16, f16, i32], ids=str)
@pytest.mark.parametrize("mesh", [LINE, SQUARE], ids=str)
def test_several_sums_are_one_message(mesh, dtype):
    """Of any sizes, odd ones and scalars too, without a kernel to join or part them."""
    shapes, over = [(5, 3), (), (2, 4), (7,)], (mesh.names[-1],)
    graph = build(collective("psums", over, mesh), *(Aval(s, dtype) for s in shapes))
    given = [data(mesh, s, dtype) for s in shapes]
    for got, want in zip(
        harness.run(graph, mesh, *given), harness.by_vmap(graph, mesh, *given), strict=True
    ):
        got, want = got.astype(np.float64), want.astype(np.float64)
        np.testing.assert_allclose(got, want, rtol=2e-2 if dtype.itemsize == 2 else 1e-6, atol=1e-6)
    made = harness.executable(graph, mesh)
    size = sum(a.nbytes for a in graph.in_avals)
    assert made.traffic == {over[0]: {"psum": [1, size]}} and not made.program.kernels


@pytest.mark.parametrize("dtype", [bf16, f16, i32], ids=str)
@pytest.mark.parametrize("case", ["psum", "gathered within", "scattered in parts", "exchanged"])
def test_dtypes(case, dtype):
    params, shape = MOVES[case]
    name = PRIMS.get(case.split()[0], case)
    check(collective(name, ("x",), LINE, **params), LINE, shape, dtype, 2e-2)


def test_an_axis_of_one_is_silent():
    mesh = MeshShape(("a", "b"), (1, 2))
    for case, (params, shape) in MOVES.items():
        fun = collective(PRIMS.get(case.split()[0], case), ("a",), mesh, **params)
        graph = build(fun, Aval(shape, f32))
        program = compile_graph(graph, runtime.default_device().profile)
        assert not any(isinstance(s, Collective) for s in program.steps)
        check(fun, mesh, shape)


def number(mesh, axis):
    return emit(cast, collective("axis_index", (axis,), mesh)(), dtype=f32)


def test_devices_know_their_numbers_and_share_kernels():
    def fun(x):
        mine = number(SQUARE, "dp") * 10.0 + number(SQUARE, "tp")
        return x * emit(PRIMITIVES["broadcast"], mine, shape=(4,), dims=())

    graph = build(fun, Aval((4,), f32))
    (got,) = harness.run(graph, SQUARE, np.ones((6, 4), np.float32))
    assert got[:, 0].tolist() == [0, 1, 2, 10, 11, 12]
    profile = runtime.default_device().profile
    program = compile_graph(graph, profile)
    assert len(spread(program, SQUARE, profile).kernels) == len(program.kernels)


def test_inside_loops():
    """A sum in every iteration of a scan, and the number of a device in it."""

    def body(total, row):
        psum = collective("psum", ("tp",), SQUARE)
        wide = emit(PRIMITIVES["broadcast"], number(SQUARE, "dp"), shape=(4,), dims=())
        return total + psum(row) + wide, psum(total)

    inner = build(body, Aval((4,), f32), Aval((4,), f32))

    def fun(x):
        zeros = lit(0.0, f32, (4,))
        return emit(scan, zeros, x, body=inner, length=3, consts=0, carry=1, reverse=False)

    graph = build(fun, Aval((3, 4), f32))
    made = harness.executable(graph, SQUARE)
    assert made.traffic == {"tp": {"psum": [6, 96]}}
    check(fun, SQUARE, (3, 4), tolerance=1e-5)


def test_inside_a_while_loop():
    def step(count, x):
        more = emit(PRIMITIVES["lt"], count, lit(3, i32))
        return more, count + 1, collective("pmax", ("x",), LINE)(x) * 0.5

    inner = build(step, Aval((), i32), Aval((4,), f32))

    def fun(x):
        start = emit(PRIMITIVES["lt"], lit(0, i32), lit(3, i32))
        return emit(while_loop, start, lit(0, i32), x, step=inner, consts=0, carry=2)[1]

    check(fun, LINE, (4,))


def test_donated_pieces_stay_in_place():
    graph = build(lambda x: collective("psum", ("x",), LINE)(x) + x, Aval((8,), f32))
    made = harness.executable(graph, LINE, donate=((0, 0),))
    x = data(LINE, (8,))
    held = made.upload(x, made.ins[0])
    (out,) = made.run([held])
    assert [out.parts[d].serial for d in range(4)] == [held.parts[d].serial for d in range(4)]
    np.testing.assert_allclose(harness.fetched(out, graph.out_avals[0]), x.sum(0) + x, rtol=1e-5)


def test_all_members_get_the_same_bits():
    graph = build(collective("psum", ("x",), LINE), Aval((33,), f32))
    (got,) = harness.run(graph, LINE, data(LINE, (33,)))
    assert (got == got[0]).all()


def test_counts_and_bytes():
    def fun(x):
        a = collective("psum", ("tp",), SQUARE)(x)
        b = collective("all_gather", ("dp",), SQUARE, axis=0, tiled=True)(a)
        return collective("reduce_scatter", ("dp",), SQUARE, axis=0, tiled=True)(b)

    made = harness.executable(build(fun, Aval((6, 4), f32)), SQUARE)
    one = {"tp": {"psum": [1, 96]}, "dp": {"all_gather": [1, 192], "reduce_scatter": [1, 192]}}
    assert made.traffic == one


def test_the_plan_shows_collectives_and_survives_json():
    fun = collective("psum", ("dp", "tp"), SQUARE)
    program = compile_graph(build(fun, Aval((6,), f32)), WEBGPU_DEFAULT)
    assert Program.from_json(program.to_json()) == program
    assert "psum over dp,tp" in plan_text(program)
    moved = build(collective("ppermute", ("dp",), SQUARE, perm=((0, 1),)), Aval((6,), f32))
    program = compile_graph(moved, WEBGPU_DEFAULT)
    assert Program.from_json(program.to_json()) == program


def test_narrow_profiles_sum_in_stages():
    """Nine operands do not fit eight bindings."""
    mesh = MeshShape(("x",), (9,))
    program = compile_graph(
        build(collective("psum", ("x",), mesh), Aval((5,), f32)), WEBGPU_DEFAULT
    )
    wide = spread(program, mesh, WEBGPU_DEFAULT)
    assert all(len(k.bindings) <= WEBGPU_DEFAULT.storage_buffers for k in wide.kernels)
    x = data(mesh, (5,))
    outs = Executable(runtime.default_device(), wide).run(list(x))
    for out in outs:
        got = np.frombuffer(out.start_read().result()[:20], np.float32)
        np.testing.assert_allclose(got, x.sum(0), rtol=1e-5)


def test_a_program_of_a_mesh_needs_the_mesh():
    device = runtime.default_device()
    graph = build(collective("psum", ("tp",), SQUARE), Aval((6,), f32))
    program = compile_graph(graph, device.profile)
    with pytest.raises(runtime.ProgramError, match="psum over tp; run it on a mesh"):
        Executable(device, program)
    with pytest.raises(ValueError, match=r"psum over tp=3; the mesh is tp=2"):
        spread(program, MeshShape(("tp",), (2,)), device.profile)
    index = build(collective("axis_index", ("tp",), SQUARE))
    with pytest.raises(runtime.ProgramError, match="its number along the axis 'tp'"):
        Executable(device, compile_graph(index, device.profile))


def test_pieces_of_an_array():
    mesh = MeshShape(("dp", "cp", "tp"), (2, 2, 2))
    layout = runtime.Layout(mesh, Aval((8, 6), f32), Spec((("tp", "dp"), ())))
    assert layout.local == (2, 6) and len(layout.holders) == 4
    x = np.arange(48, dtype=np.float32).reshape(8, 6)
    pieces = layout.cut(x, range(8))
    assert pieces[1][0, 0] == 24 and pieces[4][0, 0] == 12 and pieces[2] is pieces[0]
    raw = layout.join({d: pieces[d].tobytes() for d in layout.holders})
    assert np.frombuffer(raw, np.float32).tolist() == x.ravel().tolist()
    with pytest.raises(runtime.ProgramError, match="axis 1 of 6 is cut by dp"):
        runtime.Layout(mesh, Aval((8, 6), f32), Spec(((), ("dp", "tp"))))


def test_sums_that_are_yet_to_be_carried_out():
    layout = runtime.Layout(LINE, Aval((3,), f32), Spec(((),), frozenset("x")))
    pieces = layout.cut(np.ones(3, np.float32), range(4))
    assert [pieces[d].sum() for d in range(4)] == [3, 0, 0, 0]
    ones = {d: np.ones(3, np.float32).tobytes() for d in layout.holders}
    assert np.frombuffer(layout.join(ones), np.float32).tolist() == [4, 4, 4]
