"""Names in generated WGSL: whatever the user calls an argument, the kernel must compile."""

from __future__ import annotations

import pytest

from codegen.compile import compile_graph
from codegen.names import RESERVED, short_names, unique
from codegen.profile import LAVAPIPE, WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, building, emit, f32

from . import tint
from .naga import check as check_naga

# Locals and functions of templates, WGSL words, and what is no identifier at all.
HOSTILE = (
    "total total_2 highest half i j k k4 d4 col4 row4 t row acc val b batch s head main group r "
    "tops mac load_a load_q store_out scratch_f32 a_tile0 q_tile v0 i0 x_0 result vec4 select exp "
    "max f32 fn let loop array true 2nd _ __x größe model.weight"
).split()


def graph_with(build, hints, shapes):
    with building() as builder:
        values = [builder.input(Aval(s, f32), h) for s, h in zip(shapes, hints, strict=True)]
        made = build(*values)
        return builder.close(made if isinstance(made, tuple) else (made,))


def op(name, *ins, **params):
    return emit(PRIMITIVES[name], *ins, **params)


def everything(x, y):
    """A row kernel with two walks, a product with an epilogue, a column, and a map."""
    scaled = op("softmax", x) + y
    return scaled, op("dot", x, y, spec="mk,nk->mn") * 2, op("sum", y, axes=(0,)), op("exp", x)


def attended(x, y):
    return op("attention", x, y, y, causal=True, scale=0.5)[0]


@pytest.mark.parametrize("profile", [LAVAPIPE, WEBGPU_DEFAULT], ids=lambda p: p.name)
@pytest.mark.parametrize("hint", HOSTILE)
def test_arguments_may_have_any_name(hint, profile):
    graphs = [
        graph_with(everything, (hint, f"{hint}_b"), [(64, 64)] * 2),
        graph_with(attended, (hint, hint), [(1, 16, 2, 8)] * 2),
    ]
    for graph in graphs:
        for kernel in compile_graph(graph, profile).kernels:
            check_naga(kernel.wgsl)
            tint.check(kernel.wgsl)


def test_names_are_distinct_and_keep_what_the_user_said():
    assert unique(["w", "w", "w"]) == ("w", "w_b", "w_c")
    assert unique(["w", "w_b", "w"]) == ("w", "w_b", "w_c")
    assert unique(["k", "2nd", "loop"]) == ("k_in", "x_2nd", "loop_in")
    assert len(set(unique(["x"] * 60))) == 60
    assert not RESERVED.intersection(unique(sorted(RESERVED)))


def test_paths_of_equal_end_are_told_apart_by_where_they_differ():
    def path(text):
        return tuple(text.split("_"))

    moments = [
        "optimizer_mu_lm_head_weight",
        "optimizer_nu_lm_head_weight",
        "params_lm_head_weight",
    ]
    assert short_names([path(m) for m in moments]) == [
        "mu_lm_head_weight",
        "nu_lm_head_weight",
        "params_lm_head_weight",
    ]
    layers = ["params_layers_0_mlp_down_weight", "params_layers_1_mlp_down_weight"]
    assert short_names([path(p) for p in layers]) == ["mlp_down_weight"] * 2
    assert short_names([("x",), ("x",), ("y",)]) == ["x", "x", "y"]
